/* One call of a remote function: a sandbox of its own, a process in it, and its answer. */
#pragma once

#include "base/buf.h"
#include "core/function/calls.h"
#include "core/waiter.h"

struct process;
struct sandbox;
struct source;

struct call {
	struct list link;    /* of calls->all */
	struct list turn;    /* of calls->turns, until it is begun */
	struct calls *calls; /* NULL: nobody wants the answer any more */
	struct buf text;     /* its JSON, and a newline */
	struct buf answer;   /* a line, once `done` */
	bool done;
	struct waiter waiter; /* off all lists while it is about to run, or does */
	struct source *source;
	struct sandbox *sandbox; /* a reference to each once it runs */
	struct process *process;
	size_t given; /* of its input, to the process */
	bool fed;     /* that was all */
};

/* Owns `text` from here, on success. NULL: no memory. */
struct call *call_new(struct calls *calls, struct buf *text);
/* Sets its answer to an error. */
void call_refuse(struct call *c, const struct error *err);
/* Starts it. When it ends, calls_ended() is told; or it is done at once, refused. */
void call_begin(struct call *c);
/* Ends what runs and frees it. */
void call_drop(struct call *c);

/* Of the calls it belongs to: one has ended and has its answer. */
void calls_ended(struct calls *c);
