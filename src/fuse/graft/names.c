/* fs/: names in directories. */
#include "fuse/graft/graft.h"
#include "files/attr.h"
#include "files/link.h"
#include "files/names.h"
#include "files/walk.h"
#include "fuse/graft/ops.h"
#include "fuse/graft/reach.h"
#include "fuse/graft/still.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

int graft_link_text(struct graft_node *dir, int fd, char *out)
{
	int at = graft_fd(dir);

	return at < 0 ? at : files_readlink(dir->graft->root.fd, at, graft_depth(dir), fd, out);
}

static void show(struct graft_node *dir, const struct graft *g, int fd, struct stat *st)
{
	char text[PATH_MAX];
	int len;

	if (S_ISLNK(st->st_mode)) {
		len = fd < 0 ? fd : graft_link_text(dir, fd, text);
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
	int fd = graft_fd(node), r = fd < 0 ? fd : files_stat(fd, ret);

	if (r == 0)
		show(node->type == S_IFLNK ? node->parent : NULL, node->graft, fd, ret);
	return r;
}

/* `hold`: the node is to have a descriptor of its own, if it is new. */
static int enter_file(struct graft_node *dir, const char *name, int fd, bool hold, uint64_t since,
		      struct fuse_entry_param *ret)
{
	struct timespec birth = {0};
	struct graft_node *node;
	struct stat st;
	int r = files_stat(fd, &st);

	if (r < 0) {
		close(fd);
		return r;
	}
	*ret = (struct fuse_entry_param){.attr = st};
	show(dir, dir->graft, fd, &ret->attr);
	if (!hold || graft_has_unheld(dir->graft))
		birth = graft_birth(fd);
	if (!hold) {
		close(fd);
		fd = -1;
	}
	node = graft_nodes_get(dir, name, fd, &st, &birth);
	if (!node)
		return -ENOMEM;
	ret->ino = node->number;
	ret->entry_timeout = graft_keep_name(dir, node, since);
	return 0;
}

int graft_entry(struct graft_node *dir, const char *name, mode_t type, int fd, uint64_t since,
		struct fuse_entry_param *ret)
{
	int r = enter_file(dir, name, fd, fd < dir->graft->descriptors_most, since, ret);

	if (r == 0 && type && (ret->attr.st_mode & S_IFMT) != type) {
		graft_forget(ret->ino, 1);
		r = -ESTALE;
	}
	return r;
}

int graft_find(struct graft_node *dir, const char *name, mode_t type, uint64_t since,
	       struct fuse_entry_param *ret)
{
	int at = graft_fd(dir), fd = at < 0 ? at : files_child(at, name);

	return fd < 0 ? fd : graft_entry(dir, name, type, fd, since, ret);
}

/* What the kernel knows already needs no descriptor of its own: its node has one, which keeps its number
 * taken. */
static int find_known(struct graft_node *dir, const char *name, uint64_t since, struct fuse_entry_param *ret)
{
	struct graft_node *node;
	struct stat st;
	int at = graft_fd(dir), r = at < 0 ? at : files_stat_child(at, name, &st);

	if (r < 0)
		return r;
	node = graft_nodes_known(dir, name, &st);
	if (!node)
		return graft_find(dir, name, 0, since, ret);
	*ret = (struct fuse_entry_param){.attr = st, .ino = node->number};
	show(dir, dir->graft, node->fd, &ret->attr);
	ret->entry_timeout = graft_keep_name(dir, node, since);
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
	int fd, r = S_ISCHR(mode) || S_ISBLK(mode) ? -EPERM
						   : graft_reach_to_change(dir, &fd); /* the mount is nodev */

	if (r == 0) {
		r = files_mknod(fd, name, mode, rdev);
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
	int fd, r = graft_reach_to_change(dir, &fd);

	if (r == 0) {
		r = files_mkdir(fd, name, mode);
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
	int fd, r = graft_reach_to_change(dir, &fd);

	if (r == 0) {
		r = files_symlink(target, fd, name);
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
	int fd, at, r = node->graft == g ? graft_reach_to_change(node, &fd) : -EXDEV;

	if (r == 0) {
		at = graft_fd(newdir);
		r = at < 0 ? at : files_link(fd, at, newname);
		if (r == 0)
			r = graft_find(newdir, newname, node->type, since, &e);
		graft_leave(g);
	}
	reply_entry(req, r, &e);
}

void graft_unlink(fuse_req_t req, struct graft_node *dir, const char *name)
{
	struct graft *g = dir->graft;
	int fd, r = graft_reach_to_change(dir, &fd);

	if (r == 0) {
		r = files_unlink(fd, name);
		graft_leave(g);
	}
	fuse_reply_err(req, -r);
}

void graft_rmdir(fuse_req_t req, struct graft_node *dir, const char *name)
{
	struct graft *g = dir->graft;
	int fd, r = graft_reach_to_change(dir, &fd);

	if (r == 0) {
		r = files_rmdir(fd, name);
		graft_leave(g);
	}
	fuse_reply_err(req, -r);
}

/* What is there now, if its node is reached by where it is. */
static void follow(struct graft_node *dir, const char *name)
{
	int at = graft_fd(dir), fd = at < 0 ? at : files_child(at, name);
	struct timespec birth;
	struct stat st;

	if (fd < 0)
		return;
	birth = graft_birth(fd);
	if (files_stat(fd, &st) == 0)
		graft_nodes_seen(dir, name, &st, &birth);
	close(fd);
}

static int rename_in(const struct graft_move *move, unsigned int flags)
{
	int from = graft_fd(move->dir), to = graft_fd(move->newdir), r;

	if (from < 0 || to < 0)
		return from < 0 ? from : to;
	graft_nodes_moving(move);
	r = files_rename(from, move->name, to, move->newname, flags);
	if (r < 0)
		return r;
	/* Until the kernel has looked a directory up in its new place, links in it lead less far up than they
	 * may. */
	if (graft_nodes_moved(move) && move->dir != move->newdir)
		graft_forget_names(move->dir->graft);
	if (graft_has_unheld(move->dir->graft)) {
		follow(move->newdir, move->newname);
		if (move->exchange)
			follow(move->dir, move->name);
	}
	return 0;
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
