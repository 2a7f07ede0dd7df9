/*
 * Where no agent can be put: a stand-in for it in this daemon, which speaks the
 * agent protocol to core, and does what it asks by calls of the service: a
 * StreamExec for each command, and for requests about files.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/list.h"
#include "channel/frame.h"
#include "channel/pipe.h"
#include "channel/protocol.h"

#include <pthread.h>
#include <stdbool.h>

struct aviato;
struct stand_in;

/* Loop thread, no lock held. */
struct stand_in_events {
	/* A call failed in a way that may mean the end of the sandbox. */
	void (*doubted)(void *owner);
	/* Core closed the pipe: it is the owner's no more. */
	void (*lost)(void *owner);
	/* Requests about files failed, and not by what the files are. */
	void (*failed)(void *owner, const struct error *why);
	/* The sandbox is to be ended, and the last command has. */
	void (*left)(void *owner);
};

/* Loop thread. NULL: out of memory. */
struct stand_in *stand_in_open(struct aviato *a, const char *sandbox_id, const struct stand_in_events *events,
			       void *owner);
struct pipe *stand_in_as_pipe(struct stand_in *s);
/* NAME=VALUE: what the process has in its environment that says that this mount uses the sandbox. */
void stand_in_mark(const struct stand_in *s, char *ret, size_t size);
#define STAND_IN_HOLD "AVIATOFS_HOLD"
/* The service says that it has suspended the sandbox, or not any more. Loop thread. */
void stand_in_paused(struct stand_in *s, bool paused);
/* Whether a command has not ended yet, or has not told all. Loop thread. */
bool stand_in_is_busy(const struct stand_in *s);
/* The owner hears no more of it, its calls are given up, and core closes it. Loop thread. */
void stand_in_abandon(struct stand_in *s);

/* --- Among the files of the stand-in --- */

struct stand_in {
	struct pipe pipe;
	struct aviato *aviato;
	char sandbox_id[128];
	pthread_mutex_t lock; /* from_core, posted, closed, references */
	struct buf from_core;
	bool posted, closed;
	unsigned references; /* core's, and one for each posted call */
	/* The loop thread's */
	struct buf in;	/* the start of a frame that has not come whole */
	struct buf out; /* frames for core */
	uint64_t told;	/* how often commands had something to say: news about files, maybe */
	struct list commands, kills;
	bool paused;
	bool leaving;		      /* commands are told to end */
	struct delay *delay;	      /* until those that have not are killed */
	struct stand_in_files *files; /* NULL when the pipe is closed */
	const struct stand_in_events *events;
	void *owner; /* NULL when it wants to hear no more */
};

/* Adds a frame for core; stand_in_flush() passes it on. */
void stand_in_tell(struct stand_in *s, const struct frame *f);
/* Such a frame, of a number and bytes behind it. */
void stand_in_tell_number(struct stand_in *s, enum message type, uint32_t id, uint8_t stream, uint8_t flags,
			  uint64_t value, const void *data, size_t len);
void stand_in_flush(struct stand_in *s);
/* A command is gone: there may be none left. */
void stand_in_has_less(struct stand_in *s);
/* Why nothing was said for so long as a call may take to begin. */
void stand_in_unanswered(const struct stand_in *s, struct error *ret);
/* See the events. */
void stand_in_doubt(struct stand_in *s);
void stand_in_complain(struct stand_in *s, const struct error *why);
