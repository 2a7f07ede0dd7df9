/* A duplex byte stream to an agent, as a backend supplies it. */
#pragma once

#include "base/error.h"

#include <stddef.h>
#include <sys/uio.h>

struct pipe;

struct pipe_ops {
	/*
	 * Sends or queues all bytes, in order, without blocking. Returns 0,
	 * -EPIPE once closed, or -ENOBUFS when over PIPE_BACKLOG_MAX is queued.
	 */
	int (*send)(struct pipe *p, const struct iovec *iov, int count);
	/* Closes and frees the pipe, later if it must; no event follows. */
	void (*close)(struct pipe *p);
};

#define PIPE_BACKLOG_MAX (64u << 20)

/* What the owner wants to hear; called on the loop thread without locks. */
struct pipe_events {
	void (*received)(void *owner, const void *data, size_t len);
	void (*closed)(void *owner, const struct error *why); /* once; the owner then calls close */
};

/* The first member of every implementation. The owner fills events and owner before bytes can come. */
struct pipe {
	const struct pipe_ops *ops;
	const struct pipe_events *events;
	void *owner;
};

/* A pipe over a connected, non-blocking stream socket, which it owns. Starts to read on pipe_watch(). */
struct pipe *socket_pipe(int fd);
/* To be called on the loop thread, when events and owner are set. Returns 0 or -errno. */
int socket_pipe_watch(struct pipe *p);
