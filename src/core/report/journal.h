/*
 * The lines of `events`: kept in memory up to a bound, the oldest given up first,
 * read by any number of readers. There is one journal; a feed is what concerns the
 * mount (all of it) or one session.
 */
#pragma once

#include "base/buf.h"
#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

#define JOURNAL_KEPT	 (4u << 20) /* bytes of lines, about */
#define JOURNAL_LINE_MAX 4096

/* Embedded in the mount and in each session. All with the core lock held. */
struct feed {
	uint64_t owner; /* serial of the session; 0: the mount's */
	uint64_t count; /* lines so far */
	uint64_t kept;	/* bytes of those that are kept */
	bool ended;	/* there will be no more */
	struct list waiters;
};

void feed_init(struct feed *f, uint64_t owner);
void feed_end(struct feed *f);

/* The number the next line gets. */
uint64_t journal_next_number(void);
/* Adds a line (with its newline) to the feeds of the session and of the mount. One that finds no memory
 * counts as lost. */
void journal_add(struct feed *session, const char *line, size_t len);
/* Frees all, when nobody reads any more. */
void journal_end(void);

/*
 * One open file. What it has read stays for a while, so that seeking back a little is
 * exact; seeking back further starts over with what is kept. Where lines were given up
 * before it came to them, there stands one that tells how many.
 */
struct journal_reader {
	struct feed *feed;
	uint64_t next;	   /* number of the next line to look at */
	uint64_t expected; /* of the feed's lines, the next by its own count */
	uint64_t base;	   /* file position of the window's first byte */
	uint64_t position; /* behind the last byte read */
	struct buf window;
};

void journal_reader_init(struct journal_reader *r, struct feed *feed);
void journal_reader_free(struct journal_reader *r);
/* Up to `size` bytes at `off`: 0 with *ret_len (0: the feed has ended), valid while the lock is held;
 * -EAGAIN: wait on the feed's list; -ENOMEM. */
int journal_read(struct journal_reader *r, uint64_t off, size_t size, const char **ret_data, size_t *ret_len);
/* Whether a read where the last one ended would not wait. */
bool journal_ready(struct journal_reader *r);
