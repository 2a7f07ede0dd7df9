/*
 * The descriptor of a node's file, for as long as an operation runs.
 *
 * Most nodes hold one. Where the process has too many already, a node is made that holds none: its file is
 * reached by an open handle of it, or by the place it was last seen at, one name at a time from the nearest
 * directory that holds a descriptor, following nothing. What is found there is taken for the same file if
 * device, number, type and time of birth are those it was known by. Without a descriptor the number may have
 * been given to another file meanwhile; the time of birth tells them apart, on file systems that note one.
 */
#pragma once

#include "fuse/graft/nodes.h"

/*
 * To be called between graft_enter() and graft_leave(), which closes what had to be opened. -ESTALE when
 * another file is there now, or none (the kernel then looks its path up again); or -errno.
 */
int graft_fd(struct graft_node *node);

/* The same with graft_enter() before it, which is taken back on failure. */
int graft_reach(struct graft_node *node, int *ret_fd);
int graft_reach_to_change(struct graft_node *node, int *ret_fd);

/* The least number of a descriptor, just opened and so the lowest that was free, that a node must not hold.
 */
int graft_descriptors_most(void);

/* When the file was made; all zero where that is not known. */
struct timespec graft_birth(int fd);

/* In graft_leave(). */
void graft_reached_end(void);
