/* The shell in a sandbox that works requests about files where there is no agent. Loop thread only. */
#pragma once

#include "backend/aviato/stand_in/stand_in.h"

/* script.c: what it runs. */
extern const char stand_in_script[];

#define HELPER_OUTPUT_MAX (32u << 20) /* that is not taken yet: one listing, in the end */

struct helper {
	struct stand_in *stand_in;
	struct call *call;
	struct delay *delay;
	struct buf input;    /* has not gone out */
	struct buf out, err; /* what it said; `out` is consumed by the owner */
	bool ready;
	bool expected; /* to say something */
	bool spoke;    /* it has said something: it is there */
	bool broken;   /* not all of its input could be sent */
	const struct helper_events *events;
	void *owner;
};

struct helper_events {
	/* There is more in `out`, and maybe room in `input`. May end with helper_close(). */
	void (*said)(void *owner);
	/* It has ended, and is freed afterwards; why->code is EOPNOTSUPP where there is no shell. */
	void (*ended)(void *owner, const struct error *why);
};

/* NULL: out of memory. Nothing is called from within. */
struct helper *helper_open(struct stand_in *s, const struct helper_events *events, void *owner);
/* Without a word. */
void helper_close(struct helper *h);
/* For its standard input, both or none: 0, -ENOMEM or -EFBIG. */
int helper_send(struct helper *h, const void *line, size_t len, const void *data, size_t data_len);
/* Whether it owes an answer: it is given up when none comes. */
void helper_expect(struct helper *h, bool expected);

/*
 * A line's next word: any text, in printable ASCII that the script makes it of again. 0 or -ENOMEM, -EFBIG.
 */
int helper_word(struct buf *line, const char *text);
