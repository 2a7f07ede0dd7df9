/* Counters, of the mount and of each session: for .ctl/stats and .ctl/metrics. */
#pragma once

#include "base/buf.h"

#include <stdint.h>

struct sandbox;
struct session;

#define STARTUP_BUCKETS 10

struct counters {
	uint64_t sandboxes, started, start_failures;	 /* made, started, could not be started */
	uint64_t commands, succeeded, nonzero, failures; /* given, and how they ended */
	uint64_t output_bytes;				 /* of commands that ended */
	struct {
		uint64_t count, sum_ms, min_ms, max_ms;
		uint64_t within[STARTUP_BUCKETS]; /* how many took no longer than each bound */
	} startup;				  /* from being asked for to being ready */
	struct {
		uint64_t count, min, max;
	} gone; /* commands given to sandboxes that are no more */
};

/* Counts for the sandbox's session and for the mount; wants core/mount.h and core/session.h. Core lock held.
 */
#define COUNT(s, field, n) (the_mount.totals.field += (n), sandbox_session(s)->totals.field += (n))

uint64_t stats_now_ms(void); /* by CLOCK_MONOTONIC */
/* It is ready for commands. */
void stats_started(struct sandbox *s);
/* It goes out of its session. */
void stats_gone(struct sandbox *s);

/* "name value" lines; `session` NULL: of the whole mount. 0 or -errno of buf_printf(). */
int stats_print(const struct session *session, struct buf *out);
/* The same of the mount as Prometheus reads it. */
int stats_print_metrics(struct buf *out);

/* --- Between the two files --- */

/* What is so at this moment, counted when it is asked for. */
struct present {
	uint64_t sessions, sandboxes, processes, running; /* commands there are; that run */
	uint64_t in_state[16];				  /* sandboxes, by enum sandbox_state */
	uint64_t execs_count, execs_min, execs_max;	  /* of sandboxes that were started, gone ones too */
};
void stats_present(const struct session *session, struct present *ret);
extern const double startup_bounds[STARTUP_BUCKETS]; /* seconds */
