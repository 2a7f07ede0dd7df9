/* Requests about files that are read and written whole. */
#include "backend/aviato/stand_in/whole.h"

#include "backend/aviato/delay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUNNING_MAX 8u

struct whole_opening {
	struct list link;
	uint64_t number;
	struct whole_file *file;
	bool writes;
};

/* --- Openings --- */

static int open_file(struct whole_call *c, uint64_t number, bool writes)
{
	struct whole_opening *o = calloc(1, sizeof *o);

	if (!o)
		return -ENOMEM;
	o->number = number;
	o->file = c->file;
	o->writes = writes;
	o->file->refs++;
	o->file->writers += writes;
	list_append(&c->whole->opens, &o->link);
	return 0;
}

/* What could not be stored is given up with the last who could do it: they were told. */
static void close_opening(struct whole *whole, struct whole_opening *o)
{
	struct whole_file *f = o->file;

	f->writers -= o->writes;
	if (!f->writers && f->dirty)
		whole_forget(whole, f);
	list_remove(&o->link);
	free(o);
	whole_file_put(whole, f);
}

static void close_number(struct whole *whole, uint64_t number)
{
	list_each_safe (pos, &whole->opens) {
		struct whole_opening *o = container_of(pos, struct whole_opening, link);

		if (o->number == number)
			close_opening(whole, o);
	}
}

/* It may have been opened by a shell that is gone: then its content is not here. */
static bool is_open(const struct whole_call *c)
{
	list_each (pos, &c->whole->opens)
		if (container_of(pos, struct whole_opening, link)->number == c->work->q.handle)
			return true;
	return false;
}

/* --- Each request: 0, -errno, or WHOLE_UNDER_WAY, and then it is called again --- */

static int do_look(struct whole_call *c)
{
	int rc = whole_look(c);

	if (rc == 0)
		whole_attr(c->file, &c->work->reply.attr);
	return rc;
}

static int do_getattr(struct whole_call *c)
{
	struct stat st = {0};
	int rc = whole_look(c);

	if (rc == WHOLE_UNDER_WAY || c->why.code)
		return rc;
	if (rc == 0)
		whole_attr(c->file, &st);
	return file_list_put_attr(&c->work->rest, (uint32_t)-rc, &st);
}

static int do_readlink(struct whole_call *c)
{
	(void)c; /* none are to be seen: they are followed in the sandbox */
	return -EINVAL;
}

/* That it may be read is known; that it may not be written to, when it is tried. */
static int do_access(struct whole_call *c)
{
	int rc = whole_look(c);

	return rc ? rc : c->work->q.bits & X_OK && c->file->type == S_IFREG ? -EACCES : 0;
}

static int do_statfs(struct whole_call *c)
{
	c->work->reply.statfs =
	    (struct statvfs){.f_bsize = 4096, .f_frsize = 4096, .f_namemax = FILE_NAME_BYTES};
	return 0;
}

/* Emptied at once, as on a disk: whether that may be done is known then. */
static int do_open(struct whole_call *c)
{
	const struct file_request *q = &c->work->q;
	bool writes = q->bits & FILE_OPEN_WRITE;
	int rc;

	if (writes && !c->stored)
		c->file->proven = false;
	rc = q->bits & FILE_OPEN_TRUNC ? whole_store(c, true) : whole_load(c);
	rc = rc ? rc : open_file(c, q->fresh_file, writes);
	if (rc == 0)
		whole_attr(c->file, &c->work->reply.attr);
	return rc;
}

static int do_create(struct whole_call *c)
{
	const struct file_request *q = &c->work->q;
	struct held *dir;
	int rc = c->stored ? c->error : whole_look(c);

	c->file->proven = c->stored;
	if (rc == 0 && !c->stored && q->bits & FILE_OPEN_EXCL)
		return -EEXIST;
	if (!c->stored && (rc == -ENOENT || (rc == 0 && q->bits & FILE_OPEN_TRUNC)))
		return whole_store(c, true);
	rc = rc ? rc : whole_load(c);
	rc = rc ? rc : open_file(c, q->fresh_file, q->bits & FILE_OPEN_WRITE);
	rc = rc ? rc : handles_find(&c->whole->files->handles, q->handle, &dir);
	if (rc)
		return rc;
	whole_attr(c->file, &c->work->reply.attr);
	whole_directory_attr(dir->path, &c->work->reply.parent);
	return 0;
}

static int do_read(struct whole_call *c)
{
	const struct buf *content = &c->file->content;
	const struct file_request *q = &c->work->q;
	size_t left = q->offset < content->len ? content->len - (size_t)q->offset : 0;

	if (!is_open(c))
		return -ESTALE;
	if (!left)
		return 0;
	return buf_append(&c->work->rest, content->data + q->offset,
			  left < q->length ? left : (size_t)q->length);
}

/* The first change by an opening is stored at once: who cannot make it hears of it then, and not at the end.
 */
static int do_write(struct whole_call *c)
{
	const struct file_request *q = &c->work->q;
	struct whole_file *f = c->file;
	uint64_t at = q->bits & FILE_OPEN_APPEND ? f->content.len : q->offset, end = at + q->data_len;
	int rc = 0;

	if (!is_open(c))
		return -ESTALE;
	if (!c->applied) {
		rc = end < at ? -EFBIG : whole_resize(c, end > f->content.len ? end : f->content.len);
		if (rc)
			return rc;
		memcpy(f->content.data + at, q->data, q->data_len);
		c->applied = true;
		c->work->reply.value = end;
	}
	rc = f->proven ? 0 : whole_store(c, false);
	if (rc == 0)
		whole_attr(f, &c->work->reply.attr);
	return rc;
}

static int do_fsync(struct whole_call *c)
{
	return c->file->dirty || c->stored ? whole_store(c, false) : 0;
}

static int set_size(struct whole_call *c)
{
	struct whole_file *f = c->file;
	int rc = c->applied ? 0 : whole_load(c);

	if (rc == 0 && !c->applied) {
		rc = whole_resize(c, c->work->q.length);
		c->applied = rc == 0;
	}
	rc = rc ? rc : whole_store(c, false);
	if (rc < 0 && !f->writers)
		whole_forget(c->whole, f);
	return rc;
}

#define WHOLE_TIMES (FILE_SET_ATIME | FILE_SET_MTIME | FILE_SET_ATIME_NOW | FILE_SET_MTIME_NOW)

/* What it is already it may be made. */
static bool changes(const struct file_request *q, const struct stat *st)
{
	return q->bits & WHOLE_TIMES || (q->bits & FILE_SET_MODE && q->mode != (st->st_mode & 07777)) ||
	       (q->bits & FILE_SET_UID && q->uid != st->st_uid) ||
	       (q->bits & FILE_SET_GID && q->gid != st->st_gid);
}

static int needs_shell(struct whole_call *c, const char *what)
{
	return error_set(&c->why, EOPNOTSUPP, "NO_SHELL", "%s needs a shell, which the image does not have",
			 what);
}

static int do_setattr(struct whole_call *c)
{
	const struct file_request *q = &c->work->q;
	int rc = q->bits & FILE_SET_SIZE ? set_size(c) : whole_look(c);

	if (rc)
		return rc;
	whole_attr(c->file, &c->work->reply.attr);
	/* Together with its size it gets the times it has anyway. */
	return !(q->bits & FILE_SET_SIZE) && changes(q, &c->work->reply.attr)
		   ? needs_shell(c, "changing the attributes of a file")
		   : 0;
}

/* Without holes. */
static int do_seek(struct whole_call *c)
{
	const struct file_request *q = &c->work->q;
	uint64_t size = c->file->content.len;

	if (!is_open(c))
		return -ESTALE;
	c->work->reply.value = q->bits == FILE_SEEK_HOLE ? size : q->offset;
	return q->offset < size ? 0 : -ENXIO;
}

/* What is brought ahead, and is shorter, nobody asked for yet. */
static int do_list(struct whole_call *c)
{
	return c->work->q.length < FILE_READ_MAX ? -EOPNOTSUPP : needs_shell(c, "listing a directory");
}

/* What has neither is not asked for by people. */
static const struct {
	int (*act)(struct whole_call *c);
	const char *needs; /* a shell: to do this */
} requests[FILE_OPS] = {
    [FILE_LOOKUP] = {do_look, NULL},
    [FILE_GETATTR] = {do_getattr, NULL},
    [FILE_READLINK] = {do_readlink, NULL},
    [FILE_ACCESS] = {do_access, NULL},
    [FILE_STATFS] = {do_statfs, NULL},
    [FILE_MKNOD] = {NULL, "making a special file"},
    [FILE_MKDIR] = {NULL, "making a directory"},
    [FILE_SYMLINK] = {NULL, "making a link"},
    [FILE_LINK] = {NULL, "making a link"},
    [FILE_UNLINK] = {NULL, "removing a file"},
    [FILE_RMDIR] = {NULL, "removing a directory"},
    [FILE_RENAME] = {NULL, "renaming"},
    [FILE_SETATTR] = {do_setattr, NULL},
    [FILE_OPEN] = {do_open, NULL},
    [FILE_CREATE] = {do_create, NULL},
    [FILE_OPENDIR] = {do_look, NULL},
    [FILE_READ] = {do_read, NULL},
    [FILE_WRITE] = {do_write, NULL},
    [FILE_FSYNC] = {do_fsync, NULL},
    [FILE_LSEEK] = {do_seek, NULL},
    [FILE_READDIR] = {do_list, NULL},
};

static int act(struct whole_call *c)
{
	const struct file_request *q = &c->work->q;

	if (c->work->programs)
		return needs_shell(c, "finding the programs of an image");
	if (requests[q->op].act)
		return requests[q->op].act(c);
	return requests[q->op].needs ? needs_shell(c, requests[q->op].needs) : -EOPNOTSUPP;
}

/* --- Which path it is about, and the numbers it gives to that --- */

static int path_of(struct whole *whole, const struct file_work *w, char ret[PATH_MAX])
{
	const struct file_request *q = &w->q;
	struct held *held;
	int rc;

	rc = handles_find(&whole->files->handles, q->op == FILE_GETATTR ? file_handle(q, 0) : q->handle,
			  &held);
	if (rc)
		return rc;
	if (q->op == FILE_LOOKUP || q->op == FILE_CREATE)
		return file_child_path(held, q->name, ret);
	strcpy(ret, held->path);
	return 0;
}

/* As it is given, so that those behind it find its numbers. */
static int set_path(struct whole *whole, struct file_work *w)
{
	char path[PATH_MAX] = "/";
	int rc = w->programs ? 0 : path_of(whole, w, path);

	if (rc == 0 && !w->programs)
		rc = file_work_number(w, path);
	if (rc)
		return rc;
	free(w->path);
	w->path = strdup(path);
	return w->path ? 0 : -ENOMEM;
}

/* --- Working them --- */

static void end(struct whole_call *c, int rc)
{
	struct whole *whole = c->whole;

	if (rc && c->why.code)
		stand_in_complain(whole->files->stand_in, &c->why);
	c->file->call = NULL;
	whole_file_put(whole, c->file);
	list_remove(&c->link);
	whole->running_count--;
	file_work_answered(c->work, rc);
	free(c);
}

static void release(struct whole *whole, struct file_work *w)
{
	for (uint32_t i = 0; i < w->q.handle_count; i++) {
		close_number(whole, file_handle(&w->q, i));
		handles_drop(&whole->files->handles, file_handle(&w->q, i));
	}
	file_work_answered(w, 0);
}

static void begin(struct whole *whole, struct file_work *w, struct whole_file *f)
{
	struct whole_call *c = calloc(1, sizeof *c);
	int rc;

	if (!c) {
		whole_file_put(whole, f);
		file_work_answered(w, -ENOMEM);
		return;
	}
	list_remove(&w->link);
	c->whole = whole;
	c->work = w;
	c->file = f;
	f->call = c;
	list_append(&whole->running, &c->link);
	whole->running_count++;
	rc = act(c);
	if (rc != WHOLE_UNDER_WAY)
		end(c, rc);
}

static void begin_if_free(struct whole *whole, struct file_work *w)
{
	struct whole_file *f = whole_file_get(whole, w->path);

	if (!f)
		file_work_answered(w, -ENOMEM);
	else if (f->call)
		whole_file_put(whole, f);
	else
		begin(whole, w, f);
}

/* In their order, but past those whose path is in use. */
static void begin_waiting(struct whole *whole)
{
	list_each_safe (pos, &whole->waiting) {
		if (whole->running_count >= RUNNING_MAX)
			return;
		begin_if_free(whole, container_of(pos, struct file_work, link));
	}
}

void whole_go_on(struct whole_call *c)
{
	struct whole *whole = c->whole;
	struct stand_in *s = whole->files->stand_in;
	int rc = act(c);

	if (rc != WHOLE_UNDER_WAY)
		end(c, rc);
	begin_waiting(whole);
	stand_in_flush(s);
}

void whole_take(struct whole *whole, struct file_work *w)
{
	int rc;

	list_remove(&w->link);
	if (!w->programs && w->q.op == FILE_RELEASE) {
		release(whole, w);
		return;
	}
	rc = set_path(whole, w);
	if (rc) {
		file_work_answered(w, rc);
		return;
	}
	list_append(&whole->waiting, &w->link);
	begin_waiting(whole);
}

/* --- Life --- */

struct whole *whole_open(struct stand_in_files *files)
{
	struct whole *whole = calloc(1, sizeof *whole);

	if (!whole)
		return NULL;
	whole->files = files;
	whole->most = WHOLE_FILE_MAX;
	list_init(&whole->known);
	list_init(&whole->opens);
	list_init(&whole->waiting);
	list_init(&whole->running);
	return whole;
}

void whole_close(struct whole *whole)
{
	if (!whole)
		return;
	delay_cancel(whole->expiry);
	while (!list_empty(&whole->running)) {
		struct whole_call *c = container_of(whole->running.next, struct whole_call, link);

		request_cancel(&c->request);
		file_work_free(c->work);
		whole_file_put(whole, c->file);
		list_remove(&c->link);
		free(c);
	}
	while (!list_empty(&whole->waiting))
		file_work_free(container_of(whole->waiting.next, struct file_work, link));
	while (!list_empty(&whole->opens))
		close_opening(whole, container_of(whole->opens.next, struct whole_opening, link));
	if (whole->latest)
		whole_forget(whole, whole->latest);
	free(whole);
}
