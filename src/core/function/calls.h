/*
 * The calls of a remote function through one open descriptor: texts in, one line of answer for each, in
 * the same order. `call` takes one JSON value at a time, `map` one a line.
 *
 * Answers go to an unnamed file as soon as it is their turn, so that who writes first and reads later is
 * never stuck; calls that have no answer there yet are few, and a writer waits for them.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "core/process/stream.h"

#include <stdbool.h>

struct function;

struct calls {
	struct function *function; /* a reference */
	bool by_line;
	struct list all;   /* in the order of their answers, the first to come first */
	struct list turns; /* of these, what was not begun */
	unsigned count;	   /* of all */
	unsigned waiting, running;
	size_t waiting_bytes; /* texts that were not begun */
	size_t held_bytes;    /* answers whose turn has not come */
	struct buf text;      /* written, and no call yet */
	bool skipping;	      /* what is written belongs to a text that was too long */
	int refused;	      /* errno for reads, until the next write */
	struct stream out;
	uint64_t read, punched; /* bytes of `out` that were read; of these, what takes no room any more */
	struct list waiters;	/* for an answer, or for room to write */
};

/* NULL: no memory. */
struct calls *calls_new(struct function *f, bool by_line);
/* Cancels what runs: its sandboxes are removed. */
void calls_free(struct calls *c);

/*
 * All with the core lock held. How many bytes were taken; -EAGAIN: no room, wait on c->waiters; -EFBIG,
 * -EINVAL (a function without a source), -ESHUTDOWN, with a sentence.
 */
ssize_t calls_write(struct calls *c, const char *data, size_t len, struct error *err);
/*
 * Makes a call of what was gathered. Of a text that may only be incomplete that is so when `all`; else it
 * stays. -EINVAL when it is no JSON.
 */
int calls_commit(struct calls *c, bool all, struct error *err);
/* As stream_read(), from where the last read ended. 0: every call is answered. -EAGAIN: wait on c->waiters.
 */
ssize_t calls_read(struct calls *c, size_t len, uint64_t *ret_off, int *ret_fd, const char **ret_data,
		   struct error *err);
void calls_advance(struct calls *c, uint64_t read);
bool calls_readable(const struct calls *c);
bool calls_writable(const struct calls *c);
