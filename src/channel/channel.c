#include "channel/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct channel {
	struct pipe *pipe;
	const struct channel_events *events;
	void *owner;
	enum spool_mode mode;
	struct buf in; /* the start of a frame that has not come whole */
	bool welcomed, dead;
	uint64_t born; /* the agent, by its own clock; 0: not known yet */
	uint8_t count; /* of the frame that came last; 0: they are not counted */
};

/* --- Out --- */

static int send_frame(struct channel *c, struct frame *f, const void *body, size_t body_len)
{
	uint8_t header[FRAME_HEADER];
	struct iovec iov[] = {
	    {header, sizeof header},
	    {(void *)f->payload, f->length},
	    {(void *)body, body_len},
	};

	if (c->dead)
		return -EPIPE;
	f->length += (uint32_t)body_len;
	frame_header(f, header);
	return c->pipe->ops->send(c->pipe, iov, body_len ? 3 : 2);
}

/* A frame whose payload is one number, or none where `width` is 0. */
static int send_number(struct channel *c, enum message type, uint32_t id, uint8_t stream, uint64_t value,
		       unsigned width)
{
	uint8_t payload[8];
	struct frame f = {.type = type, .stream = stream, .id = id, .payload = payload, .length = width};

	for (unsigned i = 0; i < width; i++)
		payload[i] = (uint8_t)(value >> 8 * i);
	return send_frame(c, &f, NULL, 0);
}

static int send_hello(struct channel *c, enum spool_mode mode, uint64_t life)
{
	struct frame f = {.type = MSG_HELLO};
	struct buf payload;
	int rc;

	buf_init(&payload, 64);
	rc = hello_encode(&payload, mode, life);
	if (rc == 0) {
		f.payload = (uint8_t *)payload.data;
		f.length = (uint32_t)payload.len;
		rc = send_frame(c, &f, NULL, 0);
	}
	buf_free(&payload);
	return rc;
}

/* With it goes the wish for all its output: who asked only when it has started would wait twice as long. */
static int send_start(struct channel *c, const struct frame *f)
{
	uint8_t header[FRAME_HEADER], wants[STREAMS][FRAME_HEADER + 8] = {{0}};
	struct iovec iov[] = {
	    {header, sizeof header},
	    {(void *)f->payload, f->length},
	    {wants, sizeof wants},
	};

	if (c->dead)
		return -EPIPE;
	frame_header(f, header);
	for (uint8_t i = 0; i < STREAMS; i++)
		frame_header(&(struct frame){.type = MSG_WANT, .stream = i, .id = f->id, .length = 8},
			     wants[i]);
	return c->pipe->ops->send(c->pipe, iov, c->mode == SPOOL_STREAM ? 3 : 2);
}

int channel_start(struct channel *c, uint32_t id, const struct start *s)
{
	struct frame f = {.type = MSG_START, .id = id};
	struct buf payload;
	int rc;

	buf_init(&payload, FRAME_PAYLOAD_MAX);
	rc = start_encode(&payload, s);
	if (rc == 0) {
		f.payload = (uint8_t *)payload.data;
		f.length = (uint32_t)payload.len;
		rc = send_start(c, &f);
	}
	buf_free(&payload);
	return rc;
}

int channel_input(struct channel *c, uint32_t id, uint64_t offset, const void *data, size_t len)
{
	uint8_t head[8];
	struct frame f = {.type = MSG_INPUT, .id = id, .payload = head, .length = sizeof head};

	for (unsigned i = 0; i < sizeof head; i++)
		head[i] = (uint8_t)(offset >> 8 * i);
	return send_frame(c, &f, data, len);
}

int channel_input_end(struct channel *c, uint32_t id, uint64_t offset)
{
	return send_number(c, MSG_INPUT_END, id, 0, offset, 8);
}

int channel_signal(struct channel *c, uint32_t id, uint32_t signal)
{
	return send_number(c, MSG_SIGNAL, id, 0, signal, 4);
}

int channel_resize(struct channel *c, uint32_t id, uint32_t columns, uint32_t rows)
{
	return send_number(c, MSG_RESIZE, id, 0, (uint64_t)rows << 32 | columns, 8);
}

int channel_limit(struct channel *c, uint32_t id, uint64_t bytes)
{
	return send_number(c, MSG_LIMIT, id, 0, bytes, 8);
}

int channel_want(struct channel *c, uint32_t id, enum stream_number stream, uint64_t offset)
{
	return send_number(c, MSG_WANT, id, stream, offset, 8);
}

int channel_have(struct channel *c, uint32_t id, enum stream_number stream, uint64_t offset)
{
	return send_number(c, MSG_HAVE, id, stream, offset, 8);
}

int channel_forget(struct channel *c, uint32_t id)
{
	return send_number(c, MSG_FORGET, id, 0, 0, 0);
}

int channel_file(struct channel *c, uint32_t tag, const void *payload, size_t len)
{
	struct frame f = {.type = MSG_FILE, .id = tag};

	return send_frame(c, &f, payload, len);
}

int channel_programs(struct channel *c, uint32_t tag, const char *path, const char *name)
{
	struct frame f = {.type = MSG_PROGRAMS, .id = tag};
	struct buf payload;
	int rc;

	buf_init(&payload, FRAME_PAYLOAD_MAX);
	rc = put_bytes(&payload, path, (uint32_t)strlen(path));
	rc = rc ? rc : put_bytes(&payload, name, (uint32_t)strlen(name));
	rc = rc ? rc : send_frame(c, &f, payload.data, payload.len);
	buf_free(&payload);
	return rc;
}

int channel_ping(struct channel *c, uint64_t cookie)
{
	return send_number(c, MSG_PING, 0, 0, cookie, 8);
}

int channel_shutdown(struct channel *c, uint32_t grace_ms)
{
	return send_number(c, MSG_SHUTDOWN, 0, 0, grace_ms, 4);
}

/* --- In --- */

static int broken(struct error *err, const char *what)
{
	return error_set(err, EPROTO, "AGENT_PROTOCOL", "the agent broke the protocol: %s", what);
}

static int on_welcome(struct channel *c, const struct frame *f, struct error *err)
{
	struct reader r = {f->payload, f->length, false};
	uint32_t magic = get_u32(&r), version = get_u32(&r);

	c->born = get_u64(&r);
	if (r.bad || magic != PROTOCOL_MAGIC)
		return broken(err, "this is no agent");
	if (version != PROTOCOL_VERSION)
		return error_set(err, EPROTO, "AGENT_VERSION", "the agent speaks version %u, this program %u",
				 version, PROTOCOL_VERSION);
	c->welcomed = true;
	return 0;
}

static int on_process(struct channel *c, const struct frame *f, struct error *err)
{
	struct report r;
	int rc = report_decode(f->payload, f->length, &r);

	if (rc)
		return rc == -EPROTO ? broken(err, "a malformed report")
				     : error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
	c->events->process(c->owner, f->id, &r);
	start_free(&r.start);
	return 0;
}

static int on_exited(struct channel *c, const struct frame *f, struct error *err)
{
	struct outcome o;

	if (outcome_decode(f->payload, f->length, &o))
		return broken(err, "a malformed outcome");
	c->events->exited(c->owner, f->id, &o);
	return 0;
}

/* BYE and REFUSED carry a text for people. */
static int on_text(struct channel *c, const struct frame *f, struct error *err)
{
	struct reader r = {f->payload, f->length, false};
	uint32_t len = 0;
	const uint8_t *said = get_bytes(&r, &len);
	char text[200];

	if (r.bad || r.left)
		return broken(err, "a malformed text");
	if (len > sizeof text - 1)
		len = sizeof text - 1;
	for (uint32_t i = 0; i < len; i++)
		text[i] = said[i] >= ' ' && said[i] < 127 ? (char)said[i] : '?';
	text[len] = '\0';
	if (f->type == MSG_REFUSED)
		return error_set(err, EPROTO, "AGENT_REFUSED", "the agent refused: %s", text);
	c->events->bye(c->owner, text);
	return 0;
}

/* The frames that carry a number first. */
static int on_number(struct channel *c, const struct frame *f, struct error *err)
{
	struct reader r = {f->payload, f->length, false};
	uint64_t value = get_u64(&r);

	if (r.bad || (f->type != MSG_OUTPUT && r.left) || value > INT64_MAX)
		return broken(err, "a malformed number");
	switch (f->type) {
	case MSG_STARTED:
		c->events->started(c->owner, f->id, value);
		break;
	case MSG_GREW:
		c->events->grew(c->owner, f->id, f->stream, value, f->flags & GREW_FULL);
		break;
	case MSG_OUTPUT:
		c->events->output(c->owner, f->id, f->stream, value, r.at, r.left);
		break;
	case MSG_END:
		c->events->end(c->owner, f->id, f->stream, value);
		break;
	case MSG_TAKEN:
		c->events->taken(c->owner, f->id, value, f->flags & TAKEN_CLOSED);
		break;
	case MSG_STILL:
		c->events->still(c->owner, value);
		break;
	}
	return 0;
}

/*
 * The way to a remote agent leads through what is not ours, and only its two ends can tell that nothing got
 * lost on it. The agent has what is missing still, and tells it on the next connection.
 */
static int check_count(struct channel *c, const struct frame *f, struct error *err)
{
	bool next = c->welcomed ? f->count == (c->count ? frame_count_after(c->count) : 0) : f->count <= 1;

	c->count = f->count;
	return next ? 0 : error_set(err, EBADMSG, "AGENT_LOST", "the way to the agent has lost something");
}

static int dispatch(struct channel *c, const struct frame *f, struct error *err)
{
	int rc = check_count(c, f, err);

	if (rc)
		return rc;
	if (f->stream >= STREAMS)
		return broken(err, "no such stream");
	if (!c->welcomed && f->type != MSG_WELCOME && f->type != MSG_REFUSED)
		return broken(err, "no welcome");
	c->events->heard(c->owner);
	switch (f->type) {
	case MSG_WELCOME:
		return on_welcome(c, f, err);
	case MSG_PROCESS:
		return on_process(c, f, err);
	case MSG_READY:
		c->events->ready(c->owner);
		return 0;
	case MSG_EXITED:
		return on_exited(c, f, err);
	case MSG_BYE:
	case MSG_REFUSED:
		return on_text(c, f, err);
	case MSG_STARTED:
	case MSG_GREW:
	case MSG_OUTPUT:
	case MSG_END:
	case MSG_TAKEN:
	case MSG_STILL:
		return on_number(c, f, err);
	case MSG_FILE_REPLY:
		return c->events->file_reply(c->owner, f)
			   ? broken(err, "an answer about files nobody asked for")
			   : 0;
	case MSG_FILE_CHANGED:
		return c->events->file_changed(c->owner, f) ? broken(err, "a malformed notice") : 0;
	case MSG_PROGRAM_NAMES:
		return c->events->programs(c->owner, f->id, (const char *)f->payload, f->length)
			   ? broken(err, "a malformed list of programs")
			   : 0;
	case MSG_PONG:
		return 0;
	default:
		return broken(err, "a message of no known type");
	}
}

/* Handles the whole frames at the start of `data`; returns how many bytes they took. */
static ssize_t take_frames(struct channel *c, const char *data, size_t len, struct error *err)
{
	size_t used = 0;
	struct frame f;
	ssize_t n;
	int rc;

	while ((n = frame_parse(data + used, len - used, &f)) > 0) {
		rc = dispatch(c, &f, err);
		if (rc)
			return rc;
		used += (size_t)n;
	}
	return n < 0 ? broken(err, "bytes that are no frame") : (ssize_t)used;
}

int channel_receive(struct channel *c, const void *data, size_t len, struct error *err)
{
	ssize_t used;

	if (c->dead)
		return 0;
	if (c->in.len == 0) { /* the usual case: whole frames, parsed where they are */
		used = take_frames(c, data, len, err);
		if (used >= 0 && buf_append(&c->in, (const char *)data + used, len - (size_t)used))
			used = error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
	} else if (buf_append(&c->in, data, len)) {
		used = error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
	} else {
		used = take_frames(c, c->in.data, c->in.len, err);
		if (used > 0)
			buf_consume(&c->in, (size_t)used);
	}
	if (used >= 0 && c->in.len == 0)
		buf_free(&c->in);
	c->dead = used < 0;
	return used < 0 ? (int)used : 0;
}

uint64_t channel_agent_born(const struct channel *c)
{
	return c->born;
}

/* --- Life --- */

struct channel *channel_new(struct pipe *pipe, enum spool_mode mode, uint64_t life,
			    const struct channel_events *events, void *owner)
{
	struct channel *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->pipe = pipe;
	c->events = events;
	c->owner = owner;
	c->mode = mode;
	buf_init(&c->in, FRAME_HEADER + FRAME_PAYLOAD_MAX + (1u << 20));
	if (send_hello(c, mode, life) == -ENOMEM) {
		free(c);
		return NULL;
	}
	return c;
}

void channel_free(struct channel *c)
{
	c->pipe->ops->close(c->pipe);
	buf_free(&c->in);
	free(c);
}
