/* fs/ far away: opening, closing and syncing files. */
#include "fuse/far/file.h"

#include "core/backend.h"
#include "fuse/far/names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

uint64_t far_file_handle(const struct fuse_file_info *fi)
{
	return far_file(fi)->handle;
}

/* --- Life --- */

static struct far_file *file_new(struct far_node *n, uint64_t handle, const struct fuse_file_info *fi)
{
	struct far_file *f = calloc(1, sizeof *f);

	if (!f)
		return NULL;
	f->far = far_ref(n->far);
	f->node = far_node_ref(n);
	f->handle = handle;
	f->writes = (fi->flags & O_ACCMODE) != O_RDONLY;
	list_init(&f->pieces);
	list_append(&n->files, &f->link);
	return f;
}

static void free_if_done(struct far_file *f)
{
	struct far *far = f->far;
	struct far_node *n = f->node;

	if (!f->closed || f->calls)
		return;
	far_release_handle(far, f->handle);
	/* The agent hears that it was closed after being written to, and we of it: it is asked for in time.
	 */
	if (f->changed && !f->live && n->node && n->place && n->place->has_handle && !far->ended)
		far_look_aside(n->place, n->name, 0);
	list_remove(&f->link);
	/* Found again by its name when it is needed. */
	if (n->refs == 2 && list_empty(&n->files)) {
		far_node_unref(n);
		far_node_relax(n);
	} else {
		far_node_unref(n);
	}
	free(f);
	far_unref(far);
}

void far_file_hold(struct far_file *f)
{
	f->calls++;
}

void far_file_drop(struct far_file *f)
{
	f->calls--;
	free_if_done(f);
}

void far_op_hold(struct far_op *op, struct far_file *f)
{
	far_file_hold(f);
	op->opened = f;
	op->let_go = far_file_drop;
}

static void file_close(struct far_file *f)
{
	f->closed = true;
	far_file_drop_data(f);
	free_if_done(f);
}

/* --- Opening --- */

static bool same_pages(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* How the kernel is to treat it. */
static void set_modes(struct far_file *f, struct fuse_file_info *fi, const struct stat *st)
{
	struct far_node *n = f->node;

	/* Where an appended byte lands only the far end knows. */
	fi->direct_io = f->live || fi->flags & O_APPEND;
	fi->keep_cache = !f->live && n->has_pages && same_pages(&n->pages, st);
	fi->noflush = !f->writes && n->given == n->done;
	if (!fi->direct_io) {
		n->pages = *st;
		n->has_pages = !f->writes;
	}
}

static void keep_content(struct far_file *f, const struct file_reply *reply)
{
	struct far *far = f->far;

	if (!reply->flag || f->live || far->ahead + reply->data_len > FAR_AHEAD_MAX)
		return;
	f->content = malloc((size_t)reply->data_len + 1);
	if (!f->content)
		return;
	memcpy(f->content, reply->data, reply->data_len);
	f->content_len = reply->data_len;
	far->ahead += f->content_len;
}

static void take_attributes(struct far_node *n, const struct file_reply *reply)
{
	if (reply->watch && n->watch != reply->watch)
		far_node_watch(n, reply->watch);
	if (n->given == n->done)
		far_set_attributes(n, &reply->attr);
}

static bool reply_open(struct far_op *op)
{
	return fuse_reply_open(op->req, &op->fi) != -ENOENT;
}

static bool reply_create(struct far_op *op)
{
	return fuse_reply_create(op->req, &op->entry, &op->fi) != -ENOENT;
}

static void undo_open(struct far_op *op)
{
	if (op->opened)
		file_close(op->opened);
}

static int on_open(struct far_op *op, struct file_reply *reply)
{
	struct far_node *n = op->node;
	struct far_file *f = NULL;

	if (!op->error && !far_node_is(n, &reply->attr))
		op->error = -ESTALE;
	if (!op->error && !(f = file_new(n, op->number, &op->fi)))
		op->error = -ENOMEM;
	if (op->error) {
		if (reply && !reply->error)
			far_release_handle(op->far, op->number);
		far_op_finish(op, op->error);
		return 0;
	}
	op->opened = f;
	op->fi.fh = (uintptr_t)f | FAR_BIT;
	f->live = !reply->watch;
	take_attributes(n, reply);
	if (n->drops == op->drops) /* nothing was written since it was asked for */
		keep_content(f, reply);
	set_modes(f, &op->fi, &reply->attr);
	far_op_finish(op, 0);
	return 0;
}

void far_open(fuse_req_t req, struct graft_node *node, struct fuse_file_info *fi)
{
	struct file_request q = {.op = FILE_OPEN, .flags = FILE_WATCH, .bits = file_open_bits(fi->flags)};
	struct far_op *op = far_op_new(req, far_node(node));
	int rc;

	if (!op)
		return;
	rc = far_node_need(op->node);
	if (rc) {
		far_op_finish(op, rc);
		core_unlock();
		return;
	}
	op->fi = *fi;
	op->number = q.fresh_file = far_new_handle(op->far);
	q.handle = op->node->handle;
	if ((fi->flags & O_ACCMODE) == O_RDONLY)
		q.length = FILE_CONTENT_MAX;
	op->answered = on_open;
	op->reply = reply_open;
	op->undo = undo_open;
	op->call.expected = (uint32_t)q.length;
	if (fi->flags & O_TRUNC)
		far_drop_data(op->node);
	op->drops = op->node->drops;
	far_op_call(op, &q);
	core_unlock();
}

/* --- Creating --- */

/* `op->node` is the directory, `name` NULL for a file without one. The node of what was made, or NULL. */
static struct far_node *node_made(struct far_op *op, const char *name, const struct file_reply *reply)
{
	struct far_node *n;

	if (!op->req || far_fill_entry(op->node, name, &reply->attr, &op->entry))
		return NULL;
	n = graft_node(op->entry.ino)->far;
	op->opened = file_new(n, op->number, &op->fi);
	return op->opened ? n : NULL;
}

static int not_made(struct far_op *op, const struct file_reply *reply)
{
	if (reply && !reply->error) {
		far_release_handle(op->far, op->number);
		far_release_handle(op->far, op->number - 1);
	}
	far_op_finish(op, op->error);
	return 0;
}

static void take_handles(struct far_op *op, struct far_node *n)
{
	op->fi.fh = (uintptr_t)op->opened | FAR_BIT;
	far_node_take_handle(n, op->number - 1); /* not needed where it was there, and known */
	far_drop_data(n);
}

static int on_create(struct far_op *op, struct file_reply *reply)
{
	struct far_node *n = NULL;

	if (!op->error && !S_ISREG(reply->attr.st_mode))
		op->error = -ESTALE;
	if (!op->error) {
		far_learn(op->node, op->name, reply);
		far_learn_parent(op->node, &reply->parent);
		n = node_made(op, op->name, reply);
		if (!n)
			op->error = op->req ? -ENOMEM : -EINTR;
	}
	if (op->error)
		return not_made(op, reply);
	take_handles(op, n);
	/* Made by the agent's user just now: nobody can forbid that user what an owner may. */
	n->ours = reply->attr.st_size == 0 && reply->attr.st_nlink == 1 && op->flags;
	n->incapable = n->ours && op->node->watch;
	if (n->entry && n->ours) /* an ACL it may have from its directory, and nothing else */
		n->entry->plain = far_is_plain(op->node);
	op->opened->live = !op->node->watch;
	set_modes(op->opened, &op->fi, &reply->attr);
	far_op_finish(op, 0);
	return 0;
}

/* Only who has it open knows of it: pages the kernel keeps are true until it gets a name. */
static int on_tmpfile(struct far_op *op, struct file_reply *reply)
{
	struct far_node *n = NULL;

	if (!op->error && !S_ISREG(reply->attr.st_mode))
		op->error = -ESTALE;
	if (!op->error && !(n = node_made(op, NULL, reply)))
		op->error = op->req ? -ENOMEM : -EINTR;
	if (op->error)
		return not_made(op, reply);
	take_handles(op, n);
	n->ours = reply->attr.st_size == 0;
	set_modes(op->opened, &op->fi, &reply->attr);
	far_op_finish(op, 0);
	return 0;
}

void far_create(fuse_req_t req, struct graft_node *node, const char *name, mode_t mode,
		struct fuse_file_info *fi)
{
	bool named = (fi->flags & O_TMPFILE) != O_TMPFILE;
	struct file_request q = {.op = named ? FILE_CREATE : FILE_TMPFILE,
				 .flags = named ? FILE_WATCH : 0,
				 .depth = FILE_LINK_RAW,
				 .bits = file_open_bits(fi->flags),
				 .mode = mode & 07777};
	struct far_op *op = far_op_new(req, far_node(node));
	struct far_entry *e;
	int rc;

	if (!op)
		return;
	rc = strlen(name) > NAME_MAX ? -ENAMETOOLONG : far_node_need(op->node);
	if (rc) {
		far_op_finish(op, rc);
		core_unlock();
		return;
	}
	op->fi = *fi;
	strcpy(op->name, name);
	strcpy(q.name, name);
	/* Surely made, and not found there: */
	op->flags = fi->flags & O_EXCL || (far_dir_know(op->node, name, &e) == 0 && !e);
	q.handle = op->node->handle;
	q.fresh = far_new_handle(op->far);
	op->number = q.fresh_file = far_new_handle(op->far);
	op->answered = named ? on_create : on_tmpfile;
	op->reply = reply_create;
	op->undo = undo_open;
	far_op_call(op, &q);
	core_unlock();
}

/* --- Closing --- */

void far_release(fuse_req_t req, struct fuse_file_info *fi)
{
	core_lock();
	file_close(far_file(fi));
	core_unlock();
	fuse_reply_err(req, 0);
}

static int on_fsync(struct far_op *op, struct file_reply *reply)
{
	int error = far_take_error(op->node);

	(void)reply;
	far_op_finish(op, op->error ? op->error : error);
	return 0;
}

static void sync_file(fuse_req_t req, struct far_file *f, uint32_t bits)
{
	struct file_request q = {.op = FILE_FSYNC, .bits = bits};
	struct far_op *op = far_op_new(req, f->node);

	if (!op)
		return;
	q.handle = f->handle;
	far_op_hold(op, f);
	op->answered = on_fsync;
	far_op_call(op, &q);
	core_unlock();
}

void far_fsync(fuse_req_t req, int datasync, struct fuse_file_info *fi)
{
	sync_file(req, far_file(fi), datasync ? 1 : 0);
}

static void flushed(struct far_op *op)
{
	struct far_node *n = op->node;

	if (n->done < op->number)
		far_op_wait(op, &n->flushing, flushed);
	else
		far_op_finish(op, op->flags ? far_take_error(n) : 0);
}

void far_flush(fuse_req_t req, struct fuse_file_info *fi)
{
	struct far_file *f = far_file(fi);
	struct far_node *n = f->node;
	struct far_op *op;
	bool waits, asks;
	int rc = 0;

	core_lock();
	waits = n->given != n->done;
	asks = !waits && f->live && f->changed;
	if (!waits && !asks && f->changed)
		rc = far_take_error(n);
	core_unlock();
	if (asks) {
		sync_file(req, f, FILE_FSYNC_CLOSE);
		return;
	}
	if (!waits) {
		fuse_reply_err(req, -rc);
		return;
	}
	op = far_op_new(req, n);
	if (!op)
		return;
	op->number = n->given;
	op->flags = f->changed;
	flushed(op);
	core_unlock();
}
