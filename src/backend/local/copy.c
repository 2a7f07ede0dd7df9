#include "backend/local/copy.h"

#include "backend/local/copy_file.h"
#include "backend/local/remove.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINKS	   "links"
#define LEVELS_MAX 512 /* each holds two descriptors */

/* A directory that is being copied, and the ones it is in. */
struct level {
	DIR *from;
	int to;
	struct stat st;
};

struct tree {
	struct level level[LEVELS_MAX];
	int depth; /* levels in use */
	int links;
	struct copying *copying;
	char at[NAME_MAX + 1]; /* the name at work */
};

static struct level *top(struct tree *t)
{
	return &t->level[t->depth - 1];
}

/* What is there, held fast: its type cannot change any more. -1 with errno. */
static int hold(int dir, const char *name)
{
	struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};

	return (int)syscall(SYS_openat2, dir, name, &how, sizeof how);
}

/* Takes `from` and `to` in any case. */
static int enter(struct tree *t, int from, int to, const struct stat *st)
{
	DIR *stream = t->depth < LEVELS_MAX && from >= 0 ? fdopendir(from) : NULL;
	int rc = 0;

	if (stream && to >= 0) {
		t->level[t->depth++] = (struct level){stream, to, *st};
		return 0;
	}
	rc = t->depth == LEVELS_MAX ? -ENAMETOOLONG : -errno;
	if (stream)
		closedir(stream);
	else if (from >= 0)
		close(from);
	if (to >= 0)
		close(to);
	return rc;
}

static void close_level(struct tree *t)
{
	struct level *l = top(t);

	copy_close_directory(dirfd(l->from), &l->st, t->copying->lift);
	closedir(l->from);
	close(l->to);
	t->depth--;
}

/* What the directory itself is like comes last: it had to be writable. */
static int leave(struct tree *t)
{
	struct level *l = top(t);
	int rc = copy_attributes(dirfd(l->from), l->to, &l->st);

	close_level(t);
	return rc;
}

static int begin_directory(struct tree *t, int held, const char *name, const struct stat *st)
{
	int to = top(t)->to;
	int from = copy_open(held, st, O_RDONLY | O_DIRECTORY, t->copying->lift);

	if (from < 0)
		return from == -ENOENT ? 0 : from;
	if (mkdirat(to, name, 0700)) {
		int rc = -errno;

		close(from);
		return rc;
	}
	return enter(t, from, openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), st);
}

static int copy_symlink(int held, int to, const char *name, const struct stat *st)
{
	const struct timespec times[] = {st->st_atim, st->st_mtim};
	char text[PATH_MAX];
	ssize_t len = readlinkat(held, "", text, sizeof text - 1);

	if (len < 0)
		return -errno;
	text[len] = '\0';
	if (symlinkat(text, to, name))
		return -errno;
	if (fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) && errno != EPERM)
		return -errno;
	utimensat(to, name, times, AT_SYMLINK_NOFOLLOW);
	return 0;
}

/* A fifo, or a whiteout of overlayfs: neither is opened. */
static int copy_special(int to, const char *name, const struct stat *st)
{
	const struct timespec times[] = {st->st_atim, st->st_mtim};

	if (mknodat(to, name, (st->st_mode & S_IFMT) | 0600, 0))
		return -errno;
	if (fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) && errno != EPERM)
		return -errno;
	if (fchmodat(to, name, st->st_mode & 07777, 0))
		return -errno;
	utimensat(to, name, times, AT_SYMLINK_NOFOLLOW);
	return 0;
}

static int copy_new(struct tree *t, int held, const char *name, const struct stat *st)
{
	int to = top(t)->to;

	if (S_ISREG(st->st_mode))
		return copy_file(held, st, to, name, t->copying);
	if (S_ISLNK(st->st_mode))
		return copy_symlink(held, to, name, st);
	if (S_ISFIFO(st->st_mode) || (S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0)))
		return copy_special(to, name, st);
	return 0;
}

/* The copies of one file's names are names of one file: the first stays findable by what the file is. */
static int copy_linked(struct tree *t, int held, const char *name, const struct stat *st)
{
	char key[48];
	int rc;

	snprintf(key, sizeof key, "%llx-%llx", (unsigned long long)st->st_dev,
		 (unsigned long long)st->st_ino);
	if (linkat(t->links, key, top(t)->to, name, 0) == 0)
		return 0;
	if (errno != ENOENT && errno != EMLINK)
		return -errno;
	rc = copy_new(t, held, name, st);
	if (rc == 0 && linkat(top(t)->to, name, t->links, key, 0) && errno != EEXIST && errno != EMLINK &&
	    errno != ENOENT)
		rc = -errno;
	return rc;
}

static int copy_entry(struct tree *t, const char *name)
{
	int held = hold(dirfd(top(t)->from), name);
	struct stat st;
	int rc;

	if (held < 0) /* it has gone, or something is mounted there */
		return errno == ENOENT || errno == EXDEV || errno == EAGAIN ? 0 : -errno;
	if (fstat(held, &st))
		rc = -errno;
	else if (S_ISDIR(st.st_mode))
		rc = begin_directory(t, held, name, &st);
	else if (st.st_nlink > 1 && !S_ISCHR(st.st_mode))
		rc = copy_linked(t, held, name, &st);
	else
		rc = copy_new(t, held, name, &st);
	close(held);
	return rc;
}

static int fail(const struct tree *t, int code, struct error *err)
{
	if (code == ECANCELED)
		return error_set(err, ECANCELED, "CANCELED", "the copy was given up");
	if (code == ENAMETOOLONG)
		return error_set(err, ENAMETOOLONG, "TOO_DEEP",
				 "directories are nested deeper than %d levels, at %.80s", LEVELS_MAX, t->at);
	return error_errno(err, code, code == ENOSPC || code == EDQUOT ? "NO_SPACE" : "COPY_FAILED",
			   "cannot copy %.80s", t->at);
}

static int walk(struct tree *t, struct error *err)
{
	int rc = 0;

	while (t->depth && !rc) {
		struct dirent *entry;

		if (t->copying->unwanted && t->copying->unwanted(t->copying->arg))
			return fail(t, ECANCELED, err);
		errno = 0;
		entry = readdir(top(t)->from);
		if (!entry) {
			rc = errno && errno != ENOENT ? -errno : leave(t);
			continue;
		}
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		snprintf(t->at, sizeof t->at, "%s", entry->d_name);
		rc = copy_entry(t, t->at);
	}
	return rc ? fail(t, -rc, err) : 0;
}

static int open_links(int home)
{
	if (mkdirat(home, LINKS, 0700))
		return -1;
	return openat(home, LINKS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int begin(struct tree *t, int from, int to, int home)
{
	struct stat st;

	t->links = open_links(home);
	if (t->links < 0 || fstat(from, &st))
		return -errno;
	return enter(t, openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		     openat(to, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), &st);
}

int copy_tree(int from, int to, int home, struct copying *c, struct error *err)
{
	struct tree *t = calloc(1, sizeof *t);
	int rc;

	if (!t)
		return error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
	t->copying = c;
	strcpy(t->at, "/");
	rc = begin(t, from, to, home);
	rc = rc ? fail(t, -rc, err) : walk(t, err);
	while (t->depth)
		close_level(t);
	if (t->links >= 0)
		close(t->links);
	remove_tree(home, LINKS);
	free(t);
	return rc;
}
