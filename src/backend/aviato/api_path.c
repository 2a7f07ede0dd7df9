/* A sandbox whose commands run by calls of the service, as no agent can be put into it. */
#include "backend/aviato/remote.h"

#include "backend/aviato/delay.h"
#include "backend/aviato/search.h"
#include "base/log.h"
#include "rpc/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define WATCH_MS       10000u /* no stream breaks when the sandbox ends: it is looked at so often */
#define CLAIM_MS       15000u
#define CLAIM_PAUSE_MS 500u
#define CLAIMS	       6u /* the helper of a mount that was killed ends when the service notices */
#define HELD	       3

static void watch(void *arg)
{
	struct remote *i = arg;

	i->delay = NULL;
	if (!request_under_way(&i->request))
		remote_look(i, PHASE_RUNNING);
}

void remote_watch_later(struct remote *i)
{
	if (!i->delay)
		i->delay = delay_start(WATCH_MS, watch, i);
}

static void doubted(void *owner)
{
	struct remote *i = owner;

	if (i->phase != PHASE_RUNNING)
		return;
	delay_cancel(i->delay);
	i->delay = NULL;
	watch(i);
}

static void lost(void *owner)
{
	struct remote *i = owner;

	i->stand_in = NULL;
	if (i->phase == PHASE_RUNNING) {
		request_cancel(&i->request);
		delay_cancel(i->delay);
		i->delay = NULL;
		i->phase = PHASE_IDLE;
	}
	if (i->wants.start)
		remote_step(i);
}

static void failed(void *owner, const struct error *why)
{
	struct remote *i = owner;

	core_lock();
	if (i->sandbox)
		sandbox_files_failed(i->sandbox, why);
	core_unlock();
}

static void left(void *owner)
{
	struct remote *i = owner;

	if (i->phase == PHASE_LEAVING)
		remote_pipe_lost(i);
}

static bool open_stand_in(struct remote *i)
{
	static const struct stand_in_events events = {doubted, lost, failed, left};

	i->stand_in = stand_in_open(i->aviato, i->id, &events, i);
	return i->stand_in;
}

static void running(struct remote *i, const char *why)
{
	i->phase = PHASE_RUNNING;
	i->wants.start = false;
	i->was_reached = i->by_api = true;
	remote_watch_later(i);
	strcpy(i->known.path, "api");
	if (!i->known.path_reason[0])
		snprintf(i->known.path_reason, sizeof i->known.path_reason, "%s", why);
}

/* --- One that an earlier mount has left --- */

/* $1: how our own processes are marked. 3: there are some of another mount's. */
static const char others[] =
    "for p in /proc/[0-9]*/environ; do\n"
    "tr '\\0' '\\n' <\"$p\" 2>/dev/null | grep '^" STAND_IN_HOLD "=' | grep -qvxF \"$1\" && exit 3\n"
    "done; exit 0";

static void ask_others(void *arg);

static void others_told(void *owner, const cJSON *answer, const struct rpc_status *status)
{
	struct remote *i = owner;
	int64_t code = 0;

	(void)status;
	json_int64(answer, "exitCode", &code);
	if (answer && code == HELD && --i->claims) {
		i->delay = delay_start(CLAIM_PAUSE_MS, ask_others, i);
		return;
	}
	if (answer && code == 0) {
		core_lock();
		running(i, "an earlier mount found no agent to be possible");
		core_unlock();
		search_settled(i, true);
	} else {
		log_info("sandbox %s is not taken over: %s", i->id,
			 answer && code == HELD ? "another mount uses it" : "it cannot be asked whose it is");
		search_settled(i, false);
	}
}

static void ask_others(void *arg)
{
	struct remote *i = arg;
	char mark[80];
	const char *const words[] = {"/bin/sh", "-c", others, "sh", mark};
	cJSON *body = cJSON_CreateObject();

	i->delay = NULL;
	stand_in_mark(i->stand_in, mark, sizeof mark);
	cJSON_AddStringToObject(body, "sandboxId", i->id);
	cJSON_AddItemToObject(body, "command", cJSON_CreateStringArray(words, sizeof words / sizeof *words));
	request_start(&i->request, i->aviato, "Exec", body, CLAIM_MS, 0, others_told, i);
}

/*
 * No agent says that another mount uses it: what does is the helper for files,
 * which each mount has in it from the beginning. Ours is there before we look for
 * others, so of two that come at once neither takes what the other may have.
 */
static void claim(struct remote *i)
{
	i->phase = PHASE_SENDING;
	i->claims = CLAIMS;
	if (open_stand_in(i))
		ask_others(i);
	else
		search_settled(i, false);
}

void remote_use_api(struct remote *i, const char *why)
{
	struct error err;

	if (i->is_search) {
		claim(i);
		return;
	}
	if (!i->by_api)
		log_info("sandbox %s has no agent: %s", i->id, why);
	if (!open_stand_in(i)) {
		error_set(&err, ENOMEM, "NO_MEMORY", "out of memory");
		if (i->was_reached)
			remote_unreachable(i, &err);
		else
			remote_end(i, END_FAILED, &err);
		return;
	}
	core_lock();
	running(i, why);
	sandbox_connected(i->sandbox, stand_in_as_pipe(i->stand_in), -1);
	core_unlock();
}
