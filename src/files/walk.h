/* Reaching files below a root descriptor, one checked name at a time. */
#pragma once

#include <limits.h>
#include <stdbool.h>

#define FILES_NAME_MAX 255 /* bytes */

/* 0 for one ordinary path component; -EINVAL for "", ".", ".." or a slash, -ENAMETOOLONG. */
int files_check_name(const char *name);

/*
 * An O_PATH descriptor of `name` in `dir`; a symlink gives the link itself. Mount points are crossed.
 * -errno otherwise.
 */
int files_child(int dir, const char *name);

/*
 * An O_PATH descriptor of the directory `path` leads to, for a process whose root directory is `root`.
 * Symlinks are followed inside that root, magic links (/proc/PID/root) are not. -errno otherwise.
 */
int files_resolve(int root, const char *path);

/*
 * Where `fd` is below `root`: names without a leading slash, "" for the root itself. `out` holds PATH_MAX
 * bytes. -ENOENT when it is not below the root, -ENAMETOOLONG.
 */
int files_where(int root, int fd, char *out);

/* A path that names what a descriptor refers to, for system calls that want a path. */
struct files_self {
	char path[32];
};
struct files_self files_self(int fd);
