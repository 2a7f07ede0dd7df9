/* A request of the kernel's that waits for the agent, and requests to the agent nobody waits for. */
#pragma once

#include "core/waiter.h"
#include "fuse/far/node.h"
#include "fuse/interrupt.h"

struct far_file;
struct far_piece;

/*
 * Life: far_op_new() takes the kernel's request; one or more calls to the agent
 * follow; `answered` applies an answer, under the core lock, and either gives
 * the next call or ends with far_op_finish(); then `reply` runs without the lock,
 * on whatever thread drops it next. The effects of an answer are applied also
 * when the kernel's request was interrupted, and `undo` then takes back what
 * nobody will ask to be taken back.
 */
struct far_op {
	struct file_call call;
	struct waiter waiter;
	struct interruptible interruptible;
	fuse_req_t req;	       /* NULL: interrupted */
	pid_t thread;	       /* whose it is */
	bool signalled;	       /* it got a signal; which one did not end it, at first */
	struct list by_signal; /* of far->signalled */
	struct far *far;
	struct far_node *node, *other;		 /* references, or NULL */
	void (*let_go)(struct far_file *opened); /* NULL: it is not held by this. Lock held */
	struct far_file *opened;		 /* the one it is about, or made */
	/* With op->error, 0 or -errno. As of a file_call. Lock held. */
	int (*answered)(struct far_op *op, struct file_reply *reply);
	/* With op->error 0. NULL: errno alone. No lock held. False when the kernel did not take it. */
	bool (*reply)(struct far_op *op);
	/* The kernel will not know of what was made (op->entry apart). Lock held. */
	void (*undo)(struct far_op *op);
	/* What to do when woken from a list instead of replying; lock held. */
	void (*again)(struct far_op *op);
	int error;
	bool finished, waiting, undo_failed; /* undo_failed: also what failed needs `undo` */
	uint64_t fetch;			     /* of a listing, begun for this */
	uint64_t drops;			     /* of an open: what its node had when it was sent */
	struct far_aside *found;	     /* a listing of what this looks up or makes, or NULL */

	/* For replies and arguments. */
	struct fuse_entry_param entry;
	struct fuse_file_info fi;
	char *data;
	size_t size;
	off_t off;
	uint64_t number;
	int flags;
	char name[NAME_MAX + 1];
	char newname[NAME_MAX + 1];
};

/*
 * Returns with the core lock held; NULL, replied and without the lock, when there is no memory or it was
 * interrupted already. `node` may be NULL. Each function that begins one gives it to one of the three
 * below and drops the lock.
 */
struct far_op *far_op_new(fuse_req_t req, struct far_node *node);

/* Asks the agent; what cannot be asked ends the op. */
void far_op_call(struct far_op *op, struct file_request *q);
/* Waits on a list; core_wake() of it calls `again`. */
void far_op_wait(struct far_op *op, struct list *list, void (*again)(struct far_op *));
void far_op_finish(struct far_op *op, int error);

/* A request to the agent nobody waits for. */
struct far_aside {
	struct file_call call;
	struct far *far;       /* a reference */
	struct far_node *node; /* a reference, or NULL */
	uint64_t number;
	char name[NAME_MAX + 1];
	struct far_piece *piece;
	struct far_file *file;
	struct far_op *asker; /* whose `found` this is, or NULL */
	uint64_t question;    /* of several requests that this is one of, or 0 */
	size_t size;
	/* As of an op, but with the error; NULL: whatever it is. Lock held. */
	int (*answered)(struct far_aside *a, int error, struct file_reply *reply);
};
/* NULL: no memory. Lock held, both. */
struct far_aside *far_aside_new(struct far *far, struct far_node *node);
/* 0, or what encoding it gave, and then it is dropped and `answered` not called. */
int far_aside_call(struct far_aside *a, struct file_request *q);
/* The same in two steps, of which the second cannot fail. */
int far_aside_encode(struct far_aside *a, struct file_request *q);
void far_aside_send(struct far_aside *a);
/* Has the agent drop a handle. */
void far_release_handle(struct far *far, uint64_t handle);
