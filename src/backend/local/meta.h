/* meta.json: what a later mount must know of a sandbox to take it over. */
#pragma once

#include "backend/local/cgroup.h"
#include "base/error.h"
#include "core/config.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* The strings are owned. */
struct meta {
	char id[41], session[49], name[49];
	time_t created, started;
	struct config config;	/* effective */
	pid_t agent;		/* 0: not known */
	uint64_t agent_started; /* field 22 of /proc/PID/stat: tells the agent from a later user of its pid */
	char boot[40];		/* the boot the two belong to */
	struct cgroup cgroup;	/* removed with it */
	bool pids_by_rlimit;
	bool kept;
};

/* Replaces meta.json in `dir` at once or not at all. */
int meta_write(int dir, const struct meta *m, struct error *err);

/* -ENOENT when there is none, -EINVAL when it is not one of ours. */
int meta_read(int dir, struct meta *ret, struct error *err);

void meta_free(struct meta *m);

/* The id of this boot; "" when unknown. */
void meta_boot(char out[40]);

/* When process `pid` started, in clock ticks since boot; 0 when there is none. */
uint64_t process_started(pid_t pid);
