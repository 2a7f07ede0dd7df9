/* The root directory of a sandbox, before bwrap sees it. */
#pragma once

#include "backend/local/arguments.h"
#include "base/error.h"

#include <stdbool.h>

/* "" and "host", or an absolute path of a directory: -EINVAL, -ENOENT, -ENOTDIR, -EACCES with a sentence. */
int image_check(const char *image, struct error *err);
bool image_is_host(const char *image);

/*
 * The host's own programs: fills the empty directory `root` and adds what is bound
 * into it, read-only, to `args`.
 */
int image_host(int root, bool network, struct arguments *args, struct error *err);

/*
 * Makes upper/, work/ and an empty root/ in `home`, for an overlay to be
 * mounted over the image directory, which stays as it is.
 */
int image_overlay(int home, const char *image, bool network, struct error *err);

/* Where no overlay can be mounted: a copy in root/, sharing blocks where the file system can. Undoes
 * image_overlay(). */
int image_copy(int home, const char *image, bool network, struct error *err);

/* Writes a file of at most 1 MiB; shared by the two kinds. */
int image_write(int dir, const char *name, const char *text, struct error *err);
/* hosts, and with the host's network resolv.conf, fresh in the directory `etc`. */
int image_network_files(int etc, bool network, struct error *err);
