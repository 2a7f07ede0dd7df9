/* .ctl/functions/: the remote functions of a session. */
#include "tree/node.h"

/* --- One function --- */

static int source_show(const struct place *at, struct buf *out)
{
	const struct source *s = at->function->source;

	return s ? buf_append(out, s->text, s->len) : 0;
}

static int source_store(const struct place *at, const char *text, struct error *err)
{
	return function_set_source(at->function, text, err);
}

static struct calls *converse_call(const struct place *at)
{
	return calls_new(at->function, false);
}

static struct calls *converse_map(const struct place *at)
{
	return calls_new(at->function, true);
}

static int parallel_show(const struct place *at, struct buf *out)
{
	return buf_printf(out, "%u\n", at->function->parallel);
}

static int parallel_store(const struct place *at, const char *text, struct error *err)
{
	return function_set_parallel(at->function, text, err);
}

static int pool_show(const struct place *at, struct buf *out)
{
	return buf_printf(out, "%u\n", at->function->pool);
}

static int pool_store(const struct place *at, const char *text, struct error *err)
{
	return function_set_pool(at->function, text, err);
}

const struct node function_own_rows[FUNCTION_OWN_ROWS + 1] = {
    {"parallel", 0644, "sandboxes of one `map` at once", .show = parallel_show, .store = parallel_store,
     .unit = STORE_VALUE},
    {"pool", 0644, "sandboxes started ahead of the calls", .show = pool_show, .store = pool_store,
     .unit = STORE_VALUE},
    {0},
};

const struct node function_rows[] = {
    {"source", 0644, "a script with #!, or Python that defines a function of this name", .show = source_show,
     .store = source_store, .unit = STORE_VALUE},
    {"call", 0600, "on one descriptor write JSON, read the answer; a sandbox of its own runs it",
     .converse = converse_call},
    {"map", 0600, "the same for JSON lines: answers in their order, some at once", .converse = converse_map},
    {"config", 0755, "settings of its sandboxes; parallel, pool", .rows = function_config_rows},
    {0},
};

/* --- All of a session --- */

static struct object *find(const struct place *at, const char *name)
{
	struct function *f = function_find(at->session, name);

	return f ? &f->object : NULL;
}

static const char *next(const struct place *at, uint64_t *cursor, struct object **ret)
{
	struct function *f = function_next(at->session, *cursor);

	if (!f)
		return NULL;
	*ret = &f->object;
	*cursor = f->object.serial;
	return f->object.name;
}

static unsigned count(const struct place *at)
{
	return at->session->function_count;
}

static int make(const struct place *at, const char *name, struct error *err)
{
	return function_make(at->session, name, err);
}

static int drop(struct object *child, struct error *err)
{
	(void)err;
	function_drop((struct function *)child);
	return 0;
}

const struct children functions = {
    .kind = OBJECT_FUNCTION,
    .rows = function_rows,
    .make = make,
    .drop = drop,
    .find = find,
    .next = next,
    .count = count,
};
