/* One line per event, to stderr in the foreground and to syslog once daemonised. */
#pragma once

#include <stdbool.h>

/* Debug lines are dropped unless asked for; callers never pass secrets. */
void log_setup(bool debug, bool to_syslog);
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
