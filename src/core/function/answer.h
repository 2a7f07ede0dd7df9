/* What a call of a remote function is answered: the JSON its process printed, or {"error": ...}. */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "core/process/process.h"

#define ANSWER_MAX	((8u << 20) + 1)   /* bytes, of which one is a newline */
#define ANSWER_LINE_MAX (ANSWER_MAX + 64u) /* with its newline; an error is shorter */
#define STDERR_TAIL_MAX 4096u

/* How the process of a call ended, and what it has written. */
struct ending {
	enum process_state state;
	uint32_t value;
	char failure[512]; /* "REASON: text" of one that failed */
	bool too_long;	   /* its output is over ANSWER_MAX: then neither of these is there */
	bool unreadable;   /* its output was there and cannot be had */
	struct buf out;
	struct buf err; /* the end of it */
};

void ending_init(struct ending *e);
void ending_free(struct ending *e);

/* One line for `e`, appended to `ret`, which is empty. 0 or -ENOMEM. */
int answer_line(struct buf *ret, const struct ending *e);
/* The line for a call that could not be made. */
int answer_error(struct buf *ret, const struct error *err);
