/* A connection that takes its time. */
#pragma once

/*
 * A descriptor that is to be used instead of `fd`, which is owned from here: what is written to either
 * arrives at the other `ms` milliseconds later, as much as 4 MiB on its way. It ends when one end does,
 * without what is still on the way. -1 on failure, with `fd` closed.
 */
int slow_way(int fd, int ms);
