/* What stands in the tree: counted objects with a name, a parent and a number that is never reused. */
#pragma once

#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum object_kind {
	OBJECT_MOUNT,
	OBJECT_SESSION,
	OBJECT_SANDBOX,
	OBJECT_PROCESS,
	OBJECT_SNAPSHOT, /* whose files can be read */
	OBJECT_RECORD,	 /* a snapshot of which only is known that it is there */
	OBJECT_FUNCTION,
	OBJECT_KINDS
};

#define NAME_MAX_BYTES 48

/*
 * Embedded as the first member. All of it is guarded by the core lock. The
 * parent owns a reference to each listed child, a child one to its parent.
 */
struct object {
	enum object_kind kind;
	unsigned refs;
	uint64_t serial;
	char name[NAME_MAX_BYTES + 1];
	struct object *parent; /* NULL for the mount */
	struct list children;  /* in the order of their serials */
	struct list sibling;
	unsigned child_count;
	bool listed; /* false once removed from its parent */
	bool apart;  /* none of its parent's children, though it is in it: someone else lists it */
	struct object *next_by_serial, *next_by_name;
	void (*destroy)(struct object *o); /* frees it, at the last unref */
};

/* A name for sessions, sandboxes and processes: 0, -ENAMETOOLONG over 255 bytes, else -EINVAL. */
int object_name_check(const char *name);

/* Makes `o` a listed child (or the mount, without parent) with one reference for the caller. 0 or -ENOMEM. */
int object_add(struct object *o, enum object_kind kind, struct object *parent, const char *name,
	       void (*destroy)(struct object *));

/* The same for one that is not among the children of its parent, nor found there by its name. */
int object_add_apart(struct object *o, enum object_kind kind, struct object *parent, const char *name,
		     void (*destroy)(struct object *));

/* Takes it out of its parent's listing; it lives on while it is referenced. */
void object_remove(struct object *o);

/* Has it listed under another parent and name, which must be free; its number stays. */
void object_move(struct object *o, struct object *parent, const char *name);

struct object *object_ref(struct object *o);
void object_unref(struct object *o);

/* NULL when there is none that is listed. Borrowed references. */
struct object *object_find(uint64_t serial);
struct object *object_child(const struct object *parent, const char *name);
/* The first child with a serial over `after`. */
struct object *object_next(const struct object *parent, uint64_t after);
