/* One command of a stand-in: a StreamExec, and what the agent protocol makes of it. Loop thread only. */
#pragma once

#include "backend/aviato/request.h"
#include "backend/aviato/stand_in/stand_in.h"

struct call;
struct delay;

struct command_output {
	struct buf pending; /* came, and not told yet */
	uint64_t told, window, limit;
	bool full, end_told;
};

struct command {
	struct list link;
	struct stand_in *stand_in;
	uint32_t id;
	struct start start;
	struct request upload; /* of a text that has to be a file */
	struct call *call;
	struct delay *delay;
	struct delay *patience; /* until the service has said anything */
	bool started;		/* and told so */
	bool held;		/* no output is taken */
	bool over;		/* `outcome` says how */
	struct outcome outcome;
	uint32_t signal; /* the last one that was sent; 0: none */
	uint8_t ending;	 /* enum outcome_kind: TIMEOUT or CANCELED once that began, else EXITED */
	struct command_output outputs[STREAMS];
	bool lost_cwd;
	bool leaving; /* it was told to end with its sandbox */
	struct buf input;
	uint64_t input_taken;
	bool input_ended, input_closed;
};

/* Takes over `start`. -ENOMEM: it has not. */
int command_begin(struct stand_in *s, uint32_t id, struct start *start);
void command_input(struct command *c, const void *data, size_t len);
void command_input_end(struct command *c);
/* Any of these may free it. */
void command_signal(struct command *c, uint32_t number);
void command_cancel(struct command *c, enum outcome_kind kind, uint32_t grace_ms);
/* It is about to be told to end, as all are, with its sandbox. */
void command_leave(struct command *c);
/* Of its terminal. */
void command_resize(struct command *c, uint32_t columns, uint32_t rows);
void command_limit(struct command *c, uint64_t bytes);
void command_window(struct command *c, enum stream_number stream, uint64_t end);
void command_forget(struct command *c);
/* Without a word. */
void command_free(struct command *c);

uint64_t command_clock_ns(void);

/* --- input.c --- */

/* What the service takes of it: nothing before it has said "ready". */
void command_pump_input(struct command *c);

/* --- words.c: a start in the words of the service --- */

/* Whether its text has to be written to a file first. */
bool command_needs_file(const struct start *s);
/* Where. */
void command_file(const struct command *c, char *ret, size_t size);
/* Its first message to StreamExec; NULL: out of memory. */
char *command_init(const struct command *c);
/* What can be said of it in the service's words: -EILSEQ, -EINVAL with a sentence. */
int command_check(const struct start *s, struct error *err);
/* What the wrapper says on standard error, as its only line, of a directory it cannot enter. */
void command_lost_cwd(const struct command *c, char *ret, size_t size);

/* --- kill.c --- */

/* Signals all processes of the command, as far as a shell in the sandbox finds them. */
void command_kill(struct command *c, uint32_t number);
/* Those of all this mount's commands in the sandbox. */
void stand_in_kill(struct stand_in *s, uint32_t number);
/* Gives up what is under way. */
void stand_in_drop_kills(struct stand_in *s);
/* The variable that marks its processes: NAME=VALUE. */
void command_mark(const struct command *c, char *ret, size_t size);
