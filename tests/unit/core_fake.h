/*
 * A core without a mount point: a backend that only takes notes, and pipes on
 * whose other end the test speaks as the agent.
 *
 * There is one mount in a process, so every test makes sandboxes of its own.
 */
#pragma once

#include "base/loop.h"
#include "channel/frame.h"
#include "channel/pipe.h"
#include "core/after.h"
#include "core/process/draft.h"
#include "core/mount.h"
#include "core/process/process.h"
#include "core/sandbox.h"
#include "core/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the backend knows of one sandbox, and the pipe to its agent. */
struct fake {
	struct pipe pipe;
	struct buf sent; /* by the daemon */
	size_t seen;	 /* of `sent`, by the test */
	int refuse;	 /* errno that sends get, or 0 */
	bool open;
	unsigned stops, removes, keeps;
	uint32_t grace_ms;
	struct fake *next;
};

static struct fake *fakes;	   /* all there ever were, to be freed at the end */
static const char *fake_objection; /* what check() says, or NULL */

static struct fake *fake_of(const struct sandbox *s)
{
	return sandbox_instance(s);
}

static int fake_send(struct pipe *p, const struct iovec *iov, int count)
{
	struct fake *f = container_of(p, struct fake, pipe);

	assert_true(f->open);
	if (f->refuse)
		return -f->refuse;
	for (int i = 0; i < count; i++)
		assert_int_equal(buf_append(&f->sent, iov[i].iov_base, iov[i].iov_len), 0);
	return 0;
}

static void fake_close(struct pipe *p)
{
	struct fake *f = container_of(p, struct fake, pipe);

	assert_true(f->open);
	f->open = false;
}

static const struct pipe_ops fake_pipe_ops = {fake_send, fake_close};

static struct fake *fake_new(void)
{
	struct fake *f = calloc(1, sizeof *f);

	assert_non_null(f);
	f->pipe.ops = &fake_pipe_ops;
	buf_init(&f->sent, 64u << 20);
	f->next = fakes;
	fakes = f;
	return f;
}

static int fake_check(struct backend *b, const struct config *c, struct error *err)
{
	(void)b;
	(void)c;
	return fake_objection ? error_set(err, EINVAL, "OBJECTION", "%s", fake_objection) : 0;
}

static void fake_find(struct backend *b)
{
	(void)b;
}

static void fake_start(struct backend *b, struct sandbox *s)
{
	(void)b;
	assert_null(sandbox_instance(s));
	sandbox_set_instance(s, fake_new());
}

static void fake_stop(struct backend *b, struct sandbox *s, uint32_t grace_ms)
{
	(void)b;
	fake_of(s)->stops++;
	fake_of(s)->grace_ms = grace_ms;
}

static void fake_remove(struct backend *b, struct sandbox *s)
{
	(void)b;
	fake_of(s)->removes++;
}

static void fake_keep(struct backend *b, struct sandbox *s)
{
	(void)b;
	fake_of(s)->keeps++;
}

static unsigned fake_lists, fake_attaches, fake_renames;

static void fake_list(struct backend *b)
{
	(void)b;
	fake_lists++;
}

static void fake_attach(struct backend *b, const char *id)
{
	(void)b;
	assert_true(*id);
	fake_attaches++;
}

static void fake_renamed(struct backend *b, struct sandbox *s)
{
	(void)b;
	assert_non_null(fake_of(s));
	fake_renames++;
}

static int fake_root(struct backend *b, struct sandbox *s)
{
	(void)b;
	(void)s;
	return -ENOSYS;
}

static void fake_describe(struct backend *b, struct sandbox *s, cJSON *info)
{
	(void)b;
	(void)s;
	cJSON_AddBoolToObject(info, "fake", true);
}

static void fake_end(struct backend *b)
{
	(void)b;
}

static const struct backend_ops fake_ops = {
    .name = "fake",
    .defaults = {[CONFIG_IMAGE] = "base", [CONFIG_CWD] = "/workspace", [CONFIG_LIFETIME] = "1h"},
    .check = fake_check,
    .find = fake_find,
    .start = fake_start,
    .stop = fake_stop,
    .remove = fake_remove,
    .keep = fake_keep,
    .list = fake_list,
    .attach = fake_attach,
    .renamed = fake_renamed,
    .root = fake_root,
    .describe = fake_describe,
    .close = fake_end,
};

static inline int fake_begin(void **state)
{
	static struct backend backend = {&fake_ops};
	const struct mount_settings settings = {.spool_limit = 1000000};
	struct error err;

	(void)state;
	return loop_start() || mount_begin(&backend, &settings, &err) || session_make("s", &err);
}

static struct session *fake_session(void)
{
	return (struct session *)object_child(&the_mount.object, "s");
}

/* Lets run what became due. */
static inline void fake_settle(void)
{
	core_lock();
	core_unlock();
}

static inline struct sandbox *fake_sandbox(const char *name)
{
	struct error err;

	assert_int_equal(sandbox_make(fake_session(), name, &err), 0);
	return (struct sandbox *)object_child(&fake_session()->object, name);
}

/* rmdir, and all the backend says until nothing is left. */
static inline void fake_drop(struct sandbox *s)
{
	bool began = s->began, ended = s->state >= SANDBOX_COMPLETED;

	sandbox_drop(s);
	if (began && !ended)
		sandbox_ended(s, END_TERMINATED, NULL);
	if (began)
		sandbox_removed(s);
	fake_settle();
}

static int fake_finish(void **state)
{
	struct object *o;

	(void)state;
	while ((o = object_next(&fake_session()->object, 0)))
		fake_drop((struct sandbox *)o);
	core_after_end();
	loop_stop();
	assert_int_equal(the_mount.living, 0);
	assert_int_equal(session_drop(fake_session(), NULL), 0);
	journal_end();
	config_free(&the_mount.builtin);
	config_free(&the_mount.defaults);
	while (fakes) {
		struct fake *f = fakes;

		assert_false(f->open);
		fakes = f->next;
		buf_free(&f->sent);
		free(f);
	}
	return 0;
}

/* Gives a command, as a write to `cmd` and the close do: for a new process, or for the named one. */
static inline int fake_submit(struct sandbox *s, struct process *named, const char *text)
{
	struct draft d;
	int rc;

	draft_init(&d, named ? &named->inbox : &s->inbox);
	rc = draft_write(&d, text, strlen(text));
	rc = rc ? rc : draft_commit(&d);
	draft_release(&d);
	fake_settle();
	return rc;
}

static inline struct process *fake_process(struct sandbox *s, const char *name)
{
	return (struct process *)object_child(&s->object, name);
}

static inline void assert_status(struct process *p, const char *want)
{
	struct buf out;

	buf_init(&out, 1024);
	assert_int_equal(process_status(p, &out), 0);
	assert_string_equal(buf_text(&out), want);
	buf_free(&out);
}

/* --- The agent --- */

static inline void fake_connect(struct sandbox *s, int spool_dir)
{
	core_lock();
	fake_of(s)->open = true;
	sandbox_connected(s, &fake_of(s)->pipe, spool_dir);
	core_unlock();
}

static inline void agent_bytes(struct fake *f, const void *data, size_t len)
{
	f->pipe.events->received(f->pipe.owner, data, len);
}

static inline void agent_frame(struct fake *f, struct frame frame)
{
	struct buf all;
	uint8_t header[FRAME_HEADER];

	buf_init(&all, FRAME_HEADER + FRAME_PAYLOAD_MAX);
	frame_header(&frame, header);
	assert_int_equal(buf_append(&all, header, sizeof header), 0);
	assert_int_equal(buf_append(&all, frame.payload, frame.length), 0);
	agent_bytes(f, all.data, all.len);
	buf_free(&all);
}

static inline void agent_number_as(struct fake *f, uint8_t count, enum message type, uint32_t id,
				   uint8_t stream, uint8_t flags, uint64_t value)
{
	uint8_t payload[8];

	for (unsigned i = 0; i < sizeof payload; i++)
		payload[i] = (uint8_t)(value >> 8 * i);
	agent_frame(f, (struct frame){type, stream, flags, id, payload, sizeof payload, count});
}

static inline void agent_number(struct fake *f, enum message type, uint32_t id, uint8_t stream, uint8_t flags,
				uint64_t value)
{
	agent_number_as(f, 0, type, id, stream, flags, value);
}

static inline void agent_output(struct fake *f, uint32_t id, uint8_t stream, uint64_t offset,
				const char *text)
{
	struct buf b;

	buf_init(&b, 1u << 20);
	assert_int_equal(put_u64(&b, offset), 0);
	assert_int_equal(buf_puts(&b, text), 0);
	agent_frame(f, (struct frame){MSG_OUTPUT, stream, 0, id, (uint8_t *)b.data, (uint32_t)b.len, 0});
	buf_free(&b);
}

static inline void agent_welcome_of(struct fake *f, uint8_t count, uint64_t born)
{
	struct buf b;

	buf_init(&b, 64);
	put_u32(&b, PROTOCOL_MAGIC);
	put_u32(&b, PROTOCOL_VERSION);
	put_u64(&b, born);
	agent_frame(f, (struct frame){.type = MSG_WELCOME,
				      .payload = (uint8_t *)b.data,
				      .length = (uint32_t)b.len,
				      .count = count});
	buf_free(&b);
}

static inline void agent_welcome_as(struct fake *f, uint8_t count)
{
	agent_welcome_of(f, count, 1);
}

static inline void agent_welcome(struct fake *f)
{
	agent_welcome_as(f, 0);
}

static inline void agent_ready(struct fake *f)
{
	agent_frame(f, (struct frame){.type = MSG_READY});
}

static inline void agent_exited(struct fake *f, uint32_t id, uint8_t kind, uint32_t value)
{
	const struct outcome o = {kind, value, 5, 6, "REASON", "text"};
	struct buf b;

	buf_init(&b, 4096);
	assert_int_equal(outcome_encode(&b, &o), 0);
	agent_frame(f, (struct frame){MSG_EXITED, 0, 0, id, (uint8_t *)b.data, (uint32_t)b.len, 0});
	buf_free(&b);
}

static inline void agent_report(struct fake *f, uint32_t id, const struct report *r)
{
	struct buf b;

	buf_init(&b, FRAME_PAYLOAD_MAX);
	assert_int_equal(report_encode(&b, r), 0);
	agent_frame(f, (struct frame){MSG_PROCESS, 0, 0, id, (uint8_t *)b.data, (uint32_t)b.len, 0});
	buf_free(&b);
}

static inline void agent_hangs_up(struct fake *f)
{
	const struct error why = {EPIPE, "AGENT_GONE", "the agent is gone"};

	f->pipe.events->closed(f->pipe.owner, &why);
}

/* The next thing the daemon said: its type, or 0 when it said nothing more. The payload stays until it says
 * more. */
static inline int next_said(struct fake *f, struct frame *ret)
{
	ssize_t n = frame_parse(f->sent.data + f->seen, f->sent.len - f->seen, ret);

	assert_true(n >= 0);
	f->seen += (size_t)n;
	return n ? ret->type : 0;
}

static inline void assert_said_number(struct fake *f, enum message type, uint32_t id, uint8_t stream,
				      uint64_t value)
{
	struct frame said;
	struct reader r;

	assert_int_equal(next_said(f, &said), type);
	assert_int_equal(said.id, id);
	assert_int_equal(said.stream, stream);
	r = (struct reader){said.payload, said.length, false};
	assert_int_equal(said.length == 4 ? get_u32(&r) : get_u64(&r), value);
}

static inline void assert_said_start(struct fake *f, uint32_t id, struct start *ret)
{
	struct frame said;

	assert_int_equal(next_said(f, &said), MSG_START);
	assert_int_equal(said.id, id);
	assert_int_equal(start_decode(said.payload, said.length, ret), 0);
	/* Where output comes in frames, it is asked for in the same breath. */
	for (int i = 0; i < STREAMS; i++) {
		size_t seen = f->seen;

		if (next_said(f, &said) == MSG_WANT && said.id == id && said.stream == i)
			continue;
		assert_int_equal(i, 0);
		f->seen = seen;
		return;
	}
}

static inline void assert_said_nothing(struct fake *f)
{
	struct frame said;

	assert_int_equal(next_said(f, &said), 0);
}

/* A sandbox that runs, with nothing said that was not heard. */
static inline struct sandbox *fake_running(const char *name, int spool_dir)
{
	struct sandbox *s = fake_sandbox(name);
	struct error err;

	assert_int_equal(sandbox_need(s, &err), 0);
	fake_connect(s, spool_dir);
	agent_welcome(fake_of(s));
	agent_ready(fake_of(s));
	assert_int_equal(s->state, SANDBOX_RUNNING);
	fake_of(s)->seen = fake_of(s)->sent.len;
	return s;
}
