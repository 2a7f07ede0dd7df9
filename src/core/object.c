#include "core/object.h"

#include "base/fnv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Two chained hash tables over all listed objects, of one size, doubled when full. */
static struct {
	struct object **by_serial, **by_name;
	size_t size, count; /* size is a power of two */
} table;

static uint64_t next_serial; /* the mount, made first, is number 0 */

static bool name_byte(char c, bool edge)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
		return true;
	return !edge && (c == '.' || c == '_' || c == '-');
}

int object_name_check(const char *name)
{
	size_t len = strlen(name);

	if (len > 255)
		return -ENAMETOOLONG;
	if (len == 0 || len > NAME_MAX_BYTES)
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		if (!name_byte(name[i], i == 0 || i == len - 1))
			return -EINVAL;
	return 0;
}

static size_t hash_serial(uint64_t serial)
{
	return (serial * 0x9e3779b97f4a7c15ull) >> 20;
}

static size_t hash_name(const struct object *parent, const char *name)
{
	uint64_t h = fnv_text(FNV_BASIS ^ (parent ? parent->serial : 0), name);

	return h ^ h >> 32;
}

static void table_insert(struct object *o)
{
	struct object **s = &table.by_serial[hash_serial(o->serial) & (table.size - 1)];
	struct object **n = &table.by_name[hash_name(o->parent, o->name) & (table.size - 1)];

	o->next_by_serial = *s;
	*s = o;
	o->next_by_name = *n;
	*n = o;
}

static int table_grow(void)
{
	struct object **old = table.by_serial, **old_names = table.by_name;
	size_t old_size = table.size, size = old_size ? old_size * 2 : 64;
	struct object **by_serial = calloc(size, sizeof *by_serial);
	struct object **by_name = calloc(size, sizeof *by_name);

	if (!by_serial || !by_name) {
		free(by_serial);
		free(by_name);
		return -ENOMEM;
	}
	table.by_serial = by_serial;
	table.by_name = by_name;
	table.size = size;
	for (size_t i = 0; i < old_size; i++) {
		for (struct object *o = old[i], *next; o; o = next) {
			next = o->next_by_serial;
			table_insert(o);
		}
	}
	free(old);
	free(old_names);
	return 0;
}

static void table_delete(struct object *o)
{
	struct object **at = &table.by_serial[hash_serial(o->serial) & (table.size - 1)];

	while (*at != o)
		at = &(*at)->next_by_serial;
	*at = o->next_by_serial;
	at = &table.by_name[hash_name(o->parent, o->name) & (table.size - 1)];
	while (*at != o)
		at = &(*at)->next_by_name;
	*at = o->next_by_name;
	table.count--;
}

static int add(struct object *o, enum object_kind kind, struct object *parent, const char *name,
	       void (*destroy)(struct object *))
{
	if (table.count >= table.size && table_grow())
		return -ENOMEM;
	o->kind = kind;
	o->refs = 1;
	o->serial = next_serial++;
	strncpy(o->name, name, sizeof o->name - 1);
	o->parent = parent;
	o->destroy = destroy;
	o->listed = true;
	list_init(&o->children);
	list_init(&o->sibling);
	if (parent)
		object_ref(parent);
	table_insert(o);
	table.count++;
	return 0;
}

int object_add(struct object *o, enum object_kind kind, struct object *parent, const char *name,
	       void (*destroy)(struct object *))
{
	int rc = add(o, kind, parent, name, destroy);

	if (rc || !parent)
		return rc;
	list_append(&parent->children, &o->sibling);
	parent->child_count++;
	object_ref(o);
	return 0;
}

int object_add_apart(struct object *o, enum object_kind kind, struct object *parent, const char *name,
		     void (*destroy)(struct object *))
{
	o->apart = true;
	return add(o, kind, parent, name, destroy);
}

void object_remove(struct object *o)
{
	if (!o->listed)
		return;
	o->listed = false;
	table_delete(o);
	if (o->parent && !o->apart) {
		list_remove(&o->sibling);
		o->parent->child_count--;
		object_unref(o);
	}
}

void object_move(struct object *o, struct object *parent, const char *name)
{
	struct object *old = o->parent;
	struct list *behind = parent->children.prev;

	table_delete(o);
	list_remove(&o->sibling);
	old->child_count--;
	o->parent = object_ref(parent);
	memset(o->name, 0, sizeof o->name);
	strncpy(o->name, name, sizeof o->name - 1);
	/* The order is that of the serials, and new ones are the highest. */
	while (behind != &parent->children &&
	       container_of(behind, struct object, sibling)->serial > o->serial)
		behind = behind->prev;
	list_append(behind->next, &o->sibling);
	parent->child_count++;
	table_insert(o);
	table.count++;
	object_unref(old);
}

struct object *object_ref(struct object *o)
{
	o->refs++;
	return o;
}

void object_unref(struct object *o)
{
	struct object *parent = o->parent;

	if (--o->refs)
		return;
	o->destroy(o);
	if (parent)
		object_unref(parent);
}

struct object *object_find(uint64_t serial)
{
	struct object *o = table.size ? table.by_serial[hash_serial(serial) & (table.size - 1)] : NULL;

	while (o && o->serial != serial)
		o = o->next_by_serial;
	return o;
}

struct object *object_child(const struct object *parent, const char *name)
{
	struct object *o = table.by_name[hash_name(parent, name) & (table.size - 1)];

	while (o && (o->parent != parent || o->apart || strcmp(o->name, name) != 0))
		o = o->next_by_name;
	return o;
}

struct object *object_next(const struct object *parent, uint64_t after)
{
	struct object *last = object_find(after);

	if (last && last->parent == parent && !last->apart) { /* the usual case: go on behind it */
		if (last->sibling.next == &parent->children)
			return NULL;
		return container_of(last->sibling.next, struct object, sibling);
	}
	list_each (pos, &parent->children) {
		struct object *o = container_of(pos, struct object, sibling);

		if (o->serial > after)
			return o;
	}
	return NULL;
}
