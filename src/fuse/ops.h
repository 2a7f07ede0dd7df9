/* What the parts of the FUSE front share. */
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>

#include "fuse/far/far.h"
#include "fuse/graft/graft.h"
#include "tree/handle.h"

#include <stdbool.h>

struct front_settings {
	uid_t uid;
	gid_t gid;
	mode_t umask;
	/* Called once, when the kernel has greeted us: the mount answers from here on. */
	void (*answering)(void);
};

extern struct front_settings front;

/* ops.c: names and attributes. ops_io.c: open files. ops_dirs.c: open directories. Each fills its part of
 * `ops`. */
void ops_names(struct fuse_lowlevel_ops *ops);
void ops_files(struct fuse_lowlevel_ops *ops);
void ops_directories(struct fuse_lowlevel_ops *ops);
/* After the session's end: closes what programs had open when the mount was taken from under them. */
void ops_files_end(void);

/* The size of what an open file of this number reads, when it has the number alone: 0 or -ENOENT. Core lock
 * held. */
int opened_size(fuse_ino_t ino, int64_t *ret);

/* What is open by this number, whose object may have gone from the tree since. Core lock held. */
bool opened_spot(fuse_ino_t ino, struct spot *ret);

/* The kernel's view of a spot; core lock held. */
void spot_attributes(const struct spot *s, struct stat *ret);
void spot_entry(const struct spot *s, struct fuse_entry_param *ret);
double spot_attribute_timeout(const struct spot *s);

/*
 * The files behind fs/ of a running sandbox, or of a snapshot, with a reference; made at the first use. Core
 * lock held. -EAGAIN when it does not run yet, or is not ready yet; when it has ended what its commands get.
 */
int fs_graft(const struct spot *s, fuse_ino_t number, struct graft **ret);
/*
 * The files of a sandbox that remember something and soon may no more, as somebody is about to give it a
 * command through this; or NULL. With a reference. Core lock held.
 */
void fs_forget_early(const struct spot *s, struct graft **ret);
/* Begins what must be for that: 0, and *ret_wait is where its end is heard of. Core lock held. */
int fs_need(const struct spot *s, struct list **ret_wait, struct error *err);
/*
 * What is to be listed, which a sandbox is not started for: NULL is an empty directory. 0, what its commands
 * get when it has ended, or -EAGAIN with *ret_wait to wait on. Core lock held.
 */
int fs_list(const struct spot *s, fuse_ino_t number, struct graft **ret, struct list **ret_wait);

/*
 * The graft node that `ino` stands for. Numbers of the graft's own, and fs/ of a
 * running sandbox, whose graft is then referenced in *ret_held (else NULL).
 * NULL with *ret_errno where it is neither: EPERM for a control file.
 */
struct graft_node *file_node(fuse_ino_t ino, struct graft **ret_held, int *ret_errno);
void file_done(struct graft *held);
/*
 * What a symlink in `dir` is to say for `target`: an absolute path through the mount to a file of the same
 * sandbox becomes what that file is called inside. Points into `target`, or is "/".
 */
const char *fs_inward(const struct graft_node *dir, const char *target);

/* Which function does it: for files reached by descriptors, or for those that are far away. */
#define fs_op(op, node)	   (graft_is_far(node) ? far_##op : graft_##op)
#define fs_open_op(op, fi) ((fi)->fh & FAR_BIT ? far_##op : graft_##op)
