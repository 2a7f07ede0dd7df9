/* Where the programs are that come with this one. */
#pragma once

#include <limits.h>

/*
 * The path of `name`, which may be used as `mode` says (access(2)): beside this program, which is how it runs
 * from a build tree; else where `make install` puts it. -ENOENT where it is in neither, and then `ret` is the
 * latter.
 */
int installed_path(const char *name, int mode, char ret[PATH_MAX]);
