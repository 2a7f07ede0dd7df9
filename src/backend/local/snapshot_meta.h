/* meta.json of a snapshot. */
#pragma once

#include "base/error.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct snapshot_meta {
	char image[PATH_MAX]; /* "host", or a directory */
	bool layer;	      /* upper/ over the image, and not all of a root/ */
	time_t created;
	int64_t bytes;
};

int snapshot_meta_write(int dir, const struct snapshot_meta *m, struct error *err);
/* -ENOENT when there is none, -EINVAL when it is not one of ours. */
int snapshot_meta_read(int dir, struct snapshot_meta *ret, struct error *err);
