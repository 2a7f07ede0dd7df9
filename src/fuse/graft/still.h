/*
 * What the kernel may remember of fs/, for as long as nothing runs in the sandbox.
 *
 * Then files change through the mount alone, which the kernel sees for itself. Attributes, and names where
 * that is wanted, are given out with timeouts, and before anything runs again the kernel is told that none of
 * it counts any more: for all names at once, for attributes inode by inode. It heeds that for answers too
 * that are still on their way to it when it is told, if a few rules are kept; they are at the functions that
 * follow.
 */
#pragma once

#include "fuse/graft/nodes.h"

/*
 * To be asked before facts are read, and given to what says for how long they may be remembered: 0 once they
 * may have changed since. 0: not at all.
 */
uint64_t graft_stillness(struct graft *g);

/*
 * Seconds for an entry `name` of `dir`: `node`, or NULL for a name that is not there. The kernel notes its
 * epoch before it asks, be it by LOOKUP or by what makes a name; but not before READDIRPLUS, where this must
 * not be used.
 */
double graft_keep_name(struct graft_node *dir, struct graft_node *node, uint64_t since);

/*
 * Seconds for attributes in a reply to LOOKUP or GETATTR, of which the kernel notes when it asked. Other
 * replies with attributes it believes in any case: these must have none to remember. And none is given for an
 * inode the kernel has never `asked` anything of: it may have none yet, and then what we tell it of that
 * inode is lost.
 */
double graft_keep_attributes(struct graft_node *node, uint64_t since, bool asked);

/* Has the kernel look up all names again, if it remembers any of this graft. */
void graft_forget_names(struct graft *g);
/* The node's attributes may change without the kernel's noticing. */
void graft_forget_attributes(struct graft_node *node);
/* Whether anything of it may be remembered: it is no symlink, is part of the root, and known in one place
 * only. */
bool graft_is_own(struct graft_node *node);
/* Which mount `fd` is on: a number to be compared; 0: not known. */
uint64_t graft_mount_of(int fd);
/* With graft_lock held: the node is about to be freed. */
void graft_keep_drop(struct graft_node *node);
