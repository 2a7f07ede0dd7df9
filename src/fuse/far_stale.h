/* Having the kernel drop what it keeps of a file. */
#pragma once

#include "fuse/graft.h"

struct far_node;
struct list;

/* The session's, from its mount to its end (before it is destroyed). 0 or -errno. */
int far_stale_begin(struct fuse_session *session);
void far_stale_end(void);

/* What the kernel has of its data may not be so any more. Core lock held; returns at once. */
void far_stale(struct far_node *n);

/*
 * It is being opened anew, at which the kernel drops all it has by itself. A list to wait on where it is just
 * being told: attributes it asks for meanwhile it takes for old ones, and so it would read up to an old size.
 * Else NULL. Core lock held.
 */
struct list *far_stale_settle(struct far_node *n);
