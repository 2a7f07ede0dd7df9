/*
 * The service gives a snapshot an id and nothing that could be a name; but it shows the
 * request id it was asked for with, so that holds the name.
 */
#include "backend/aviato/snapshots.h"

#include "backend/aviato/delay.h"
#include "backend/aviato/failure.h"
#include "backend/aviato/remote.h"
#include "base/log.h"
#include "base/loop.h"
#include "rpc/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define BUDGET_MS     30000u
#define CREATE_MS     605000u /* for all of it */
#define POLL_FIRST_MS 200u
#define POLL_MAX_MS   2000u
#define POLL_MS	      15000u
#define DELETE_MS     30000u

/* One that is being made or deleted. */
struct snapshot_work {
	/* Core lock */
	struct list link;      /* of the mount's */
	struct remote *remote; /* NULL when that was let go of, and with it the snapshot */
	struct snapshot *snapshot;
	bool unwanted;	 /* it is to be deleted */
	unsigned posted; /* calls that have not come */
	bool dead;	 /* to be freed with the last of them */
	/* The loop thread's */
	struct aviato *aviato;
	bool deleting;
	struct request request;
	struct delay *delay;
	unsigned poll_ms;
	uint64_t until;
	bool sent;	  /* of one that comes with the end of its sandbox: it was asked for, */
	uint32_t seconds; /* with so much grace */
	char sandbox_id[128], id[SNAPSHOT_ID_MAX + 1], request_id[128];
};

static struct snapshot_work *new_work(struct remote *i, struct snapshot *n)
{
	struct snapshot_work *w = calloc(1, sizeof *w);

	if (!w)
		return NULL;
	w->aviato = i->aviato;
	w->remote = i;
	w->snapshot = n;
	w->poll_ms = POLL_FIRST_MS;
	strcpy(w->sandbox_id, i->id);
	strcpy(w->id, snapshot_id(n));
	list_append(&w->aviato->snapshots, &w->link);
	snapshot_set_instance(n, w);
	return w;
}

static void free_work(struct snapshot_work *w)
{
	unsigned posted;

	request_cancel(&w->request);
	delay_cancel(w->delay);
	w->delay = NULL;
	core_lock();
	list_remove(&w->link);
	if (w->snapshot)
		snapshot_set_instance(w->snapshot, NULL);
	w->snapshot = NULL;
	posted = w->posted;
	w->dead = true;
	core_unlock();
	if (!posted)
		free(w);
}

/* Core lock held. */
static bool post(struct snapshot_work *w, void (*fn)(void *arg))
{
	w->posted++;
	if (loop_post(fn, w) == 0)
		return true;
	w->posted--;
	return false;
}

/* In a posted call: false when there is nothing more to do. */
static bool came(struct snapshot_work *w)
{
	bool dead = w->dead;
	unsigned posted;

	core_lock();
	posted = --w->posted;
	core_unlock();
	if (dead && !posted)
		free(w);
	return !dead;
}

/* --- Ends --- */

static void fail(struct snapshot_work *w, const struct error *why)
{
	struct snapshot *n;

	core_lock();
	n = w->snapshot;
	w->snapshot = NULL;
	if (n) {
		snapshot_set_instance(n, NULL);
		snapshot_failed(n, why);
	}
	core_unlock();
	free_work(w);
}

/* Core lock held; before the loop thread knows of it. */
static void drop_unposted(struct snapshot_work *w)
{
	snapshot_set_instance(w->snapshot, NULL);
	list_remove(&w->link);
	free(w);
}

static void no_memory(struct snapshot *n)
{
	struct error why;

	error_set(&why, ENOMEM, "NO_MEMORY", "out of memory");
	snapshot_failed(n, &why);
}

/* --- Deleting --- */

static void deleted(void *owner, const cJSON *answer, const struct rpc_status *status)
{
	struct snapshot_work *w = owner;
	struct snapshot *n;
	struct error why;

	if (answer || failure_is_gone(status)) {
		core_lock();
		n = w->snapshot;
		w->snapshot = NULL;
		if (n)
			snapshot_removed(n);
		core_unlock();
		free_work(w);
		return;
	}
	failure_set(&why, status, "delete the snapshot");
	log_warn("%s", why.text);
	fail(w, &why);
}

static cJSON *body_with_id(const struct snapshot_work *w)
{
	cJSON *body = cJSON_CreateObject();

	cJSON_AddStringToObject(body, "fileSystemSnapshotId", w->id);
	return body;
}

static void begin_deleting(struct snapshot_work *w)
{
	cJSON *body = body_with_id(w);

	w->deleting = true;
	cJSON_AddTrueToObject(body, "allowMissing");
	request_start(&w->request, w->aviato, "DeleteFileSystemSnapshot", body, DELETE_MS, BUDGET_MS, deleted,
		      w);
}

/* --- Making --- */

static void poll_again(void *arg);

static void see(struct snapshot_work *w, const cJSON *snapshot)
{
	const char *state = json_text(snapshot, "state"), *said = json_text(snapshot, "stateReason");
	struct error why;
	int64_t bytes = -1;

	if (strcmp(state, "SNAPSHOT_STATE_READY") == 0) {
		json_int64(snapshot, "sizeBytes", &bytes);
		core_lock();
		if (w->snapshot)
			snapshot_ready(w->snapshot, bytes);
		core_unlock();
		free_work(w);
	} else if (strcmp(state, "SNAPSHOT_STATE_FAILED") == 0 ||
		   strcmp(state, "SNAPSHOT_STATE_DELETING") == 0) {
		error_set(&why, EIO, "SNAPSHOT_FAILED", "the snapshot failed: %s",
			  *said ? said : "the service does not say why");
		fail(w, &why);
	} else if (request_clock_ms() > w->until) {
		error_set(&why, ETIMEDOUT, "SNAPSHOT_FAILED", "the snapshot is not ready after %u s",
			  CREATE_MS / 1000);
		fail(w, &why);
	} else {
		w->delay = delay_start(w->poll_ms, poll_again, w);
		w->poll_ms = w->poll_ms * 3 / 2 < POLL_MAX_MS ? w->poll_ms * 3 / 2 : POLL_MAX_MS;
	}
}

static bool is_unwanted(const struct snapshot_work *w)
{
	bool unwanted;

	core_lock();
	unwanted = w->unwanted;
	core_unlock();
	return unwanted;
}

static void looked(void *owner, const cJSON *answer, const struct rpc_status *status)
{
	struct snapshot_work *w = owner;
	struct error why;

	if (is_unwanted(w)) {
		begin_deleting(w);
	} else if (answer) {
		see(w, answer);
	} else {
		failure_set(&why, status, "look the snapshot up");
		fail(w, &why);
	}
}

static void poll_again(void *arg)
{
	struct snapshot_work *w = arg;

	w->delay = NULL;
	request_start(&w->request, w->aviato, "GetFileSystemSnapshot", body_with_id(w), POLL_MS, BUDGET_MS,
		      looked, w);
}

static bool take_id(struct snapshot_work *w, const char *id)
{
	if (!*id || strlen(id) > SNAPSHOT_ID_MAX || strpbrk(id, " \t\n"))
		return false;
	strcpy(w->id, id);
	core_lock();
	if (w->snapshot)
		snapshot_set_id(w->snapshot, id);
	core_unlock();
	return true;
}

static void created(void *owner, const cJSON *answer, const struct rpc_status *status)
{
	struct snapshot_work *w = owner;
	struct error why;

	if (answer && take_id(w, json_text(answer, "fileSystemSnapshotId"))) {
		if (is_unwanted(w))
			begin_deleting(w);
		else
			see(w, answer);
		return;
	}
	if (answer)
		error_set(&why, EPROTO, "BAD_ANSWER", "the service made a snapshot without a usable id");
	else
		failure_set(&why, status, "take a snapshot");
	fail(w, &why);
}

static void create_posted(void *arg)
{
	struct snapshot_work *w = arg;
	cJSON *body;

	if (!came(w))
		return;
	body = cJSON_CreateObject();
	w->until = request_clock_ms() + CREATE_MS;
	cJSON_AddStringToObject(body, "sandboxId", w->sandbox_id);
	cJSON_AddStringToObject(body, "requestId", w->request_id);
	request_start(&w->request, w->aviato, "CreateFileSystemSnapshot", body, CREATE_MS, BUDGET_MS, created,
		      w);
}

/* One that is asked for by a request of ours. */
static struct snapshot_work *new_request(struct snapshot *n)
{
	struct snapshot_work *w = new_work(sandbox_instance(snapshot_sandbox(n)), n);
	unsigned char random[8];

	if (!w)
		return NULL;
	if (getrandom(random, sizeof random, 0) != sizeof random) {
		drop_unposted(w);
		return NULL;
	}
	snprintf(w->request_id, sizeof w->request_id, SNAPSHOT_MARK "%02x%02x%02x%02x%02x%02x%02x%02x.%s",
		 random[0], random[1], random[2], random[3], random[4], random[5], random[6], random[7],
		 snapshot_name(n));
	return w;
}

void snapshots_take(struct backend *b, struct snapshot *n)
{
	struct snapshot_work *w = new_request(n);

	(void)b;
	if (w && post(w, create_posted))
		return;
	if (w)
		drop_unposted(w);
	no_memory(n);
}

/* --- With the end of its sandbox --- */

void snapshots_see_volumes(struct remote *i, const cJSON *spec)
{
	const cJSON *volumes = json_array(spec, "volumes"), *one;

	if (!spec) /* it is not told of each time */
		return;
	i->known.volumes = 0;
	cJSON_ArrayForEach(one, volumes)
	{
		if (json_text(one, "volumeId")[0])
			continue;
		i->known.volumes++;
		snprintf(i->known.volume, sizeof i->known.volume, "%s", json_text(one, "name"));
	}
}

int snapshots_take_at_stop(struct backend *b, struct snapshot *n, struct error *err)
{
	struct remote *i = sandbox_instance(snapshot_sandbox(n));

	(void)b;
	if (i->known.volumes != 1)
		return error_set(err, EOPNOTSUPP, "UNSUPPORTED",
				 "a snapshot is taken of a sandbox with one scratch volume; it has %u",
				 i->known.volumes);
	if (i->wants.stop)
		return error_set(err, EBUSY, "BUSY", "the sandbox is being stopped already");
	i->last = new_request(n);
	return i->last ? 0 : error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
}

static struct snapshot_work *take_last(struct remote *i)
{
	struct snapshot_work *w;

	core_lock();
	w = i->last;
	i->last = NULL;
	core_unlock();
	return w;
}

bool snapshots_ask_at_stop(struct remote *i, cJSON *body, uint32_t *seconds)
{
	struct snapshot_work *w;
	const char *const names[] = {i->known.volume};

	core_lock();
	w = i->last;
	core_unlock();
	if (!w)
		return false;
	if (w->sent) /* the same request, to the letter */
		*seconds = w->seconds;
	w->sent = true;
	w->seconds = *seconds;
	cJSON_AddItemToObject(body, "snapshotVolumes", cJSON_CreateStringArray(names, 1));
	cJSON_AddStringToObject(body, "requestId", w->request_id);
	return true;
}

void snapshots_told_at_stop(struct remote *i, const cJSON *answer)
{
	struct snapshot_work *w = take_last(i);
	const char *id =
	    cJSON_GetStringValue(cJSON_GetArrayItem(json_array(answer, "fileSystemSnapshotIds"), 0));
	struct error why;

	if (!w)
		return;
	w->until = request_clock_ms() + CREATE_MS;
	if (!id || !take_id(w, id)) {
		error_set(&why, EPROTO, "BAD_ANSWER",
			  "the service stopped the sandbox and tells of no snapshot");
		fail(w, &why);
	} else if (is_unwanted(w)) {
		begin_deleting(w);
	} else {
		poll_again(w);
	}
}

void snapshots_fail_at_stop(struct remote *i, const struct error *why)
{
	struct snapshot_work *w = take_last(i);

	if (w)
		fail(w, why);
}

/* --- Removing --- */

static void remove_posted(void *arg)
{
	struct snapshot_work *w = arg;

	if (!came(w) || w->deleting)
		return;
	if (request_under_way(&w->request) || !w->id[0])
		return; /* its end sees that it is not wanted */
	delay_cancel(w->delay);
	w->delay = NULL;
	begin_deleting(w);
}

void snapshots_remove(struct backend *b, struct snapshot *n)
{
	struct snapshot_work *w = snapshot_instance(n);

	(void)b;
	if (!w)
		w = new_work(sandbox_instance(snapshot_sandbox(n)), n);
	if (w) {
		w->unwanted = true;
		if (post(w, remove_posted))
			return;
	}
	no_memory(n);
}

/* --- One that another mount is making --- */

void snapshots_watch(struct remote *i, struct snapshot *n)
{
	struct snapshot_work *w = new_work(i, n);

	if (!w)
		return;
	w->until = request_clock_ms() + CREATE_MS;
	w->delay = delay_start(w->poll_ms, poll_again, w);
}

/* --- The end --- */

/* Cuts what belongs to `i`, or all; one that the loop thread is about to hear of is left to it. */
static struct snapshot_work *next_work(struct aviato *a, const struct remote *i)
{
	struct snapshot_work *found = NULL;

	core_lock();
	list_each (pos, &a->snapshots) {
		struct snapshot_work *w = container_of(pos, struct snapshot_work, link);

		if (i && w->remote != i)
			continue;
		w->remote = NULL;
		w->snapshot = NULL;
		/* What is deleted, or is about to be, is so without the sandbox too. */
		if (!i || (!w->deleting && !w->unwanted))
			found = w;
		if (found)
			break;
	}
	core_unlock();
	return found;
}

void snapshots_part(struct remote *i)
{
	struct snapshot_work *w;

	while ((w = next_work(i->aviato, i)))
		free_work(w);
}

void snapshots_close(struct aviato *a)
{
	struct snapshot_work *w;

	while ((w = next_work(a, NULL)))
		free_work(w);
}
