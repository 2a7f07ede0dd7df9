/*
 * A hostile agent: the input is what it sends to the daemon, in pieces whose
 * size the first byte says. The events touch all they are given. If its second
 * bit is set, a WELCOME goes first.
 */
#include "channel/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned sum;

static void touch(const void *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += ((const uint8_t *)data)[i];
}

static void touch_text(const char *text)
{
	touch(text, strlen(text) + 1);
}

static void touch_strings(char *const *list)
{
	for (; list && *list; list++)
		touch_text(*list);
}

static void touch_start(const struct start *s)
{
	touch_text(s->name);
	touch_text(s->cwd);
	touch_strings(s->argv);
	touch_strings(s->env);
	touch(s->text, s->text_len + 1);
}

static void check_outcome(const struct outcome *o)
{
	touch_text(o->reason);
	touch_text(o->text);
	if (o->kind >= OUTCOMES || strlen(o->reason) >= sizeof o->reason || strlen(o->text) >= sizeof o->text)
		abort();
}

static void check_stream(enum stream_number stream, uint64_t number)
{
	if (stream >= STREAMS || number > INT64_MAX)
		abort();
}

static void on_process(void *owner, uint32_t id, struct report *r)
{
	(void)owner;
	check_outcome(&r->outcome);
	touch_start(&r->start);
	if (id & 1) { /* as one who keeps it */
		start_free(&r->start);
		r->start = (struct start){0};
	}
}

static void on_ready(void *owner)
{
	(void)owner;
}

static void on_started(void *owner, uint32_t id, uint64_t when_ns)
{
	(void)owner;
	(void)id;
	check_stream(0, when_ns);
}

static void on_grew(void *owner, uint32_t id, enum stream_number stream, uint64_t size, bool full)
{
	(void)owner;
	(void)id;
	(void)full;
	check_stream(stream, size);
}

static void on_output(void *owner, uint32_t id, enum stream_number stream, uint64_t offset, const void *data,
		      size_t len)
{
	(void)owner;
	(void)id;
	check_stream(stream, offset);
	touch(data, len);
}

static void on_end(void *owner, uint32_t id, enum stream_number stream, uint64_t size)
{
	(void)owner;
	(void)id;
	check_stream(stream, size);
}

static void on_exited(void *owner, uint32_t id, const struct outcome *o)
{
	(void)owner;
	(void)id;
	check_outcome(o);
}

static void on_taken(void *owner, uint32_t id, uint64_t bytes, bool closed)
{
	(void)owner;
	(void)id;
	(void)closed;
	check_stream(0, bytes);
}

static void on_still(void *owner, uint64_t starts)
{
	(void)owner;
	check_stream(0, starts);
}

/* What an agent says of its end is shown to people. */
static void on_bye(void *owner, const char *why)
{
	(void)owner;
	for (; *why; why++)
		if (*why < ' ' || *why > '~')
			abort();
}

static void on_heard(void *owner)
{
	(void)owner;
}

/* What is in them is for a fuzzer of its own. */
static int on_programs(void *owner, uint32_t tag, const char *names, size_t len)
{
	(void)owner;
	(void)tag;
	touch(names, len);
	return 0;
}

static int on_file(void *owner, const struct frame *f)
{
	(void)owner;
	touch(f->payload, f->length);
	return 0;
}

static const struct channel_events events = {
    .process = on_process,
    .ready = on_ready,
    .started = on_started,
    .grew = on_grew,
    .output = on_output,
    .end = on_end,
    .exited = on_exited,
    .still = on_still,
    .taken = on_taken,
    .bye = on_bye,
    .heard = on_heard,
    .file_reply = on_file,
    .file_changed = on_file,
    .programs = on_programs,
};

static int take(struct pipe *p, const struct iovec *iov, int count)
{
	(void)p;
	for (int i = 0; i < count; i++)
		touch(iov[i].iov_base, iov[i].iov_len);
	return 0;
}

static void close_pipe(struct pipe *p)
{
	(void)p;
}

static void welcome(struct channel *c)
{
	static const uint8_t bytes[] = {16,  0,	  0, 0, MSG_WELCOME, 0, 0, 0, 0, 0, 0, 0, 'T', 'F',
					'V', 'A', 1, 0, 0,	     0, 0, 0, 0, 0, 0, 0, 0,   0};
	struct error err;

	if (channel_receive(c, bytes, sizeof bytes, &err))
		abort();
}

/* From a copy of its own, so that a look behind a piece is seen. */
static int receive(struct channel *c, const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len);
	struct error err = {0};
	int rc;

	memcpy(copy, data, len);
	rc = channel_receive(c, copy, len, &err);
	free(copy);
	if (rc && ((rc != -EPROTO && rc != -EBADMSG) || err.code != -rc || !*err.text))
		abort();
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct pipe_ops ops = {take, close_pipe};
	struct pipe pipe = {.ops = &ops};
	struct channel *c = channel_new(&pipe, SPOOL_STREAM, 1, &events, NULL);
	size_t step;

	if (!c)
		abort();
	if (!size) {
		channel_free(c);
		return 0;
	}
	step = *data >> 2 ? (size_t)*data >> 2 : size;
	if (*data & 2)
		welcome(c);
	for (data++, size--; size;) {
		size_t len = size < step ? size : step;

		if (receive(c, data, len))
			break;
		data += len;
		size -= len;
	}
	channel_free(c);
	return 0;
}
