/* What the files with graft's operations share. Called between graft_enter() and graft_leave(). */
#pragma once

#include "fuse/graft/nodes.h"

/* The text a reader of the symlink `fd` in `dir` gets, into PATH_MAX bytes. Its length or -errno. */
int graft_link_text(struct graft_node *dir, int fd, char *out);

/* Attributes as shown: st_ino our own, and for a symlink the length of the text shown. */
int graft_attributes(struct graft_node *node, struct stat *ret);

/*
 * Looks `name` up and fills `ret`, with one more lookup counted. -ESTALE when `type` (S_IFDIR and the
 * like) is not 0 and something else is there. `since`: of graft/still.h, for how long the name may be
 * remembered.
 */
int graft_find(struct graft_node *dir, const char *name, mode_t type, uint64_t since,
	       struct fuse_entry_param *ret);

/* The same for the file `fd` (O_PATH, owned from here) found as `name`. */
int graft_entry(struct graft_node *dir, const char *name, mode_t type, int fd, uint64_t since,
		struct fuse_entry_param *ret);

/* Whether the kernel does I/O on it without asking. */
bool graft_passes(struct graft_node *node);
