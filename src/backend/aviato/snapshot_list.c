/* Which snapshots of a sandbox there are, as the service lists them. */
#include "backend/aviato/snapshots.h"

#include "backend/aviato/listing.h"
#include "backend/aviato/remote.h"
#include "backend/aviato/state.h"
#include "base/loop.h"
#include "rpc/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct asking {
	struct listing listing;
	struct list link;      /* of the mount's; core lock, as the next two */
	struct remote *remote; /* NULL when it was let go of */
	bool posted;	       /* the loop thread does not know of it yet */
	char sandbox_id[128];
};

static const char *name_in(const char *request_id)
{
	const char *dot;

	if (strncmp(request_id, SNAPSHOT_MARK, strlen(SNAPSHOT_MARK)) != 0)
		return NULL;
	dot = strchr(request_id + strlen(SNAPSHOT_MARK), '.');
	return dot && dot[1] ? dot + 1 : NULL;
}

/* Core lock held. */
static void found(struct asking *q, const cJSON *snapshot)
{
	const char *state = json_text(snapshot, "state");
	struct snapshot_leftover one = {.id = json_text(snapshot, "fileSystemSnapshotId"),
					.name = name_in(json_text(snapshot, "requestId")),
					.created = remote_time(json_text(snapshot, "createTime")),
					.bytes = -1};
	struct snapshot *n;

	one.making = strcmp(state, "SNAPSHOT_STATE_CREATING") == 0;
	if ((!one.making && strcmp(state, "SNAPSHOT_STATE_READY") != 0) || !*one.id ||
	    strcmp(json_text(snapshot, "sourceSandboxId"), q->sandbox_id) != 0)
		return;
	json_int64(snapshot, "sizeBytes", &one.bytes);
	n = snapshot_found(q->remote->sandbox, &one);
	if (!n || !one.making || snapshot_instance(n))
		return;
	snapshots_watch(q->remote, n);
}

static void free_asking(struct asking *q)
{
	core_lock();
	list_remove(&q->link);
	core_unlock();
	listing_end(&q->listing);
	free(q);
}

static void listed(struct listing *l, const struct error *why)
{
	struct asking *q = container_of(l, struct asking, listing);
	const cJSON *one;

	core_lock();
	if (!why)
		cJSON_ArrayForEach(one, l->items) found(q, one);
	snapshots_listed(q->remote->sandbox, why);
	core_unlock();
	free_asking(q);
}

static void ask_posted(void *arg)
{
	static const struct listing_kind kind = {"ListFileSystemSnapshots", "fileSystemSnapshots",
						 "list the snapshots", 0};
	struct asking *q = arg;
	struct remote *i;
	cJSON *filter;

	core_lock();
	q->posted = false;
	i = q->remote;
	if (i && !i->id[0]) /* not created yet: it has none */
		snapshots_listed(i->sandbox, NULL);
	core_unlock();
	if (!i || !i->id[0]) {
		free_asking(q);
		return;
	}
	filter = cJSON_CreateObject();
	strcpy(q->sandbox_id, i->id);
	cJSON_AddStringToObject(filter, "sourceSandboxId", i->id);
	listing_start(&q->listing, i->aviato, &kind, filter, listed);
}

void snapshots_list(struct backend *b, struct sandbox *s)
{
	struct asking *q = calloc(1, sizeof *q);
	struct error err;

	(void)b;
	if (q && sandbox_instance(s)) {
		q->remote = sandbox_instance(s);
		q->posted = true;
		list_append(&q->remote->aviato->asking, &q->link);
		if (loop_post(ask_posted, q) == 0)
			return;
		list_remove(&q->link);
	}
	free(q);
	error_set(&err, ENOMEM, "NO_MEMORY", "out of memory");
	snapshots_listed(s, sandbox_instance(s) ? &err : NULL);
}

static struct asking *next_asking(struct aviato *a, const struct remote *i)
{
	struct asking *found = NULL;

	core_lock();
	list_each (pos, &a->asking) {
		struct asking *q = container_of(pos, struct asking, link);

		if (i && q->remote != i)
			continue;
		q->remote = NULL;
		if (!q->posted)
			found = q;
		if (found)
			break;
	}
	core_unlock();
	return found;
}

void snapshot_list_part(struct remote *i)
{
	struct asking *q;

	while ((q = next_asking(i->aviato, i)))
		free_asking(q);
}

void snapshot_list_close(struct aviato *a)
{
	struct asking *q;

	while ((q = next_asking(a, NULL)))
		free_asking(q);
}
