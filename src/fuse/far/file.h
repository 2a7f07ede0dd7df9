/* Open files that are far away, and changes of them nobody waits for at once. Core lock held throughout. */
#pragma once

#include "fuse/far/op.h"

/* A piece of a file, on its way or here. */
struct far_piece {
	struct list link; /* of file->pieces, by offset */
	struct far_file *file;
	uint64_t offset;
	uint32_t asked, got;
	char *data; /* NULL until it is here */
	bool here;
	int error;
	struct list waiting;	/* far_op */
	struct file_call *call; /* while it is on its way */
};

/* fi->fh */
struct far_file {
	struct list link; /* of node->files */
	struct far *far;  /* a reference */
	struct far_node *node;
	uint64_t handle;
	unsigned int calls; /* unanswered requests with the handle */
	bool closed;
	bool live; /* not watched, so nothing of it is kept: each read and write is the agent's */
	bool writes;
	bool changed; /* something was written through it */

	/* --- Reading --- */
	char *content; /* the whole file, as it was opened; or NULL */
	size_t content_len;
	struct list pieces;
	uint64_t expected; /* where the next read begins if they go on in sequence */
	uint64_t window;   /* bytes to have ahead of it */
	size_t held;	   /* bytes asked for or here */
};

static inline struct far_file *far_file(const struct fuse_file_info *fi)
{
	return (struct far_file *)(uintptr_t)(fi->fh & ~FAR_BIT);
}
uint64_t far_file_handle(const struct fuse_file_info *fi);

/* One request less, or more, uses the handle. The last after the close has it dropped. */
void far_file_hold(struct far_file *f);
void far_file_drop(struct far_file *f);

/* The op is about the file, until it is freed. */
void far_op_hold(struct far_op *op, struct far_file *f);

/* What was read of it may not be so any more. */
void far_drop_data(struct far_node *n);
void far_file_drop_data(struct far_file *f);

/*
 * Sends a change of a regular file and does not wait; its failure is told by the next flush, fsync or write.
 * 0, or -errno when it was not sent.
 */
int far_change_aside(struct far_node *n, struct file_request *q);
/* The first failure not told yet, told now. */
int far_take_error(struct far_node *n);

#define FAR_CHANGING_MAX (4u << 20)  /* bytes written and unanswered, per file */
#define FAR_AHEAD_MAX	 (64u << 20) /* bytes read ahead, per sandbox */
