/* fs/: the data of open files. */
#include "files/attr.h"
#include "files/data.h"
#include "files/walk.h"
#include "fuse/graft.h"
#include "fuse/graft_ops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* A copy asked for in one request is cut to this, so that it cannot hold a thread for long. */
#define COPY_MAX (128u << 20)

static struct graft_handle *handle(const struct fuse_file_info *fi)
{
	return (struct graft_handle *)(uintptr_t)fi->fh;
}

static int add_handle(struct graft_node *node, int fd, struct fuse_file_info *fi)
{
	struct graft_handle *h = graft_handle_new(node, fd, false);

	if (!h)
		return -ENOMEM;
	h->live = files_is_live(fd);
	fi->fh = (uintptr_t)h;
	/*
	 * Files of procfs have no size to go by. And where an appended byte lands only the
	 * file system below knows, while the kernel would put it into its cache where it
	 * believes the end to be.
	 */
	fi->direct_io = h->live || fi->flags & O_APPEND;
	fi->keep_cache = 0;
	return 0;
}

void graft_open(fuse_req_t req, struct graft_node *node, struct fuse_file_info *fi)
{
	bool changes = (fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC;
	struct graft *g = node->graft;
	int r = changes ? graft_enter_to_change(g) : graft_enter(g);

	if (r == 0) {
		r = files_open(node->fd, fi->flags);
		if (r >= 0)
			r = add_handle(node, r, fi);
		graft_leave(g);
	}
	if (r < 0)
		fuse_reply_err(req, -r);
	else if (fuse_reply_open(req, fi) < 0)
		graft_handle_free(handle(fi));
}

static int create(struct graft_node *dir, const char *name, mode_t mode, struct fuse_file_info *fi,
		  struct fuse_entry_param *e)
{
	int fd = files_create(dir->fd, name, fi->flags, mode), path, r;

	if (fd < 0)
		return fd;
	/* By the open file and not by its name, which the sandbox may have given to another one. */
	path = open(files_self(fd).path, O_PATH | O_CLOEXEC);
	r = path < 0 ? -errno : graft_entry(dir, name, S_IFREG, path, e);
	if (r < 0) {
		close(fd);
		return r;
	}
	r = add_handle(dir, fd, fi);
	if (r < 0)
		graft_forget(e->ino, 1);
	return r;
}

void graft_create(fuse_req_t req, struct graft_node *dir, const char *name, mode_t mode,
		  struct fuse_file_info *fi)
{
	struct graft *g = dir->graft;
	struct fuse_entry_param e;
	int r = graft_enter_to_change(g);

	if (r == 0) {
		r = create(dir, name, mode, fi, &e);
		graft_leave(g);
	}
	if (r < 0) {
		fuse_reply_err(req, -r);
	} else if (fuse_reply_create(req, &e, fi) < 0) {
		graft_handle_free(handle(fi));
		graft_forget(e.ino, 1);
	}
}

/* A live file's data is copied: splice does not know O_NONBLOCK for all of them. */
static void reply_live(fuse_req_t req, int fd, size_t size, off_t off)
{
	char *data = malloc(size);
	ssize_t len = data ? pread(fd, data, size, off) : -1;

	if (len < 0)
		fuse_reply_err(req, data ? errno : ENOMEM);
	else
		fuse_reply_buf(req, data, (size_t)len);
	free(data);
}

void graft_read(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct graft_handle *h = handle(fi);
	struct graft *g = h->graft;
	struct fuse_bufvec data = FUSE_BUFVEC_INIT(size);
	int r = graft_enter(g);

	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	data.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	data.buf[0].fd = h->fd;
	data.buf[0].pos = off;
	if (h->live)
		reply_live(req, h->fd, size, off);
	else
		fuse_reply_data(req, &data, 0);
	graft_leave(g);
}

void graft_write_buf(fuse_req_t req, struct fuse_bufvec *in, off_t off, struct fuse_file_info *fi)
{
	struct graft_handle *h = handle(fi);
	struct graft *g = h->graft;
	struct fuse_bufvec out = FUSE_BUFVEC_INIT(fuse_buf_size(in));
	ssize_t r = graft_enter(g);

	if (r == 0) {
		out.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
		out.buf[0].fd = h->fd;
		out.buf[0].pos = off;
		r = fuse_buf_copy(&out, in, h->live ? FUSE_BUF_NO_SPLICE : 0);
		graft_leave(g);
	}
	if (r < 0)
		fuse_reply_err(req, (int)-r);
	else
		fuse_reply_write(req, (size_t)r);
}

void graft_flush(fuse_req_t req, struct fuse_file_info *fi)
{
	(void)fi; /* every write was judged as it was done */
	fuse_reply_err(req, 0);
}

void graft_fsync(fuse_req_t req, int datasync, struct fuse_file_info *fi)
{
	struct graft_handle *h = handle(fi);
	struct graft *g = h->graft;
	int r = graft_enter(g);

	if (r == 0) {
		r = (datasync ? fdatasync(h->fd) : fsync(h->fd)) < 0 ? -errno : 0;
		graft_leave(g);
	}
	fuse_reply_err(req, -r);
}

void graft_fallocate(fuse_req_t req, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	struct graft_handle *h = handle(fi);
	struct graft *g = h->graft;
	int r = graft_enter(g);

	if (r == 0) {
		r = fallocate(h->fd, mode, off, len) < 0 ? -errno : 0;
		graft_leave(g);
	}
	fuse_reply_err(req, -r);
}

void graft_lseek(fuse_req_t req, off_t off, int whence, struct fuse_file_info *fi)
{
	struct graft_handle *h = handle(fi);
	struct graft *g = h->graft;
	off_t r = graft_enter(g);

	if (r == 0) {
		r = lseek(h->fd, off, whence);
		if (r < 0)
			r = -errno;
		graft_leave(g);
	}
	if (r < 0)
		fuse_reply_err(req, (int)-r);
	else
		fuse_reply_lseek(req, r);
}

void graft_copy_file_range(fuse_req_t req, struct fuse_file_info *in, off_t off_in,
			   struct fuse_file_info *out, off_t off_out, size_t len, int flags)
{
	struct graft_handle *from = handle(in), *to = handle(out);
	struct graft *g = from->graft;
	ssize_t r = to->graft == g ? graft_enter(g) : -EXDEV;

	if (r == 0) {
		r = copy_file_range(from->fd, &off_in, to->fd, &off_out, len < COPY_MAX ? len : COPY_MAX,
				    (unsigned int)flags);
		if (r < 0)
			r = -errno;
		graft_leave(g);
	}
	if (r < 0)
		fuse_reply_err(req, (int)-r);
	else
		fuse_reply_write(req, (size_t)r);
}

void graft_release(fuse_req_t req, struct fuse_file_info *fi)
{
	graft_handle_free(handle(fi));
	fuse_reply_err(req, 0);
}
