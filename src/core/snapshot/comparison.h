/* What `changed` and `diff` show: a text the backend takes its time to write. */
#pragma once

#include "base/error.h"
#include "base/list.h"
#include "core/backend.h"

#include <stdatomic.h>

struct sandbox;

/* Guarded by the core lock, but for `unwanted`. */
struct comparison {
	enum comparison_kind kind;
	struct object *sandbox; /* a reference */
	unsigned refs;		/* of its reader, and of the backend */
	bool done;
	int file;	     /* with the text; -1 when there is none */
	uint64_t size;	     /* of it */
	struct error why;    /* code 0, or why there is none */
	struct list waiters; /* for `done` */
	atomic_bool unwanted;
};

/*
 * Begins one; `ret` is a reference, to be given back by comparison_drop(). A sandbox that was never started
 * differs in nothing. -EAGAIN: it is starting; wait on *ret_wait and ask again. -EOPNOTSUPP, -ESHUTDOWN,
 * -ENOMEM with a sentence.
 */
int comparison_begin(struct sandbox *s, enum comparison_kind kind, struct comparison **ret,
		     struct list **ret_wait, struct error *err);
void comparison_drop(struct comparison *r);
