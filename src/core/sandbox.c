#include "core/sandbox.h"

#include "base/log.h"
#include "core/report/events.h"
#include "core/function/function.h"
#include "core/report/main_log.h"
#include "core/mount.h"
#include "core/roster.h"
#include "core/session.h"
#include "core/waiter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static const char *const state_names[SANDBOX_STATES] = {
    [SANDBOX_UNSTARTED] = "unstarted", [SANDBOX_PENDING] = "pending", [SANDBOX_CREATING] = "creating",
    [SANDBOX_RUNNING] = "running",     [SANDBOX_PAUSED] = "paused",   [SANDBOX_TERMINATING] = "terminating",
    [SANDBOX_COMPLETED] = "completed", [SANDBOX_FAILED] = "failed",   [SANDBOX_TERMINATED] = "terminated",
};

const char *sandbox_state_name(enum sandbox_state state)
{
	return state_names[state];
}

struct session *sandbox_session(const struct sandbox *s)
{
	struct function *f = sandbox_function(s);

	return f ? function_session(f) : (struct session *)s->object.parent;
}

struct function *sandbox_function(const struct sandbox *s)
{
	return s->object.parent->kind == OBJECT_FUNCTION ? (struct function *)s->object.parent : NULL;
}

void sandbox_set_state(struct sandbox *s, enum sandbox_state state)
{
	if (s->state == state)
		return;
	log_debug("sandbox %s/%s: %s -> %s", sandbox_session_name(s), s->object.name, state_names[s->state],
		  state_names[state]);
	s->state = state;
	event_sandbox(s);
}

/* --- Making and freeing --- */

static void destroy(struct object *o)
{
	struct sandbox *s = (struct sandbox *)o;

	config_free(&s->own);
	config_free(&s->effective);
	free(s->old_name);
	if (s->spool_dir >= 0)
		close(s->spool_dir);
	free(s->by_id);
	file_calls_free(s->files);
	programs_free(s->programs);
	main_logs_free(s);
	free(s);
}

static void random_bytes(void *out, size_t len)
{
	/* Up to 256 bytes come whole once the pool is seeded, which it is when programs run. */
	if (getrandom(out, len, 0) != (ssize_t)len)
		abort();
}

static void make_id(char id[SANDBOX_ID_MAX + 1])
{
	static const char digits[] = "0123456789abcdefghijkmnpqrstuvwx"; /* 32 that are hard to confuse */
	unsigned char random[16];

	random_bytes(random, sizeof random);
	for (size_t i = 0; i < sizeof random; i++)
		id[i] = digits[random[i] & 31];
	id[sizeof random] = '\0';
}

struct sandbox *sandbox_new(struct object *parent, const char *name)
{
	struct sandbox *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->spool_dir = -1;
	s->last_id = 1; /* 1 is the main process */
	s->columns = TERMINAL_COLUMNS;
	s->rows = TERMINAL_ROWS;
	s->created = time(NULL);
	random_bytes(&s->life, sizeof s->life);
	s->life |= 1; /* 0 is nobody's */
	list_init(&s->startup);
	list_init(&s->logs);
	inbox_init(&s->inbox, &s->object);
	shelf_init(&s->snapshots);
	/* The caller's reference is the life itself, given back in sandbox_removed(). */
	if (object_add(&s->object, OBJECT_SANDBOX, parent, name, destroy)) {
		free(s);
		return NULL;
	}
	the_mount.living++;
	return s;
}

static struct sandbox *declare(struct object *parent, const char *name, struct error *err)
{
	struct sandbox *s = sandbox_new(parent, name);

	if (!s) {
		error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
		return NULL;
	}
	make_id(s->id);
	roster_enter(s);
	COUNT(s, sandboxes, 1);
	event_sandbox(s);
	return s;
}

struct sandbox *sandbox_make_inner(struct function *f, const char *name, struct error *err)
{
	return declare(&f->object, name, err);
}

int sandbox_make(struct session *session, const char *name, struct error *err)
{
	int rc = object_name_check(name);

	if (rc)
		return error_set(
		    err, -rc, "INVALID_NAME",
		    "a sandbox's name has 1 to %d bytes of A-Z a-z 0-9 . _ - and starts and ends with "
		    "a letter or digit",
		    NAME_MAX_BYTES);
	if (object_child(&session->object, name))
		return error_set(err, EEXIST, "EXISTS", "there is a sandbox %s already", name);
	if (session->closed || the_mount.ending)
		return error_set(err, ESHUTDOWN, "SESSION_CLOSED", "the session is closed");
	return declare(&session->object, name, err) ? 0 : -err->code;
}

/* --- Starting --- */

static int effective_levels(const struct sandbox *s, const struct config *levels[4])
{
	levels[0] = &the_mount.builtin;
	levels[1] = &the_mount.defaults;
	levels[2] = &sandbox_session(s)->defaults;
	levels[3] = &s->own;
	return 4;
}

int sandbox_config_effective(struct sandbox *s, struct config *ret)
{
	const struct config *levels[4], *fixed = &s->effective;

	if (s->began)
		return config_merge(&fixed, 1, ret);
	return config_merge(levels, effective_levels(s, levels), ret);
}

int sandbox_config_set(struct sandbox *s, enum config_key key, const char *text, struct error *err)
{
	const struct config *levels[4];
	int count = effective_levels(s, levels);

	/* How its log is read is a matter of the reader. */
	if (key == CONFIG_LOGS && s->began) {
		levels[0] = &s->effective;
		return mount_config_set(sandbox_session(s), levels, 1, &s->effective, key, text, err);
	}
	if (s->state != SANDBOX_UNSTARTED)
		return error_set(err, EBUSY, "ALREADY_STARTED", "%s was fixed when the sandbox started",
				 config_fields[key].name);
	return mount_config_set(sandbox_session(s), levels, count, &s->own, key, text, err);
}

/* What config/command says runs beside the commands, as process 1; its output is `logs`. */
static int make_main(struct sandbox *s, struct error *err)
{
	const char *text = config_text(&s->effective, CONFIG_COMMAND);

	if (!*text || the_mount.backend->ops->runs_command)
		return 0;
	s->main = process_make_main(s, text);
	return s->main ? 0 : error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
}

/* Where it could not be started: why. ENOENT would be taken as said of the name that is looked up in it. */
static int end_errno(const struct sandbox *s)
{
	bool never_ran = s->state == SANDBOX_FAILED && !s->started && s->cause.code;

	return never_ran && s->cause.code != ENOENT ? s->cause.code : ESHUTDOWN;
}

int sandbox_refuses_commands(struct sandbox *s, struct error *err)
{
	if (s->state < SANDBOX_TERMINATING && !s->torn_down && !the_mount.ending)
		return reconnect_refuses(s, err);
	if (s->cause.code)
		return error_set(err, end_errno(s), s->cause.reason, "the sandbox is %s: %s",
				 state_names[s->state], s->cause.text);
	return error_set(err, ESHUTDOWN, "SANDBOX_ENDED", "the sandbox is %s", state_names[s->state]);
}

/* --- Stopping --- */

/* Its files are gone, or out of our hands. */
static void part_from_front(struct sandbox *s)
{
	if (s->front)
		s->front_gone(s->front);
	s->front = NULL;
	if (s->files)
		file_calls_end(s->files, ESHUTDOWN);
}

static void settle(struct sandbox *s, enum sandbox_state state, const struct error *why)
{
	struct object *child;

	s->settling = true;
	if (s->main)
		sandbox_end_process(s, s->main, why);
	for (uint64_t after = 0; (child = object_next(&s->object, after));) {
		after = child->serial;
		sandbox_end_process(s, (struct process *)child, why); /* may prune it, or others */
	}
	s->ended = time(NULL);
	/* What else failed, before this or later, such as a command, is not why. */
	if (why && (state == SANDBOX_FAILED || (s->began && !s->stopping)))
		s->cause = *why;
	else if (state == SANDBOX_FAILED && !s->cause.code)
		s->cause = s->error;
	sandbox_set_state(s, state);
	core_wake(&s->startup);
	core_wake(&s->inbox.waiters);
	programs_again(s);
	session_stopped(s, NULL);
	part_from_front(s);
}

/* One that was attached to without its agent. */
static void wake_up(struct sandbox *s)
{
	s->dormant = false;
	sandbox_set_state(s, SANDBOX_CREATING);
	the_mount.backend->ops->start(the_mount.backend, s);
}

int sandbox_need(struct sandbox *s, struct error *err)
{
	int rc = sandbox_refuses_commands(s, err);

	if (rc == 0 && s->dormant)
		wake_up(s);
	if (rc || s->began)
		return rc;
	if (sandbox_config_effective(s, &s->effective))
		return error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
	rc = mount_check(&s->effective, err);
	if (rc == 0)
		rc = make_main(s, err);
	if (rc) { /* what was accepted when it was written cannot be had any more */
		sandbox_set_error(s, err);
		COUNT(s, start_failures, 1);
		settle(s, SANDBOX_FAILED, err);
		err->code = end_errno(s); /* to this one as to all that follow */
		return -err->code;
	}
	s->began = true;
	s->began_ms = stats_now_ms();
	COUNT(s, started, 1);
	sandbox_set_state(s, SANDBOX_PENDING);
	the_mount.backend->ops->start(the_mount.backend, s);
	return 0;
}

bool sandbox_asks_first(struct sandbox *s, struct list **ret_wait)
{
	struct error err;

	if (!s->unasked || sandbox_need(s, &err))
		return false;
	*ret_wait = &s->startup;
	return true;
}

void sandbox_stop(struct sandbox *s, uint32_t grace_ms)
{
	if (s->state >= SANDBOX_COMPLETED)
		return;
	if (!s->began) {
		settle(s, SANDBOX_TERMINATED, NULL);
		return;
	}
	s->stopping = true;
	sandbox_set_state(s, SANDBOX_TERMINATING);
	if (s->channel)
		channel_shutdown(s->channel, grace_ms);
	the_mount.backend->ops->stop(the_mount.backend, s, grace_ms);
}

/* Its files go away: readers that are still there keep theirs open. */
static void remove_now(struct sandbox *s)
{
	list_each (pos, &s->object.children) {
		struct process *p = (struct process *)container_of(pos, struct object, sibling);

		for (int i = 0; i < STREAMS; i++)
			stream_pin(&p->streams[i]);
	}
	if (s->main)
		stream_pin(&s->main->streams[STREAM_OUT]);
	the_mount.backend->ops->remove(the_mount.backend, s);
}

void sandbox_drop(struct sandbox *s)
{
	object_ref(&s->object);
	object_remove(&s->object);
	session_stopped(s, NULL);
	roster_leave(s);
	stats_gone(s);
	s->torn_down = true;
	if (s->began && s->state < SANDBOX_COMPLETED) {
		sandbox_stop(s, STOP_GRACE_MS);
	} else if (s->began) {
		remove_now(s);
	} else {
		settle(s, SANDBOX_TERMINATED, NULL);
		sandbox_removed(s);
	}
	object_unref(&s->object);
}

/* --- Failures --- */

void sandbox_set_cause(struct sandbox *s, const struct error *err)
{
	s->cause = *err;
	sandbox_set_error(s, err);
}

void sandbox_set_error(struct sandbox *s, const struct error *err)
{
	s->error = *err;
	sandbox_session(s)->error = *err;
	the_mount.error = *err;
	log_debug("sandbox %s/%s: %s: %s", sandbox_session_name(s), s->object.name, err->reason, err->text);
}

/* --- What a backend reports --- */

void sandbox_creating(struct sandbox *s)
{
	if (s->state == SANDBOX_PENDING)
		sandbox_set_state(s, SANDBOX_CREATING);
}

void sandbox_paused(struct sandbox *s, bool paused)
{
	if (s->state == (paused ? SANDBOX_RUNNING : SANDBOX_PAUSED))
		sandbox_set_state(s, paused ? SANDBOX_PAUSED : SANDBOX_RUNNING);
}

bool sandbox_runs(const struct sandbox *s)
{
	return s->state == SANDBOX_RUNNING || s->state == SANDBOX_PAUSED;
}

void sandbox_files_failed(struct sandbox *s, const struct error *why)
{
	sandbox_set_error(s, why);
}

void sandbox_stop_failed(struct sandbox *s, const struct error *why)
{
	sandbox_set_error(s, why);
	session_stopped(s, why);
}

void sandbox_tell_start(struct sandbox *s, time_t when)
{
	s->start_told = when;
}

void sandbox_connected(struct sandbox *s, struct pipe *pipe, int spool_dir)
{
	struct error err;

	s->reach.asking = false;
	if (s->channel || s->state >= SANDBOX_TERMINATING) { /* too late */
		pipe->ops->close(pipe);
		if (spool_dir >= 0)
			close(spool_dir);
		return;
	}
	if (link_open(s, pipe, spool_dir)) {
		error_set(&err, ENOMEM, "NO_MEMORY", "out of memory");
		sandbox_set_error(s, &err);
		s->stopping = true;
		the_mount.backend->ops->stop(the_mount.backend, s, 0);
	} else if (s->reach.lost) {
		pulse_begin(s); /* it stood before, so it answers soon, or this pipe is dead too */
	}
}

static void arrived(struct sandbox *s)
{
	if (s->arriving) {
		s->arriving = false;
		the_mount.arriving--;
		mount_progress();
		roster_arrived(s);
	}
}

void sandbox_ready(struct sandbox *s)
{
	struct object *child;

	if (s->state < SANDBOX_RUNNING) {
		if (!s->started) /* not by an earlier mount */
			s->started = s->start_told ? s->start_told : time(NULL);
		stats_started(s);
		sandbox_set_state(s, SANDBOX_RUNNING);
	}
	sandbox_paused(s, false); /* it answers, whatever was said of it */
	reconnect_done(s);
	s->unasked = false;
	if (s->main)
		process_settle(s->main);
	for (uint64_t after = 0; (child = object_next(&s->object, after));) {
		after = child->serial;
		process_settle((struct process *)child); /* one that cannot be sent may be pruned */
	}
	core_wake(&s->startup);
	arrived(s);
}

void sandbox_ended(struct sandbox *s, enum sandbox_end how, const struct error *why)
{
	static const enum sandbox_state states[] = {
	    [END_COMPLETED] = SANDBOX_COMPLETED,
	    [END_FAILED] = SANDBOX_FAILED,
	    [END_TERMINATED] = SANDBOX_TERMINATED,
	};
	const struct process *m = s->main;

	/* The main process speaks for the sandbox, unless we ended it. */
	if (m && process_ended(m) && m->state != PROCESS_CANCELED && m->state != PROCESS_LOST)
		how = m->state == PROCESS_EXITED && m->value == 0 ? END_COMPLETED : END_FAILED;
	link_close(s);
	reconnect_stop(s);
	if (why && !(s->stopping && how == END_TERMINATED))
		sandbox_set_error(s, why);
	if (how == END_FAILED && !s->started)
		COUNT(s, start_failures, 1);
	settle(s, states[how], why);
	arrived(s);
	if (s->torn_down)
		remove_now(s);
}

void sandbox_removed(struct sandbox *s)
{
	link_close(s);
	part_from_front(s);
	shelf_clear(&s->snapshots);
	main_logs_part(s);
	s->instance = NULL;
	if (s->main)
		object_unref(&s->main->object);
	s->main = NULL;
	while (s->object.child_count)
		object_remove(container_of(s->object.children.next, struct object, sibling));
	if (s->latest)
		object_unref(&s->latest->object);
	s->latest = NULL;
	roster_leave(s);
	object_remove(&s->object);
	the_mount.living--;
	mount_progress();
	object_unref(&s->object);
}
