/*
 * Files of a sandbox without an agent: the requests of channel/file_protocol.h,
 * worked one after another by a helper, which also says that this mount uses the
 * sandbox; where there is no shell for it, see whole.h. Nothing is watched, and nothing kept: what is asked
 * again is looked at again. Loop thread only.
 */
#pragma once

#include "backend/aviato/stand_in/stand_in.h"

/* NULL: out of memory. */
struct stand_in_files *stand_in_files_open(struct stand_in *s);
/* Whatever is under way goes without a word. Harmless on NULL. */
void stand_in_files_close(struct stand_in_files *files);
/* MSG_FILE and MSG_PROGRAMS. */
void stand_in_files_take(struct stand_in_files *files, const struct frame *f);

/* --- Among the files about it --- */

#include "backend/aviato/stand_in/handles.h"
#include "backend/aviato/stand_in/shell.h"
#include "backend/aviato/stand_in/output.h"
#include "channel/file_protocol.h"

#include <linux/limits.h>

/* One request, until it is answered. */
struct file_work {
	struct list link;
	struct stand_in_files *files;
	uint32_t tag;
	bool programs; /* it is a MSG_PROGRAMS, of which `path` and `name` are */
	char *path, *name;
	void *payload; /* the fields of `q` are into it */
	struct file_request q;
	bool again; /* it was asked before, of a helper that did not answer */
	/* The answer */
	struct file_reply reply;
	struct buf rest;
	char text[PATH_MAX];
};

struct stand_in_files {
	struct stand_in *stand_in;
	struct handles handles;
	struct list waiting,
	    running; /* struct file_work; the helper has the latter, and answers in their order */
	unsigned running_count;
	struct helper *helper;
	struct whole *whole;  /* instead of it, where there is no shell; or NULL */
	struct delay *delay;  /* until there is to be one again, whether anybody asks or not */
	unsigned pause_ms;    /* the next one */
	uint64_t vain;	      /* bytes looked through for an answer whose end had not come */
	bool held;	      /* what follows goes by the answer to the last one */
	struct list listings; /* begun and not read to the end; the newest last */
	unsigned listing_count;
};

/* Answers it, and frees it. */
void file_work_answered(struct file_work *w, int error);
/* Without an answer. */
void file_work_free(struct file_work *w);

/* One line for the helper. */
struct file_words {
	struct buf line;
	int failed; /* -ENOMEM, -EFBIG */
};
void file_words_add(struct file_words *w, const char *text);
void file_words_add_number(struct file_words *w, uint64_t number);

/* --- requests.c --- */

#define FILE_WORK_DONE 1 /* nothing is to be asked */

/* 0, FILE_WORK_DONE or -errno. */
int file_work_ask(struct file_work *w, struct file_words *words);
/* Whether it only looks, so that it may be asked twice. */
bool file_work_looks(const struct file_work *w);
/* Whether what follows goes by its answer. */
bool file_work_holds(const struct file_work *w);
/* Gives the path the numbers that the request has for what it finds, makes or opens there. */
int file_work_number(struct file_work *w, const char *path);
/* Of a name in it; -ENAMETOOLONG. */
int file_child_path(const struct held *dir, const char *name, char ret[PATH_MAX]);

/* --- answers.c --- */

/* 0 with w->reply, or -errno; -EPROTO: as helper_attr(), and nothing has been done. */
int file_work_answer(struct file_work *w, struct helper_output *o);
/* It was not done: numbers it was to give are none. */
void file_work_undo(struct file_work *w, int error);
/* As `depth` has it, or -errno. */
int file_work_text(uint32_t depth, const uint8_t *raw, uint32_t len, char ret[PATH_MAX]);

/* --- listing.c --- */

int file_work_ask_list(struct file_work *w, struct file_words *words);
int file_work_answer_list(struct file_work *w, struct helper_output *o);
void file_listings_drop(struct stand_in_files *files, uint64_t handle);
void file_listings_drop_all(struct stand_in_files *files);
