/* A process on a new channel: what each side has missed. */
#include "core/process/process.h"

#include "core/report/events.h"
#include "core/sandbox.h"

static void resume_streams(struct process *p, const struct report *r)
{
	struct sandbox *s = process_sandbox(p);

	for (int i = 0; i < STREAMS; i++) {
		struct stream *st = &p->streams[i];

		if (s->spool_dir < 0) {
			p->acknowledged[i] = st->size;
			if (!st->failure) /* what is left behind may write on after the end */
				reconnect_if_unsent(s, channel_want(s->channel, p->id, i, st->size));
			continue;
		}
		stream_grow(st, r->size[i], r->full[i]);
		if (r->ended[i])
			stream_end(st, 0);
	}
}

void process_resume(struct process *p, const struct report *r)
{
	struct sandbox *s = process_sandbox(p);

	p->sent = p->reported = true;
	p->started_ns = r->outcome.started_ns;
	if (p->state == PROCESS_STARTING) {
		p->state = PROCESS_RUNNING;
		if (r->running)
			event_process(p);
	}
	resume_streams(p, r);
	if (!sink_resume(&p->input, r->input_received, r->input_taken, r->input_ended) || r->input_closed)
		sink_close(&p->input);
	if (r->start.text && p->start.spool_limit != r->start.spool_limit)
		reconnect_if_unsent(s, channel_limit(s->channel, p->id, p->start.spool_limit));
	if (!r->running)
		process_apply_outcome(p, &r->outcome);
}

void process_settle(struct process *p)
{
	struct sandbox *s = process_sandbox(p);

	if (process_ended(p) || p->state == PROCESS_NONE)
		return;
	if (p->sent && !p->reported) {
		/* It ran, and its agent has never heard of it; or another may have begun it, which is gone.
		 */
		if (p->state != PROCESS_STARTING || p->sent_to != s->agent_born) {
			process_finish(p, PROCESS_LOST, 0, NULL);
			return;
		}
		p->sent = false; /* START was lost on the way, with all that followed it */
		sink_resume(&p->input, p->input.base, p->input.taken, false);
	}
	if (!p->sent) {
		process_send(p);
		return;
	}
	if (p->start.tty) /* it may have changed meanwhile */
		channel_resize(s->channel, p->id, p->start.columns, p->start.rows);
	for (uint32_t sig = 1; p->signals && sig <= SIGNAL_MAX; sig++)
		if (p->signals >> (sig - 1) & 1)
			channel_signal(s->channel, p->id, sig);
	p->signals = 0;
	process_pump_input(p);
}
