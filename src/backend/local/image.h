/* The root directory of a sandbox, before bwrap sees it. */
#pragma once

#include "backend/local/arguments.h"
#include "backend/local/copy.h"
#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

/* "" and "host", or an absolute path of a directory: -EINVAL, -ENOENT, -ENOTDIR, -EACCES with a sentence. */
int image_check(const char *image, struct error *err);
bool image_is_host(const char *image);

/*
 * The host's own programs: fills the empty directory `root` and adds what is bound
 * into it, read-only, to `args`. With `again` it is a copy of one that a sandbox has had: it stays
 * as it is, but for what is bound into it.
 */
int image_host(int root, bool network, bool again, struct arguments *args, struct error *err);

/*
 * What is laid over the image directory `lower` before a sandbox begins, into `target`: an upper layer, a
 * copy of the image (then they are the same), or an empty directory.
 */
int image_ours(int target, int lower, bool network, struct error *err);

/* What a directory image's root, or the upper layer of one, must have where it is a copy of another
 * sandbox's. */
int image_again(int root, bool network, struct error *err);

/* Sees to it that NAME is a directory, and none that a link leads to. `mode` is for a new one. 0 or -errno.
 */
int image_real_directory(int dir, const char *name, mode_t mode);

/*
 * Makes upper/, work/ and an empty root/ in `home`, for an overlay to be
 * mounted over the image directory, which stays as it is.
 */
int image_overlay(int home, const char *image, bool network, struct error *err);

/*
 * Where no overlay can be mounted: a copy in root/, sharing blocks where the file system can, of what is on
 * the image's own file system. Undoes image_overlay(). -ECANCELED when it is no longer wanted.
 */
int image_copy(int home, const char *image, bool network, struct copying *c, struct error *err);

/* Writes a file of at most 1 MiB; shared by the two kinds. */
int image_write(int dir, const char *name, const char *text, struct error *err);
/* hosts, and with the host's network resolv.conf, fresh in the directory `etc`. */
int image_network_files(int etc, bool network, struct error *err);
/* The second alone, in place of whatever is there. */
int image_resolver(int etc, bool network, struct error *err);
