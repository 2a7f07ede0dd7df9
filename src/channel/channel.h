/* The daemon's end of the agent channel: typed requests out, typed events in. */
#pragma once

#include "base/error.h"
#include "channel/pipe.h"
#include "channel/protocol.h"

#include <stdbool.h>
#include <stdint.h>

struct channel;

/* What the agent says; called from channel_receive(). Pointers are valid during the call. */
struct channel_events {
	void (*process)(void *owner, uint32_t id, struct report *r); /* may move r->start out */
	void (*ready)(void *owner);
	void (*started)(void *owner, uint32_t id, uint64_t when_ns);
	void (*grew)(void *owner, uint32_t id, enum stream_number stream, uint64_t size, bool full);
	void (*output)(void *owner, uint32_t id, enum stream_number stream, uint64_t offset, const void *data,
		       size_t len);
	void (*end)(void *owner, uint32_t id, enum stream_number stream, uint64_t size);
	void (*exited)(void *owner, uint32_t id, const struct outcome *o);
	void (*taken)(void *owner, uint32_t id, uint64_t bytes, bool closed);
	void (*still)(void *owner, uint64_t starts);
	void (*bye)(void *owner, const char *why);
	void (*heard)(void *owner); /* before each of these: something came */
	/* MSG_PROGRAM_NAMES. 0, or -EPROTO for nonsense. */
	int (*programs)(void *owner, uint32_t tag, const char *names, size_t len);
	/* MSG_FILE_REPLY and MSG_FILE_CHANGED, as they are. 0, or -EPROTO for nonsense. */
	int (*file_reply)(void *owner, const struct frame *f);
	int (*file_changed)(void *owner, const struct frame *f);
};

/*
 * Owns `pipe` and says HELLO on it. `life`: the same number on every channel that goes on with the
 * requests about files of an earlier one, and nobody else's. The owner of the pipe's events feeds
 * channel_receive(). Not locked: the caller serialises all calls. NULL: no memory.
 */
struct channel *channel_new(struct pipe *pipe, enum spool_mode mode, uint64_t life,
			    const struct channel_events *events, void *owner);
/* Closes the pipe. Not to be called from an event. */
void channel_free(struct channel *c);

/*
 * Takes bytes from the pipe and calls the events. -EPROTO with a sentence when
 * the agent breaks the protocol, -EBADMSG when a frame that it counted has not
 * come: the channel is then dead and must be freed.
 */
int channel_receive(struct channel *c, const void *data, size_t len, struct error *err);

/* Each queues one frame: 0, -EPIPE, -ENOBUFS or -ENOMEM. With START go, in SPOOL_STREAM, a WANT for each
 * stream. */
int channel_start(struct channel *c, uint32_t id, const struct start *s);
int channel_input(struct channel *c, uint32_t id, uint64_t offset, const void *data, size_t len);
int channel_input_end(struct channel *c, uint32_t id, uint64_t offset);
int channel_signal(struct channel *c, uint32_t id, uint32_t signal);
int channel_resize(struct channel *c, uint32_t id, uint32_t columns, uint32_t rows);
int channel_limit(struct channel *c, uint32_t id, uint64_t bytes);
int channel_want(struct channel *c, uint32_t id, enum stream_number stream, uint64_t offset);
int channel_have(struct channel *c, uint32_t id, enum stream_number stream, uint64_t offset);
int channel_forget(struct channel *c, uint32_t id);
/* `payload` is a whole struct file_request. */
int channel_file(struct channel *c, uint32_t tag, const void *payload, size_t len);
/* Answered with something; what it is does not matter. */
/* PROGRAMS; tag, PATH and name as there. */
int channel_programs(struct channel *c, uint32_t tag, const char *path, const char *name);
int channel_ping(struct channel *c, uint64_t cookie);
int channel_shutdown(struct channel *c, uint32_t grace_ms);
/* When the agent began, by its own clock, which tells it from others: from its WELCOME on. */
uint64_t channel_agent_born(const struct channel *c);
