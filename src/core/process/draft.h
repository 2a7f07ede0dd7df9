/*
 * The text gathered on one open of `cmd`, and when it becomes a command.
 *
 * Shells flush and close in surprising ways: a redirection sends a flush before
 * the first write; in { cat a; cat b; } > cmd each child's exit flushes too;
 * one printf makes a write per line. So a flush from the process that opened
 * the file commits what is new; a flush from another process only marks it as
 * pending; the release of the open file commits what is pending.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/list.h"
#include "core/object.h"

#include <stdbool.h>

/* Where drafts arrive; embedded in a sandbox and in a named process. Core lock. */
struct inbox {
	struct object *owner;
	struct list pending; /* drafts marked pending, whose release has not come */
	struct list waiters; /* who wants the pending ones committed first */
	bool alarm_set;
};

struct draft {
	struct inbox *inbox; /* its owner is referenced by the draft */
	struct buf text;
	struct list link;	/* on inbox->pending */
	bool spoiled;		/* a write was refused: the rest of the text is not to run either */
	struct object *process; /* what the last commit started; a reference, or NULL */
};

#define DRAFT_RELEASE_WAIT_MS 100

void inbox_init(struct inbox *in, struct object *owner);

/* Whether an open of a result must wait for a release first; starts the clock for it. */
bool inbox_must_wait(struct inbox *in);

void draft_init(struct draft *d, struct inbox *in);
/* Commits what is pending, and lets go. */
void draft_release(struct draft *d);

/* Judges what can be judged early: ESHUTDOWN, EBUSY, EFBIG, with a sentence in `error`. */
int draft_write(struct draft *d, const void *data, size_t len);
int draft_flush(struct draft *d, bool by_opener);
/* Starts what was gathered, if anything. 0 or -errno (EINVAL for a malformed text). */
int draft_commit(struct draft *d);
