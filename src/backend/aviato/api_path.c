/* A sandbox whose commands run by calls of the service, as no agent can be put into it. */
#include "backend/aviato/remote.h"

#include "backend/aviato/delay.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define WATCH_MS 10000u /* no stream breaks when the sandbox ends: it is looked at so often */

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

void remote_use_api(struct remote *i, const char *why)
{
	static const struct stand_in_events events = {doubted, lost};
	struct error err;

	if (!i->by_api)
		log_info("sandbox %s has no agent: %s", i->id, why);
	i->stand_in = stand_in_open(i->aviato, i->id, &events, i);
	if (!i->stand_in) {
		error_set(&err, ENOMEM, "NO_MEMORY", "out of memory");
		if (i->was_reached)
			remote_unreachable(i, &err);
		else
			remote_end(i, END_FAILED, &err);
		return;
	}
	i->phase = PHASE_RUNNING;
	i->wants.start = false;
	i->was_reached = i->by_api = true;
	remote_watch_later(i);
	core_lock();
	strcpy(i->known.path, "api");
	if (!i->known.path_reason[0])
		snprintf(i->known.path_reason, sizeof i->known.path_reason, "%s", why);
	sandbox_connected(i->sandbox, stand_in_as_pipe(i->stand_in), -1);
	core_unlock();
}
