/* fs/: names in directories. */
#include "fuse/graft/graft.h"
#include "files/attr.h"
#include "files/link.h"
#include "files/names.h"
#include "files/walk.h"
#include "fuse/graft/ops.h"
#include "fuse/graft/still.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

int graft_link_text(struct graft_node *dir, int fd, char *out)
{
	return files_readlink(dir->graft->root.fd, dir->fd, graft_depth(dir), fd, out);
}

static void show(struct graft_node *dir, const struct graft *g, int fd, struct stat *st)
{
	char text[PATH_MAX];
	int len;

	if (S_ISLNK(st->st_mode)) {
		len = graft_link_text(dir, fd, text);
		if (len >= 0)
			st->st_size = len;
		/* Hard links of one symlink differ in text by where they are: no copy may make one of them.
		 */
		if (st->st_nlink > 1)
			st->st_nlink = 1;
	}
	st->st_ino = graft_shown_ino(g, st->st_dev, st->st_ino);
}

int graft_attributes(struct graft_node *node, struct stat *ret)
{
	int r = files_stat(node->fd, ret);

	if (r == 0)
		show(node->parent, node->graft, node->fd, ret);
	return r;
}

#define SPARE_DESCRIPTORS 2048

/*
 * Each node the kernel knows holds a descriptor until the kernel forgets it. A
 * walk through a huge tree must not take the last ones: other sandboxes need some
 * to start and to be read. The lowest free number tells how many are in use.
 */
static bool out_of_descriptors(int fd)
{
	struct rlimit limit;

	if (fd < SPARE_DESCRIPTORS / 2 || getrlimit(RLIMIT_NOFILE, &limit))
		return false;
	return limit.rlim_cur < 2 * SPARE_DESCRIPTORS ? (rlim_t)fd >= limit.rlim_cur / 2
						      : (rlim_t)fd >= limit.rlim_cur - SPARE_DESCRIPTORS;
}

static void fill_entry(struct graft_node *dir, struct graft_node *node, const struct stat *st, uint64_t since,
		       struct fuse_entry_param *ret)
{
	*ret = (struct fuse_entry_param){.attr = *st, .ino = node->number};
	show(dir, dir->graft, node->fd, &ret->attr);
	ret->entry_timeout = graft_keep_name(dir, node, since);
}

int graft_entry(struct graft_node *dir, const char *name, mode_t type, int fd, uint64_t since,
		struct fuse_entry_param *ret)
{
	struct graft_node *node;
	struct stat st;
	int r = files_stat(fd, &st);

	if (r == 0 && type && (st.st_mode & S_IFMT) != type)
		r = -ESTALE;
	if (r == 0 && out_of_descriptors(fd))
		r = -ENFILE;
	if (r < 0) {
		close(fd);
		return r;
	}
	node = graft_nodes_get(dir, name, fd, &st);
	if (!node)
		return -ENOMEM;
	fill_entry(dir, node, &st, since, ret);
	return 0;
}

int graft_find(struct graft_node *dir, const char *name, mode_t type, uint64_t since,
	       struct fuse_entry_param *ret)
{
	int fd = files_child(dir->fd, name);

	return fd < 0 ? fd : graft_entry(dir, name, type, fd, since, ret);
}

/* What the kernel knows already needs no descriptor of its own: its node has one, which keeps its number
 * taken. */
static int find_known(struct graft_node *dir, const char *name, uint64_t since, struct fuse_entry_param *ret)
{
	struct graft_node *node;
	struct stat st;
	int r = files_stat_child(dir->fd, name, &st);

	if (r < 0)
		return r;
	node = graft_nodes_known(dir, name, &st);
	if (!node)
		return graft_find(dir, name, 0, since, ret);
	fill_entry(dir, node, &st, since, ret);
	return 0;
}

static void reply_entry(fuse_req_t req, int r, const struct fuse_entry_param *e)
{
	if (r < 0)
		fuse_reply_err(req, -r);
	else if (fuse_reply_entry(req, e) < 0)
		graft_forget(e->ino, 1); /* the kernel did not hear of it */
}

static int look_up(struct graft_node *dir, const char *name, struct fuse_entry_param *e)
{
	uint64_t since = graft_stillness(dir->graft);
	int r = find_known(dir, name, since, e);
	double seconds;

	if (r == 0 && since)
		e->attr_timeout = graft_keep_attributes(graft_node(e->ino), since, false);
	if (r != -ENOENT)
		return r;
	seconds = graft_keep_name(dir, NULL, since);
	if (seconds > 0) { /* that nothing is there may be remembered as well */
		*e = (struct fuse_entry_param){.entry_timeout = seconds};
		r = 0;
	}
	return r;
}

void graft_lookup(fuse_req_t req, struct graft_node *dir, const char *name)
{
	struct graft *g = dir->graft;
	struct fuse_entry_param e;
	int r = graft_enter(g);

	if (r == 0) {
		r = look_up(dir, name, &e);
		graft_leave(g);
	}
	reply_entry(req, r, &e);
}

void graft_mknod(fuse_req_t req, struct graft_node *dir, const char *name, mode_t mode, dev_t rdev)
{
	struct graft *g = dir->graft;
	struct fuse_entry_param e;
	uint64_t since = graft_stillness(g);
	int r = S_ISCHR(mode) || S_ISBLK(mode) ? -EPERM : graft_enter_to_change(g); /* the mount is nodev */

	if (r == 0) {
		r = files_mknod(dir->fd, name, mode, rdev);
		if (r == 0)
			r = graft_find(dir, name, mode & S_IFMT, since, &e);
		graft_leave(g);
	}
	reply_entry(req, r, &e);
}

void graft_mkdir(fuse_req_t req, struct graft_node *dir, const char *name, mode_t mode)
{
	struct graft *g = dir->graft;
	struct fuse_entry_param e;
	uint64_t since = graft_stillness(g);
	int r = graft_enter_to_change(g);

	if (r == 0) {
		r = files_mkdir(dir->fd, name, mode);
		if (r == 0)
			r = graft_find(dir, name, S_IFDIR, since, &e);
		graft_leave(g);
	}
	reply_entry(req, r, &e);
}

void graft_symlink(fuse_req_t req, const char *target, struct graft_node *dir, const char *name)
{
	struct graft *g = dir->graft;
	struct fuse_entry_param e;
	uint64_t since = graft_stillness(g);
	int r = graft_enter_to_change(g);

	if (r == 0) {
		r = files_symlink(target, dir->fd, name);
		if (r == 0)
			r = graft_find(dir, name, S_IFLNK, since, &e);
		graft_leave(g);
	}
	reply_entry(req, r, &e);
}

void graft_link(fuse_req_t req, struct graft_node *node, struct graft_node *newdir, const char *newname)
{
	struct graft *g = newdir->graft;
	struct fuse_entry_param e;
	uint64_t since = graft_stillness(g);
	int r = node->graft == g ? graft_enter_to_change(g) : -EXDEV;

	if (r == 0) {
		r = files_link(node->fd, newdir->fd, newname);
		if (r == 0)
			r = graft_find(newdir, newname, node->type, since, &e);
		graft_leave(g);
	}
	reply_entry(req, r, &e);
}

void graft_unlink(fuse_req_t req, struct graft_node *dir, const char *name)
{
	struct graft *g = dir->graft;
	int r = graft_enter_to_change(g);

	if (r == 0) {
		r = files_unlink(dir->fd, name);
		graft_leave(g);
	}
	fuse_reply_err(req, -r);
}

void graft_rmdir(fuse_req_t req, struct graft_node *dir, const char *name)
{
	struct graft *g = dir->graft;
	int r = graft_enter_to_change(g);

	if (r == 0) {
		r = files_rmdir(dir->fd, name);
		graft_leave(g);
	}
	fuse_reply_err(req, -r);
}

static int rename_in(const struct graft_move *move, unsigned int flags)
{
	int r;

	graft_nodes_moving(move);
	r = files_rename(move->dir->fd, move->name, move->newdir->fd, move->newname, flags);
	/* Until the kernel has looked a directory up in its new place, links in it lead less far up than they
	 * may. */
	if (r == 0 && graft_nodes_moved(move) && move->dir != move->newdir)
		graft_forget_names(move->dir->graft);
	return r;
}

void graft_rename(fuse_req_t req, struct graft_node *dir, const char *name, struct graft_node *newdir,
		  const char *newname, unsigned int flags)
{
	struct graft_move move = {dir, newdir, name, newname, flags & RENAME_EXCHANGE};
	struct graft *g = dir->graft;
	int r = newdir->graft == g ? graft_enter_to_change(g) : -EXDEV;

	if (r == 0) {
		/* RENAME_WHITEOUT would make a device node. */
		r = flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE) ? -EINVAL : rename_in(&move, flags);
		graft_leave(g);
	}
	fuse_reply_err(req, -r);
}
