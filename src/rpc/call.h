/*
 * One call of a Connect service, with JSON: unary, or a stream of messages one
 * or both ways. Loop thread only; every event comes from the loop, never from
 * within a function of this header.
 */
#pragma once

#include "base/buf.h"
#include "rpc/endpoint.h"
#include "rpc/status.h"

#include <stdbool.h>

enum call_kind {
	CALL_UNARY,
	CALL_SERVER_STREAM,
	CALL_DUPLEX,
};

struct call_events {
	/* One message of the other side, as JSON text that is valid during the call. */
	void (*message)(void *owner, const char *text, size_t len);
	/* There is room again after call_queued() was over CALL_QUEUE_HIGH. May be NULL. */
	void (*writable)(void *owner);
	/* Once, last; the call is freed after it. After success of a unary call there was one message. */
	void (*ended)(void *owner, const struct rpc_status *status);
};

#define CALL_QUEUE_HIGH	 (1u << 20)
#define CALL_MESSAGE_MAX ((1u << 24) - 1) /* of a duplex call, but for the first */

/*
 * Begins a call of "package.Service/Method" with `request` (JSON text) as its
 * message, or its first one. `timeout_ms` 0: no deadline. NULL: out of memory.
 */
struct call *call_start(struct endpoint *e, enum call_kind kind, const char *method, const char *request,
			size_t len, uint32_t timeout_ms, const struct call_events *events, void *owner);

/*
 * Of a duplex call, before the loop goes on: it does no harm to begin it twice. So it is, with all that was
 * sent, where the service has ended it at once and what it said is lost (transfer.c).
 */
void call_may_repeat(struct call *c);

/*
 * Of a duplex call, before the loop goes on: it may be long until the service says anything, and nobody else
 * will notice that it has ended the call and libcurl has lost that (duplex.c). Its messages have to leave
 * room for what tells: see call_room().
 */
void call_persist(struct call *c);

/* One more message of a duplex call: 0, -EFBIG or -ENOMEM. What is queued past CALL_QUEUE_HIGH should wait.
 */
int call_send(struct call *c, const char *message, size_t len);
/* How many bytes the next message can have now: CALL_ROOM_MIN to CALL_MESSAGE_MAX. */
size_t call_room(const struct call *c);
#define CALL_ROOM_MIN 1024u
size_t call_queued(const struct call *c);
/* No more messages will be sent; the answers go on. Right behind the last message, or the start. */
void call_finish(struct call *c);

/* While held no messages come, and soon the other side cannot send. */
void call_hold(struct call *c, bool held);

/* Resets the stream; no event comes any more and the call is gone. */
void call_cancel(struct call *c);
