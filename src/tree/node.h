/* What a file or directory of the control tree means: one row. */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "core/function/calls.h"
#include "core/function/function.h"
#include "core/mount.h"
#include "core/process/process.h"
#include "core/sandbox.h"
#include "core/session.h"

#include <stdbool.h>
#include <sys/types.h>

/* What the path has named so far. Borrowed; core lock held. */
struct place {
	enum object_kind kind; /* whose directory this is in */
	struct session *session;
	struct sandbox *sandbox;
	struct snapshot *snapshot;
	struct process *process; /* in a sandbox's own directory: the latest command, or NULL */
	struct function *function;
	int arg; /* the row's */
	/*
	 * For a verb that must wait: -EAGAIN with *wait set parks the write, and the same line comes
	 * again, with `again`. NULL where a write cannot wait.
	 */
	struct list **wait;
	bool again;
	struct object **held; /* what such a verb began and waits for: a reference that is kept for it */
	bool opening;	      /* a stream is opened to be read, and not only looked at */
};

/* How often a store handler is called. */
enum store_unit {
	STORE_LINES, /* once per line of a write(2) */
	STORE_VALUE, /* with all that was written since the open, at each write */
	STORE_JSON,  /* the same for JSON; what only ends too early is judged when its opener flushes */
	STORE_LIST,  /* the same for lines; an incomplete last line is judged at flush */
};

/* A directory whose names appear at run time. */
struct children {
	enum object_kind kind;
	const struct node *rows;						  /* what each child holds */
	int (*make)(const struct place *at, const char *name, struct error *err); /* mkdir */
	int (*drop)(struct object *child, struct error *err);			  /* rmdir */
	bool alike; /* all of them are one file, the only row below the directory; `find` tells whether by any
		       object */
	bool come_and_go; /* names also change without a mkdir or rmdir: the kernel must not remember them */
	/*
	 * Where they are not the directory's own objects but seen here once more, under other names;
	 * NULL else. `next` has NULL for what has a name and no object yet.
	 */
	struct object *(*find)(const struct place *at, const char *name);
	const char *(*next)(const struct place *at, uint64_t *cursor, struct object **ret);
	unsigned (*count)(const struct place *at);
	/*
	 * Where names are known elsewhere: has `name` be found (NULL: all of them). 0 when `find` and
	 * `next` now tell all; -EAGAIN: wait on *ret_wait and ask again; else why it cannot be known.
	 */
	int (*seek)(const struct place *at, const char *name, struct list **ret_wait, struct error *err);
};

/* NULL name ends a table. Exactly one behaviour a row, but that show may go with store or submit. */
struct node {
	const char *name;
	mode_t mode; /* permission bits; the mount's umask is taken off */
	const char *help;
	int arg;
	/* Whether this mount has it at all; NULL: with every backend. */
	bool (*offered)(const struct backend_ops *ops);
	bool brief;    /* its name is remembered for a moment only */
	bool constant; /* the same text for ever: the kernel may keep what it knows of it */
	/* text, rendered at open; true sizes come from rendering at stat */
	int (*show)(const struct place *at, struct buf *out);
	int (*store)(const struct place *at, const char *text, struct error *err);
	enum store_unit unit;
	bool waits; /* it has verbs that wait */
	/* one open gathers one text: the inbox it goes to */
	struct inbox *(*submit)(const struct place *at);
	/* before it is opened for reading: as `seek` of struct children, for a text that is known elsewhere
	 */
	int (*ask)(const struct place *at, struct list **ret_wait, struct error *err);
	/*
	 * output, or NULL, and what it is part of where that may go before the directory's object does;
	 * `follow` waits at the present end, else that is end of file
	 */
	struct stream *(*stream)(const struct place *at, struct process **ret_of);
	bool follow;
	/* lines of `events` */
	struct feed *(*feed)(const struct place *at);
	/* text that is not known before the process has ended: show, after waiting */
	bool await;
	/* text the backend takes its time to write: opening it waits for all of it */
	enum comparison_kind compare;
	/* an open for reading and writing is a conversation: what is written is answered. NULL: no memory */
	struct calls *(*converse)(const struct place *at);
	/* an open for reading and writing begins a shell of its own. NULL with a sentence */
	struct process *(*terminal)(const struct place *at, struct error *err);
	/* stdin */
	struct sink *(*sink)(const struct place *at);
	/* results of a command: an open first waits for pending text of `cmd` */
	bool result;
	const struct node *rows;
	const struct children *children;
	bool graft; /* fs/ and what snapshots hold: files of the sandbox's own */
};

bool node_is_offered(const struct node *n);

extern const struct node mount_rows[], session_rows[], sandbox_rows[], process_rows[], record_rows[],
    function_rows[], program_rows[];
extern const struct children sessions, sandboxes, processes, known_sandboxes, snapshots, functions, programs;

/* The rows of config/ and of both defaults/ levels: one per setting. */
extern struct node config_rows[], session_default_rows[], mount_default_rows[];
/* The same of a function, and what else its config/ holds; ends `function_config_rows`. */
extern struct node function_config_rows[];
extern const struct node function_own_rows[];
#define FUNCTION_OWN_ROWS 2
/* Fills them from config_fields. */
void config_rows_init(void);

/* A ctl line is a verb and its words. */
struct verb {
	const char *name;
	int min, max; /* words behind it */
	const char *usage;
	int (*run)(const struct place *at, char **words, int count, struct error *err);
};
/* -EINVAL with the usage of what is known, for a line that is none of `verbs` (NULL name ends). */
int verbs_run(const struct verb *verbs, const struct place *at, const char *line, struct error *err);

/* The text of README, from the rows. */
int help_show(const struct place *at, struct buf *out);
/* "reason: text", or nothing. */
int error_show(const struct error *err, struct buf *out);
