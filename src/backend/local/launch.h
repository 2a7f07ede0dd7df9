/* Runs bwrap with the agent in it, and waits until the agent stands. */
#pragma once

#include "backend/local/arguments.h"
#include "backend/local/cgroup.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Descriptors by the number they have in bwrap and in the agent; everything else is closed there. */
enum launch_fd {
	LAUNCH_ARGUMENTS = 3,
	LAUNCH_SECCOMP,
	LAUNCH_INFO,
	LAUNCH_AGENT,
	LAUNCH_LISTEN,
	LAUNCH_SPOOL,
	LAUNCH_READY,
	LAUNCH_INFO_END, /* for bwrap to hold, not to read */
	LAUNCH_FDS
};

struct launch {
	const char *bwrap;
	const struct arguments *arguments;
	int agent;   /* the agent's program */
	int seccomp; /* the filter, at its start */
	int listen;  /* a listening socket */
	int spool;   /* the directory of the agent's spool files */
	/* An overlay to be mounted first: over the image, in root/ of the home; NULL: none. */
	const char *overlay_image, *overlay_home;
	int cgroups[CGROUP_KINDS]; /* open cgroup.procs */
	int cgroup_count;
	uint32_t orphan_timeout_s, lifetime_s;
};

struct launched {
	pid_t agent;  /* as the host numbers it; our child, as we are a subreaper */
	int agent_fd; /* pidfd */
};

/*
 * Blocks for some milliseconds, 30 s at most. On failure nothing runs any
 * more. Reasons: NO_USER_NAMESPACES, NO_SPACE, LIMIT_UNAVAILABLE,
 * START_TIMEOUT, START_FAILED; OVERLAY when the overlay could not be mounted.
 */
int launch(const struct launch *l, struct launched *ret, struct error *err);
