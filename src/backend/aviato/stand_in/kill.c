/*
 * Signals without an agent. The service has none: a shell in the sandbox looks
 * for processes that have the mark of the command in their environment, which
 * all that it starts inherits.
 */
#include "backend/aviato/stand_in/command.h"

#include "backend/aviato/aviato.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

#define KILL_MS 15000u

/* $1 the mark $2 the number */
static const char script[] = "for p in $(grep -ls \"$1\" /proc/[0-9]*/environ 2>/dev/null); do\n"
			     "p=${p#/proc/}; kill -\"$2\" \"${p%/environ}\" 2>/dev/null; done; :";

struct errand {
	struct list link;
	struct request request;
};

void command_mark(const struct command *c, char *ret, size_t size)
{
	snprintf(ret, size, "AVIATOFS_RUN=%s-%u.", c->stand_in->aviato->owner, c->id);
}

static void drop(struct errand *e)
{
	request_cancel(&e->request);
	list_remove(&e->link);
	free(e);
}

static void killed(void *owner, const cJSON *answer, const struct rpc_status *status)
{
	struct errand *e = owner;

	if (!answer)
		log_debug("a signal did not get through: %s", status->message);
	list_remove(&e->link);
	free(e);
}

void command_kill(struct command *c, uint32_t number)
{
	struct errand *e = calloc(1, sizeof *e);
	char mark[80], signal[12];
	const char *const words[] = {"/bin/sh", "-c", script, "sh", mark, signal};
	cJSON *body;

	if (!e)
		return;
	command_mark(c, mark, sizeof mark);
	snprintf(signal, sizeof signal, "%u", number);
	list_append(&c->stand_in->kills, &e->link);
	body = cJSON_CreateObject();
	cJSON_AddStringToObject(body, "sandboxId", c->stand_in->sandbox_id);
	cJSON_AddItemToObject(body, "command", cJSON_CreateStringArray(words, sizeof words / sizeof *words));
	request_start(&e->request, c->stand_in->aviato, "Exec", body, KILL_MS, 0, killed, e);
}

void stand_in_drop_kills(struct stand_in *s)
{
	while (!list_empty(&s->kills))
		drop(container_of(s->kills.next, struct errand, link));
}
