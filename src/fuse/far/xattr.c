/* fs/ far away: extended attributes. */
#include "core/backend.h"
#include "fuse/far/file.h"
#include "fuse/far/op.h"

#include <errno.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>

/* The kernel asks for it before every write. */
#define CAPABILITY "security.capability"

static bool reply_value(struct far_op *op)
{
	if (op->off == 0)
		fuse_reply_xattr(op->req, op->size);
	else if (op->size > (size_t)op->off)
		fuse_reply_err(op->req, ERANGE);
	else
		fuse_reply_buf(op->req, op->data, op->size);
	return true;
}

static int on_value(struct far_op *op, struct file_reply *reply)
{
	struct far_node *n = op->node;

	if (op->error == -ENODATA && n->watch && strcmp(op->name, CAPABILITY) == 0)
		n->incapable = true;
	if (!op->error) {
		op->size = reply->data_len;
		op->data = malloc(op->size + 1);
		if (op->data)
			memcpy(op->data, reply->data, op->size);
		else
			op->error = -ENOMEM;
	}
	far_op_finish(op, op->error);
	return 0;
}

bool far_is_plain(const struct far_node *n)
{
	const struct far_entry *e = n->entry;
	struct stat st;

	if (!e || !e->plain || n->far->ended)
		return false;
	/* Given some under another name, that is not heard. */
	return (e->dir->owner->watch && (e->attr.st_nlink == 1 || S_ISDIR(e->attr.st_mode))) ||
	       far_attributes(n, &st);
}

/* Known not to have it. */
static bool is_without(const struct far_node *n, const char *name)
{
	return (n->incapable && name && strcmp(name, CAPABILITY) == 0) || far_is_plain(n);
}

static void ask(struct far_op *op)
{
	struct file_request q = {.op = op->flags ? FILE_LISTXATTR : FILE_GETXATTR};
	int rc = far_node_need(op->node);

	if (rc) {
		far_op_finish(op, rc);
		return;
	}
	q.handle = op->node->handle;
	strcpy(q.text, op->name);
	far_op_call(op, &q);
}

/* The listing it is in has come, and as a rule says whether there are any. */
static void listed(struct far_op *op)
{
	if (is_without(op->node, op->flags ? NULL : op->name))
		far_op_finish(op, op->flags ? 0 : -ENODATA);
	else
		ask(op);
}

static bool is_listed_soon(const struct far_node *n)
{
	return n->place && n->place->dir && n->place->dir->fetching && n->place->dir->ahead;
}

static void get(fuse_req_t req, struct graft_node *node, const char *name, size_t size)
{
	struct far_node *n = far_node(node);
	struct far_op *op;
	bool without;

	core_lock();
	without = is_without(n, name);
	if (name && strcmp(name, CAPABILITY) == 0)
		n->giver = fuse_req_ctx(req)->pid;
	core_unlock();
	if (without) {
		if (name)
			fuse_reply_err(req, ENODATA);
		else if (size)
			fuse_reply_buf(req, NULL, 0);
		else
			fuse_reply_xattr(req, 0);
		return;
	}
	op = far_op_new(req, n);
	if (!op)
		return;
	op->off = (off_t)size;
	op->flags = !name;
	op->answered = on_value;
	op->reply = reply_value;
	if (name && strlen(name) > NAME_MAX) {
		far_op_finish(op, -ERANGE);
		core_unlock();
		return;
	}
	strcpy(op->name, name ? name : "");
	if (is_listed_soon(n))
		far_op_wait(op, &n->place->dir->waiting, listed);
	else
		ask(op);
	core_unlock();
}

void far_getxattr(fuse_req_t req, struct graft_node *node, const char *name, size_t size)
{
	get(req, node, name, size);
}

void far_listxattr(fuse_req_t req, struct graft_node *node, size_t size)
{
	get(req, node, NULL, size);
}

static int on_changed(struct far_op *op, struct file_reply *reply)
{
	if (!op->error) {
		far_forget_attributes(op->node);
		far_forget_xattrs(op->node);
		far_set_attributes(op->node, &reply->attr);
	}
	far_op_finish(op, op->error);
	return 0;
}

static void change(fuse_req_t req, struct graft_node *node, const char *name, struct file_request *q)
{
	struct far_node *n = far_node(node);
	struct far_op *op = far_op_new(req, n);
	int rc;

	if (!op)
		return;
	rc = strlen(name) > NAME_MAX ? -ERANGE : far_node_need(n);
	if (rc) {
		far_op_finish(op, rc);
	} else {
		q->handle = n->handle;
		strcpy(q->text, name);
		op->answered = on_changed;
		far_forget_xattrs(n);
		far_op_call(op, q);
	}
	core_unlock();
}

void far_setxattr(fuse_req_t req, struct graft_node *node, const char *name, const char *value, size_t size,
		  int flags)
{
	struct file_request q = {.op = FILE_SETXATTR,
				 .bits = (uint32_t)flags,
				 .data = (const uint8_t *)value,
				 .data_len = (uint32_t)size};

	if (size > XATTR_SIZE_MAX)
		fuse_reply_err(req, E2BIG);
	else
		change(req, node, name, &q);
}

void far_removexattr(fuse_req_t req, struct graft_node *node, const char *name)
{
	struct file_request q = {.op = FILE_REMOVEXATTR};

	change(req, node, name, &q);
}
