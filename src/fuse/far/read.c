/* fs/ far away: reading. Who reads in sequence finds the next megabytes here already. */
#include "core/waiter.h"
#include "core/backend.h"
#include "fuse/far/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_FIRST (256u << 10)
#define WINDOW_MAX   (4u << 20)

/* --- Pieces --- */

static void piece_free(struct far_piece *p)
{
	struct far_file *f = p->file;

	list_remove(&p->link);
	f->held -= p->asked;
	f->far->ahead -= p->asked;
	core_wake(&p->waiting);
	free(p->data);
	free(p);
}

/* One on its way is freed when it comes; until then it is on no list. */
static void piece_forget(struct far_piece *p)
{
	if (p->here) {
		piece_free(p);
		return;
	}
	list_remove(&p->link);
	core_wake(&p->waiting);
	file_calls_forsake(p->file->far->calls, p->call);
}

void far_file_drop_data(struct far_file *f)
{
	if (f->content)
		f->far->ahead -= f->content_len;
	free(f->content);
	f->content = NULL;
	f->content_len = 0;
	while (!list_empty(&f->pieces))
		piece_forget(container_of(f->pieces.next, struct far_piece, link));
}

void far_drop_data(struct far_node *n)
{
	n->has_pages = false;
	n->drops++;
	list_each (pos, &n->files)
		far_file_drop_data(container_of(pos, struct far_file, link));
}

static int on_read(struct far_aside *a, int error, struct file_reply *reply)
{
	struct far_piece *p = a->piece;
	struct far_file *f = p->file;

	if (!error && reply->data_len > p->asked)
		error = -EPROTO;
	p->here = true;
	p->call = NULL;
	p->error = error;
	if (!error) {
		p->data = malloc((size_t)reply->data_len + 1);
		p->got = p->data ? reply->data_len : 0;
		if (p->got) /* not what was forsaken */
			memcpy(p->data, reply->data, p->got);
		else if (!p->data)
			p->error = -ENOMEM;
	}
	if (list_empty(&p->link))
		piece_free(p); /* nobody wants it any more */
	else
		core_wake(&p->waiting);
	far_file_drop(f);
	return error == -EPROTO ? error : 0;
}

static struct far_piece *piece_new(struct far_file *f, uint64_t offset, uint32_t size)
{
	struct far_piece *p = calloc(1, sizeof *p);
	struct far_aside *a = p ? far_aside_new(f->far, f->node) : NULL;
	struct file_request q = {.op = FILE_READ, .handle = f->handle, .offset = offset, .length = size};

	if (!a) {
		free(p);
		return NULL;
	}
	p->file = f;
	p->offset = offset;
	p->asked = size;
	list_init(&p->waiting);
	list_append(&f->pieces, &p->link);
	f->held += size;
	f->far->ahead += size;
	a->piece = p;
	p->call = &a->call;
	a->answered = on_read;
	a->call.expected = size;
	far_file_hold(f);
	if (far_aside_call(a, &q)) {
		f->calls--;
		piece_free(p);
		return NULL;
	}
	return p;
}

static struct far_piece *piece_at(struct far_file *f, uint64_t offset)
{
	list_each (pos, &f->pieces) {
		struct far_piece *p = container_of(pos, struct far_piece, link);

		if (offset >= p->offset && offset < p->offset + p->asked)
			return p;
	}
	return NULL;
}

/* --- Ahead --- */

/* Those wholly behind the reader, but for a little that requests overtaken by others may still want. */
static void forget_behind(struct far_file *f, uint64_t offset)
{
	list_each_safe (pos, &f->pieces) {
		struct far_piece *p = container_of(pos, struct far_piece, link);

		if (p->here && list_empty(&p->waiting) && p->offset + p->asked + WINDOW_FIRST <= offset)
			piece_forget(p);
	}
}

static void note_sequence(struct far_file *f, uint64_t offset, size_t size)
{
	/* The kernel's own read-ahead sends requests from several threads: near is in sequence too. */
	bool near = offset + WINDOW_FIRST >= f->expected && offset <= f->expected + WINDOW_FIRST;

	if (!near) {
		f->window = 0;
		f->expected = offset + size;
		return;
	}
	if (offset + size > f->expected)
		f->expected = offset + size;
	f->window = f->window ? f->window * 2 : WINDOW_FIRST;
	if (f->window > WINDOW_MAX)
		f->window = WINDOW_MAX;
	forget_behind(f, offset);
}

static void fetch_ahead(struct far_file *f)
{
	uint64_t at = f->expected, end = f->expected + f->window, size = (uint64_t)f->node->attr.st_size;

	if (end > size)
		end = size;
	while (at < end && f->far->ahead < FAR_AHEAD_MAX) {
		struct far_piece *p = piece_at(f, at);
		uint64_t want = f->window / 4 > WINDOW_FIRST ? f->window / 4 : WINDOW_FIRST;

		if (p) {
			at = p->offset + p->asked;
			continue;
		}
		if (want > size - at)
			want = size - at;
		if (!piece_new(f, at, (uint32_t)want))
			return;
		at += want;
	}
}

/* --- Reads --- */

/* Whether changes of it are heard, by a watch of its own or under its name: else nothing read is kept. */
static bool is_heard(const struct far_file *f)
{
	const struct far_node *n = f->node;

	return !f->live && (n->watch || (n->entry && n->place && n->place->watch));
}

/* -EAGAIN with *ret_wait: not here yet. Else how many bytes, or -errno, which may be -EAGAIN too. */
static ssize_t collect(struct far_file *f, char *out, size_t size, uint64_t offset,
		       struct far_piece **ret_wait)
{
	size_t used = 0;

	if (f->content) {
		if (offset >= f->content_len)
			return 0;
		used = f->content_len - offset < size ? f->content_len - offset : size;
		memcpy(out, f->content + offset, used);
		return (ssize_t)used;
	}
	while (used < size) {
		struct far_piece *p = piece_at(f, offset + used);
		size_t skip, n;

		if (!p)
			p = piece_new(f, offset + used, (uint32_t)(size - used));
		if (!p)
			return -ENOMEM;
		if (!p->here) {
			*ret_wait = p;
			return -EAGAIN;
		}
		if (p->error) {
			int error = p->error;

			piece_forget(p);
			return used ? (ssize_t)used : error;
		}
		skip = offset + used - p->offset;
		n = p->got > skip ? p->got - skip : 0;
		if (n > size - used)
			n = size - used;
		memcpy(out + used, p->data + skip, n);
		used += n;
		if (p->got < p->asked && used < size) /* its end, then */
			break;
	}
	return (ssize_t)used;
}

static bool reply_data(struct far_op *op)
{
	fuse_reply_buf(op->req, op->data, op->size);
	return true;
}

static void try_read(struct far_op *op)
{
	struct far_file *f = op->opened;
	struct far_piece *wait = NULL;
	ssize_t n = op->far->ended ? -ESHUTDOWN : collect(f, op->data, op->number, (uint64_t)op->off, &wait);

	if (wait) {
		far_op_wait(op, &wait->waiting, try_read);
		return;
	}
	if (f->window == 0 || !is_heard(f)) { /* one piece for one read: not kept for a second */
		struct far_piece *p = piece_at(f, (uint64_t)op->off);

		if (p && p->here)
			piece_forget(p);
	}
	op->size = n > 0 ? (size_t)n : 0;
	far_op_finish(op, n < 0 ? (int)n : 0);
}

void far_read(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct far_file *f = far_file(fi);
	struct far_piece *wait = NULL;
	struct far_op *op;
	bool known = false;
	ssize_t n = 0;
	char *out;

	if (size > FILE_READ_MAX)
		size = FILE_READ_MAX;
	out = malloc(size + 1);
	if (!out) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	core_lock();
	if (f->far->ended) {
		known = true;
		n = -ESHUTDOWN;
	} else if (is_heard(f)) {
		note_sequence(f, (uint64_t)off, size);
		n = collect(f, out, size, (uint64_t)off, &wait);
		known = !wait;
		if (!f->content)
			fetch_ahead(f);
	}
	core_unlock();
	if (known) {
		if (n < 0)
			fuse_reply_err(req, (int)-n);
		else
			fuse_reply_buf(req, out, (size_t)n);
		free(out);
		return;
	}
	op = far_op_new(req, f->node);
	if (!op) {
		free(out);
		return;
	}
	op->data = out;
	op->number = size;
	op->off = off;
	op->reply = reply_data;
	far_op_hold(op, f);
	try_read(op);
	core_unlock();
}
