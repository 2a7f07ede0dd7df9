#include "channel/pipe.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE (256u << 10)
#define READS_MAX 8  /* per wake-up, so that one busy agent does not starve the others */
#define IOV_PARTS 16 /* of one send that are tried at once; more are queued */

/*
 * Sends come from any thread and go to the socket at once, from that thread:
 * a hop to the loop would cost more than the rest. Only what the socket does
 * not take waits in `backlog` for the loop thread. Reading and all uv_* calls
 * are the loop thread's.
 */
struct socket_pipe {
	struct pipe pipe;
	int fd;
	pthread_mutex_t lock; /* backlog, broken, closed, references */
	struct buf backlog;
	bool broken;	     /* no sends any more */
	bool closed;	     /* by the owner: no events any more */
	unsigned references; /* the owner's, the poll handle's, one per call under way */
	/* The loop thread's. */
	uv_poll_t poll;
	bool polling;
	bool told; /* the owner heard of the end */
};

/* What was read and not yet handed on; one for all, as only the loop thread reads. */
static char read_buffer[READ_SIZE];

static void unref(struct socket_pipe *s)
{
	bool last;

	pthread_mutex_lock(&s->lock);
	last = --s->references == 0;
	pthread_mutex_unlock(&s->lock);
	if (!last)
		return;
	close(s->fd);
	buf_free(&s->backlog);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static void ref(struct socket_pipe *s)
{
	pthread_mutex_lock(&s->lock);
	s->references++;
	pthread_mutex_unlock(&s->lock);
}

static bool is_closed(struct socket_pipe *s)
{
	bool closed;

	pthread_mutex_lock(&s->lock);
	closed = s->closed;
	pthread_mutex_unlock(&s->lock);
	return closed;
}

static void poll_closed(uv_handle_t *handle)
{
	unref(container_of((uv_poll_t *)handle, struct socket_pipe, poll));
}

static void stop_polling(struct socket_pipe *s)
{
	if (!s->polling)
		return;
	s->polling = false;
	uv_close((uv_handle_t *)&s->poll, poll_closed);
}

static void tell_closed(struct socket_pipe *s, int code)
{
	struct error why;

	pthread_mutex_lock(&s->lock);
	s->broken = true;
	pthread_mutex_unlock(&s->lock);
	stop_polling(s);
	if (s->told || is_closed(s))
		return;
	s->told = true;
	if (code)
		error_errno(&why, code, "AGENT_LOST", "the connection to the agent broke");
	else
		error_set(&why, ECONNRESET, "AGENT_LOST", "the agent closed the connection");
	s->pipe.events->closed(s->pipe.owner, &why);
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void poll_for(struct socket_pipe *s, int events)
{
	if (s->polling)
		uv_poll_start(&s->poll, events, on_poll);
}

/* Sends what waits. 0 when all is gone, 1 when some is left, -errno. Lock held. */
static int flush_backlog(struct socket_pipe *s)
{
	while (s->backlog.len) {
		ssize_t n = send(s->fd, s->backlog.data, s->backlog.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 1 : -errno;
		buf_consume(&s->backlog, (size_t)n);
	}
	buf_free(&s->backlog); /* its memory too: most pipes never have one */
	buf_init(&s->backlog, PIPE_BACKLOG_MAX);
	return 0;
}

static void flush_on_loop(struct socket_pipe *s)
{
	int rc;

	pthread_mutex_lock(&s->lock);
	rc = s->broken ? 0 : flush_backlog(s);
	pthread_mutex_unlock(&s->lock);
	if (rc < 0)
		tell_closed(s, -rc);
	else
		poll_for(s, rc ? UV_READABLE | UV_WRITABLE : UV_READABLE);
}

static void read_some(struct socket_pipe *s)
{
	for (int i = 0; i < READS_MAX && s->polling && !is_closed(s); i++) {
		ssize_t n = recv(s->fd, read_buffer, sizeof read_buffer, MSG_DONTWAIT);

		if (n > 0) {
			s->pipe.events->received(s->pipe.owner, read_buffer, (size_t)n);
			if ((size_t)n < sizeof read_buffer)
				return;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0 || errno != EAGAIN)
			tell_closed(s, n ? errno : 0);
		return;
	}
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct socket_pipe *s = container_of(poll, struct socket_pipe, poll);

	ref(s); /* the owner may close it from within an event */
	if (status < 0) {
		/* EPOLLERR: the read says what it was. */
		read_some(s);
	} else {
		if (events & UV_WRITABLE)
			flush_on_loop(s);
		if (events & UV_READABLE)
			read_some(s);
	}
	unref(s);
}

static void flush_posted(void *arg)
{
	flush_on_loop(arg);
	unref(arg);
}

/* How many bytes of `iov` the socket took, or -errno. Lock held. */
static ssize_t send_now(struct socket_pipe *s, const struct iovec *iov, int count)
{
	struct msghdr message = {.msg_iov = (struct iovec *)iov,
				 .msg_iovlen = (size_t)(count < IOV_PARTS ? count : IOV_PARTS)};
	ssize_t n;

	do
		n = sendmsg(s->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	return n;
}

/* Keeps all but the first `sent` bytes; all of it or nothing. Lock held. */
static int queue(struct socket_pipe *s, const struct iovec *iov, int count, size_t sent)
{
	size_t total = 0;

	for (int i = 0; i < count; i++)
		total += iov[i].iov_len;
	if (total == sent)
		return 0;
	if (buf_reserve(&s->backlog, total - sent))
		return -ENOBUFS;
	for (int i = 0; i < count; i++) {
		size_t skip = sent < iov[i].iov_len ? sent : iov[i].iov_len;

		sent -= skip;
		(void)buf_append(&s->backlog, (const char *)iov[i].iov_base + skip, iov[i].iov_len - skip);
	}
	return 0;
}

static int socket_send(struct pipe *p, const struct iovec *iov, int count)
{
	struct socket_pipe *s = container_of(p, struct socket_pipe, pipe);
	bool was_empty, post = false;
	ssize_t sent = 0;
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	was_empty = s->backlog.len == 0;
	if (s->broken)
		rc = -EPIPE;
	if (!rc && was_empty)
		sent = send_now(s, iov, count);
	if (sent < 0)
		rc = -EPIPE;
	if (!rc)
		rc = queue(s, iov, count, (size_t)sent);
	if (rc == -EPIPE || (rc && sent > 0)) {
		/* Half a frame is out: nothing that follows would make sense. The loop reads the end of it.
		 */
		s->broken = true;
		shutdown(s->fd, SHUT_RDWR);
	}
	if (!rc && was_empty && s->backlog.len) {
		post = true;
		s->references++;
	}
	pthread_mutex_unlock(&s->lock);
	if (post && loop_post(flush_posted, s)) {
		shutdown(s->fd, SHUT_RDWR);
		unref(s);
		return -EPIPE;
	}
	return rc;
}

static void close_posted(void *arg)
{
	stop_polling(arg);
	unref(arg);
}

static void socket_close(struct pipe *p)
{
	struct socket_pipe *s = container_of(p, struct socket_pipe, pipe);

	pthread_mutex_lock(&s->lock);
	s->closed = s->broken = true;
	pthread_mutex_unlock(&s->lock);
	/* What was sent before still arrives; without memory to tell the loop, the end of the stream tells
	 * it. */
	if (loop_post(close_posted, s)) {
		shutdown(s->fd, SHUT_RDWR);
		unref(s);
	}
}

static const struct pipe_ops socket_ops = {socket_send, socket_close};

struct pipe *socket_pipe(int fd)
{
	struct socket_pipe *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->pipe.ops = &socket_ops;
	s->fd = fd;
	s->references = 1;
	pthread_mutex_init(&s->lock, NULL);
	buf_init(&s->backlog, PIPE_BACKLOG_MAX);
	return &s->pipe;
}

int socket_pipe_watch(struct pipe *p)
{
	struct socket_pipe *s = container_of(p, struct socket_pipe, pipe);
	int rc;

	if (is_closed(s))
		return 0;
	rc = uv_poll_init(loop_uv(), &s->poll, s->fd);
	if (rc)
		return rc;
	ref(s);
	s->polling = true;
	flush_on_loop(s);
	return 0;
}
