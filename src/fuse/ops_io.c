/* FUSE operations on open files and directories. */
#include "fuse/ops.h"

#include "fuse/amend.h"
#include "fuse/bulk.h"
#include "fuse/graft/index.h"
#include "fuse/pending.h"
#include "fuse/poll.h"
#include "fuse/same_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An open control file as this layer keeps it in fi->fh. */
struct opened {
	struct list link;	 /* of all; this and the next under the core lock */
	struct hashed by_number; /* of those whose number no other open has; hash 0: it is not there */
	fuse_ino_t number;
	struct spot spot; /* what was opened; `handle` keeps the object */
	struct handle *handle;
	struct watch *watch;
};

static struct list all_opened = {&all_opened, &all_opened};
static struct index opened_alone;

static struct opened *opened_of(const struct fuse_file_info *fi)
{
	return (struct opened *)(uintptr_t)fi->fh;
}

/* --- Open and release --- */

static void close_opened(struct opened *o)
{
	core_lock();
	list_remove(&o->link);
	if (o->by_number.hash)
		index_remove(&opened_alone, &o->by_number);
	watch_drop(o->watch);
	handle_release(o->handle);
	core_unlock();
	free(o);
}

/*
 * fstat(2) reaches us with a number and no handle. What was opened stays bound to the command that was
 * latest then, so such a file has a number of its own by which its handle is found.
 */
int opened_size(fuse_ino_t ino, int64_t *ret)
{
	struct hashed *at = index_first(&opened_alone, hash_stable(ino));

	if (!at)
		return -ENOENT;
	*ret = handle_size(container_of(at, struct opened, by_number)->handle);
	return 0;
}

/* Of all that is open: this is asked for rarely. */
bool opened_spot(fuse_ino_t ino, struct spot *ret)
{
	for (struct list *at = all_opened.next; at != &all_opened; at = at->next) {
		const struct opened *o = container_of(at, struct opened, link);

		if (o->number == ino) {
			*ret = o->spot;
			return true;
		}
	}
	return false;
}

static void opened_flags(struct opened *o, struct fuse_file_info *fi)
{
	fi->fh = (uintptr_t)o;
	fi->direct_io = 1; /* sizes change and reads wait: the page cache has no part in this */
	fi->noflush = (fi->flags & O_ACCMODE) == O_RDONLY;
	fi->nonseekable = o->handle->node->terminal ||
			  (o->handle->node->submit && (fi->flags & O_ACCMODE) == O_RDWR) || o->handle->calls;
}

static bool try_open(struct request *r, struct pending *p)
{
	struct opened *o = calloc(1, sizeof *o);
	struct list *wait_list = NULL;
	struct spot s;
	int rc = o ? 0 : -ENOMEM;

	core_lock();
	if (rc == 0)
		rc = tree_resolve(r->ino, &s);
	if (rc == 0)
		rc = handle_open(&s, r->fi.flags, fuse_req_ctx(r->req)->pid, &r->opening, &wait_list);
	if (is_not_yet(rc, wait_list)) {
		rc = wait_on(p, wait_list) ? -EINTR : 1;
		if (rc == 1) {
			core_unlock();
			free(o);
			return false;
		}
	}
	if (rc == 0 && (r->opening->stream || r->opening->comparison) && tree_wants_fresh_number(&s))
		rc = index_add(&opened_alone, &o->by_number, hash_stable(r->ino));
	if (rc == 0) {
		o->handle = r->opening;
		r->opening = NULL;
		o->number = r->ino;
		o->spot = s;
		list_append(&all_opened, &o->link);
		opened_flags(o, &r->fi);
	}
	if (r->opening)
		handle_release(r->opening);
	r->opening = NULL;
	core_unlock();
	if (rc) {
		free(o);
		fuse_reply_err(r->req, -rc);
		return true;
	}
	if (r->fi.nonseekable)
		amend_stream();
	if (fuse_reply_open(r->req, &r->fi) == -ENOENT) /* interrupted: there will be no release */
		close_opened(o);
	return true;
}

/* What it takes to have the kernel forget many files is done before the command is given, and the lock held
 * for that. */
static void forget_early(fuse_ino_t ino)
{
	struct graft *graft = NULL;
	struct spot s;

	core_lock();
	if (tree_resolve(ino, &s) == 0)
		fs_forget_early(&s, &graft);
	core_unlock();
	if (!graft)
		return;
	graft_forget_known(graft);
	graft_unref(graft);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct request r = {.req = req, .ino = ino, .fi = *fi, .attempt = try_open};

	if (graft_owns(ino)) {
		fs_op(open, graft_node(ino))(req, graft_node(ino), fi);
		return;
	}
	if ((fi->flags & O_ACCMODE) != O_RDONLY)
		forget_early(ino);
	request_run(&r);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct opened *o = opened_of(fi);

	if (graft_owns(ino)) {
		fs_open_op(release, fi)(req, fi);
		return;
	}
	close_opened(o);
	fuse_reply_err(req, 0);
}

void ops_files_end(void)
{
	while (!list_empty(&all_opened))
		close_opened(container_of(all_opened.next, struct opened, link));
	index_free(&opened_alone);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *fi)
{
	struct graft *held;
	int err;
	struct graft_node *node = file_node(parent, &held, &err);

	if ((fi->flags & O_TMPFILE) == O_TMPFILE && !node)
		fuse_reply_err(req, EOPNOTSUPP);
	else if (node)
		fs_op(create, node)(req, node, name, mode, fi);
	else
		fuse_reply_err(req, err);
	file_done(held);
}

/* --- Read --- */

static void reply_served(fuse_req_t req, struct handle *h, struct served *served)
{
	char *bulk = bulk_take();
	ssize_t n = bulk ? pread(served->fd, bulk, served->len, (off_t)served->offset) : -1;

	if (n < 0) {
		fuse_reply_err(req, errno);
	} else {
		core_lock();
		handle_advance(h, served, (size_t)n);
		core_unlock();
		fuse_reply_buf(req, bulk, (size_t)n);
	}
	bulk_give(bulk);
}

static bool try_read(struct request *r, struct pending *p)
{
	struct list *wait_list = NULL;
	struct served served;
	struct handle *h;
	char *bulk = NULL;
	int rc;

	core_lock();
	h = opened_of(&r->fi)->handle;
	rc = handle_read(h, r->size < BULK_SIZE ? r->size : BULK_SIZE, (uint64_t)r->off, &served, &wait_list);
	if (is_not_yet(rc, wait_list) && !(r->fi.flags & O_NONBLOCK)) {
		rc = wait_on(p, wait_list) ? -EINTR : 1;
		if (rc == 1) {
			core_unlock();
			return false;
		}
	}
	if (rc == 0 && served.data) {
		bulk = bulk_take();
		rc = bulk ? 0 : -ENOMEM;
		if (bulk) {
			memcpy(bulk, served.data, served.len);
			handle_advance(h, &served, served.len);
		}
	}
	core_unlock();
	if (rc)
		fuse_reply_err(r->req, -rc);
	else if (bulk || served.len == 0)
		fuse_reply_buf(r->req, bulk, served.len);
	else
		reply_served(r->req, h, &served);
	bulk_give(bulk);
	return true;
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct request r = {.req = req, .ino = ino, .fi = *fi, .size = size, .off = off, .attempt = try_read};

	if (graft_owns(ino))
		fs_open_op(read, fi)(req, size, off, fi);
	else
		request_run(&r);
}

/* --- Write --- */

static bool try_write(struct request *r, struct pending *p)
{
	struct list *wait_list = NULL;
	struct handle *h;
	ssize_t n;

	core_lock();
	h = opened_of(&r->fi)->handle;
	n = handle_write(h, r->data, r->size, &wait_list);
	if (is_not_yet(n, wait_list) && !(r->fi.flags & O_NONBLOCK)) {
		if (!wait_on(p, wait_list)) {
			core_unlock();
			return false;
		}
		n = -EINTR;
	}
	core_unlock();
	if (n < 0)
		fuse_reply_err(r->req, (int)-n);
	else
		fuse_reply_write(r->req, (size_t)n);
	return true;
}

static void op_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *in, off_t off,
			 struct fuse_file_info *fi)
{
	struct request r = {.req = req, .ino = ino, .fi = *fi, .off = off, .attempt = try_write};
	struct fuse_bufvec flat = FUSE_BUFVEC_INIT(fuse_buf_size(in));

	if (graft_owns(ino)) {
		fs_open_op(write_buf, fi)(req, in, off, fi);
		return;
	}
	r.size = flat.buf[0].size;
	if (in->count == 1 && !(in->buf[0].flags & FUSE_BUF_IS_FD)) { /* the usual case: it is in memory */
		r.data = in->buf[0].mem;
		request_run(&r);
		return;
	}
	flat.buf[0].mem = r.data = malloc(r.size + 1);
	if (!r.data || fuse_buf_copy(&flat, in, 0) < 0)
		fuse_reply_err(req, EIO);
	else
		request_run(&r);
	free(flat.buf[0].mem);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct handle *h;
	bool by_opener;
	int opener, rc;

	if (graft_owns(ino)) {
		fs_open_op(flush, fi)(req, fi);
		return;
	}
	core_lock();
	h = opened_of(fi)->handle;
	by_opener = handle_minds_who_flushes(h);
	opener = h->opener;
	core_unlock();
	/* A look into /proc, if the threads differ: not under the lock. */
	by_opener = by_opener && same_process(opener, fuse_req_ctx(req)->pid);
	core_lock();
	rc = handle_flush(h, by_opener);
	core_unlock();
	fuse_reply_err(req, -rc);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	int rc;

	if (graft_owns(ino)) {
		fs_open_op(fsync, fi)(req, datasync, fi);
		return;
	}
	core_lock();
	rc = handle_fsync(opened_of(fi)->handle);
	core_unlock();
	fuse_reply_err(req, -rc);
}

static void op_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct fuse_pollhandle *ph)
{
	struct opened *o = opened_of(fi);
	struct list *wait_list = NULL;
	unsigned events = POLLIN | POLLOUT;

	if (graft_owns(ino)) {
		if (ph)
			fuse_pollhandle_destroy(ph);
		fuse_reply_poll(req, events);
		return;
	}
	core_lock();
	events = handle_poll(o->handle, &wait_list);
	if (ph && (!wait_list || watch_arm(&o->watch, ph, wait_list)))
		wait_list = NULL;
	core_unlock();
	if (ph && !wait_list)
		fuse_pollhandle_destroy(ph);
	fuse_reply_poll(req, events);
}

/* --- What only files below fs/ can do --- */

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
			 struct fuse_file_info *fi)
{
	if (graft_owns(ino))
		fs_open_op(fallocate, fi)(req, mode, off, len, fi);
	else
		fuse_reply_err(req, EOPNOTSUPP);
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	if (graft_owns(ino))
		fs_open_op(lseek, fi)(req, off, whence, fi);
	else
		fuse_reply_err(req, EINVAL);
}

static void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in, struct fuse_file_info *fi_in,
			       fuse_ino_t ino_out, off_t off_out, struct fuse_file_info *fi_out, size_t len,
			       int flags)
{
	if (graft_owns(ino_in) && graft_owns(ino_out) && fi_in->fh % 2 == fi_out->fh % 2)
		fs_open_op(copy_file_range, fi_in)(req, fi_in, off_in, fi_out, off_out, len, flags);
	else
		fuse_reply_err(req, EXDEV);
}

void ops_files(struct fuse_lowlevel_ops *ops)
{
	ops->open = op_open;
	ops->release = op_release;
	ops->create = op_create;
	ops->read = op_read;
	ops->write_buf = op_write_buf;
	ops->flush = op_flush;
	ops->fsync = op_fsync;
	ops->poll = op_poll;
	ops->fallocate = op_fallocate;
	ops->lseek = op_lseek;
	ops->copy_file_range = op_copy_file_range;
}
