#include "base/error.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void fill(struct error *err, int code, const char *reason, const char *fmt, va_list args)
{
	err->code = code;
	snprintf(err->reason, sizeof err->reason, "%s", reason);
	vsnprintf(err->text, sizeof err->text, fmt, args);
	utf8_make_printable(err->text); /* names and words of others are in it */
}

int error_set(struct error *err, int code, const char *reason, const char *fmt, ...)
{
	va_list args;

	if (err) {
		va_start(args, fmt);
		fill(err, code, reason, fmt, args);
		va_end(args);
	}
	return -code;
}

int error_errno(struct error *err, int code, const char *reason, const char *fmt, ...)
{
	va_list args;
	size_t used;

	if (err) {
		va_start(args, fmt);
		fill(err, code, reason, fmt, args);
		va_end(args);
		used = strlen(err->text);
		snprintf(err->text + used, sizeof err->text - used, ": %s", strerror(code));
	}
	return -code;
}
