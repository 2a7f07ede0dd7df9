#include "core/session.h"

#include "core/report/events.h"
#include "core/function/function.h"
#include "core/mount.h"
#include "core/sandbox.h"

#include <errno.h>
#include <stdlib.h>

static void destroy(struct object *o)
{
	struct session *s = (struct session *)o;

	config_free(&s->defaults);
	free(s);
}

static struct session *new_session(const char *name)
{
	struct session *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	if (object_add(&s->object, OBJECT_SESSION, &the_mount.object, name, destroy)) {
		free(s);
		return NULL;
	}
	feed_init(&s->events, s->object.serial);
	list_init(&s->closers);
	list_init(&s->functions);
	return s;
}

struct session *session_of_strays(void)
{
	if (the_mount.strays)
		return the_mount.strays;
	the_mount.strays = new_session("");
	if (the_mount.strays)
		object_remove(&the_mount.strays->object);
	return the_mount.strays;
}

int session_make(const char *name, struct error *err)
{
	struct session *s;
	int rc = object_name_check(name);

	if (rc)
		return error_set(
		    err, -rc, "INVALID_NAME",
		    "a session's name has 1 to %d bytes of A-Z a-z 0-9 . _ - and starts and ends with "
		    "a letter or digit",
		    NAME_MAX_BYTES);
	if (object_child(&the_mount.object, name))
		return error_set(err, EEXIST, "EXISTS", "there is a session %s already", name);
	if (the_mount.ending)
		return error_set(err, ESHUTDOWN, "UNMOUNTING", "the mount is being ended");
	s = new_session(name);
	if (!s)
		return error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
	object_unref(&s->object); /* the listing's reference keeps it */
	event_session(s, "open");
	return 0;
}

static void each_below(const struct object *o, void (*fn)(struct sandbox *, void *arg), void *arg)
{
	struct object *child;

	for (uint64_t after = 0; (child = object_next(o, after));) {
		after = child->serial;
		fn((struct sandbox *)child, arg);
	}
}

void session_each(const struct session *s, void (*fn)(struct sandbox *, void *arg), void *arg)
{
	each_below(&s->object, fn, arg);
	list_each (pos, &s->functions)
		each_below(&container_of(pos, struct function, link)->object, fn, arg);
}

int session_drop(struct session *s, struct error *err)
{
	if (s->object.child_count)
		return error_set(err, ENOTEMPTY, "NOT_EMPTY", "session %s has %u sandboxes", s->object.name,
				 s->object.child_count);
	functions_end(s);
	event_session(s, "removed");
	feed_end(&s->events);
	object_remove(&s->object);
	return 0;
}
