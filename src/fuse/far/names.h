/* What the files with far's operations share about names. */
#pragma once

#include "fuse/far/op.h"

/* The answer to a question about `name` in `dir` is remembered, also that it is absent. */
void far_learn(struct far_node *dir, const char *name, const struct file_reply *reply);
/*
 * Asks, along with what changes it, what is there then: the next look need not wait for it. `dir` has a
 * handle. `question`: what this is part of, or 0.
 */
void far_look_aside(struct far_node *dir, const char *name, uint64_t question);
/* The same for the directory's own attributes, after a change in it. */
void far_learn_parent(struct far_node *dir, const struct stat *st);

/*
 * Ends an op with an entry: `st` and `raw` (of a symlink, else NULL) are of `name` in op->node. Asks the
 * agent once more where a symlink's text needs it.
 */
void far_give_entry(struct far_op *op, const char *name, const struct stat *st, const char *raw);
bool far_reply_entry(struct far_op *op);

/* The node of an entry that may be believed, and what the kernel is told: 0, -ENOMEM, -EAGAIN (see above). */
int far_entry_param(struct far_node *dir, struct far_entry *e, struct fuse_entry_param *ret);

/* The node of what is `name` in `dir` (NULL: a file that has no name), and what the kernel is told of it;
 * `st` as shown, but for st_ino. */
int far_fill_entry(struct far_node *dir, const char *name, const struct stat *st,
		   struct fuse_entry_param *ret);

/* The text of a reply as a C string in `out`, PATH_MAX bytes. */
const char *far_text(const struct file_reply *reply, char *out);
/* A symlink's text as readers outside get it: its length, or -EAGAIN where the agent has to walk. */
int far_link_text(struct far_node *dir, const char *raw, char *out);
unsigned int far_depth(const struct far_node *dir);
