/* Attributes of what a descriptor refers to; it may be O_PATH, and a symlink is never followed. */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <time.h>

int files_stat(int fd, struct stat *ret);
/* Of `name` in `dir`, a name that files_check_name() lets pass; never of what a link leads to. */
int files_stat_child(int dir, const char *name, struct stat *ret);
int files_statfs(int fd, struct statvfs *ret);
/* Whether the caller's user may; `mask` as for access(2). */
int files_access(int fd, int mask);

/* What to change; start from FILES_CHANGE_NOTHING. */
struct files_change {
	bool set_mode, set_size;
	mode_t mode;
	uid_t uid; /* (uid_t)-1: as it is */
	gid_t gid;
	off_t size;
	int data_fd;		  /* open for writing, for the size; -1: opened for the purpose */
	struct timespec times[2]; /* atime, mtime; UTIME_NOW and UTIME_OMIT allowed */
};
#define FILES_CHANGE_NOTHING                                                                                 \
	{                                                                                                    \
		.uid = (uid_t)-1, .gid = (gid_t)-1, .data_fd = -1, .times = {                                \
			{.tv_nsec = UTIME_OMIT},                                                             \
			{.tv_nsec = UTIME_OMIT}                                                              \
		}                                                                                            \
	}

/* In the order owner, mode, size, times; stops at the first failure. -EOPNOTSUPP: mode of a symlink. */
int files_change(int fd, const struct files_change *change);

/* As the system calls of these names, on a symlink itself where `fd` is one. The sizes are in bytes. */
int files_setxattr(int fd, const char *name, const void *value, size_t size, int flags);
ssize_t files_getxattr(int fd, const char *name, void *value, size_t size);
ssize_t files_listxattr(int fd, char *names, size_t size);
int files_removexattr(int fd, const char *name);
/* Whether the file called `name` (one component) in the directory `dir` has none; false where it cannot be
 * told. */
bool files_child_is_plain(int dir, const char *name);
