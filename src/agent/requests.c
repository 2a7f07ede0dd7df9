/* What the daemon asks for. Nothing here may end the agent or harm a process by being malformed. */
#include "agent/agent.h"
#include "channel/file_protocol.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int bad(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -EPROTO;
}

/*
 * Each handler gets a payload of the right length, and the process the frame
 * names: NULL when there is none (any more), which is no error, as a frame may
 * have crossed the process's end.
 */
typedef int handler(struct agent *a, const struct frame *f, struct reader *r, struct process *p,
		    const char **why);

static int on_start(struct agent *a, const struct frame *f, struct reader *r, struct process *p,
		    const char **why)
{
	struct start s;
	int rc = start_decode(f->payload, f->length, &s);

	(void)r;
	if (rc)
		return bad(why, "START is malformed");
	a->starts++;
	a->told_still = false;
	if (!p)
		process_start(a, f->id, f, &s);
	start_free(&s);
	return 0;
}

static int on_input(struct agent *a, const struct frame *f, struct reader *r, struct process *p,
		    const char **why)
{
	uint64_t offset = get_u64(r);
	const uint8_t *data = r->at;
	size_t len = r->left;

	(void)f;
	if (offset > UINT64_MAX - len)
		return bad(why, "INPUT has no end");
	return p ? input_receive(a, p, offset, data, len, why) : 0;
}

static int on_input_end(struct agent *a, const struct frame *f, struct reader *r, struct process *p,
			const char **why)
{
	uint64_t offset = get_u64(r);

	(void)f;
	return p ? input_finish(a, p, offset, why) : 0;
}

static int on_signal(struct agent *a, const struct frame *f, struct reader *r, struct process *p,
		     const char **why)
{
	uint32_t sig = get_u32(r);

	(void)a;
	(void)f;
	if (sig < 1 || sig > SIGNAL_MAX)
		return bad(why, "SIGNAL names no signal");
	if (p)
		process_signal(p, (int)sig);
	return 0;
}

static int on_resize(struct agent *a, const struct frame *f, struct reader *r, struct process *p,
		     const char **why)
{
	uint32_t columns = get_u32(r), rows = get_u32(r);

	(void)a;
	(void)f;
	if (columns > TERMINAL_MAX || rows > TERMINAL_MAX)
		return bad(why, "RESIZE to more than there is");
	if (p)
		process_resize(p, columns, rows);
	return 0;
}

static int on_cancel(struct agent *a, const struct frame *f, struct reader *r, struct process *p,
		     const char **why)
{
	uint32_t grace_ms = get_u32(r);

	(void)f;
	(void)why;
	if (p)
		process_stop(a, p, OUTCOME_CANCELED, grace_ms);
	return 0;
}

static int on_limit(struct agent *a, const struct frame *f, struct reader *r, struct process *p,
		    const char **why)
{
	uint64_t limit = get_u64(r);

	(void)f;
	(void)why;
	if (p)
		process_limit(a, p, limit);
	return 0;
}

static int on_want(struct agent *a, const struct frame *f, struct reader *r, struct process *p,
		   const char **why)
{
	uint64_t offset = get_u64(r);
	struct stream *st;

	if (a->conn.mode != SPOOL_STREAM || f->stream >= STREAMS)
		return bad(why, "WANT does not fit the spool mode, or names no stream");
	if (!p)
		return 0;
	st = &p->streams[f->stream];
	if (offset > st->size)
		return bad(why, "WANT lies beyond what there is");
	st->told.wanted = true;
	st->told.end = false;
	st->told.sent = st->told.have = offset;
	process_dirty(a, p);
	return 0;
}

static int on_have(struct agent *a, const struct frame *f, struct reader *r, struct process *p,
		   const char **why)
{
	uint64_t offset = get_u64(r);
	struct stream *st;

	if (a->conn.mode != SPOOL_STREAM || f->stream >= STREAMS)
		return bad(why, "HAVE does not fit the spool mode, or names no stream");
	if (!p)
		return 0;
	st = &p->streams[f->stream];
	if (!st->told.wanted || offset > st->told.sent)
		return bad(why, "HAVE acknowledges what was not sent");
	if (offset > st->told.have)
		st->told.have = offset;
	process_dirty(a, p);
	return 0;
}

static int on_forget(struct agent *a, const struct frame *f, struct reader *r, struct process *p,
		     const char **why)
{
	(void)f;
	(void)r;
	(void)why;
	if (p)
		process_forget(a, p);
	return 0;
}

static int on_shutdown(struct agent *a, const struct frame *f, struct reader *r, struct process *p,
		       const char **why)
{
	uint32_t grace_ms = get_u32(r);

	(void)f;
	(void)p;
	(void)why;
	agent_end(a, "SHUTDOWN", grace_ms);
	return 0;
}

static int on_ping(struct agent *a, const struct frame *f, struct reader *r, struct process *p,
		   const char **why)
{
	uint64_t cookie = get_u64(r);

	(void)f;
	(void)p;
	(void)why;
	frame_finish(a, put_u64(frame_begin(a, &(struct frame){.type = MSG_PONG}), cookie));
	return 0;
}

static int on_file(struct agent *a, const struct frame *f, struct reader *r, struct process *p,
		   const char **why)
{
	(void)r;
	(void)p;
	return files_request(a, f, why);
}

static int on_programs(struct agent *a, const struct frame *f, struct reader *r, struct process *p,
		       const char **why)
{
	char *path = get_text(r), *name = get_text(r);
	bool good = !r->bad && !r->left && !strchr(name, '/');
	struct buf names, *out;
	int rc;

	(void)p;
	buf_init(&names, PROGRAMS_MAX);
	if (good) {
		/* Of more than is listed the rest is left out. */
		rc = programs_put(a, path, name, &names);
		out = frame_begin(a, &(struct frame){.type = MSG_PROGRAM_NAMES, .id = f->id});
		frame_finish(a, rc == -ENOMEM ? rc : buf_append(out, names.data, names.len));
	}
	buf_free(&names);
	free(path);
	free(name);
	return good ? 0 : bad(why, "PROGRAMS is malformed");
}

/* Lengths are checked before anything is done, so that half a request does nothing. */
static const struct {
	handler *handle;
	uint32_t least, most; /* payload bytes */
} requests[] = {
    [MSG_START] = {on_start, 0, FRAME_PAYLOAD_MAX},
    [MSG_INPUT] = {on_input, 8, FRAME_PAYLOAD_MAX},
    [MSG_INPUT_END] = {on_input_end, 8, 8},
    [MSG_SIGNAL] = {on_signal, 4, 4},
    [MSG_RESIZE] = {on_resize, 8, 8},
    [MSG_PROGRAMS] = {on_programs, 8, 16384},
    [MSG_CANCEL] = {on_cancel, 4, 4},
    [MSG_LIMIT] = {on_limit, 8, 8},
    [MSG_WANT] = {on_want, 8, 8},
    [MSG_HAVE] = {on_have, 8, 8},
    [MSG_FORGET] = {on_forget, 0, 0},
    [MSG_SHUTDOWN] = {on_shutdown, 4, 4},
    [MSG_PING] = {on_ping, 8, 8},
    [MSG_FILE] = {on_file, FILE_REQUEST_HEAD, FRAME_PAYLOAD_MAX},
};

int request(struct agent *a, const struct frame *f, const char **ret_why)
{
	struct reader r = {.at = f->payload, .left = f->length};
	struct process *p;

	if (f->type >= sizeof requests / sizeof *requests || !requests[f->type].handle)
		return bad(ret_why, "a frame of an unknown type, or a second HELLO");
	if (f->length < requests[f->type].least || f->length > requests[f->type].most)
		return bad(ret_why, "a payload of a wrong length");
	p = process_find(a, f->id);
	/* A forgotten one is only still there to be reaped; its number stays taken until then. */
	if (p && p->forgotten && f->type != MSG_START)
		p = NULL;
	return requests[f->type].handle(a, f, &r, p, ret_why);
}
