/*
 * For tests of the agent: the agent runs in a child process on a listening
 * socket, and the test is the daemon. One agent and one process at a time are
 * looked at; what frames tell of it is gathered in `seen`.
 */
#pragma once

#include "agent/agent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 20000 /* no frame for so long fails a test */

struct daemon {
	char dir[32];
	int spool;
	pid_t agent;
	int fd; /* the connection, -1: none */
	struct buf in;
	size_t parsed; /* of `in`: the frame handed out last */
	enum spool_mode mode;
};

struct seen {
	uint32_t id;
	bool started, exited, known, ended[STREAMS], full[STREAMS];
	uint64_t size[STREAMS], taken;
	bool taken_closed;
	struct buf bytes[STREAMS]; /* from OUTPUT frames */
	struct outcome outcome;
	struct report report; /* when `known`: from MSG_PROCESS; its start is freed */
};

static inline uint64_t frame_u64(const struct frame *f)
{
	struct reader r = {.at = f->payload, .left = f->length};
	uint64_t v = get_u64(&r);

	assert_false(r.bad);
	return v;
}

static inline void run_agent(int listener, int spool, uint64_t orphan_ms, uint64_t lifetime_ms)
{
	struct agent a;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	dup2(null, STDIN_FILENO);
	if (agent_init(&a, &(struct options){.listener = listener,
					     .spool = spool,
					     .orphan_ms = orphan_ms,
					     .lifetime_ms = lifetime_ms}))
		_exit(99);
	agent_run(&a);
	agent_free(&a);
	_exit(0);
}

static inline void daemon_open(struct daemon *d, uint64_t orphan_ms, uint64_t lifetime_ms)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int listener;

	*d = (struct daemon){.dir = "/tmp/agent-test-XXXXXX", .fd = -1};
	assert_non_null(mkdtemp(d->dir));
	d->spool = open(d->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(at.sun_path, sizeof at.sun_path, "%s/socket", d->dir);
	assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(listener, 8), 0);
	d->agent = fork();
	assert_true(d->agent >= 0);
	if (d->agent == 0)
		run_agent(listener, dup(d->spool), orphan_ms, lifetime_ms);
	close(listener);
	buf_init(&d->in, 64u << 20);
}

static inline void daemon_drop(struct daemon *d)
{
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
	d->in.len = d->parsed = 0;
}

static inline void raw_connect(struct daemon *d)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	daemon_drop(d);
	d->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(at.sun_path, sizeof at.sun_path, "%s/socket", d->dir);
	assert_int_equal(connect(d->fd, (struct sockaddr *)&at, sizeof at), 0);
}

static inline void raw_send(struct daemon *d, const void *data, size_t len)
{
	while (len) {
		ssize_t n = send(d->fd, data, len, MSG_NOSIGNAL);

		/* An agent that refuses us may close before it has read everything. */
		if (n < 0)
			return;
		data = (const char *)data + n;
		len -= (size_t)n;
	}
}

static inline void tell(struct daemon *d, enum message type, uint32_t id, uint8_t stream,
			const struct buf *payload)
{
	uint8_t header[FRAME_HEADER];
	struct buf all;

	buf_init(&all, FRAME_HEADER + FRAME_PAYLOAD_MAX);
	frame_header(&(struct frame){.type = (uint8_t)type,
				     .stream = stream,
				     .id = id,
				     .length = payload ? (uint32_t)payload->len : 0},
		     header);
	buf_append(&all, header, sizeof header);
	if (payload)
		buf_append(&all, payload->data, payload->len);
	raw_send(d, all.data, all.len);
	buf_free(&all);
}

static inline void tell_number(struct daemon *d, enum message type, uint32_t id, uint8_t stream, uint64_t v,
			       bool wide)
{
	struct buf payload;

	buf_init(&payload, 8);
	assert_int_equal(wide ? put_u64(&payload, v) : put_u32(&payload, (uint32_t)v), 0);
	tell(d, type, id, stream, &payload);
	buf_free(&payload);
}

/* The next frame; false when the agent closed the connection. Points into d->in until the next call. */
static inline bool next_frame(struct daemon *d, struct frame *f)
{
	ssize_t n;

	buf_consume(&d->in, d->parsed);
	d->parsed = 0;
	for (;;) {
		struct pollfd ready = {d->fd, POLLIN, 0};

		n = frame_parse(d->in.data, d->in.len, f);
		assert_true(n >= 0);
		if (n > 0)
			break;
		if (poll(&ready, 1, PATIENCE_MS) != 1)
			fail_msg("the agent says nothing");
		assert_int_equal(buf_reserve(&d->in, 1 << 20), 0);
		n = read(d->fd, d->in.data + d->in.len, 1 << 20);
		if (n <= 0)
			return false;
		d->in.len += (size_t)n;
	}
	d->parsed = (size_t)n;
	return true;
}

static inline void note(struct daemon *d, struct seen *s, const struct frame *f)
{
	unsigned st = f->stream;

	if (f->type == MSG_REFUSED)
		fail_msg("refused: %.*s", (int)f->length - 4, (const char *)f->payload + 4);
	if (f->id != s->id)
		return;
	assert_true(st < STREAMS);
	if (f->type == MSG_STARTED)
		s->started = true;
	if (f->type == MSG_PROCESS) {
		assert_int_equal(report_decode(f->payload, f->length, &s->report), 0);
		start_free(&s->report.start);
		s->known = true;
	}
	if (f->type == MSG_GREW) {
		s->size[st] = frame_u64(f);
		s->full[st] = f->flags & GREW_FULL;
	}
	if (f->type == MSG_OUTPUT) {
		/* Nothing is skipped and nothing is sent twice. */
		assert_int_equal(frame_u64(f), s->size[st]);
		assert_int_equal(buf_append(&s->bytes[st], f->payload + 8, f->length - 8), 0);
		s->size[st] += f->length - 8;
		if (d->mode == SPOOL_STREAM)
			tell_number(d, MSG_HAVE, f->id, (uint8_t)st, s->size[st], true);
	}
	if (f->type == MSG_END) {
		s->ended[st] = true;
		assert_int_equal(frame_u64(f), s->size[st]);
	}
	if (f->type == MSG_TAKEN) {
		s->taken = frame_u64(f);
		s->taken_closed = f->flags & TAKEN_CLOSED;
	}
	if (f->type == MSG_EXITED) {
		assert_int_equal(outcome_decode(f->payload, f->length, &s->outcome), 0);
		s->exited = true;
	}
}

static inline void seen_init(struct seen *s, uint32_t id)
{
	*s = (struct seen){.id = id};
	for (int i = 0; i < STREAMS; i++)
		buf_init(&s->bytes[i], 64u << 20);
}

static inline void seen_free(struct seen *s)
{
	for (int i = 0; i < STREAMS; i++)
		buf_free(&s->bytes[i]);
}

/* Reads frames until one of this type and process came. */
static inline void until(struct daemon *d, struct seen *s, enum message type)
{
	struct frame f;

	do {
		if (!next_frame(d, &f))
			fail_msg("the agent closed the connection");
		note(d, s, &f);
		/* Short output comes as it is, where longer output would be a size. */
		if (type == MSG_GREW && f.type == MSG_OUTPUT && d->mode == SPOOL_SHARED)
			f.type = MSG_GREW;
	} while (f.type != type || f.id != s->id);
}

static inline bool all_there(const struct seen *s)
{
	return s->exited && s->ended[STREAM_OUT] && s->ended[STREAM_ERR];
}

static inline void until_gone(struct daemon *d, struct seen *s)
{
	struct frame f;

	while (!all_there(s)) {
		if (!next_frame(d, &f))
			fail_msg("the agent closed the connection");
		note(d, s, &f);
	}
}

static inline void hello(struct daemon *d, enum spool_mode mode)
{
	struct buf payload;

	buf_init(&payload, 16);
	put_u32(&payload, PROTOCOL_MAGIC);
	put_u32(&payload, PROTOCOL_VERSION);
	put_u8(&payload, (uint8_t)mode);
	tell(d, MSG_HELLO, 0, 0, &payload);
	buf_free(&payload);
	d->mode = mode;
}

/* Connects and reads all reports; `s` (may be NULL) hears of its process. */
static inline void daemon_connect(struct daemon *d, enum spool_mode mode, struct seen *s)
{
	struct seen nobody = {.id = UINT32_MAX};
	struct frame f;

	raw_connect(d);
	hello(d, mode);
	assert_true(next_frame(d, &f));
	assert_int_equal(f.type, MSG_WELCOME);
	do {
		assert_true(next_frame(d, &f));
		note(d, s ? s : &nobody, &f);
	} while (f.type != MSG_READY);
}

static inline void want(struct daemon *d, uint32_t id, uint64_t offset)
{
	for (uint8_t i = 0; d->mode == SPOOL_STREAM && i < STREAMS; i++)
		tell_number(d, MSG_WANT, id, i, offset, true);
}

static inline void start(struct daemon *d, uint32_t id, const struct start *s)
{
	struct start whole = *s;
	struct buf payload;

	if (!whole.spool_limit)
		whole.spool_limit = SPOOL_LIMIT;
	buf_init(&payload, FRAME_PAYLOAD_MAX);
	assert_int_equal(start_encode(&payload, &whole), 0);
	tell(d, MSG_START, id, 0, &payload);
	buf_free(&payload);
	want(d, id, 0);
}

static inline void start_text(struct daemon *d, uint32_t id, const char *text)
{
	start(d, id,
	      &(struct start){.kind = strncmp(text, "#!", 2) ? START_SHELL : START_SCRIPT,
			      .text = (char *)text,
			      .text_len = (uint32_t)strlen(text)});
}

/* The bytes of a stream: as sent, or from the spool file. To be freed. */
static inline char *output(struct daemon *d, struct seen *s, enum stream_number st, size_t *ret_len)
{
	size_t len = (size_t)s->size[st];
	char *copy = calloc(1, len + 1), name[24];
	int fd;

	assert_non_null(copy);
	*ret_len = len;
	if (d->mode == SPOOL_STREAM || len <= SPOOL_HEAD_MAX) {
		assert_int_equal(s->bytes[st].len, len);
		if (len)
			memcpy(copy, s->bytes[st].data, len);
		return copy;
	}
	spool_name(s->id, st, name);
	fd = openat(d->spool, name, O_RDONLY);
	if (fd < 0) {
		assert_int_equal(len, 0);
		return copy;
	}
	for (size_t done = 0; done < len;) {
		ssize_t n = read(fd, copy + done, len - done);

		assert_true(n > 0);
		done += (size_t)n;
	}
	close(fd);
	return copy;
}

static inline void assert_output(struct daemon *d, struct seen *s, enum stream_number st, const char *text)
{
	size_t len;
	char *got = output(d, s, st, &len);

	assert_string_equal(got, text);
	free(got);
}

/* Ends the agent as a daemon does, checks that it ended well and removes what is left. */
static inline void daemon_close(struct daemon *d)
{
	char command[64];
	int status;

	if (d->agent > 0) {
		if (d->fd < 0)
			daemon_connect(d, SPOOL_SHARED, NULL);
		tell_number(d, MSG_SHUTDOWN, 0, 0, 0, false);
		assert_int_equal(waitpid(d->agent, &status, 0), d->agent);
		assert_int_equal(status, 0);
	}
	daemon_drop(d);
	buf_free(&d->in);
	close(d->spool);
	snprintf(command, sizeof command, "rm -rf %s", d->dir);
	assert_int_equal(system(command), 0);
}
