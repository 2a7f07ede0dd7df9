/* fs/: the data of open files. */
#include "files/data.h"
#include "fuse/bulk.h"
#include "fuse/graft/graft.h"
#include "fuse/graft/nodes.h"

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

/* Copied by way of a buffer that stays with the thread: libfuse's own would be mapped anew each time. */
void graft_read(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct graft_handle *h = handle(fi);
	struct graft *g = h->graft;
	ssize_t r = graft_enter(g);
	char *bulk = r == 0 ? bulk_take() : NULL;

	if (r == 0) {
		r = bulk ? pread(h->fd, bulk, size < BULK_SIZE ? size : BULK_SIZE, off) : -1;
		if (r < 0)
			r = bulk ? -errno : -ENOMEM;
		graft_leave(g);
	}
	if (r < 0)
		fuse_reply_err(req, (int)-r);
	else
		fuse_reply_buf(req, bulk, (size_t)r);
	bulk_give(bulk);
}

/* Where O_APPEND is not as the descriptor has it: fcntl(2) changes it, and a mapped page has its place. */
static ssize_t write_otherwise(struct graft_handle *h, struct fuse_bufvec *in, off_t off, bool append)
{
	struct fuse_bufvec flat = FUSE_BUFVEC_INIT(fuse_buf_size(in));
	ssize_t r;

	flat.buf[0].mem = malloc(flat.buf[0].size);
	r = flat.buf[0].mem ? fuse_buf_copy(&flat, in, 0) : -ENOMEM;
	if (r >= 0)
		r = append ? files_append(h->fd, flat.buf[0].mem, (size_t)r)
			   : files_write_at(h->fd, flat.buf[0].mem, (size_t)r, off);
	free(flat.buf[0].mem);
	return r;
}

void graft_write_buf(fuse_req_t req, struct fuse_bufvec *in, off_t off, struct fuse_file_info *fi)
{
	struct graft_handle *h = handle(fi);
	struct graft *g = h->graft;
	struct fuse_bufvec out = FUSE_BUFVEC_INIT(fuse_buf_size(in));
	bool append = fi->flags & O_APPEND && !fi->writepage;
	ssize_t r = graft_enter(g);

	if (r == 0 && append != !!(fcntl(h->fd, F_GETFL) & O_APPEND)) {
		r = write_otherwise(h, in, off, append);
		graft_leave(g);
	} else if (r == 0) {
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
