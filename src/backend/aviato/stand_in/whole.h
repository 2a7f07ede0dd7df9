/*
 * Files of a sandbox without a shell: the requests of channel/file_protocol.h, by ReadFile and WriteFile,
 * which read and write a file whole. What is known of a path is what ReadFile says of it. Requests about one
 * path are worked one after another, in their order; those about several at the same time. Loop thread only.
 */
#pragma once

#include "backend/aviato/stand_in/files.h"

struct whole;

/* NULL: out of memory. */
struct whole *whole_open(struct stand_in_files *files);
/* Whatever is under way goes without a word. Harmless on NULL. */
void whole_close(struct whole *whole);
/* Takes it off the list it is on, and sees to it that it is answered. */
void whole_take(struct whole *whole, struct file_work *w);

/* --- Among the files about it --- */

#include "backend/aviato/request.h"

#define WHOLE_FILE_MAX	(32u << 20) /* bytes of one file; or what the service takes, if that is less */
#define WHOLE_BYTES_MAX (128u << 20)
#define WHOLE_KEEP_MS	1000u /* how long the last look may be believed */

/* A path that is looked at, or open. */
struct whole_file {
	struct list link;
	unsigned refs; /* work under way, and openings */
	unsigned writers;
	struct whole_call *call; /* the work that is under way; others wait */
	/* What ReadFile said, or what was stored since */
	bool there;
	mode_t type;	  /* S_IFREG or S_IFDIR */
	uint64_t size;	  /* where it has no content here */
	uint64_t told;	  /* by commands, when it was asked: what they said since may be news */
	bool has_content; /* as it is there; openings go on with what they had */
	struct buf content;
	bool dirty;  /* not stored yet */
	bool proven; /* it was stored through an opening that is still there: so it may be again */
	char path[];
};

/* A request that is worked. */
struct whole_call {
	struct list link;
	struct whole *whole;
	struct file_work *work;
	struct whole_file *file;
	struct request request;
	uint64_t told;
	bool empty; /* what is being stored is nothing, and not the content */
	bool looked, stored, applied;
	int error;	  /* of ReadFile or WriteFile */
	struct error why; /* its sentence, if it has one; code 0: it needs none */
};

struct whole {
	struct stand_in_files *files;
	struct list known;   /* struct whole_file */
	struct list opens;   /* struct whole_opening */
	struct list waiting; /* struct file_work */
	struct list running; /* struct whole_call */
	unsigned running_count;
	struct whole_file
	    *latest; /* looked at: it may be believed until anything else is heard, and not for long */
	struct delay *expiry;
	size_t most; /* bytes of one file */
};

/* --- whole_file.c --- */

#define WHOLE_UNDER_WAY 1 /* the work is gone on with when the answer is here */

/* NULL: out of memory. One more reference. */
struct whole_file *whole_file_get(struct whole *whole, const char *path);
void whole_file_put(struct whole *whole, struct whole_file *f);
/* 0 when it is known what is there; WHOLE_UNDER_WAY; -ENOENT, or what the service says. */
int whole_look(struct whole_call *c);
/* The same, of a file with its content. */
int whole_load(struct whole_call *c);
/* Stores the content, or nothing at all: 0 when it is stored, WHOLE_UNDER_WAY, or -errno. */
int whole_store(struct whole_call *c, bool empty);
/* Nothing is known of it. */
void whole_forget(struct whole *whole, struct whole_file *f);
/* Gives it a size; 0 or -EFBIG, -ENOMEM. */
int whole_resize(struct whole_call *c, uint64_t size);
void whole_attr(const struct whole_file *f, struct stat *ret);
/* Of a directory that was not looked at. */
void whole_directory_attr(const char *path, struct stat *ret);

/* --- whole.c --- */

/* An answer has come. */
void whole_go_on(struct whole_call *c);
