/* What a backend may read of a sandbox. */
#include "core/backend.h"

#include "core/sandbox.h"
#include "core/session.h"

const char *sandbox_id(const struct sandbox *s)
{
	return s->id;
}

const char *sandbox_session_name(const struct sandbox *s)
{
	return sandbox_session(s)->object.name;
}

const char *sandbox_name(const struct sandbox *s)
{
	return s->object.name;
}

const struct config *sandbox_config(const struct sandbox *s)
{
	return &s->effective;
}

time_t sandbox_created(const struct sandbox *s)
{
	return s->created;
}

void *sandbox_instance(const struct sandbox *s)
{
	return s->instance;
}

void sandbox_set_instance(struct sandbox *s, void *instance)
{
	s->instance = instance;
}
