/*
 * Whether the agent still answers. A connection may be gone without a word: a
 * machine that slept, a proxy that forgot. So where something is waited for and
 * nothing is heard, the agent is asked, and where it does not answer the pipe is
 * replaced. Where nothing is waited for nothing is asked.
 */
#include "core/after.h"
#include "core/mount.h"
#include "core/link/reconnect.h"
#include "core/sandbox.h"

#include <errno.h>

#define INTERVAL_MIN_MS 500u

static unsigned interval_ms(void)
{
	unsigned ms = the_mount.settings.timeout_ms / 3; /* something heard, nothing heard, no answer */

	return ms > INTERVAL_MIN_MS ? ms : INTERVAL_MIN_MS;
}

static bool waits_for_something(const struct sandbox *s)
{
	if (s->files && !file_calls_idle(s->files))
		return true;
	list_each (pos, &s->object.children) {
		const struct process *p = (const struct process *)container_of(pos, struct object, sibling);

		if (p->state != PROCESS_NONE &&
		    (!process_ended(p) || !p->streams[STREAM_OUT].ended || !p->streams[STREAM_ERR].ended))
			return true;
	}
	return false;
}

static void check(struct object *o)
{
	struct sandbox *s = (struct sandbox *)o;
	struct reach *r = &s->reach;
	bool heard = s->news != r->news_then;
	struct error why;

	r->pulse_armed = false;
	if (!s->channel || !(r->ready || r->lost) || !sandbox_runs(s))
		return; /* begins again with a channel */
	r->news_then = s->news;
	if (r->asked && !heard) {
		error_set(&why, ETIMEDOUT, "AGENT_LOST", "the agent does not answer");
		reconnect_begin(s, &why);
		return;
	}
	/* On a new channel it was asked for its reports by HELLO. */
	r->asked =
	    !heard && (!r->ready || (waits_for_something(s) && channel_ping(s->channel, s->news) == 0));
	r->pulse_armed = core_after(interval_ms(), check, o) == 0;
}

void pulse_begin(struct sandbox *s)
{
	struct reach *r = &s->reach;

	r->asked = false;
	r->news_then = s->news;
	if (the_mount.backend->ops->reconnect && !r->pulse_armed)
		r->pulse_armed = core_after(interval_ms(), check, &s->object) == 0;
}
