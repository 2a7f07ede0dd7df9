#include "backend/local/differences.h"

#include "backend/local/copy_file.h"
#include "backend/local/same_content.h"
#include "base/buf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#define LEVELS_MAX     512
#define PATH_BYTES_MAX (LEVELS_MAX * (NAME_MAX + 1))

/* One name, as it was and as it is. */
struct pair {
	int before, after; /* O_PATH, or -1 */
	struct stat before_st, after_st;
};

/* A directory at work. The first two are read, in this order; each name comes once. */
enum { AFTER, BASE, OURS, SIDES };
struct level {
	DIR *side[SIDES];  /* NULL: not there */
	struct stat after; /* what the first was before it was opened */
	int reading;
	size_t path_len; /* of the directory's path */
	bool gone;	 /* only what was there is told */
	bool hides;	 /* nothing of the base shines through */
};

struct tree {
	const struct differing *d;
	struct level level[LEVELS_MAX];
	int depth;
	struct buf path;
};

static struct level *top(struct tree *t)
{
	return &t->level[t->depth - 1];
}

static int side_fd(const struct level *l, int side)
{
	return l->side[side] ? dirfd(l->side[side]) : -1;
}

static int hold(int dir, const char *name)
{
	struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};

	return dir < 0 ? -1 : (int)syscall(SYS_openat2, dir, name, &how, sizeof how);
}

static int hold_with(int dir, const char *name, struct stat *st)
{
	int fd = hold(dir, name);

	if (fd >= 0 && fstat(fd, st) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static bool is_opaque(int dir)
{
	char value = 0;

	/* Where overlayfs keeps it in the other one, this one is the sandbox's to write. */
	return fgetxattr(dir, geteuid() ? "user.overlay.opaque" : "trusted.overlay.opaque", &value, 1) == 1 &&
	       value == 'y';
}

/* --- Levels --- */

static DIR *stream_of(int fd)
{
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);

	if (fd >= 0 && !stream)
		close(fd);
	return stream;
}

static DIR *open_before(int held, const struct stat *st)
{
	if (held < 0 || !S_ISDIR(st->st_mode))
		return NULL;
	return stream_of(openat(held, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static DIR *open_after(const struct pair *p)
{
	int fd = copy_open(p->after, &p->after_st, O_RDONLY | O_DIRECTORY, true);

	if (fd < 0)
		errno = -fd;
	return stream_of(fd);
}

static void close_level(struct level *l)
{
	if (l->side[AFTER])
		copy_close_directory(dirfd(l->side[AFTER]), &l->after, true);
	for (int side = 0; side < SIDES; side++)
		if (l->side[side])
			closedir(l->side[side]);
}

static int push(struct tree *t, struct level l)
{
	if (t->depth == LEVELS_MAX) {
		close_level(&l);
		return -ENAMETOOLONG;
	}
	l.path_len = t->path.len;
	t->level[t->depth++] = l;
	return 0;
}

/* --- One name --- */

static int tell(struct tree *t, const struct pair *p, bool content)
{
	struct difference d = {.path = buf_text(&t->path),
			       .before = p->before,
			       .after = p->after,
			       .before_st = p->before_st,
			       .after_st = p->after_st,
			       .content = content};

	return t->d->each(t->d->arg, &d);
}

static int tell_gone(struct tree *t, const struct pair *p)
{
	struct pair gone = {p->before, -1, p->before_st, p->after_st};

	return tell(t, &gone, true);
}

static int tell_new(struct tree *t, const struct pair *p)
{
	struct difference d = {.path = buf_text(&t->path),
			       .before = -1,
			       .after = p->after,
			       .after_st = p->after_st,
			       .replaces = p->before >= 0,
			       .content = true};

	return t->d->each(t->d->arg, &d);
}

/* All below a directory that is gone. */
static int enter_gone(struct tree *t, const struct pair *p)
{
	struct level l = {.side = {[BASE] = open_before(p->before, &p->before_st)}, .gone = true};

	if (!t->d->all_gone || !l.side[BASE]) {
		close_level(&l);
		return 0;
	}
	return push(t, l);
}

static int enter_both(struct tree *t, const char *name, const struct pair *p)
{
	const struct level *up = top(t);
	struct level l = {.side = {[AFTER] = open_after(p)}, .after = p->after_st};
	struct stat st;
	int fd;

	if (!l.side[AFTER])
		return errno == EACCES ? 0 : -errno;
	l.hides = !t->d->layer || is_opaque(side_fd(&l, AFTER));
	for (int side = BASE; side <= OURS; side++) {
		fd = hold_with(side_fd(up, side), name, &st);
		l.side[side] = open_before(fd, &st);
		if (fd >= 0)
			close(fd);
	}
	return push(t, l);
}

static int enter_new(struct tree *t, const struct pair *p)
{
	struct level l = {.side = {[AFTER] = open_after(p)}, .after = p->after_st};

	return l.side[AFTER] ? push(t, l) : errno == EACCES ? 0 : -errno;
}

static int compare_files(struct tree *t, const struct pair *p)
{
	int rc = same_content(p->before, &p->before_st, p->after, &p->after_st, t->d->unwanted, t->d->arg);
	bool mode = !S_ISLNK(p->after_st.st_mode) && ((p->before_st.st_mode ^ p->after_st.st_mode) & 07777);

	if (rc < 0)
		return rc;
	return rc == 0 || mode ? tell(t, p, rc == 0) : 0;
}

static int compare(struct tree *t, const char *name, const struct pair *p)
{
	mode_t before = p->before_st.st_mode, after = p->after_st.st_mode;
	int rc = 0;

	if (p->before < 0 && p->after < 0)
		return 0;
	if (p->after < 0) {
		rc = tell_gone(t, p);
		return rc || !S_ISDIR(before) ? rc : enter_gone(t, p);
	}
	if (p->before < 0) {
		rc = tell_new(t, p);
		return rc || !S_ISDIR(after) ? rc : enter_new(t, p);
	}
	if (S_ISDIR(before) && S_ISDIR(after)) {
		if ((before ^ after) & 07777)
			rc = tell(t, p, false);
		return rc ? rc : enter_both(t, name, p);
	}
	if ((before & S_IFMT) == (after & S_IFMT))
		return compare_files(t, p);
	/* Another type: gone, and new. What was below comes last, if it has to come at all. */
	rc = tell_gone(t, p);
	if (rc == 0)
		rc = tell_new(t, p);
	if (rc == 0 && S_ISDIR(after))
		return enter_new(t, p);
	return rc == 0 && S_ISDIR(before) ? enter_gone(t, p) : rc;
}

/* Whether it is as we laid it over the image; a directory of ours stands for one of the image's. */
static int judge_ours(struct tree *t, const char *name, struct pair *p, bool *ret_same)
{
	struct stat st;
	int fd = hold_with(side_fd(top(t), OURS), name, &st);
	int rc = 0;

	*ret_same = false;
	if (fd < 0)
		return 0;
	if (S_ISDIR(st.st_mode) && p->before < 0 && p->after >= 0 && S_ISDIR(p->after_st.st_mode)) {
		p->before = fd;
		p->before_st = st;
		return 0;
	}
	if (!S_ISDIR(st.st_mode) && p->after >= 0 && st.st_mode == p->after_st.st_mode)
		rc = same_content(fd, &st, p->after, &p->after_st, t->d->unwanted, t->d->arg);
	close(fd);
	*ret_same = rc > 0;
	return rc < 0 ? rc : 0;
}

static int compare_name(struct tree *t, const char *name)
{
	const struct level *l = top(t);
	struct pair p = {.before = -1, .after = -1};
	bool same = false;
	int rc = 0;

	p.before = hold_with(side_fd(l, BASE), name, &p.before_st);
	p.after = l->gone ? -1 : hold_with(side_fd(l, AFTER), name, &p.after_st);
	if (p.after >= 0 && t->d->layer && is_whiteout(&p.after_st)) {
		close(p.after);
		p.after = -1;
	}
	rc = judge_ours(t, name, &p, &same);
	/* Names of the base come only where the first side did not have them. */
	if (rc == 0 && !same && (l->reading == AFTER || p.after < 0)) {
		rc = buf_printf(&t->path, l->path_len ? "/%s" : "%s", name);
		if (rc == 0)
			rc = compare(t, name, &p);
	}
	if (p.before >= 0)
		close(p.before);
	if (p.after >= 0)
		close(p.after);
	return rc;
}

/* --- The walk --- */

/* Whether `name` came with what is there now. */
static bool came_before(const struct level *l, const char *name)
{
	struct stat st;

	return l->reading == BASE && l->side[AFTER] &&
	       fstatat(side_fd(l, AFTER), name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* In a layer what the image has shines through, unless the layer says that it is gone. */
static bool is_read(const struct level *l)
{
	return l->side[l->reading] && (l->reading == AFTER || l->gone || l->hides);
}

static int step(struct tree *t)
{
	struct level *l = top(t);
	char name[NAME_MAX + 1];
	struct dirent *entry;

	t->path.len = l->path_len;
	if (l->reading == OURS) {
		close_level(l);
		t->depth--;
		return 0;
	}
	errno = 0;
	entry = is_read(l) ? readdir(l->side[l->reading]) : NULL;
	if (!entry) {
		l->reading++;
		return errno && errno != ENOENT ? -errno : 0;
	}
	if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") || came_before(l, entry->d_name))
		return 0;
	memccpy(name, entry->d_name, '\0', sizeof name);
	return compare_name(t, name);
}

int differences(const struct differing *d)
{
	struct tree *t = calloc(1, sizeof *t);
	struct level l = {.hides = !d->layer};
	struct stat st;
	int rc;

	if (!t)
		return -ENOMEM;
	t->d = d;
	buf_init(&t->path, PATH_BYTES_MAX);
	l.side[AFTER] = fstat(d->root, &st) ? NULL : open_before(d->root, &st);
	l.after = st;
	l.side[BASE] = fstat(d->base, &st) ? NULL : open_before(d->base, &st);
	l.side[OURS] = d->ours < 0 || fstat(d->ours, &st) ? NULL : open_before(d->ours, &st);
	rc = l.side[AFTER] && l.side[BASE] ? push(t, l) : -EIO;
	while (rc == 0 && t->depth)
		rc = d->unwanted && d->unwanted(d->arg) ? -ECANCELED : step(t);
	while (t->depth)
		close_level(&t->level[--t->depth]);
	buf_free(&t->path);
	free(t);
	return rc;
}
