/* Requests about what is in files. */
#include "agent/files/files.h"
#include "files/attr.h"
#include "files/data.h"
#include "files/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- Opening --- */

static int add_open(struct file_work *w, int fd, struct known_file **ret)
{
	int rc = file_handle_add(w->files, w->q->fresh_file, fd, ret);

	if (rc)
		return rc;
	(*ret)->data = true;
	(*ret)->live = files_is_live(fd);
	return 0;
}

int file_opened(struct file_work *w, int fd)
{
	struct known_file *h;
	int rc = add_open(w, fd, &h);

	if (!rc)
		file_handle_place(h, w->handle->dir, w->handle->name);
	return rc;
}

int act_open(struct file_work *w)
{
	int fd = files_open(w->handle->fd, file_open_flags(w->q->bits));

	return fd < 0 ? fd : file_opened(w, fd);
}

/* As much as there is, or `len`. */
static ssize_t read_all(int fd, char *out, size_t len, off_t offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, out + done, len - done, offset + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && !done)
			return -errno;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* A small file comes with its being opened. Where that does not work out it is read later. */
static void tell_content(struct file_work *w, const struct known_file *h)
{
	uint64_t most = w->q->length < FILE_CONTENT_MAX ? w->q->length : FILE_CONTENT_MAX;
	struct stat st;
	ssize_t n;

	if (!most || !(w->q->bits & FILE_OPEN_READ) || h->live || files_stat(h->fd, &st) ||
	    (uint64_t)st.st_size > most || buf_reserve(&w->rest, (size_t)most + 1))
		return;
	n = read_all(h->fd, w->rest.data, (size_t)most + 1, 0);
	if (n < 0 || (uint64_t)n > most)
		return;
	w->reply.data = (const uint8_t *)w->rest.data;
	w->reply.data_len = (uint32_t)n;
	w->reply.flag = true;
}

int tell_open(struct file_work *w)
{
	struct known_file *h = file_handle_find(w->files, w->q->fresh_file);

	if (w->reply.watch)
		tell_content(w, h);
	return files_stat(h->fd, &w->reply.attr);
}

int act_create(struct file_work *w)
{
	const struct file_request *q = w->q;
	mode_t mask = umask(0);

	w->made =
	    file_mask_back(mask, files_create(w->handle->fd, q->name, file_open_flags(q->bits), q->mode));
	return w->made < 0 ? w->made : 0;
}

int act_tmpfile(struct file_work *w)
{
	const struct file_request *q = w->q;
	mode_t mask = umask(0);

	w->made = file_mask_back(mask, files_tmpfile(w->handle->fd, file_open_flags(q->bits), q->mode));
	return w->made < 0 ? w->made : 0;
}

/* Handles of what was made: of the open file, and of the file itself if one is wanted. */
static int add_made(struct file_work *w, struct known_file **ret_file, struct known_file **ret_node)
{
	/* By the descriptor: the name, if it has one, may be another's by now. */
	int path = w->q->fresh == FILE_NO_HANDLE ? -1 : open(files_self(w->made).path, O_PATH | O_CLOEXEC),
	    rc;

	*ret_node = NULL;
	if (path < 0 && w->q->fresh != FILE_NO_HANDLE)
		return -errno;
	rc = add_open(w, w->made, ret_file);
	w->made = -1;
	if (rc) {
		if (path >= 0)
			close(path);
		return rc;
	}
	rc = path < 0 ? 0 : file_handle_add(w->files, w->q->fresh, path, ret_node);
	if (!rc)
		rc = files_stat((*ret_file)->fd, &w->reply.attr);
	if (rc)
		file_handle_drop(w->files, *ret_file);
	return rc;
}

int tell_created(struct file_work *w)
{
	struct known_file *file, *node;
	int rc = add_made(w, &file, &node);

	if (rc)
		return rc;
	file_handle_place(file, w->q->handle, w->q->name);
	if (node)
		file_handle_place(node, w->q->handle, w->q->name);
	rc = tell_parent(w);
	if (rc)
		file_handle_drop(w->files, file);
	return rc;
}

int tell_tmpfile(struct file_work *w)
{
	struct known_file *file, *node;

	return add_made(w, &file, &node);
}

int act_opendir(struct file_work *w)
{
	struct known_file *h;
	int fd = files_open_dir(w->handle->fd);

	return fd < 0 ? fd : file_handle_add(w->files, w->q->fresh_file, fd, &h);
}

int act_release(struct file_work *w)
{
	for (uint32_t i = 0; i < w->q->handle_count; i++) {
		struct known_file *h = file_handle_find(w->files, file_handle(w->q, i));

		if (h)
			file_handle_drop(w->files, h);
	}
	return 0;
}

/* --- Reading and writing --- */

int tell_read(struct file_work *w)
{
	const struct file_request *q = w->q;
	int rc = w->handle->data ? buf_reserve(&w->rest, (size_t)q->length + 1) : -EBADF;
	ssize_t n = rc ? rc : read_all(w->handle->fd, w->rest.data, (size_t)q->length, (off_t)q->offset);

	if (n < 0)
		return (int)n;
	w->reply.data = (const uint8_t *)w->rest.data;
	w->reply.data_len = (uint32_t)n;
	return 0;
}

static int append(struct file_work *w)
{
	int fd = w->handle->fd;
	off_t end;

	for (size_t done = 0; done < w->q->data_len;) {
		ssize_t n = files_append(fd, w->q->data + done, w->q->data_len - done);

		if (n < 0 && n != -EINTR)
			return (int)n;
		done += n > 0 ? (size_t)n : 0;
	}
	end = lseek(fd, 0, SEEK_CUR);
	w->reply.value = end < 0 ? 0 : (uint64_t)end;
	return 0;
}

int act_write(struct file_work *w)
{
	const struct file_request *q = w->q;
	size_t done = 0;

	if (!w->handle->data)
		return -EBADF;
	if (q->bits & FILE_OPEN_APPEND)
		return append(w);
	do {
		ssize_t n = files_write_at(w->handle->fd, q->data + done, q->data_len - done,
					   (off_t)(q->offset + done));

		if (n < 0 && n != -EINTR)
			return (int)n;
		done += n > 0 ? (size_t)n : 0;
		/* What is not a file of bytes takes each write as a whole. */
	} while (done < q->data_len && !w->handle->live);
	w->reply.value = q->offset + done;
	return 0;
}

int act_fsync(struct file_work *w)
{
	if (!w->handle->data)
		return -EBADF;
	if (w->q->bits & FILE_FSYNC_CLOSE)
		return 0;
	return (w->q->bits & 1 ? fdatasync(w->handle->fd) : fsync(w->handle->fd)) ? -errno : 0;
}

int act_fallocate(struct file_work *w)
{
	const struct file_request *q = w->q;

	if (!w->handle->data)
		return -EBADF;
	return fallocate(w->handle->fd, (int)q->bits, (off_t)q->offset, (off_t)q->length) ? -errno : 0;
}

int tell_seek(struct file_work *w)
{
	const struct file_request *q = w->q;
	off_t at;

	if (!w->handle->data)
		return -EBADF;
	at = lseek(w->handle->fd, (off_t)q->offset, q->bits == FILE_SEEK_HOLE ? SEEK_HOLE : SEEK_DATA);
	w->reply.value = at < 0 ? 0 : (uint64_t)at;
	return at < 0 ? -errno : 0;
}

int file_copy(const struct file_request *q, int from, int to, uint64_t budget_ms, uint64_t *ret)
{
	int64_t in = (int64_t)q->offset, out = (int64_t)q->other_offset;
	uint64_t left = q->length < FILE_COPY_MAX ? q->length : FILE_COPY_MAX, until = clock_ms() + budget_ms;

	*ret = 0;
	while (left) {
		/* By number: older libraries have no wrapper, and newer ones may loop by themselves. */
		ssize_t n = syscall(SYS_copy_file_range, from, &in, to, &out,
				    (size_t)(left < FILE_READ_MAX ? left : FILE_READ_MAX), 0);

		if (n < 0 && !*ret)
			return -errno;
		if (n <= 0)
			break;
		*ret += (uint64_t)n;
		left -= (uint64_t)n;
		if (clock_ms() >= until)
			break;
	}
	return 0;
}

/* `handle` is where from, but the reply is about where to. */
int act_copy(struct file_work *w)
{
	struct known_file *from = w->handle, *to = file_handle_find(w->files, w->q->other);

	if (!to || !from->data || !to->data)
		return to ? -EBADF : -ESTALE;
	w->handle = to;
	return file_copy(w->q, from->fd, to->fd, FILES_BUDGET_MS, &w->reply.value);
}
