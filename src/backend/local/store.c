#include "backend/local/store.h"

#include "base/log.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define ID_MAX	       40
#define SOURCE_MAX     48
#define OPEN_TRIES_MAX 16
#define OPEN_DIR       (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

bool store_valid_id(const char *id)
{
	size_t len = strlen(id);

	return len > 0 && len <= ID_MAX && strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-") == len &&
	       id[0] != '-';
}

static bool valid_source(const char *name)
{
	size_t len = strlen(name);

	if (!len)
		return true;
	return len <= SOURCE_MAX && isalnum((unsigned char)name[0]) &&
	       isalnum((unsigned char)name[len - 1]) &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

int store_default_path(char out[PATH_MAX], struct error *err)
{
	const char *home = getenv("XDG_STATE_HOME");
	const char *middle = "";

	if (geteuid() == 0) {
		snprintf(out, PATH_MAX, "/var/lib/aviatofs");
		return 0;
	}
	if (!home || home[0] != '/') {
		home = getenv("HOME");
		middle = "/.local/state";
	}
	if (!home || home[0] != '/')
		return error_set(
		    err, EINVAL, "STATE_DIR",
		    "no place to keep sandboxes: HOME is not set; set it or give -o state_dir=DIR");
	if (snprintf(out, PATH_MAX, "%s%s/aviatofs", home, middle) >= PATH_MAX)
		return error_set(err, ENAMETOOLONG, "STATE_DIR", "HOME is too long");
	return 0;
}

static int make_parents(const char *path, struct error *err)
{
	char part[PATH_MAX];

	snprintf(part, sizeof part, "%s", path);
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0755) && errno != EEXIST && access(part, F_OK))
			return error_errno(err, errno, errno == ENOSPC ? "NO_SPACE" : "STATE_DIR",
					   "cannot make the state directory %s", part);
		*slash = '/';
	}
	return 0;
}

/*
 * Opens NAME in `at`, made when missing. Refuses one that is not ours, or that has
 * any of the mode bits `forbidden`: nobody else may plant names in a state directory,
 * or look into a set of sandboxes.
 */
static int open_private(int at, const char *name, mode_t forbidden, const char *shown, struct error *err)
{
	struct stat st;
	int fd;

	if (mkdirat(at, name, 0700) && errno != EEXIST)
		return error_errno(err, errno, errno == ENOSPC ? "NO_SPACE" : "STATE_DIR",
				   "cannot make the state directory %s", shown);
	fd = openat(at, name, OPEN_DIR);
	if (fd < 0)
		return error_errno(err, errno, "STATE_DIR", "cannot open the state directory %s", shown);
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && !(st.st_mode & forbidden))
		return fd;
	close(fd);
	return error_set(err, EPERM, "STATE_DIR", "the state directory %s must be owned by this user and %s",
			 shown, forbidden == 077 ? "closed to others (mode 0700)" : "not writable by others");
}

static bool linked(int dir)
{
	struct stat st;

	return fstat(dir, &st) == 0 && st.st_nlink > 0;
}

static int open_both(struct store *s, const char *base, const char *source, struct error *err)
{
	int rc = make_parents(base, err);

	if (rc)
		return rc;
	s->base = open_private(AT_FDCWD, base, 022, base, err);
	if (s->base < 0)
		return s->base;
	s->dir = open_private(s->base, source, 077, s->path, err);
	if (s->dir < 0)
		return s->dir;
	if (flock(s->dir, LOCK_SH | LOCK_NB) || !linked(s->dir)) {
		/* Another mount is just removing it. */
		return error_set(err, EAGAIN, "STATE_DIR", "the state directory %s keeps vanishing", s->path);
	}
	return 0;
}

static void close_both(struct store *s)
{
	if (s->dir >= 0)
		close(s->dir);
	if (s->base >= 0)
		close(s->base);
	s->dir = s->base = -1;
}

int store_open(const char *state_dir, const char *source, struct store *ret, struct error *err)
{
	struct store s = {-1, -1, NULL};
	char base[PATH_MAX];
	int rc = 0;

	if (!valid_source(source))
		return error_set(err, EINVAL, "BAD_SOURCE",
				 "local:%.60s: a name is 1 to 48 letters, digits, '.', '_' or '-'", source);
	if (!source[0])
		source = "default";
	if (!state_dir)
		rc = store_default_path(base, err);
	else if (state_dir[0] != '/' || strlen(state_dir) >= PATH_MAX - 128)
		rc = error_set(err, EINVAL, "STATE_DIR", "the state directory must be an absolute path");
	else
		snprintf(base, sizeof base, "%s", state_dir);
	if (rc)
		return rc;
	if (asprintf(&s.path, "%s/%s", base, source) < 0)
		return error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
	for (int try = 0; try < OPEN_TRIES_MAX; try++) {
		rc = open_both(&s, base, source, err);
		if (!rc)
			break;
		close_both(&s);
		if (rc != -EAGAIN && rc != -ENOENT)
			break;
	}
	if (rc)
		free(s.path);
	else
		*ret = s;
	return rc;
}

void store_close(struct store *s)
{
	char *slash = strrchr(s->path, '/');

	/* The exclusive lock is ours only when no other mount uses it. */
	if (flock(s->dir, LOCK_EX | LOCK_NB) == 0) {
		unlinkat(s->base, slash + 1, AT_REMOVEDIR);
		*slash = '\0';
		rmdir(s->path);
	}
	close_both(s);
	free(s->path);
	s->path = NULL;
}

/* A lock of its own needs an open file description of its own. */
static int lock_base(struct store *s, int how)
{
	int fd = openat(s->base, ".", OPEN_DIR);

	if (fd < 0)
		return -errno;
	while (flock(fd, how)) {
		if (errno == EINTR)
			continue;
		close(fd);
		return -errno;
	}
	return fd;
}

/* 0, -EWOULDBLOCK when a living mount has it, or another -errno. */
static int home_lock(struct home *h, int flags)
{
	h->lock = openat(h->dir, "lock", O_RDWR | O_NOFOLLOW | O_CLOEXEC | flags, 0600);
	if (h->lock < 0)
		return -errno;
	return flock(h->lock, LOCK_EX | LOCK_NB) ? -errno : 0;
}

void home_close(struct home *h)
{
	if (h->lock >= 0)
		close(h->lock);
	if (h->dir >= 0)
		close(h->dir);
	*h = HOME_NONE;
}

int store_create(struct store *s, const char *id, struct home *ret, struct error *err)
{
	struct home h = HOME_NONE;
	int birth = lock_base(s, LOCK_SH);
	int rc = 0;

	if (birth < 0)
		return error_errno(err, -birth, "STATE_DIR", "cannot lock %s", s->path);
	if (mkdirat(s->dir, id, 0700))
		rc = -errno;
	else if ((h.dir = openat(s->dir, id, OPEN_DIR)) < 0)
		rc = -errno;
	else
		rc = home_lock(&h, O_CREAT | O_EXCL);
	close(birth);
	if (!rc) {
		*ret = h;
		return 0;
	}
	if (rc != -EEXIST) {
		if (h.dir >= 0)
			unlinkat(h.dir, "lock", 0);
		unlinkat(s->dir, id, AT_REMOVEDIR);
	}
	home_close(&h);
	return error_errno(err, -rc, rc == -ENOSPC || rc == -EDQUOT ? "NO_SPACE" : "STATE_DIR",
			   "cannot make the directory of the sandbox in %s", s->path);
}

static int open_leftover(struct store *s, const char *id, struct home *h)
{
	struct stat st;
	int rc;

	*h = HOME_NONE;
	h->dir = openat(s->dir, id, OPEN_DIR);
	if (h->dir < 0)
		return -errno;
	if (fstat(h->dir, &st) || st.st_uid != geteuid())
		rc = -EPERM;
	else
		/* The lock may be missing when a maker died between two steps. */
		rc = home_lock(h, O_CREAT);
	if (rc)
		home_close(h);
	return rc;
}

int store_take(struct store *s, const char *id, struct home *ret)
{
	int scan, rc;

	if (!store_valid_id(id))
		return -ENOENT;
	scan = lock_base(s, LOCK_EX);
	if (scan < 0)
		return scan;
	rc = open_leftover(s, id, ret);
	close(scan);
	return rc;
}

void store_scan(struct store *s, void (*each)(void *arg, const char *id, struct home home), void *arg)
{
	int scan = lock_base(s, LOCK_EX);
	int fd = scan < 0 ? -1 : openat(s->dir, ".", OPEN_DIR);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		struct home home;
		int rc;

		if (entry->d_name[0] == '.')
			continue;
		if (!store_valid_id(entry->d_name)) {
			log_warn("%s: %s is not a sandbox's directory: left alone", s->path, entry->d_name);
			continue;
		}
		rc = open_leftover(s, entry->d_name, &home);
		if (!rc)
			each(arg, entry->d_name, home);
		else if (rc != -EWOULDBLOCK)
			log_warn("%s/%s: %s", s->path, entry->d_name, strerror(-rc));
	}
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
	if (scan >= 0)
		close(scan);
}
