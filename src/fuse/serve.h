/* The mount as the kernel has it: made, served until somebody unmounts it, taken down. */
#pragma once

#include "base/error.h"
#include "fuse/graft/graft.h"

#include <stdbool.h>
#include <sys/types.h>

struct fuse_args;

struct serve_options {
	const char *mountpoint;	     /* absolute */
	struct fuse_args *fuse_args; /* what is passed on to libfuse */
	bool single_threaded;
	bool shared; /* with other users */
	enum graft_memory memory;
	bool passthrough; /* where it is possible, see passthrough.h */
	mode_t umask;
	void (*answering)(void); /* called on a FUSE thread when the mount answers */
};

/* Mounts. The sentence says what is missing: /dev/fuse, fusermount3, the mount point. */
int serve_mount(const struct serve_options *options, struct error *err);

/*
 * Answers the kernel until the mount is gone: unmounted by somebody, or by
 * serve_stop(). Returns 0, or -errno when the connection broke.
 */
int serve_run(void);

/* Ends serve_run(), unmounting first; callable from the loop thread, any number of times. */
void serve_stop(void);

/* After serve_run(): unmounts if that has not happened, and frees. */
void serve_end(void);

/*
 * A mount point whose daemon died answers ENOTCONN to everything. When `path` is
 * such a mount of ours it is unmounted. -EBUSY when a living aviatofs is there.
 */
int serve_clear_mountpoint(const char *path, struct error *err);
