/* A directory served by an agent, on the other end of a connection that can be cut. */
#pragma once

#include "fuse/far/far.h"

/* Starts the agent beside this program and waits until it answers. NULL: it said why on stderr. */
struct graft *far_tree_open(const char *directory, fuse_ino_t root);
void far_tree_cut(void); /* the connection is lost; another is made */
void far_tree_end(void); /* the sandbox ends */
void far_tree_close(void);
