#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>

static bool debugging, syslogging;

void log_setup(bool debug, bool to_syslog)
{
	debugging = debug;
	syslogging = to_syslog;
	if (to_syslog)
		openlog("aviatofs", LOG_PID, LOG_DAEMON);
}

static void emit(int priority, const char *fmt, va_list args)
{
	char line[1024];

	vsnprintf(line, sizeof line, fmt, args);
	if (syslogging)
		syslog(priority, "%s", line);
	else
		fprintf(stderr, "aviatofs: %s\n", line);
}

void log_info(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	emit(LOG_INFO, fmt, args);
	va_end(args);
}

void log_warn(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	emit(LOG_WARNING, fmt, args);
	va_end(args);
}

void log_debug(const char *fmt, ...)
{
	va_list args;

	if (!debugging)
		return;
	va_start(args, fmt);
	emit(LOG_DEBUG, fmt, args);
	va_end(args);
}
