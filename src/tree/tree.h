/* The control tree as the file system sees it: numbers, names, attributes, lists. */
#pragma once

#include "tree/node.h"

#include <stdint.h>
#include <sys/stat.h>

/*
 * A place in the tree: an object and one of the rows below it. The number of a
 * spot is made of the object's serial and the row's index, so that nothing is
 * kept per file, however many the kernel knows. Bits: 8 row, 16 nonce (so that
 * an open can have an inode of its own), 39 serial; the top bit is not ours.
 * The top bit of the nonce is set for what was reached by the id of a sandbox: a
 * directory that is in two places must be two inodes. But fs/ is one: what the
 * kernel keeps of the files below it must not be there twice.
 */
struct spot {
	struct object *object; /* borrowed; NULL for a name in a list that has none yet */
	const struct node *node;
	unsigned row;
	bool by_id; /* below .ctl/sandboxes/ */
};

#define TREE_ROOT 1 /* as FUSE wants it: serial 0, row 1 */

/* Numbers the rows this mount has; aborts on a row that makes no sense. Once, when the mount has its backend.
 */
void tree_init(void);

/* All below: core lock held. */

/* -ESTALE when the object has gone. */
int tree_resolve(uint64_t number, struct spot *ret);
uint64_t tree_number(const struct spot *s);
/* A number that no other look-up of this spot gets soon. */
uint64_t tree_fresh_number(const struct spot *s);
void tree_place(const struct spot *s, struct place *ret);

/* -ENOENT, or -ENOTDIR. Looks at what is known here. */
int tree_lookup(const struct spot *dir, const char *name, struct spot *ret);
/*
 * Has the names of a directory, or that one, be known that are known elsewhere: 0, at once
 * where there are no such; -EAGAIN: wait on *ret_wait and ask again; or why they cannot be.
 */
int tree_seek(const struct spot *dir, const char *name, struct list **ret_wait);
/* The entry behind `cursor` (0 at first, then what the last call left there); false at the end. */
bool tree_next(const struct spot *dir, uint64_t *cursor, struct spot *ret, const char **ret_name);
/* The directory it is in; the root's is the root. */
void tree_parent(const struct spot *s, struct spot *ret);

int tree_mkdir(const struct spot *dir, const char *name, struct spot *ret);
int tree_rmdir(const struct spot *dir, const char *name);

/* Shows a failure in the `error` files of this place and above it. */
void tree_keep_error(const struct place *at, const struct error *err);

bool tree_is_directory(const struct spot *s);
/* All but st_uid, st_gid and the umask. */
int tree_attributes(const struct spot *s, struct stat *ret);
/* Whether the name can come or go, or what stat says change, without the kernel's doing. */
bool tree_name_changes(const struct spot *s);
bool tree_attributes_change(const struct spot *s);
/*
 * Whether a listing of a directory whose attributes do not change may be kept from one open to the next: the
 * kernel knows of all that mkdir, rmdir and rename do, and of nothing else, as adopting a sandbox.
 */
bool tree_listing_lasts(const struct spot *s);
/*
 * Whether each look-up is given a number, and so the kernel an inode, of its own: stdin, whose writers
 * must not lock each other out, and the output of whichever command is the latest.
 */
bool tree_wants_fresh_number(const struct spot *s);
