#include "core/snapshot/comparison.h"

#include "core/mount.h"
#include "core/sandbox.h"
#include "core/waiter.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void unref(struct comparison *r)
{
	if (--r->refs)
		return;
	if (r->file >= 0)
		close(r->file);
	object_unref(r->sandbox);
	free(r);
}

int comparison_begin(struct sandbox *s, enum comparison_kind kind, struct comparison **ret,
		     struct list **ret_wait, struct error *err)
{
	const struct backend_ops *ops = the_mount.backend->ops;
	struct comparison *r;

	if (!ops->compare)
		return error_set(err, EOPNOTSUPP, "UNSUPPORTED",
				 "the %s backend cannot tell what a sandbox has changed", ops->name);
	if (s->torn_down)
		return error_set(err, ESHUTDOWN, "SANDBOX_ENDED", "the sandbox is being removed");
	if (s->began && s->state < SANDBOX_RUNNING) {
		*ret_wait = &s->startup;
		return -EAGAIN;
	}
	r = calloc(1, sizeof *r);
	if (!r)
		return error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
	r->kind = kind;
	r->sandbox = object_ref(&s->object);
	r->refs = 1;
	r->file = -1;
	list_init(&r->waiters);
	*ret = r;
	if (!s->began) {
		r->done = true;
		return 0;
	}
	r->refs++;
	ops->compare(the_mount.backend, r);
	return 0;
}

void comparison_drop(struct comparison *r)
{
	atomic_store(&r->unwanted, true);
	unref(r);
}

enum comparison_kind comparison_kind(const struct comparison *r)
{
	return r->kind;
}

struct sandbox *comparison_sandbox(const struct comparison *r)
{
	return (struct sandbox *)r->sandbox;
}

bool comparison_unwanted(const struct comparison *r)
{
	return atomic_load(&r->unwanted);
}

void comparison_done(struct comparison *r, int file, const struct error *why)
{
	struct stat st;

	r->file = file;
	if (why)
		r->why = *why;
	else if (file >= 0 && fstat(file, &st) == 0)
		r->size = (uint64_t)st.st_size;
	r->done = true;
	core_wake(&r->waiters);
	unref(r);
}
