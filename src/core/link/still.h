/*
 * Whether anything runs in a sandbox. Where nothing does its files change through the mount alone, and
 * whoever shows them may remember what they are like.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct sandbox;

/* The agent says how many STARTs it has had when it finds that no process is left; we know how many it got.
 */
struct still {
	uint64_t given;	   /* over this channel */
	uint64_t heard_of; /* in the last word, */
	bool heard;	   /* if there was any */
	bool is;
};

/* All with the core lock held. */
bool still_is(const struct sandbox *s);
/* Right before a START is given to the channel: the front end has forgotten everything when it returns. */
void still_ends(struct sandbox *s);
/* Right behind it. `rc`: of channel_start(). */
void still_given(struct sandbox *s, int rc);
/* The agent's word. */
void still_heard(struct sandbox *s, uint64_t starts);
/* The channel is another one, or none: nothing is known any more. */
void still_unknown(struct sandbox *s);
