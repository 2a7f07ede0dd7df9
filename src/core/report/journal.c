#include "core/report/journal.h"

#include "core/report/events.h"
#include "core/mount.h"
#include "core/session.h"
#include "core/waiter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE   65536u
#define SEEK_BACK    65536u /* bytes a reader keeps behind it */
#define WINDOW_MAX   (2u << 20)
#define FILL_AT_ONCE (256u << 10)

/* A line, as it stands in a chunk; the next one follows at a multiple of 8. */
struct record {
	uint64_t owner; /* serial of the session */
	uint64_t count; /* among those of the session */
	uint32_t len;
	char text[];
};

struct chunk {
	struct list link;
	uint64_t first; /* number of the first record */
	uint64_t after; /* of the one behind the last */
	uint32_t used;
	_Alignas(8) char records[CHUNK_SIZE - 64];
};

static struct {
	struct list chunks; /* the oldest first */
	unsigned count;
	uint64_t next; /* number of the next line */
} journal = {.chunks = {&journal.chunks, &journal.chunks}};

static uint32_t record_size(uint32_t len)
{
	return (uint32_t)(sizeof(struct record) + len + 7) & ~7u;
}

static const struct record *record_at(const struct chunk *c, uint32_t at)
{
	return (const struct record *)(c->records + at);
}

/* --- Feeds --- */

void feed_init(struct feed *f, uint64_t owner)
{
	*f = (struct feed){.owner = owner};
	list_init(&f->waiters);
}

void feed_end(struct feed *f)
{
	f->ended = true;
	core_wake(&f->waiters);
}

/* --- Writing --- */

static struct chunk *oldest(void)
{
	return list_empty(&journal.chunks) ? NULL : container_of(journal.chunks.next, struct chunk, link);
}

static void drop_oldest(void)
{
	struct chunk *c = oldest();

	for (uint32_t at = 0; at < c->used; at += record_size(record_at(c, at)->len)) {
		const struct record *r = record_at(c, at);
		struct object *o = object_find(r->owner);

		the_mount.events.kept -= r->len;
		if (o && o->kind == OBJECT_SESSION)
			((struct session *)o)->events.kept -= r->len;
	}
	list_remove(&c->link);
	journal.count--;
	free(c);
}

static struct chunk *chunk_for(uint32_t size)
{
	struct chunk *c = journal.count ? container_of(journal.chunks.prev, struct chunk, link) : NULL;

	/* A number that was lost for want of memory leaves a gap: records of a chunk have none. */
	if (c && c->used + size <= sizeof c->records && c->after == journal.next)
		return c;
	if (journal.count >= JOURNAL_KEPT / CHUNK_SIZE)
		drop_oldest();
	c = malloc(sizeof *c);
	if (!c)
		return NULL;
	c->first = c->after = journal.next;
	c->used = 0;
	list_append(&journal.chunks, &c->link);
	journal.count++;
	return c;
}

uint64_t journal_next_number(void)
{
	return journal.next;
}

void journal_add(struct feed *session, const char *line, size_t len)
{
	struct chunk *c = len <= JOURNAL_LINE_MAX ? chunk_for(record_size((uint32_t)len)) : NULL;
	struct record *r;

	if (c) {
		r = (struct record *)(c->records + c->used);
		r->owner = session->owner;
		r->count = session->count;
		r->len = (uint32_t)len;
		memcpy(r->text, line, len);
		c->used += record_size(r->len);
		c->after++;
		the_mount.events.kept += len;
		session->kept += len;
	}
	the_mount.events.count = ++journal.next;
	session->count++;
	core_wake(&the_mount.events.waiters);
	core_wake(&session->waiters);
}

void journal_end(void)
{
	while (oldest())
		drop_oldest();
}

/* --- Reading --- */

void journal_reader_init(struct journal_reader *r, struct feed *feed)
{
	*r = (struct journal_reader){.feed = feed};
	buf_init(&r->window, WINDOW_MAX);
}

void journal_reader_free(struct journal_reader *r)
{
	buf_free(&r->window);
}

static void start_over(struct journal_reader *r)
{
	r->next = r->expected = r->base = 0;
	r->window.len = 0;
}

static int put_lost(struct journal_reader *r, uint64_t own_count)
{
	int rc;

	if (own_count <= r->expected)
		return 0;
	rc = event_put_lost(&r->window, own_count - r->expected);
	if (rc == 0)
		r->expected = own_count;
	return rc;
}

/* The next line of the feed into the window, and before it how many are missing. */
static int take(struct journal_reader *r, const struct record *rec, uint64_t number)
{
	bool all = r->feed->owner == 0;
	uint64_t own = all ? number : rec->count;
	int rc = 0;

	if (all || rec->owner == r->feed->owner) {
		rc = put_lost(r, own);
		rc = rc ? rc : buf_append(&r->window, rec->text, rec->len);
		if (rc == 0)
			r->expected = own + 1;
	}
	if (rc == 0)
		r->next = number + 1;
	return rc;
}

/* Lines behind the window, until there are some bytes more of it or no more lines. */
static int fill(struct journal_reader *r, size_t size)
{
	size_t wanted = r->window.len + (size < FILL_AT_ONCE ? size : FILL_AT_ONCE);
	int rc = 0;

	list_each (pos, &journal.chunks) {
		const struct chunk *c = container_of(pos, struct chunk, link);
		uint64_t number = c->first;

		if (c->after <= r->next)
			continue;
		for (uint32_t at = 0; at < c->used && rc == 0; number++) {
			if (number >= r->next)
				rc = take(r, record_at(c, at), number);
			at += record_size(record_at(c, at)->len);
			if (r->window.len >= wanted)
				return rc;
		}
	}
	if (rc == 0)
		rc = put_lost(r, r->feed->count); /* the last were lost, or all that were kept are others' */
	if (rc == 0)
		r->next = journal.next;
	return rc;
}

static void forget_behind(struct journal_reader *r, uint64_t off)
{
	uint64_t behind = off - r->base;
	size_t drop;

	if (behind <= SEEK_BACK * 2)
		return;
	drop = behind - SEEK_BACK < r->window.len ? (size_t)(behind - SEEK_BACK) : r->window.len;
	buf_consume(&r->window, drop);
	r->base += drop;
}

static uint64_t window_end(const struct journal_reader *r)
{
	return r->base + r->window.len;
}

/* Has the window reach beyond `off`; false when there is no more. */
static int reach(struct journal_reader *r, uint64_t off, size_t size)
{
	uint64_t before;
	int rc = 0;

	if (off < r->base)
		start_over(r);
	while (rc == 0 && off >= (before = window_end(r))) {
		forget_behind(r, before);
		rc = fill(r, size);
		if (window_end(r) == before)
			break;
	}
	return rc;
}

int journal_read(struct journal_reader *r, uint64_t off, size_t size, const char **ret_data, size_t *ret_len)
{
	int rc = reach(r, off, size);
	size_t at;

	*ret_len = 0;
	if (rc)
		return rc;
	if (off >= window_end(r))
		return r->feed->ended ? 0 : -EAGAIN;
	at = (size_t)(off - r->base);
	*ret_data = r->window.data + at;
	*ret_len = size < r->window.len - at ? size : r->window.len - at;
	r->position = off + *ret_len;
	return 0;
}

bool journal_ready(struct journal_reader *r)
{
	return r->feed->ended || reach(r, r->position, 1) || r->position < window_end(r);
}
