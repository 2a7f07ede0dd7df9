/* Open files of the control tree. */
#pragma once

#include "tree/tree.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct handle {
	struct object *object; /* a reference */
	const struct node *node;
	bool readable, writable, append, truncated;
	struct object *bound;  /* the process a result was opened for; a reference, or NULL */
	struct stream *stream; /* what reads come from, or NULL */
	struct sink *sink;
	struct journal_reader *lines; /* of `events` */
	struct draft draft;	      /* for cmd, when writable */
	struct calls *calls;	      /* of a function */
	uint64_t cursor; /* behind the last byte read of `stream`: for poll, and for reads of cmd */
	struct buf text; /* rendered, or gathered for store */
	bool rendered, stored, dirty;
	struct comparison *comparison; /* what reads come from */
	struct object *held;	       /* what the line waits for; a reference, or NULL */
	bool waiting;		       /* a line of ctl is under way: of the write that is in `text` */
	size_t lines_done;	       /* bytes of that write that need not be done again */
	unsigned flushes;
	int opener; /* thread that opened it, as the kernel names it to us */
};

/* All with the core lock held. */

/*
 * `flags` as of open(2). -EACCES against the mode, -EAGAIN when a result must
 * wait for pending text (then *ret_wait is what to wait on), -ENODATA for the
 * end of a command that was never given. `h` is NULL at first; what it is after
 * -EAGAIN is to be given again, or released.
 */
int handle_open(const struct spot *s, int flags, int opener, struct handle **h, struct list **ret_wait);
void handle_release(struct handle *h);
/* Bytes so far of the stream it reads, or of the comparison. */
int64_t handle_size(const struct handle *h);

/* A read that can be served now. */
struct served {
	const char *data; /* from memory, valid while the lock is held; or */
	int fd;		  /* >= 0: pread `len` bytes at `offset`; stays open as long as the handle */
	uint64_t offset;
	size_t len; /* 0: end of file */
};
/* -EAGAIN: wait on *ret_wait and try again. */
int handle_read(struct handle *h, size_t size, uint64_t off, struct served *ret, struct list **ret_wait);
/* To be told what was read of `served`. */
void handle_advance(struct handle *h, const struct served *served, size_t len);

/* Bytes taken, or -errno; -EAGAIN as above. */
ssize_t handle_write(struct handle *h, const char *data, size_t len, struct list **ret_wait);
/* Whether a flush by the process that opened it means more than one by another; `by_opener` says which it is.
 */
bool handle_minds_who_flushes(const struct handle *h);
int handle_flush(struct handle *h, bool by_opener);
int handle_fsync(struct handle *h);
int handle_truncate(const struct spot *s);

/* POLLIN and the like that hold now; *ret_wait is what changes them, or NULL. */
unsigned handle_poll(struct handle *h, struct list **ret_wait);
