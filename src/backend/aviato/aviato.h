/* The aviato backend: sandboxes of the remote service, and the agent in each over one stream. */
#pragma once

#include "backend/aviato/agent_file.h"
#include "base/list.h"
#include "core/backend.h"
#include "rpc/credentials.h"
#include "rpc/endpoint.h"
#include "rpc/status.h"

#include <pthread.h>

struct aviato_options {
	const char *source;	 /* aviato: | https://host[:port] | http://host[:port] */
	const char *credentials; /* -o credentials=FILE, or NULL */
	const char *ca_file;	 /* -o cacert=FILE, or NULL */
	uint32_t orphan_timeout_s;
	uint32_t timeout_ms; /* how long what the service says nothing of may take to begin; 0: 30 s */
	bool keep;	     /* on_exit=keep */
	bool no_agent;	     /* agent=no, for tests: as if none could be put into any sandbox */
};

/* -ENOKEY, -EINVAL, -ENOENT... with a sentence; nothing is sent yet. */
int aviato_open(const struct aviato_options *options, struct backend **ret, struct error *err);

/* --- Among the files of this folder --- */

/* Where the agent and what it keeps are, in a sandbox. */
#define AGENT_PROGRAM	"/tmp/.aviatofs-agent"
#define AGENT_DIRECTORY "/tmp/.aviatofs"

struct call;
struct delay;
struct finding;
struct listing;

struct breaker {
	bool open;
	struct rpc_status why;
	unsigned pause_ms; /* before the next probe */
	struct delay *delay;
	struct call *call;
};

/* The loop thread's, but for what never changes. */
struct aviato {
	struct backend backend;
	struct endpoint *endpoint;
	struct endpoint *templates; /* of their service; mostly the same */
	struct credentials credentials;
	struct agent_file *agents; /* those that are loaded, that of this machine first */
	struct agent_file *usual;  /* what the last sandbox took: the next is taken to be like it */
	char owner[33];		   /* of this mount: the agents know it by that */
	uint32_t orphan_timeout_s, timeout_ms;
	bool keep, no_agent;
	struct breaker breaker;
	struct list instances;
	struct list undoing;
	struct finding *finding;       /* what is being looked for, or NULL */
	struct listing *roster;	       /* for list() */
	struct purge *purge;	       /* under way, or NULL */
	struct listing *catalogs;      /* for tell(), one each */
	struct list listed;	       /* what it told of last */
	struct list snapshots, asking; /* what is made, deleted or listed of them; core lock */
	/* aviato_close() waits here for the loop thread */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool closed;
};

/* The name of a call: of the sandbox service, or of "Service/Method" of another. */
void aviato_method(const char *name, char *ret, size_t size);
