#include "core/roster.h"

#include "base/fnv.h"
#include "core/after.h"
#include "core/mount.h"
#include "core/sandbox.h"
#include "core/waiter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FRESH_MS      1000 /* a listing is not asked for again so soon */
#define FAILED_MS     2000 /* nor a sandbox that could not be attached to */
#define FAILED_KEPT   256
#define ATTACHING_MAX 64
#define ARRIVAL_MS    5000 /* how long an agent may take to say what runs */

struct entry {
	struct entry *next_by_id;
	uint64_t number;	 /* in the order of becoming known; never used again */
	struct sandbox *sandbox; /* NULL: not of this mount (yet) */
	uint64_t listing;	 /* the last one that named it */
	struct error *failure;	 /* of the last attempt to attach, or NULL */
	uint64_t failed_ms;
	bool attaching;
	struct list waiters; /* for the end of that */
	char id[SANDBOX_ID_MAX + 1];
};

static struct {
	struct entry **at;   /* by number */
	struct entry **hash; /* by id; as many slots as `at` has room for */
	size_t count, room;  /* room is a power of two */
	uint64_t last_number;
	uint64_t listing; /* number of the one under way, or of the last */
	bool listing_on;
	uint64_t listed_ms; /* its end; 0: none yet */
	struct error trouble;
	struct list listers;
	unsigned attaching, failed;
	struct list queue; /* who finds too many attaching */
} roster = {.listers = {&roster.listers, &roster.listers}, .queue = {&roster.queue, &roster.queue}};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* --- The table --- */

static struct entry **slot_of(const char *id)
{
	uint64_t h = fnv_text(FNV_BASIS, id);

	return &roster.hash[(h ^ h >> 32) & (roster.room - 1)];
}

static struct entry *find(const char *id)
{
	struct entry *e = roster.room ? *slot_of(id) : NULL;

	while (e && strcmp(e->id, id) != 0)
		e = e->next_by_id;
	return e;
}

static int grow(void)
{
	size_t room = roster.room ? roster.room * 2 : 64;
	struct entry **at = realloc(roster.at, room * sizeof *at);
	struct entry **hash = calloc(room, sizeof *hash);

	if (at)
		roster.at = at;
	if (!at || !hash) {
		free(hash);
		return -ENOMEM;
	}
	free(roster.hash);
	roster.hash = hash;
	roster.room = room;
	for (size_t i = 0; i < roster.count; i++) {
		struct entry **slot = slot_of(at[i]->id);

		at[i]->next_by_id = *slot;
		*slot = at[i];
	}
	return 0;
}

static struct entry *add(const char *id)
{
	struct entry *e = find(id), **slot;

	if (e)
		return e;
	if (roster.count == roster.room && grow())
		return NULL;
	e = calloc(1, sizeof *e);
	if (!e)
		return NULL;
	strncpy(e->id, id, sizeof e->id - 1);
	e->number = ++roster.last_number;
	list_init(&e->waiters);
	slot = slot_of(id);
	e->next_by_id = *slot;
	*slot = e;
	roster.at[roster.count++] = e;
	return e;
}

/* The first entry with a number over `after`. */
static size_t position(uint64_t after)
{
	size_t low = 0, high = roster.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (roster.at[middle]->number > after)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static void clear_failure(struct entry *e)
{
	if (e->failure)
		roster.failed--;
	free(e->failure);
	e->failure = NULL;
}

static void drop(struct entry *e)
{
	struct entry **slot = slot_of(e->id);
	size_t i = position(e->number - 1);

	while (*slot != e)
		slot = &(*slot)->next_by_id;
	*slot = e->next_by_id;
	memmove(&roster.at[i], &roster.at[i + 1], (roster.count - i - 1) * sizeof *roster.at);
	roster.count--;
	clear_failure(e);
	core_wake(&e->waiters);
	free(e);
}

/* What the backend showed last, and what is ours. */
static bool shown(const struct entry *e)
{
	return e->sandbox || (e->listing && e->listing + roster.listing_on >= roster.listing);
}

/* Failures that are old, or too many. */
static void forget_failures(void)
{
	uint64_t now = now_ms();

	for (size_t i = roster.count; roster.failed && i-- > 0;) {
		struct entry *e = roster.at[i];

		if (!e->failure || (roster.failed <= FAILED_KEPT && now - e->failed_ms < FAILED_MS))
			continue;
		if (shown(e) || e->attaching)
			clear_failure(e);
		else
			drop(e);
	}
}

/* --- Those of this mount --- */

int roster_enter(struct sandbox *s)
{
	struct entry *e = s->id[0] ? add(s->id) : NULL;

	if (!e)
		return s->id[0] ? -ENOMEM : 0;
	e->sandbox = s;
	return 0;
}

void roster_leave(struct sandbox *s)
{
	struct entry *e = find(s->id);

	if (!e || e->sandbox != s)
		return;
	e->sandbox = NULL;
	e->listing = 0; /* a listing may have named it before it went */
	roster_arrived(s);
	if (!e->attaching)
		drop(e);
}

struct sandbox *roster_find(const char *id)
{
	struct entry *e = find(id);

	return e && !e->attaching ? e->sandbox : NULL;
}

unsigned roster_count(void)
{
	unsigned count = 0;

	for (size_t i = 0; i < roster.count; i++)
		count += shown(roster.at[i]);
	return count;
}

const char *roster_next(uint64_t *cursor, struct sandbox **ret)
{
	for (size_t i = position(*cursor); i < roster.count; i++) {
		struct entry *e = roster.at[i];

		if (!shown(e))
			continue;
		*cursor = e->number;
		*ret = e->attaching ? NULL : e->sandbox;
		return e->id;
	}
	return NULL;
}

/* --- Listing --- */

int roster_list(struct list **ret_wait, struct error *err)
{
	const struct backend_ops *ops = the_mount.backend->ops;

	if (!ops->list)
		return 0;
	if (!roster.listing_on) {
		if (roster.listed_ms && now_ms() - roster.listed_ms < FRESH_MS) {
			*err = roster.trouble;
			return -err->code;
		}
		if (the_mount.ending)
			return error_set(err, ESHUTDOWN, "UNMOUNTING", "the mount is being ended");
		roster.listing++;
		roster.listing_on = true;
		ops->list(the_mount.backend);
		if (!roster.listing_on) { /* it had the answer at hand */
			*err = roster.trouble;
			return -err->code;
		}
	}
	*ret_wait = &roster.listers;
	return -EAGAIN;
}

void backend_shows(const char *id)
{
	struct entry *e;

	if (!roster.listing_on || strlen(id) > SANDBOX_ID_MAX || object_name_check(id))
		return;
	e = add(id);
	if (e)
		e->listing = roster.listing;
}

void backend_showed(const struct error *why)
{
	if (!roster.listing_on)
		return;
	roster.listing_on = false;
	roster.listed_ms = now_ms();
	roster.trouble = why ? *why : (struct error){0};
	for (size_t i = roster.count; !why && i-- > 0;) {
		struct entry *e = roster.at[i];

		if (!shown(e) && !e->attaching && !e->failure)
			drop(e);
	}
	core_wake(&roster.listers);
}

/* --- Attaching --- */

static void end_attaching(struct entry *e)
{
	if (!e->attaching)
		return;
	e->attaching = false;
	roster.attaching--;
	core_wake(&e->waiters);
	core_wake(&roster.queue);
}

int roster_attach(const char *id, struct list **ret_wait, struct error *err)
{
	struct entry *e;

	if (strlen(id) > SANDBOX_ID_MAX || object_name_check(id))
		return error_set(err, ENOENT, "NO_SUCH_SANDBOX", "'%.50s' is not the id of a sandbox", id);
	e = find(id);
	if (e && e->sandbox && !e->attaching)
		return 0;
	if (e && e->attaching) {
		*ret_wait = &e->waiters;
		return -EAGAIN;
	}
	forget_failures();
	e = find(id);
	if (e && e->failure) {
		*err = *e->failure;
		return -err->code;
	}
	if (!the_mount.backend->ops->attach)
		return error_set(err, ENOENT, "NO_SUCH_SANDBOX", "there is no sandbox %s", id);
	if (the_mount.ending)
		return error_set(err, ESHUTDOWN, "UNMOUNTING", "the mount is being ended");
	*ret_wait = &roster.queue;
	if (roster.attaching >= ATTACHING_MAX)
		return -EAGAIN;
	e = add(id);
	if (!e)
		return error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
	e->attaching = true;
	roster.attaching++;
	*ret_wait = &e->waiters;
	the_mount.backend->ops->attach(the_mount.backend, e->id);
	return roster_find(id) ? 0 : -EAGAIN;
}

bool roster_is_attaching(const char *id)
{
	struct entry *e = find(id);

	return e && e->attaching;
}

void roster_arrived(struct sandbox *s)
{
	struct entry *e = find(s->id);

	if (e)
		end_attaching(e);
}

static void arrived_or_not(struct object *o)
{
	roster_arrived((struct sandbox *)o);
}

void backend_attached(const char *id, const struct error *why)
{
	struct entry *e = find(id);

	if (!e || !e->attaching)
		return;
	if (e->sandbox) {
		/* What runs in it is known when its agent has reported. */
		if (!e->sandbox->arriving || core_after(ARRIVAL_MS, arrived_or_not, &e->sandbox->object))
			end_attaching(e);
		return;
	}
	clear_failure(e);
	e->failure = malloc(sizeof *e->failure);
	if (e->failure) {
		error_set(e->failure, ENOENT, "NO_SUCH_SANDBOX", "there is no sandbox %s", id);
		if (why && why->code)
			*e->failure = *why;
		e->failed_ms = now_ms();
		roster.failed++;
	}
	end_attaching(e);
}
