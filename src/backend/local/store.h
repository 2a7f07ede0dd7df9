/* The state directory: one directory per sandbox, and the locks that say whose it is. */
#pragma once

#include "base/error.h"

#include <limits.h>
#include <stdbool.h>

/*
 * STATE/SOURCE/ID. Three flocks, all dropped by the kernel when their holder dies:
 * - ID/lock: exclusive, held by the daemon that owns the sandbox, for its whole life;
 * - STATE/SOURCE: shared, held by every daemon that uses it, so that it is removed by the last;
 * - STATE: shared while a sandbox directory is born, exclusive while they are scanned, so that a
 *   scan never takes a directory whose maker has not locked it yet.
 */
struct store {
	int dir;    /* STATE/SOURCE */
	int base;   /* STATE */
	char *path; /* of `dir`, absolute */
};

/* The directory of one sandbox; -1 when closed. */
struct home {
	int dir;
	int lock;
};

#define HOME_NONE ((struct home){-1, -1})

/* Where it is for this user when nobody says otherwise. */
int store_default_path(char out[PATH_MAX], struct error *err);
/* `state_dir` NULL: the default. Refuses a directory others can reach. */
int store_open(const char *state_dir, const char *source, struct store *ret, struct error *err);
/* Removes the directories too when nothing is in them. */
void store_close(struct store *s);

/* Makes ID/, locked. */
int store_create(struct store *s, const char *id, struct home *ret, struct error *err);

/*
 * Calls `each` for every directory that no living mount owns, with its lock
 * taken; `each` owns the home from there.
 */
void store_scan(struct store *s, void (*each)(void *arg, const char *id, struct home home), void *arg);

/* The same for one of them: 0, -ENOENT, -EWOULDBLOCK when a living mount owns it, or another -errno. */
int store_take(struct store *s, const char *id, struct home *ret);

void home_close(struct home *h);

/* Whether `id` has the form of a sandbox's id. */
bool store_valid_id(const char *id);
