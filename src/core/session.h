/* A session: a directory of sandboxes with defaults of its own. */
#pragma once

#include "base/error.h"
#include "core/config.h"
#include "core/report/journal.h"
#include "core/object.h"
#include "core/report/stats.h"

struct sandbox;

struct session {
	struct object object;
	struct config defaults;
	struct error error;
	struct feed events;
	struct counters totals;
	bool closed;  /* takes no new sandboxes */
	bool adopted; /* has got sandboxes that the kernel did not make */
	/* ctl close: how many are still to end, how many could not be stopped, and which. */
	unsigned closing, unstopped;
	struct error close_error;
	struct list closers;   /* who waits for that */
	struct list functions; /* its remote functions, in the order of their serials; a reference to each */
	unsigned function_count;
};

/* mkdir NAME at the top. */
int session_make(const char *name, struct error *err);
/* rmdir: -ENOTEMPTY while it has sandboxes. */
int session_drop(struct session *s, struct error *err);
/* Calls `fn` for each of its sandboxes, those of its functions too; `fn` may drop the one it is given. */
void session_each(const struct session *s, void (*fn)(struct sandbox *, void *arg), void *arg);
/* The session without a name of sandboxes that were attached to by their ids; made when first asked for.
 * NULL: no memory. */
struct session *session_of_strays(void);
/*
 * ctl close: stops all its sandboxes at once; it takes no new ones. -EAGAIN: wait on *ret_wait, and
 * call it again with `again`. At the end 0, or -EIO with who could not be stopped. -ESHUTDOWN when
 * it was closed before.
 */
int session_close(struct session *s, bool again, struct list **ret_wait, struct error *err);
/* One of those has ended or is gone; `why` NULL, or why it could not be stopped. Harmless for any other. */
void session_stopped(struct sandbox *s, const struct error *why);

/*
 * ctl adopt: sandbox `id`, which belongs to no session of this mount, becomes one of this session, under
 * `name`, or (NULL) what it was called before, or its id. -EAGAIN: wait on *ret_wait and call it again.
 */
int session_adopt(struct session *s, const char *id, const char *name, struct list **ret_wait,
		  struct error *err);
