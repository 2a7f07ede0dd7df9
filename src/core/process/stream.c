#include "core/process/stream.h"

#include "channel/protocol.h"
#include "core/waiter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void stream_init(struct stream *s, int (*open_file)(struct stream *))
{
	*s = (struct stream){.fd = -1, .open = open_file};
	list_init(&s->waiters);
}

static void close_file(struct stream *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

void stream_fini(struct stream *s)
{
	close_file(s);
	free(s->head);
	s->head = NULL;
}

void stream_add_reader(struct stream *s)
{
	if (s->readers++ == 0 && s->watched)
		s->watched(s, true);
}

void stream_drop_reader(struct stream *s)
{
	/* A file that can be opened again by name costs no descriptor while nobody reads. */
	if (--s->readers)
		return;
	if (!s->unnamed)
		close_file(s);
	if (s->watched)
		s->watched(s, false);
}

static int ensure_open(struct stream *s)
{
	int fd;

	if (s->fd >= 0)
		return 0;
	if (!s->open)
		return -ENOENT;
	fd = s->open(s);
	if (fd < 0)
		return fd;
	s->fd = fd;
	return 0;
}

void stream_pin(struct stream *s)
{
	if (s->readers && s->size && !s->head && ensure_open(s))
		s->failure = EIO;
}

void stream_grow(struct stream *s, uint64_t size, bool full)
{
	if (size > s->size) {
		s->size = size;
		free(s->head); /* the file has those bytes too */
		s->head = NULL;
	}
	s->full = full;
	core_wake(&s->waiters);
}

int stream_grow_head(struct stream *s, uint64_t offset, const void *data, size_t len)
{
	char *head;

	if (offset > s->size || offset + len > SPOOL_HEAD_MAX || (s->size && !s->head))
		return -EPROTO;
	if (offset + len <= s->size)
		return 0;
	head = realloc(s->head, offset + len);
	if (!head)
		return -ENOMEM;
	memcpy(head + offset, data, len);
	s->head = head;
	s->size = offset + len;
	core_wake(&s->waiters);
	return 0;
}

void stream_end(struct stream *s, int failure)
{
	s->ended = true;
	s->full = false;
	if (!s->failure) /* a loss stays one, whatever is said later */
		s->failure = failure;
	core_wake(&s->waiters);
}

static int open_unnamed(const char *directory)
{
	int fd;

	if (!*directory)
		fd = memfd_create("aviatofs-log", MFD_CLOEXEC);
	else
		fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

static int write_at(int fd, const char *data, size_t len, uint64_t at)
{
	while (len) {
		ssize_t n = pwrite(fd, data, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int stream_append(struct stream *s, const char *directory, const void *data, size_t len)
{
	int fd = s->fd, rc = 0;

	/* Most commands say little: their output takes no descriptor as long as it is kept. */
	if (fd < 0 && s->size + len <= SPOOL_HEAD_MAX)
		return stream_grow_head(s, s->size, data, len);
	if (fd < 0) {
		fd = open_unnamed(directory);
		if (fd < 0)
			return fd;
		rc = write_at(fd, s->head, s->size, 0);
	}
	rc = rc ? rc : write_at(fd, data, len, s->size);
	if (rc) {
		if (fd != s->fd)
			close(fd);
		return rc;
	}
	s->fd = fd;
	s->unnamed = true;
	stream_grow(s, s->size + len, s->full);
	return 0;
}

ssize_t stream_read(struct stream *s, uint64_t *off, size_t len, bool follow, int *ret_fd,
		    const char **ret_data)
{
	int rc;

	*ret_data = NULL;
	if (*off >= s->size) {
		if (!follow)
			return 0;
		if (!s->ended)
			return -EAGAIN;
		return -s->failure;
	}
	if (s->head) {
		*ret_data = s->head + *off;
	} else {
		rc = ensure_open(s);
		if (rc)
			return rc;
		*ret_fd = s->fd;
	}
	return len < s->size - *off ? (ssize_t)len : (ssize_t)(s->size - *off);
}
