#include "backend/local/remove.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)

/*
 * A tree may be deeper than there are descriptors, and nothing runs in it any
 * more. So only the top and the directory at work are open: a subdirectory
 * that is not empty is first moved up into the top, under a name of its own,
 * and emptied there in its turn. No path is longer than two names.
 */
struct removal {
	int top;
	dev_t device;
	unsigned long moved; /* names given out so far */
	int failed;	     /* the first -errno */
};

static void note(struct removal *r, int code)
{
	if (!r->failed)
		r->failed = -code;
}

static int open_directory(int at, const char *name)
{
	int fd = openat(at, name, OPEN_DIR);

	if (fd >= 0 || errno != EACCES)
		return fd;
	/* A sandbox of this user's own may have taken the rights away. */
	if (fchmodat(at, name, 0700, 0))
		return -1;
	return openat(at, name, OPEN_DIR);
}

/* Moves directory NAME of `from` up into the top. */
static bool move_up(struct removal *r, int from, const char *name)
{
	char fresh[32];

	snprintf(fresh, sizeof fresh, ".removing-%lu", r->moved);
	while (renameat(from, name, r->top, fresh)) {
		/* A directory may only be moved by who may write it: its ".." changes. */
		if (errno == EACCES && fchmodat(from, name, 0700, 0) == 0 &&
		    renameat(from, name, r->top, fresh) == 0)
			break;
		if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR)
			return false;
		/* The sandbox has used our name. */
		snprintf(fresh, sizeof fresh, ".removing-%lu", ++r->moved);
	}
	r->moved++;
	return true;
}

static void remove_entry(struct removal *r, int dir, const char *name, bool *ret_moved)
{
	struct stat st;

	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW)) {
		note(r, errno);
		return;
	}
	if (!S_ISDIR(st.st_mode) || st.st_dev != r->device) {
		note(r, EBUSY);
		return;
	}
	if (unlinkat(dir, name, AT_REMOVEDIR) == 0)
		return;
	if (dir != r->top && move_up(r, dir, name))
		*ret_moved = true;
	else if (dir != r->top)
		note(r, errno);
}

/* One pass over a directory that is open as `fd`, which is consumed. */
static void empty(struct removal *r, int fd, bool *ret_moved)
{
	DIR *stream = fdopendir(fd);
	struct dirent *entry;

	if (!stream) {
		note(r, errno);
		close(fd);
		return;
	}
	while ((entry = readdir(stream)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			remove_entry(r, dirfd(stream), entry->d_name, ret_moved);
	closedir(stream);
}

/* Empties the directories of the top, one after the other; true when it must be called again. */
static bool empty_children(struct removal *r)
{
	int fd = openat(r->top, ".", OPEN_DIR);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	bool again = false;

	if (!stream) {
		note(r, errno);
		if (fd >= 0)
			close(fd);
		return false;
	}
	while ((entry = readdir(stream))) {
		struct stat st;
		int child;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (unlinkat(r->top, entry->d_name, 0) == 0 ||
		    unlinkat(r->top, entry->d_name, AT_REMOVEDIR) == 0)
			continue;
		child = open_directory(r->top, entry->d_name);
		if (child < 0 || fstat(child, &st) || st.st_dev != r->device) {
			note(r, child < 0 ? errno : EBUSY);
			if (child >= 0)
				close(child);
			continue;
		}
		if (!(st.st_mode & S_IWUSR) || !(st.st_mode & S_IXUSR))
			fchmod(child, 0700);
		empty(r, child, &again);
		if (unlinkat(r->top, entry->d_name, AT_REMOVEDIR))
			note(r, errno);
	}
	closedir(stream);
	return again;
}

int remove_tree(int dir, const char *name)
{
	struct removal r = {.top = -1};
	struct stat st;

	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	r.top = open_directory(dir, name);
	if (r.top < 0)
		return -errno;
	if (fstat(r.top, &st) == 0) {
		r.device = st.st_dev;
		if ((st.st_mode & S_IRWXU) != S_IRWXU)
			fchmod(r.top, 0700);
		while (empty_children(&r))
			r.failed = 0; /* what is left is judged on the last pass */
	}
	close(r.top);
	if (unlinkat(dir, name, AT_REMOVEDIR) && !r.failed)
		r.failed = -errno;
	return r.failed;
}
