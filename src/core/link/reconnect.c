#include "core/link/reconnect.h"

#include "base/log.h"
#include "core/after.h"
#include "core/mount.h"
#include "core/sandbox.h"
#include "core/waiter.h"

#include <errno.h>
#include <stdio.h>

#define FIRST_PAUSE_MS 20u /* after the first attempt that failed; doubles */
#define LAST_PAUSE_MS  2000u

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

time_t reconnect_since(const struct sandbox *s)
{
	return s->reach.lost && s->reach.failures ? s->reach.since : 0;
}

int reconnect_refuses(const struct sandbox *s, struct error *err)
{
	char since[32];
	struct tm tm;

	if (!s->reach.unreachable)
		return 0;
	gmtime_r(&s->reach.since, &tm);
	strftime(since, sizeof since, "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (s->state == SANDBOX_PAUSED)
		return error_set(err, ETIMEDOUT, "PAUSED", "the sandbox is paused, and out of reach since %s",
				 since);
	return error_set(err, ETIMEDOUT, "UNREACHABLE", "the sandbox cannot be reached since %s", since);
}

/* Asks the backend for a pipe; it answers with sandbox_connected(), sandbox_unreachable() or sandbox_ended().
 */
static void ask(struct sandbox *s)
{
	if (!s->reach.lost || s->reach.asking || s->channel || s->state >= SANDBOX_TERMINATING)
		return;
	s->reach.asking = true;
	the_mount.backend->ops->reconnect(the_mount.backend, s);
}

static void retry(struct object *o)
{
	struct sandbox *s = (struct sandbox *)o;

	s->reach.retry_armed = false;
	ask(s);
}

static void retry_later(struct sandbox *s)
{
	unsigned doublings = s->reach.failures < 8 ? s->reach.failures : 8;
	unsigned ms = FIRST_PAUSE_MS << doublings;

	if (s->reach.retry_armed)
		return;
	s->reach.retry_armed = core_after(ms < LAST_PAUSE_MS ? ms : LAST_PAUSE_MS, retry, &s->object) == 0;
	if (!s->reach.retry_armed)
		link_give_up(s, ENOMEM);
}

/* What waited for the agent in vain. What it may have got already goes on waiting for news. */
static void fail_waiting(struct process *p, const char *failure)
{
	sink_strand(&p->input, true);
	if (p->state == PROCESS_STARTING && !p->sent)
		process_finish(p, PROCESS_FAILED, 0, failure);
}

static void deadline(struct object *o)
{
	struct sandbox *s = (struct sandbox *)o;
	struct reach *r = &s->reach;
	struct object *child;
	struct error err;
	char failure[sizeof err.reason + sizeof err.text + 4];
	uint64_t now = now_ms(), until = r->lost_at + the_mount.settings.timeout_ms;

	r->deadline_armed = false;
	if (!r->lost || r->unreachable)
		return;
	if (now < until) { /* it was lost anew meanwhile */
		r->deadline_armed = core_after((unsigned)(until - now), deadline, o) == 0;
		return;
	}
	r->unreachable = true;
	reconnect_refuses(s, &err);
	sandbox_set_error(s, &err);
	snprintf(failure, sizeof failure, "%s: %s", err.reason, err.text);
	if (s->main)
		fail_waiting(s->main, failure);
	for (uint64_t after = 0; (child = object_next(&s->object, after));) {
		after = child->serial;
		fail_waiting((struct process *)child, failure); /* may prune it */
	}
	if (s->files)
		file_calls_fail(s->files, ETIMEDOUT);
	core_wake(&s->startup);
	programs_again(s);
}

void reconnect_begin(struct sandbox *s, const struct error *why)
{
	struct reach *r = &s->reach;

	link_close(s);
	r->ready = false;
	if (r->lost) { /* again, before the agent had reported */
		sandbox_unreachable(s, why);
		return;
	}
	log_debug("sandbox %s/%s: %s: %s", sandbox_session_name(s), s->object.name, why->reason, why->text);
	r->lost = true;
	r->failures = 0;
	r->lost_at = now_ms();
	r->since = time(NULL);
	if (!r->deadline_armed)
		r->deadline_armed = core_after(the_mount.settings.timeout_ms, deadline, &s->object) == 0;
	if (!r->deadline_armed)
		link_give_up(s, ENOMEM);
	else
		ask(s);
}

static void break_now(struct object *o)
{
	struct sandbox *s = (struct sandbox *)o;
	struct error why;

	error_errno(&why, s->reach.breaking, "AGENT_LOST", "the connection to the agent is given up");
	s->reach.breaking = 0;
	if (!s->channel || s->stopping || s->state >= SANDBOX_TERMINATING)
		return;
	reconnect_begin(s, &why);
}

void reconnect_soon(struct sandbox *s, int code)
{
	if (s->reach.breaking || !s->channel)
		return;
	s->reach.ready = false;
	if (the_mount.backend->ops->reconnect && core_after(0, break_now, &s->object) == 0)
		s->reach.breaking = code;
	else
		link_give_up(s, code);
}

void reconnect_if_unsent(struct sandbox *s, int rc)
{
	if (rc && rc != -EPIPE)
		reconnect_soon(s, -rc);
}

void reconnect_done(struct sandbox *s)
{
	struct object *child;

	if (s->reach.lost && s->main)
		sink_strand(&s->main->input, false);
	for (uint64_t after = 0; s->reach.lost && (child = object_next(&s->object, after));) {
		after = child->serial;
		sink_strand(&((struct process *)child)->input, false);
	}
	s->reach.ready = s->reach.known = true;
	s->reach.lost = s->reach.unreachable = s->reach.asking = false;
	s->reach.failures = 0;
	pulse_begin(s);
}

void reconnect_stop(struct sandbox *s)
{
	s->reach.ready = s->reach.lost = s->reach.unreachable = s->reach.asking = false;
}

void sandbox_unreachable(struct sandbox *s, const struct error *why)
{
	struct error err;

	s->reach.asking = false;
	if (!s->reach.lost || s->state >= SANDBOX_COMPLETED)
		return;
	if (s->reach.failures++ == 0) {
		error_set(&err, why->code, "AGENT_LOST", "the agent cannot be reached: %.120s", why->text);
		sandbox_set_error(s, &err);
	}
	retry_later(s);
}
