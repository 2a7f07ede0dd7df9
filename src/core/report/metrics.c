/* The counters of the mount in the text format of Prometheus. */
#include "core/mount.h"
#include "core/sandbox.h"
#include "core/report/stats.h"

#include <inttypes.h>

static int family(struct buf *out, const char *name, const char *type, const char *help)
{
	return buf_printf(out, "# HELP aviatofs_%s %s\n# TYPE aviatofs_%s %s\n", name, help, name, type);
}

static int number(struct buf *out, const char *name, const char *type, const char *help, uint64_t value)
{
	int rc = family(out, name, type, help);

	return rc ? rc : buf_printf(out, "aviatofs_%s %" PRIu64 "\n", name, value);
}

static int put_states(const struct present *now, struct buf *out)
{
	int rc = family(out, "sandboxes", "gauge", "Sandboxes there are, by state.");

	for (int state = 0; state < SANDBOX_STATES && rc == 0; state++)
		rc = buf_printf(out, "aviatofs_sandboxes{state=\"%s\"} %" PRIu64 "\n",
				sandbox_state_name(state), now->in_state[state]);
	return rc;
}

static int put_outcomes(const struct counters *c, struct buf *out)
{
	int rc = family(out, "exec_completed_total", "counter", "Commands that ended, by how.");

	return rc ? rc
		  : buf_printf(out,
			       "aviatofs_exec_completed_total{result=\"ok\"} %" PRIu64 "\n"
			       "aviatofs_exec_completed_total{result=\"nonzero\"} %" PRIu64 "\n"
			       "aviatofs_exec_completed_total{result=\"failure\"} %" PRIu64 "\n",
			       c->succeeded, c->nonzero, c->failures);
}

static int put_startup(const struct counters *c, struct buf *out)
{
	int rc = family(out, "startup_seconds", "histogram", "From being asked for to being ready.");

	for (int i = 0; i < STARTUP_BUCKETS && rc == 0; i++)
		rc = buf_printf(out, "aviatofs_startup_seconds_bucket{le=\"%g\"} %" PRIu64 "\n",
				startup_bounds[i], c->startup.within[i]);
	return rc ? rc
		  : buf_printf(out,
			       "aviatofs_startup_seconds_bucket{le=\"+Inf\"} %" PRIu64 "\n"
			       "aviatofs_startup_seconds_sum %.3f\n"
			       "aviatofs_startup_seconds_count %" PRIu64 "\n",
			       c->startup.count, (double)c->startup.sum_ms / 1000, c->startup.count);
}

int stats_print_metrics(struct buf *out)
{
	const struct counters *c = &the_mount.totals;
	struct present now;
	int rc;

	stats_present(NULL, &now);
	rc = family(out, "info", "gauge", "Version and backend.");
	rc = rc ? rc
		: buf_printf(out, "aviatofs_info{version=\"%s\",backend=\"%s\"} 1\n", VERSION,
			     the_mount.backend->ops->name);
	rc = rc ? rc
		: number(out, "start_time_seconds", "gauge", "When the mount began, in Unix time.",
			 (uint64_t)the_mount.since);
	rc = rc ? rc : number(out, "sessions", "gauge", "Sessions there are.", now.sessions);
	rc = rc ? rc : put_states(&now, out);
	rc = rc ? rc : number(out, "processes", "gauge", "Commands that are listed.", now.processes);
	rc =
	    rc ? rc : number(out, "processes_running", "gauge", "Commands that have not ended.", now.running);
	rc = rc ? rc
		: number(out, "sandboxes_created_total", "counter", "Sandboxes that were declared.",
			 c->sandboxes);
	rc = rc ? rc
		: number(out, "sandboxes_started_total", "counter", "Sandboxes that were started.",
			 c->started);
	rc = rc ? rc
		: number(out, "sandboxes_failed_total", "counter", "Sandboxes that could not be started.",
			 c->start_failures);
	rc = rc ? rc : number(out, "executions_total", "counter", "Commands that were given.", c->commands);
	rc = rc ? rc : put_outcomes(c, out);
	rc = rc ? rc
		: number(out, "output_bytes_total", "counter", "Output of commands that ended.",
			 c->output_bytes);
	rc = rc ? rc : put_startup(c, out);
	return rc ? rc
		  : number(out, "events_total", "counter", "Lines of .ctl/events so far.",
			   the_mount.events.count);
}
