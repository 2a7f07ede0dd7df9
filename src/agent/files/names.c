/* Requests about names: looking them up, making, moving and removing them. */
#include "agent/files/files.h"
#include "files/attr.h"
#include "files/link.h"
#include "files/names.h"
#include "files/walk.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int file_link_text(struct file_work *w, int dir, int link)
{
	char stored[PATH_MAX];
	ssize_t len;

	if (w->q->depth == FILE_LINK_RAW) {
		len = readlinkat(link, "", w->text, sizeof w->text);
		if (len == sizeof w->text)
			return -ENAMETOOLONG;
	} else {
		len = files_readlink(w->files->root, dir, w->q->depth, link, stored);
		if (len < 0)
			return (int)len;
		memcpy(w->text, stored, (size_t)len);
	}
	if (len < 0)
		return -errno;
	w->reply.text = (const uint8_t *)w->text;
	w->reply.text_len = (uint32_t)len;
	return 0;
}

/* What stands under the name now: attributes, text, and a handle if one is wanted. */
static int tell_child(struct file_work *w)
{
	const struct file_request *q = w->q;
	int dir = w->handle->fd, fd = files_child(dir, q->name), rc;
	struct known_file *h;

	if (fd < 0)
		return fd;
	rc = files_stat(fd, &w->reply.attr);
	if (!rc && S_ISLNK(w->reply.attr.st_mode))
		rc = file_link_text(w, dir, fd);
	if (rc || q->fresh == FILE_NO_HANDLE) {
		close(fd);
		return rc;
	}
	rc = file_handle_add(w->files, q->fresh, fd, &h);
	if (!rc)
		file_handle_place(h, q->handle, q->name);
	return rc;
}

int tell_lookup(struct file_work *w)
{
	return tell_child(w);
}

int tell_readlink(struct file_work *w)
{
	struct known_file *dir = file_handle_find(w->files, w->q->other);

	if (w->handle->type != S_IFLNK)
		return -EINVAL;
	return dir ? file_link_text(w, dir->fd, w->handle->fd) : -ESTALE;
}

/* --- Making --- */

int act_mknod(struct file_work *w)
{
	mode_t mode = w->q->mode, type = mode & S_IFMT, mask;

	if (type && type != S_IFREG && type != S_IFIFO && type != S_IFSOCK)
		return -EPERM;
	mask = umask(0);
	return file_mask_back(mask, files_mknod(w->handle->fd, w->q->name, type | (mode & 07777), 0));
}

int act_mkdir(struct file_work *w)
{
	mode_t mask = umask(0);

	return file_mask_back(mask, files_mkdir(w->handle->fd, w->q->name, w->q->mode));
}

int act_symlink(struct file_work *w)
{
	return files_symlink(w->q->text, w->handle->fd, w->q->name);
}

int act_link(struct file_work *w)
{
	struct known_file *file = file_handle_find(w->files, w->q->other);

	return file ? files_link(file->fd, w->handle->fd, w->q->name) : -ESTALE;
}

int tell_made(struct file_work *w)
{
	int rc = tell_child(w);

	return rc ? rc : tell_parent(w);
}

/* --- Removing and moving --- */

int act_unlink(struct file_work *w)
{
	int fd = files_child(w->handle->fd, w->q->name), rc = files_unlink(w->handle->fd, w->q->name);

	if (fd >= 0)
		file_job_close(fd);
	return rc;
}

int act_rmdir(struct file_work *w)
{
	return files_rmdir(w->handle->fd, w->q->name);
}

int tell_parent(struct file_work *w)
{
	return files_stat(w->handle->fd, &w->reply.parent);
}

int act_rename(struct file_work *w)
{
	struct known_file *to = file_handle_find(w->files, w->q->other);
	int fd, rc;

	if (!to)
		return -ESTALE;
	/* Only the two that make no device node. */
	if (w->q->bits & ~3u)
		return -EINVAL;
	/* What is replaced ends as what is unlinked. */
	fd = w->q->bits ? -1 : files_child(to->fd, w->q->other_name);
	rc = files_rename(w->handle->fd, w->q->name, to->fd, w->q->other_name, w->q->bits);
	if (fd >= 0)
		file_job_close(fd);
	return rc;
}

int tell_renamed(struct file_work *w)
{
	int rc = tell_parent(w);

	return rc ? rc : files_stat(file_handle_find(w->files, w->q->other)->fd, &w->reply.other);
}
