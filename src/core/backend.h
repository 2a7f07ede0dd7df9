/*
 * What core asks of a backend: a lifecycle and a byte pipe.
 *
 * Core names no backend; main hands it one of these tables. Calls come with
 * the core lock held and answer at once; what takes time ends in one of the
 * sandbox_* events of core/sandbox.h, which a backend calls with the core lock
 * held (core_lock()), from any thread.
 */
#pragma once

#include "base/error.h"
#include "core/config.h"

#include <cjson/cJSON.h>

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct main_log;
struct sandbox;
struct snapshot;
struct comparison;
struct backend;

/* Lists a backend may have beside its sandboxes. */
enum catalog { CATALOG_RUNNERS, CATALOG_TEMPLATES, CATALOGS };

struct backend_ops {
	const char *name;		   /* "local" */
	const char *defaults[CONFIG_KEYS]; /* what a sandbox gets where nobody says otherwise */

	bool runs_command; /* config/command is its main process, and none of the agent's */

	/* Whether these effective settings can be kept: -EINVAL, -EOPNOTSUPP with a sentence. */
	int (*check)(struct backend *b, const struct config *c, struct error *err);

	/*
	 * Reports what earlier mounts left, through sandbox_found(); called once, before the mount answers.
	 * What takes longer goes on between backend_searching() and backend_searched().
	 */
	void (*find)(struct backend *b);

	/*
	 * Begins to start it (sandbox_id(), sandbox_config() and names are set).
	 * Ends in sandbox_connected() or sandbox_ended().
	 */
	void (*start)(struct backend *b, struct sandbox *s);

	/*
	 * The pipe to the agent of a sandbox that is not known to have ended is lost: begins to
	 * make another. Ends in sandbox_connected(), in sandbox_unreachable(), after which core
	 * asks again in a while, or in sandbox_ended() where it finds that it is gone. One attempt
	 * at a time, bounded in time. NULL where a lost pipe is the end.
	 */
	void (*reconnect)(struct backend *b, struct sandbox *s);

	/* Begins to stop it: TERM, and KILL after the grace. Ends in sandbox_ended(). */
	void (*stop)(struct backend *b, struct sandbox *s, uint32_t grace_ms);

	/* Begins to delete all that is left of an ended sandbox. Ends in sandbox_removed(). */
	void (*remove)(struct backend *b, struct sandbox *s);

	/* Lets it live on after this mount ends: the next mount finds it. Ends in sandbox_removed(). */
	void (*keep)(struct backend *b, struct sandbox *s);

	/* A new O_PATH descriptor of the live root directory, or -errno. */
	int (*root)(struct backend *b, struct sandbox *s);

	/*
	 * Begins to list the sandboxes it shows besides those of this mount (which it may name
	 * too): backend_shows() for each, then backend_showed(). NULL where there are no others.
	 */
	void (*list)(struct backend *b);

	/*
	 * Begins to attach to sandbox `id` (valid during the call), which is none of this mount:
	 * sandbox_found(), then backend_attached(); or that alone, with why not. Several may be
	 * under way. A look-up of its name does this, so `ls -l` does it for every one that list()
	 * told of: where the network is between, answer from what list() told, with a `dormant`
	 * sandbox. NULL where list is.
	 */
	void (*attach)(struct backend *b, const char *id);

	/* Session and name of a running sandbox have changed: the next mount is to find it under these.
	 * NULL where they are fixed. */
	void (*renamed)(struct backend *b, struct sandbox *s);

	/*
	 * Begins to take a snapshot of a running sandbox; its name is set. snapshot_set_id() as soon as
	 * it has an id; ends in snapshot_ready() or snapshot_failed(). NULL where there are none.
	 */
	void (*snapshot)(struct backend *b, struct snapshot *n);
	/*
	 * The same of one that is about to be stopped: stop(), which follows, takes it when the commands have
	 * ended. Where that is refused the sandbox is not stopped: sandbox_stop_failed(). 0, or why it cannot
	 * be, and no stop() follows. NULL where there is no such thing.
	 */
	int (*snapshot_at_stop)(struct backend *b, struct snapshot *n, struct error *err);
	/*
	 * Begins to delete it, or to give up making it. It is out of the tree. Ends in snapshot_removed(),
	 * or, while it is being made, in snapshot_failed(). NULL where they stay.
	 */
	void (*snapshot_remove)(struct backend *b, struct snapshot *n);
	/*
	 * Begins to list those of `s` besides what this mount has made (which it may name too):
	 * snapshot_found() for each, then snapshots_listed(). NULL where sandbox_found() came with all there
	 * are.
	 */
	void (*snapshots)(struct backend *b, struct sandbox *s);
	/* A new O_PATH descriptor of the root directory a ready one holds, or -errno. NULL where
	 * snapshots cannot be looked into: they are shown as what is known of them then. */
	int (*snapshot_root)(struct backend *b, struct snapshot *n);

	/*
	 * Begins to write how the root of a sandbox that was started differs from its image. Ends in
	 * comparison_done(). It should give up when comparison_unwanted(). NULL where that cannot be known.
	 */
	void (*compare)(struct backend *b, struct comparison *r);

	/*
	 * Of backends that run config/command themselves: somebody reads this log of it now or, with
	 * `on` false, nobody does any more. While somebody does: main_log_append() and, at last,
	 * main_log_end() (core/report/main_log.h). NULL: the agent tells what is in `logs`.
	 */
	void (*follow)(struct backend *b, struct main_log *l, bool on);
	/* Its last call for a log it was asked to follow. */
	void (*forget)(struct backend *b, struct main_log *l);

	/* Begins to tell a list, a JSON object a line: backend_told(). NULL where there are none. */
	void (*tell)(struct backend *b, enum catalog which);
	/* Begins to end all sandboxes of the account that have these tags, a line each ("": all, whatever
	 * they have): backend_purged(). NULL where there is no such thing. */
	void (*purge)(struct backend *b, const char *tags);
	/* The services of a sandbox as far as it is known, a JSON object a line, without asking for it. NULL:
	 * they are not there. 0 or -ENOMEM. */
	int (*services)(struct backend *b, struct sandbox *s, struct buf *out);

	/* Adds what it knows to the JSON of `info`. */
	void (*describe)(struct backend *b, struct sandbox *s, cJSON *info);

	/* After the last sandbox is removed or kept; frees the backend. No lock held. */
	void (*close)(struct backend *b);
};

/* The first member of every implementation. */
struct backend {
	const struct backend_ops *ops;
};

/* --- What a backend may read of a sandbox, with the core lock held --- */

const char *sandbox_id(const struct sandbox *s); /* unique for ever: a name, at most 48 bytes */
const char *sandbox_session_name(const struct sandbox *s);
const char *sandbox_name(const struct sandbox *s);
const struct config *sandbox_config(const struct sandbox *s); /* effective */
time_t sandbox_created(const struct sandbox *s);
/* The backend's own data; set in start() or before sandbox_found(), read back in later calls. */
void *sandbox_instance(const struct sandbox *s);
void sandbox_set_instance(struct sandbox *s, void *instance);

/* --- What a backend reports. Core lock held; any thread --- */

enum sandbox_end {
	END_COMPLETED,	/* its main process ended well */
	END_FAILED,	/* it could not be started, or its main process failed */
	END_TERMINATED, /* stopped, killed, or its time was over */
};

/* A step on the way up worth showing in `state`: creating. */
void sandbox_creating(struct sandbox *s);

/*
 * The service has suspended a running one, or lets it go on. Its pipe may be silent meanwhile, or break:
 * reconnect() then ends in sandbox_unreachable() as ever.
 */
void sandbox_paused(struct sandbox *s, bool paused);

/* When it was started, as the backend tells the next mount; before sandbox_connected(). */
void sandbox_tell_start(struct sandbox *s, time_t when);

/*
 * A fresh pipe to the agent. `spool_dir` is a descriptor of the directory with the
 * agent's spool files, or -1 when they are out of reach, or the pipe replaces a lost one; core owns
 * both from here.
 */
struct pipe;
void sandbox_connected(struct sandbox *s, struct pipe *pipe, int spool_dir);

/* reconnect() did not succeed, which says nothing about the sandbox. */
void sandbox_unreachable(struct sandbox *s, const struct error *why);
/* Requests about its files have failed, of which each has got no more than an errno. */
void sandbox_files_failed(struct sandbox *s, const struct error *why);

/* It runs no more (or never did); once per start. `why` may be NULL. The spool files stay. */
void sandbox_ended(struct sandbox *s, enum sandbox_end how, const struct error *why);

/* Nothing of it is left, or it was handed over by keep(); the instance is gone. */
void sandbox_removed(struct sandbox *s);

/* A sandbox of an earlier mount. Core copies what it is given. NULL when out of memory. */
struct sandbox_leftover {
	const char *id, *session, *name;
	const struct config *config; /* effective */
	time_t created;
	time_t started; /* 0: not known, about when it was created */
	bool kept;	/* its mount let it live on purpose: this one does so too */
	/* It is known to run, and its agent is only to be reached when that is needed: by start(). */
	bool dormant;
	void *instance;
};
struct sandbox *sandbox_found(const struct sandbox_leftover *found);

/* Of what was asked for something else was made, by a template: these settings are the effective ones, but
 * for tags. */
void sandbox_settings_told(struct sandbox *s, const struct config *told);

/* find() goes on, and the mount waits for it; `why` when it failed: there will be no mount then. */
void backend_searching(void);
void backend_searched(const struct error *why);

/* What stop() began has failed: it may run on. Its state stays `terminating`; another stop tries again. */
void sandbox_stop_failed(struct sandbox *s, const struct error *why);

/* One answer to list(), and their end; `why` NULL when that was all, else why it cannot be told. */
void backend_shows(const char *id);
void backend_showed(const struct error *why);
/* The end of attach(); `why` is for where there was no sandbox_found(), and says ENOENT when there is none.
 */
void backend_attached(const char *id, const struct error *why);

/* --- Snapshots. Core lock held --- */

const char *snapshot_name(const struct snapshot *n);
struct sandbox *snapshot_sandbox(const struct snapshot *n);
/* What config/from of a sandbox that starts from it says: a line of at most SNAPSHOT_ID_MAX bytes. */
const char *snapshot_id(const struct snapshot *n); /* "" as long as it has none */
void *snapshot_instance(const struct snapshot *n);
void snapshot_set_instance(struct snapshot *n, void *instance);

#define SNAPSHOT_ID_MAX 120

/*
 * From snapshot() or snapshot_found() on, a snapshot is valid until snapshot_failed() or
 * snapshot_removed(), or until sandbox_removed() of its sandbox.
 */
void snapshot_set_id(struct snapshot *n, const char *id);
/* It can be used. `bytes` is what it holds, -1 when that is not known. */
void snapshot_ready(struct snapshot *n, int64_t bytes);
/* There is none; nothing of it is left. */
void snapshot_failed(struct snapshot *n, const struct error *why);
void snapshot_removed(struct snapshot *n);

/* One that is there without this mount's doing. Core copies what it is given. */
struct snapshot_leftover {
	const char *id;
	const char *name; /* NULL: its id, as far as that is a name */
	time_t created;
	int64_t bytes;
	bool making; /* snapshot_ready() or snapshot_failed() will follow */
	void *instance;
};
/* That one, or the one of this id that is known already. NULL when it cannot be named, or memory is out. */
struct snapshot *snapshot_found(struct sandbox *s, const struct snapshot_leftover *found);
/* The end of snapshots(); `why` NULL when that was all. */
void snapshots_listed(struct sandbox *s, const struct error *why);

/* --- What `changed` and `diff` show --- */

enum comparison_kind {
	COMPARE_NOTHING,
	COMPARE_PATHS, /* the paths that differ, one a line */
	COMPARE_PATCH, /* a patch */
};
enum comparison_kind comparison_kind(const struct comparison *r);
/* Core lock held. */
struct sandbox *comparison_sandbox(const struct comparison *r);
/* Any thread, with or without the lock: its reader has gone. */
bool comparison_unwanted(const struct comparison *r);
/*
 * `file` is a descriptor of a file with the text, core's from here; or `why` says why there is none. `r` is
 * gone. Core lock held.
 */
void comparison_done(struct comparison *r, int file, const struct error *why);

/* The answer to tell(); `why` NULL when `text` is all of it. */
void backend_told(enum catalog which, const char *text, size_t len, const struct error *why);

/* The end of purge(); `why` NULL when all have ended, or are about to. */
void backend_purged(const struct error *why);

/* The backend has a name of its own for it: from now on sandbox_id() gives that. */
void sandbox_set_id(struct sandbox *s, const char *id);

/* --- The one lock --- */

void core_lock(void);
/* Also runs the completions that became due meanwhile, after dropping the lock. */
void core_unlock(void);
