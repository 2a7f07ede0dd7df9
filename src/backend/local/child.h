/* The steps between fork and exec of bwrap. */
#pragma once

#include "backend/local/launch.h"

#include <sys/types.h>

struct child {
	const char *bwrap;
	char *const *argv;
	int fds[LAUNCH_FDS]; /* which descriptor becomes number i; 1 and 2 are both fds[2]; each is >=
				LAUNCH_FDS */
	const char *overlay_image, *overlay_home; /* NULL: none */
	char uid_map[32], gid_map[32];		  /* for an ordinary user, who mounts in a user namespace */
	uid_t uid;
	/* Left by the child, which shares the daemon's memory until its exec. */
	const char *volatile failed_step;
	volatile int failed_code;
};

/* Starts it; returns the pid and a pidfd, or -errno when there is no process. Look at failed_step then. */
pid_t child_start(struct child *c, int *ret_pidfd);
