#include "core/purge.h"

#include "core/mount.h"
#include "core/waiter.h"

#include <errno.h>

static struct {
	bool on;
	struct error why; /* of the last one; code 0 if it went well */
	struct list waiters;
} state = {.waiters = {&state.waiters, &state.waiters}};

int purge(const char *tags, bool again, struct list **ret_wait, struct error *err)
{
	if (again && !state.on) {
		if (state.why.code)
			*err = state.why;
		return -state.why.code;
	}
	if (!again && state.on)
		return error_set(err, EBUSY, "BUSY", "a purge is under way");
	if (!again) {
		state.on = true;
		the_mount.backend->ops->purge(the_mount.backend, tags);
	}
	*ret_wait = &state.waiters;
	return -EAGAIN;
}

void backend_purged(const struct error *why)
{
	state.on = false;
	state.why = why ? *why : (struct error){0};
	core_wake(&state.waiters);
}
