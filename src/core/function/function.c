#include "core/function/function.h"

#include "core/mount.h"
#include "core/function/python.h"
#include "core/sandbox.h"
#include "core/session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct session *function_session(const struct function *f)
{
	return (struct session *)f->object.parent;
}

/* --- Making and removing --- */

static void destroy(struct object *o)
{
	struct function *f = (struct function *)o;

	config_free(&f->config);
	source_unref(f->source);
	free(f);
}

int function_make(struct session *s, const char *name, struct error *err)
{
	int rc = object_name_check(name);
	struct function *f;

	if (rc)
		return error_set(
		    err, -rc, "INVALID_NAME",
		    "a function's name has 1 to %d bytes of A-Z a-z 0-9 . _ - and starts and ends with "
		    "a letter or digit",
		    NAME_MAX_BYTES);
	if (s->closed || the_mount.ending)
		return error_set(err, ESHUTDOWN, "SESSION_CLOSED", "the session is closed");
	f = calloc(1, sizeof *f);
	if (!f || object_add_apart(&f->object, OBJECT_FUNCTION, &s->object, name, destroy)) {
		free(f);
		return error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
	}
	f->parallel = PARALLEL_DEFAULT;
	list_append(&s->functions, &f->link);
	s->function_count++;
	return 0;
}

struct function *function_find(const struct session *s, const char *name)
{
	list_each (pos, &s->functions) {
		struct function *f = container_of(pos, struct function, link);

		if (strcmp(f->object.name, name) == 0)
			return f;
	}
	return NULL;
}

struct function *function_next(const struct session *s, uint64_t after)
{
	list_each (pos, &s->functions) {
		struct function *f = container_of(pos, struct function, link);

		if (f->object.serial > after)
			return f;
	}
	return NULL;
}

static void drop_sandboxes(struct function *f, bool idle_only)
{
	struct object *child;

	for (uint64_t after = 0; (child = object_next(&f->object, after));) {
		after = child->serial;
		if (!idle_only || ((struct sandbox *)child)->idle)
			sandbox_drop((struct sandbox *)child);
	}
}

void function_drop(struct function *f)
{
	list_remove(&f->link);
	function_session(f)->function_count--;
	object_remove(&f->object);
	drop_sandboxes(f, false);
	object_unref(&f->object);
}

void functions_end(struct session *s)
{
	list_each_safe (pos, &s->functions)
		function_drop(container_of(pos, struct function, link));
}

/* --- The pool --- */

static int wants_sandboxes(const struct function *f, struct error *err)
{
	if (!f->object.listed)
		return error_set(err, ESHUTDOWN, "REMOVED", "function %s was removed", f->object.name);
	if (function_session(f)->closed || the_mount.ending)
		return error_set(err, ESHUTDOWN, "SESSION_CLOSED", "the session is closed");
	return 0;
}

static struct sandbox *new_sandbox(struct function *f, struct error *err)
{
	const struct config *own = &f->config;
	char name[NAME_MAX_BYTES + 1];
	struct sandbox *s;

	/* No sandbox of a user's begins with a dot: after a crash the next mount knows whose it was. */
	snprintf(name, sizeof name, ".%.26s.%" PRIu64, f->object.name, ++f->last_number);
	s = sandbox_make_inner(f, name, err);
	if (s && config_merge(&own, 1, &s->own)) {
		sandbox_drop(s);
		s = NULL;
		error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
	}
	return s;
}

static void fill_pool(struct function *f)
{
	struct sandbox *s;
	struct error err;
	unsigned idle = 0;

	if (wants_sandboxes(f, NULL))
		return;
	list_each (pos, &f->object.children)
		idle += ((struct sandbox *)container_of(pos, struct object, sibling))->idle;
	for (; idle < f->pool; idle++) {
		s = new_sandbox(f, &err);
		if (s && sandbox_need(s, &err) == 0) {
			s->idle = true;
			continue;
		}
		function_session(f)->error = the_mount.error = err;
		if (s)
			sandbox_drop(s);
		return;
	}
}

/* What its sandboxes are made of is different now. */
static void renew_pool(struct function *f)
{
	drop_sandboxes(f, true);
	fill_pool(f);
}

/* One that can be used, the oldest first; what has ended meanwhile is removed. */
static struct sandbox *take_idle(struct function *f)
{
	struct sandbox *best = NULL;
	struct object *child;

	for (uint64_t after = 0; (child = object_next(&f->object, after));) {
		struct sandbox *s = (struct sandbox *)child;

		after = child->serial;
		if (!s->idle)
			continue;
		if (sandbox_refuses_commands(s, NULL))
			sandbox_drop(s);
		else if (!best || (best->state != SANDBOX_RUNNING && s->state == SANDBOX_RUNNING))
			best = s;
	}
	if (best)
		best->idle = false;
	return best;
}

int function_refuses(const struct function *f, struct error *err)
{
	int rc = wants_sandboxes(f, err);

	if (rc == 0 && !f->source)
		rc = error_set(err, EINVAL, "NO_SOURCE", "function %s has no source yet", f->object.name);
	return rc;
}

struct sandbox *function_sandbox(struct function *f, struct error *err)
{
	struct sandbox *s = wants_sandboxes(f, err) ? NULL : take_idle(f);

	if (!s && wants_sandboxes(f, err) == 0)
		s = new_sandbox(f, err);
	if (!s)
		return NULL;
	object_ref(&s->object);
	fill_pool(f);
	return s;
}

void function_done(struct sandbox *s)
{
	if (s->object.listed)
		sandbox_drop(s);
	object_unref(&s->object);
}

/* --- Its settings --- */

int function_set_source(struct function *f, const char *text, struct error *err)
{
	size_t len = strlen(text);
	struct source *s = NULL;

	if (len > SOURCE_MAX)
		return error_set(err, EFBIG, "TOO_LARGE", "a source has at most %u bytes", SOURCE_MAX);
	if (len) {
		s = malloc(sizeof *s + len + 1);
		if (!s)
			return error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
		*s = (struct source){.refs = 1, .script = strncmp(text, "#!", 2) == 0, .len = len};
		memcpy(s->text, text, len + 1);
	}
	source_unref(f->source);
	f->source = s;
	return 0;
}

static int levels_of(const struct function *f, const struct config *levels[4])
{
	levels[0] = &the_mount.builtin;
	levels[1] = &the_mount.defaults;
	levels[2] = &function_session(f)->defaults;
	levels[3] = &f->config;
	return 4;
}

int function_config_effective(const struct function *f, struct config *ret)
{
	const struct config *levels[4];

	return config_merge(levels, levels_of(f, levels), ret);
}

int function_config_set(struct function *f, enum config_key key, const char *text, struct error *err)
{
	const struct config *levels[4];
	int rc =
	    mount_config_set(function_session(f), levels, levels_of(f, levels), &f->config, key, text, err);

	if (rc == 0)
		renew_pool(f);
	return rc;
}

static int parse_count(const char *text, unsigned least, unsigned most, unsigned *ret, struct error *err)
{
	size_t len = strcspn(text, "\n");
	unsigned long value;
	char *end;

	if (len == 0 && !(text[0] && text[1]))
		return 0;
	value = strtoul(text, &end, 10);
	if (len == 0 || len > 6 || strspn(text, "0123456789") != len || (*end && end[1]) || value < least ||
	    value > most)
		return error_set(err, EINVAL, "INVALID_VALUE", "'%.60s' is not a number from %u to %u", text,
				 least, most);
	*ret = (unsigned)value;
	return 0;
}

int function_set_parallel(struct function *f, const char *text, struct error *err)
{
	unsigned value = PARALLEL_DEFAULT;
	int rc = parse_count(text, 1, PARALLEL_MAX, &value, err);

	if (rc == 0)
		f->parallel = value;
	return rc;
}

int function_set_pool(struct function *f, const char *text, struct error *err)
{
	unsigned value = 0;
	int rc = parse_count(text, 0, POOL_MAX, &value, err);

	if (rc)
		return rc;
	if (value < f->pool)
		drop_sandboxes(f, true);
	f->pool = value;
	fill_pool(f);
	return 0;
}

/* --- What runs --- */

struct source *source_ref(struct source *s)
{
	s->refs++;
	return s;
}

void source_unref(struct source *s)
{
	if (s && --s->refs == 0)
		free(s);
}

static int script_start(const struct source *s, struct start *ret)
{
	ret->kind = START_SCRIPT;
	ret->text = strdup(s->text);
	ret->text_len = (uint32_t)s->len;
	return ret->text ? 0 : -ENOMEM;
}

static int python_start(const char *name, struct start *ret)
{
	const char *const words[] = {"python3", "-c", python_runner, name};
	size_t count = sizeof words / sizeof *words;

	ret->kind = START_ARGV;
	/* What `cmd` reads back. */
	if (asprintf(&ret->text, "function %s\n", name) < 0)
		ret->text = NULL;
	ret->argv = calloc(count + 1, sizeof *ret->argv);
	if (!ret->text || !ret->argv)
		return -ENOMEM;
	ret->text_len = (uint32_t)strlen(ret->text);
	for (size_t i = 0; i < count; i++) {
		ret->argv[i] = strdup(words[i]);
		if (!ret->argv[i])
			return -ENOMEM;
	}
	return 0;
}

int source_start(const struct source *s, const char *name, struct start *ret)
{
	int rc;

	*ret = (struct start){.input = true};
	rc = s->script ? script_start(s, ret) : python_start(name, ret);
	if (rc)
		start_free(ret);
	return rc;
}
