/* The mount itself: the root of the tree and what is common to all of it. */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "core/backend.h"
#include "core/config.h"
#include "core/report/journal.h"
#include "core/object.h"
#include "core/report/stats.h"

#include <time.h>

struct mount_settings {
	uint64_t spool_limit;	 /* bytes per stream */
	unsigned timeout_ms;	 /* how long an agent may be out of reach before what needs it fails */
	bool keep;		 /* on_exit=keep */
	bool spool_over_channel; /* for tests: output comes in frames even where files could be shared */
	bool files_over_channel; /* for tests: the agent is asked even where the root could be opened */
	char mountpoint[4096];	 /* absolute; "" when there is none */
	char scratch[256];	 /* directory for output of agents that are far away; "" for memory */
};

/* There is one per process. Guarded by the core lock. */
struct mount {
	struct object object;
	struct backend *backend;
	struct mount_settings settings;
	struct config builtin;	/* the backend's defaults */
	struct config defaults; /* .ctl/defaults */
	struct error error;
	struct feed events;
	struct session *strays; /* whose sandboxes were attached to and belong to no session; or NULL. Not
				   listed */
	time_t since;
	bool ending;
	unsigned living;	   /* sandboxes not yet removed or kept, listed or not */
	bool searching;		   /* the backend is still looking for what earlier mounts left */
	struct error search_error; /* why it cannot; code 0 if it can */
	unsigned arriving;	   /* adopted ones whose agent has not reported yet */
	struct counters totals;
};

extern struct mount the_mount;

/* Takes over the backend and finds what earlier mounts left. 0 or -errno. */
int mount_begin(struct backend *backend, const struct mount_settings *settings, struct error *err);
/* Waits until the backend has looked for what earlier mounts left, at most `ms`: why it cannot, or 0. */
int mount_wait_search(unsigned ms, struct error *err);
/* Waits until the adopted sandboxes have reported, at most `ms`. No lock held. */
void mount_wait_arrivals(unsigned ms);

/*
 * Ends it: sandboxes are stopped, or kept; results still wait for readers. Waits
 * until nothing is left or `ms` are over, and says how many sandboxes are left.
 */
unsigned mount_end(unsigned ms);

/* Ends the wait of mount_end() now. Any thread. */
void mount_abort(void);

/* One sandbox less: wakes mount_end() and mount_wait_arrivals(). Core lock held. */
void mount_progress(void);

uint64_t mount_spool_limit(void);

/* Whether effective settings are acceptable to the backend; sentence in `err`. */
int mount_check(const struct config *effective, struct error *err);

/*
 * Sets one key of `level`, one of the `count` levels (farthest first), if the
 * backend accepts what they then merge to; else `level` stays as it was. `near` is the session paths are
 * seen from, or NULL.
 */
int mount_config_set(const struct session *near, const struct config *const *levels, int count,
		     struct config *level, enum config_key key, const char *text, struct error *err);
