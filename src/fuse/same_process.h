/* Whether two threads, as FUSE reports them, are of one process. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/*
 * FUSE gives the thread id of whoever makes a call. Programs open on one thread
 * and close on another (node does), which is still the same process. 0 is a
 * thread of a pid namespace we cannot see: never the same.
 */
bool same_process(pid_t a, pid_t b);
