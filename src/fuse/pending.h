/* Requests that must wait: parked without a thread, tried again when woken, ended by an interrupt. */
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>

#include "base/list.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

struct handle;
struct pending;

/* Whether an attempt is to wait: -EAGAIN without a list to wait on is an answer like any other. */
static inline bool is_not_yet(ssize_t rc, const struct list *wait_list)
{
	return rc == -EAGAIN && wait_list;
}

/* What a request needs to be tried again; copied when it is parked. */
struct request {
	fuse_req_t req;
	fuse_ino_t ino;
	struct fuse_file_info fi;
	size_t size;
	off_t off;
	char *data;		/* bytes to write; owned once parked */
	char name[256];		/* for look-ups */
	struct handle *opening; /* of an open that waits for what it has begun; released with the request */
	/*
	 * Answers `req` and returns true, or calls wait_on() and returns its
	 * result. Called without the core lock.
	 */
	bool (*attempt)(struct request *r, struct pending *p);
};

/* Runs the first attempt; what it cannot answer is parked. */
void request_run(struct request *r);

/*
 * From an attempt, core lock held: park on `list` (NULL in the first, unparked
 * attempt just says "not yet"). Returns false, and the attempt returns false
 * after unlocking; or true when the request was interrupted: it is then to be
 * answered with EINTR.
 */
bool wait_on(struct pending *p, struct list *list);
