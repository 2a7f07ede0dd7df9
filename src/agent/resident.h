/* --connect: a byte stream between standard input and output and an agent that outlives it. */
#pragma once

#include <stdbool.h>

/* What whoever started us reads on standard error, once the agent can be spoken to. */
#define CONNECTED_LINE "connected"

/* How --connect ends, when it is not 0: the agent closed the connection. */
#define EXIT_IN_USE 69 /* another owner is connected */
#define EXIT_BROKEN 71 /* a sentence is on standard error */

struct resident_options {
	const char *directory; /* ours alone: the socket, the spool */
	const char *owner;     /* who connects: the same may replace its own connection */
	bool steal;	       /* and this one anybody's */
};

/*
 * Connects to the agent of the directory, which is started if need be. Returns
 * the exit status; or, in the process that is to be the agent, -1 with its
 * listening socket and spool directory.
 */
int resident_connect(const struct resident_options *o, int *ret_listener, int *ret_spool);
