/* A sandbox: its settings, its state, and what runs in it. */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "channel/channel.h"
#include "channel/file_calls.h"
#include "core/backend.h"
#include "core/config.h"
#include "core/process/draft.h"
#include "core/object.h"
#include "core/process/process.h"
#include "core/process/programs.h"
#include "core/link/reconnect.h"
#include "core/snapshot/snapshot.h"
#include "core/link/still.h"

#include <time.h>

struct function;
struct session;

enum sandbox_state {
	SANDBOX_UNSTARTED,
	SANDBOX_PENDING,
	SANDBOX_CREATING,
	SANDBOX_RUNNING,
	SANDBOX_PAUSED,
	SANDBOX_TERMINATING,
	SANDBOX_COMPLETED,
	SANDBOX_FAILED,
	SANDBOX_TERMINATED,
	SANDBOX_STATES
};

#define SANDBOX_ID_MAX 48
#define MAIN_ID	       1 /* the agent's number for what config/command runs */

/* Guarded by the core lock. */
struct sandbox {
	struct object object;
	enum sandbox_state state;
	char id[SANDBOX_ID_MAX + 1];
	struct config own;	 /* what was written into config/ */
	struct config effective; /* merged, once started */
	struct error error;	 /* the last failure; code 0 if none */
	struct error cause;	 /* why it ended; code 0 if it was asked to */
	void *instance;		 /* the backend's */
	struct channel *channel; /* NULL while there is none */
	struct reach reach;	 /* whether there should be one, and whether it can be used */
	int spool_dir;		 /* -1 when the agent sends its output */
	struct process *latest;	 /* a reference, or NULL */
	struct process *main;	 /* config/command, not listed under proc/ ; a reference, or NULL */
	struct process **by_id;	 /* hash of PROCESS_BUCKETS, made with the first process */
	uint64_t last_number;
	uint32_t last_id;
	uint64_t last_terminal;
	uint32_t columns, rows; /* of the terminals that `tty` opens */
	unsigned kept_ended;	/* numbered processes that have ended and are listed */
	struct inbox inbox;
	struct list logs;    /* struct main_log: what `logs` was opened for, where the backend tells it */
	struct list startup; /* who waits for it to run, or to fail */
	time_t created, started, ended;
	time_t start_told; /* what `started` will be once its agent answers; 0: just then */
	uint64_t began_ms; /* when this mount began to start it, by CLOCK_MONOTONIC; 0 if it did not */
	bool began;	   /* the backend was told to start it */
	bool kept;	   /* lives on when this mount ends */
	bool settling;	   /* its commands are ended with it */
	bool stopping;	   /* we asked for its end */
	bool arriving;	   /* of an earlier mount, and its agent has not reported yet */
	bool closing;	   /* its session waits for its end */
	bool torn_down;	   /* rmdir or unmount: removed as soon as it has ended */
	bool dormant;	   /* runs, but its agent was not asked for yet */
	bool unasked;	   /* it may have commands of an earlier mount that its agent has not told yet */
	bool idle;	   /* of a function's pool: waits for a call */
	char *old_name;	   /* of one that was attached to: what it was called by who made it; or NULL */
	uint64_t commands, succeeded, nonzero, failures; /* commands given, and how they ended */
	/* The front end's data about its files, and how to tell it that they are gone. */
	void *front;
	void (*front_gone)(void *front);
	/* The agent says something about a file is different, or, with a frame of NULL, the connection it
	 * would be said on is lost. NULL: nobody wants to know. -EPROTO: nonsense. */
	int (*front_changed)(void *front, const struct frame *f);
	/* Another agent than before will answer, which knows nothing of files. NULL: nobody wants to know. */
	void (*front_anew)(void *front);
	/* From now on nothing in it changes anything, or, before anything may, no longer so. Or NULL. */
	void (*front_still)(void *front, bool still);
	struct still still;
	struct programs *programs; /* what was asked about bin/, or NULL */
	struct file_calls *files;  /* requests about files to the agent, or NULL */
	uint64_t life;		   /* random: whose handles of files the agent keeps over a lost connection */
	uint64_t agent_born;	   /* which agent it is; 0: none was there yet */
	bool files_ready;	   /* the agent has told all it knows, and can be asked */
	struct shelf snapshots;
	uint64_t news; /* grows with whatever the agent says */
};

const char *sandbox_state_name(enum sandbox_state state);
struct session *sandbox_session(const struct sandbox *s);
/* The function whose calls it is for, or NULL. */
struct function *sandbox_function(const struct sandbox *s);

/* mkdir SESSION/NAME: declares it; nothing starts. */
int sandbox_make(struct session *session, const char *name, struct error *err);
/* One for the calls of a function: in no session's directory. NULL: no memory. */
struct sandbox *sandbox_make_inner(struct function *f, const char *name, struct error *err);
/* rmdir: out of the tree at once; it is stopped and removed behind the scenes. */
void sandbox_drop(struct sandbox *s);

/* Its agent can be asked for things; a paused one answers when it goes on. */
bool sandbox_runs(const struct sandbox *s);

/* Starts it if it never was. 0 when it runs or will, or what sandbox_refuses_commands() says. */
int sandbox_need(struct sandbox *s, struct error *err);
/*
 * Whether an earlier mount may have given it commands that are not known yet: its agent is asked, and who is
 * about to give it one waits on *ret_wait, lest two commands have one number.
 */
bool sandbox_asks_first(struct sandbox *s, struct list **ret_wait);
/* ctl stop: TERM, KILL after the grace. Its results stay readable. */
void sandbox_stop(struct sandbox *s, uint32_t grace_ms);
#define STOP_GRACE_MS 2000

/*
 * 0, or a sentence: -ESHUTDOWN once it has ended or is ending, or the errno of what kept it from ever
 * running; -ETIMEDOUT while it is out of reach.
 */
int sandbox_refuses_commands(struct sandbox *s, struct error *err);

/* Keeps the failure for `error` here, in the session and in the mount. */
void sandbox_set_error(struct sandbox *s, const struct error *err);
/* The same of what it is about to end by. */
void sandbox_set_cause(struct sandbox *s, const struct error *err);

/* What config/ shows and stores. -EBUSY once it was started. */
int sandbox_config_set(struct sandbox *s, enum config_key key, const char *text, struct error *err);
int sandbox_config_effective(struct sandbox *s, struct config *ret);

/* The JSON of `info`, with a newline. 0 or -ENOMEM. */
int sandbox_info(struct sandbox *s, struct buf *out);

/* --- Between the files of the core --- */

/* A declared one, without an id. NULL: no memory. */
struct sandbox *sandbox_new(struct object *parent, const char *name);
/* The one place where the state changes. */
void sandbox_set_state(struct sandbox *s, enum sandbox_state state);

/* --- Between processes and their sandbox --- */

void sandbox_register_process(struct sandbox *s, struct process *p, uint32_t id);
void sandbox_unregister_process(struct sandbox *s, struct process *p);
struct process *sandbox_process_by_id(struct sandbox *s, uint32_t id);
void sandbox_set_latest(struct sandbox *s, struct process *p);
/* A command was given. */
void sandbox_count_command(struct sandbox *s);
/* Counts its end and prunes the oldest ended ones. */
void sandbox_process_ended(struct sandbox *s, struct process *p);
/* The sandbox has ended and this with it; `why`, if it was never started, or NULL. */
void sandbox_end_process(struct sandbox *s, struct process *p, const struct error *why);

/* --- The agent's side (core/link/link.c) --- */

/* The agent has told all it knows: commands that wait are given to it. */
void sandbox_ready(struct sandbox *s);

int link_open(struct sandbox *s, struct pipe *pipe, int spool_dir);
void link_close(struct sandbox *s);
/* The requests about files, made at the first use. NULL: no memory. */
struct file_calls *link_files(struct sandbox *s);
/* The agent cannot be had any more, nor be asked to end: the sandbox is ended. */
void link_give_up(struct sandbox *s, int code);
