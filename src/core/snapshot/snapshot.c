#include "core/snapshot/snapshot.h"

#include "core/report/events.h"
#include "core/mount.h"
#include "core/sandbox.h"
#include "core/session.h"
#include "core/waiter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRESH_MS 2000 /* so long a list of the backend's is believed */

static const char *const state_names[] = {
    [SNAPSHOT_CREATING] = "creating", [SNAPSHOT_READY] = "ready", [SNAPSHOT_FAILED] = "failed"};

const char *snapshot_state_name(enum snapshot_state state)
{
	return state_names[state];
}

/* --- The shelf --- */

void shelf_init(struct shelf *s)
{
	list_init(&s->list);
	list_init(&s->askers);
}

struct snapshot *snapshot_next(const struct sandbox *s, uint64_t after)
{
	list_each (pos, &s->snapshots.list) {
		struct snapshot *n = container_of(pos, struct snapshot, link);

		if (n->object.serial > after)
			return n;
	}
	return NULL;
}

struct snapshot *snapshot_find(const struct sandbox *s, const char *name)
{
	list_each (pos, &s->snapshots.list) {
		struct snapshot *n = container_of(pos, struct snapshot, link);

		if (strcmp(n->object.name, name) == 0)
			return n;
	}
	return NULL;
}

static void destroy(struct object *o)
{
	free(o);
}

/* Out of the tree, and its files with it. */
static void unlist(struct snapshot *n)
{
	if (!n->object.listed)
		return;
	if (n->front)
		n->front_gone(n->front);
	n->front = NULL;
	list_remove(&n->link);
	snapshot_sandbox(n)->snapshots.count--;
	object_remove(&n->object);
	core_wake(&n->waiters);
	object_unref(&n->object);
}

static void backend_lets_go(struct snapshot *n)
{
	if (!n->with_backend)
		return;
	n->with_backend = false;
	object_unref(&n->object);
}

void shelf_clear(struct shelf *s)
{
	core_wake(&s->askers);
	while (!list_empty(&s->list)) {
		struct snapshot *n = container_of(s->list.next, struct snapshot, link);
		bool held = n->with_backend;

		if (n->state == SNAPSHOT_CREATING) {
			n->state = SNAPSHOT_FAILED;
			error_set(&n->why, ESHUTDOWN, "SANDBOX_ENDED", "the sandbox was removed");
		}
		unlist(n);
		if (held)
			backend_lets_go(n);
	}
}

/* One reference is that of the shelf, another the backend's. */
static struct snapshot *add(struct sandbox *s, const char *name)
{
	bool open = the_mount.backend->ops->snapshot_root;
	struct snapshot *n = calloc(1, sizeof *n);

	if (n &&
	    object_add_apart(&n->object, open ? OBJECT_SNAPSHOT : OBJECT_RECORD, &s->object, name, destroy)) {
		free(n);
		n = NULL;
	}
	if (!n)
		return NULL;
	n->bytes = -1;
	n->created = time(NULL);
	list_init(&n->waiters);
	list_append(&s->snapshots.list, &n->link);
	s->snapshots.count++;
	n->with_backend = true;
	object_ref(&n->object);
	return n;
}

/* --- Making and removing --- */

static int free_number(const struct sandbox *s, char *out, size_t size)
{
	for (unsigned number = 1; number <= s->snapshots.count + 1; number++) {
		snprintf(out, size, "%u", number);
		if (!snapshot_find(s, out))
			return 0;
	}
	return -EEXIST;
}

static int may_snapshot(struct error *err)
{
	if (the_mount.backend->ops->snapshot)
		return 0;
	return error_set(err, EOPNOTSUPP, "UNSUPPORTED", "the %s backend takes no snapshots",
			 the_mount.backend->ops->name);
}

/* One of that name, which the backend does not know of yet, with a reference; NULL with a sentence. */
static struct snapshot *declare(struct sandbox *s, const char *name, struct error *err)
{
	char number[16];
	struct snapshot *n;

	if (!name && free_number(s, number, sizeof number) == 0)
		name = number;
	if (!name || object_name_check(name)) {
		error_set(err, EINVAL, "INVALID_NAME",
			  "a snapshot's name has 1 to %d bytes of A-Z a-z 0-9 . _ - and starts and "
			  "ends with a letter or digit",
			  NAME_MAX_BYTES);
		return NULL;
	}
	if (snapshot_find(s, name)) {
		error_set(err, EEXIST, "EXISTS", "there is a snapshot %s already", name);
		return NULL;
	}
	n = add(s, name);
	if (n)
		object_ref(&n->object);
	else
		error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
	return n;
}

static int not_running(struct error *err)
{
	return error_set(err, EBUSY, "NOT_RUNNING", "a snapshot is taken of a running sandbox");
}

int snapshot_make(struct sandbox *s, const char *name, struct snapshot **ret, struct error *err)
{
	struct snapshot *n;
	int rc = may_snapshot(err);

	if (!rc)
		rc = sandbox_refuses_commands(s, err);
	if (rc)
		return rc;
	if (s->state != SANDBOX_RUNNING)
		return not_running(err);
	n = declare(s, name, err);
	if (!n)
		return -err->code;
	*ret = n;
	the_mount.backend->ops->snapshot(the_mount.backend, n);
	return 0;
}

static int judge(struct snapshot *n, struct list **ret_wait, struct error *err)
{
	if (n->state == SNAPSHOT_FAILED) {
		*err = n->why;
		return -err->code;
	}
	if (n->state == SNAPSHOT_READY)
		return 0;
	if (!n->object.listed)
		return error_set(err, ECANCELED, "SNAPSHOT_REMOVED", "the snapshot was removed");
	*ret_wait = &n->waiters;
	return -EAGAIN;
}

int snapshot_take(struct sandbox *s, const char *name, struct object **held, struct list **ret_wait,
		  struct error *err)
{
	struct snapshot *n;
	int rc;

	if (*held)
		return judge((struct snapshot *)*held, ret_wait, err);
	rc = may_snapshot(err);
	if (!rc)
		rc = sandbox_need(s, err);
	if (!rc && s->state < SANDBOX_RUNNING) {
		*ret_wait = &s->startup;
		return -EAGAIN;
	}
	if (!rc)
		rc = snapshot_make(s, name, &n, err);
	if (rc)
		return rc;
	*held = &n->object;
	return judge(n, ret_wait, err);
}

int snapshot_take_at_stop(struct sandbox *s, const char *name, uint32_t grace_ms, struct object **held,
			  struct list **ret_wait, struct error *err)
{
	struct backend *b = the_mount.backend;
	struct snapshot *n;
	int rc;

	if (*held)
		return judge((struct snapshot *)*held, ret_wait, err);
	if (!b->ops->snapshot_at_stop)
		return error_set(err, EOPNOTSUPP, "UNSUPPORTED",
				 "the %s backend takes no snapshot of what it stops: take one first",
				 b->ops->name);
	/* `terminating` it still is where the last attempt was refused. */
	if (s->state != SANDBOX_RUNNING && s->state != SANDBOX_TERMINATING)
		return not_running(err);
	n = declare(s, name, err);
	if (!n)
		return -err->code;
	*held = &n->object;
	rc = b->ops->snapshot_at_stop(b, n, err);
	if (rc) {
		unlist(n);
		backend_lets_go(n);
		return rc;
	}
	sandbox_stop(s, grace_ms);
	return judge(n, ret_wait, err);
}

int snapshot_drop(struct snapshot *n, struct error *err)
{
	if (!n->with_backend) { /* a failed one that was only shown */
		unlist(n);
		return 0;
	}
	if (!the_mount.backend->ops->snapshot_remove)
		return error_set(err, EOPNOTSUPP, "UNSUPPORTED", "the %s backend does not delete snapshots",
				 the_mount.backend->ops->name);
	unlist(n);
	the_mount.backend->ops->snapshot_remove(the_mount.backend, n);
	return 0;
}

/* --- What the backend says --- */

const char *snapshot_name(const struct snapshot *n)
{
	return n->object.name;
}

struct sandbox *snapshot_sandbox(const struct snapshot *n)
{
	return (struct sandbox *)n->object.parent;
}

const char *snapshot_id(const struct snapshot *n)
{
	return n->id;
}

void *snapshot_instance(const struct snapshot *n)
{
	return n->instance;
}

void snapshot_set_instance(struct snapshot *n, void *instance)
{
	n->instance = instance;
}

void snapshot_set_id(struct snapshot *n, const char *id)
{
	snprintf(n->id, sizeof n->id, "%s", id);
}

void snapshot_ready(struct snapshot *n, int64_t bytes)
{
	n->state = SNAPSHOT_READY;
	n->bytes = bytes;
	core_wake(&n->waiters);
}

void snapshot_failed(struct snapshot *n, const struct error *why)
{
	bool was_ready = n->state == SNAPSHOT_READY; /* and could not be deleted */

	n->state = SNAPSHOT_FAILED;
	n->why = *why;
	if (n->object.listed || was_ready)
		sandbox_set_error(snapshot_sandbox(n), why);
	core_wake(&n->waiters);
	unlist(n);
	backend_lets_go(n);
}

void snapshot_removed(struct snapshot *n)
{
	unlist(n);
	backend_lets_go(n);
}

static struct snapshot *find_id(const struct sandbox *s, const char *id)
{
	list_each (pos, &s->snapshots.list) {
		struct snapshot *n = container_of(pos, struct snapshot, link);

		if (strcmp(n->id, id) == 0)
			return n;
	}
	return NULL;
}

struct snapshot *snapshot_found(struct sandbox *s, const struct snapshot_leftover *found)
{
	struct snapshot *n = find_id(s, found->id);
	const char *name = found->name ? found->name : found->id;

	if (n)
		return n;
	/* Two may have been given one name, by two mounts. */
	if (snapshot_find(s, name))
		name = found->id;
	if (object_name_check(name) || snapshot_find(s, name) || strlen(found->id) > SNAPSHOT_ID_MAX)
		return NULL;
	n = add(s, name);
	if (!n)
		return NULL;
	snapshot_set_id(n, found->id);
	n->created = found->created;
	n->bytes = found->bytes;
	n->instance = found->instance;
	n->state = found->making ? SNAPSHOT_CREATING : SNAPSHOT_READY;
	return n;
}

/* --- Those of others --- */

void snapshots_listed(struct sandbox *s, const struct error *why)
{
	struct shelf *shelf = &s->snapshots;

	shelf->asking = false;
	shelf->told_ms = stats_now_ms();
	shelf->told_why = why ? *why : (struct error){0};
	core_wake(&shelf->askers);
}

int snapshot_seek(struct sandbox *s, struct list **ret_wait, struct error *err)
{
	struct shelf *shelf = &s->snapshots;

	if (!the_mount.backend->ops->snapshots || !s->began || s->torn_down)
		return 0;
	if (!shelf->asking && shelf->told_ms && stats_now_ms() - shelf->told_ms < FRESH_MS) {
		if (shelf->told_why.code)
			*err = shelf->told_why;
		return -shelf->told_why.code;
	}
	if (!shelf->asking) {
		shelf->asking = true;
		the_mount.backend->ops->snapshots(the_mount.backend, s);
		if (!shelf->asking) /* answered at once */
			return snapshot_seek(s, ret_wait, err);
	}
	*ret_wait = &shelf->askers;
	return -EAGAIN;
}
