/* A command's stdin: bytes held until the agent has passed them on. */
#pragma once

#include "base/buf.h"
#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SINK_LIVE_MAX	(512u << 10) /* bytes held for a command that runs */
#define SINK_STAGED_MAX (8u << 20)   /* bytes written before the command is given */

/* Embedded in its process; core lock. Offsets count from the first byte ever written. */
struct sink {
	struct buf held; /* bytes from `base` on, not yet taken by the command */
	uint64_t base;
	uint64_t taken;	  /* by the command: `base`, or less when an earlier daemon wrote some */
	uint64_t sent;	  /* given to the channel so far */
	unsigned writers; /* open descriptors */
	bool opened;	  /* a writer was there at some time */
	bool wanted;	  /* the command reads stdin: it was staged, or asked for */
	bool end;	  /* the last writer closed: end of file follows */
	bool end_sent;
	bool closed;	     /* nobody reads on */
	bool live;	     /* the command was given */
	bool stranded;	     /* the agent is out of reach: nobody drains it */
	struct list waiters; /* writers without room */
};

void sink_init(struct sink *s);
void sink_fini(struct sink *s);

/*
 * How many of `len` bytes were taken; -EAGAIN when there is no room, -EPIPE when nobody reads, -ETIMEDOUT
 * when there is no room and the agent is out of reach, -ENOMEM.
 */
ssize_t sink_write(struct sink *s, const void *data, size_t len);
/* Whether a write would not wait. */
bool sink_writable(const struct sink *s);

/* The command is given: is stdin wanted, staged or by its own word? */
void sink_go_live(struct sink *s, bool asked);
void sink_open(struct sink *s);
/* At the last close end of file follows. */
void sink_release(struct sink *s);

/* What may be sent now: the next bytes within the agent's window, or end of file. */
struct sink_piece {
	uint64_t offset;
	const void *data;
	size_t len;
	bool end;
};
bool sink_next(struct sink *s, struct sink_piece *ret);

/* The agent says how far the command's pipe has taken it. */
void sink_taken(struct sink *s, uint64_t offset, bool closed);
/* A new channel: the agent holds everything before `received`. False when that cannot be. */
bool sink_resume(struct sink *s, uint64_t received, uint64_t taken, bool ended);
void sink_close(struct sink *s);
/* Whether the agent is out of reach for good reason to stop waiting for it. */
void sink_strand(struct sink *s, bool stranded);
