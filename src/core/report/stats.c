#include "core/report/stats.h"

#include "core/mount.h"
#include "core/sandbox.h"
#include "core/session.h"

#include <inttypes.h>
#include <string.h>

const double startup_bounds[STARTUP_BUCKETS] = {0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};

uint64_t stats_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* --- Counting --- */

static void add_startup(struct counters *c, uint64_t ms)
{
	if (c->startup.count == 0 || ms < c->startup.min_ms)
		c->startup.min_ms = ms;
	if (ms > c->startup.max_ms)
		c->startup.max_ms = ms;
	c->startup.count++;
	c->startup.sum_ms += ms;
	for (int i = 0; i < STARTUP_BUCKETS; i++)
		c->startup.within[i] += (double)ms <= startup_bounds[i] * 1000;
}

void stats_started(struct sandbox *s)
{
	uint64_t ms;

	if (!s->began_ms) /* by an earlier mount */
		return;
	ms = stats_now_ms() - s->began_ms;
	add_startup(&the_mount.totals, ms);
	add_startup(&sandbox_session(s)->totals, ms);
}

static void add_gone(struct counters *c, uint64_t commands)
{
	if (c->gone.count == 0 || commands < c->gone.min)
		c->gone.min = commands;
	if (commands > c->gone.max)
		c->gone.max = commands;
	c->gone.count++;
}

void stats_gone(struct sandbox *s)
{
	if (!s->began)
		return;
	add_gone(&the_mount.totals, s->commands);
	add_gone(&sandbox_session(s)->totals, s->commands);
}

/* --- What is now --- */

static void see_sandbox(struct sandbox *s, void *arg)
{
	struct present *ret = arg;

	ret->sandboxes++;
	ret->in_state[s->state]++;
	ret->processes += s->object.child_count;
	ret->running += s->commands - s->succeeded - s->nonzero - s->failures;
	if (!s->began)
		return;
	if (ret->execs_count == 0 || s->commands < ret->execs_min)
		ret->execs_min = s->commands;
	if (s->commands > ret->execs_max)
		ret->execs_max = s->commands;
	ret->execs_count++;
}

void stats_present(const struct session *session, struct present *ret)
{
	const struct counters *c = session ? &session->totals : &the_mount.totals;

	*ret = (struct present){.sessions = the_mount.object.child_count,
				.execs_count = c->gone.count,
				.execs_min = c->gone.min,
				.execs_max = c->gone.max};
	if (session) {
		session_each(session, see_sandbox, ret);
		return;
	}
	list_each (pos, &the_mount.object.children)
		session_each((const struct session *)container_of(pos, struct object, sibling), see_sandbox,
			     ret);
	if (the_mount.strays)
		session_each(the_mount.strays, see_sandbox, ret);
}

/* --- Lines --- */

static int put(struct buf *out, const char *name, uint64_t value)
{
	return buf_printf(out, "%s %" PRIu64 "\n", name, value);
}

static int put_rate(struct buf *out, const char *name, uint64_t part, uint64_t whole)
{
	return whole ? buf_printf(out, "%s %.4f\n", name, (double)part / (double)whole) : 0;
}

static int put_commands(const struct counters *c, struct buf *out)
{
	int rc = put(out, "executions", c->commands);

	rc = rc ? rc : put(out, "exec_completed_ok", c->succeeded);
	rc = rc ? rc : put(out, "exec_completed_nonzero", c->nonzero);
	rc = rc ? rc : put(out, "exec_failures", c->failures);
	rc = rc ? rc : put_rate(out, "exec_completion_rate", c->succeeded + c->nonzero, c->commands);
	rc = rc ? rc : put_rate(out, "exec_failure_rate", c->failures, c->commands);
	return rc ? rc : put(out, "output_bytes", c->output_bytes);
}

static int put_startup(const struct counters *c, struct buf *out)
{
	int rc = put(out, "startup_count", c->startup.count);

	if (rc || !c->startup.count)
		return rc;
	return buf_printf(out,
			  "avg_startup_seconds %.3f\nmin_startup_seconds %.3f\nmax_startup_seconds %.3f\n",
			  (double)c->startup.sum_ms / (double)c->startup.count / 1000,
			  (double)c->startup.min_ms / 1000, (double)c->startup.max_ms / 1000);
}

static int put_per_sandbox(const struct counters *c, const struct present *now, struct buf *out)
{
	if (!now->execs_count)
		return 0;
	return buf_printf(out,
			  "avg_execs_per_sandbox %.2f\nmin_execs_per_sandbox %" PRIu64
			  "\nmax_execs_per_sandbox %" PRIu64 "\n",
			  (double)c->commands / (double)now->execs_count, now->execs_min, now->execs_max);
}

int stats_print(const struct session *session, struct buf *out)
{
	const struct counters *c = session ? &session->totals : &the_mount.totals;
	const struct feed *feed = session ? &session->events : &the_mount.events;
	struct present now;
	int rc;

	stats_present(session, &now);
	rc = session ? 0 : put(out, "sessions", now.sessions);
	rc = rc ? rc : put(out, "sandboxes", now.sandboxes);
	rc = rc ? rc : put(out, "sandboxes_running", now.in_state[SANDBOX_RUNNING]);
	rc = rc ? rc : put(out, "processes", now.processes);
	rc = rc ? rc : put(out, "processes_running", now.running);
	rc = rc ? rc : put(out, "sandboxes_created", c->sandboxes);
	rc = rc ? rc : put(out, "sandboxes_started", c->started);
	rc = rc ? rc : put(out, "sandboxes_failed", c->start_failures);
	rc = rc ? rc : put_commands(c, out);
	rc = rc ? rc : put_startup(c, out);
	rc = rc ? rc : put_per_sandbox(c, &now, out);
	return rc ? rc : put(out, "events", feed->count);
}
