/* What the daemon knows of files that are far away. All of it is guarded by the core lock. */
#pragma once

#include "base/list.h"
#include "channel/file_calls.h"
#include "fuse/far/far.h"
#include "fuse/graft/index.h"
#include "fuse/graft/nodes.h"

#include <limits.h>
#include <sys/stat.h>

struct far_node;
struct far_dir;

struct far {
	unsigned int refs;	  /* the graft's, and those of requests */
	struct graft *graft;	  /* NULL once it is gone */
	struct sandbox *sandbox;  /* a reference */
	struct file_calls *calls; /* the sandbox's */
	struct far_node *root;
	uint64_t last_handle;
	struct list dirs; /* far_dir, the least recently used first */
	size_t dir_count;
	size_t remembered;     /* bytes, in all of them */
	size_t ahead;	       /* bytes read ahead of programs */
	struct list signalled; /* far_op whose programs got a signal meanwhile */
	struct index watches;  /* far_node by the agent's number of its watch */
	/* What was heard from `since` to `until` answers one question: see far_answered(). */
	uint64_t last_question, question, since, until;
	bool root_asked; /* its numbers are known, or soon are */
	bool ended;
};

/*
 * A file, as long as the kernel knows it or a request is about it. The agent
 * knows files by handles we choose; a node has one only while it needs it (a
 * directory with a listing, an open file), else it is found again by its place:
 * the name it was last seen under. What stands there then may be another file:
 * that is ESTALE, and the kernel looks again.
 */
struct far_node {
	struct far *far;
	struct graft_node *node; /* NULL once the kernel has forgotten it */
	unsigned int refs;
	struct far_node *place; /* the directory, with a reference; NULL for the root, and without a name */
	unsigned int children;	/* whose place it is: so many of `refs` */
	char *name;
	dev_t dev;
	ino_t ino;
	mode_t type;
	uint64_t handle; /* valid if has_handle */
	bool has_handle;
	bool has_attr;		 /* `attr` holds, as long as it is watched itself */
	bool incapable;		 /* the same: it has no capabilities, */
	int allowed;		 /* and the agent's user may do this to it (R_OK and the like) */
	bool stale;		 /* what it was last given a handle of is another file */
	bool nameless;		 /* its handle is all there is to find it by */
	struct far_entry *entry; /* what its directory's listing says of it, or NULL */
	struct far_dir *dir;	 /* of a directory: its listing, or NULL */
	uint64_t restless;	 /* of a directory: the hash of a name, */
	uint64_t restless_until; /* and when far_dir_restless() of it is over, ms */
	struct list files;	 /* far_file of it */
	struct hashed by_watch;
	uint32_t watch; /* the agent's number; 0: it does not watch */
	bool unwatched; /* it said so when it was asked for it last */

	/* --- Of regular files --- */
	struct list flushing; /* far_op that wait for changes */
	uint64_t given, done; /* changes sent without waiting for their answer, and their answers */
	uint64_t changing;    /* bytes of data of those under way */
	struct list room;     /* far_op that wait for fewer */
	int error;	      /* the first failure of one of those that nobody was told of yet */
	bool ours;	      /* made through this mount: its owner is the agent's user */
	pid_t giver;	      /* the thread that asked for its capabilities, and for nothing since; or 0 */
	struct stat attr;     /* as the agent said last, with later changes of ours */
	struct stat pages;    /* what it was when the kernel began to keep its pages */
	bool has_pages;
	uint64_t drops; /* times that what was read of it was found to be old */
};

/* The root's device number is what all others are told apart by: asked for before anything else. */
void far_learn_root(struct far *far);

struct far *far_ref(struct far *far);
void far_unref(struct far *far);

struct far_node *far_node_ref(struct far_node *n);
void far_node_unref(struct far_node *n);
static inline struct far_node *far_node(const struct graft_node *node)
{
	return node->far;
}

/* In `far_node_gone` of the graft: the kernel has forgotten it. No lock held. */
void far_node_gone(void *node_far);

/*
 * The node of what is `name` in `dir` (NULL: a file that has no name), one more lookup counted; NULL without
 * memory. To be called only while a request of the kernel's holds `dir`.
 */
struct far_node *far_node_get(struct far_node *dir, const char *name, const struct stat *st);
/* It was seen under this name, or moved there. */
void far_node_place(struct far_node *n, struct far_node *dir, const char *name);
/* Sees to it that the agent has a handle of it by the time it works what is sent next. 0 or -ENOMEM. */
int far_node_need(struct far_node *n);
/* It needs no handle any more, unless it is open, or has a listing. */
void far_node_relax(struct far_node *n);
/* The agent has this one of it, from an answer: it is the node's now, or not needed. */
void far_node_take_handle(struct far_node *n, uint64_t handle);
/* The agent does not know its handle any more. */
void far_node_lose(struct far_node *n);
uint64_t far_new_handle(struct far *far);

/* Whether these are attributes of it; of the root any directory's are, it cannot be replaced. */
bool far_node_is(const struct far_node *n, const struct stat *st);

/* The agent watches it under this number (0: no more): what was known before is forgotten. */
void far_node_watch(struct far_node *n, uint32_t watch);
/* The first, or the next, that is watched so: a directory may be known under two names. */
struct far_node *far_node_watched(struct far *far, uint32_t watch, struct far_node *after);

/* Attributes as shown: st_ino our own, links of one name. A symlink's size is set elsewhere. */
void far_show(const struct far *far, struct stat *st);

/* --- What is remembered of directories --- */

enum far_what {
	FAR_UNKNOWN, /* something may be there: the agent has to be asked */
	FAR_ABSENT,
	FAR_PRESENT,
};

struct far_entry {
	struct hashed by_name; /* of dir->entries */
	struct list link;      /* of dir->order */
	struct far_dir *dir;
	struct far_node *node; /* the kernel's, if it looked it up here; not counted */
	enum far_what what;
	bool has_attributes;
	bool identified; /* it is the file `attr` tells of, whatever else of that may be different by now */
	bool plain; /* no extended attributes, as long as the directory is watched, or `attr` may be believed
		     */
	uint32_t round;
	uint64_t news; /* when `attr` was had, for what is not watched */
	uint64_t when_ms;
	struct stat attr;
	char *text; /* of a symlink, as it is stored; NULL: not known */
	char name[];
};

/* A directory's listing; it belongs to the far_node, until there are too many. */
struct far_dir {
	struct far_node *owner;
	struct list lru; /* of far->dirs */
	struct index entries;
	struct list order;
	size_t bytes;
	unsigned int unknown;
	bool complete;	  /* a name that is not listed is absent */
	bool fetching;	  /* READDIR is under way */
	bool disturbed;	  /* since it began, changes may have gone unheard */
	bool cleared;	  /* the same, of what it had brought */
	bool whole;	  /* the latest got to the end with all it brought */
	bool ahead;	  /* only the beginning is wanted, */
	bool asked_ahead; /* and that was done once */
	bool begun;	  /* it has come as far as `position`, and nothing went unheard since */
	uint64_t news;	  /* when its beginning was had, for what is not watched */
	uint64_t when_ms;
	size_t used; /* look-ups of names in it since the latest fetch, where it is not watched */
	uint64_t position;
	uint64_t fetched_for;	     /* the number of the latest fetch */
	uint32_t round;		     /* of fetches: an entry of an earlier one was not listed by the latest */
	int error;		     /* of the latest */
	struct list waiting;	     /* far_op for its end */
	struct far_listing *listing; /* names in order, made at need; NULL when out of date */
};

/* Names, as they were at some time; shared by those who read it. */
struct far_listing {
	unsigned int refs;
	size_t count;
	struct {
		ino_t ino;
		mode_t type;
		uint32_t name; /* offset in `names` */
	} * at;
	char *names;
};

#define FAR_REMEMBER_MAX (64u << 20) /* bytes of listings per sandbox */
#define FAR_DIRS_MAX	 8000	     /* listings: the agent has a descriptor and a watch for each */
#define FAR_LISTING_MAX	 (64u << 20) /* bytes of one listing: more is not listed */
#define FAR_NEWS_MS	 1000	     /* how long what is not watched may be believed when nothing is heard */

uint64_t far_now_ms(void); /* coarse, by CLOCK_MONOTONIC */

/* Makes it, without entries, if there is none. NULL: no memory. Marks it used. */
struct far_dir *far_dir_get(struct far_node *n);
/* Its listing begins to come: what is not in it is absent, as of now. */
void far_dir_listed(struct far_dir *d);
/* Forgets what is in it. */
void far_dir_clear(struct far_dir *d);
/* Believes nothing that is in it; what a fetch under way has brought so far is kept for who waits for it. */
void far_dir_doubt(struct far_dir *d);
/* Forgets all of it. */
void far_dir_free(struct far_dir *d);
/* Frees what was not used for long, down to the limit, except `keep`. */
void far_dirs_trim(struct far *far, const struct far_dir *keep);

struct far_entry *far_entry_find(struct far_dir *d, const char *name);
/* What the agent said of a name; `text` is copied. The node that is known there goes on to be, if it is that
 * file. */
struct far_entry *far_entry_put(struct far_dir *d, const char *name, enum far_what what,
				const struct stat *st, const char *text, bool plain);
/* Of one without attributes: its number and type. */
void far_entry_hint(struct far_dir *d, const char *name, const struct stat *st);
void far_entry_drop(struct far_entry *e);
/* It is not its node's any more. What has no watch of its own was heard of by this name alone. */
void far_entry_part(struct far_entry *e);
/* Attributes may be believed. */
bool far_entry_fresh(const struct far_entry *e);
/*
 * What is not watched may be believed as long as nothing else is heard, from which somebody could know
 * better. Answers to one question come one behind the other, and all hold when the last has come: each of
 * them says so.
 */
uint64_t far_new_question(struct far *far);
void far_answered(struct far *far, uint64_t question);
/* An answer that tells of no file. */
void far_answered_idly(struct far *far);
/* The name is known to be absent, or its entry fresh: 0 with *ret NULL or set. -EAGAIN: the agent has to be
 * asked. */
int far_dir_know(struct far_node *dir, const char *name, struct far_entry **ret);
/* The same for a look-up: an entry's attributes may be old where it is a directory's. */
int far_dir_find(struct far_node *dir, const char *name, struct far_entry **ret);
/* Whether extended attributes may be among it: those we set ourselves are seen to where that is done. */
static inline bool far_xattrs_changed(uint32_t what)
{
	return what & FILE_CHANGED_ENTRY || (what & FILE_CHANGED_ATTR && !(what & FILE_CHANGED_OWN));
}
/* Something is different about the name: `what` as in a struct file_changed. */
void far_dir_changed(struct far_dir *d, const char *name, uint32_t what);
/* Of a file: what is remembered of its attributes is no longer true, or is this from now on. */
void far_forget_attributes(struct far_node *n);
void far_forget_xattrs(struct far_node *n);
void far_set_attributes(struct far_node *n, const struct stat *st);
/* Known to have no extended attributes. */
bool far_is_plain(const struct far_node *n);
/* As the agent said last, if that may be believed. */
bool far_attributes(const struct far_node *n, struct stat *ret);

/*
 * What was looked up under this name was another file by the time it was used. Whoever asked looks again, and
 * for a while gets what it finds there together with a handle, so that it may be replaced as often as it
 * likes.
 */
void far_dir_restless(struct far_node *dir, const char *name);
bool far_dir_is_restless(const struct far_node *dir, const char *name);

struct far_listing *far_listing_of(struct far_dir *d);
void far_listing_unref(struct far_listing *l);
