/* What copy.h needs for a single file. */
#pragma once

#include "backend/local/copy.h"

#include <sys/stat.h>

/*
 * Opens what O_PATH descriptor `held` is, or -errno; with `lift` also where the owner has taken his own
 * rights away. A directory then has them until copy_close_directory(), as names in it could not be looked up
 * else.
 */
int copy_open(int held, const struct stat *st, int flags, bool lift);
void copy_close_directory(int fd, const struct stat *st, bool lift); /* does not close it */

/* Makes `name` in directory `to` a copy of the regular file `held`. 0 or -errno. */
int copy_file(int held, const struct stat *st, int to, const char *name, struct copying *c);

/* Extended attributes, owner, mode and times of one open file or directory to another. 0 or -errno. */
int copy_attributes(int from, int to, const struct stat *st);
