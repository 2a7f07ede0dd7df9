/* One sandbox as this backend sees it: from its creation, over the agent in it, to its end. */
#pragma once

#include "backend/aviato/agent_pipe.h"
#include "backend/aviato/aviato.h"
#include "backend/aviato/creation.h"
#include "backend/aviato/known.h"
#include "backend/aviato/request.h"
#include "backend/aviato/sandbox_spec.h"
#include "backend/aviato/stand_in/stand_in.h"

enum phase {
	PHASE_NEW,
	PHASE_CREATING, /* CreateSandbox is under way */
	PHASE_STARTING, /* it exists; GetSandbox until it runs */
	PHASE_IDLE,	/* it runs, and nobody asks for its agent */
	PHASE_REACHING, /* it runs; on the way to its agent */
	PHASE_SENDING,	/* the agent's program is being sent */
	PHASE_RUNNING,	/* core talks to the agent */
	PHASE_LOOKING,	/* the agent was lost: GetSandbox to see why */
	PHASE_LEAVING,	/* it is to be stopped: the agent ends its commands and says what they said */
	PHASE_STOPPING, /* DeleteSandbox is under way */
	PHASE_ENDING,	/* it was deleted; GetSandbox until it has ended */
	PHASE_ENDED,
};

/*
 * The loop thread's. `wants` are set by core's calls, from any thread under the
 * core lock, and looked at by a call posted then.
 */
struct remote {
	struct list link;
	struct aviato *aviato;
	struct list logs; /* struct remote_log: those that were opened */
	struct snapshot_work
	    *last;		 /* the snapshot that is to be taken as it is stopped, or NULL; core lock */
	struct sandbox *sandbox; /* NULL: none of core's yet, or any more */
	enum phase phase;
	char id[128]; /* the service's; "" before it is known */
	char request_id[37];
	char template_id[TEMPLATE_ID_MAX]; /* "" when it is made from none */
	cJSON *body;			   /* the spec, until it is created */
	enum placement placement;	   /* PLACE_STRICT: no other is to be tried, or any more */
	bool maybe_made;		   /* an attempt to create it may have been heard */
	struct request request;
	struct delay *delay;
	struct services_watch *services; /* while an address is waited for */
	struct agent_pipe *pipe;
	struct stand_in *stand_in; /* instead of it, where `by_api` */
	unsigned poll_ms;	   /* the pause before the next GetSandbox */
	unsigned exit_code_polls;  /* left, for a code that comes late */
	bool completed;		   /* it has, and only the code is asked for */
	unsigned claims;	   /* how often to look yet whether another mount uses it */
	struct agent_file *agent; /* the one for its machine, as far as is known; NULL: not yet reached for */
	unsigned sent;		  /* how often the program was sent */
	unsigned stop_pause_ms;	  /* before the next DeleteSandbox, after one that failed */
	uint64_t grace_until;	  /* of PHASE_LEAVING, ms */
	uint64_t reach_until;	  /* when to give up reaching the agent, ms */
	unsigned retry_ms;
	unsigned posted;  /* calls of remote_post_step() that have not come; core lock */
	bool dead;	  /* to be freed with the last of them */
	bool was_reached; /* core has had a pipe: it asks for another when that breaks */
	bool switched;	  /* to the agent for another machine, on this way to it */
	bool is_search;	  /* found by a search: core hears of it when its agent was reached */
	bool by_api;	  /* there can be no agent in it */
	bool paused;	  /* as the service last said */
	bool tried;	  /* to reach it though it is paused: using it might let it go on */
	bool refused;	  /* the last call, as if it did not run */
	bool kept;
	bool made; /* by this mount: what it gives up has to be deleted */
	/* core's wishes */
	struct {
		bool start, stop, keep, remove;
		uint32_t grace_ms;
	} wants;
	struct known known; /* core lock */
};

struct remote *remote_new(struct aviato *a, struct sandbox *s);
/* Frees it, whatever is under way. */
void remote_free(struct remote *i);

/* Looks at what core wants now. */
void remote_step(struct remote *i);
/* The same from any thread, soon; core lock held. */
void remote_post_step(struct remote *i);
/* Keeps what the service said of it, for info and services. */
void remote_remember(struct remote *i, const cJSON *sandbox);
/* A sandbox that exists: acts on what the service said of it. */
void remote_see(struct remote *i, const cJSON *sandbox);
/* Goes on the way to its agent. */
void remote_reach(struct remote *i);
/* The same, as the service says that it runs, or is paused: at once, or in a while. */
void remote_reach_if_it_answers(struct remote *i);
/* Looks at it again soon. */
void remote_poll_later(struct remote *i);
/* Gives core a stand-in for the agent; `why` there is none. One that was found is first asked whose it is. */
void remote_use_api(struct remote *i, const char *why);
/* Looks in a while whether it runs on. */
void remote_watch_later(struct remote *i);
/* Core's reconnect has failed for now. */
void remote_unreachable(struct remote *i, const struct error *why);
/* Looks the sandbox up. */
void remote_look(struct remote *i, enum phase phase);
/* It has been created, and has an id: goes on. */
void remote_created(struct remote *i, const cJSON *sandbox);
/* The stream to its agent has ended. */
void remote_pipe_lost(struct remote *i);
/* Tells core the end, once. */
void remote_end(struct remote *i, enum sandbox_end how, const struct error *why);
/* It cannot be used, though it may run: the same, and it is deleted if this mount has made it. */
void remote_give_up(struct remote *i, const struct error *why);
void remote_describe(struct remote *i, cJSON *info);
