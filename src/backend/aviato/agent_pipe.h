/* The agent in a sandbox at the other end of one StreamExec: first reached, then a byte stream. */
#pragma once

#include "base/error.h"
#include "channel/pipe.h"
#include "rpc/status.h"

#include <stdbool.h>

struct aviato;
struct agent_file;
struct agent_pipe;

/* How reaching it went wrong. */
enum reach_failure {
	REACH_MISSING,	/* the program has to be sent first */
	REACH_MACHINE,	/* it is for another machine than what is said */
	REACH_UNUSABLE, /* it cannot be run there */
	REACH_IN_USE,	/* another mount is connected */
	REACH_CALL,	/* the call itself failed: see its status */
};

/* Loop thread, no lock held. After failed() and lost() the pipe is the owner's no more. */
struct agent_pipe_events {
	/* From here on it is a pipe like any other, and may be handed to core. */
	void (*reached)(void *owner, struct agent_pipe *p);
	void (*failed)(void *owner, enum reach_failure how, const struct rpc_status *status,
		       const char *said);
	/* It broke, or core closed it; core has been told before if it had to be. */
	void (*lost)(void *owner);
};

/*
 * Begins; loop thread. `steal`: even from another mount. NULL: out of memory.
 */
struct agent_pipe *agent_pipe_open(struct aviato *a, const struct agent_file *agent, const char *sandbox_id,
				   bool steal, const struct agent_pipe_events *events, void *owner);
/* Before it was reached: gives up. Afterwards: the owner hears no more of it, and core closes it. Loop
 * thread. */
void agent_pipe_abandon(struct agent_pipe *p);
struct pipe *agent_pipe_as_pipe(struct agent_pipe *p);
/* Where the program is put, as the sandbox sees it. */
void agent_pipe_program(const struct agent_file *agent, char *ret, size_t size);
