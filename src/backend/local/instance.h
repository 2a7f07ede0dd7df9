/* One sandbox as the local backend sees it. */
#pragma once

#include "backend/local/local.h"
#include "backend/local/meta.h"
#include "backend/local/store.h"

#include "base/list.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#define PIDS_DEFAULT	 4096u
#define LIFETIME_DEFAULT (30u * 24 * 3600) /* seconds */

struct local {
	struct backend backend;
	struct backend_ops ops; /* its defaults depend on what this machine can keep */
	struct store store;
	char *bwrap;
	int agent;   /* the agent's program, sealed in memory: no sandbox can write to it */
	int seccomp; /* the compiled filter */
	struct cgroup_places places;
	uint32_t orphan_timeout_s;
	pthread_mutex_t lock; /* jobs */
	pthread_cond_t idle;
	unsigned jobs; /* instances that are not freed yet, and other work under way */
};

enum phase {
	PHASE_LAUNCHING, /* belongs to a pool thread */
	PHASE_RUNNING,
	PHASE_ENDED,
	PHASE_LEAVING, /* a pool thread removes or keeps it */
};

/* Core lock held for phase and stop_*; the rest is written in one place at a time, as the phases say. */
struct instance {
	struct local *local;
	struct sandbox *sandbox; /* NULL: the remains of a dead one */
	struct home home;
	struct meta meta;
	enum phase phase;
	bool stopping;
	bool keep_wanted;		  /* while it was launching */
	bool noting;			  /* a pool thread writes meta.json */
	bool note_again;		  /* it changed meanwhile */
	void (*next)(struct instance *i); /* what has to wait for that: its removal or keeping; or NULL */
	struct list snapshots;
	unsigned busy;	   /* long jobs that use the home */
	atomic_bool going; /* what takes long gives up: any thread */
	uint32_t grace_ms;
	int agent_fd;	    /* pidfd; -1: not running */
	int socket, spool;  /* from launch until the pipe has them */
	struct pipe *pipe;  /* from then until it is watched */
	struct error error; /* why the launch failed */
	/* The loop thread's. */
	uv_poll_t agent_poll;
	uv_timer_t killer;
	unsigned handles; /* open ones of the two, and one while not released */
	bool agent_polled, killer_armed;
	bool agent_gone;
	bool reconnecting; /* core lock; a call is posted that makes a pipe */
	int exit_code;	   /* of the agent, 128+N for a signal; -1: not known */
};

struct instance *instance_new(struct local *l, struct sandbox *s);
/* Closes everything and frees it, soon. Loop thread, or any before it is watched. */
void instance_release(struct instance *i);

/* Pool thread: all of starting one; instance->error on failure. Returns 0 or -errno. */
int instance_launch(struct instance *i);
/* Any thread: whether what takes long for this instance is to give up; as copy.h asks. */
bool instance_is_going(void *instance);
/* A connection to the agent behind `home`, or -errno; -EAGAIN when it does not answer. */
int instance_connect(const struct home *home);

/* Loop thread: takes part in the sandbox's life from now on: what its agent says, and its end. */
void instance_watch(struct instance *i);
/* Any thread, core lock held: begins to make a new pipe; the backend's reconnect(). */
void instance_reconnect(struct instance *i);
/* Any thread, core lock held: KILL, now or in `ms`. */
void instance_kill(struct instance *i, uint32_t ms);

/* Core lock held; both end in sandbox_removed(), unless the instance has no sandbox. */
void instance_remove(struct instance *i);
void instance_keep(struct instance *i);

/* Core lock held: one of the long jobs has ended; what waits for the last goes on. */
void instance_idle(struct instance *i);

/* Reports what is left in the store. Core lock held. */
void local_find(struct backend *b);
/* Fills `i` from its directory; 0 dead, 1 alive, -errno when it is to be left alone. */
int local_examine(struct instance *i, const char *id, struct error *err);
/* Takes over a living one; `i` is consumed. Core lock held; false when memory is out. */
bool local_adopt(struct instance *i);
/* A pidfd of the agent meta.json speaks of, -1 when it is dead. */
int local_living_agent(const struct meta *m);

/* Core lock held: what else is in the store, and taking over one of it. */
void local_list(struct backend *b);
void local_attach(struct backend *b, const char *id);
/* Writes the sandbox's new session and name down. */
void local_renamed(struct backend *b, struct sandbox *s);

/* A job of the backend's that close() waits for. */
void local_job_begins(struct local *l);
void local_job_ends(struct local *l);
