/* Sandboxes that other mounts left since this one began: listed, taken over one by one, written down anew. */
#include "backend/local/instance.h"

#include "base/log.h"
#include "base/loop.h"
#include "core/sandbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef char sandbox_id_text[SANDBOX_ID_MAX + 1];

/* --- Listing --- */

struct listing {
	struct local *local;
	sandbox_id_text *ids;
	size_t count, room;
	int failed; /* -errno */
};

/* A dead one is not shown: the next mount deletes it. */
static void each_other(void *arg, const char *id, struct home home)
{
	struct listing *l = arg;
	struct meta meta = {0};
	struct error err;
	sandbox_id_text *more;
	int agent = -1;

	if (meta_read(home.dir, &meta, &err) == 0) {
		agent = local_living_agent(&meta);
		meta_free(&meta);
	}
	home_close(&home);
	if (agent < 0)
		return;
	close(agent);
	if (l->count == l->room) {
		more = realloc(l->ids, (l->room + 64) * sizeof *more);
		if (!more) {
			l->failed = -ENOMEM;
			return;
		}
		l->ids = more;
		l->room += 64;
	}
	strcpy(l->ids[l->count++], id);
}

static void list_work(void *arg)
{
	struct listing *l = arg;

	store_scan(&l->local->store, each_other, l);
}

static void list_done(void *arg)
{
	struct listing *l = arg;
	struct error err;

	if (l->failed)
		error_errno(&err, -l->failed, "NO_MEMORY", "the sandboxes cannot be listed");
	core_lock();
	for (size_t i = 0; i < l->count; i++)
		backend_shows(l->ids[i]);
	backend_showed(l->failed ? &err : NULL);
	core_unlock();
	local_job_ends(l->local);
	free(l->ids);
	free(l);
}

void local_list(struct backend *b)
{
	struct listing *l = calloc(1, sizeof *l);
	struct error err;

	if (l) {
		l->local = (struct local *)b;
		local_job_begins(l->local);
		if (loop_work(list_work, list_done, l) == 0)
			return;
		local_job_ends(l->local);
		free(l);
	}
	error_set(&err, ENOMEM, "NO_MEMORY", "out of memory");
	backend_showed(&err);
}

/* --- Attaching --- */

struct attaching {
	struct instance *instance;
	sandbox_id_text id;
	int alive; /* 1; or 0 or -errno, and why */
	struct error why;
};

static void attach_work(void *arg)
{
	struct attaching *a = arg;
	struct instance *i = a->instance;
	int rc = store_take(&i->local->store, a->id, &i->home);

	if (rc == -EWOULDBLOCK)
		a->alive =
		    error_set(&a->why, EBUSY, "OTHER_MOUNT", "sandbox %s belongs to another mount", a->id);
	else if (rc)
		a->alive = error_set(&a->why, ENOENT, "NO_SUCH_SANDBOX", "there is no sandbox %s", a->id);
	else
		a->alive = local_examine(i, a->id, &a->why);
	if (a->alive == 0)
		error_set(&a->why, ENOENT, "NO_SUCH_SANDBOX", "sandbox %s runs no more", a->id);
}

static void attach_done(void *arg)
{
	struct attaching *a = arg;

	core_lock();
	if (a->alive > 0) {
		if (local_adopt(a->instance))
			a->why.code = 0;
		else
			error_set(&a->why, ENOMEM, "NO_MEMORY", "out of memory");
	} else {
		instance_release(a->instance);
	}
	backend_attached(a->id, &a->why);
	core_unlock();
	free(a);
}

void local_attach(struct backend *b, const char *id)
{
	struct attaching *a = calloc(1, sizeof *a);
	struct error err;

	if (a) {
		strncpy(a->id, id, sizeof a->id - 1);
		a->instance = instance_new((struct local *)b, NULL);
		if (a->instance && loop_work(attach_work, attach_done, a) == 0)
			return;
		if (a->instance)
			instance_release(a->instance);
		free(a);
	}
	error_set(&err, ENOMEM, "NO_MEMORY", "out of memory");
	backend_attached(id, &err);
}

/* --- A new session and name --- */

static void note_work(void *arg)
{
	struct instance *i = arg;
	struct error err;

	if (meta_write(i->home.dir, &i->meta, &err))
		log_warn("sandbox %s: the next mount will not know of its new name: %s", i->meta.id,
			 err.text);
}

static void note(struct instance *i);

static void note_done(void *arg)
{
	struct instance *i = arg;
	void (*next)(struct instance *) = i->next;

	core_lock();
	i->noting = false;
	i->next = NULL;
	if (next)
		next(i);
	else if (i->note_again)
		note(i);
	core_unlock();
}

/* Names are read by the pool thread: they change only while it does not write. */
static void note(struct instance *i)
{
	i->note_again = false;
	strcpy(i->meta.session, sandbox_session_name(i->sandbox));
	strcpy(i->meta.name, sandbox_name(i->sandbox));
	i->noting = loop_work(note_work, note_done, i) == 0;
}

void local_renamed(struct backend *b, struct sandbox *s)
{
	struct instance *i = sandbox_instance(s);

	(void)b;
	if (!i || (i->phase != PHASE_RUNNING && i->phase != PHASE_ENDED))
		return;
	if (i->noting)
		i->note_again = true;
	else
		note(i);
}
