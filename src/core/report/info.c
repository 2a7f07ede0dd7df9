/* The JSON of `info`: all that is known of a sandbox, and never a secret (no environment). */
#include "core/mount.h"
#include "core/sandbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void put_time(cJSON *o, const char *name, time_t when)
{
	char text[32];
	struct tm tm;

	if (!when)
		return;
	gmtime_r(&when, &tm);
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	cJSON_AddStringToObject(o, name, text);
}

static void put_limits(cJSON *o, const struct config *c)
{
	static const enum config_key keys[] = {CONFIG_IMAGE,	CONFIG_FROM, CONFIG_CWD,
					       CONFIG_LIFETIME, CONFIG_CPU,  CONFIG_MEMORY,
					       CONFIG_PIDS,	CONFIG_GPU,  CONFIG_NETWORK};

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (c->text[keys[i]])
			cJSON_AddStringToObject(o, config_fields[keys[i]].name, c->text[keys[i]]);
}

static void put_tags(cJSON *o, const char *text)
{
	cJSON *tags = cJSON_AddArrayToObject(o, "tags");

	while (*text) {
		size_t len = strcspn(text, "\n");
		char *tag = strndup(text, len);

		cJSON_AddItemToArray(tags, cJSON_CreateString(tag ? tag : ""));
		free(tag);
		text += len + (text[len] == '\n');
	}
}

static void put_processes(cJSON *o, const struct sandbox *s)
{
	unsigned running = 0;
	cJSON *full = cJSON_CreateArray();

	list_each (pos, &s->object.children) {
		struct process *p = (struct process *)container_of(pos, struct object, sibling);

		running += p->state == PROCESS_RUNNING || p->state == PROCESS_STARTING;
		if (p->streams[STREAM_OUT].full || p->streams[STREAM_ERR].full)
			cJSON_AddItemToArray(full, cJSON_CreateString(p->object.name));
	}
	cJSON_AddNumberToObject(o, "processes", s->object.child_count);
	cJSON_AddNumberToObject(o, "running", running);
	cJSON_AddNumberToObject(o, "exec_count", (double)s->commands);
	cJSON_AddNumberToObject(o, "exec_completed_ok", (double)s->succeeded);
	cJSON_AddNumberToObject(o, "exec_completed_nonzero", (double)s->nonzero);
	cJSON_AddNumberToObject(o, "exec_failures", (double)s->failures);
	if (s->files)
		cJSON_AddNumberToObject(o, "file_requests", (double)file_calls_count(s->files));
	cJSON_AddItemToObject(o, "full", full);
}

int sandbox_info(struct sandbox *s, struct buf *out)
{
	cJSON *o = cJSON_CreateObject();
	struct config effective;
	char *text;
	int rc;

	if (sandbox_config_effective(s, &effective))
		return -ENOMEM;
	cJSON_AddStringToObject(o, "id", s->id);
	cJSON_AddStringToObject(o, "session", sandbox_session_name(s));
	cJSON_AddStringToObject(o, "name", s->object.name);
	if (sandbox_function(s))
		cJSON_AddStringToObject(o, "function", s->object.parent->name);
	cJSON_AddStringToObject(o, "backend", the_mount.backend->ops->name);
	cJSON_AddStringToObject(o, "path", "agent");
	cJSON_AddStringToObject(o, "state", sandbox_state_name(s->state));
	put_time(o, "created", s->created);
	put_time(o, "started", s->started);
	put_time(o, "ended", s->ended);
	put_time(o, "unreachable_since", reconnect_since(s));
	if (s->started && config_seconds(&effective, CONFIG_LIFETIME)) /* else nobody has told */
		put_time(o, "expires", s->started + (time_t)config_seconds(&effective, CONFIG_LIFETIME));
	put_limits(cJSON_AddObjectToObject(o, "config"), &effective);
	put_tags(o, config_text(&effective, CONFIG_TAGS));
	put_processes(o, s);
	snapshots_describe(s, o);
	if (s->instance)
		the_mount.backend->ops->describe(the_mount.backend, s, o);
	if (s->error.code)
		cJSON_AddStringToObject(o, "error", s->error.text);
	config_free(&effective);
	text = cJSON_Print(o);
	cJSON_Delete(o);
	rc = text ? buf_printf(out, "%s\n", text) : -ENOMEM;
	cJSON_free(text);
	return rc;
}
