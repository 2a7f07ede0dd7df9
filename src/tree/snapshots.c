/* snapshots/ of a sandbox. */
#include "tree/node.h"

static struct object *find(const struct place *at, const char *name)
{
	struct snapshot *n = snapshot_find(at->sandbox, name);

	return n ? &n->object : NULL;
}

static const char *next(const struct place *at, uint64_t *cursor, struct object **ret)
{
	struct snapshot *n = snapshot_next(at->sandbox, *cursor);

	if (!n)
		return NULL;
	*cursor = n->object.serial;
	*ret = &n->object;
	return n->object.name;
}

static unsigned count(const struct place *at)
{
	return at->sandbox->snapshots.count;
}

static int seek(const struct place *at, const char *name, struct list **ret_wait, struct error *err)
{
	(void)name;
	return snapshot_seek(at->sandbox, ret_wait, err);
}

static int make(const struct place *at, const char *name, struct error *err)
{
	struct snapshot *n;
	int rc = snapshot_make(at->sandbox, name, &n, err);

	if (rc)
		return rc;
	if (n->state == SNAPSHOT_FAILED) {
		*err = n->why;
		rc = -err->code;
	}
	object_unref(&n->object);
	return rc;
}

static int drop(struct object *child, struct error *err)
{
	return snapshot_drop((struct snapshot *)child, err);
}

static int id_show(const struct place *at, struct buf *out)
{
	return at->snapshot->id[0] ? buf_printf(out, "%s\n", at->snapshot->id) : 0;
}

static int state_show(const struct place *at, struct buf *out)
{
	return buf_printf(out, "%s\n", snapshot_state_name(at->snapshot->state));
}

static int info_show(const struct place *at, struct buf *out)
{
	return snapshot_info(at->snapshot, out);
}

/* What there is of a snapshot that cannot be looked into. */
const struct node record_rows[] = {
    {"id", 0444, "the backend's name for the snapshot", .show = id_show},
    {"state", 0444, "creating, ready, failed", .show = state_show},
    {"info", 0444, "all that is known of it, as JSON", .show = info_show},
    {0},
};

const struct children snapshots = {
    .kind = OBJECT_SNAPSHOT,
    .make = make,
    .drop = drop,
    .come_and_go = true,
    .find = find,
    .next = next,
    .count = count,
    .seek = seek,
};
