/* Listings: names with attributes and what symlinks say, as many as fit into one answer. */
#include "agent/files/files.h"
#include "files/attr.h"
#include "files/list.h"
#include "files/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int entry_text(struct file_work *w, int dir, struct file_entry *e)
{
	int link = files_child(dir, e->name), rc = link < 0 ? link : file_link_text(w, dir, link);

	if (link >= 0)
		close(link);
	e->text = w->reply.text;
	e->text_len = w->reply.text_len;
	return rc;
}

/* False: there is no such file any more. */
static bool describe(struct file_work *w, int dir, struct file_entry *e)
{
	e->known = !fstatat(dir, e->name, &e->attr, AT_SYMLINK_NOFOLLOW);
	if (!e->known && errno == ENOENT)
		return false;
	if (e->known && S_ISLNK(e->attr.st_mode) && entry_text(w, dir, e))
		e->known = false;
	/* Who lists a directory asks for those of each file in it. */
	e->plain = e->known && files_child_is_plain(dir, e->name);
	return true;
}

static int put(struct file_work *w, const struct files_entry *found, bool *ret_full)
{
	struct file_entry e = {.position = (uint64_t)found->position};
	size_t before = w->rest.len, most = w->q->length;
	int rc;

	if (!file_name_valid(found->name, strlen(found->name)))
		return 0; /* "." and "..", that is */
	strcpy(e.name, found->name);
	if (!describe(w, w->handle->fd, &e))
		return 0;
	if (!e.known)
		e.attr = (struct stat){.st_ino = found->ino, .st_mode = found->type};
	rc = file_list_put_entry(&w->rest, &e);
	if (!rc && before && w->rest.len > most) {
		w->rest.len = before;
		*ret_full = true;
	}
	return rc;
}

int tell_entries(struct file_work *w)
{
	uint64_t until = clock_ms() + LISTING_BUDGET_MS;
	struct files_entry found;
	struct files_list *list;
	unsigned count = 0;
	bool full = false;
	int rc, more = 1;

	if (w->handle->type != S_IFDIR)
		return -ENOTDIR;
	rc = file_handle_list(w->files, w->handle, &list);
	if (!rc)
		rc = files_list_seek(list, (off_t)w->q->offset);
	while (!rc && !full && (more = files_list_peek(list, &found)) > 0) {
		rc = put(w, &found, &full);
		if (!full)
			files_list_skip(list);
		full = full || (++count >= LISTING_LEAST && w->rest.len && clock_ms() >= until);
	}
	w->reply.flag = more == 0;
	if (rc || more <= 0)
		file_handle_unlist(w->files, w->handle);
	w->reply.text = NULL;
	w->reply.text_len = 0;
	return rc ? rc : more < 0 ? more : tell_attr(w);
}
