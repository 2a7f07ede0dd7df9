/* Creating, looking after, and ending one sandbox. The way to its agent is in reach.c. */
#include "backend/aviato/remote.h"

#include "backend/aviato/delay.h"
#include "backend/aviato/failure.h"
#include "backend/aviato/logs.h"
#include "backend/aviato/sandbox_spec.h"
#include "backend/aviato/search.h"
#include "backend/aviato/services.h"
#include "backend/aviato/snapshots.h"
#include "backend/aviato/state.h"
#include "base/log.h"
#include "base/loop.h"
#include "rpc/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STOP_BUDGET_MS	   30000u
#define STOP_FIRST_MS	   1000u /* after a DeleteSandbox that failed */
#define STOP_LAST_MS	   15000u
#define SNAPSHOT_S	   635u /* what a DeleteSandbox may take longer with a snapshot */
#define KILL_MS		   1500u /* how long an agent may take, after the grace, to say the last of its commands */
#define POLL_FIRST_MS	   200u
#define POLL_MAX_MS	   2000u
#define POLL_TIMEOUT_MS	   15000u
#define POLL_BUDGET_MS	   30000u
#define EXIT_CODE_POLLS	   2u
#define EXIT_CODE_PAUSE_MS 2000u

/* --- Life --- */

struct remote *remote_new(struct aviato *a, struct sandbox *s)
{
	struct remote *i = calloc(1, sizeof *i);

	if (!i)
		return NULL;
	i->aviato = a;
	i->sandbox = s;
	known_init(&i->known);
	make_request_id(i->request_id);
	list_init(&i->link);
	list_init(&i->logs);
	return i;
}

static void abandon_pipe(struct remote *i)
{
	if (i->pipe)
		agent_pipe_abandon(i->pipe);
	if (i->stand_in)
		stand_in_abandon(i->stand_in);
	if (i->stand_in && i->is_search) /* core has not taken it */
		stand_in_as_pipe(i->stand_in)->ops->close(stand_in_as_pipe(i->stand_in));
	i->pipe = NULL;
	i->stand_in = NULL;
}

void remote_free(struct remote *i)
{
	unsigned posted;

	request_cancel(&i->request);
	delay_cancel(i->delay);
	abandon_pipe(i);
	logs_part(i);
	services_part(i);
	snapshot_list_part(i);
	snapshots_part(i);
	cJSON_Delete(i->body);
	known_free(&i->known);
	list_remove(&i->link);
	i->delay = NULL;
	i->dead = true;
	core_lock();
	posted = i->posted;
	core_unlock();
	if (!posted)
		free(i);
}

static void step_posted(void *arg)
{
	struct remote *i = arg;
	unsigned posted;

	core_lock();
	posted = --i->posted;
	core_unlock();
	if (!i->dead)
		remote_step(i);
	else if (!posted)
		free(i);
}

void remote_post_step(struct remote *i)
{
	i->posted++;
	if (loop_post(step_posted, i)) {
		i->posted--;
		log_warn("out of memory: a sandbox is left alone");
	}
}

void remote_end(struct remote *i, enum sandbox_end how, const struct error *why)
{
	static const struct error ended = {ESHUTDOWN, "SANDBOX_ENDED", "the sandbox has ended"};

	if (i->phase == PHASE_ENDED)
		return;
	request_cancel(&i->request);
	delay_cancel(i->delay);
	i->delay = NULL;
	abandon_pipe(i);
	i->phase = PHASE_ENDED;
	core_lock();
	if (i->sandbox)
		sandbox_ended(i->sandbox, i->wants.stop ? END_TERMINATED : how, why);
	core_unlock();
	snapshots_fail_at_stop(i, why ? why : &ended); /* no other is asked for from here on */
	logs_step(i);
}

/* --- What the service says --- */

void remote_remember(struct remote *i, const cJSON *sandbox)
{
	core_lock();
	known_take(&i->known, sandbox);
	snapshots_see_volumes(i, json_object(sandbox, "spec"));
	creation_see_template(i, sandbox);
	core_unlock();
}

static void see_end(struct remote *i, enum remote_state state)
{
	struct error why;

	switch (state) {
	case REMOTE_COMPLETED:
		if (i->known.exit_code > 0) {
			error_set(&why, EIO, "MAIN_FAILED", "the main process exited with %d",
				  i->known.exit_code);
			remote_end(i, END_FAILED, &why);
		} else {
			remote_end(i, END_COMPLETED, NULL);
		}
		break;
	case REMOTE_FAILED:
		error_set(&why, EIO, "SANDBOX_FAILED", "the sandbox failed: %s",
			  i->known.reason[0] ? i->known.reason : "the service does not say why");
		remote_end(i, END_FAILED, &why);
		break;
	default:
		error_set(&why, ESHUTDOWN, "SANDBOX_TERMINATED", "the sandbox was terminated%s%s",
			  i->known.reason[0] ? ": " : "", i->known.reason);
		remote_end(i, END_TERMINATED, &why);
	}
}

static void poll_again(void *arg);

void remote_poll_later(struct remote *i)
{
	i->delay = delay_start(i->poll_ms, poll_again, i);
	i->poll_ms = i->poll_ms * 3 / 2 < POLL_MAX_MS ? i->poll_ms * 3 / 2 : POLL_MAX_MS;
}

/* The exit code may come up to some seconds after the end. */
static bool wait_for_exit_code(struct remote *i, enum remote_state state)
{
	if (state != REMOTE_COMPLETED || i->known.exit_code >= 0 || i->wants.stop || !i->exit_code_polls)
		return false;
	i->exit_code_polls--;
	i->completed = true;
	i->delay = delay_start(EXIT_CODE_PAUSE_MS, poll_again, i);
	return i->delay != NULL;
}

static void see_pause(struct remote *i, bool paused)
{
	if (!paused)
		i->tried = false;
	i->paused = paused;
	if (i->stand_in)
		stand_in_paused(i->stand_in, paused);
	core_lock();
	sandbox_paused(i->sandbox, paused);
	core_unlock();
}

void remote_see(struct remote *i, const cJSON *sandbox)
{
	enum remote_state state = remote_state(sandbox);

	remote_remember(i, sandbox);
	if (remote_state_is_end(state)) {
		if (!wait_for_exit_code(i, state))
			see_end(i, state);
	} else if (i->phase == PHASE_ENDING || state == REMOTE_TERMINATING) {
		remote_poll_later(i);
	} else if (state == REMOTE_RUNNING || state == REMOTE_PAUSED) {
		see_pause(i, state == REMOTE_PAUSED);
		if (i->phase == PHASE_RUNNING)
			remote_watch_later(i);
		else if (i->phase == PHASE_STARTING || i->wants.start)
			remote_reach_if_it_answers(i);
		else
			i->phase = PHASE_IDLE;
		logs_step(i);
		services_watch(i);
	} else {
		remote_poll_later(i);
	}
}

static void looked(void *owner, const cJSON *answer, const struct rpc_status *status)
{
	struct remote *i = owner;
	struct error why;

	if (answer && !(i->completed && !remote_state_is_end(remote_state(answer)))) {
		remote_see(i, answer);
	} else if (i->completed) {
		see_end(i, REMOTE_COMPLETED);
	} else if (failure_is_gone(status) && i->wants.stop) {
		remote_end(i, END_TERMINATED, NULL);
	} else if (i->phase == PHASE_ENDING) {
		remote_poll_later(i); /* the service has taken the order: it is only a matter of time */
	} else if (i->phase == PHASE_RUNNING && !failure_is_gone(status)) {
		remote_watch_later(i);
	} else {
		failure_set_start(&why, status, "look the sandbox up");
		if (failure_is_gone(status))
			remote_end(i, END_FAILED, &why);
		else if (!i->was_reached)
			remote_give_up(i, &why);
		else
			remote_unreachable(i, &why);
	}
}

void remote_unreachable(struct remote *i, const struct error *why)
{
	i->phase = PHASE_IDLE;
	i->wants.start = false;
	core_lock();
	sandbox_unreachable(i->sandbox, why);
	core_unlock();
}

static void poll_again(void *arg)
{
	struct remote *i = arg;
	cJSON *body = cJSON_CreateObject();

	i->delay = NULL;
	cJSON_AddStringToObject(body, "sandboxId", i->id);
	/* Where its agent was lost core asks again. */
	request_start(&i->request, i->aviato, "GetSandbox", body,
		      i->completed ? EXIT_CODE_PAUSE_MS : POLL_TIMEOUT_MS,
		      i->completed || i->phase == PHASE_LOOKING ? 0 : POLL_BUDGET_MS, looked, i);
	i->request.patient = i->phase == PHASE_STARTING;
}

void remote_look(struct remote *i, enum phase phase)
{
	i->phase = phase;
	i->poll_ms = POLL_FIRST_MS;
	i->exit_code_polls = EXIT_CODE_POLLS;
	poll_again(i);
}

void remote_created(struct remote *i, const cJSON *sandbox)
{
	core_lock();
	strcpy(i->id, json_text(sandbox, "sandboxId"));
	sandbox_set_id(i->sandbox, i->id);
	sandbox_creating(i->sandbox);
	core_unlock();
	i->phase = PHASE_STARTING;
	i->made = true;
	i->poll_ms = POLL_FIRST_MS;
	i->exit_code_polls = EXIT_CODE_POLLS;
	if (i->wants.stop || i->wants.keep)
		remote_step(i);
	else
		remote_see(i, sandbox);
}

/* --- Stopping --- */

static void delete (struct remote *i);

static void stop_again(void *arg)
{
	struct remote *i = arg;

	i->delay = NULL;
	delete (i);
}

/* Core is told; but it may have forgotten the sandbox by then, so we go on until it is stopped. */
static void stop_later(struct remote *i, const struct rpc_status *status)
{
	struct error why;

	failure_set(&why, status, "stop the sandbox");
	core_lock();
	if (i->sandbox && i->stop_pause_ms == STOP_FIRST_MS)
		sandbox_stop_failed(i->sandbox, &why);
	core_unlock();
	i->delay = delay_start(i->stop_pause_ms, stop_again, i);
	i->stop_pause_ms = delay_doubled(i->stop_pause_ms, STOP_LAST_MS);
}

/* Without the snapshot nobody has asked for its end: what it holds is still there. */
static void refuse_to_stop(struct remote *i, const struct rpc_status *status)
{
	struct error why;

	failure_set(&why, status, "stop the sandbox with a snapshot");
	i->phase = PHASE_IDLE;
	snapshots_fail_at_stop(i, &why);
	core_lock();
	i->wants.stop = false;
	sandbox_stop_failed(i->sandbox, &why);
	core_unlock();
}

static void deleted(void *owner, const cJSON *answer, const struct rpc_status *status)
{
	struct remote *i = owner;
	const cJSON *sandbox = json_object(answer, "sandbox");

	if (answer)
		snapshots_told_at_stop(i, answer);
	if (sandbox) {
		i->phase = PHASE_ENDING;
		i->poll_ms = POLL_FIRST_MS;
		remote_see(i, sandbox);
	} else if (answer || failure_is_gone(status)) {
		remote_end(i, END_TERMINATED, NULL);
	} else if (i->last && failure_is_final(status) && !failure_is_passing(status)) {
		refuse_to_stop(i, status);
	} else {
		stop_later(i, status);
	}
}

/* What the agent's commands have left of the grace is the main process's. */
static uint32_t seconds_left(const struct remote *i)
{
	uint64_t now = request_clock_ms();

	if (!i->wants.grace_ms)
		return 0;
	return i->grace_until > now + 1000 ? (uint32_t)((i->grace_until - now + 999) / 1000) : 1;
}

static void delete (struct remote *i)
{
	uint32_t seconds = seconds_left(i);
	cJSON *body = cJSON_CreateObject();
	bool snapshot = snapshots_ask_at_stop(i, body, &seconds);

	i->phase = PHASE_STOPPING;
	cJSON_AddStringToObject(body, "sandboxId", i->id);
	if (seconds)
		cJSON_AddNumberToObject(body, "gracePeriodSeconds", seconds);
	if (!snapshot) /* the two do not go together */
		cJSON_AddTrueToObject(body, "allowMissing");
	request_start(&i->request, i->aviato, "DeleteSandbox", body,
		      (seconds + (snapshot ? SNAPSHOT_S : 10)) * 1000, STOP_BUDGET_MS, deleted, i);
}

/* The main process ends on TERM at once, and everything in the sandbox with it. So the agent, which core has
 * told, ends its commands first. */
static void stop(struct remote *i)
{
	bool heard = i->pipe || (i->stand_in && stand_in_is_busy(i->stand_in));
	bool talking = heard && (i->phase == PHASE_RUNNING || i->phase == PHASE_LEAVING) && i->wants.grace_ms;

	request_cancel(&i->request);
	delay_cancel(i->delay);
	i->delay = NULL;
	i->stop_pause_ms = STOP_FIRST_MS;
	search_forget(i->aviato, i->id);
	i->grace_until = request_clock_ms() + i->wants.grace_ms;
	if (talking) {
		i->phase = PHASE_LEAVING;
		i->delay = delay_start(i->wants.grace_ms + KILL_MS, stop_again, i);
	}
	if (!i->delay) {
		abandon_pipe(i);
		delete (i);
	}
}

void remote_pipe_lost(struct remote *i)
{
	i->pipe = NULL;
	if (i->phase == PHASE_LEAVING) {
		delay_cancel(i->delay);
		i->delay = NULL;
		delete (i);
		return;
	}
	if (i->phase == PHASE_RUNNING)
		i->phase = PHASE_IDLE;
	if (i->wants.start)
		remote_step(i);
}

/* --- Core's wishes --- */

static void let_go(struct remote *i)
{
	struct sandbox *s;

	core_lock();
	s = i->sandbox;
	i->sandbox = NULL;
	if (s)
		sandbox_removed(s);
	core_unlock();
	remote_free(i);
}

/* Between two attempts to stop it. */
static bool is_stuck(const struct remote *i)
{
	return i->phase == PHASE_STOPPING && !request_under_way(&i->request);
}

void remote_step(struct remote *i)
{
	if (i->phase == PHASE_CREATING)
		return; /* what was asked for is looked at when there is an id */
	if (i->wants.remove && i->phase == PHASE_ENDED) {
		let_go(i);
	} else if (i->wants.keep && i->phase < PHASE_STOPPING) {
		let_go(i);
	} else if (i->wants.stop && i->phase == PHASE_NEW) {
		remote_end(i, END_TERMINATED, NULL);
	} else if (i->wants.stop && (i->phase < PHASE_STOPPING || is_stuck(i))) {
		stop(i);
	} else if (i->wants.start && i->phase == PHASE_NEW) {
		i->wants.start = false;
		creation_begin(i);
	} else if (i->wants.start && i->phase == PHASE_IDLE && i->was_reached) {
		remote_look(i, PHASE_LOOKING); /* it may have ended, or be paused */
	} else if (i->wants.start && i->phase == PHASE_IDLE) {
		remote_reach(i);
	}
}

/* --- info --- */

void remote_describe(struct remote *i, cJSON *info)
{
	cJSON_AddStringToObject(info, "service", endpoint_url(i->aviato->endpoint));
	cJSON_AddStringToObject(info, "credentials", i->aviato->credentials.source);
	known_describe(&i->known, info);
}
