/* FUSE operations on open directories. */
#include "fuse/ops.h"

#include "fuse/bulk.h"
#include "fuse/pending.h"

#include <errno.h>

/* A listing of proc/ comes after the text that is on its way, one of what is known elsewhere after the
 * answer.
 */
static bool try_opendir(struct request *r, struct pending *p)
{
	struct list *wait_list = NULL;
	struct graft *graft = NULL;
	struct sandbox *sandbox;
	struct spot s;
	int rc;

	core_lock();
	rc = tree_resolve(r->ino, &s);
	if (rc == 0)
		rc =
		    s.node->graft ? fs_list(&s, r->ino, &graft, &wait_list) : tree_seek(&s, NULL, &wait_list);
	if (is_not_yet(rc, wait_list)) {
		rc = wait_on(p, wait_list) ? -EINTR : 1;
		if (rc == 1) {
			core_unlock();
			return false;
		}
	}
	if (rc == 0 && s.node->result) {
		sandbox = (struct sandbox *)s.object;
		if (inbox_must_wait(&sandbox->inbox)) {
			rc = wait_on(p, &sandbox->inbox.waiters) ? -EINTR : 1;
			if (rc == 1) {
				core_unlock();
				return false;
			}
		}
	}
	if (rc == 0) {
		r->fi.fh = 0;
		r->fi.cache_readdir = !tree_attributes_change(&s) && !s.node->graft;
		r->fi.keep_cache = r->fi.cache_readdir && tree_listing_lasts(&s);
	}
	core_unlock();
	if (graft) {
		fs_op(opendir, graft_root(graft))(r->req, graft_root(graft), &r->fi);
		graft_unref(graft);
	} else if (rc) {
		fuse_reply_err(r->req, -rc);
	} else {
		fuse_reply_open(r->req, &r->fi);
	}
	return true;
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct request r = {.req = req, .ino = ino, .fi = *fi, .attempt = try_opendir};
	struct graft *held;
	int err;
	struct graft_node *node = file_node(ino, &held, &err);

	if (node || graft_owns(ino))
		fs_op(opendir, node)(req, node, fi);
	else
		request_run(&r); /* fs/ of a sandbox that does not run is an empty directory */
	file_done(held);
}

/* One entry at the end of `out`; its size, which may be more than is left. */
static size_t add_entry(fuse_req_t req, char *out, size_t left, const char *name, const struct spot *s,
			off_t next)
{
	struct stat attr = {.st_ino = tree_number(s), .st_mode = tree_is_directory(s) ? S_IFDIR : S_IFREG};

	return fuse_add_direntry(req, out, left, name, &attr, next);
}

/* Offsets: 1 behind ".", 2 behind "..", then 2 + the tree's cursor. */
static size_t fill_directory(fuse_req_t req, const struct spot *dir, char *out, size_t size, off_t off)
{
	uint64_t cursor = off > 2 ? (uint64_t)off - 2 : 0;
	size_t used = 0, n;
	const char *name;
	struct spot s;

	if (off == 0) {
		n = add_entry(req, out, size, ".", dir, 1);
		if (n > size)
			return 0;
		used += n;
	}
	if (off <= 1) {
		tree_parent(dir, &s);
		n = add_entry(req, out + used, size - used, "..", &s, 2);
		if (n > size - used)
			return used;
		used += n;
	}
	while (tree_next(dir, &cursor, &s, &name)) {
		n = add_entry(req, out + used, size - used, name, &s, (off_t)cursor + 2);
		if (n > size - used)
			break;
		used += n;
	}
	return used;
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	size_t used = 0;
	struct spot s;
	char *bulk;
	int rc;

	if (fi->fh) {
		fs_open_op(readdir, fi)(req, size, off, fi, false);
		return;
	}
	bulk = bulk_take();
	rc = bulk ? 0 : -ENOMEM;
	core_lock();
	if (rc == 0)
		rc = tree_resolve(ino, &s);
	if (rc == 0)
		used = fill_directory(req, &s, bulk, size < BULK_SIZE ? size : BULK_SIZE, off);
	core_unlock();
	if (rc)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_buf(req, bulk, used);
	bulk_give(bulk);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	if (fi->fh)
		fs_open_op(releasedir, fi)(req, fi);
	else
		fuse_reply_err(req, 0);
}

void ops_directories(struct fuse_lowlevel_ops *ops)
{
	ops->opendir = op_opendir;
	ops->readdir = op_readdir;
	ops->releasedir = op_releasedir;
}
