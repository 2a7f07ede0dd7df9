/* fs/ far away: attributes of files, open or not. */
#include "core/backend.h"
#include "files/link.h"
#include "fuse/far/file.h"
#include "fuse/far/names.h"

#include <endian.h>
#include <errno.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void far_show(const struct far *far, struct stat *st)
{
	if (S_ISLNK(st->st_mode) && st->st_nlink > 1)
		st->st_nlink = 1; /* their texts differ by where they are: no copy may make one of them */
	/* Programs take buffers of that size. */
	if (st->st_blksize < 512 || st->st_blksize > 1 << 20)
		st->st_blksize = 4096;
	st->st_ino = graft_shown_ino(far->graft, st->st_dev, st->st_ino);
}

/* As the kernel is told; -EAGAIN where a symlink's length needs the agent. Lock held. */
static int shown(const struct far_node *n, const struct stat *st, struct stat *ret)
{
	char text[PATH_MAX];
	int len = 0;

	*ret = *st;
	if (S_ISLNK(st->st_mode)) {
		len = n->place && n->entry && n->entry->text ? far_link_text(n->place, n->entry->text, text)
							     : -EAGAIN;
		if (len >= 0)
			ret->st_size = len;
	}
	far_show(n->far, ret);
	return len < 0 ? len : 0;
}

static bool reply_attr(struct far_op *op)
{
	fuse_reply_attr(op->req, &op->entry.attr, 0);
	return true;
}

/* --- getattr --- */

static int on_length(struct far_op *op, struct file_reply *reply)
{
	char text[PATH_MAX];

	if (!op->error && (!far_node_is(op->node, &reply->attr) ||
			   !files_link_is_safe(far_text(reply, text), (unsigned)op->size)))
		op->error = -ESTALE;
	if (!op->error)
		op->entry.attr.st_size = reply->text_len;
	far_op_finish(op, op->error == -ENOENT ? -ESTALE : op->error);
	return 0;
}

/* Of a symlink that is shown as the sandbox would walk it. */
static void ask_length(struct far_op *op)
{
	struct file_request q = {.op = FILE_LOOKUP, .fresh = FILE_NO_HANDLE};
	struct far_node *dir = op->node->place;
	int rc = dir ? far_node_need(dir) : -ESTALE;

	if (rc) {
		far_op_finish(op, rc);
		return;
	}
	if (!op->other)
		op->other = far_node_ref(dir);
	op->size = q.depth = far_depth(dir);
	q.handle = dir->handle;
	strcpy(q.name, op->node->name);
	op->answered = on_length;
	far_op_call(op, &q);
}

static void finish_attr(struct far_op *op, const struct stat *st)
{
	int rc = op->req ? shown(op->node, st, &op->entry.attr) : 0;

	if (rc == -EAGAIN)
		ask_length(op);
	else
		far_op_finish(op, rc);
}

static int on_getattr(struct far_op *op, struct file_reply *reply)
{
	uint32_t error;
	struct stat st;

	if (op->error) {
		far_op_finish(op, op->error);
		return 0;
	}
	if (reply->count != 1)
		return far_op_finish(op, -EPROTO), -EPROTO;
	error = file_reply_next_attr(reply, &st);
	if (!error && !far_node_is(op->node, &st))
		error = ESTALE;
	if (error) {
		far_op_finish(op, -(int)error);
		return 0;
	}
	if (reply->watch)
		far_node_watch(op->node, reply->watch);
	far_set_attributes(op->node, &st);
	finish_attr(op, &st);
	return 0;
}

/* By its name, where the agent has no handle of it. */
static int on_named(struct far_op *op, struct file_reply *reply)
{
	struct far_node *n = op->node;

	if (reply && op->other && !op->other->stale && (!op->error || op->error == -ENOENT))
		far_learn(op->other, op->name, reply);
	/* Replaced between two requests of one look at its name: what the first said was true then. */
	if (!op->error && !far_node_is(n, &reply->attr)) {
		if (n->type == S_IFREG && far_node_is(n, &n->attr)) {
			finish_attr(op, &n->attr);
			return 0;
		}
		op->error = -ESTALE;
	}
	if (op->error == -ENOENT)
		op->error = -ESTALE; /* this name; the kernel looks whether there is another */
	if (op->error)
		far_op_finish(op, op->error);
	else
		finish_attr(op, &reply->attr);
	return 0;
}

static void ask_named(struct far_op *op)
{
	struct file_request q = {
	    .op = FILE_LOOKUP, .flags = FILE_WATCH, .fresh = FILE_NO_HANDLE, .depth = FILE_LINK_RAW};
	struct far_node *n = op->node;
	int rc = n->place ? far_node_need(n->place) : -ESTALE;

	if (rc) {
		far_op_finish(op, rc);
		return;
	}
	op->other = far_node_ref(n->place);
	q.handle = n->place->handle;
	strcpy(q.name, n->name);
	strcpy(op->name, n->name);
	op->answered = on_named;
	far_op_call(op, &q);
}

static void ask_handle(struct far_op *op)
{
	uint64_t wire = htole64(op->node->handle);
	struct file_request q = {.op = FILE_GETATTR, .handles = (uint8_t *)&wire, .handle_count = 1};

	if (S_ISDIR(op->node->type) || !list_empty(&op->node->files))
		q.flags = FILE_WATCH;
	op->answered = on_getattr;
	far_op_call(op, &q);
}

/*
 * Before a chown the kernel asks for capabilities, and then for the mode alone, whether there are bits to
 * take away: while changes of a file of ours are on their way, what they will have made of it does for that.
 * Nobody else asks for these two one behind the other (a write comes between).
 */
static bool is_for_chown(fuse_req_t req, struct far_node *n)
{
	bool is = n->giver && n->giver == fuse_req_ctx(req)->pid && n->ours && n->given != n->done &&
		  !list_empty(&n->files) && !n->error && !n->far->ended;

	n->giver = 0;
	return is;
}

void far_getattr(fuse_req_t req, struct graft_node *node, struct fuse_file_info *fi)
{
	struct far_node *n = far_node(node);
	struct far_op *op;
	struct stat st;
	bool known;

	(void)fi; /* a file that is open has a handle of its own */
	core_lock();
	known = far_attributes(n, &st) && shown(n, &st, &st) == 0;
	if (is_for_chown(req, n) && !known) {
		known = true;
		st = n->attr;
		far_show(n->far, &st);
	}
	core_unlock();
	if (known) {
		fuse_reply_attr(req, &st, 0);
		return;
	}
	op = far_op_new(req, n);
	if (!op)
		return;
	op->reply = reply_attr;
	if (n->has_handle)
		ask_handle(op);
	else
		ask_named(op);
	core_unlock();
}

/* --- setattr --- */

static int64_t ns_of(const struct timespec *t)
{
	return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

static void wanted(struct file_request *q, const struct stat *attr, int to_set)
{
	static const struct {
		int fuse;
		uint32_t bit;
	} bits[] = {
	    {FUSE_SET_ATTR_MODE, FILE_SET_MODE},
	    {FUSE_SET_ATTR_UID, FILE_SET_UID},
	    {FUSE_SET_ATTR_GID, FILE_SET_GID},
	    {FUSE_SET_ATTR_SIZE, FILE_SET_SIZE},
	    {FUSE_SET_ATTR_ATIME, FILE_SET_ATIME},
	    {FUSE_SET_ATTR_MTIME, FILE_SET_MTIME},
	    {FUSE_SET_ATTR_ATIME_NOW, FILE_SET_ATIME_NOW},
	    {FUSE_SET_ATTR_MTIME_NOW, FILE_SET_MTIME_NOW},
	};

	for (size_t i = 0; i < sizeof bits / sizeof *bits; i++)
		if (to_set & bits[i].fuse)
			q->bits |= bits[i].bit;
	if (q->bits & FILE_SET_ATIME_NOW)
		q->bits &= ~FILE_SET_ATIME;
	if (q->bits & FILE_SET_MTIME_NOW)
		q->bits &= ~FILE_SET_MTIME;
	q->mode = attr->st_mode & 07777;
	q->uid = attr->st_uid;
	q->gid = attr->st_gid;
	q->length = (uint64_t)attr->st_size;
	q->atime = ns_of(&attr->st_atim);
	q->mtime = ns_of(&attr->st_mtim);
}

static int on_set(struct far_op *op, struct file_reply *reply)
{
	far_forget_attributes(op->node);
	/* Its number may be another: that of an overlay's file changes with its first change. */
	if (!op->error && (reply->attr.st_mode & S_IFMT) != op->node->type)
		op->error = -ESTALE;
	if (op->error) {
		far_op_finish(op, op->error);
		return 0;
	}
	far_set_attributes(op->node, &reply->attr);
	finish_attr(op, &reply->attr);
	return 0;
}

/*
 * Changes that cannot be refused, on a file of ours that is open: they ride along with its data, and
 * whoever asks for the result asks the agent behind them.
 */
static bool rides_along(const struct far_node *n, const struct file_request *q)
{
	if (!n->ours || list_empty(&n->files) || q->bits & FILE_SET_SIZE || n->error || n->far->ended)
		return false;
	return !(q->bits & FILE_SET_UID && q->uid != n->attr.st_uid) &&
	       !(q->bits & FILE_SET_GID && q->gid != n->attr.st_gid);
}

static void predict(struct stat *st, const struct file_request *q)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (q->bits & FILE_SET_MODE)
		st->st_mode = (st->st_mode & S_IFMT) | q->mode;
	if (q->bits & (FILE_SET_ATIME | FILE_SET_ATIME_NOW))
		st->st_atim = q->bits & FILE_SET_ATIME_NOW
				  ? now
				  : (struct timespec){q->atime / 1000000000, q->atime % 1000000000};
	if (q->bits & (FILE_SET_MTIME | FILE_SET_MTIME_NOW))
		st->st_mtim = q->bits & FILE_SET_MTIME_NOW
				  ? now
				  : (struct timespec){q->mtime / 1000000000, q->mtime % 1000000000};
	st->st_ctim = now;
}

/* 0 when it is on its way. Lock held. */
static int ride_along(struct far_node *n, struct file_request *q, struct stat *ret)
{
	int rc = far_node_need(n);

	q->handle = n->handle;
	rc = rc ? rc : far_change_aside(n, q);
	if (rc)
		return rc;
	predict(&n->attr, q);
	*ret = n->attr;
	far_show(n->far, ret);
	return 0;
}

static void ask_set(struct far_op *op, struct file_request *q)
{
	int rc = far_node_need(op->node);

	if (rc) {
		far_op_finish(op, rc);
		return;
	}
	if (q->bits & FILE_SET_SIZE)
		far_drop_data(op->node);
	q->handle = op->node->handle;
	op->answered = on_set;
	op->reply = reply_attr;
	far_op_call(op, q);
}

void far_setattr(fuse_req_t req, struct graft_node *node, struct stat *attr, int to_set,
		 struct fuse_file_info *fi)
{
	struct file_request q = {.op = FILE_SETATTR, .other = FILE_NO_HANDLE};
	struct far_node *n = far_node(node);
	bool done = false;
	struct far_op *op;
	struct stat st;

	wanted(&q, attr, to_set);
	core_lock();
	n->giver = 0;
	if (rides_along(n, &q))
		done = ride_along(n, &q, &st) == 0;
	core_unlock();
	if (done) {
		fuse_reply_attr(req, &st, 0);
		return;
	}
	op = far_op_new(req, n);
	if (!op)
		return;
	if (fi)
		q.other = far_file_handle(fi);
	ask_set(op, &q);
	core_unlock();
}

/* --- readlink --- */

static bool reply_link(struct far_op *op)
{
	fuse_reply_readlink(op->req, op->data);
	return true;
}

static int on_text(struct far_op *op, struct file_reply *reply)
{
	char text[PATH_MAX];
	int error = op->error;

	if (!error && !far_node_is(op->node, &reply->attr))
		error = -ESTALE;
	if (!error && !files_link_is_safe(far_text(reply, text), (unsigned)op->size))
		error = -EPROTO;
	if (!error && !(op->data = strdup(text)))
		error = -ENOMEM;
	far_op_finish(op, error == -ENOENT ? -ESTALE : error);
	return error == -EPROTO ? error : 0;
}

void far_readlink(fuse_req_t req, struct graft_node *node)
{
	struct file_request q = {.op = FILE_LOOKUP, .fresh = FILE_NO_HANDLE};
	struct far_node *n = far_node(node);
	char text[PATH_MAX];
	struct far_op *op;
	struct stat st;
	int rc = -EAGAIN;

	core_lock();
	if (n->type != S_IFLNK)
		rc = -EINVAL;
	else if (n->place && far_attributes(n, &st) && n->entry && n->entry->text)
		rc = far_link_text(n->place, n->entry->text, text);
	core_unlock();
	if (rc >= 0) {
		fuse_reply_readlink(req, text);
		return;
	}
	if (rc != -EAGAIN) {
		fuse_reply_err(req, -rc);
		return;
	}
	op = far_op_new(req, n);
	if (!op)
		return;
	op->answered = on_text;
	op->reply = reply_link;
	rc = n->place ? far_node_need(n->place) : -ESTALE;
	if (rc) {
		far_op_finish(op, rc);
	} else {
		op->other = far_node_ref(n->place);
		op->size = q.depth = far_depth(n->place);
		q.handle = n->place->handle;
		strcpy(q.name, n->name);
		far_op_call(op, &q);
	}
	core_unlock();
}

/* --- Of the file system --- */

static bool reply_statfs(struct far_op *op)
{
	fuse_reply_statfs(op->req, (struct statvfs *)op->data);
	return true;
}

static int on_statfs(struct far_op *op, struct file_reply *reply)
{
	int error = op->error;

	if (reply)
		far_answered_idly(op->far);
	if (!error && !(op->data = malloc(sizeof reply->statfs)))
		error = -ENOMEM;
	if (!error)
		memcpy(op->data, &reply->statfs, sizeof reply->statfs);
	far_op_finish(op, error);
	return 0;
}

/* With the handle of op->node. */
static void ask_by_handle(struct far_op *op, struct file_request *q)
{
	int rc = far_node_need(op->node);

	q->handle = op->node->handle;
	if (rc)
		far_op_finish(op, rc);
	else
		far_op_call(op, q);
}

void far_statfs(fuse_req_t req, struct graft_node *node)
{
	struct file_request q = {.op = FILE_STATFS};
	struct far_op *op = far_op_new(req, far_node(node));

	if (!op)
		return;
	op->answered = on_statfs;
	op->reply = reply_statfs;
	ask_by_handle(op, &q);
	core_unlock();
}

static int on_access(struct far_op *op, struct file_reply *reply)
{
	(void)reply;
	if (!op->error)
		op->node->allowed |= op->flags;
	far_op_finish(op, op->error);
	return 0;
}

void far_access(fuse_req_t req, struct graft_node *node, int mask)
{
	struct file_request q = {.op = FILE_ACCESS, .bits = (uint32_t)mask};
	struct far_node *n = far_node(node);
	struct far_op *op;
	struct stat st;
	bool known;

	core_lock();
	known = far_attributes(n, &st) && (mask & ~n->allowed) == 0;
	core_unlock();
	if (known) {
		fuse_reply_err(req, 0);
		return;
	}
	op = far_op_new(req, n);
	if (!op)
		return;
	op->flags = mask;
	op->answered = on_access;
	ask_by_handle(op, &q);
	core_unlock();
}
