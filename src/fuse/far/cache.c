/* fs/ far away: what is remembered of directories, and when it may be believed. */
#include "core/waiter.h"
#include "base/loop.h"
#include "core/sandbox.h"
#include "fuse/far/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Names the agent says have changed, in one listing: with more it is asked for all of them. */
#define UNKNOWN_MAX 1000

uint64_t far_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t news(const struct far *far)
{
	return far->sandbox->news;
}

/* Nothing was heard since that is not of the same question, from which anybody could know better. */
static bool is_latest(const struct far *far, uint64_t then, uint64_t when_ms)
{
	uint64_t since = far->until == news(far) ? far->since : news(far);

	return then >= since && far_now_ms() - when_ms < FAR_NEWS_MS;
}

uint64_t far_new_question(struct far *far)
{
	return ++far->last_question;
}

void far_answered(struct far *far, uint64_t question)
{
	if (question != far->question || far->until + 1 != news(far))
		far->since = news(far);
	far->question = question;
	far->until = news(far);
}

void far_answered_idly(struct far *far)
{
	if (far->until + 1 != news(far))
		far->since = news(far) - 1;
	far->until = news(far);
}

/* --- Entries --- */

static size_t weight(const struct far_entry *e)
{
	return sizeof *e + strlen(e->name) + (e->text ? strlen(e->text) : 0) + 48;
}

static void account(struct far_dir *d, ssize_t bytes)
{
	d->bytes += (size_t)bytes;
	d->owner->far->remembered += (size_t)bytes;
}

static void outdate_listing(struct far_dir *d)
{
	if (d->listing)
		far_listing_unref(d->listing);
	d->listing = NULL;
}

static void set_what(struct far_entry *e, enum far_what what)
{
	struct far_dir *d = e->dir;

	if (e->what == what)
		return;
	d->unknown -= e->what == FAR_UNKNOWN;
	d->unknown += what == FAR_UNKNOWN;
	e->what = what;
	e->identified = false;
	outdate_listing(d);
}

void far_entry_drop(struct far_entry *e)
{
	struct far_dir *d = e->dir;

	account(d, -(ssize_t)weight(e));
	d->unknown -= e->what == FAR_UNKNOWN;
	index_remove(&d->entries, &e->by_name);
	list_remove(&e->link);
	far_entry_part(e);
	free(e->text);
	free(e);
}

struct far_entry *far_entry_find(struct far_dir *d, const char *name)
{
	struct hashed *h = index_first(&d->entries, hash_text(0, name));

	for (; h; h = index_next(h)) {
		struct far_entry *e = container_of(h, struct far_entry, by_name);

		if (strcmp(e->name, name) == 0)
			return e;
	}
	return NULL;
}

static struct far_entry *entry_new(struct far_dir *d, const char *name)
{
	size_t len = strlen(name);
	struct far_entry *e = calloc(1, sizeof *e + len + 1);

	if (!e)
		return NULL;
	memcpy(e->name, name, len + 1);
	if (index_add(&d->entries, &e->by_name, hash_text(0, name))) {
		free(e);
		return NULL;
	}
	e->dir = d;
	e->round = d->round;
	d->unknown++;
	list_append(&d->order, &e->link);
	account(d, (ssize_t)weight(e));
	return e;
}

static void set_text(struct far_entry *e, const char *text)
{
	account(e->dir, -(ssize_t)weight(e));
	free(e->text);
	e->text = text ? strdup(text) : NULL;
	account(e->dir, (ssize_t)weight(e));
}

static void fill_attributes(struct far_entry *e, const struct stat *st)
{
	e->attr = *st;
	e->has_attributes = true;
	e->news = news(e->dir->owner->far);
	e->when_ms = far_now_ms();
}

struct far_entry *far_entry_put(struct far_dir *d, const char *name, enum far_what what,
				const struct stat *st, const char *text, bool plain)
{
	struct far_entry *e = far_entry_find(d, name);
	bool same = e && e->what == FAR_PRESENT && what == FAR_PRESENT && st &&
		    e->attr.st_ino == st->st_ino && e->attr.st_dev == st->st_dev;

	if (what == FAR_ABSENT && d->complete && !d->fetching) { /* it says so by not listing it */
		if (e)
			far_entry_drop(e);
		outdate_listing(d);
		return NULL;
	}
	if (!e)
		e = entry_new(d, name);
	if (!e) {
		far_dir_clear(d);
		return NULL;
	}
	if (e->node &&
	    (what != FAR_PRESENT || !st || e->node->ino != st->st_ino || e->node->dev != st->st_dev))
		far_entry_part(e);
	/* Another file of the same name stands where the first did: the order is nobody's promise. */
	if (what == FAR_PRESENT && e->what == FAR_PRESENT && e->has_attributes && st &&
	    e->attr.st_ino != st->st_ino)
		outdate_listing(d);
	set_what(e, what);
	e->round = d->round;
	set_text(e, what == FAR_PRESENT ? text : NULL);
	e->plain = plain || (e->plain && same);
	e->has_attributes = false;
	e->identified = what == FAR_PRESENT && st;
	if (st)
		fill_attributes(e, st);
	e->news = news(d->owner->far);
	e->when_ms = far_now_ms();
	return e;
}

void far_entry_hint(struct far_dir *d, const char *name, const struct stat *st)
{
	struct far_entry *e = far_entry_find(d, name);

	if (e && !e->has_attributes)
		e->attr =
		    (struct stat){.st_ino = st->st_ino, .st_mode = st->st_mode, .st_dev = d->owner->dev};
}

/* --- What may be believed --- */

static bool is_latest_entry(const struct far_entry *e)
{
	return is_latest(e->dir->owner->far, e->news, e->when_ms);
}

static bool is_watched(const struct far_entry *e)
{
	if (!e->dir->owner->watch)
		return false;
	/* A directory's times and links change with what is in it, which only its own watch sees. */
	if (S_ISDIR(e->attr.st_mode))
		return e->node && e->node->watch;
	/* Written through another name it changes unseen. */
	return e->attr.st_nlink == 1;
}

bool far_entry_fresh(const struct far_entry *e)
{
	const struct far_node *n = e->node;

	if (e->what != FAR_PRESENT || !e->has_attributes)
		return false;
	if (n && n->given != n->done) /* changes of ours are on their way */
		return false;
	return is_watched(e) || is_latest_entry(e);
}

/*
 * For a look-up of a directory it does to know which one it is: the kernel, which was given no time for its
 * attributes, asks for those that it needs.
 */
static bool is_way_through(const struct far_entry *e)
{
	return e->what == FAR_PRESENT && e->identified && S_ISDIR(e->attr.st_mode) && e->dir->owner->watch &&
	       !e->dir->owner->far->ended;
}

int far_dir_find(struct far_node *dir, const char *name, struct far_entry **ret)
{
	int rc = far_dir_know(dir, name, ret);

	if (*ret && !dir->watch)
		dir->dir->used++;
	return rc == -EAGAIN && *ret && is_way_through(*ret) ? 0 : rc;
}

int far_dir_know(struct far_node *dir, const char *name, struct far_entry **ret)
{
	struct far_dir *d = dir->dir;
	struct far_entry *e;

	*ret = NULL;
	if (!d || dir->far->ended)
		return -EAGAIN;
	e = far_entry_find(d, name);
	if (!e)
		return d->complete && (dir->watch || is_latest(dir->far, d->news, d->when_ms)) ? 0 : -EAGAIN;
	if (e->what == FAR_ABSENT)
		return dir->watch || is_latest_entry(e) ? 0 : -EAGAIN;
	*ret = e;
	return far_entry_fresh(e) ? 0 : -EAGAIN;
}

void far_forget_attributes(struct far_node *n)
{
	n->has_attr = false;
	n->allowed = 0;
	if (n->entry)
		n->entry->has_attributes = false;
}

void far_forget_xattrs(struct far_node *n)
{
	n->incapable = false;
	if (n->entry)
		n->entry->plain = false;
}

bool far_attributes(const struct far_node *n, struct stat *ret)
{
	if (n->far->ended || n->given != n->done)
		return false;
	if (n->watch && n->has_attr) {
		*ret = n->attr;
		return true;
	}
	if (!n->entry || !far_entry_fresh(n->entry))
		return false;
	*ret = n->entry->attr;
	return true;
}

void far_set_attributes(struct far_node *n, const struct stat *st)
{
	if (n->attr.st_mode != st->st_mode || n->attr.st_uid != st->st_uid || n->attr.st_gid != st->st_gid)
		n->allowed = 0;
	n->has_attr = true;
	n->attr = *st;
	if (n->entry)
		fill_attributes(n->entry, st);
}

void far_dir_changed(struct far_dir *d, const char *name, uint32_t what)
{
	bool entry = what & FILE_CHANGED_ENTRY;
	struct far_entry *e;

	if (entry) /* its own times and links */
		far_forget_attributes(d->owner);
	e = far_entry_find(d, name);
	if (!e && entry && (d->complete || d->fetching))
		e = entry_new(d, name);
	if (!e) {
		if (entry && (d->complete || d->fetching)) /* no memory to note it down */
			far_dir_clear(d);
		return;
	}
	e->has_attributes = false;
	if (far_xattrs_changed(what))
		e->plain = false;
	e->round = d->round;
	if (entry) {
		set_what(e, FAR_UNKNOWN);
		set_text(e, NULL);
	}
	if (d->unknown > UNKNOWN_MAX && !d->fetching)
		far_dir_clear(d);
	else if (d->bytes > FAR_LISTING_MAX)
		far_dir_clear(d);
}

/* --- Directories --- */

struct far_dir *far_dir_get(struct far_node *n)
{
	struct far_dir *d = n->dir;

	if (d) {
		list_remove(&d->lru);
		list_append(&n->far->dirs, &d->lru);
		return d;
	}
	d = calloc(1, sizeof *d);
	if (!d)
		return NULL;
	d->owner = n;
	list_init(&d->order);
	list_init(&d->waiting);
	list_append(&n->far->dirs, &d->lru);
	n->far->dir_count++;
	n->dir = d;
	account(d, sizeof *d);
	return d;
}

void far_dir_listed(struct far_dir *d)
{
	d->news = news(d->owner->far);
	d->when_ms = far_now_ms();
}

void far_dir_clear(struct far_dir *d)
{
	while (!list_empty(&d->order))
		far_entry_drop(container_of(d->order.next, struct far_entry, link));
	outdate_listing(d);
	d->complete = d->begun = false;
	d->disturbed = d->cleared = true;
}

void far_dir_doubt(struct far_dir *d)
{
	if (!d->fetching) {
		far_dir_clear(d);
		return;
	}
	list_each_safe (pos, &d->order) {
		struct far_entry *e = container_of(pos, struct far_entry, link);

		e->has_attributes = e->identified = e->plain = false;
		if (e->what == FAR_ABSENT)
			far_entry_drop(e);
	}
	outdate_listing(d);
	d->complete = d->begun = false;
	d->disturbed = true;
}

void far_dir_free(struct far_dir *d)
{
	struct far_node *n = d->owner;

	far_dir_clear(d);
	index_free(&d->entries);
	account(d, -(ssize_t)sizeof *d);
	core_wake(&d->waiting);
	list_remove(&d->lru);
	n->far->dir_count--;
	n->dir = NULL;
	free(d);
}

void far_dirs_trim(struct far *far, const struct far_dir *keep)
{
	list_each_safe (pos, &far->dirs) {
		struct far_dir *d = container_of(pos, struct far_dir, lru);
		struct far_node *n = d->owner;

		if (far->remembered <= FAR_REMEMBER_MAX && far->dir_count <= FAR_DIRS_MAX)
			return;
		if (d == keep || d->fetching)
			continue;
		far_dir_free(d);
		far_node_relax(n);
	}
}

/* --- Names in order --- */

void far_listing_unref(struct far_listing *l)
{
	if (--l->refs)
		return;
	free(l->at);
	free(l->names);
	free(l);
}

/*
 * What may be somebody else's by now, or gone, is listed too where there was no time to ask again: a name
 * that was there all the time must be.
 */
static bool is_listed(const struct far_dir *d, const struct far_entry *e)
{
	if (!d->complete && e->round != d->round)
		return false;
	return e->what == FAR_PRESENT || (e->what == FAR_UNKNOWN && e->attr.st_ino);
}

static bool measure(struct far_dir *d, size_t *ret_count, size_t *ret_bytes)
{
	*ret_count = *ret_bytes = 0;
	list_each (pos, &d->order) {
		struct far_entry *e = container_of(pos, struct far_entry, link);

		if (!is_listed(d, e))
			continue;
		++*ret_count;
		*ret_bytes += strlen(e->name) + 1;
	}
	return *ret_bytes < UINT32_MAX;
}

static void fill(struct far_dir *d, struct far_listing *l)
{
	uint32_t used = 0;

	list_each (pos, &d->order) {
		struct far_entry *e = container_of(pos, struct far_entry, link);

		if (!is_listed(d, e))
			continue;
		l->at[l->count].ino = graft_shown_ino(d->owner->far->graft, e->attr.st_dev, e->attr.st_ino);
		l->at[l->count].type = e->attr.st_mode & S_IFMT;
		l->at[l->count++].name = used;
		strcpy(l->names + used, e->name);
		used += (uint32_t)strlen(e->name) + 1;
	}
}

struct far_listing *far_listing_of(struct far_dir *d)
{
	struct far_listing *l;
	size_t count, bytes;

	if (!d->listing) {
		l = measure(d, &count, &bytes) ? calloc(1, sizeof *l) : NULL;
		if (!l)
			return NULL;
		l->refs = 1;
		l->at = calloc(count + 1, sizeof *l->at);
		l->names = malloc(bytes + 1);
		if (!l->at || !l->names) {
			far_listing_unref(l);
			return NULL;
		}
		fill(d, l);
		d->listing = l;
	}
	d->listing->refs++;
	return d->listing;
}
