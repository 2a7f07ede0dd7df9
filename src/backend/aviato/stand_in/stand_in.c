#include "backend/aviato/stand_in/stand_in.h"

#include "backend/aviato/aviato.h"
#include "backend/aviato/delay.h"
#include "backend/aviato/stand_in/command.h"
#include "backend/aviato/stand_in/files.h"
#include "base/log.h"
#include "base/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void unref(struct stand_in *s)
{
	bool last;

	pthread_mutex_lock(&s->lock);
	last = --s->references == 0;
	pthread_mutex_unlock(&s->lock);
	if (!last)
		return;
	buf_free(&s->from_core);
	buf_free(&s->in);
	buf_free(&s->out);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* --- To core --- */

void stand_in_tell(struct stand_in *s, const struct frame *f)
{
	uint8_t head[FRAME_HEADER];

	s->told += f->type != MSG_FILE_REPLY && f->type != MSG_PROGRAM_NAMES;
	frame_header(f, head);
	if (buf_reserve(&s->out, sizeof head + f->length)) {
		log_warn("out of memory: what a command did is not told");
		return;
	}
	(void)buf_append(&s->out, head, sizeof head);
	(void)buf_append(&s->out, f->payload, f->length);
}

void stand_in_tell_number(struct stand_in *s, enum message type, uint32_t id, uint8_t stream, uint8_t flags,
			  uint64_t value, const void *data, size_t len)
{
	struct frame f = {.type = (uint8_t)type, .stream = stream, .flags = flags, .id = id};
	struct buf payload;

	buf_init(&payload, FRAME_PAYLOAD_MAX);
	if (put_u64(&payload, value) == 0 && buf_append(&payload, data, len) == 0) {
		f.payload = (const uint8_t *)payload.data;
		f.length = (uint32_t)payload.len;
		stand_in_tell(s, &f);
	}
	buf_free(&payload);
}

void stand_in_flush(struct stand_in *s)
{
	struct buf batch;
	bool closed;

	while (s->out.len) {
		batch = s->out;
		buf_init(&s->out, PIPE_BACKLOG_MAX);
		pthread_mutex_lock(&s->lock);
		closed = s->closed;
		pthread_mutex_unlock(&s->lock);
		if (!closed && s->owner)
			s->pipe.events->received(s->pipe.owner, batch.data, batch.len);
		buf_free(&batch);
	}
}

void stand_in_doubt(struct stand_in *s)
{
	if (s->owner)
		s->events->doubted(s->owner);
}

void stand_in_unanswered(const struct stand_in *s, struct error *ret)
{
	if (s->paused)
		error_set(ret, ETIMEDOUT, "PAUSED", "the sandbox is paused");
	else
		error_set(ret, ETIMEDOUT, "UNREACHABLE", "the service has not answered for %u s",
			  s->aviato->timeout_ms / 1000);
}

void stand_in_complain(struct stand_in *s, const struct error *why)
{
	if (s->owner)
		s->events->failed(s->owner, why);
}

static void welcome(struct stand_in *s)
{
	struct frame f = {.type = MSG_WELCOME};
	struct buf payload;

	buf_init(&payload, 64);
	if (put_u32(&payload, PROTOCOL_MAGIC) == 0 && put_u32(&payload, PROTOCOL_VERSION) == 0 &&
	    put_u64(&payload, command_clock_ns()) == 0) {
		f.payload = (const uint8_t *)payload.data;
		f.length = (uint32_t)payload.len;
		stand_in_tell(s, &f);
	}
	buf_free(&payload);
	f = (struct frame){.type = MSG_READY};
	stand_in_tell(s, &f);
}

/* --- From core --- */

static struct command *find(struct stand_in *s, uint32_t id)
{
	list_each (pos, &s->commands) {
		struct command *c = container_of(pos, struct command, link);

		if (c->id == id)
			return c;
	}
	return NULL;
}

static void start(struct stand_in *s, const struct frame *f)
{
	struct start given = {0};

	if (find(s, f->id) || start_decode(f->payload, f->length, &given))
		return;
	if (command_begin(s, f->id, &given))
		start_free(&given);
}

/* --- Leaving --- */

bool stand_in_is_busy(const struct stand_in *s)
{
	return !list_empty(&s->commands);
}

void stand_in_has_less(struct stand_in *s)
{
	if (s->leaving && s->owner && !stand_in_is_busy(s))
		s->events->left(s->owner);
}

/* To all commands at once. */
static void signal_all(struct stand_in *s, uint32_t number)
{
	list_each_safe (pos, &s->commands)
		command_leave(container_of(pos, struct command, link));
	if (stand_in_is_busy(s))
		stand_in_kill(s, number);
}

static void kill_all(void *arg)
{
	struct stand_in *s = arg;

	s->delay = NULL;
	signal_all(s, SIGKILL);
	stand_in_flush(s);
}

/* What the agent does then. How long all of it may take is the owner's to judge. */
static void leave(struct stand_in *s, uint32_t grace_ms)
{
	s->leaving = true;
	delay_cancel(s->delay);
	s->delay = NULL;
	if (!grace_ms) {
		kill_all(s);
		return;
	}
	signal_all(s, SIGTERM);
	s->delay = delay_start(grace_ms, kill_all, s);
}

/* --- From core, each frame --- */

static void dispatch_command(struct command *c, const struct frame *f)
{
	struct reader r = {f->payload, f->length, false};
	uint32_t columns;

	switch (f->type) {
	case MSG_INPUT:
		get_u64(&r); /* our core sends nothing twice where nothing was lost */
		command_input(c, r.at, r.left);
		break;
	case MSG_INPUT_END:
		command_input_end(c);
		break;
	case MSG_SIGNAL:
		command_signal(c, get_u32(&r));
		break;
	case MSG_CANCEL:
		command_cancel(c, OUTCOME_CANCELED, get_u32(&r));
		break;
	case MSG_RESIZE:
		columns = get_u32(&r);
		command_resize(c, columns, get_u32(&r));
		break;
	case MSG_LIMIT:
		command_limit(c, get_u64(&r));
		break;
	case MSG_WANT:
	case MSG_HAVE:
		if (f->stream < STREAMS)
			command_window(c, f->stream, get_u64(&r) + OUTPUT_WINDOW);
		break;
	case MSG_FORGET:
		command_forget(c);
		break;
	}
}

static void dispatch(struct stand_in *s, const struct frame *f)
{
	struct reader r = {f->payload, f->length, false};
	struct command *c;

	if (f->type == MSG_HELLO)
		welcome(s);
	else if (f->type == MSG_START)
		start(s, f);
	else if (f->type == MSG_SHUTDOWN)
		leave(s, get_u32(&r));
	else if (f->type == MSG_PING)
		stand_in_tell_number(s, MSG_PONG, 0, 0, 0, get_u64(&r), NULL, 0);
	else if (s->files && (f->type == MSG_FILE || f->type == MSG_PROGRAMS))
		stand_in_files_take(s->files, f);
	else if ((c = find(s, f->id)))
		dispatch_command(c, f);
}

static void take_frames(struct stand_in *s)
{
	size_t used = 0;
	struct frame f;
	ssize_t n;

	while ((n = frame_parse(s->in.data + used, s->in.len - used, &f)) > 0) {
		dispatch(s, &f);
		used += (size_t)n;
	}
	buf_consume(&s->in, used);
	if (!s->in.len)
		buf_free(&s->in);
	stand_in_flush(s);
}

static void take_posted(void *arg)
{
	struct stand_in *s = arg;

	pthread_mutex_lock(&s->lock);
	s->posted = false;
	if (buf_append(&s->in, s->from_core.data, s->from_core.len))
		log_warn("out of memory: commands are lost");
	buf_free(&s->from_core);
	pthread_mutex_unlock(&s->lock);
	if (s->owner)
		take_frames(s);
	unref(s);
}

static int pipe_send(struct pipe *pipe, const struct iovec *iov, int count)
{
	struct stand_in *s = container_of(pipe, struct stand_in, pipe);
	size_t total = 0;
	bool post = false;
	int rc = 0;

	for (int i = 0; i < count; i++)
		total += iov[i].iov_len;
	pthread_mutex_lock(&s->lock);
	if (s->closed)
		rc = -EPIPE;
	else if (buf_reserve(&s->from_core, total))
		rc = -ENOBUFS;
	for (int i = 0; i < count && !rc; i++)
		(void)buf_append(&s->from_core, iov[i].iov_base, iov[i].iov_len);
	if (!rc && !s->posted) {
		post = s->posted = true;
		s->references++;
	}
	pthread_mutex_unlock(&s->lock);
	if (post && loop_post(take_posted, s)) {
		pthread_mutex_lock(&s->lock);
		s->posted = false;
		s->references--;
		pthread_mutex_unlock(&s->lock);
		rc = -ENOBUFS;
	}
	return rc;
}

/* --- The end --- */

static void drop_all(struct stand_in *s)
{
	s->leaving = false;
	delay_cancel(s->delay);
	s->delay = NULL;
	stand_in_files_close(s->files);
	s->files = NULL;
	while (!list_empty(&s->commands))
		command_free(container_of(s->commands.next, struct command, link));
	stand_in_drop_kills(s);
}

static void close_posted(void *arg)
{
	struct stand_in *s = arg;
	void *owner = s->owner;

	drop_all(s);
	s->owner = NULL;
	if (owner)
		s->events->lost(owner);
	unref(s);
}

static void pipe_close(struct pipe *pipe)
{
	struct stand_in *s = container_of(pipe, struct stand_in, pipe);

	pthread_mutex_lock(&s->lock);
	s->closed = true;
	pthread_mutex_unlock(&s->lock);
	if (loop_post(close_posted, s))
		log_warn("out of memory: calls to a sandbox stay open");
}

void stand_in_abandon(struct stand_in *s)
{
	drop_all(s);
	s->owner = NULL;
}

struct stand_in *stand_in_open(struct aviato *a, const char *sandbox_id, const struct stand_in_events *events,
			       void *owner)
{
	static const struct pipe_ops ops = {pipe_send, pipe_close};
	struct stand_in *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->pipe.ops = &ops;
	s->aviato = a;
	s->events = events;
	s->owner = owner;
	s->references = 1;
	snprintf(s->sandbox_id, sizeof s->sandbox_id, "%s", sandbox_id);
	pthread_mutex_init(&s->lock, NULL);
	buf_init(&s->from_core, PIPE_BACKLOG_MAX);
	buf_init(&s->in, 2 * (size_t)PIPE_BACKLOG_MAX);
	buf_init(&s->out, PIPE_BACKLOG_MAX);
	list_init(&s->commands);
	list_init(&s->kills);
	s->files = stand_in_files_open(s);
	if (!s->files) {
		unref(s);
		return NULL;
	}
	return s;
}

void stand_in_paused(struct stand_in *s, bool paused)
{
	s->paused = paused;
}

struct pipe *stand_in_as_pipe(struct stand_in *s)
{
	return &s->pipe;
}

void stand_in_mark(const struct stand_in *s, char *ret, size_t size)
{
	snprintf(ret, size, STAND_IN_HOLD "=%s", s->aviato->owner);
}
