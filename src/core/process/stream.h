/* Output as an append-only log in a file, read by offset by any number of readers. */
#pragma once

#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Embedded in the object it belongs to, which its readers keep alive. Core lock. */
struct stream {
	uint64_t size; /* bytes so far */
	bool ended;    /* a reader at the end sees end of file */
	bool full;     /* the writer is stopped at its limit */
	int failure;   /* errno a reader gets instead of end of file, or 0 */
	int fd;	       /* the file, or -1 while nobody reads */
	bool unnamed;  /* made by stream_append(): cannot be opened again */
	char *head;    /* while there is no file: all of it, short; else NULL */
	unsigned readers;
	struct list waiters;
	/* Somebody reads it now, or nobody does any more; or NULL. */
	void (*watched)(struct stream *s, bool on);
	/* Opens the named file: a descriptor or -errno; NULL where there is only stream_append(). */
	int (*open)(struct stream *s);
};

void stream_init(struct stream *s, int (*open_file)(struct stream *));
/* Closes the file; no reader may be left. */
void stream_fini(struct stream *s);

void stream_add_reader(struct stream *s);
void stream_drop_reader(struct stream *s);
/* Opens the file for the readers there are, before its name goes away. */
void stream_pin(struct stream *s);

/* The writer's side; each wakes the readers. A stream that has grown by stream_grow() is in its file. */
void stream_grow(struct stream *s, uint64_t size, bool full);
/* The first bytes of a stream too short for a file. -EPROTO when they do not follow what is here, -ENOMEM. */
int stream_grow_head(struct stream *s, uint64_t offset, const void *data, size_t len);
void stream_end(struct stream *s, int failure);
/* For streams the daemon writes itself: to an unnamed file in `directory` ("" for memory), when there is more
 * than a little. 0 or -errno. */
int stream_append(struct stream *s, const char *directory, const void *data, size_t len);

/*
 * What a read of `len` bytes at `*off` may do now. A positive result is how many
 * bytes to take at *off: from *ret_data, valid under the lock, or where that is NULL by
 * pread from *ret_fd. 0 is end of file;
 * -EAGAIN means wait; else the failure, as -errno. Without `follow` the present
 * end is end of file.
 */
ssize_t stream_read(struct stream *s, uint64_t *off, size_t len, bool follow, int *ret_fd,
		    const char **ret_data);
