/*
 * Signals without an agent. The service has none: a shell in the sandbox looks
 * for processes that have the mark of the command in their environment, which
 * all that it starts inherits. Those for one command are sent one behind the
 * other, as they were given: STOP and then CONT is not CONT and then STOP.
 */
#include "backend/aviato/stand_in/command.h"

#include "backend/aviato/aviato.h"
#include "base/log.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KILL_MS	   15000u
#define MARK	   "AVIATOFS_RUN=%s-" /* of this mount */
#define MARK_BYTES 80

/* $1 the mark $2 the number */
static const char script[] = "for p in $(grep -lsF \"$1\" /proc/[0-9]*/environ 2>/dev/null); do\n"
			     "p=${p#/proc/}; kill -\"$2\" \"${p%/environ}\" 2>/dev/null; done; :";

struct errand {
	struct list link; /* of stand_in->kills, the oldest first */
	struct stand_in *stand_in;
	struct request request;
	bool under_way;
	char mark[MARK_BYTES], number[12];
};

void command_mark(const struct command *c, char *ret, size_t size)
{
	snprintf(ret, size, MARK "%u.", c->stand_in->aviato->owner, c->id);
}

static void drop(struct errand *e)
{
	request_cancel(&e->request);
	list_remove(&e->link);
	free(e);
}

/* NULL: there is none for that command. */
static struct errand *oldest(struct stand_in *s, const char *mark)
{
	list_each (pos, &s->kills) {
		struct errand *e = container_of(pos, struct errand, link);

		if (strcmp(e->mark, mark) == 0)
			return e;
	}
	return NULL;
}

static void send_next(struct stand_in *s, const char *mark);

static void killed(void *owner, const cJSON *answer, const struct rpc_status *status)
{
	struct errand *e = owner;

	if (!answer)
		log_debug("a signal did not get through: %s", status->message);
	list_remove(&e->link);
	send_next(e->stand_in, e->mark);
	free(e);
}

static void send(struct errand *e)
{
	const char *const words[] = {"/bin/sh", "-c", script, "sh", e->mark, e->number};
	cJSON *body = cJSON_CreateObject();

	e->under_way = true;
	cJSON_AddStringToObject(body, "sandboxId", e->stand_in->sandbox_id);
	cJSON_AddItemToObject(body, "command", cJSON_CreateStringArray(words, sizeof words / sizeof *words));
	request_start(&e->request, e->stand_in->aviato, "Exec", body, KILL_MS, 0, killed, e);
}

static void send_next(struct stand_in *s, const char *mark)
{
	struct errand *e = oldest(s, mark);

	if (e && !e->under_way)
		send(e);
}

static void kill_marked(struct stand_in *s, const char *mark, uint32_t number)
{
	struct errand *e = calloc(1, sizeof *e);

	if (!e)
		return;
	e->stand_in = s;
	snprintf(e->mark, sizeof e->mark, "%s", mark);
	snprintf(e->number, sizeof e->number, "%u", number);
	list_append(&s->kills, &e->link);
	if (number == SIGKILL) /* behind which nothing matters that has not come yet */
		send(e);
	else
		send_next(s, mark);
}

void command_kill(struct command *c, uint32_t number)
{
	char mark[MARK_BYTES];

	command_mark(c, mark, sizeof mark);
	kill_marked(c->stand_in, mark, number);
}

void stand_in_kill(struct stand_in *s, uint32_t number)
{
	char mark[MARK_BYTES];

	snprintf(mark, sizeof mark, MARK, s->aviato->owner);
	kill_marked(s, mark, number);
}

void stand_in_drop_kills(struct stand_in *s)
{
	while (!list_empty(&s->kills))
		drop(container_of(s->kills.next, struct errand, link));
}
