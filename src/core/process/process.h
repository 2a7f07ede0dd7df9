/* One command in a sandbox: its text, its state, its output. */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "channel/protocol.h"
#include "core/process/draft.h"
#include "core/object.h"
#include "core/process/sink.h"
#include "core/process/stream.h"

struct sandbox;

enum process_state {
	PROCESS_NONE, /* declared by mkdir, no command yet */
	PROCESS_STARTING,
	PROCESS_RUNNING,
	PROCESS_EXITED,
	PROCESS_SIGNALED,
	PROCESS_TIMEOUT,
	PROCESS_CANCELED,
	PROCESS_LOST,
	PROCESS_FAILED,
	PROCESS_STATES
};

/* Guarded by the core lock. */
struct process {
	struct object object;
	enum process_state state;
	uint32_t value;	  /* exit code or signal */
	char *failure;	  /* "REASON: text" of a failed one */
	uint32_t id;	  /* the agent's number for it; 0 before it has a command */
	bool sent;	  /* START went out, */
	uint64_t sent_to; /* to the agent that was born then */
	bool reported;	  /* the agent has told of it on the present channel */
	uint64_t signals; /* to be sent when the agent is in reach again: bit N-1 for signal N */
	bool numbered;	  /* named by us: may be pruned once ended */
	bool passing;	  /* run-PID-N, tty-N: never the latest, and pruned too once nobody has it open */
	uint32_t columns, rows; /* its terminal, if it has or gets one */
	struct start start;
	struct stream streams[STREAMS];
	uint64_t limit_most; /* the highest spool limit it ever had: what came under that is kept */
	uint64_t acknowledged[STREAMS]; /* HAVE sent up to there */
	struct sink input;
	struct list enders; /* who waits for the end */
	struct inbox inbox;
	uint64_t committed_ns, started_ns, ended_ns;
	struct process *next_by_id;
};

/* Commands per sandbox that are kept after their end, and that there can be at all. */
#define TERMINAL_COLUMNS 80 /* where nobody says more */
#define TERMINAL_ROWS	 24
#define PROCESSES_KEPT	 64
#define PROCESSES_MAX	 4096

/* mkdir proc/NAME. -EEXIST, -EINVAL (all digits are ours), -EBUSY when there are too many. */
int process_make(struct sandbox *s, const char *name, struct error *err);

/*
 * Takes over `start` (its contents, on success) as the command of `named`, or of
 * a new numbered process, and starts it as soon as the sandbox can.
 */
int process_submit(struct sandbox *s, struct process *named, struct start *start, struct process **ret,
		   struct error *err);

/* rmdir proc/NAME: kills it if it runs, and forgets it. */
void process_drop(struct process *p);

/* Gives START to the agent, and the stdin there is; again after a new channel. */
void process_send(struct process *p);
/* Passes on what stdin the agent's window allows. */
void process_pump_input(struct process *p);

/* The end, once: wakes who waits and tells the event logs. `failure` for PROCESS_FAILED, else NULL. */
void process_finish(struct process *p, enum process_state state, uint32_t value, const char *failure);

bool process_ended(const struct process *p);
/* What has not come of its output never will; unless it was cut short by us, its readers are told. */
void process_end_output(struct process *p);
/* The number that `wait` gives. */
int process_exit_number(const struct process *p);
/* The line that `status` gives, without newline. */
int process_status(const struct process *p, struct buf *out);

/* Verbs of proc/NAME/ctl. -ESRCH without a sentence: the command has ended. */
int process_signal(struct process *p, int signal, struct error *err);
int process_input_eof(struct process *p);
int process_limit(struct process *p, uint64_t bytes, struct error *err);
/* Of one that was started by another mount: what there is of it came under a limit it had. */
void process_adopt_limit(struct process *p, const struct report *r);

/* What config/command says, as process 1: not listed, stderr merged; a reference, or NULL (no memory). */
struct process *process_make_main(struct sandbox *s, const char *text);

struct sandbox *process_sandbox(const struct process *p);
/* Takes over a report of the agent about a process this daemon does not know; NULL if it makes no sense. */
struct process *process_adopt(struct sandbox *s, uint32_t id, struct report *r);
/* Brings a known one up to date after a reconnect. */
void process_resume(struct process *p, const struct report *r);
/* The agent has reported all it knows: what it does not know is sent again, or lost; what waited goes out. */
void process_settle(struct process *p);
/* The state and value of an outcome. */
void process_apply_outcome(struct process *p, const struct outcome *o);
