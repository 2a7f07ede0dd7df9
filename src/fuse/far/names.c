/* fs/ far away: names in directories. */
#include "fuse/far/names.h"

#include "core/backend.h"
#include "files/link.h"
#include "fuse/far/list.h"

#include <errno.h>
#include <string.h>

/* --- What the agent says --- */

const char *far_text(const struct file_reply *reply, char *out)
{
	memcpy(out, reply->text, reply->text_len);
	out[reply->text_len] = '\0';
	return out;
}

void far_learn(struct far_node *dir, const char *name, const struct file_reply *reply)
{
	bool link = !reply->error && S_ISLNK(reply->attr.st_mode);
	char text[PATH_MAX];
	struct far_dir *d;

	far_node_watch(dir, reply->watch);
	dir->unwatched = !reply->watch;
	d = far_dir_get(dir);
	if (!d)
		return;
	if (reply->error)
		far_entry_put(d, name, FAR_ABSENT, NULL, NULL, false);
	else
		far_entry_put(d, name, FAR_PRESENT, &reply->attr, link ? far_text(reply, text) : NULL, false);
	far_dirs_trim(dir->far, d);
}

void far_learn_parent(struct far_node *dir, const struct stat *st)
{
	if (far_node_is(dir, st))
		far_set_attributes(dir, st);
}

static int on_looked(struct far_aside *a, int error, struct file_reply *reply)
{
	if (reply && !a->node->stale && (!error || error == -ENOENT))
		far_learn(a->node, a->name, reply);
	return 0;
}

void far_look_aside(struct far_node *dir, const char *name, uint64_t question)
{
	struct file_request q = {.op = FILE_LOOKUP,
				 .flags = FILE_WATCH,
				 .handle = dir->handle,
				 .fresh = FILE_NO_HANDLE,
				 .depth = FILE_LINK_RAW};
	struct far_aside *a = far_aside_new(dir->far, dir);

	if (!a)
		return;
	strcpy(q.name, name);
	strcpy(a->name, q.name);
	a->question = question;
	a->answered = on_looked;
	(void)far_aside_call(a, &q);
}

/* --- What the kernel is told --- */

unsigned int far_depth(const struct far_node *dir)
{
	return dir->node ? graft_depth(dir->node) : 0;
}

int far_link_text(struct far_node *dir, const char *raw, char *out)
{
	return files_link_needs_walk(raw) ? -EAGAIN : files_link_text(-1, -1, far_depth(dir), raw, out);
}

int far_fill_entry(struct far_node *dir, const char *name, const struct stat *st,
		   struct fuse_entry_param *ret)
{
	struct far_node *n = far_node_get(dir, name, st);
	struct far_entry *e;

	if (!n)
		return -ENOMEM;
	if (n->attr.st_mode != st->st_mode || n->attr.st_uid != st->st_uid || n->attr.st_gid != st->st_gid)
		n->allowed = 0;
	if (n->given == n->done && !(n->watch && n->has_attr))
		n->attr = *st;
	e = name && dir->dir ? far_entry_find(dir->dir, name) : NULL;
	if (e && e->what == FAR_PRESENT && n->entry != e) {
		if (n->entry)
			n->entry->node = NULL;
		far_entry_part(e);
		n->entry = e;
		e->node = n;
	}
	/* Timeouts stay 0: what may be believed is known here and not there. */
	*ret = (struct fuse_entry_param){.ino = n->node->number, .attr = *st};
	far_show(n->far, &ret->attr);
	return 0;
}

int far_entry_param(struct far_node *dir, struct far_entry *e, struct fuse_entry_param *ret)
{
	struct stat st = e->attr;
	char text[PATH_MAX];
	int len;

	if (S_ISLNK(st.st_mode)) {
		len = e->text ? far_link_text(dir, e->text, text) : -EAGAIN;
		if (len < 0)
			return len;
		st.st_size = len;
	}
	return far_fill_entry(dir, e->name, &st, ret);
}

bool far_reply_entry(struct far_op *op)
{
	return fuse_reply_entry(op->req, &op->entry) != -ENOENT;
}

static int on_walked(struct far_op *op, struct file_reply *reply)
{
	char text[PATH_MAX];
	int error = op->error;

	if (!error &&
	    (!S_ISLNK(reply->attr.st_mode) || !files_link_is_safe(far_text(reply, text), (unsigned)op->size)))
		error = -EPROTO;
	if (!error && op->req) {
		reply->attr.st_size = reply->text_len;
		error = far_fill_entry(op->node, op->newname, &reply->attr, &op->entry);
	}
	far_op_finish(op, error);
	return error == -EPROTO ? error : 0;
}

/* Its text depends on what else is in the sandbox, which only the agent can see. */
static void walk(struct far_op *op, const char *name)
{
	struct file_request q = {.op = FILE_LOOKUP, .handle = op->node->handle, .fresh = FILE_NO_HANDLE};

	op->size = q.depth = far_depth(op->node);
	strcpy(q.name, name);
	strcpy(op->newname, name);
	op->answered = on_walked;
	far_op_call(op, &q);
}

void far_give_entry(struct far_op *op, const char *name, const struct stat *given, const char *raw)
{
	struct stat st = *given;
	char text[PATH_MAX];
	int r = 0;

	if (!op->req) {
		far_op_finish(op, 0);
		return;
	}
	if (S_ISLNK(st.st_mode)) {
		r = far_link_text(op->node, raw, text);
		if (r == -EAGAIN) {
			walk(op, name);
			return;
		}
		st.st_size = r;
	}
	if (r >= 0)
		r = far_fill_entry(op->node, name, &st, &op->entry);
	if (r == 0)
		far_list_adopt(op, graft_node(op->entry.ino)->far);
	far_op_finish(op, r);
}

/* --- Looking up --- */

static void ask(struct far_op *op);

/* As of far_dir_find(), and of what may be believed as of far_entry_param(). */
static int answer_known(struct far_node *dir, const char *name, struct fuse_entry_param *ret)
{
	struct far_entry *e;
	int rc = far_dir_find(dir, name, &e);

	if (rc == 0)
		rc = e ? far_entry_param(dir, e, ret) : -ENOENT;
	return rc;
}

/* The listing that was asked for once more has come. */
static void listed(struct far_op *op)
{
	int rc = answer_known(op->node, op->name, &op->entry);

	if (rc == -EAGAIN)
		ask(op);
	else
		far_op_finish(op, rc);
}

/* Of a file that came with the handle op->number. */
static void give_held(struct far_op *op, const struct file_reply *reply)
{
	int rc = op->req ? far_fill_entry(op->node, op->name, &reply->attr, &op->entry) : -EINTR;

	if (rc)
		far_release_handle(op->far, op->number);
	else
		far_node_take_handle(graft_node(op->entry.ino)->far, op->number);
	far_op_finish(op, rc);
}

static int on_lookup(struct far_op *op, struct file_reply *reply)
{
	bool held = op->number && reply && !reply->error;
	char text[PATH_MAX];

	if (reply && !op->node->stale && (!op->error || op->error == -ENOENT))
		far_learn(op->node, op->name, reply);
	if (held && !op->error && S_ISREG(reply->attr.st_mode)) {
		give_held(op, reply);
		return 0;
	}
	if (held)
		far_release_handle(op->far, op->number);
	if (op->error)
		far_op_finish(op, op->error);
	else
		far_give_entry(op, op->name, &reply->attr, far_text(reply, text));
	return 0;
}

static void ask(struct far_op *op)
{
	struct file_request q = {
	    .op = FILE_LOOKUP, .flags = FILE_WATCH, .fresh = FILE_NO_HANDLE, .depth = FILE_LINK_RAW};
	struct far_node *dir = far_node_ref(op->node);
	struct far_aside *found = NULL;
	int rc = far_node_need(dir);

	if (rc) {
		far_op_finish(op, rc);
		far_node_unref(dir);
		return;
	}
	/* Who asks for one name often asks for what is in it, or for another. */
	if (far_dir_is_restless(dir, op->name))
		q.fresh = op->number = far_new_handle(op->far);
	else if (far_list_is_new(dir) && (found = far_list_prepare(op)))
		q.fresh = found->number;
	q.handle = dir->handle;
	strcpy(q.name, op->name);
	op->answered = on_lookup;
	far_op_call(op, &q);
	if (found)
		far_aside_send(found);
	far_list_ahead(dir);
	far_list_bare(dir);
	far_node_unref(dir);
}

void far_lookup(fuse_req_t req, struct graft_node *node, const char *name)
{
	struct far_node *dir = far_node(node);
	struct fuse_entry_param param;
	struct far_op *op;
	int rc;

	if (strlen(name) > NAME_MAX) {
		fuse_reply_err(req, ENAMETOOLONG);
		return;
	}
	core_lock();
	rc = far_dir_is_restless(dir, name) ? -EAGAIN : answer_known(dir, name, &param);
	core_unlock();
	if (rc == 0) {
		if (fuse_reply_entry(req, &param) == -ENOENT)
			graft_forget(param.ino, 1);
		return;
	}
	if (rc != -EAGAIN) {
		fuse_reply_err(req, -rc);
		return;
	}
	op = far_op_new(req, dir);
	if (!op)
		return;
	strcpy(op->name, name);
	op->reply = far_reply_entry;
	if (!far_dir_is_restless(dir, name) && far_list_again(dir, name))
		far_op_wait(op, &dir->dir->waiting, listed);
	else
		ask(op);
	core_unlock();
}
