#include "core/function/answer.h"

#include "core/json_text.h"

#include <stdio.h>
#include <string.h>

void ending_init(struct ending *e)
{
	*e = (struct ending){0};
	buf_init(&e->out, ANSWER_MAX);
	buf_init(&e->err, STDERR_TAIL_MAX);
}

void ending_free(struct ending *e)
{
	buf_free(&e->out);
	buf_free(&e->err);
}

static int put_error(struct buf *ret, const char *type, const char *message, const struct ending *e)
{
	int rc = buf_puts(ret, "{\"error\": {\"type\": ");

	rc = rc ? rc : json_text_quote(ret, type, strlen(type));
	rc = rc ? rc : buf_puts(ret, ", \"message\": ");
	rc = rc ? rc : json_text_quote(ret, message, strlen(message));
	if (rc == 0 && e && e->state == PROCESS_EXITED)
		rc = buf_printf(ret, ", \"exit_code\": %u", e->value);
	if (rc == 0 && e && e->err.len) {
		rc = buf_puts(ret, ", \"stderr\": ");
		rc = rc ? rc : json_text_quote(ret, e->err.data, e->err.len);
	}
	return rc ? rc : buf_puts(ret, "}}\n");
}

int answer_error(struct buf *ret, const struct error *err)
{
	return put_error(ret, err->reason, err->text, NULL);
}

/* A program that fails may have said why itself: {"error": ...}. */
static bool tells_error(const struct ending *e)
{
	const char *p = e->out.data, *end = p + e->out.len;
	static const char word[] = "{\"error\":";
	size_t bad, seen = 0;

	if (!json_text_check(e->out.data, e->out.len, &bad))
		return false;
	for (; p < end && seen < sizeof word - 1; p++) {
		if (strchr(" \t\r\n", *p))
			continue;
		if (*p != word[seen++])
			return false;
	}
	return seen == sizeof word - 1;
}

static int exited(struct buf *ret, const struct ending *e)
{
	char message[120];
	size_t bad = 0;

	if (e->value) {
		if (tells_error(e))
			return json_text_put_line(ret, e->out.data, e->out.len);
		snprintf(message, sizeof message, "it exited with %u", e->value);
		return put_error(ret, "EXITED", message, e);
	}
	if (json_text_check(e->out.data, e->out.len, &bad))
		return json_text_put_line(ret, e->out.data, e->out.len);
	if (e->out.len)
		snprintf(message, sizeof message, "what it printed is not one JSON value: see byte %zu", bad);
	else
		snprintf(message, sizeof message, "it printed nothing");
	return put_error(ret, "INVALID_ANSWER", message, e);
}

static int signaled(struct buf *ret, const struct ending *e)
{
	const char *name = sigabbrev_np((int)e->value);
	char message[80];

	snprintf(message, sizeof message, "signal %u %s ended it", e->value, name ? name : "RT");
	return put_error(ret, "SIGNALED", message, e);
}

/* "REASON: text" */
static int failed(struct buf *ret, const struct ending *e)
{
	char type[sizeof e->failure];
	const char *colon = strstr(e->failure, ": ");
	size_t len = colon ? (size_t)(colon - e->failure) : 0;

	memcpy(type, e->failure, len);
	type[len] = '\0';
	return put_error(ret, len ? type : "FAILED", colon ? colon + 2 : e->failure, e);
}

int answer_line(struct buf *ret, const struct ending *e)
{
	if (e->too_long)
		return put_error(ret, "TOO_LARGE", "its answer is over 8 MiB", NULL);
	if (e->unreadable)
		return put_error(ret, "OUTPUT_LOST", "its answer cannot be read any more", NULL);
	switch (e->state) {
	case PROCESS_EXITED:
		return exited(ret, e);
	case PROCESS_SIGNALED:
		return signaled(ret, e);
	case PROCESS_FAILED:
		return failed(ret, e);
	case PROCESS_TIMEOUT:
		return put_error(ret, "TIMEOUT", "its time was over", e);
	case PROCESS_CANCELED:
		return put_error(ret, "CANCELED", "its sandbox was stopped", e);
	default:
		return put_error(ret, "LOST", "its sandbox is gone: how it ended is not known", e);
	}
}
