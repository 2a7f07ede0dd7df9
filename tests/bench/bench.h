/* What the benchmark is made of: ways to run a program, files of the mount, and looks at processes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Who runs the program; the first is the limit: a bare posix_spawn. */
enum way_number { WAY_SPAWN, WAY_BWRAP, WAY_CRUN, WAY_DOCKER, WAYS };

struct way {
	const char *name;
	bool present;
	const char *prefix[48]; /* words before the program's own; NULL-terminated */
};

struct setting {
	const char *build;   /* where aviatofs and aviatofs-agent are */
	const char *work;    /* a directory of this run alone */
	const char *session; /* of the mount under test */
	const char *box;     /* a sandbox in it; NULL measures the peers alone */
	const char *state;   /* the mount's state directory */
	int daemon;	     /* its pid */
	struct way ways[WAYS];
};

/* From `bench BUILD WORK [--us] [--crun ID] [--docker NAME]`; ends the program when it makes no sense. */
void read_setting(struct setting *s, int argc, char **argv);

/* Says why and ends with status 1: a number from a run that went wrong is worth nothing. */
void fail(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Formatted text, kept for the life of this short program. */
char *text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

double now(void);			  /* seconds, monotonic */
double median(double *values, int count); /* sorts them */

/*
 * posix_spawns prefix + args with stdout in a pipe and reads it to its end (bytes past
 * `size` are dropped). Returns how many were kept, or -1 unless it exited with 0.
 */
ssize_t run_captured(const struct way *w, const char *const *args, char *out, size_t size);

/* Files of the mount: open/write/close, open/read to EOF/close, mkdir, rmdir; failures end the program. */
int open_in(const char *dir, const char *name, int flags);
void put(const char *dir, const char *name, const char *text);
size_t get(const char *dir, const char *name, char *out, size_t size);
void make_directory(const char *path);
void make_in(const char *dir, const char *name);
void remove_in(const char *dir, const char *name);

long memory_of(int pid, const char *field); /* KiB: VmRSS, VmHWM */
int threads_of(int pid);
int find_daemon(const char *mountpoint);
/* The agent of the sandbox that was started last; `state` is where its mount keeps its files. */
int find_agent(const char *state);
