#include "core/function/call.h"

#include "core/function/answer.h"
#include "core/backend.h"
#include "core/function/function.h"
#include "core/process/process.h"
#include "core/sandbox.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void run(struct waiter *w);

struct call *call_new(struct calls *calls, struct buf *text)
{
	struct call *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	list_init(&c->link);
	list_init(&c->turn);
	list_init(&c->waiter.link);
	c->waiter.run = run;
	c->calls = calls;
	c->text = *text;
	buf_init(text, text->max);
	buf_init(&c->answer, ANSWER_LINE_MAX);
	return c;
}

static void free_call(struct call *c)
{
	buf_free(&c->text);
	buf_free(&c->answer);
	free(c);
}

/* What it had to itself: its text, its process, its sandbox. */
static void let_go(struct call *c)
{
	if (c->process)
		object_unref(&c->process->object);
	if (c->sandbox)
		function_done(c->sandbox);
	source_unref(c->source);
	buf_free(&c->text);
	c->process = NULL;
	c->sandbox = NULL;
	c->source = NULL;
}

static bool begun(const struct call *c)
{
	return c->sandbox != NULL;
}

void call_drop(struct call *c)
{
	bool under_way = begun(c) && !c->done && list_empty(&c->waiter.link);

	list_remove(&c->link);
	list_remove(&c->turn);
	list_remove(&c->waiter.link);
	c->calls = NULL;
	if (under_way) { /* run() is about to look, and frees it */
		if (c->sandbox->object.listed)
			sandbox_drop(c->sandbox);
		return;
	}
	let_go(c);
	free_call(c);
}

static void no_memory_for(struct call *c)
{
	struct error err;

	error_set(&err, ENOMEM, "NO_MEMORY", "out of memory");
	call_refuse(c, &err);
}

void call_refuse(struct call *c, const struct error *err)
{
	buf_free(&c->answer);
	if (answer_error(&c->answer, err) && err->code != ENOMEM)
		no_memory_for(c);
	c->done = true;
	let_go(c);
}

/* --- Input: for Python the source goes first --- */

struct piece {
	const char *data;
	size_t len;
};

/* The next bytes to be given; without any that was all. */
static struct piece next_piece(const struct call *c, char header[32])
{
	struct piece pieces[3] = {{0}};
	size_t at = c->given;

	if (!c->source->script) {
		pieces[0].len = (size_t)snprintf(header, 32, "%zu\n", c->source->len);
		pieces[0].data = header;
		pieces[1] = (struct piece){c->source->text, c->source->len};
	}
	pieces[2] = (struct piece){c->text.data, c->text.len};
	for (int i = 0; i < 3; i++) {
		if (at < pieces[i].len)
			return (struct piece){pieces[i].data + at, pieces[i].len - at};
		at -= pieces[i].len;
	}
	return (struct piece){0};
}

/* False when the rest has to wait. */
static bool feed(struct call *c)
{
	struct sink *input = &c->process->input;
	char header[32];

	while (!c->fed) {
		struct piece p = next_piece(c, header);
		ssize_t n = p.len ? sink_write(input, p.data, p.len) : 0;

		if (n == -EAGAIN) {
			list_append(&input->waiters, &c->waiter.link);
			return false;
		}
		c->given += n > 0 ? (size_t)n : 0;
		c->fed = n <= 0; /* that was all, or it reads no more */
		if (c->fed)
			sink_release(input);
		process_pump_input(c->process);
	}
	return true;
}

/* --- Running --- */

/* Parks it on what it waits for; true when that was all. */
static bool advance(struct call *c)
{
	struct stream *out = &c->process->streams[STREAM_OUT];

	if (!feed(c))
		return false;
	if (out->size > ANSWER_MAX)
		return true;
	if (!out->ended) {
		list_append(&out->waiters, &c->waiter.link);
		return false;
	}
	if (!process_ended(c->process)) {
		list_append(&c->process->enders, &c->waiter.link);
		return false;
	}
	return true;
}

void call_begin(struct call *c)
{
	struct function *f = c->calls->function;
	struct list now = {&now, &now};
	struct error err;
	struct start start;
	int rc = function_refuses(f, &err);

	if (rc == 0) {
		c->source = source_ref(f->source);
		c->sandbox = function_sandbox(f, &err);
		rc = c->sandbox ? 0 : -err.code;
	}
	if (rc == 0) {
		rc = source_start(c->source, f->object.name, &start);
		if (rc)
			error_set(&err, ENOMEM, "NO_MEMORY", "out of memory");
	}
	if (rc == 0) {
		rc = process_submit(c->sandbox, NULL, &start, &c->process, &err);
		if (rc)
			start_free(&start);
	}
	if (rc) {
		call_refuse(c, &err);
		return;
	}
	object_ref(&c->process->object);
	sink_open(&c->process->input);
	list_append(&now, &c->waiter.link); /* it runs when the lock is dropped */
	core_wake(&now);
}

/* --- The end --- */

/* Where bytes are to be read without the lock. */
struct source_of_bytes {
	struct stream *stream;
	int fd;
	uint64_t offset;
	size_t len;
};

/* The last `most` bytes of a stream: what is in memory is copied now. False: they cannot be had. */
static bool prepare(struct stream *s, size_t most, struct buf *to, struct source_of_bytes *ret)
{
	uint64_t offset = s->size > most ? s->size - most : 0;
	const char *data = NULL;
	int fd = -1;
	ssize_t n;

	*ret = (struct source_of_bytes){.fd = -1};
	if (s->size == 0)
		return true;
	stream_add_reader(s);
	ret->stream = s;
	n = stream_read(s, &offset, most, false, &fd, &data);
	if (n < 0)
		return false;
	if (data)
		return buf_append(to, data, (size_t)n) == 0;
	ret->fd = fd;
	ret->offset = offset;
	ret->len = (size_t)n;
	return true;
}

static bool fetch(const struct source_of_bytes *from, struct buf *to)
{
	size_t left = from->len;
	uint64_t at = from->offset;

	if (from->fd < 0)
		return true;
	if (buf_reserve(to, left))
		return false;
	while (left) {
		ssize_t n = pread(from->fd, to->data + to->len, left, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		to->len += (size_t)n;
		at += (uint64_t)n;
		left -= (size_t)n;
	}
	return true;
}

/* Reads what it printed, judges it, and makes the answer. Drops the core lock meanwhile. */
static void collect(struct call *c)
{
	struct process *p = c->process;
	struct source_of_bytes out = {.fd = -1}, err = {.fd = -1};
	struct ending e;
	int rc;

	ending_init(&e);
	e.state = p->state;
	e.value = p->value;
	e.too_long = p->streams[STREAM_OUT].size > ANSWER_MAX;
	snprintf(e.failure, sizeof e.failure, "%s", p->failure ? p->failure : "FAILED: no memory to say why");
	if (!e.too_long)
		e.unreadable = !prepare(&p->streams[STREAM_OUT], ANSWER_MAX, &e.out, &out);
	prepare(&p->streams[STREAM_ERR], STDERR_TAIL_MAX, &e.err, &err);
	core_unlock();
	e.unreadable |= !fetch(&out, &e.out);
	fetch(&err, &e.err);
	rc = answer_line(&c->answer, &e);
	ending_free(&e);
	core_lock();
	if (out.stream)
		stream_drop_reader(out.stream);
	if (err.stream)
		stream_drop_reader(err.stream);
	if (rc)
		no_memory_for(c);
	c->done = true;
}

static void run(struct waiter *w)
{
	struct call *c = container_of(w, struct call, waiter);
	struct calls *calls;

	core_lock();
	if (c->calls && !advance(c)) {
		core_unlock();
		return;
	}
	if (c->calls)
		collect(c);
	calls = c->calls;
	let_go(c);
	if (calls)
		calls_ended(calls);
	else
		free_call(c);
	core_unlock();
}
