#include "client/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ENDED = 0, BROKEN = 1, USAGE = 2, TIMED_OUT = 124 }; /* exit statuses */

#define AT_ONCE	    64
#define TIMEOUT_MAX 1e9 /* seconds */

struct wanted {
	long count;	/* how many are to end; 0: all */
	double timeout; /* seconds; negative: none */
	char **paths;
	int path_count;
};

static int usage(FILE *to, int status)
{
	fputs("usage: aviatofs wait [--any | --count N] [--timeout SECONDS] PATH...\n", to);
	return status;
}

static int complain(const char *what, int code)
{
	fprintf(stderr, "aviatofs wait: %s: %s\n", what,
		code == ENODATA ? "no command was given" : strerror(code));
	return BROKEN;
}

/* --- Words --- */

static int parse(int argc, char **argv, struct wanted *ret)
{
	static const struct option options[] = {
	    {"any", no_argument, NULL, 'a'},
	    {"count", required_argument, NULL, 'n'},
	    {"timeout", required_argument, NULL, 't'},
	    {0},
	};
	char *end;
	int c;

	*ret = (struct wanted){.timeout = -1};
	optind = 1;
	while ((c = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (c) {
		case 'a':
			ret->count = 1;
			break;
		case 'n':
			ret->count = strtol(optarg, &end, 10);
			if (!*optarg || *end || ret->count < 1)
				return usage(stderr, USAGE);
			break;
		case 't':
			ret->timeout = strtod(optarg, &end);
			if (!*optarg || *end || !isfinite(ret->timeout) || ret->timeout < 0 ||
			    ret->timeout > TIMEOUT_MAX)
				return usage(stderr, USAGE);
			break;
		default:
			return usage(stderr, USAGE);
		}
	}
	ret->paths = argv + optind;
	ret->path_count = argc - optind;
	if (ret->path_count < 1 || ret->count > ret->path_count)
		return usage(stderr, USAGE);
	if (!ret->count)
		ret->count = ret->path_count;
	return 0;
}

/* --- Waiting --- */

/* `path` is a file `wait`, or the directory of a sandbox or command that has one. */
static int open_wait(const char *path)
{
	char file[PATH_MAX];
	struct stat st;

	if (stat(path, &st) != 0)
		return -errno;
	if (snprintf(file, sizeof file, "%s%s", path, S_ISDIR(st.st_mode) ? "/wait" : "") >= (int)sizeof file)
		return -ENAMETOOLONG;
	int fd = open(file, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* One descriptor for each, and hardly any more. */
static void raise_limit(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

/* Watching one at a time keeps the cost of a wake-up from growing with the number. */
static int watch_all(int epoll, const struct wanted *w, int *fds)
{
	for (int i = 0; i < w->path_count; i++) {
		struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.u32 = (uint32_t)i};

		fds[i] = open_wait(w->paths[i]);
		if (fds[i] < 0)
			return complain(w->paths[i], -fds[i]);
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event) != 0)
			return complain(w->paths[i], errno == EPERM ? EINVAL : errno); /* a plain file */
	}
	return 0;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int time_left(uint64_t deadline)
{
	uint64_t now = now_ms();

	if (deadline == UINT64_MAX)
		return -1;
	if (now >= deadline)
		return 0;
	return deadline - now < INT_MAX ? (int)(deadline - now) : INT_MAX;
}

/* Whether the one that is ready has ended; 1 yes, 0 no, -errno. */
static int look(int epoll, int fd, uint32_t index)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.u32 = index};
	char number[8];
	ssize_t n = pread(fd, number, sizeof number, 0);

	if (n > 0)
		return 1;
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return -errno;
	return epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) == 0 ? 0 : -errno;
}

static int wait_for(int epoll, const struct wanted *w, const int *fds)
{
	uint64_t deadline = w->timeout < 0 ? UINT64_MAX : now_ms() + (uint64_t)(w->timeout * 1000);
	struct epoll_event ready[AT_ONCE];
	long ended = 0;

	while (ended < w->count) {
		int left = time_left(deadline);
		int n = epoll_wait(epoll, ready, AT_ONCE, left);

		if (n < 0 && errno != EINTR)
			return complain("epoll", errno);
		if (n == 0 && left == 0)
			return TIMED_OUT;
		for (int i = 0; i < n && ended < w->count; i++) {
			uint32_t index = ready[i].data.u32;
			int rc = look(epoll, fds[index], index);

			if (rc < 0)
				return complain(w->paths[index], -rc);
			if (rc == 0)
				continue;
			ended++;
			if (printf("%s\n", w->paths[index]) < 0 || fflush(stdout) != 0)
				return complain("standard output", errno);
		}
	}
	return ENDED;
}

int client_wait(int argc, char **argv)
{
	struct wanted w;
	int *fds, epoll, rc;

	if (argc > 1 && strcmp(argv[1], "--help") == 0)
		return usage(stdout, ENDED);
	rc = parse(argc, argv, &w);
	if (rc)
		return rc;
	raise_limit();
	epoll = epoll_create1(EPOLL_CLOEXEC);
	fds = calloc((size_t)w.path_count, sizeof *fds);
	if (epoll < 0 || !fds)
		return complain("epoll", errno);
	rc = watch_all(epoll, &w, fds);
	if (rc == 0)
		rc = wait_for(epoll, &w, fds);
	free(fds);
	return rc;
}
