/* fs/: attributes of files, open or not. */
#include "files/attr.h"
#include "fuse/graft/graft.h"
#include "fuse/graft/ops.h"
#include "fuse/graft/reach.h"
#include "fuse/graft/still.h"

#include <errno.h>
#include <limits.h>
#include <linux/limits.h>
#include <stdlib.h>

static void reply_attributes(fuse_req_t req, int r, const struct stat *st, double seconds)
{
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_attr(req, st, seconds);
}

void graft_getattr(fuse_req_t req, struct graft_node *node, struct fuse_file_info *fi)
{
	struct graft *g = node->graft;
	double seconds = 0;
	struct stat st;
	int r = graft_enter(g);

	(void)fi; /* the node's own descriptor serves unlinked files as well */
	if (r == 0) {
		uint64_t since = graft_stillness(g);

		r = graft_attributes(node, &st);
		if (r == 0)
			seconds = graft_keep_attributes(node, since, true);
		graft_leave(g);
	} else if (graft_passes(node)) {
		/* The kernel goes on without us until the inode has gone wrong: what was a file is none. */
		st = (struct stat){.st_mode = S_IFIFO, .st_ino = 1};
		r = 0;
	}
	reply_attributes(req, r, &st, seconds);
}

static struct timespec new_time(int to_set, int set, int set_now, const struct timespec *given)
{
	if (to_set & set_now)
		return (struct timespec){.tv_nsec = UTIME_NOW};
	return to_set & set ? *given : (struct timespec){.tv_nsec = UTIME_OMIT};
}

static struct files_change wanted_change(const struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	struct files_change change = FILES_CHANGE_NOTHING;

	change.set_mode = to_set & FUSE_SET_ATTR_MODE;
	change.mode = attr->st_mode;
	if (to_set & FUSE_SET_ATTR_UID)
		change.uid = attr->st_uid;
	if (to_set & FUSE_SET_ATTR_GID)
		change.gid = attr->st_gid;
	change.set_size = to_set & FUSE_SET_ATTR_SIZE;
	change.size = attr->st_size;
	if (fi)
		change.data_fd = ((struct graft_handle *)(uintptr_t)fi->fh)->fd;
	change.times[0] = new_time(to_set, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW, &attr->st_atim);
	change.times[1] = new_time(to_set, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW, &attr->st_mtim);
	return change;
}

void graft_setattr(fuse_req_t req, struct graft_node *node, struct stat *attr, int to_set,
		   struct fuse_file_info *fi)
{
	struct graft *g = node->graft;
	struct stat st;
	int fd, r = graft_reach_to_change(node, &fd);

	if (r == 0) {
		struct files_change change = wanted_change(attr, to_set, fi);

		r = files_change(fd, &change);
		if (r == 0)
			r = graft_attributes(node, &st);
		graft_leave(g);
	}
	reply_attributes(req, r, &st, 0);
}

void graft_readlink(fuse_req_t req, struct graft_node *node)
{
	struct graft *g = node->graft;
	char text[PATH_MAX];
	int fd, r = graft_reach(node, &fd);

	if (r == 0) {
		r = node->type == S_IFLNK ? graft_link_text(node->parent, fd, text) : -EINVAL;
		graft_leave(g);
	}
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_readlink(req, text);
}

void graft_statfs(fuse_req_t req, struct graft_node *node)
{
	struct graft *g = node->graft;
	struct statvfs fs;
	int fd, r = graft_reach(node, &fd);

	if (r == 0) {
		r = files_statfs(fd, &fs);
		graft_leave(g);
	}
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_statfs(req, &fs);
}

void graft_access(fuse_req_t req, struct graft_node *node, int mask)
{
	struct graft *g = node->graft;
	int fd, r = graft_reach(node, &fd);

	if (r == 0) {
		r = files_access(fd, mask);
		graft_leave(g);
	}
	fuse_reply_err(req, -r);
}

void graft_setxattr(fuse_req_t req, struct graft_node *node, const char *name, const char *value, size_t size,
		    int flags)
{
	struct graft *g = node->graft;
	int fd, r = graft_reach_to_change(node, &fd);

	if (r == 0) {
		r = files_setxattr(fd, name, value, size, flags);
		graft_leave(g);
	}
	fuse_reply_err(req, -r);
}

void graft_removexattr(fuse_req_t req, struct graft_node *node, const char *name)
{
	struct graft *g = node->graft;
	int fd, r = graft_reach_to_change(node, &fd);

	if (r == 0) {
		r = files_removexattr(fd, name);
		graft_leave(g);
	}
	fuse_reply_err(req, -r);
}

/* One attribute's value, or with no name the list of names. */
static void reply_xattr(fuse_req_t req, struct graft_node *node, const char *name, size_t size)
{
	struct graft *g = node->graft;
	char *value = NULL;
	ssize_t r;
	int fd;

	if (size > XATTR_SIZE_MAX)
		size = XATTR_SIZE_MAX;
	if (size && !(value = malloc(size))) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	r = graft_reach(node, &fd);
	if (r == 0) {
		r = name ? files_getxattr(fd, name, value, size) : files_listxattr(fd, value, size);
		graft_leave(g);
	}
	if (r < 0)
		fuse_reply_err(req, (int)-r);
	else if (size == 0)
		fuse_reply_xattr(req, (size_t)r);
	else
		fuse_reply_buf(req, value, (size_t)r);
	free(value);
}

void graft_getxattr(fuse_req_t req, struct graft_node *node, const char *name, size_t size)
{
	reply_xattr(req, node, name, size);
}

void graft_listxattr(fuse_req_t req, struct graft_node *node, size_t size)
{
	reply_xattr(req, node, NULL, size);
}
