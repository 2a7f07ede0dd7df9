/*
 * What the agent does about files (channel/file_protocol.h).
 *
 * Each operation has two steps. `act` changes something; then what was noticed meanwhile is told; then
 * `tell` looks at what is there and fills the reply. So everything a reply says was read after the last
 * notice before it, and a daemon that keeps it keeps nothing stale.
 */
#pragma once

#include "agent/agent.h"
#include "channel/file_protocol.h"

struct files_list;

#define WATCHES_MAX	  8192u	 /* what is used the longest ago goes first */
#define LISTINGS_MAX	  16u	 /* directories that are open to be listed on */
#define NOTICES_MAX	  32768u /* in one go; a sandbox that makes more is not heard in detail */
#define FILES_BUDGET_MS	  4u	 /* of a round; then the processes have their turn */
#define LISTING_BUDGET_MS 10u	 /* of one answer */
#define LISTING_LEAST	  256u	 /* entries that are looked at however long that takes */
#define HANDLE_BUCKETS	  1024u
#define WATCH_BUCKETS	  1024u

/* A file the daemon knows by a number of its own. */
struct known_file {
	struct list by_number;
	struct list open_list; /* of files.listings, while `list` is there */
	uint64_t number;
	int fd; /* O_PATH, or open for data */
	bool data, live;
	mode_t type;
	int wd; /* its own watch, if that still has this number */
	uint32_t watch;
	uint64_t dir; /* the directory it was found in, under this name; name NULL: not known */
	char *name;
	struct files_list *list; /* of a directory that is being listed, and its descriptor */
	int list_fd;
};

/* What the kernel watches for us. */
struct file_watch {
	struct list by_wd, used; /* of files.watches and files.used */
	int wd;
	uint32_t number; /* the daemon's */
};

/* A request that was done, until its answer is acknowledged. */
struct file_done {
	uint64_t sequence;
	uint64_t fresh, fresh_file; /* the handles it was to make */
	uint32_t error;
	bool again;	   /* it changes nothing: done again when it is sent again */
	bool running;	   /* on a thread of its own */
	struct buf answer; /* else what it was told */
};

struct files {
	int root;
	uint64_t life;	   /* the daemon's; 0: no daemon can resume */
	uint64_t sequence; /* of the latest request begun; 0: none */
	uint64_t acknowledged;
	struct known_file top;
	struct list handles[HANDLE_BUCKETS];
	unsigned count, most;
	struct list listings; /* file_handle, the one used last at the end */
	unsigned listing_count;
	struct watch notify; /* inotify; fd -1: none */
	bool notify_paused;
	struct list watches[WATCH_BUCKETS], used;
	unsigned watch_count;
	uint32_t last_number;
	struct file_changed told; /* the last notice, if no request came since; watch 0 else */
	struct file_done done[FILE_WINDOW];
	struct list jobs; /* struct file_job */
	unsigned job_count;
	struct watch jobs_done; /* the end of a pipe; fd -1: there is none yet */
	int jobs_end;		/* the other one, for threads */
};

/* An operation at work. Steps return 0 or -errno. */
struct file_work {
	struct agent *a;
	struct files *files;
	const struct file_request *q;
	struct file_reply reply;
	struct known_file *handle; /* of q->handle, where it has one */
	struct buf rest;	   /* a list, or what reply.data points to */
	char text[FILE_TEXT_BYTES + 1];
	int made; /* a descriptor on its way from `act` to `tell`, or -1 */
};
typedef int file_step(struct file_work *w);
struct file_operation {
	file_step *act, *tell; /* NULL: nothing to do */
	bool again;	       /* see file_done */
};
extern const struct file_operation file_operations[FILE_OPS];

/* handles.c */
struct known_file *file_handle_find(struct files *files, uint64_t number);
/* Takes `fd`, also when it fails: -ENFILE, -ENOMEM, or -EEXIST for a number that is taken. */
int file_handle_add(struct files *files, uint64_t number, int fd, struct known_file **ret);
/* It was found there. */
void file_handle_place(struct known_file *h, uint64_t dir, const char *name);
void file_handle_drop(struct files *files, struct known_file *h);
void file_handles_drop(struct files *files);
/* A directory's listing, kept open between requests. -errno. */
int file_handle_list(struct files *files, struct known_file *h, struct files_list **ret);
void file_handle_unlist(struct files *files, struct known_file *h);

/* watches.c */
/* The number under which changes of it are told from now on; 0: they may stay unnoticed. */
uint32_t files_watch(struct agent *a, struct known_file *h);
/* Tells what was noticed. `q`: what was worked on meanwhile, or NULL. */
void files_notices(struct agent *a, const struct file_request *q);
void files_unwatch(struct files *files); /* all, and nobody is told */

/* What came of a job. */
struct file_result {
	int rc;
	int opened;	/* by OPEN, to be taken; or -1 */
	uint64_t value; /* by COPY_RANGE */
};

/* jobs.c */
/* Before it is worked: what changes the same file has ended. */
void file_jobs_settle(struct agent *a, const struct file_request *q);
/* Whether it is done on a thread from here on, and answered by files_job_done(). */
bool file_job_begin(struct agent *a, const struct file_request *q, uint32_t tag);
/* It was sent again, while it is: to be answered under this tag. False: it is not. */
bool file_job_again(struct files *files, uint64_t sequence, uint32_t tag);
/* Closes it. Should it be the last of a large file without a name, nobody waits for that. */
void file_job_close(int fd);
void file_jobs_lost(struct files *files);   /* whoever asked is gone, and may ask again */
void file_jobs_forget(struct files *files); /* and will not */
void file_jobs_end(struct files *files);    /* waits for all */
/* files.c: `q` was done, with this result; `wanted`: by who is connected, under this tag. */
void files_job_done(struct agent *a, const struct file_request *q, uint32_t tag, bool wanted,
		    struct file_result *result);

/* names.c, attributes.c, data.c, lists.c: the steps of the operations */
file_step tell_lookup, tell_readlink, act_mknod, act_mkdir, act_symlink, act_link, tell_made, act_unlink,
    act_rmdir, tell_parent, act_rename, tell_renamed;
file_step tell_attrs, tell_access, tell_statfs, tell_xattr, tell_xattrs, act_setattr, act_setxattr,
    act_removexattr, tell_attr;
file_step act_open, tell_open, act_create, tell_created, act_tmpfile, tell_tmpfile, act_opendir, tell_read,
    act_write, act_fsync, act_fallocate, tell_seek, act_copy, act_release;
file_step tell_entries;

/* Modes come with the umask of whoever asked already applied; ours, which this puts back, is for the
 * commands. */
static inline int file_mask_back(mode_t mask, int rc)
{
	umask(mask);
	return rc;
}

/* These touch nothing of the agent's, for threads. 0 or -errno. */
/* As far as it gets in that time, and *ret says how far. */
int file_copy(const struct file_request *q, int from, int to, uint64_t budget_ms, uint64_t *ret);
/* `data`: open for writing, for a new size; or -1. */
int file_setattr(const struct file_request *q, int fd, int data);

/* Makes the handle OPEN is to make, of w->handle; takes `fd`, also when it fails. 0 or -errno. */
int file_opened(struct file_work *w, int fd);

/* What a symlink says, for q->depth, into w->text and the reply. `dir`: the directory it is in. */
int file_link_text(struct file_work *w, int dir, int link);
