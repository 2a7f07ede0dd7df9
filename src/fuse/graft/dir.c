/* fs/: listing directories. */
#include "files/data.h"
#include "files/list.h"
#include "fuse/graft/graft.h"
#include "fuse/graft/ops.h"
#include "fuse/graft/reach.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int open_dir(struct graft_node *dir, struct fuse_file_info *fi)
{
	struct graft_handle *h;
	int at = graft_fd(dir), fd = at < 0 ? at : files_open_dir(at);

	if (fd < 0)
		return fd;
	h = graft_handle_new(dir, fd, true);
	if (!h)
		return -ENOMEM;
	fi->fh = (uintptr_t)h;
	return 0;
}

void graft_opendir(fuse_req_t req, struct graft_node *dir, struct fuse_file_info *fi)
{
	struct graft *g = dir->graft;
	int r = graft_enter(g);

	if (r == 0) {
		r = open_dir(dir, fi);
		graft_leave(g);
	}
	if (r < 0)
		fuse_reply_err(req, -r);
	else if (fuse_reply_open(req, fi) < 0)
		graft_handle_free((struct graft_handle *)(uintptr_t)fi->fh);
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Adds an entry with a lookup; one that cannot be looked up (any more) is still listed. */
static size_t add_plus(fuse_req_t req, struct graft_handle *h, char *out, size_t room,
		       const struct files_entry *entry, const struct stat *shown)
{
	struct fuse_entry_param e;
	size_t need;

	if (is_dots(entry->name) || graft_find(h->node, entry->name, 0, 0, &e) < 0)
		e = (struct fuse_entry_param){.attr = *shown};
	need = fuse_add_direntry_plus(req, out, room, entry->name, &e, entry->position);
	if (need > room && e.ino)
		graft_forget(e.ino, 1);
	return need;
}

/* Fills `out`; the bytes used, or -errno when there are none because of it. */
static ssize_t fill(fuse_req_t req, struct graft_handle *h, off_t off, char *out, size_t size, bool plus)
{
	struct files_entry entry;
	size_t used = 0, need;
	int r = files_list_seek(h->list, off);

	while (r == 0 && (r = files_list_peek(h->list, &entry)) > 0) {
		struct stat st = {.st_mode = entry.type,
				  .st_ino = graft_shown_ino(h->graft, h->dev, entry.ino)};

		need = plus
			   ? add_plus(req, h, out + used, size - used, &entry, &st)
			   : fuse_add_direntry(req, out + used, size - used, entry.name, &st, entry.position);
		if (need > size - used)
			break;
		used += need;
		files_list_skip(h->list);
		r = 0;
	}
	return r < 0 && used == 0 ? r : (ssize_t)used;
}

void graft_readdir(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi, bool plus)
{
	struct graft_handle *h = (struct graft_handle *)(uintptr_t)fi->fh;
	struct graft *g = h->graft;
	char *out = malloc(size);
	ssize_t r = out ? graft_enter(g) : -ENOMEM;

	if (r == 0) {
		pthread_mutex_lock(&h->lock);
		r = fill(req, h, off, out, size, plus);
		pthread_mutex_unlock(&h->lock);
		graft_leave(g);
	}
	if (r < 0)
		fuse_reply_err(req, (int)-r);
	else
		fuse_reply_buf(req, out, (size_t)r);
	free(out);
}

void graft_releasedir(fuse_req_t req, struct fuse_file_info *fi)
{
	graft_handle_free((struct graft_handle *)(uintptr_t)fi->fh);
	fuse_reply_err(req, 0);
}
