/* From a running sandbox to the agent in it: asking for it, sending it where it is missing, and again. */
#include "backend/aviato/remote.h"

#include "backend/aviato/creation.h"
#include "backend/aviato/delay.h"
#include "backend/aviato/failure.h"
#include "backend/aviato/search.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SEND_MS	       300000u
#define SEND_BUDGET_MS 30000u
#define SENDS_MAX      2u /* of one program: it may be damaged on the way once */
#define REACH_FOR_MS   30000u
#define PAUSE_MIN_MS   100u
#define PAUSE_MAX_MS   2000u

static void open_pipe(struct remote *i);

void remote_give_up(struct remote *i, const struct error *why)
{
	if (i->made)
		creation_undo(i);
	remote_end(i, END_FAILED, why);
}

static void give_up_for(struct remote *i, const struct error *why)
{
	if (i->is_search)
		search_settled(i, false);
	else if (i->was_reached)
		remote_unreachable(i, why);
	else if (i->paused)
		remote_look(i, PHASE_STARTING);
	else
		remote_give_up(i, why);
}

static void give_up(struct remote *i, int code, const char *reason, const char *text)
{
	struct error why;

	error_set(&why, code, reason, "the agent in the sandbox cannot be reached: %s", text);
	give_up_for(i, &why);
}

static void try_again(void *arg)
{
	struct remote *i = arg;

	i->delay = NULL;
	open_pipe(i);
}

static void open_later(struct remote *i)
{
	i->delay = delay_start(i->retry_ms, try_again, i);
	i->retry_ms = delay_doubled(i->retry_ms, PAUSE_MAX_MS);
}

/* There can be none. */
static void cannot_be_put(struct remote *i, int code, const char *text)
{
	if (i->was_reached)
		give_up(i, code, "AGENT_UNUSABLE", text);
	else
		remote_use_api(i, text);
}

/* The service says that it does not run: what does it say of the sandbox? */
static void look_why(struct remote *i)
{
	i->refused = true;
	remote_look(i, i->was_reached ? PHASE_LOOKING : PHASE_STARTING);
}

/* --- Sending it --- */

static void sent(void *owner, const cJSON *answer, const struct rpc_status *status)
{
	struct remote *i = owner;
	struct error why;

	if (answer) {
		open_pipe(i);
	} else if (failure_is_not_running(status) && !i->is_search) {
		i->sent--; /* it was not */
		look_why(i);
	} else if (strncmp(status->reason, "CWSANDBOX_FILE_", 15) == 0) {
		failure_set_start(&why, status, "send the agent");
		cannot_be_put(i, why.code, why.text);
	} else {
		failure_set_start(&why, status, "send the agent");
		give_up_for(i, &why);
	}
}

static void send_program(struct remote *i)
{
	cJSON *body = cJSON_CreateObject();
	char program[64], path[72];

	agent_pipe_program(i->agent, program, sizeof program);
	snprintf(path, sizeof path, "%s.new", program);
	i->phase = PHASE_SENDING;
	i->sent++;
	cJSON_AddStringToObject(body, "sandboxId", i->id);
	cJSON_AddStringToObject(body, "path", path);
	cJSON_AddItemToObject(body, "content", cJSON_CreateStringReference(i->agent->content));
	request_start(&i->request, i->aviato, "WriteFile", body, SEND_MS, SEND_BUDGET_MS, sent, i);
	i->request.patient = true;
}

/* --- Asking for it --- */

static void reached(void *owner, struct agent_pipe *p)
{
	struct remote *i = owner;

	i->phase = PHASE_RUNNING;
	if (i->is_search) {
		search_settled(i, true);
		return;
	}
	i->wants.start = false;
	i->was_reached = true;
	i->reach_until = 0;
	i->aviato->usual = i->agent;
	core_lock();
	sandbox_connected(i->sandbox, agent_pipe_as_pipe(p), -1);
	core_unlock();
}

static void call_failed(struct remote *i, const struct rpc_status *status)
{
	struct error why;

	if (failure_is_not_running(status) && !i->is_search) {
		look_why(i);
	} else if (failure_is_passing(status) && !i->was_reached && request_clock_ms() < i->reach_until) {
		open_later(i);
	} else {
		failure_set_start(&why, status, "reach the agent");
		give_up_for(i, &why);
	}
}

static struct agent_file *agent_for(struct aviato *a, const char *machine)
{
	struct agent_file **at = &a->agents;
	struct error err;

	while (*at && strcmp((*at)->machine, machine))
		at = &(*at)->next;
	if (!*at)
		*at = agent_file_load(machine, &err);
	return *at;
}

/* `machine`: what it says that it is; not twice, as it may say anything. */
static void other_machine(struct remote *i, char *machine)
{
	bool is_new = i->sent;
	struct agent_file *agent;
	char text[120];

	machine[strcspn(machine, " ")] = '\0';
	agent = i->switched ? NULL : agent_for(i->aviato, machine);
	if (!agent) {
		snprintf(text, sizeof text,
			 "the sandbox is of another machine type, for which there is no agent: %.32s",
			 machine);
		cannot_be_put(i, ENOEXEC, text);
		return;
	}
	i->agent = agent;
	i->switched = true;
	i->sent = 0;
	if (is_new) /* and so has none */
		send_program(i);
	else
		open_pipe(i);
}

static void failed(void *owner, enum reach_failure how, const struct rpc_status *status, const char *said)
{
	struct remote *i = owner;
	char text[300];

	i->pipe = NULL;
	snprintf(text, sizeof text, "%.250s", said[0] ? said : "it said nothing");
	for (char *p = text; *p; p++)
		if (*p == '\n')
			*p = ' ';
	switch (how) {
	case REACH_MISSING:
		if (i->sent < SENDS_MAX)
			send_program(i);
		else
			cannot_be_put(i, EIO, "it arrives damaged");
		break;
	case REACH_MACHINE:
		other_machine(i, text);
		break;
	case REACH_IN_USE:
		give_up(i, EBUSY, "OTHER_MOUNT", "another mount is connected to it");
		break;
	case REACH_UNUSABLE:
		cannot_be_put(i, ENOEXEC, text);
		break;
	case REACH_CALL:
		call_failed(i, status);
	}
}

/* The stream has broken: either the sandbox has ended, or core will ask for a new one. */
static void lost(void *owner)
{
	remote_pipe_lost(owner);
}

static void open_pipe(struct remote *i)
{
	static const struct agent_pipe_events events = {reached, failed, lost};

	i->phase = PHASE_REACHING;
	i->pipe = agent_pipe_open(i->aviato, i->agent, i->id, false, &events, i);
	if (!i->pipe)
		give_up(i, ENOMEM, "NO_MEMORY", "out of memory");
}

void remote_reach(struct remote *i)
{
	bool fresh = i->phase == PHASE_STARTING && !i->sent;

	i->switched = false;
	if (!i->agent)
		i->agent = i->aviato->usual;
	if (!i->reach_until || i->paused)
		i->reach_until = request_clock_ms() + REACH_FOR_MS;
	i->retry_ms = PAUSE_MIN_MS;
	if (i->was_reached)
		i->sent = 0;
	if (i->by_api || i->aviato->no_agent) {
		remote_use_api(i, "-o agent=no");
		return;
	}
	/* A new sandbox cannot have it. */
	if (fresh)
		send_program(i);
	else
		open_pipe(i);
}

/* Between two attempts, where the service refuses what it says should work. */
static void wait_for_it(struct remote *i)
{
	struct error why;

	if (i->paused)
		error_set(&why, ETIMEDOUT, "PAUSED", "the sandbox is paused");
	else
		error_set(&why, EAGAIN, "NOT_RUNNING",
			  "the service says that it runs, and refuses what is asked of it");
	if (i->was_reached)
		remote_unreachable(i, &why);
	else if (i->paused || request_clock_ms() < i->reach_until)
		remote_poll_later(i);
	else
		remote_give_up(i, &why);
}

void remote_reach_if_it_answers(struct remote *i)
{
	bool wait = i->refused || (i->paused && i->tried);

	i->refused = false;
	i->tried = i->paused;
	if (wait)
		wait_for_it(i);
	else
		remote_reach(i);
}
