#include "core/report/events.h"

#include "core/mount.h"
#include "core/process/process.h"
#include "core/sandbox.h"
#include "core/session.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* The one line being written; core lock held. */
static struct {
	char text[JOURNAL_LINE_MAX + 1];
	size_t used;
} line;

static void put(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void put(const char *fmt, ...)
{
	size_t left = sizeof line.text - line.used;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(line.text + line.used, left, fmt, args);
	va_end(args);
	line.used += (size_t)n < left ? (size_t)n : left - 1;
}

/* A text of a backend's or of the sandbox's: quoted, and cut where it gets long. */
static void put_text(const char *name, const char *text)
{
	static const char digits[] = "0123456789abcdef";
	char quoted[1024];
	size_t n = 0;

	for (; *text && n < sizeof quoted - 8; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\') {
			quoted[n++] = '\\';
			quoted[n++] = (char)c;
		} else if (c < 0x20 || c >= 0x7f) { /* also what is no UTF-8 */
			memcpy(quoted + n, "\\u00", 4);
			quoted[n + 4] = digits[c >> 4];
			quoted[n + 5] = digits[c & 15];
			n += 6;
		} else {
			quoted[n++] = (char)c;
		}
	}
	quoted[n] = '\0';
	put(",\"%s\":\"%s\"", name, quoted);
}

static void print_time(char text[40])
{
	struct timespec now;
	struct tm tm;
	size_t used;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	used = strftime(text, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + used, 40 - used, ".%03ldZ", now.tv_nsec / 1000000);
}

/* Names of ours need no quoting: they have no byte that JSON minds. */
static void begin(const char *what, const struct session *session)
{
	char time[40];

	print_time(time);
	line.used = 0;
	put("{\"time\":\"%s\",\"seq\":%" PRIu64 ",\"event\":\"%s\",\"session\":\"%s\"", time,
	    journal_next_number(), what, session->object.name);
}

static void put_sandbox(const struct sandbox *s)
{
	put(",\"sandbox\":\"%s\"", s->object.name);
	put_text("id", s->id);
	if (sandbox_function(s))
		put(",\"function\":\"%s\"", s->object.parent->name);
}

static void finish(struct session *session)
{
	put("}\n");
	journal_add(&session->events, line.text, line.used);
}

void event_session(struct session *s, const char *state)
{
	begin("session", s);
	put(",\"state\":\"%s\"", state);
	finish(s);
}

void event_sandbox(struct sandbox *s)
{
	begin("sandbox", sandbox_session(s));
	put_sandbox(s);
	put(",\"state\":\"%s\"", sandbox_state_name(s->state));
	if (s->cause.code && s->state >= SANDBOX_COMPLETED)
		put_text("reason", s->cause.reason);
	finish(sandbox_session(s));
}

void event_process(struct process *p)
{
	struct sandbox *s = process_sandbox(p);
	struct buf status;

	begin("process", sandbox_session(s));
	put_sandbox(s);
	put(",\"process\":\"%s\"", p->object.name);
	buf_init(&status, 1024);
	process_status(p, &status);
	put_text("status", buf_text(&status));
	buf_free(&status);
	if (p->state == PROCESS_EXITED)
		put(",\"exit_code\":%u", p->value);
	else if (p->state == PROCESS_SIGNALED)
		put(",\"signal\":%u", p->value);
	finish(sandbox_session(s));
}

int event_put_lost(struct buf *out, uint64_t count)
{
	char time[40];

	print_time(time);
	return buf_printf(out, "{\"time\":\"%s\",\"event\":\"lost\",\"count\":%" PRIu64 "}\n", time, count);
}
