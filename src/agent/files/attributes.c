/* Requests about attributes. */
#include "agent/files/files.h"
#include "files/attr.h"

#include <errno.h>

int tell_attr(struct file_work *w)
{
	return files_stat(w->handle->fd, &w->reply.attr);
}

int tell_attrs(struct file_work *w)
{
	int rc = 0;

	for (uint32_t i = 0; !rc && i < w->q->handle_count; i++) {
		struct known_file *h = file_handle_find(w->files, file_handle(w->q, i));
		struct stat st;
		int error = h ? files_stat(h->fd, &st) : -ESTALE;

		rc = file_list_put_attr(&w->rest, (uint32_t)-error, &st);
	}
	return rc;
}

int tell_access(struct file_work *w)
{
	return files_access(w->handle->fd, (int)(w->q->bits & 7));
}

int tell_statfs(struct file_work *w)
{
	return files_statfs(w->handle->fd, &w->reply.statfs);
}

/* --- Changing --- */

static struct timespec when(const struct file_request *q, uint32_t given, uint32_t now, int64_t ns)
{
	struct timespec t = {.tv_nsec = UTIME_OMIT};

	if (q->bits & now) {
		t.tv_nsec = UTIME_NOW;
	} else if (q->bits & given) {
		t.tv_sec = ns / 1000000000;
		t.tv_nsec = ns % 1000000000;
		if (t.tv_nsec < 0) {
			t.tv_nsec += 1000000000;
			t.tv_sec--;
		}
	}
	return t;
}

int file_setattr(const struct file_request *q, int fd, int data)
{
	struct files_change change = FILES_CHANGE_NOTHING;

	change.data_fd = data;
	change.set_mode = q->bits & FILE_SET_MODE;
	change.mode = q->mode & 07777;
	change.set_size = q->bits & FILE_SET_SIZE;
	change.size = (off_t)q->length;
	if (q->bits & FILE_SET_UID)
		change.uid = q->uid;
	if (q->bits & FILE_SET_GID)
		change.gid = q->gid;
	change.times[0] = when(q, FILE_SET_ATIME, FILE_SET_ATIME_NOW, q->atime);
	change.times[1] = when(q, FILE_SET_MTIME, FILE_SET_MTIME_NOW, q->mtime);
	return files_change(fd, &change);
}

int act_setattr(struct file_work *w)
{
	const struct file_request *q = w->q;
	struct known_file *data = NULL;

	if (q->bits & FILE_SET_SIZE && q->other != FILE_NO_HANDLE) {
		data = file_handle_find(w->files, q->other);
		if (!data || !data->data)
			return -ESTALE;
	}
	return file_setattr(q, w->handle->fd, data ? data->fd : -1);
}

/* --- Extended attributes --- */

static int tell_value(struct file_work *w, ssize_t len)
{
	if (len < 0)
		return (int)len;
	w->reply.data = (const uint8_t *)w->rest.data;
	w->reply.data_len = (uint32_t)len;
	return 0;
}

int tell_xattr(struct file_work *w)
{
	int rc = buf_reserve(&w->rest, FILE_XATTR_MAX);

	return rc ? rc
		  : tell_value(w, files_getxattr(w->handle->fd, w->q->text, w->rest.data, FILE_XATTR_MAX));
}

int tell_xattrs(struct file_work *w)
{
	int rc = buf_reserve(&w->rest, FILE_XATTR_MAX);

	return rc ? rc : tell_value(w, files_listxattr(w->handle->fd, w->rest.data, FILE_XATTR_MAX));
}

int act_setxattr(struct file_work *w)
{
	const struct file_request *q = w->q;

	return files_setxattr(w->handle->fd, q->text, q->data, q->data_len, (int)q->bits);
}

int act_removexattr(struct file_work *w)
{
	return files_removexattr(w->handle->fd, w->q->text);
}
