/* Snapshots of sandboxes: what stands below snapshots/, and what config/from may say. */
#pragma once

#include "base/error.h"
#include "core/backend.h"
#include "core/object.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct session;

enum snapshot_state { SNAPSHOT_CREATING, SNAPSHOT_READY, SNAPSHOT_FAILED };

/* All guarded by the core lock. */
struct snapshot {
	struct object object; /* in its sandbox, but none of its children: those are commands */
	struct list link;     /* of the sandbox's shelf, in the order of their serials */
	enum snapshot_state state;
	char id[SNAPSHOT_ID_MAX + 1];
	struct error why; /* of a failed one */
	time_t created;
	int64_t bytes;	     /* -1: not known */
	bool with_backend;   /* which has a reference */
	struct list waiters; /* for its being ready, or failing */
	void *instance;	     /* the backend's */
	/* The front end's data about its files, and how to tell it that they are gone. */
	void *front;
	void (*front_gone)(void *front);
};

/* A sandbox's snapshots. */
struct shelf {
	struct list list;
	unsigned count;
	bool asking;	       /* the backend lists them */
	uint64_t told_ms;      /* when it last did, by CLOCK_MONOTONIC; 0 never */
	struct error told_why; /* code 0, or why it could not */
	struct list askers;    /* who waits for that */
};

void shelf_init(struct shelf *s);
/* All are gone, with the sandbox. */
void shelf_clear(struct shelf *s);

struct snapshot *snapshot_find(const struct sandbox *s, const char *name);
/* The first with a serial over `after`. */
struct snapshot *snapshot_next(const struct sandbox *s, uint64_t after);
/* Has those be known that others have made: 0, -EAGAIN: wait on *ret_wait and ask again, or why not. */
int snapshot_seek(struct sandbox *s, struct list **ret_wait, struct error *err);

/*
 * Begins to take one of a running sandbox, under `name`, or (NULL) the first free number. *ret is a
 * reference. -EOPNOTSUPP, -EINVAL, -EEXIST, -ESHUTDOWN, -EBUSY with a sentence.
 */
int snapshot_make(struct sandbox *s, const char *name, struct snapshot **ret, struct error *err);
/*
 * ctl snapshot: starts the sandbox if need be, takes one, waits until it is ready. -EAGAIN: wait on *ret_wait
 * and call it again; *held is what it waits for meanwhile, a reference, NULL at first.
 */
int snapshot_take(struct sandbox *s, const char *name, struct object **held, struct list **ret_wait,
		  struct error *err);
/* ctl stop snapshot: the same of one that is stopped, and of what its commands leave. */
int snapshot_take_at_stop(struct sandbox *s, const char *name, uint32_t grace_ms, struct object **held,
			  struct list **ret_wait, struct error *err);
/* rmdir. */
int snapshot_drop(struct snapshot *n, struct error *err);

/*
 * What config/from is given, made an id: a path of a snapshot, from `near` (NULL: none) or from the
 * mount, or an absolute one into it; what is no such path is taken to be an id. `ret` is allocated.
 * -EBUSY when that one is not ready.
 */
int snapshot_resolve(const struct session *near, const char *text, char **ret, struct error *err);

const char *snapshot_state_name(enum snapshot_state state);
/* What is known of it, as JSON with a newline. 0 or -ENOMEM. */
int snapshot_info(const struct snapshot *n, struct buf *out);
/* The same of all of a sandbox's, into its info. */
void snapshots_describe(const struct sandbox *s, cJSON *info);
