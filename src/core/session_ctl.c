/* What a session does with sandboxes as a whole: adopt, close. */
#include "core/after.h"
#include "core/report/events.h"
#include "core/mount.h"
#include "core/roster.h"
#include "core/sandbox.h"
#include "core/session.h"
#include "core/waiter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLOSE_TIMEOUT_MS 30000

static int is_closed(struct error *err)
{
	return error_set(err, ESHUTDOWN, "SESSION_CLOSED", "the session is closed");
}

/* --- close --- */

static void note_failure(struct session *session, const struct sandbox *s, const struct error *why)
{
	struct error *all = &session->close_error;
	size_t used = strlen(all->text);

	session->unstopped++;
	snprintf(all->text + used, sizeof all->text - used, "%s%s: %s", used ? "; " : "", s->object.name,
		 why->text);
}

void session_stopped(struct sandbox *s, const struct error *why)
{
	struct session *session = sandbox_session(s);

	if (!s->closing)
		return;
	s->closing = false;
	if (why)
		note_failure(session, s, why);
	if (--session->closing)
		return;
	if (session->unstopped) {
		char which[sizeof session->close_error.text];

		memcpy(which, session->close_error.text, sizeof which);
		error_set(&session->close_error, EIO, "CLOSE_FAILED",
			  "%u of the sandboxes could not be stopped: %s", session->unstopped, which);
		session->error = the_mount.error = session->close_error;
	}
	core_wake(&session->closers);
}

static void too_late(struct sandbox *s, void *why)
{
	session_stopped(s, why);
}

static void time_is_over(struct object *o)
{
	struct error why;

	error_set(&why, ETIMEDOUT, "CLOSE_FAILED", "it has not ended within %d s", CLOSE_TIMEOUT_MS / 1000);
	session_each((struct session *)o, too_late, &why);
}

static void mark(struct sandbox *s, void *session)
{
	s->closing = s->state < SANDBOX_COMPLETED;
	((struct session *)session)->closing += s->closing;
}

static void stop(struct sandbox *s, void *arg)
{
	(void)arg;
	sandbox_stop(s, STOP_GRACE_MS);
}

static void begin_close(struct session *s)
{
	s->closed = true;
	event_session(s, "closed");
	/* All are marked before the first is stopped: one that ends at once is not taken for the last. */
	session_each(s, mark, s);
	if (s->closing)
		core_after(CLOSE_TIMEOUT_MS, time_is_over, &s->object);
	session_each(s, stop, NULL);
}

int session_close(struct session *s, bool again, struct list **ret_wait, struct error *err)
{
	if (!again) {
		if (s->closed)
			return error_set(err, ESHUTDOWN, "SESSION_CLOSED", "the session was closed before");
		begin_close(s);
	}
	if (s->closing) {
		*ret_wait = &s->closers;
		return -EAGAIN;
	}
	if (!s->unstopped)
		return 0;
	*err = s->close_error;
	return -err->code;
}

/* --- adopt --- */

/* The name asked for, or the one it had where that is still free, or the id. */
static const char *name_for(struct session *s, const struct sandbox *sandbox, const char *wanted,
			    struct error *err)
{
	if (wanted && object_name_check(wanted)) {
		error_set(err, EINVAL, "INVALID_NAME", "'%.60s' is no name for a sandbox", wanted);
		return NULL;
	}
	if (wanted && object_child(&s->object, wanted)) {
		error_set(err, EEXIST, "EXISTS", "there is a sandbox %s already", wanted);
		return NULL;
	}
	if (wanted)
		return wanted;
	if (sandbox->old_name && !object_name_check(sandbox->old_name) &&
	    !object_child(&s->object, sandbox->old_name))
		return sandbox->old_name;
	return sandbox->id;
}

static int move_here(struct session *s, struct sandbox *sandbox, const char *wanted, struct error *err)
{
	const char *name = name_for(s, sandbox, wanted, err);
	const struct backend_ops *ops = the_mount.backend->ops;

	if (!name)
		return -err->code;
	object_move(&sandbox->object, &s->object, name);
	s->adopted = true;
	COUNT(sandbox, sandboxes, 1);
	event_sandbox(sandbox);
	if (ops->renamed)
		ops->renamed(the_mount.backend, sandbox);
	return 0;
}

int session_adopt(struct session *s, const char *id, const char *name, struct list **ret_wait,
		  struct error *err)
{
	struct sandbox *sandbox;
	int rc;

	if (s->closed)
		return is_closed(err);
	rc = roster_attach(id, ret_wait, err);
	if (rc)
		return rc;
	sandbox = roster_find(id);
	if (sandbox_function(sandbox))
		return error_set(err, EBUSY, "IN_SESSION",
				 "sandbox %s is for calls of function %s of session %s", id,
				 sandbox->object.parent->name, sandbox_session_name(sandbox));
	if (sandbox_session(sandbox) == s)
		return 0;
	if (sandbox_session(sandbox) != the_mount.strays)
		return error_set(err, EBUSY, "IN_SESSION", "sandbox %s is %s/%s", id,
				 sandbox_session_name(sandbox), sandbox_name(sandbox));
	return move_here(s, sandbox, name, err);
}
