/* Keeping in touch with an agent: a pipe that breaks while its sandbox lives on is replaced. */
#pragma once

#include "base/error.h"
#include "core/backend.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define REACH_TIMEOUT_MS 30000u /* default of -o timeout */

/* Embedded in struct sandbox; core lock. */
struct reach {
	bool ready;	  /* the agent has reported on the present channel: requests may go out */
	bool lost;	  /* there was a channel, and there is none that is ready */
	bool unreachable; /* lost for longer than the timeout: what needs the agent fails at once */
	bool asking;	  /* the backend is making a pipe */
	int breaking;	  /* the channel is given up, as soon as nobody is within it: why, an errno; or 0 */
	bool known;	  /* was ready once: the agent's processes are known here */
	bool farewell;	  /* the agent said BYE */
	bool retry_armed, deadline_armed;
	bool pulse_armed, asked; /* the agent was asked for a sign of life, */
	uint64_t news_then;	 /* and what had been heard by then */
	unsigned failures;	 /* attempts in a row */
	uint64_t lost_at;	 /* ms, monotonic */
	time_t since;		 /* the same on the wall's clock */
};

/* The pipe is gone or useless. Not from within an event of the channel. */
void reconnect_begin(struct sandbox *s, const struct error *why);
/* The same, from anywhere. `code`: an errno that says why. */
void reconnect_soon(struct sandbox *s, int code);
/*
 * `rc`: of sending what nobody would send again. Where the pipe did not take it the agent has to be told all
 * over a new connection; a pipe that is broken says so itself.
 */
void reconnect_if_unsent(struct sandbox *s, int rc);
/* The agent has reported. */
void reconnect_done(struct sandbox *s);
/* pulse.c: from now on, as long as there is a channel, sees to it that the agent answers. */
void pulse_begin(struct sandbox *s);
/* It has ended: nothing is to be reached any more. */
void reconnect_stop(struct sandbox *s);
/* -ETIMEDOUT with a sentence while it is unreachable, else 0. */
int reconnect_refuses(const struct sandbox *s, struct error *err);
/* Since when its agent cannot be reached, though that was tried; 0 when it can. */
time_t reconnect_since(const struct sandbox *s);
