#include "core/events.h"

#include "base/log.h"
#include "core/mount.h"
#include "core/process.h"
#include "core/sandbox.h"
#include "core/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void append(struct stream *log, const char *line, size_t len)
{
	if (stream_append(log, "", line, len))
		log_warn("an event could not be kept");
	else if (log->size - log->start > EVENTS_KEPT)
		stream_trim(log, EVENTS_KEPT / 2);
}

static void put_time(cJSON *event)
{
	char text[40];
	struct timespec now;
	struct tm tm;
	size_t used;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	used = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + used, sizeof text - used, ".%03ldZ", now.tv_nsec / 1000000);
	cJSON_AddStringToObject(event, "time", text);
}

static cJSON *begin(const char *what, struct sandbox *s)
{
	cJSON *event = cJSON_CreateObject();

	put_time(event);
	cJSON_AddStringToObject(event, "event", what);
	cJSON_AddStringToObject(event, "session", sandbox_session_name(s));
	cJSON_AddStringToObject(event, "sandbox", s->object.name);
	cJSON_AddStringToObject(event, "id", s->id);
	return event;
}

static void finish(cJSON *event, struct sandbox *s)
{
	char *text = cJSON_PrintUnformatted(event);
	size_t len = text ? strlen(text) : 0;

	cJSON_Delete(event);
	if (!text)
		return;
	text[len] = '\n'; /* in place of the NUL: the length is known */
	append(&the_mount.events, text, len + 1);
	append(&sandbox_session(s)->events, text, len + 1);
	cJSON_free(text);
}

void event_sandbox(struct sandbox *s)
{
	cJSON *event = begin("sandbox", s);

	cJSON_AddStringToObject(event, "state", sandbox_state_name(s->state));
	if (s->error.code && s->state >= SANDBOX_COMPLETED)
		cJSON_AddStringToObject(event, "reason", s->error.reason);
	finish(event, s);
}

void event_process(struct process *p)
{
	struct sandbox *s = process_sandbox(p);
	cJSON *event = begin("process", s);
	struct buf status;

	buf_init(&status, 1024);
	process_status(p, &status);
	cJSON_AddStringToObject(event, "process", p->object.name);
	cJSON_AddStringToObject(event, "status", buf_text(&status));
	if (p->state == PROCESS_EXITED)
		cJSON_AddNumberToObject(event, "exit_code", p->value);
	buf_free(&status);
	finish(event, s);
}
