/*
 * From a process's pipe to its spool file. Not a byte may be lost on this way:
 * what cannot be written stays in the pipe, and the process waits.
 */
#include "agent/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COPY_MAX   (64u << 10) /* one read, where splice does not work */
#define PIPE_BYTES (1 << 20)   /* what the pipe of a busy stream is enlarged to */
#define BUSY_BYTES (32 << 10)  /* moved at once: the stream is busy */
#define NEWS_BYTES (512 << 10) /* of a busy stream are worth a frame at once, ... */
#define NEWS_MS	   1	       /* ... fewer wait so long for more */
#define RETRY_MS   250	       /* until a starved spool is tried again */

void stream_init(struct stream *st, struct process *p, enum stream_number number)
{
	*st = (struct stream){
	    .pipe = {.fd = -1, .ready = stream_ready}, .process = p, .number = number, .file = -1};
	buf_init(&st->head, SPOOL_HEAD_MAX);
	buf_init(&st->held, COPY_MAX);
}

int spool_open(struct agent *a, uint32_t id, const char *suffix, int flags)
{
	char name[32];
	int fd;

	snprintf(name, sizeof name, "%u.%s", (unsigned)id, suffix);
	fd = openat(a->spool, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	/* Something of an earlier life, or put there to mislead us. */
	if (fd < 0 && errno == EEXIST && !unlinkat(a->spool, name, 0))
		fd = openat(a->spool, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

static const char *suffix(const struct stream *st)
{
	return st->number == STREAM_ERR ? "err" : "out";
}

/* --- Moving bytes: each returns how many, 0 at the end of the pipe, or -errno --- */

/* Takes from the pipe only what the file has taken. */
static ssize_t move_by_splice(struct stream *st, size_t most)
{
	off_t at = (off_t)st->size;
	ssize_t n = splice(st->pipe.fd, NULL, st->file, &at, most, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	return n < 0 ? -errno : n;
}

static ssize_t write_held(struct stream *st, size_t most)
{
	ssize_t n =
	    pwrite(st->file, st->held.data, st->held.len < most ? st->held.len : most, (off_t)st->size);

	if (n < 0)
		return -errno;
	buf_consume(&st->held, (size_t)n);
	return n;
}

/* Here the bytes are out of the pipe before the file has them, so they are held until it does. */
static ssize_t move_by_copy(struct stream *st, size_t most)
{
	ssize_t n;

	if (st->held.len)
		return write_held(st, most);
	if (buf_reserve(&st->held, COPY_MAX))
		return -ENOMEM;
	n = read(st->pipe.fd, st->held.data, most < COPY_MAX ? most : COPY_MAX);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	st->held.len = (size_t)n;
	return write_held(st, most);
}

static ssize_t move(struct stream *st, size_t most)
{
	ssize_t n;

	if (!st->copying && !st->terminal) {
		n = move_by_splice(st, most);
		if (n != -EINVAL && n != -ENOSYS)
			return n;
		st->copying = true; /* a file system that cannot */
	}
	return move_by_copy(st, most);
}

/* Most commands say little, and making and removing a file costs more than they do. */
static ssize_t move_to_head(struct stream *st, size_t most)
{
	size_t room = SPOOL_HEAD_MAX - st->head.len;
	ssize_t n;

	if (buf_reserve(&st->head, most < room ? most : room))
		return -ENOMEM;
	n = read(st->pipe.fd, st->head.data + st->head.len, most < room ? most : room);
	if (n < 0)
		return -errno;
	st->head.len += (size_t)n;
	return n;
}

/* --- The states of a stream --- */

static void set_full(struct agent *a, struct stream *st, bool starved)
{
	/* Out of the loop, as a hang-up cannot be masked and would wake us without end. */
	watch_pause(a, &st->pipe);
	st->full = true;
	st->starved = starved;
	if (starved && a->retry_at > a->now + RETRY_MS)
		a->retry_at = a->now + RETRY_MS;
	process_dirty(a, st->process);
}

static void set_ended(struct agent *a, struct stream *st)
{
	if (st->ended || st->process->running)
		return;
	st->ended = true;
	st->end = st->size;
	process_dirty(a, st->process);
}

void stream_close(struct stream *st)
{
	watch_close(&st->pipe);
	if (st->file >= 0)
		close(st->file);
	st->file = -1;
	buf_free(&st->held);
}

void stream_free(struct stream *st)
{
	stream_close(st);
	buf_free(&st->head);
}

static void enlarge(struct stream *st)
{
	/* Refused to an ordinary user who has many big pipes already: then it stays as it is. */
	fcntl(st->pipe.fd, F_SETPIPE_SZ, PIPE_BYTES);
	st->grown = true;
}

static int make_file(struct agent *a, struct stream *st)
{
	int fd = spool_open(a, st->process->id, suffix(st), O_RDWR | O_CREAT | O_EXCL);
	ssize_t n;

	if (fd < 0)
		return fd;
	/* All or nothing: a file that got only a part is made anew the next time. */
	n = pwrite(fd, st->head.data, st->head.len, 0);
	if (n != (ssize_t)st->head.len) {
		n = n < 0 ? -errno : -ENOSPC;
		close(fd);
		return (int)n;
	}
	buf_free(&st->head);
	st->file = fd;
	st->made = true;
	return 0;
}

/*
 * Moves up to `most` bytes. Returns how many; 0 when there is nothing to do
 * now: the pipe is empty, at its end (then closed), or the stream became full.
 */
static size_t pump(struct agent *a, struct stream *st, size_t most)
{
	uint64_t room = st->process->limit > st->size ? st->process->limit - st->size : 0;
	ssize_t n;

	if (!room) {
		set_full(a, st, false);
		return 0;
	}
	if (most > room)
		most = (size_t)room;
	if (!st->made && st->size < SPOOL_HEAD_MAX) {
		n = move_to_head(st, most);
	} else {
		n = st->made ? 0 : make_file(a, st);
		if (!n)
			n = move(st, most);
	}
	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n == -EIO && st->terminal) /* how a terminal says that nobody has its other end */
		n = 0;
	if (n < 0) {
		set_full(a, st, true);
		return 0;
	}
	if (n == 0) {
		stream_close(st);
		set_ended(a, st);
		return 0;
	}
	st->size += (uint64_t)n;
	/* Waking the daemon costs more than moving the bytes did. */
	if (st->grown && st->size - st->told.size < NEWS_BYTES)
		process_dirty_later(a, st->process, NEWS_MS);
	else
		process_dirty(a, st->process);
	if (n >= BUSY_BYTES && !st->grown)
		enlarge(st);
	return (size_t)n;
}

/*
 * Bytes in the pipe. The kernel looks for these before it looks for writers, without a lock: so of one who
 * writes and closes in between it tells the hang-up alone.
 */
static int waiting(const struct stream *st)
{
	int left = 0;

	return ioctl(st->pipe.fd, FIONREAD, &left) ? 0 : left;
}

void stream_ready(struct agent *a, struct watch *w, uint32_t events)
{
	struct stream *st = container_of(w, struct stream, pipe);

	if (w->fd < 0 || st->full)
		return;
	/* A hang-up alone: the end, as a rule, and no file is made for nothing. */
	if (!(events & EPOLLIN) && !st->held.len && !waiting(st)) {
		stream_close(st);
		set_ended(a, st);
		return;
	}
	pump(a, st, PUMP_MAX);
}

void stream_drain(struct agent *a, struct stream *st)
{
	int left;

	/* Who led the session of a terminal takes it along: there is an end, and all before it counts. */
	while (st->terminal && st->pipe.fd >= 0 && !st->full)
		if (!pump(a, st, PUMP_MAX))
			break;
	/* No more than is there now: a process left behind in the background may write for ever. */
	if (st->pipe.fd >= 0 && !st->full) {
		left = waiting(st) + (int)st->held.len;
		while (left > 0) {
			size_t n = pump(a, st, (size_t)left);

			if (!n)
				break;
			left -= (int)n;
		}
	}
	if (!st->full)
		set_ended(a, st);
}

void stream_resume(struct agent *a, struct stream *st)
{
	if (!st->full)
		return;
	st->full = st->starved = false;
	process_dirty(a, st->process);
	if (st->pipe.fd < 0) { /* hung up while it was full */
		set_ended(a, st);
		return;
	}
	if (!st->process->running)
		stream_drain(a, st);
	else
		pump(a, st, PUMP_MAX);
	if (!st->full && st->pipe.fd >= 0)
		watch_add(a, &st->pipe, EPOLLIN);
}

/* --- Reading back, for a daemon that cannot reach the files --- */

ssize_t spool_read(struct agent *a, uint32_t id, const char *end, uint64_t offset, void *out, size_t len)
{
	int fd = spool_open(a, id, end, O_RDONLY);
	ssize_t n;

	if (fd == -EMFILE && a->spare >= 0) {
		close(a->spare);
		a->spare = -1;
		fd = spool_open(a, id, end, O_RDONLY);
	}
	n = fd < 0 ? fd : pread(fd, out, len, (off_t)offset);
	if (fd >= 0 && n < 0)
		n = -errno;
	if (fd >= 0)
		close(fd);
	if (a->spare < 0)
		a->spare = fcntl(a->epoll, F_DUPFD_CLOEXEC, 0);
	return n;
}

ssize_t stream_read(struct agent *a, const struct stream *st, uint64_t offset, void *out, size_t len)
{
	ssize_t n;

	if (!st->made) {
		n = offset < st->head.len ? (ssize_t)(st->head.len - offset) : 0;
		n = n < (ssize_t)len ? n : (ssize_t)len;
		memcpy(out, st->head.data + offset, (size_t)n);
		return n;
	}
	if (st->file < 0)
		return spool_read(a, st->process->id, suffix(st), offset, out, len);
	n = pread(st->file, out, len, (off_t)offset);
	return n < 0 ? -errno : n;
}

void spool_remove(struct agent *a, uint32_t id, const char *end)
{
	char name[32];

	snprintf(name, sizeof name, "%u.%s", (unsigned)id, end);
	unlinkat(a->spool, name, 0);
}

void spool_forget(struct agent *a, const struct process *p)
{
	for (int i = 0; i < STREAMS; i++)
		if (p->streams[i].made)
			spool_remove(a, p->id, suffix(&p->streams[i]));
	if (p->start_spooled)
		spool_remove(a, p->id, "start");
}
