/* A directory is listed whole by one run of the helper; what does not go into one answer waits here for the
 * next. */
#include "backend/aviato/stand_in/files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LISTINGS_KEPT 4u

struct kept_listing {
	struct list link;
	uint64_t handle;
	uint64_t position; /* entries before `left` */
	struct stat attr;
	struct buf output;
	struct helper_output left;
};

static void drop(struct stand_in_files *files, struct kept_listing *l)
{
	list_remove(&l->link);
	files->listing_count--;
	buf_free(&l->output);
	free(l);
}

static struct kept_listing *find(struct stand_in_files *files, uint64_t handle)
{
	list_each (pos, &files->listings) {
		struct kept_listing *l = container_of(pos, struct kept_listing, link);

		if (l->handle == handle)
			return l;
	}
	return NULL;
}

void file_listings_drop(struct stand_in_files *files, uint64_t handle)
{
	struct kept_listing *l = find(files, handle);

	if (l)
		drop(files, l);
}

void file_listings_drop_all(struct stand_in_files *files)
{
	while (!list_empty(&files->listings))
		drop(files, container_of(files->listings.next, struct kept_listing, link));
}

static int put_entry(struct file_work *w, struct file_entry *e, uint64_t position)
{
	char text[PATH_MAX];
	int len;

	e->position = position;
	if (e->known && S_ISLNK(e->attr.st_mode)) {
		len = file_work_text(w->q.depth, e->text, e->text_len, text);
		if (len < 0)
			return len;
		e->text = (const uint8_t *)text;
		e->text_len = (uint32_t)len;
	}
	return file_list_put_entry(&w->rest, e);
}

/* The next entries, as many as go into the answer. */
static int fill(struct file_work *w, struct kept_listing *l)
{
	struct file_entry *e = malloc(sizeof *e);
	struct helper_output before;
	size_t used = 0;
	int rc = e ? 1 : -ENOMEM;

	w->reply.attr = l->attr;
	w->reply.flag = false;
	while (rc == 1) {
		before = l->left;
		rc = helper_entry(&l->left, e);
		if (rc == 1 && (rc = put_entry(w, e, l->position + 1)) == 0)
			rc = 1;
		if (rc == 0)
			w->reply.flag = true;
		if (rc == 1 && used && w->rest.len > w->q.length) {
			w->rest.len = used;
			l->left = before;
			break;
		}
		l->position++;
		used = w->rest.len;
	}
	free(e);
	return rc < 0 ? rc : 0;
}

static int skip_to(struct kept_listing *l, uint64_t position)
{
	struct file_entry *e = malloc(sizeof *e);
	struct helper_output before;
	int rc = e ? 1 : -ENOMEM;

	while (rc == 1 && l->position < position) {
		before = l->left;
		rc = helper_entry(&l->left, e);
		if (rc == 0)
			l->left = before; /* fewer than there were */
		l->position++;
	}
	free(e);
	return rc < 0 ? rc : 0;
}

static int answer(struct file_work *w, struct kept_listing *l)
{
	int rc = fill(w, l);

	if (rc || w->reply.flag)
		drop(w->files, l);
	return rc == -EPROTO ? -EIO : rc;
}

int file_work_ask_list(struct file_work *w, struct file_words *words)
{
	struct kept_listing *l = find(w->files, w->q.handle);
	struct held *dir;
	int rc = handles_find(&w->files->handles, w->q.handle, &dir);

	if (rc)
		return rc;
	if (l && w->q.offset && l->position == w->q.offset) {
		rc = answer(w, l);
		return rc ? rc : FILE_WORK_DONE;
	}
	if (l)
		drop(w->files, l);
	file_words_add(words, "l");
	file_words_add(words, dir->path);
	return 0;
}

/* To its end: -EPROTO when that has not come. */
static int measure(struct helper_output *o, size_t *ret)
{
	const char *from = o->at;
	struct file_entry *e = malloc(sizeof *e);
	int rc = e ? 1 : -ENOMEM;

	while (rc == 1)
		rc = helper_entry(o, e);
	free(e);
	*ret = (size_t)(o->at - from);
	return rc;
}

static struct kept_listing *keep(struct file_work *w, const struct stat *attr, const char *from, size_t len)
{
	struct stand_in_files *files = w->files;
	struct kept_listing *l = calloc(1, sizeof *l);

	if (!l)
		return NULL;
	l->handle = w->q.handle;
	l->attr = *attr;
	buf_init(&l->output, HELPER_OUTPUT_MAX);
	list_append(&files->listings, &l->link);
	if (++files->listing_count > LISTINGS_KEPT)
		drop(files, container_of(files->listings.next, struct kept_listing, link));
	if (buf_append(&l->output, from, len)) {
		drop(files, l);
		return NULL;
	}
	l->left = (struct helper_output){.at = l->output.data, .left = l->output.len};
	return l;
}

int file_work_answer_list(struct file_work *w, struct helper_output *o)
{
	struct kept_listing *l;
	const uint8_t *text;
	const char *from;
	uint32_t text_len;
	struct stat attr;
	size_t len;
	int rc = helper_attr(o, &attr, &text, &text_len);

	rc = rc ? rc : helper_list(o);
	from = o->at;
	rc = rc ? rc : measure(o, &len);
	if (rc)
		return rc;
	l = keep(w, &attr, from, len);
	if (!l)
		return -ENOMEM;
	rc = skip_to(l, w->q.offset);
	if (!rc)
		return answer(w, l);
	drop(w->files, l);
	return rc == -EPROTO ? -EIO : rc;
}
