#include "slow_way.h"

#include "base/list.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ON_THE_WAY_MAX (4u << 20)
#define PIECE_MAX      (64u << 10)

struct piece {
	struct list link;
	int64_t due; /* ms */
	size_t len, done;
	char data[];
};

struct direction {
	int from, to;
	struct list pieces;
	size_t bytes;
};

struct way {
	struct direction there, back;
	int ms;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* False at the end. */
static bool take(struct direction *d, int ms)
{
	struct piece *p = malloc(sizeof *p + PIECE_MAX);
	ssize_t n = p ? read(d->from, p->data, PIECE_MAX) : -1;

	if (n <= 0) {
		bool later = p && n < 0 && (errno == EAGAIN || errno == EINTR);

		free(p);
		return later;
	}
	p->due = now_ms() + ms;
	p->len = (size_t)n;
	p->done = 0;
	d->bytes += p->len;
	list_append(&d->pieces, &p->link);
	return true;
}

static struct piece *first(struct direction *d)
{
	return list_empty(&d->pieces) ? NULL : container_of(d->pieces.next, struct piece, link);
}

static void drop(struct direction *d, struct piece *p)
{
	list_remove(&p->link);
	d->bytes -= p->len;
	free(p);
}

/* What is due, as far as there is room for it. False at the end. */
static bool give(struct direction *d)
{
	struct piece *p;

	while ((p = first(d)) && p->due <= now_ms()) {
		ssize_t n = send(d->to, p->data + p->done, p->len - p->done, MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		p->done += (size_t)n;
		if (p->done == p->len)
			drop(d, p);
	}
	return true;
}

/* What to wait for, and at most how long. */
static void expect(struct direction *d, struct pollfd *from, struct pollfd *to, int *ret_timeout)
{
	struct piece *p = first(d);
	int64_t left = p ? p->due - now_ms() : -1;

	if (d->bytes < ON_THE_WAY_MAX)
		from->events |= POLLIN;
	if (!p)
		return;
	if (left <= 0)
		to->events |= POLLOUT;
	else if (*ret_timeout < 0 || left < *ret_timeout)
		*ret_timeout = (int)left;
}

static bool step(struct way *w)
{
	struct pollfd ends[] = {{.fd = w->there.from}, {.fd = w->there.to}};
	int timeout = -1;

	expect(&w->there, &ends[0], &ends[1], &timeout);
	expect(&w->back, &ends[1], &ends[0], &timeout);
	if (poll(ends, 2, timeout) < 0)
		return errno == EINTR;
	for (int i = 0; i < 2; i++) {
		struct direction *d = i ? &w->back : &w->there;

		if (ends[i].revents & (POLLIN | POLLHUP | POLLERR) && !take(d, w->ms))
			return false;
	}
	return give(&w->there) && give(&w->back);
}

static void *run(void *arg)
{
	struct way *w = arg;

	while (step(w))
		;
	for (int i = 0; i < 2; i++) {
		struct direction *d = i ? &w->back : &w->there;

		while (first(d))
			drop(d, first(d));
		close(d->from);
	}
	free(w);
	return NULL;
}

int slow_way(int fd, int ms)
{
	struct way *w = malloc(sizeof *w);
	pthread_t thread;
	int pair[2];

	if (!w || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair)) {
		free(w);
		close(fd);
		return -1;
	}
	*w =
	    (struct way){.there = {.from = pair[1], .to = fd}, .back = {.from = fd, .to = pair[1]}, .ms = ms};
	list_init(&w->there.pieces);
	list_init(&w->back.pieces);
	if (pthread_create(&thread, NULL, run, w)) {
		close(pair[0]);
		close(pair[1]);
		close(fd);
		free(w);
		return -1;
	}
	pthread_detach(thread);
	return pair[0];
}
