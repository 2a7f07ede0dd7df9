/* fs/ far away: fetching listings. Names come with attributes and link texts, as many as fit into a reply. */
#include "core/waiter.h"
#include "fuse/far/list.h"

#include "fuse/far/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define AHEAD_BYTES (128u << 10) /* of a listing nobody asked for yet */

static int ask(struct far_node *dir, uint64_t position, uint64_t question);

static void drop_unlisted(struct far_dir *d)
{
	list_each_safe (pos, &d->order) {
		struct far_entry *e = container_of(pos, struct far_entry, link);

		if (e->round != d->round)
			far_entry_drop(e);
	}
}

static void ended(struct far_dir *d, int error, bool whole)
{
	d->fetching = false;
	d->error = error;
	d->whole = !error && whole && !d->cleared;
	if (!error && whole && !d->disturbed) {
		drop_unlisted(d);
		d->complete = true;
	}
	far_dirs_trim(d->owner->far, d);
	core_wake(&d->waiting);
	/* The kernel forgot the directory meanwhile. */
	if (!d->owner->node && list_empty(&d->waiting))
		far_dir_free(d);
}

static int put_entries(struct far_dir *d, struct file_reply *reply, uint64_t *ret_position)
{
	struct file_entry *e = malloc(sizeof *e);
	char text[PATH_MAX];
	int rc = e ? 0 : -ENOMEM;

	while (rc == 0 && file_reply_next_entry(reply, e)) {
		*ret_position = e->position;
		if (e->known && S_ISLNK(e->attr.st_mode)) {
			memcpy(text, e->text, e->text_len);
			text[e->text_len] = '\0';
		}
		if (!far_entry_put(d, e->name, FAR_PRESENT, e->known ? &e->attr : NULL,
				   e->known && S_ISLNK(e->attr.st_mode) ? text : NULL, e->plain))
			rc = -ENOMEM;
		else if (!e->known)
			far_entry_hint(d, e->name, &e->attr);
		if (d->bytes > FAR_LISTING_MAX)
			rc = -EFBIG;
	}
	free(e);
	return rc;
}

/* Where it is looked for by its path each time: another directory may stand there now. */
static bool is_another(const struct far_node *dir, const struct file_reply *reply)
{
	return !reply->watch && !far_node_is(dir, &reply->attr);
}

/* `from`: the position it was asked from. */
static void take(struct far_node *dir, uint64_t from, uint64_t question, int error, struct file_reply *reply)
{
	struct far_dir *d = dir->dir;
	uint64_t position = 0;

	if (!error && dir->stale)
		error = -ESTALE;
	/* Of an agent that was started anew: found again by its name, when it is asked for again. */
	if (error == -ESTALE && reply)
		far_node_lose(dir);
	if (!error && is_another(dir, reply)) {
		far_forget_attributes(dir);
		error = -ESTALE;
	}
	if (!error) {
		far_node_watch(dir, reply->watch);
		dir->unwatched = !reply->watch;
		if (!from) { /* from its beginning all of it is new */
			d->disturbed = false;
			far_dir_listed(d);
		}
		far_learn_parent(dir, &reply->attr);
		error = put_entries(d, reply, &position);
	}
	/* Positions are the file system's own and say nothing; a reply without entries is no progress. */
	if (!error && !reply->flag && !reply->count)
		error = -EIO;
	if (!error && !reply->flag && !d->ahead) {
		error = ask(dir, position, question);
		if (!error)
			return;
	}
	d->begun = !error && !reply->flag && !d->disturbed;
	d->position = position;
	ended(d, error, !error && reply->flag); /* `d` may be gone */
}

static int on_entries(struct far_aside *a, int error, struct file_reply *reply)
{
	if (a->node->dir)
		take(a->node, a->number, a->question, error, reply);
	return 0;
}

static int ask(struct far_node *dir, uint64_t position, uint64_t question)
{
	struct file_request q = {.op = FILE_READDIR,
				 .flags = FILE_WATCH,
				 .offset = position,
				 .depth = FILE_LINK_RAW,
				 .length = dir->dir->ahead ? AHEAD_BYTES : FILE_READ_MAX};
	struct far_aside *a;
	int rc = far_node_need(dir);

	if (rc)
		return rc;
	a = far_aside_new(dir->far, dir);
	if (!a)
		return -ENOMEM;
	q.handle = dir->handle;
	a->number = position;
	a->question = question;
	a->answered = on_entries;
	a->call.expected = (uint32_t)q.length;
	return far_aside_call(a, &q);
}

static void start(struct far_dir *d, bool ahead)
{
	d->fetching = true;
	d->ahead = ahead;
	d->asked_ahead = d->asked_ahead || ahead;
	d->disturbed = d->cleared = d->whole = d->begun = false;
	d->used = 0;
	d->round++;
	d->fetched_for++;
}

/*
 * The names that lead to it, where they are not watched: whoever lists it looks at what is in it next, by its
 * path, and what was known of that is too old when the listing has come. They are asked for before it, so
 * that it is the one they lead to.
 */
static int ask_way(struct far_node *dir, uint64_t question)
{
	int rc = 0;

	for (struct far_node *n = dir; n->place && rc == 0; n = n->place)
		rc = far_node_need(n->place);
	for (struct far_node *n = dir; n->place && rc == 0; n = n->place)
		if (n->place->unwatched)
			far_look_aside(n->place, n->name, question);
	return rc;
}

static int begin(struct far_node *dir, bool ahead)
{
	struct far_dir *d = far_dir_get(dir);
	uint64_t from = 0, question = far_new_question(dir->far);
	int rc;

	if (!d)
		return -ENOMEM;
	if (d->fetching)
		return 0;
	d->error = 0;
	if (d->begun && dir->watch) { /* goes on where that ended */
		d->fetching = true;
		d->ahead = d->begun = false;
		d->fetched_for++;
		from = d->position;
	} else {
		start(d, ahead);
	}
	rc = ahead ? 0 : ask_way(dir, question);
	rc = rc ? rc : ask(dir, from, question);
	if (rc)
		d->fetching = false;
	return rc;
}

int far_list_fetch(struct far_node *dir)
{
	return begin(dir, false);
}

bool far_list_is_new(const struct far_node *dir)
{
	const struct far_dir *d = dir->dir;

	return !d || (!d->complete && (!d->asked_ahead || (d->fetching && d->ahead)));
}

void far_list_ahead(struct far_node *dir)
{
	struct far_dir *d = far_dir_get(dir);

	/* What is not watched would be too old by the time it is used. */
	if (d && !d->complete && !d->fetching && !d->asked_ahead && !dir->unwatched)
		(void)begin(dir, true);
}

#define USED_MIN   8  /* names: of fewer each is asked for by itself, */
#define USED_SHARE 64 /* and of less than one in so many */

/* The one brought ahead was too old from the start. */
static bool is_worth_it(const struct far_dir *d)
{
	return d->ahead || (d->used >= USED_MIN && d->used >= d->entries.count / USED_SHARE);
}

bool far_list_again(struct far_node *dir, const char *name)
{
	struct far_dir *d = dir->dir;

	if (!d || !d->complete || dir->watch || !far_entry_find(d, name))
		return false;
	if (!d->fetching && is_worth_it(d))
		(void)begin(dir, false);
	d = dir->dir; /* it may have failed at once */
	return d && d->fetching && !d->ahead;
}

/* --- Of what is only just being looked up, or made --- */

static int on_found(struct far_aside *a, int error, struct file_reply *reply)
{
	if (a->asker) /* an agent that answers out of order */
		a->asker->found = NULL;
	if (!a->node)
		far_release_handle(a->far, a->number);
	else if (a->node->dir && a->node->dir->fetching)
		take(a->node, 0, a->question, error, reply);
	return 0;
}

struct far_aside *far_list_prepare(struct far_op *op)
{
	struct file_request q = {
	    .op = FILE_READDIR, .flags = FILE_WATCH, .depth = FILE_LINK_RAW, .length = AHEAD_BYTES};
	struct far_aside *a = op->node->unwatched ? NULL : far_aside_new(op->far, NULL);

	if (!a)
		return NULL;
	a->number = q.handle = far_new_handle(op->far);
	a->answered = on_found;
	a->call.expected = (uint32_t)q.length;
	if (far_aside_encode(a, &q))
		return NULL;
	a->asker = op;
	op->found = a;
	return a;
}

void far_list_adopt(struct far_op *op, struct far_node *n)
{
	struct far_aside *a = op->found;
	struct far_dir *d;

	if (!a || !S_ISDIR(n->type) || n->has_handle || n->dir || !(d = far_dir_get(n)))
		return;
	a->node = far_node_ref(n);
	n->has_handle = true;
	n->handle = a->number;
	n->stale = false;
	start(d, true);
}

/* --- Attributes that were forgotten one by one --- */

#define BARE_LOOKED_AT 4096

void far_list_bare(struct far_node *dir)
{
	struct far_dir *d = dir->dir;
	unsigned bare = 0, seen = 0;

	if (!d || !d->complete || d->fetching)
		return;
	list_each (pos, &d->order) {
		struct far_entry *e = container_of(pos, struct far_entry, link);

		if (++seen > BARE_LOOKED_AT)
			return;
		bare += e->what == FAR_PRESENT && !e->has_attributes;
	}
	if (bare > 1)
		(void)begin(dir, false);
}
