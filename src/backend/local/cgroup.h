/* Limits on memory, CPU and processes by control groups, version 1 and 2. */
#pragma once

#include "base/error.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

enum cgroup_kind { CGROUP_MEMORY, CGROUP_CPU, CGROUP_PIDS, CGROUP_KINDS };

extern const char *const cgroup_names[CGROUP_KINDS]; /* of the controllers */

/* Where groups for one controller can be made; `dir` is "" where they cannot. */
struct cgroup_place {
	char dir[PATH_MAX]; /* an absolute path, ending in /aviatofs */
	int version;	    /* 1 or 2 */
};

struct cgroup_places {
	struct cgroup_place place[CGROUP_KINDS];
};

/* Looks for places below our own group, or the nearest one above it that is ours to use. */
void cgroup_probe(struct cgroup_places *ret);

struct cgroup_limits {
	uint64_t value[CGROUP_KINDS]; /* bytes, thousandths of a CPU, processes; 0: none */
};

/* One sandbox's groups: for each kind the directory, NULL where it has no limit; several may share one. */
struct cgroup {
	char *dir[CGROUP_KINDS];
};

/* Makes the groups and sets the limits; the places asked for must exist. */
int cgroup_make(const struct cgroup_places *places, const char *id, const struct cgroup_limits *limits,
		struct cgroup *ret, struct error *err);

/*
 * Opens cgroup.procs of each distinct group for writing; a process whose pid is written there enters.
 * Returns how many descriptors stand in `ret`, or -errno.
 */
int cgroup_open(const struct cgroup *g, int ret[CGROUP_KINDS]);

/* Whether the kernel killed a process in it for want of memory. */
bool cgroup_out_of_memory(const struct cgroup *g);

/* Removes one group once its processes are gone, and the aviatofs/ above it when that is empty. May block,
 * boundedly. */
void cgroup_remove(const char *dir);

void cgroup_free(struct cgroup *g);
