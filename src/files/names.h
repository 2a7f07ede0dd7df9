/* Making, moving and removing names in a directory. Names are checked; links are never followed. */
#pragma once

#include <sys/types.h>

int files_mkdir(int dir, const char *name, mode_t mode);
int files_mknod(int dir, const char *name, mode_t mode, dev_t rdev);
int files_symlink(const char *target, int dir, const char *name);
int files_unlink(int dir, const char *name);
int files_rmdir(int dir, const char *name);
/* `flags` as for renameat2(2). */
int files_rename(int dir, const char *name, int newdir, const char *newname, unsigned int flags);
/* `fd` may be O_PATH, and of a symlink. */
int files_link(int fd, int newdir, const char *newname);
