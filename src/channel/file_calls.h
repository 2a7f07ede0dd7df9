/* Requests about files to one agent, across the connections to it: each is done once and answered once. */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/list.h"
#include "channel/file_protocol.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A request is kept until it is answered, so that it can be sent again over the
 * next connection under its old sequence; the agent then either does it or
 * repeats its answer. Requests are sent in the order they are given, and the
 * agent works them in that order: one may use what an earlier one makes.
 *
 * At most CALLS_MAX requests and CALL_BYTES_MAX bytes of them, and of the
 * answers they ask for, are under way; the others wait here for their turn.
 *
 * Not locked: the caller serialises all calls.
 */
struct file_calls;

#define CALLS_MAX      1024u
#define CALL_BYTES_MAX (16u << 20)

struct file_call {
	struct list link;
	uint32_t tag;
	uint64_t sequence;
	uint32_t expected;  /* bytes of answer, for the limit; set by the caller, 0 for few */
	bool forsaken;	    /* by file_calls_forsake() */
	struct buf payload; /* by file_calls_encode(); freed here once it is answered */
	/*
	 * Called once. `error` is 0, what the agent's operation failed with, or, when the agent cannot be
	 * asked any more, what file_calls_end() or file_calls_fail() were told; all negative. `reply` is
	 * there when the agent answered, and during the call only; its fields when `error` is 0. Returns
	 * -EPROTO when they make no sense. The call belongs to the caller again.
	 */
	int (*answered)(struct file_call *call, int error, struct file_reply *reply);
};

/* How a request reaches the agent: as one frame. Returns 0 or -errno, on which the connection is lost. */
typedef int file_calls_sender(void *to, uint32_t tag, const void *payload, size_t len);

struct file_calls *file_calls_new(void);
/* Nothing may be under way: file_calls_end() sees to it. */
void file_calls_free(struct file_calls *calls);

/* Fills the payload, but for the sequences, which are set when it is sent: as file_request_encode(). */
int file_call_encode(struct file_call *call, struct file_request *q);

/* The payload and `answered` are set. Always takes it; a failure may be told from within. */
void file_calls_give(struct file_calls *calls, struct file_call *call);

/*
 * Nobody wants the answer any more, of a request that only looks: it is not sent another time, nor for the
 * first, but something harmless in its place, whose answer, without fields, it then gets.
 */
void file_calls_forsake(struct file_calls *calls, struct file_call *call);

/* A connection is there: what is not answered goes out, the oldest first. */
void file_calls_resume(struct file_calls *calls, file_calls_sender *send, void *to);
/* It is lost; requests are kept for the next one. */
void file_calls_suspend(struct file_calls *calls);
/* All that is under way fails now, with -`code`; what is given from now on too. */
void file_calls_fail(struct file_calls *calls, int code);
/* The next file_calls_resume() makes it good again; after file_calls_end() nothing does. */
void file_calls_end(struct file_calls *calls, int code);

/* A MSG_FILE_REPLY. -EPROTO when it answers nothing, or not what was asked. */
int file_calls_reply(struct file_calls *calls, const struct frame *f);
/* How many there were. */
uint64_t file_calls_count(const struct file_calls *calls);
bool file_calls_idle(const struct file_calls *calls);
