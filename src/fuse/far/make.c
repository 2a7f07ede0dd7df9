/* fs/ far away: making, moving and removing names. */
#include "core/backend.h"
#include "fuse/far/list.h"
#include "fuse/far/names.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* --- Making --- */

static int on_made(struct far_op *op, struct file_reply *reply)
{
	char text[PATH_MAX];
	struct far_entry *e;

	if (op->error) {
		far_op_finish(op, op->error);
		return 0;
	}
	/* The mount's own word for what it asked for; something else there is the sandbox's doing. */
	if (op->flags && (reply->attr.st_mode & S_IFMT) != (mode_t)op->flags) {
		far_op_finish(op, -ESTALE);
		return 0;
	}
	far_learn(op->node, op->name, reply);
	far_learn_parent(op->node, &reply->parent);
	if (op->other)
		far_forget_attributes(op->other); /* one link more */
	else if (far_is_plain(op->node) && (e = far_entry_find(op->node->dir, op->name)))
		e->plain = true; /* nor has what is made there */
	far_give_entry(op, op->name, &reply->attr, far_text(reply, text));
	return 0;
}

/* Goes on with an op of far_op_new(), and ends the function that began it. */
static void make(struct far_op *op, struct file_request *q, const char *name, mode_t type)
{
	int rc = strlen(name) > NAME_MAX ? -ENAMETOOLONG : far_node_need(op->node);
	struct far_aside *found = NULL;

	if (rc) {
		far_op_finish(op, rc);
	} else {
		/* A directory that is made is filled next. */
		if (type == S_IFDIR && (found = far_list_prepare(op)))
			q->fresh = found->number;
		q->flags = FILE_WATCH;
		q->handle = op->node->handle;
		q->depth = FILE_LINK_RAW;
		strcpy(q->name, name);
		strcpy(op->name, name);
		op->flags = (int)type;
		op->answered = on_made;
		op->reply = far_reply_entry;
		far_op_call(op, q);
		if (found)
			far_aside_send(found);
	}
	core_unlock();
}

void far_mknod(fuse_req_t req, struct graft_node *dir, const char *name, mode_t mode, dev_t rdev)
{
	struct file_request q = {.op = FILE_MKNOD, .fresh = FILE_NO_HANDLE, .mode = mode, .rdev = rdev};
	struct far_op *op;

	if (S_ISCHR(mode) || S_ISBLK(mode)) { /* the mount is nodev */
		fuse_reply_err(req, EPERM);
		return;
	}
	op = far_op_new(req, far_node(dir));
	if (op)
		make(op, &q, name, mode & S_IFMT);
}

void far_mkdir(fuse_req_t req, struct graft_node *dir, const char *name, mode_t mode)
{
	struct file_request q = {.op = FILE_MKDIR, .fresh = FILE_NO_HANDLE, .mode = mode};
	struct far_op *op = far_op_new(req, far_node(dir));

	if (op)
		make(op, &q, name, S_IFDIR);
}

void far_symlink(fuse_req_t req, const char *target, struct graft_node *dir, const char *name)
{
	struct file_request q = {.op = FILE_SYMLINK, .fresh = FILE_NO_HANDLE};
	struct far_op *op;

	if (strlen(target) > FILE_TEXT_BYTES) {
		fuse_reply_err(req, ENAMETOOLONG);
		return;
	}
	strcpy(q.text, target);
	op = far_op_new(req, far_node(dir));
	if (op)
		make(op, &q, name, S_IFLNK);
}

void far_link(fuse_req_t req, struct graft_node *node, struct graft_node *newdir, const char *newname)
{
	struct file_request q = {.op = FILE_LINK, .fresh = FILE_NO_HANDLE};
	struct far_node *n;
	struct far_op *op;
	int rc;

	if (node->graft != newdir->graft) {
		fuse_reply_err(req, EXDEV);
		return;
	}
	op = far_op_new(req, far_node(newdir));
	if (!op)
		return;
	n = far_node(node);
	op->other = far_node_ref(n);
	rc = far_node_need(n);
	if (rc) {
		far_op_finish(op, rc);
		core_unlock();
		return;
	}
	q.other = n->handle;
	make(op, &q, newname, n->type);
}

static struct far_node *known_at(struct far_node *dir, const char *name)
{
	struct far_entry *e = dir->dir ? far_entry_find(dir->dir, name) : NULL;

	return e ? e->node : NULL;
}

/* --- Removing --- */

/*
 * Its name is about to go, and somebody may have it by O_PATH, or have it open where we are not told of that
 * (a FIFO, a socket): from here on it is found by a handle, made ahead of what takes the name away, until the
 * kernel forgets it. A symlink says nothing without its name.
 */
static void keep_nameless(struct far_node *n)
{
	/* Without memory whoever has it is told ESTALE. */
	if (n && n->type != S_IFLNK)
		(void)far_node_need(n);
}

static void lost_name(struct far_node *n)
{
	n->nameless = true;
	far_forget_attributes(n); /* it may still be open */
}

static int on_removed(struct far_op *op, struct file_reply *reply)
{
	struct far_dir *d = op->node->dir;
	struct far_entry *e = d ? far_entry_find(d, op->name) : NULL;

	if (!op->error) {
		if (e && e->node)
			lost_name(e->node);
		if (d)
			far_entry_put(d, op->name, FAR_ABSENT, NULL, NULL, false);
		far_learn_parent(op->node, &reply->parent);
	}
	far_op_finish(op, op->error);
	return 0;
}

static void drop(fuse_req_t req, struct graft_node *dir, const char *name, enum file_op code)
{
	struct far_op *op = far_op_new(req, far_node(dir));
	struct file_request q = {.op = (uint8_t)code, .flags = FILE_WATCH};
	int rc;

	if (!op)
		return;
	rc = strlen(name) > NAME_MAX ? -ENAMETOOLONG : far_node_need(op->node);
	if (rc) {
		far_op_finish(op, rc);
	} else {
		keep_nameless(known_at(op->node, name));
		q.handle = op->node->handle;
		strcpy(q.name, name);
		strcpy(op->name, name);
		op->answered = on_removed;
		far_op_call(op, &q);
	}
	core_unlock();
}

void far_unlink(fuse_req_t req, struct graft_node *dir, const char *name)
{
	drop(req, dir, name, FILE_UNLINK);
}

void far_rmdir(fuse_req_t req, struct graft_node *dir, const char *name)
{
	drop(req, dir, name, FILE_RMDIR);
}

/* --- Moving --- */

static void unsure(struct far_node *dir, const char *name, enum far_what what)
{
	if (dir->dir)
		far_entry_put(dir->dir, name, what, NULL, NULL, false);
}

static int on_renamed(struct far_op *op, struct file_reply *reply)
{
	struct far_node *from = op->node, *to = op->other, *moved, *back;
	bool exchange = op->flags & RENAME_EXCHANGE;
	struct graft_move move = {from->node, to->node, op->name, op->newname, exchange};

	if (op->error) {
		far_op_finish(op, op->error);
		return 0;
	}
	if (from->node && to->node)
		graft_nodes_moved(&move);
	moved = known_at(from, op->name);
	back = known_at(to, op->newname);
	/* Two names of one file: rename(2) has left both. */
	if (moved && back && !exchange && moved->dev == back->dev && moved->ino == back->ino) {
		far_op_finish(op, 0);
		return 0;
	}
	if (back && exchange)
		far_forget_attributes(back);
	else if (back)
		lost_name(back);
	unsure(from, op->name, exchange ? FAR_UNKNOWN : FAR_ABSENT);
	unsure(to, op->newname, FAR_UNKNOWN);
	if (moved)
		far_node_place(moved, to, op->newname);
	if (back && exchange)
		far_node_place(back, from, op->name);
	far_learn_parent(from, &reply->parent);
	if (to != from)
		far_learn_parent(to, &reply->other);
	far_op_finish(op, 0);
	return 0;
}

/* Core lock held. */
static int ask_rename(struct far_op *op)
{
	struct far_node *from = op->node, *to = op->other;
	struct graft_move move = {from->node, to->node, op->name, op->newname, op->flags & RENAME_EXCHANGE};
	struct file_request q = {.op = FILE_RENAME, .flags = FILE_WATCH, .bits = (uint32_t)op->flags};
	int rc = far_node_need(from);

	rc = rc ? rc : far_node_need(to);
	if (rc)
		return rc;
	keep_nameless(known_at(to, op->newname));
	graft_nodes_moving(&move);
	q.handle = from->handle;
	q.other = to->handle;
	strcpy(q.name, op->name);
	strcpy(q.other_name, op->newname);
	op->answered = on_renamed;
	far_op_call(op, &q);
	far_look_aside(to, q.other_name, 0);
	return 0;
}

void far_rename(fuse_req_t req, struct graft_node *dir, const char *name, struct graft_node *newdir,
		const char *newname, unsigned int flags)
{
	struct far_op *op;
	int rc;

	if (newdir->graft != dir->graft || strlen(name) > NAME_MAX || strlen(newname) > NAME_MAX) {
		fuse_reply_err(req, newdir->graft != dir->graft ? EXDEV : ENAMETOOLONG);
		return;
	}
	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) { /* WHITEOUT would make a device node */
		fuse_reply_err(req, EINVAL);
		return;
	}
	op = far_op_new(req, far_node(dir));
	if (!op)
		return;
	op->other = far_node_ref(far_node(newdir));
	op->flags = (int)flags;
	strcpy(op->name, name);
	strcpy(op->newname, newname);
	rc = ask_rename(op);
	if (rc)
		far_op_finish(op, rc);
	core_unlock();
}
