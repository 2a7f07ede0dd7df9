#include "backend/local/patch.h"

#include "backend/local/copy_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_MAX	 (8 << 20) /* bytes that diff(1) is given of a file */
#define DIFF_CPU_SECONDS 20
#define DIFF_MEMORY	 (1ul << 30)
#define LOOK_MS		 100  /* between two looks at whether it is wanted */
#define HEAD		 8000 /* bytes in which git looks for a NUL, too */

/* One side, open to be read, clear of the numbers that diff gets; -1: there is none. */
struct text {
	int fd;
	bool binary, too_large, unreadable;
};

static int mention(struct sheet *s, const struct difference *d, const char *why)
{
	int rc = sheet_puts(s, "# ");

	if (rc == 0)
		rc = sheet_path(s, "", d->path);
	if (rc == 0)
		rc = sheet_puts(s, why);
	return rc ? rc : sheet_puts(s, "\n");
}

/* --- What is compared --- */

static int move_high(int fd)
{
	int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 16);

	if (fd >= 0)
		close(fd);
	return high;
}

/* The text of a link, as git has it: without a newline. */
static int link_text(int held)
{
	char text[PATH_MAX];
	ssize_t n = readlinkat(held, "", text, sizeof text);
	int fd = n < 0 ? -1 : memfd_create("aviatofs-link", MFD_CLOEXEC);

	if (fd >= 0 && pwrite(fd, text, (size_t)n, 0) != n) {
		close(fd);
		return -1;
	}
	return fd;
}

/* diff opens its files once more, by /proc: what may not be read then is given to it as a copy. */
static int readable(int fd, const struct stat *st)
{
	off_t at = 0;
	int copy;

	if (fd < 0 || st->st_mode & 0400 || geteuid() == 0)
		return fd;
	copy = memfd_create("aviatofs-text", MFD_CLOEXEC);
	while (copy >= 0 && at <= FILE_MAX && sendfile(copy, fd, &at, FILE_MAX) > 0)
		;
	close(fd);
	return copy;
}

static struct text open_text(int held, const struct stat *st, bool ours)
{
	struct text t = {.fd = -1};
	char head[HEAD], path[32];
	struct stat now;
	ssize_t n;

	if (held < 0)
		return t;
	snprintf(path, sizeof path, "/proc/self/fd/%d", held);
	if (S_ISLNK(st->st_mode))
		t.fd = link_text(held);
	else if (ours)
		t.fd = readable(copy_open(held, st, O_RDONLY, true), st);
	else
		t.fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	t.fd = move_high(t.fd);
	t.unreadable = t.fd < 0 || fstat(t.fd, &now) != 0;
	if (t.unreadable)
		return t;
	t.too_large = now.st_size > FILE_MAX;
	n = pread(t.fd, head, sizeof head, 0);
	t.binary = n > 0 && memchr(head, '\0', (size_t)n);
	return t;
}

static void close_text(struct text *t)
{
	if (t->fd >= 0)
		close(t->fd);
}

/* --- diff(1) --- */

static int spawn_diff(const int fds[3], char *const labels[2], bool before, bool after, pid_t *ret)
{
	char *const argv[] = {(char *)"diff",
			      (char *)"-u",
			      (char *)"-a",
			      (char *)"--label",
			      labels[0],
			      (char *)"--label",
			      labels[1],
			      (char *)(before ? "/proc/self/fd/3" : "/dev/null"),
			      (char *)(after ? "/proc/self/fd/4" : "/dev/null"),
			      NULL};
	char *const envp[] = {(char *)"LC_ALL=C", (char *)"PATH=/usr/bin:/bin", NULL};
	posix_spawn_file_actions_t actions;
	int code = posix_spawn_file_actions_init(&actions);

	if (code)
		return -code;
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, fds[0], 1);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	if (before)
		posix_spawn_file_actions_adddup2(&actions, fds[1], 3);
	if (after)
		posix_spawn_file_actions_adddup2(&actions, fds[2], 4);
	posix_spawn_file_actions_addclosefrom_np(&actions, 5);
	code = posix_spawnp(ret, "diff", &actions, NULL, argv, envp);
	posix_spawn_file_actions_destroy(&actions);
	return -code;
}

/* Content can be made such that a comparison takes for ever. */
static void limit(pid_t pid)
{
	const struct rlimit cpu = {DIFF_CPU_SECONDS, DIFF_CPU_SECONDS}, memory = {DIFF_MEMORY, DIFF_MEMORY};

	prlimit(pid, RLIMIT_CPU, &cpu, NULL);
	prlimit(pid, RLIMIT_AS, &memory, NULL);
}

/* 0 when it has found the difference, 1 when it has not, -ECANCELED. */
static int await_diff(pid_t pid, bool (*unwanted)(void *arg), void *arg)
{
	struct pollfd end = {.fd = pidfd_open(pid, 0), .events = POLLIN};
	int status = -1, rc = 0;

	while (end.fd >= 0 && poll(&end, 1, LOOK_MS) <= 0) {
		if (!unwanted || !unwanted(arg))
			continue;
		kill(pid, SIGKILL);
		rc = -ECANCELED;
		break;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (end.fd >= 0)
		close(end.fd);
	if (rc)
		return rc;
	return WIFEXITED(status) && WEXITSTATUS(status) < 2 ? 0 : 1;
}

static int run_diff(struct sheet *s, const struct text *before, const struct text *after,
		    char *const labels[2], bool (*unwanted)(void *arg), void *arg)
{
	int fds[3] = {fcntl(s->file, F_DUPFD_CLOEXEC, 16), before->fd, after->fd};
	pid_t pid;
	int rc = fds[0] < 0 ? -errno : spawn_diff(fds, labels, before->fd >= 0, after->fd >= 0, &pid);

	if (fds[0] >= 0)
		close(fds[0]);
	if (rc)
		return rc;
	limit(pid);
	return await_diff(pid, unwanted, arg);
}

/* --- The part of one file --- */

static int git_mode(const struct stat *st)
{
	if (S_ISLNK(st->st_mode))
		return 0120000;
	return st->st_mode & 0100 ? 0100755 : 0100644;
}

static int put_mode(struct sheet *s, const char *what, const struct stat *st)
{
	char line[64];

	snprintf(line, sizeof line, "%s mode %o\n", what, git_mode(st));
	return sheet_puts(s, line);
}

static int put_header(struct sheet *s, const struct difference *d)
{
	int rc = sheet_puts(s, "diff --git ");

	if (rc == 0)
		rc = sheet_path(s, "a/", d->path);
	if (rc == 0)
		rc = sheet_puts(s, " ");
	if (rc == 0)
		rc = sheet_path(s, "b/", d->path);
	if (rc == 0)
		rc = sheet_puts(s, "\n");
	if (rc)
		return rc;
	if (d->before < 0)
		return put_mode(s, "new file", &d->after_st);
	if (d->after < 0)
		return put_mode(s, "deleted file", &d->before_st);
	if (git_mode(&d->before_st) == git_mode(&d->after_st))
		return 0;
	rc = put_mode(s, "old", &d->before_st);
	return rc ? rc : put_mode(s, "new", &d->after_st);
}

/* As git writes it: a tab ends a name with blanks. */
static int make_label(struct buf *out, const char *prefix, const char *path)
{
	int rc = quoted_path(out, prefix, path);

	return rc || !strchr(path, ' ') ? rc : buf_puts(out, "\t");
}

static int put_hunks(struct sheet *s, const struct difference *d, const struct text *before,
		     const struct text *after, bool (*unwanted)(void *arg), void *arg)
{
	struct buf from, to;
	int rc;

	buf_init(&from, 1u << 20);
	buf_init(&to, 1u << 20);
	rc = before->fd < 0 ? buf_puts(&from, "/dev/null") : make_label(&from, "a/", d->path);
	if (rc == 0)
		rc = after->fd < 0 ? buf_puts(&to, "/dev/null") : make_label(&to, "b/", d->path);
	if (rc == 0) {
		char *const labels[] = {(char *)buf_text(&from), (char *)buf_text(&to)};

		rc = run_diff(s, before, after, labels, unwanted, arg);
	}
	buf_free(&from);
	buf_free(&to);
	return rc;
}

static int add_texts(struct sheet *s, const struct difference *d, const struct text *before,
		     const struct text *after, bool (*unwanted)(void *arg), void *arg)
{
	long start = sheet_flush(s), end;
	int rc = start < 0 ? (int)start : put_header(s, d);

	end = rc ? rc : sheet_flush(s);
	if (end < 0)
		return (int)end;
	if (!d->content)
		return 0;
	rc = put_hunks(s, d, before, after, unwanted, arg);
	if (rc != 1) {
		end = rc ? rc : sheet_flush(s); /* for the length */
		return end < 0 ? (int)end : 0;
	}
	/* Nothing of it: half a part would be wrong. */
	if (ftruncate(s->file, start) || lseek(s->file, start, SEEK_SET) < 0)
		return -errno;
	return mention(s, d, " differs, and is too much to compare");
}

static bool fits_git(const struct stat *st)
{
	return S_ISREG(st->st_mode) || S_ISLNK(st->st_mode);
}

int patch_add(struct sheet *s, const struct difference *d, bool (*unwanted)(void *arg), void *arg)
{
	const struct stat *st = d->after >= 0 ? &d->after_st : &d->before_st;
	struct text before, after;
	int rc;

	if (S_ISDIR(st->st_mode))
		return 0; /* git knows none */
	if (!fits_git(st))
		return mention(s, d, d->after < 0 ? " is gone" : " is neither a file nor a link");
	if (!d->content && git_mode(&d->before_st) == git_mode(&d->after_st))
		return 0;
	before = open_text(d->before, &d->before_st, false);
	after = open_text(d->after, &d->after_st, true);
	if (before.unreadable || after.unreadable)
		rc = mention(s, d, " cannot be read");
	else if (d->content && (before.binary || after.binary))
		rc = mention(s, d, ": binary files differ");
	else if (d->content && (before.too_large || after.too_large))
		rc = mention(s, d, " differs, and is over 8 MiB");
	else
		rc = add_texts(s, d, &before, &after, unwanted, arg);
	close_text(&before);
	close_text(&after);
	return rc;
}
