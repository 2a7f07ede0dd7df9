/* Snapshots of local sandboxes: directories in the sandbox's home. */
#pragma once

#include "backend/local/arguments.h"
#include "backend/local/instance.h"

struct snapshot;

/*
 * HOME/snapshots/NAME/ has root/, or upper/ and view/ where the root is an overlay: a copy of what is so
 * called in HOME; and meta.json. It gets that name when it is whole: until then it is .new-N, and while it is
 * deleted .gone-N.
 */
void local_snapshot(struct backend *b, struct snapshot *n);
void local_snapshot_remove(struct backend *b, struct snapshot *n);
int local_snapshot_root(struct backend *b, struct snapshot *n);

/* Reports what an adopted sandbox has. Core lock held. */
void snapshots_adopt(struct instance *i);
/* What is under way is given up. Core lock held. */
void snapshots_give_up(struct instance *i);
/* The instance goes: what core has of them is gone, or goes. */
void snapshots_free(struct instance *i);
/* Deletes all of a home; waits for whoever copies from one. A thread that may block. 0 or -errno. */
int snapshots_delete(int home);

/* A snapshot somebody starts from. */
struct source {
	int dir;	  /* of it; what locks it, too */
	bool layer;	  /* upper/, to be laid over `image` */
	char image[4096]; /* "host", or a directory */
};

/*
 * Opens snapshot `id` (SANDBOX/NAME); it stays while this is open. -EINVAL, -ENOENT with a sentence.
 * It may be closed by closing `dir`.
 */
int snapshot_open(const struct store *s, const char *id, struct source *ret, struct error *err);
/*
 * Makes the root of a sandbox that starts from one, and adds what is bound into it to `args`. The image in
 * its settings becomes that of the snapshot; with *ret_layer an overlay is to be mounted over that. 0 or
 * -errno with i->error.
 */
int fork_root(struct instance *i, bool network, struct arguments *args, bool *ret_layer);
/* Whether a sandbox with these settings can start from `from`. */
int snapshot_check(const struct store *s, const struct config *c, struct error *err);
