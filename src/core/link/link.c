/* What the agent of a sandbox says, and what it means for the sandbox's processes. */
#include "core/after.h"
#include "core/report/events.h"
#include "core/mount.h"
#include "core/sandbox.h"
#include "core/session.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* --- Events of the channel; core lock held --- */

static void on_process(void *owner, uint32_t id, struct report *r)
{
	struct sandbox *s = owner;
	struct process *p = sandbox_process_by_id(s, id);

	if (p)
		process_resume(p, r);
	/* What is unknown after a reconnect is what was forgotten meanwhile. */
	else if (s->reach.known || !process_adopt(s, id, r))
		channel_forget(s->channel, id);
}

static int send_file_call(void *to, uint32_t tag, const void *payload, size_t len)
{
	struct sandbox *s = to;
	int rc = s->channel ? channel_file(s->channel, tag, payload, len) : -EPIPE;

	reconnect_if_unsent(s, rc);
	return rc;
}

static void on_ready(void *owner)
{
	struct sandbox *s = owner;
	uint64_t born = channel_agent_born(s->channel);

	if (s->agent_born && s->agent_born != born && s->front && s->front_anew)
		s->front_anew(s->front);
	s->agent_born = born;
	s->files_ready = true;
	if (s->files)
		file_calls_resume(s->files, send_file_call, s);
	sandbox_ready(s);
	programs_again(s);
}

struct file_calls *link_files(struct sandbox *s)
{
	if (!s->files) {
		s->files = file_calls_new();
		if (s->files && s->files_ready)
			file_calls_resume(s->files, send_file_call, s);
		/* The deadline, which fails what waits, may have passed before there was anything. */
		if (s->files && s->reach.unreachable)
			file_calls_fail(s->files, ETIMEDOUT);
	}
	return s->files;
}

static void on_started(void *owner, uint32_t id, uint64_t when_ns)
{
	struct sandbox *s = owner;
	struct process *p = sandbox_process_by_id(s, id);

	if (!p || p->state != PROCESS_STARTING)
		return;
	p->state = PROCESS_RUNNING;
	p->started_ns = when_ns;
	event_process(p);
}

static void on_grew(void *owner, uint32_t id, enum stream_number stream, uint64_t size, bool full)
{
	struct sandbox *s = owner;
	struct process *p = sandbox_process_by_id(s, id);

	if (p && s->spool_dir >= 0)
		stream_grow(&p->streams[stream], size, full);
	else if (p)
		p->streams[stream].full = full;
}

/* Bytes from far away: kept in a file of ours. They come in order, but may overlap what is here. */
static int keep_output(struct sandbox *s, struct process *p, enum stream_number stream, uint64_t offset,
		       const void *data, size_t len)
{
	struct stream *st = &p->streams[stream];
	uint64_t skip = st->size - offset;
	int rc;

	if (st->failure || offset + len <= st->size)
		return 0;
	if (offset > st->size)
		return -EPROTO;
	if (offset + len > p->limit_most) /* an agent keeps to it; a mad one must not fill our disk */
		return -EFBIG;
	rc = stream_append(st, the_mount.settings.scratch, (const char *)data + skip, len - (size_t)skip);
	if (rc == 0 && process_ended(p)) /* its end, which counts them, has overtaken them */
		COUNT(s, output_bytes, len - skip);
	if (rc == 0 && st->size - p->acknowledged[stream] >= OUTPUT_WINDOW / 4) {
		p->acknowledged[stream] = st->size;
		reconnect_if_unsent(s, channel_have(s->channel, p->id, stream, st->size));
	}
	return rc;
}

/* Not all of it is here, and what comes after is of no use. */
static void lose_output(struct sandbox *s, struct process *p, enum stream_number stream, int code)
{
	struct error err;

	error_errno(&err, code, "OUTPUT_LOST", "output of process %s cannot be kept", p->object.name);
	sandbox_set_error(s, &err);
	stream_end(&p->streams[stream], code);
}

static void on_output(void *owner, uint32_t id, enum stream_number stream, uint64_t offset, const void *data,
		      size_t len)
{
	struct sandbox *s = owner;
	struct process *p = sandbox_process_by_id(s, id);
	int rc;

	if (!p)
		return;
	if (s->spool_dir >= 0)
		rc = stream_grow_head(&p->streams[stream], offset, data, len);
	else
		rc = keep_output(s, p, stream, offset, data, len);
	/* The agent keeps the bytes and waits: without HAVE it sends no more than its window. */
	if (rc)
		lose_output(s, p, stream, -rc);
}

static void on_end(void *owner, uint32_t id, enum stream_number stream, uint64_t size)
{
	struct sandbox *s = owner;
	struct process *p = sandbox_process_by_id(s, id);
	struct stream *st;

	if (!p)
		return;
	st = &p->streams[stream];
	if (s->spool_dir >= 0)
		stream_grow(st, size, false);
	if (st->size >= size) /* who was left behind may have written on before the end was told */
		stream_end(st, 0);
	else if (!st->ended)
		lose_output(s, p, stream, EPROTO);
}

static void on_exited(void *owner, uint32_t id, const struct outcome *o)
{
	struct process *p = sandbox_process_by_id(owner, id);

	if (p)
		process_apply_outcome(p, o);
}

static void on_taken(void *owner, uint32_t id, uint64_t bytes, bool closed)
{
	struct process *p = sandbox_process_by_id(owner, id);

	if (!p)
		return;
	sink_taken(&p->input, bytes, closed);
	process_pump_input(p);
}

static void on_still(void *owner, uint64_t starts)
{
	still_heard(owner, starts);
}

static void on_bye(void *owner, const char *why)
{
	struct sandbox *s = owner;
	struct error err;

	s->reach.farewell = true;
	if (s->stopping)
		return;
	if (!strcmp(why, "LIFETIME"))
		error_set(&err, ESHUTDOWN, "ENDED", "the lifetime of the sandbox was over");
	else if (!strcmp(why, "ORPHANED"))
		error_set(&err, ESHUTDOWN, "ENDED", "no mount spoke to the sandbox for its orphan timeout");
	else
		error_set(&err, ESHUTDOWN, "ENDED", "the agent ended: %s", why);
	sandbox_set_cause(s, &err);
}

static void on_heard(void *owner)
{
	((struct sandbox *)owner)->news++;
}

static int on_file_reply(void *owner, const struct frame *f)
{
	struct sandbox *s = owner;

	return s->files ? file_calls_reply(s->files, f) : -EPROTO;
}

static int on_programs(void *owner, uint32_t tag, const char *names, size_t len)
{
	struct sandbox *s = owner;

	return s->programs ? programs_answer(s, tag, names, len) : -EPROTO;
}

static int on_file_changed(void *owner, const struct frame *f)
{
	struct sandbox *s = owner;

	return s->front && s->front_changed ? s->front_changed(s->front, f) : 0;
}

static const struct channel_events channel_events = {
    .heard = on_heard,
    .file_reply = on_file_reply,
    .file_changed = on_file_changed,
    .programs = on_programs,
    .process = on_process,
    .ready = on_ready,
    .started = on_started,
    .grew = on_grew,
    .output = on_output,
    .end = on_end,
    .exited = on_exited,
    .taken = on_taken,
    .still = on_still,
    .bye = on_bye,
};

/* --- Events of the pipe; loop thread, no lock --- */

#define LAST_WORDS_MS 1000

/* The agent is lost to us, dead or mad: what is left of it must go. */
static void give_up(struct sandbox *s, const struct error *why)
{
	if (s->state >= SANDBOX_TERMINATING)
		return;
	if (!s->cause.code)
		sandbox_set_cause(s, why);
	the_mount.backend->ops->stop(the_mount.backend, s, 0);
}

void link_give_up(struct sandbox *s, int code)
{
	struct error why;

	error_errno(&why, code, "AGENT_LOST", "the agent cannot be reached");
	give_up(s, &why);
}

static void pipe_received(void *owner, const void *data, size_t len)
{
	struct sandbox *s = owner;
	struct error err;

	core_lock();
	if (s->channel && channel_receive(s->channel, data, len, &err)) {
		if (err.code == EBADMSG)
			reconnect_soon(s, EBADMSG);
		else
			give_up(s, &err);
	}
	core_unlock();
}

static void still_there(struct object *o)
{
	struct error why;

	error_set(&why, ESHUTDOWN, "AGENT_LOST", "the agent closed the connection");
	give_up((struct sandbox *)o, &why);
}

static void suspend_files(struct sandbox *s)
{
	still_unknown(s);
	s->files_ready = false;
	programs_again(s);
	if (s->files)
		file_calls_suspend(s->files);
	if (s->front && s->front_changed)
		s->front_changed(s->front, NULL);
}

/* As a rule the agent has died, and the backend is about to say how. Else a new pipe resumes. */
static void pipe_closed(void *owner, const struct error *why)
{
	struct sandbox *s = owner;

	core_lock();
	suspend_files(s);
	if (s->channel && !s->stopping && s->state < SANDBOX_TERMINATING && !s->reach.farewell &&
	    the_mount.backend->ops->reconnect)
		reconnect_begin(s, why);
	else if (s->channel && !s->stopping && core_after(LAST_WORDS_MS, still_there, &s->object))
		give_up(s, why);
	core_unlock();
}

static const struct pipe_events pipe_events = {pipe_received, pipe_closed};

/* Of each process the agent of a new channel tells first what it knows. */
static void forget_reports(struct sandbox *s)
{
	if (s->main)
		s->main->reported = false;
	list_each (pos, &s->object.children)
		((struct process *)container_of(pos, struct object, sibling))->reported = false;
}

int link_open(struct sandbox *s, struct pipe *pipe, int spool_dir)
{
	bool again = s->spool_dir >= 0,
	     share = again || (spool_dir >= 0 && !the_mount.settings.spool_over_channel);

	pipe->events = &pipe_events;
	pipe->owner = s;
	s->channel = channel_new(pipe, share ? SPOOL_SHARED : SPOOL_STREAM, s->life, &channel_events, s);
	if (!s->channel) {
		pipe->ops->close(pipe);
		if (spool_dir >= 0)
			close(spool_dir);
		return -ENOMEM;
	}
	object_ref(&s->object); /* the pipe's owner stays as long as the pipe */
	forget_reports(s);
	still_unknown(s);
	if (share && !again) {
		s->spool_dir = spool_dir;
	} else if (spool_dir >= 0) {
		close(spool_dir);
	}
	return 0;
}

void link_close(struct sandbox *s)
{
	if (!s->channel)
		return;
	suspend_files(s);
	channel_free(s->channel);
	s->channel = NULL;
	object_unref(&s->object);
}
