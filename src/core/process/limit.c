/* How much output of a command is kept. */
#include "core/link/reconnect.h"
#include "core/process/process.h"
#include "core/sandbox.h"

#include <errno.h>

void process_adopt_limit(struct process *p, const struct report *r)
{
	p->limit_most = p->start.spool_limit;
	for (int i = 0; i < STREAMS; i++)
		if (r->size[i] > p->limit_most)
			p->limit_most = r->size[i];
}

int process_limit(struct process *p, uint64_t bytes, struct error *err)
{
	struct sandbox *s = process_sandbox(p);

	if (p->state == PROCESS_NONE)
		return error_set(err, ESRCH, "NOT_STARTED", "process %s has no command yet", p->object.name);
	p->start.spool_limit = bytes; /* which the agent is told of when it reports another */
	if (bytes > p->limit_most)
		p->limit_most = bytes;
	if (p->sent && s->channel)
		reconnect_if_unsent(s, channel_limit(s->channel, p->id, bytes));
	return 0;
}
