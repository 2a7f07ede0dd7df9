/* FUSE operations on names and attributes: the control tree's answered here, fs/ passed to its graft. */
#include "fuse/ops.h"

#include "fuse/notify.h"
#include "fuse/passthrough.h"
#include "fuse/pending.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct front_settings front;

#define MOMENT	2.0	/* and what may change, but only costs an error when it has */
#define FOREVER 86400.0 /* seconds the kernel may keep what only changes through it */

/* --- How spots look to the kernel --- */

void spot_attributes(const struct spot *s, struct stat *ret)
{
	tree_attributes(s, ret);
	ret->st_mode &= ~front.umask;
	ret->st_uid = front.uid;
	ret->st_gid = front.gid;
}

double spot_attribute_timeout(const struct spot *s)
{
	return tree_attributes_change(s) ? 0 : FOREVER;
}

void spot_entry(const struct spot *s, struct fuse_entry_param *ret)
{
	memset(ret, 0, sizeof *ret);
	ret->ino = tree_wants_fresh_number(s) ? tree_fresh_number(s) : tree_number(s);
	spot_attributes(s, &ret->attr);
	ret->entry_timeout = tree_name_changes(s) ? 0 : s->node->brief ? MOMENT : FOREVER;
	ret->attr_timeout = spot_attribute_timeout(s);
}

/* --- Look-ups --- */

/* The first look-up below fs/ starts the sandbox; it waits for that without holding a thread. */
static bool lookup_below_fs(struct request *r, struct pending *p)
{
	struct list *wait_list = NULL;
	struct graft *graft;
	struct error err;
	struct spot s;
	int rc;

	core_lock();
	rc = tree_resolve(r->ino, &s);
	if (rc == 0)
		rc = fs_need(&s, &wait_list, &err);
	if (rc == 0)
		rc = fs_graft(&s, r->ino, &graft);
	if (is_not_yet(rc, wait_list)) {
		rc = wait_on(p, wait_list) ? -EINTR : 1;
		if (rc == 1) {
			core_unlock();
			return false;
		}
	}
	core_unlock();
	if (rc) {
		fuse_reply_err(r->req, -rc);
	} else {
		fs_op(lookup, graft_root(graft))(r->req, graft_root(graft), r->name);
		graft_unref(graft);
	}
	return true;
}

/* A name that is known elsewhere. */
static bool lookup_sought(struct request *r, struct pending *p)
{
	struct fuse_entry_param entry;
	struct list *wait_list = NULL;
	struct spot dir, s;
	int rc;

	core_lock();
	rc = tree_resolve(r->ino, &dir);
	if (rc == 0)
		rc = tree_seek(&dir, r->name, &wait_list);
	if (is_not_yet(rc, wait_list)) {
		rc = wait_on(p, wait_list) ? -EINTR : 1;
		if (rc == 1) {
			core_unlock();
			return false;
		}
	}
	if (rc == 0)
		rc = tree_lookup(&dir, r->name, &s);
	if (rc == 0)
		spot_entry(&s, &entry);
	core_unlock();
	if (rc)
		fuse_reply_err(r->req, -rc);
	else
		fuse_reply_entry(r->req, &entry);
	return true;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct request r = {.req = req, .ino = parent, .attempt = lookup_below_fs};
	struct fuse_entry_param entry;
	struct spot dir, s;
	int rc;

	if (graft_owns(parent)) {
		fs_op(lookup, graft_node(parent))(req, graft_node(parent), name);
		return;
	}
	if (strlen(name) > NAME_MAX) {
		fuse_reply_err(req, ENAMETOOLONG);
		return;
	}
	core_lock();
	rc = tree_resolve(parent, &dir);
	if (rc == 0 && dir.node->graft) {
		core_unlock();
		strcpy(r.name, name);
		request_run(&r);
		return;
	}
	if (rc == 0)
		rc = tree_lookup(&dir, name, &s);
	if (rc == -ENOENT && dir.node->children && dir.node->children->seek) {
		core_unlock();
		strcpy(r.name, name);
		r.attempt = lookup_sought;
		request_run(&r);
		return;
	}
	if (rc == 0)
		spot_entry(&s, &entry);
	core_unlock();
	if (rc)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_entry(req, &entry);
}

/* Control files need no count of look-ups: their numbers say what they are. */
static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	if (graft_owns(ino))
		graft_forget(ino, nlookup);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		if (graft_owns(forgets[i].ino))
			graft_forget(forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

/* --- Attributes --- */

static void reply_spot(fuse_req_t req, fuse_ino_t ino)
{
	struct stat attr;
	struct spot s;
	double timeout = 0;
	int rc;

	core_lock();
	rc = tree_resolve(ino, &s);
	if (rc == -ESTALE && opened_spot(ino, &s))
		rc = 0;
	if (rc == 0) {
		spot_attributes(&s, &attr);
		opened_size(ino, &attr.st_size);
		timeout = spot_attribute_timeout(&s);
	}
	core_unlock();
	if (rc)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_attr(req, &attr, timeout);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (graft_owns(ino))
		fs_op(getattr, graft_node(ino))(req, graft_node(ino), fi);
	else
		reply_spot(req, ino);
}

/* Owner and mode are the mount's; times are what they are; cutting to nothing is an empty write. */
static int set_spot(fuse_ino_t ino, const struct stat *attr, int to_set)
{
	struct spot s;
	int rc;

	if (to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
		return -EPERM;
	if (!(to_set & FUSE_SET_ATTR_SIZE))
		return 0;
	if (attr->st_size != 0)
		return -EINVAL;
	core_lock();
	rc = tree_resolve(ino, &s);
	if (rc == 0)
		rc = tree_is_directory(&s) ? -EISDIR : handle_truncate(&s);
	core_unlock();
	return rc;
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		       struct fuse_file_info *fi)
{
	int rc;

	if (graft_owns(ino)) {
		fs_op(setattr, graft_node(ino))(req, graft_node(ino), attr, to_set, fi);
		return;
	}
	rc = set_spot(ino, attr, to_set);
	if (rc)
		fuse_reply_err(req, -rc);
	else
		reply_spot(req, ino);
}

static void op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	struct stat attr;
	struct spot s;
	int rc;

	if (graft_owns(ino)) {
		fs_op(access, graft_node(ino))(req, graft_node(ino), mask);
		return;
	}
	core_lock();
	rc = tree_resolve(ino, &s);
	if (rc == 0)
		spot_attributes(&s, &attr);
	core_unlock();
	if (rc == 0 && ((mask & R_OK && !(attr.st_mode & 0444)) || (mask & W_OK && !(attr.st_mode & 0222)) ||
			(mask & X_OK && !(attr.st_mode & 0111))))
		rc = -EACCES;
	fuse_reply_err(req, -rc);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st = {.f_bsize = 4096, .f_frsize = 4096, .f_namemax = NAME_MAX};
	struct graft *held;
	int err;
	struct graft_node *node = file_node(ino, &held, &err);

	if (node)
		fs_op(statfs, node)(req, node);
	else
		fuse_reply_statfs(req, &st);
	file_done(held);
}

/* --- Making and removing names --- */

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct fuse_entry_param entry;
	struct graft *held;
	struct spot dir, s;
	int err, rc;
	struct graft_node *node = file_node(parent, &held, &err);

	if (node || graft_owns(parent)) {
		fs_op(mkdir, node)(req, node, name, mode);
		file_done(held);
		return;
	}
	core_lock();
	rc = tree_resolve(parent, &dir);
	if (rc == 0 && dir.node->graft)
		rc = -err;
	if (rc == 0)
		rc = tree_mkdir(&dir, name, &s);
	if (rc == 0)
		spot_entry(&s, &entry);
	core_unlock();
	if (rc)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_entry(req, &entry);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct graft *held;
	struct spot dir;
	int err, rc;
	struct graft_node *node = file_node(parent, &held, &err);

	if (node || graft_owns(parent)) {
		fs_op(rmdir, node)(req, node, name);
		file_done(held);
		return;
	}
	core_lock();
	rc = tree_resolve(parent, &dir);
	if (rc == 0)
		rc = dir.node->graft ? -err : tree_rmdir(&dir, name);
	core_unlock();
	fuse_reply_err(req, -rc);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct graft *held;
	int err;
	struct graft_node *node = file_node(parent, &held, &err);

	if (node)
		fs_op(unlink, node)(req, node, name);
	else
		fuse_reply_err(req, err);
	file_done(held);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct graft *held;
	int err;
	struct graft_node *node = file_node(parent, &held, &err);

	if (node)
		fs_op(mknod, node)(req, node, name, mode, rdev);
	else
		fuse_reply_err(req, err);
	file_done(held);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct graft *held;
	int err;
	struct graft_node *node = file_node(parent, &held, &err);

	if (node)
		fs_op(symlink, node)(req, fs_inward(node, target), node, name);
	else
		fuse_reply_err(req, err);
	file_done(held);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct graft *held;
	int err;
	struct graft_node *node = file_node(ino, &held, &err);

	if (node)
		fs_op(readlink, node)(req, node);
	else
		fuse_reply_err(req, EINVAL);
	file_done(held);
}

/* Names of the control tree are what mkdir gave; between two grafts there is no rename. */
static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
		      const char *newname, unsigned int flags)
{
	struct graft *held, *newheld;
	int err, newerr;
	struct graft_node *from = file_node(parent, &held, &err);
	struct graft_node *to = file_node(newparent, &newheld, &newerr);

	if (from && to)
		fs_op(rename, from)(req, from, name, to, newname, flags);
	else
		fuse_reply_err(req, from ? EXDEV : err);
	file_done(held);
	file_done(newheld);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
	struct graft *held, *newheld;
	int err, newerr;
	struct graft_node *node = file_node(ino, &held, &err);
	struct graft_node *dir = file_node(newparent, &newheld, &newerr);

	if (node && dir)
		fs_op(link, node)(req, node, dir, newname);
	else
		fuse_reply_err(req, dir ? EXDEV : newerr);
	file_done(held);
	file_done(newheld);
}

/* --- Extended attributes: fs/ only --- */

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
			int flags)
{
	struct graft *held;
	int err;
	struct graft_node *node = file_node(ino, &held, &err);

	if (node)
		fs_op(setxattr, node)(req, node, name, value, size, flags);
	else
		fuse_reply_err(req, ENOTSUP);
	file_done(held);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct graft *held;
	int err;
	struct graft_node *node = file_node(ino, &held, &err);

	if (node)
		fs_op(getxattr, node)(req, node, name, size);
	else
		fuse_reply_err(req, ENOTSUP); /* and ls asks no more */
	file_done(held);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct graft *held;
	int err;
	struct graft_node *node = file_node(ino, &held, &err);

	if (node)
		fs_op(listxattr, node)(req, node, size);
	else if (size)
		fuse_reply_buf(req, NULL, 0);
	else
		fuse_reply_xattr(req, 0);
	file_done(held);
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct graft *held;
	int err;
	struct graft_node *node = file_node(ino, &held, &err);

	if (node)
		fs_op(removexattr, node)(req, node, name);
	else
		fuse_reply_err(req, ENODATA);
	file_done(held);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	/* O_TRUNC comes with the open, so `>` costs no request of its own. */
	conn->want |= conn->capable & FUSE_CAP_ATOMIC_O_TRUNC;
	/*
	 * Nothing is written back later, the kernel keeps no link texts, and copies
	 * beat splices for what is served here. With attributes below fs/ never kept,
	 * READDIRPLUS would only do look-ups twice.
	 */
	conn->want &= ~(unsigned)(FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_CACHE_SYMLINKS |
				  FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_DONT_MASK | FUSE_CAP_READDIRPLUS |
				  FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
	passthrough_init(conn);
	notify_init(conn);
	front.answering();
}

void ops_names(struct fuse_lowlevel_ops *ops)
{
	ops->init = op_init;
	ops->lookup = op_lookup;
	ops->forget = op_forget;
	ops->forget_multi = op_forget_multi;
	ops->getattr = op_getattr;
	ops->setattr = op_setattr;
	ops->access = op_access;
	ops->statfs = op_statfs;
	ops->mkdir = op_mkdir;
	ops->rmdir = op_rmdir;
	ops->unlink = op_unlink;
	ops->mknod = op_mknod;
	ops->symlink = op_symlink;
	ops->readlink = op_readlink;
	ops->rename = op_rename;
	ops->link = op_link;
	ops->setxattr = op_setxattr;
	ops->getxattr = op_getxattr;
	ops->listxattr = op_listxattr;
	ops->removexattr = op_removexattr;
}
