/* Sandboxes that were there before this mount: taken over at its start, or attached to by their ids. */
#include "core/after.h"
#include "core/mount.h"
#include "core/roster.h"
#include "core/sandbox.h"
#include "core/session.h"

#include <stdio.h>
#include <string.h>

/* A session of that name, made if need be. */
static struct session *session_for(const char *name)
{
	struct object *o = object_child(&the_mount.object, name);

	if (!o && session_make(name, NULL) == 0)
		o = object_child(&the_mount.object, name);
	return (struct session *)o;
}

void sandbox_set_id(struct sandbox *s, const char *id)
{
	roster_leave(s);
	snprintf(s->id, sizeof s->id, "%s", id);
	if (s->object.listed)
		roster_enter(s);
}

/* It ran a call of a function, for a mount that is no more: nobody waits for the answer. */
static bool ran_a_call(const struct sandbox_leftover *found)
{
	return found->name && found->name[0] == '.' && !roster_is_attaching(found->id);
}

static void end_leftover(struct object *o)
{
	if (o->listed)
		sandbox_drop((struct sandbox *)o);
}

/* What is found at the start gets its old place back; what was asked for by its id is nobody's yet. */
static struct sandbox *place_found(const struct sandbox_leftover *found)
{
	bool stray = roster_is_attaching(found->id) || ran_a_call(found);
	struct session *session = stray ? session_of_strays() : session_for(found->session);
	const char *name = found->name;
	struct sandbox *s;

	/* Two mounts may have used one name: the second gets its id as its name. */
	if (session && (stray || object_child(&session->object, name)))
		name = found->id;
	if (!session || object_name_check(name))
		return NULL;
	s = sandbox_new(&session->object, name);
	if (s && stray && found->name)
		s->old_name = strdup(found->name);
	return s;
}

struct sandbox *sandbox_found(const struct sandbox_leftover *found)
{
	const struct config *level = found->config;
	struct sandbox *s = place_found(found);

	if (!s || config_merge(&level, 1, &s->effective))
		return NULL;
	snprintf(s->id, sizeof s->id, "%s", found->id);
	s->created = found->created;
	s->started = found->started ? found->started : found->created;
	s->kept = found->kept;
	s->instance = found->instance;
	s->began = true;
	s->dormant = found->dormant;
	s->unasked = true;
	s->arriving = !found->dormant;
	the_mount.arriving += s->arriving;
	roster_enter(s);
	sandbox_set_state(s, found->dormant ? SANDBOX_RUNNING : SANDBOX_CREATING);
	if (ran_a_call(found)) /* once the backend has done with it here */
		core_after(0, end_leftover, &s->object);
	return s;
}

void sandbox_settings_told(struct sandbox *s, const struct config *told)
{
	struct config merged, replacing = *told;
	const struct config *levels[] = {&s->effective, &replacing};

	replacing.text[CONFIG_TAGS] = NULL;   /* would be appended */
	if (config_merge(levels, 2, &merged)) /* without memory it goes on with what was asked for */
		return;
	config_free(&s->effective);
	s->effective = merged;
}
