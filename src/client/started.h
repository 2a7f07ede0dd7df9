/* A command of our own under proc/ of a sandbox. */
#pragma once

#include "client/box.h"
#include "client/order.h"

#include <stdbool.h>

struct started {
	const struct box *box;
	char name[64];	  /* of its directory, from the sandbox's */
	int dir;	  /* the same, O_PATH */
	int in, out, err; /* its streams; `in` -1: it has none */
};

/* Gives the order. 0, or CLIENT_BROKEN after a line on standard error; nothing is left then. */
int started_begin(struct started *p, const struct box *b, const struct order *o, bool input);
/* Its directory goes; it is killed if it runs. */
void started_forget(const struct started *p);
/* -EAGAIN while it is not there yet, -ESRCH when it has ended, and whatever else a mount may say. */
int started_signal(const struct started *p, int signal_number);
/* Its terminal is as large as ours. */
void started_resize(const struct started *p);
/*
 * Waits for the end: the exit status, 128+N for a signal, or CLIENT_BROKEN: the command's own 125, or
 * *ret_told, and a line on standard error says why there is none.
 */
int started_outcome(const struct started *p, bool *ret_told);
