#include "backend/aviato/search.h"

#include "backend/aviato/delay.h"
#include "backend/aviato/failure.h"
#include "backend/aviato/listing.h"
#include "backend/aviato/remote.h"
#include "backend/aviato/sandbox_spec.h"
#include "backend/aviato/state.h"
#include "base/log.h"
#include "base/loop.h"
#include "rpc/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* So many agents are asked at the start, each over a stream of its own; the others when they are needed. */
#define ASKED_MAX 64
#define ASK_MS	  8000u

/* Under way, or the last answers; a list belongs to the loop thread. */
struct finding {
	struct listing listing;
	struct aviato *aviato;
	unsigned asked; /* agents that have not answered */
	struct delay *patience;
	bool listed;
};

static const struct listing_kind all_sandboxes = {"ListSandboxes", "sandboxes", "list the sandboxes", 0};

struct listed {
	struct list link;
	cJSON *sandbox;
};

static int by_id(const void *a, const void *b)
{
	const cJSON *const *x = a, *const *y = b;

	return strcmp(json_text(*x, "sandboxId"), json_text(*y, "sandboxId"));
}

/*
 * A list that is paged while sandboxes come and go can hold one twice: it must not be
 * taken over twice, or the two would fight for its agent.
 */
static void drop_repeated(cJSON *sandboxes)
{
	int count = cJSON_GetArraySize(sandboxes), n = 0;
	cJSON **sorted = calloc((size_t)count + 1, sizeof(cJSON *)), *sandbox;

	if (!sorted)
		return;
	cJSON_ArrayForEach(sandbox, sandboxes) sorted[n++] = sandbox;
	qsort(sorted, (size_t)n, sizeof *sorted, by_id);
	for (int i = 1; i < n; i++)
		if (by_id(&sorted[i - 1], &sorted[i]) == 0)
			cJSON_Delete(cJSON_DetachItemViaPointer(sandboxes, sorted[i - 1]));
	free(sorted);
}

/* --- Handing one to core --- */

/* Core lock held. */
static struct sandbox *hand_over(struct remote *i, const cJSON *sandbox, bool dormant)
{
	const cJSON *spec = json_object(sandbox, "spec"), *status = json_object(sandbox, "status");
	struct sandbox_leftover found = {
	    .id = i->id,
	    .session = sandbox_spec_tag(spec, TAG_SESSION),
	    .name = sandbox_spec_tag(spec, TAG_NAME),
	    .created = remote_time(json_text(status, "createTime")),
	    .started = *json_text(status, "startTime") ? remote_time(json_text(status, "startTime")) : 0,
	    .kept = i->kept,
	    .dormant = dormant,
	    .instance = i,
	};
	struct config config;

	if (sandbox_spec_read(spec, status, &config))
		return NULL;
	found.config = &config;
	i->sandbox = sandbox_found(&found);
	config_free(&config);
	i->paused = remote_state(sandbox) == REMOTE_PAUSED;
	if (i->sandbox && i->paused)
		sandbox_paused(i->sandbox, true);
	return i->sandbox;
}

static struct remote *remote_of(struct aviato *a, const cJSON *sandbox)
{
	const char *id = json_text(sandbox, "sandboxId");
	const cJSON *tag;
	struct remote *i;

	if (!*id || strlen(id) > sizeof i->id - 1)
		return NULL;
	i = remote_new(a, NULL);
	if (!i)
		return NULL;
	strcpy(i->id, id);
	i->phase = PHASE_IDLE;
	remote_remember(i, sandbox);
	cJSON_ArrayForEach(tag, json_array(json_object(sandbox, "spec"), "tags")) i->kept |=
	    cJSON_IsString(tag) && strcmp(tag->valuestring, TAG_KEPT) == 0;
	return i;
}

static bool runs(const cJSON *sandbox)
{
	enum remote_state state = remote_state(sandbox);

	return state == REMOTE_RUNNING || state == REMOTE_PAUSED;
}

/* --- find --- */

static void found_all(struct finding *f, const struct error *why)
{
	core_lock();
	backend_searched(why);
	core_unlock();
	f->aviato->finding = NULL;
	delay_cancel(f->patience);
	listing_end(&f->listing);
	free(f);
}

static void settle(struct finding *f)
{
	if (f->listed && !f->asked)
		found_all(f, NULL);
}

void search_settled(struct remote *i, bool reached)
{
	struct finding *f = i->aviato->finding;
	struct pipe *pipe = NULL;
	struct sandbox *s = NULL;

	if (i->stand_in)
		pipe = stand_in_as_pipe(i->stand_in);
	else if (i->pipe)
		pipe = agent_pipe_as_pipe(i->pipe);
	i->is_search = false;
	core_lock();
	if (reached)
		s = hand_over(i, i->body, false);
	if (s) {
		i->was_reached = true;
		sandbox_connected(s, pipe, -1);
	}
	core_unlock();
	cJSON_Delete(i->body);
	i->body = NULL;
	if (s) {
		log_info("took over sandbox %s", i->id);
	} else {
		i->is_search = i->stand_in; /* core has not taken the pipe */
		if (reached && i->pipe)
			pipe->ops->close(pipe);
		remote_free(i);
	}
	f->asked--;
	settle(f);
}

static void take_over(struct finding *f, const cJSON *sandbox, unsigned *begun)
{
	struct remote *i = runs(sandbox) ? remote_of(f->aviato, sandbox) : NULL;
	bool known;

	if (!i)
		return;
	list_append(&f->aviato->instances, &i->link);
	/* One that is paused would not answer. */
	if (*begun < ASKED_MAX && remote_state(sandbox) != REMOTE_PAUSED) {
		++*begun;
		f->asked++;
		i->is_search = true;
		i->body = cJSON_Duplicate(sandbox, true);
		remote_reach(i);
		return;
	}
	core_lock();
	known = hand_over(i, sandbox, true) != NULL;
	core_unlock();
	if (!known)
		remote_free(i);
}

/* A mount does not wait for a sandbox that hangs; it stands in .ctl/sandboxes. */
static void stop_asking(void *arg)
{
	struct finding *f = arg;

	f->patience = NULL;
	list_each_safe (pos, &f->aviato->instances) {
		struct remote *i = container_of(pos, struct remote, link);

		if (!i->is_search)
			continue;
		log_warn("sandbox %s does not answer: it is not taken over", i->id);
		remote_free(i);
		f->asked--;
	}
	settle(f);
}

static void find_listed(struct listing *l, const struct error *why)
{
	struct finding *f = container_of(l, struct finding, listing);
	const cJSON *sandbox;
	unsigned begun = 0;

	if (why) {
		found_all(f, why);
		return;
	}
	drop_repeated(l->items);
	cJSON_ArrayForEach(sandbox, l->items) take_over(f, sandbox, &begun);
	f->listed = true;
	f->patience = f->asked ? delay_start(ASK_MS, stop_asking, f) : NULL;
	settle(f);
}

static void find_posted(void *arg)
{
	struct finding *f = arg;

	const char *const tags[] = {TAG_OURS};
	cJSON *filter = cJSON_CreateObject();

	cJSON_AddItemToObject(filter, "tags", cJSON_CreateStringArray(tags, 1));
	listing_start(&f->listing, f->aviato, &all_sandboxes, filter, find_listed);
}

void search_find(struct backend *b)
{
	struct aviato *a = (struct aviato *)b;
	struct finding *f = calloc(1, sizeof *f);
	struct error err;

	backend_searching();
	if (f) {
		f->aviato = a;
		a->finding = f;
		if (loop_post(find_posted, f) == 0)
			return;
		free(f);
	}
	error_set(&err, ENOMEM, "NO_MEMORY", "out of memory");
	backend_searched(&err);
}

/* --- list --- */

static void forget_listed(struct aviato *a)
{
	list_each_safe (pos, &a->listed) {
		struct listed *one = container_of(pos, struct listed, link);

		list_remove(pos);
		cJSON_Delete(one->sandbox);
		free(one);
	}
}

static void remember_listed(struct aviato *a, const cJSON *sandboxes)
{
	const cJSON *sandbox;

	forget_listed(a);
	cJSON_ArrayForEach(sandbox, sandboxes)
	{
		struct listed *one = calloc(1, sizeof *one);

		if (!one)
			return;
		one->sandbox = cJSON_Duplicate(sandbox, true);
		list_append(&a->listed, &one->link);
	}
}

static void list_listed(struct listing *l, const struct error *why)
{
	const cJSON *sandboxes = why ? NULL : l->items, *sandbox;

	if (!why) {
		drop_repeated(l->items);
		remember_listed(l->request.aviato, sandboxes);
	}
	core_lock();
	cJSON_ArrayForEach(sandbox, sandboxes) backend_shows(json_text(sandbox, "sandboxId"));
	backend_showed(why);
	core_unlock();
	listing_end(l);
}

static void list_posted(void *arg)
{
	struct aviato *a = arg;

	listing_start(a->roster, a, &all_sandboxes, NULL, list_listed);
}

void search_list(struct backend *b)
{
	struct error err;

	if (loop_post(list_posted, b) == 0)
		return;
	error_set(&err, ENOMEM, "NO_MEMORY", "out of memory");
	backend_showed(&err);
}

/* --- attach --- */

struct attaching {
	struct aviato *aviato;
	struct request request;
	char id[128];
};

static void attach(struct attaching *t, const cJSON *sandbox, struct error *why)
{
	struct remote *i = NULL;
	bool taken = false;

	if (!why->code && !runs(sandbox))
		error_set(why, ENOENT, "NO_SUCH_SANDBOX", "sandbox %s does not run", t->id);
	if (!why->code && !(i = remote_of(t->aviato, sandbox)))
		error_set(why, ENOMEM, "NO_MEMORY", "out of memory");
	core_lock();
	if (i) {
		list_append(&t->aviato->instances, &i->link);
		taken = hand_over(i, sandbox, true) != NULL;
		if (!taken)
			error_set(why, ENOMEM, "NO_MEMORY", "sandbox %s cannot be shown", t->id);
	}
	backend_attached(t->id, why);
	core_unlock();
	if (i && !taken)
		remote_free(i);
	free(t);
}

static void attach_came(void *owner, const cJSON *answer, const struct rpc_status *status)
{
	struct attaching *t = owner;
	struct error why = {0};

	if (!answer && failure_is_gone(status))
		error_set(&why, ENOENT, "NO_SUCH_SANDBOX", "there is no sandbox %s", t->id);
	else if (!answer)
		failure_set(&why, status, "look the sandbox up");
	attach(t, answer, &why);
}

void search_forget(struct aviato *a, const char *id)
{
	list_each_safe (pos, &a->listed) {
		struct listed *one = container_of(pos, struct listed, link);

		if (strcmp(json_text(one->sandbox, "sandboxId"), id) == 0) {
			list_remove(pos);
			cJSON_Delete(one->sandbox);
			free(one);
		}
	}
}

/* Whether this mount is about to end it: its directory has gone, and it is not to come back by a look at it.
 */
static bool is_ending(const struct aviato *a, const char *id)
{
	list_each (pos, &a->instances) {
		const struct remote *i = container_of(pos, struct remote, link);

		if (i->phase >= PHASE_LEAVING && i->phase < PHASE_ENDED && strcmp(i->id, id) == 0)
			return true;
	}
	return false;
}

static void attach_posted(void *arg)
{
	struct attaching *t = arg;
	struct error why = {0};
	cJSON *body;

	if (is_ending(t->aviato, t->id)) {
		error_set(&why, ENOENT, "NO_SUCH_SANDBOX", "sandbox %s is being ended", t->id);
		attach(t, NULL, &why);
		return;
	}
	list_each (pos, &t->aviato->listed) {
		struct listed *one = container_of(pos, struct listed, link);

		if (strcmp(json_text(one->sandbox, "sandboxId"), t->id) == 0) {
			attach(t, one->sandbox, &why);
			return;
		}
	}
	body = cJSON_CreateObject();
	cJSON_AddStringToObject(body, "sandboxId", t->id);
	request_start(&t->request, t->aviato, "GetSandbox", body, 15000, 15000, attach_came, t);
}

void search_attach(struct backend *b, const char *id)
{
	struct attaching *t = calloc(1, sizeof *t);
	struct error err;

	if (t) {
		t->aviato = (struct aviato *)b;
		strncpy(t->id, id, sizeof t->id - 1);
		if (loop_post(attach_posted, t) == 0)
			return;
		free(t);
	}
	error_set(&err, ENOMEM, "NO_MEMORY", "out of memory");
	backend_attached(id, &err);
}

void search_close(struct aviato *a)
{
	forget_listed(a);
	listing_end(a->roster);
	if (a->finding) {
		listing_end(&a->finding->listing);
		delay_cancel(a->finding->patience);
		free(a->finding);
	}
	a->finding = NULL;
}
