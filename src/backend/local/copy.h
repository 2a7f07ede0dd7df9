/* Copies file trees: of images, and those that a sandbox has filled and may be changing. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct copying {
	/* Asked now and then; true: give up with -ECANCELED. NULL: never. */
	bool (*unwanted)(void *arg);
	void *arg;
	/* Modes by which this user keeps himself out of the source are lifted for the time of a read. */
	bool lift;
	uint64_t bytes; /* of disk space that the copies say they take; blocks may be shared */
};

/*
 * Copies what is below directory `from` into the empty directory `to`, and what `from` itself is like.
 * In `home`, a directory of the same file system, each file with several names keeps one meanwhile: in
 * `links`, which nobody else has. No link is followed and no mount crossed, devices and sockets are left out
 * (but for the whiteouts of overlayfs), and what vanishes on the way is not missed. Blocks are shared
 * where the file system can. Owners, attributes, modes and times are kept as far as this user may.
 * 0 or -errno with a sentence.
 */
int copy_tree(int from, int to, int home, struct copying *c, struct error *err);
