/* fs/ far away: open directories. */
#include "core/backend.h"
#include "fuse/far/list.h"
#include "fuse/far/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Listings that are not found when they have come, for lack of memory. */
#define FETCHES_MAX 3

/* fi->fh; it reads one listing from its first entry to its last, whatever happens meanwhile. */
struct far_reader {
	struct far *far; /* a reference */
	struct far_node *node;
	struct far_listing *listing;
	bool read;  /* its beginning was */
	bool fresh; /* it was taken for the read that comes */
};

static struct far_reader *reader(const struct fuse_file_info *fi)
{
	return (struct far_reader *)(uintptr_t)(fi->fh & ~FAR_BIT);
}

/* Lock held. */
static void reader_free(struct far_reader *r)
{
	struct far *far = r->far;

	if (r->listing)
		far_listing_unref(r->listing);
	far_node_unref(r->node);
	free(r);
	far_unref(far);
}

static bool may_list(const struct far_dir *d)
{
	return d && d->complete && d->owner->watch && !d->unknown && !d->fetching && !d->owner->far->ended;
}

/* --- Opening, and going back to the start --- */

/* 0: the op ends with *ret; 1: it has to wait. */
static int take_listing(struct far_op *op, int *ret)
{
	struct far_reader *r = reader(&op->fi);
	struct far_dir *d = op->node->dir;
	bool own = d && op->fetch && d->fetched_for == op->fetch;
	struct far_listing *l;

	/* Fresh from the agent, or kept up to date since. */
	if (own && d->error) {
		*ret = d->error;
		return 0;
	}
	if (!may_list(d) && !(own && d->whole && !d->fetching))
		return 1;
	l = far_listing_of(d);
	if (l && r->listing)
		far_listing_unref(r->listing);
	r->listing = l;
	*ret = l ? 0 : -ENOMEM;
	return 0;
}

static void listed(struct far_op *op)
{
	int rc = 0;

	while (take_listing(op, &rc)) {
		if (op->node->dir && op->node->dir->fetching) {
			far_op_wait(op, &op->node->dir->waiting, listed);
			return;
		}
		/* It may end before this returns: where nobody can be asked. */
		rc = op->number++ < FETCHES_MAX ? far_list_fetch(op->node) : -EIO;
		if (rc)
			break;
		op->fetch = op->node->dir ? op->node->dir->fetched_for : 0;
	}
	far_op_finish(op, rc);
}

static bool reply_opendir(struct far_op *op)
{
	return fuse_reply_open(op->req, &op->fi) != -ENOENT;
}

static void undo_opendir(struct far_op *op)
{
	reader_free(reader(&op->fi));
}

void far_opendir(fuse_req_t req, struct graft_node *node, struct fuse_file_info *fi)
{
	struct far_op *op = far_op_new(req, far_node(node));
	struct far_reader *r;

	if (!op)
		return;
	r = calloc(1, sizeof *r);
	if (!r) {
		far_op_finish(op, -ENOMEM);
		core_unlock();
		return;
	}
	r->far = far_ref(op->far);
	r->node = far_node_ref(op->node);
	op->fi = *fi;
	op->fi.fh = (uintptr_t)r | FAR_BIT;
	op->reply = reply_opendir;
	op->undo = undo_opendir;
	op->undo_failed = true;
	listed(op);
	core_unlock();
}

/* --- Reading --- */

/* Adds one that was looked up, or, where it cannot be believed, one that has to be. */
static size_t add_plus(fuse_req_t req, struct far_node *dir, char *out, size_t room, const char *name,
		       const struct stat *st, off_t next)
{
	struct fuse_entry_param param = {.attr = *st};
	struct far_entry *e = NULL;
	size_t need = fuse_add_direntry_plus(NULL, NULL, 0, name, NULL, 0);

	if (need <= room && far_dir_know(dir, name, &e) == 0 && e && far_entry_param(dir, e, &param))
		param = (struct fuse_entry_param){.attr = *st};
	return fuse_add_direntry_plus(req, out, room, name, &param, next);
}

/* Offsets: 1 behind ".", 2 behind "..", then 2 + the place in the listing. Lock held. */
static size_t fill(fuse_req_t req, struct far_reader *r, off_t off, char *out, size_t size, bool plus)
{
	const struct far_listing *l = r->listing;
	size_t used = 0, need;

	for (size_t i = off > 0 ? (size_t)off : 0; i < l->count + 2; i++) {
		const char *name = i == 0 ? "." : i == 1 ? ".." : l->names + l->at[i - 2].name;
		struct stat st = {.st_mode = S_IFDIR, .st_ino = 1};

		if (i >= 2) {
			st.st_mode = l->at[i - 2].type;
			st.st_ino = l->at[i - 2].ino;
		} else if (i == 0) {
			st.st_ino = graft_shown_ino(r->far->graft, r->node->dev, r->node->ino);
		}
		need = plus && i >= 2
			   ? add_plus(req, r->node, out + used, size - used, name, &st, (off_t)i + 1)
		       : plus ? fuse_add_direntry_plus(req, out + used, size - used, name,
						       &(struct fuse_entry_param){.attr = st}, (off_t)i + 1)
			      : fuse_add_direntry(req, out + used, size - used, name, &st, (off_t)i + 1);
		if (need > size - used)
			break;
		used += need;
	}
	return used;
}

static bool reply_again(struct far_op *op)
{
	reader(&op->fi)->fresh = true;
	far_readdir(op->req, op->size, op->off, &op->fi, op->flags);
	return true;
}

void far_readdir(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi, bool plus)
{
	struct far_reader *r = reader(fi);
	char *out = malloc(size);
	bool again = false;
	struct far_op *op;
	size_t used = 0;

	core_lock();
	if (r->far->ended) {
		core_unlock();
		free(out);
		fuse_reply_err(req, ESHUTDOWN);
		return;
	}
	if (off == 0) {
		/* rewinddir(3), or fdopendir(3) of a descriptor that is older: what is there now */
		again = !r->fresh && (r->read || !r->node->dir || r->node->dir->listing != r->listing);
		r->read = !again;
		r->fresh = false;
	}
	if (!again && out)
		used = fill(req, r, off, out, size, plus);
	core_unlock();
	if (!again) {
		if (out)
			fuse_reply_buf(req, out, used);
		else
			fuse_reply_err(req, ENOMEM);
		free(out);
		return;
	}
	free(out);
	op = far_op_new(req, r->node);
	if (!op)
		return;
	op->fi = *fi;
	op->size = size;
	op->off = off;
	op->flags = plus;
	op->reply = reply_again;
	listed(op);
	core_unlock();
}

void far_releasedir(fuse_req_t req, struct fuse_file_info *fi)
{
	core_lock();
	reader_free(reader(fi));
	core_unlock();
	fuse_reply_err(req, 0);
}
