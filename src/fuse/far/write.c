/*
 * fs/ far away: changing what is in files.
 *
 * write(2) returns when its bytes are on their way, at most FAR_CHANGING_MAX of
 * them per file. The channel keeps their order before everything that is asked
 * later, and keeps them over a lost connection. What fails is told by the next
 * write, flush or fsync of the file.
 */
#include "core/waiter.h"
#include "core/backend.h"
#include "fuse/far/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int far_take_error(struct far_node *n)
{
	int error = n->error;

	n->error = 0;
	return error;
}

/* --- Not waited for --- */

static int on_change(struct far_aside *a, int error, struct file_reply *reply)
{
	struct far_node *n = a->node;

	n->done++;
	n->changing -= a->size;
	if (error && !n->error)
		n->error = error;
	if (error)
		n->has_attr = false;
	if (!error && a->size && a->number && reply->value != a->number && !n->error)
		n->error = -EIO; /* it stopped before its end, and did not say why */
	/* The answer to the last one tells how it is now; those before it told of what is over. */
	if (!error && n->given == n->done)
		far_set_attributes(n, &reply->attr);
	core_wake(&n->room);
	core_wake(&n->flushing);
	if (a->file)
		far_file_drop(a->file);
	return 0;
}

/* `file` NULL: with a handle of the node's. */
static int send_change(struct far_node *n, struct far_file *f, struct file_request *q)
{
	struct far_aside *a = far_aside_new(n->far, n);
	int rc;

	if (!a)
		return -ENOMEM;
	a->answered = on_change;
	a->file = f;
	a->size = q->op == FILE_WRITE ? q->data_len : 0;
	a->number = q->bits & FILE_OPEN_APPEND ? 0 : q->offset + q->data_len; /* 0: only the agent knows */
	n->given++;
	n->changing += a->size;
	if (f)
		far_file_hold(f);
	rc = far_aside_call(a, q);
	if (rc) {
		n->given--;
		n->changing -= q->op == FILE_WRITE ? q->data_len : 0;
		if (f)
			far_file_drop(f);
	}
	return rc;
}

int far_change_aside(struct far_node *n, struct file_request *q)
{
	return send_change(n, NULL, q);
}

/* --- write --- */

static void grow(struct far_node *n, uint64_t end)
{
	clock_gettime(CLOCK_REALTIME, &n->attr.st_mtim);
	if ((off_t)end > n->attr.st_size)
		n->attr.st_size = (off_t)end;
}

static int write_now(struct far_file *f, const char *data, size_t size, off_t off, bool append)
{
	struct file_request q = {.op = FILE_WRITE,
				 .handle = f->handle,
				 .offset = (uint64_t)off,
				 .bits = append ? FILE_OPEN_APPEND : 0,
				 .data = (const uint8_t *)data,
				 .data_len = (uint32_t)size};
	struct far_node *n = f->node;
	int rc = n->far->ended ? -ESHUTDOWN : far_take_error(n);

	if (rc == 0) {
		far_drop_data(n);
		f->changed = true;
		rc = send_change(n, f, &q);
	}
	if (rc == 0)
		grow(n, (uint64_t)off + size);
	return rc;
}

static bool has_room(const struct far_node *n, size_t size)
{
	return n->changing == 0 || n->changing + size <= FAR_CHANGING_MAX;
}

static bool reply_written(struct far_op *op)
{
	fuse_reply_write(op->req, op->size);
	return true;
}

static void write_when_room(struct far_op *op)
{
	if (has_room(op->node, op->size))
		far_op_finish(op, write_now(op->opened, op->data, op->size, op->off, op->flags));
	else
		far_op_wait(op, &op->node->room, write_when_room);
}

/* Where nothing can be known beforehand, as in procfs, the agent's word is waited for. */
static int on_written(struct far_op *op, struct file_reply *reply)
{
	if (!op->error) {
		if (!op->flags && reply->value > (uint64_t)op->off &&
		    reply->value - (uint64_t)op->off < op->size)
			op->size = reply->value - (uint64_t)op->off;
		far_forget_attributes(op->node);
	}
	far_op_finish(op, op->error);
	return 0;
}

static void ask_write(struct far_op *op)
{
	struct file_request q = {.op = FILE_WRITE,
				 .handle = op->opened->handle,
				 .offset = (uint64_t)op->off,
				 .bits = op->flags ? FILE_OPEN_APPEND : 0,
				 .data = (const uint8_t *)op->data,
				 .data_len = (uint32_t)op->size};

	far_drop_data(op->node);
	op->opened->changed = true;
	op->answered = on_written;
	far_op_call(op, &q);
}

static void write_parked(fuse_req_t req, char *data, size_t size, off_t off, struct far_file *f, bool append,
			 bool sync)
{
	struct far_op *op = far_op_new(req, f->node);

	if (!op) {
		free(data);
		return;
	}
	op->data = data;
	op->size = size;
	op->off = off;
	op->flags = append;
	op->reply = reply_written;
	far_op_hold(op, f);
	if (f->live || sync)
		ask_write(op);
	else
		write_when_room(op);
	core_unlock();
}

static void write_bytes(fuse_req_t req, const char *data, size_t size, off_t off, struct far_file *f,
			bool append, bool sync)
{
	bool waits;
	char *copy;
	int rc = 0;

	core_lock();
	f->node->giver = 0;
	waits = f->live || sync || !has_room(f->node, size);
	if (!waits)
		rc = write_now(f, data, size, off, append);
	core_unlock();
	if (!waits) {
		if (rc)
			fuse_reply_err(req, -rc);
		else
			fuse_reply_write(req, size);
		return;
	}
	copy = malloc(size + 1);
	if (!copy) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	memcpy(copy, data, size);
	write_parked(req, copy, size, off, f, append, sync);
}

void far_write_buf(fuse_req_t req, struct fuse_bufvec *in, off_t off, struct fuse_file_info *fi)
{
	size_t size = fuse_buf_size(in);
	struct fuse_bufvec flat = FUSE_BUFVEC_INIT(size);
	struct far_file *f = far_file(fi);
	bool append = fi->flags & O_APPEND && !fi->writepage; /* fcntl(2) changes it */
	/* Else the kernel asks for it itself, behind the write. */
	bool sync = append && fi->flags & O_DSYNC;

	if (size > FILE_READ_MAX || size == 0) {
		fuse_reply_err(req, size ? EINVAL : 0);
		return;
	}
	if (in->count == 1 && !(in->buf[0].flags & FUSE_BUF_IS_FD)) {
		write_bytes(req, (const char *)in->buf[0].mem + in->off, size, off, f, append, sync);
		return;
	}
	flat.buf[0].mem = malloc(size);
	if (!flat.buf[0].mem || fuse_buf_copy(&flat, in, 0) < 0)
		fuse_reply_err(req, EIO);
	else
		write_bytes(req, flat.buf[0].mem, size, off, f, append, sync);
	free(flat.buf[0].mem);
}

/* --- What waits for its answer --- */

static bool reply_lseek(struct far_op *op)
{
	fuse_reply_lseek(op->req, op->off);
	return true;
}

static int on_value(struct far_op *op, struct file_reply *reply)
{
	if (!op->error) {
		if (op->reply == reply_lseek)
			op->off = (off_t)reply->value;
		else
			far_set_attributes(op->node, &reply->attr);
		op->size = (size_t)reply->value;
	}
	far_op_finish(op, op->error);
	return 0;
}

void far_fallocate(fuse_req_t req, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	struct file_request q = {
	    .op = FILE_FALLOCATE, .offset = (uint64_t)off, .length = (uint64_t)len, .bits = (uint32_t)mode};
	struct far_file *f = far_file(fi);
	struct far_op *op = far_op_new(req, f->node);

	if (!op)
		return;
	far_drop_data(f->node);
	f->node->giver = 0;
	f->changed = true;
	far_op_hold(op, f);
	q.handle = f->handle;
	op->answered = on_value;
	far_op_call(op, &q);
	core_unlock();
}

void far_lseek(fuse_req_t req, off_t off, int whence, struct fuse_file_info *fi)
{
	struct file_request q = {.op = FILE_LSEEK,
				 .offset = (uint64_t)off,
				 .bits = whence == SEEK_HOLE ? FILE_SEEK_HOLE : FILE_SEEK_DATA};
	struct far_file *f = far_file(fi);
	struct far_op *op;

	/* All others are the kernel's. */
	if (whence != SEEK_DATA && whence != SEEK_HOLE) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	op = far_op_new(req, f->node);
	if (!op)
		return;
	far_op_hold(op, f);
	q.handle = f->handle;
	op->answered = on_value;
	op->reply = reply_lseek;
	far_op_call(op, &q);
	core_unlock();
}

void far_copy_file_range(fuse_req_t req, struct fuse_file_info *in, off_t off_in, struct fuse_file_info *out,
			 off_t off_out, size_t len, int flags)
{
	struct file_request q = {
	    .op = FILE_COPY_RANGE, .offset = (uint64_t)off_in, .other_offset = (uint64_t)off_out};
	struct far_file *from = far_file(in), *to = far_file(out);
	struct far_op *op;

	(void)flags; /* none are known */
	if (from->far != to->far) {
		fuse_reply_err(req, EXDEV);
		return;
	}
	op = far_op_new(req, to->node);
	if (!op)
		return;
	far_drop_data(to->node);
	to->node->giver = 0;
	to->changed = true;
	far_op_hold(op, to);
	op->other = far_node_ref(from->node);
	q.handle = from->handle;
	q.other = to->handle;
	q.length = len < FILE_COPY_MAX ? len : FILE_COPY_MAX;
	op->answered = on_value;
	op->reply = reply_written;
	far_op_call(op, &q);
	core_unlock();
}
