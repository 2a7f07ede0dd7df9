/*
 * What the daemon has to learn is the difference between what is and what it
 * was told. So however often a size changes while the daemon does not listen,
 * one frame with the newest catches up.
 */
#include "agent/agent.h"

#include <errno.h>

#define OUTPUT_MAX (64u << 10) /* bytes in one OUTPUT frame */

static void tell_u64(struct agent *a, const struct frame *f, uint64_t v)
{
	frame_finish(a, put_u64(frame_begin(a, f), v));
}

static void tell_taken(struct agent *a, struct process *p)
{
	struct input *in = &p->input;

	if (in->told_taken == in->taken && in->told_closed == in->closed)
		return;
	tell_u64(a, &(struct frame){.type = MSG_TAKEN, .id = p->id, .flags = in->closed ? TAKEN_CLOSED : 0},
		 in->taken);
	in->told_taken = in->taken;
	in->told_closed = in->closed;
}

static void tell_size(struct agent *a, struct stream *st)
{
	bool size_is_news = a->conn.mode == SPOOL_SHARED || !st->told.wanted;

	if (st->told.full == st->full && (!size_is_news || st->told.size == st->size))
		return;
	tell_u64(a,
		 &(struct frame){.type = MSG_GREW,
				 .id = st->process->id,
				 .stream = (uint8_t)st->number,
				 .flags = st->full ? GREW_FULL : 0},
		 st->size);
	st->told.size = st->size;
	st->told.full = st->full;
}

/* SPOOL_SHARED: what is too little for a file. */
static void tell_head(struct agent *a, struct stream *st)
{
	struct buf *out;
	int rc;

	if (st->made || st->told.size == st->size)
		return;
	out = frame_begin(
	    a, &(struct frame){.type = MSG_OUTPUT, .id = st->process->id, .stream = (uint8_t)st->number});
	rc = put_u64(out, st->told.size);
	frame_finish(a, rc ? rc : buf_append(out, st->head.data + st->told.size, st->size - st->told.size));
	st->told.size = st->size;
}

/* One OUTPUT frame, read from the spool into its place. False when there is nothing (more) to send now. */
static bool tell_output(struct agent *a, struct stream *st)
{
	uint64_t more = st->size - st->told.sent;
	uint64_t window = st->told.have + OUTPUT_WINDOW - st->told.sent;
	uint32_t len = (uint32_t)(more < OUTPUT_MAX ? more : OUTPUT_MAX);
	struct buf *out;
	ssize_t n;
	int rc;

	if (window < len)
		len = (uint32_t)window;
	if (!st->told.wanted || !len)
		return false;
	out = frame_begin(
	    a, &(struct frame){.type = MSG_OUTPUT, .id = st->process->id, .stream = (uint8_t)st->number});
	if ((rc = put_u64(out, st->told.sent)) || (rc = buf_reserve(out, len))) {
		frame_finish(a, rc);
		return false;
	}
	n = stream_read(a, st, st->told.sent, out->data + out->len, len);
	if (n <= 0) {
		/* The spool is broken. The daemon hears it, and may ask again. */
		out->len = a->conn.frame;
		connection_refuse(a, "the spool cannot be read");
		return false;
	}
	out->len += (size_t)n;
	frame_finish(a, 0);
	st->told.sent += (uint64_t)n;
	return true;
}

static bool end_is_due(const struct agent *a, const struct stream *st)
{
	if (!st->ended || st->told.end)
		return false;
	return a->conn.mode == SPOOL_SHARED || (st->told.wanted && st->told.sent >= st->end);
}

/* False when there was not enough room. */
static bool tell_stream(struct agent *a, struct stream *st)
{
	bool more = true;

	if (a->conn.mode == SPOOL_SHARED)
		tell_head(a, st);
	tell_size(a, st);
	while (a->conn.mode == SPOOL_STREAM && more && connection_room(a))
		more = tell_output(a, st);
	if (end_is_due(a, st)) {
		tell_u64(
		    a, &(struct frame){.type = MSG_END, .id = st->process->id, .stream = (uint8_t)st->number},
		    st->end);
		st->told.end = true;
	}
	return a->conn.mode == SPOOL_SHARED || !more;
}

static void tell_exit(struct agent *a, struct process *p)
{
	if (p->running || p->told_exited)
		return;
	frame_finish(
	    a, outcome_encode(frame_begin(a, &(struct frame){.type = MSG_EXITED, .id = p->id}), &p->outcome));
	p->told_exited = true;
}

static bool tell_process(struct agent *a, struct process *p)
{
	bool all = true;

	if (!p->told_started)
		tell_u64(a, &(struct frame){.type = MSG_STARTED, .id = p->id}, p->outcome.started_ns);
	p->told_started = true;
	tell_taken(a, p);
	for (int i = 0; i < STREAMS; i++)
		all = tell_stream(a, &p->streams[i]) && all;
	tell_exit(a, p);
	return all;
}

bool tell_all(struct agent *a)
{
	while (!list_empty(&a->dirty)) {
		struct process *p = container_of(a->dirty.next, struct process, dirty);

		if (!connection_room(a))
			return false;
		/* Who has more to say than there is room for lines up again behind the others. */
		list_remove(&p->dirty);
		if (!tell_process(a, p))
			list_append(&a->dirty, &p->dirty);
	}
	return true;
}

/* As it came, but with the spool limit that holds now. */
static int put_start(struct agent *a, struct process *p, struct buf *out)
{
	size_t at = out->len;
	int rc = process_start_payload(a, p, out);

	if (rc == 0)
		start_set_limit(out->data + at, out->len - at, p->limit);
	return rc;
}

void tell_report(struct agent *a, struct process *p)
{
	struct report report = {.running = p->running, .outcome = p->outcome};
	struct buf *out;
	int rc;

	if (p->forgotten)
		return;
	for (int i = 0; i < STREAMS; i++) {
		struct stream *st = &p->streams[i];

		/* Without a file the daemon can have no bytes yet: they, and the end, follow the report. */
		bool file = a->conn.mode == SPOOL_STREAM || st->made;

		report.size[i] = st->told.size = file ? st->size : 0;
		report.full[i] = st->told.full = st->full;
		report.ended[i] = st->ended && file;
		st->told.end = report.ended[i] && a->conn.mode == SPOOL_SHARED;
		st->told.wanted = false;
	}
	report.input_received = p->input.received;
	report.input_taken = p->input.told_taken = p->input.taken;
	report.input_ended = p->input.end;
	report.input_closed = p->input.told_closed = p->input.closed;
	p->told_started = true;
	p->told_exited = !p->running;
	out = frame_begin(a, &(struct frame){.type = MSG_PROCESS, .id = p->id});
	rc = report_encode_head(out, &report);
	if (!rc)
		rc = put_start(a, p, out);
	frame_finish(a, rc);
	for (int i = 0; i < STREAMS && a->conn.mode == SPOOL_SHARED; i++)
		tell_stream(a, &p->streams[i]);
}

bool tell_done(struct agent *a)
{
	if (a->conn.state != CONN_READY)
		return a->conn.state < CONN_REPORTS;
	if (!list_empty(&a->dirty))
		return false;
	list_each (at, &a->processes) {
		struct process *p = container_of(at, struct process, all);

		for (int i = 0; i < STREAMS; i++)
			if (p->streams[i].told.wanted && p->streams[i].told.sent < p->streams[i].size)
				return false;
	}
	return true;
}

/* Behind what the last processes had to say. As their reaper of last resort we know of each there is. */
void tell_still(struct agent *a)
{
	if (!a->alone || a->told_still || !list_empty(&a->dirty) || !connection_room(a))
		return;
	tell_u64(a, &(struct frame){.type = MSG_STILL}, a->starts);
	a->told_still = true;
}
