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

/* Known not to have it. */
static bool is_without(const struct far_node *n, const char *name)
{
	struct stat st;

	if (n->plain || (n->incapable && name && strcmp(name, CAPABILITY) == 0))
		return true;
	return n->entry && n->entry->plain && far_attributes(n, &st);
}

static void get(fuse_req_t req, struct graft_node *node, const char *name, size_t size)
{
	struct file_request q = {.op = name ? FILE_GETXATTR : FILE_LISTXATTR};
	struct far_node *n = far_node(node);
	struct far_op *op;
	bool without;
	int rc;

	core_lock();
	without = is_without(n, name);
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
	op->answered = on_value;
	op->reply = reply_value;
	rc = name && strlen(name) > NAME_MAX ? -ERANGE : far_node_need(n);
	if (rc) {
		far_op_finish(op, rc);
	} else {
		q.handle = n->handle;
		strcpy(q.text, name ? name : "");
		strcpy(op->name, q.text);
		far_op_call(op, &q);
	}
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
		n->plain = n->incapable = false;
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
