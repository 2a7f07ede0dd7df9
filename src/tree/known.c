/* .ctl/sandboxes/: every sandbox there is to be had, by its id. */
#include "tree/node.h"

#include "core/roster.h"

#include <errno.h>

static struct object *find(const struct place *at, const char *name)
{
	struct sandbox *s = roster_find(name);

	(void)at;
	return s ? &s->object : NULL;
}

static const char *next(const struct place *at, uint64_t *cursor, struct object **ret)
{
	struct sandbox *s = NULL;
	const char *id = roster_next(cursor, &s);

	(void)at;
	*ret = s ? &s->object : NULL;
	return id;
}

static unsigned count(const struct place *at)
{
	(void)at;
	return roster_count();
}

static int seek(const struct place *at, const char *name, struct list **ret_wait, struct error *err)
{
	(void)at;
	return name ? roster_attach(name, ret_wait, err) : roster_list(ret_wait, err);
}

/* The kernel remembers the names of a session: those go by their own rmdir. */
static int drop(struct object *child, struct error *err)
{
	if (sandbox_function((struct sandbox *)child))
		return error_set(err, EBUSY, "IN_SESSION", "the sandbox is for calls of function %s",
				 child->parent->name);
	if (sandbox_session((struct sandbox *)child) != the_mount.strays)
		return error_set(err, EBUSY, "IN_SESSION", "the sandbox is %s/%s: remove that",
				 child->parent->name, child->name);
	sandbox_drop((struct sandbox *)child);
	return 0;
}

const struct children known_sandboxes = {
    .kind = OBJECT_SANDBOX,
    .rows = sandbox_rows,
    .drop = drop,
    .come_and_go = true,
    .find = find,
    .next = next,
    .count = count,
    .seek = seek,
};
