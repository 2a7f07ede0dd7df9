/* Opening the data of regular files, and of nothing else. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/*
 * A descriptor for the data of the regular file `fd` (O_PATH) refers to. Of `flags` the access mode,
 * O_APPEND, O_TRUNC, O_SYNC, O_DSYNC and O_NOATIME count. Never waits: neither for the other end of a
 * FIFO (-ENXIO, as for sockets; devices give -EACCES), nor for a lease the sandbox holds (-EAGAIN), nor
 * will a read of what may wait, as some files of procfs do (it gives EAGAIN).
 */
int files_open(int fd, int flags);

/*
 * Makes and opens `name` in `dir`; unless O_EXCL is among the flags, a regular file that is there
 * already is opened as by files_open(). -ESTALE when something else is there: the caller looks again.
 */
int files_create(int dir, const char *name, int flags, mode_t mode);

/* Makes and opens a file without a name in `dir`; O_EXCL among the flags: it will never get one. */
int files_tmpfile(int dir, int flags, mode_t mode);

/* pwrite(2) at `off`, which of a descriptor that appends pwrite() itself is not. -errno. */
ssize_t files_write_at(int fd, const void *data, size_t size, off_t off);

/* At its end, whether or not the descriptor appends. -errno. */
ssize_t files_append(int fd, const void *data, size_t size);

/* A directory for listing. */
int files_open_dir(int fd);

/* Whether it is on procfs, sysfs or the like, whose files have no true size and change unseen. */
bool files_is_live(int fd);
