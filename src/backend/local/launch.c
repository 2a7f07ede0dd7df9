#include "backend/local/launch.h"

#include "backend/local/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_TIMEOUT_MS 30000

/* The daemon's ends of the pipes to bwrap, and what came out of them. */
struct talk {
	int info, errors, ready;
	pid_t bwrap; /* and the process group of what it makes, up to the last step before the agent */
	char info_text[256], error_text[1024];
	size_t info_len, error_len;
};

/* Both ends stand clear of the numbers that bwrap gets. */
static int high_pipe(int ret[2])
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	for (int i = 0; i < 2; i++) {
		ret[i] = fcntl(ends[i], F_DUPFD_CLOEXEC, LAUNCH_FDS);
		close(ends[i]);
	}
	return ret[0] < 0 || ret[1] < 0 ? -EMFILE : 0;
}

static void close_all(int *fds, int count)
{
	for (int i = 0; i < count; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

/* Fills child->fds with duplicates above all the numbers they become. */
static int gather(const struct launch *l, int arguments, struct child *child, struct talk *talk)
{
	int info[2] = {-1, -1}, errors[2] = {-1, -1}, ready[2] = {-1, -1};
	const struct {
		int fd, number;
	} given[] = {{arguments, LAUNCH_ARGUMENTS},
		     {l->seccomp, LAUNCH_SECCOMP},
		     {l->agent, LAUNCH_AGENT},
		     {l->listen, LAUNCH_LISTEN},
		     {l->spool, LAUNCH_SPOOL}};
	int null, rc;

	rc = high_pipe(info);
	if (!rc)
		rc = high_pipe(errors);
	if (!rc)
		rc = high_pipe(ready);
	talk->info = info[0];
	talk->errors = errors[0];
	talk->ready = ready[0];
	child->fds[LAUNCH_INFO] = info[1];
	child->fds[STDERR_FILENO] = errors[1];
	child->fds[LAUNCH_READY] = ready[1];
	for (size_t i = 0; i < sizeof given / sizeof *given && !rc; i++) {
		child->fds[given[i].number] = fcntl(given[i].fd, F_DUPFD_CLOEXEC, LAUNCH_FDS);
		if (child->fds[given[i].number] < 0)
			rc = -errno;
	}
	if (rc)
		return rc;
	/*
	 * bwrap writes its note before it lets its child go on. Were we killed by then, SIGPIPE would end it,
	 * and the child wait for ever, with a copy of every mount of the host. So it is a reader too.
	 */
	child->fds[LAUNCH_INFO_END] = fcntl(info[0], F_DUPFD_CLOEXEC, LAUNCH_FDS);
	if (child->fds[LAUNCH_INFO_END] < 0)
		return -errno;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	child->fds[STDIN_FILENO] = null < 0 ? -1 : fcntl(null, F_DUPFD_CLOEXEC, LAUNCH_FDS);
	if (null >= 0)
		close(null);
	return child->fds[STDIN_FILENO] < 0 ? -errno : 0;
}

/* Reads what is there; closes the pipe at its end. What does not fit is dropped. */
static void drain(int *fd, char *text, size_t size, size_t *len)
{
	char spill[512];
	ssize_t n =
	    *len < size - 1 ? read(*fd, text + *len, size - 1 - *len) : read(*fd, spill, sizeof spill);

	if (n > 0 && *len < size - 1)
		*len += (size_t)n;
	text[*len] = '\0';
	if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
		close_all(fd, 1);
}

static int left_ms(const struct timespec *start)
{
	struct timespec now;
	long passed;

	clock_gettime(CLOCK_MONOTONIC, &now);
	passed = (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000;
	return passed >= START_TIMEOUT_MS ? 0 : (int)(START_TIMEOUT_MS - passed);
}

/* The pid of the sandbox's first process, once bwrap has written all of its note; 0 before. */
static pid_t first_process(const struct talk *t)
{
	const char *at = t->info < 0 ? strstr(t->info_text, "\"child-pid\":") : NULL;
	long pid = at ? strtol(at + strlen("\"child-pid\":"), NULL, 10) : 0;

	return pid > 0 ? (pid_t)pid : 0;
}

/*
 * Moving a process between groups costs milliseconds (the kernel waits for all
 * CPUs), so it is done while bwrap is busy with its mounts. Nothing escapes:
 * the agent starts no process before we connect to it.
 */
static int enter_cgroups(const struct launch *l, pid_t pid, struct error *err)
{
	char text[12];

	snprintf(text, sizeof text, "%d", (int)pid);
	for (int i = 0; i < l->cgroup_count; i++)
		if (write(l->cgroups[i], text, strlen(text)) < 0 && errno != ESRCH)
			return error_errno(err, errno, "LIMIT_UNAVAILABLE",
					   "cannot enter the sandbox's control group");
	return 0;
}

/* For a start that hangs half-way: the first process takes all others of the sandbox with it. */
static void kill_begun(const struct talk *t)
{
	pid_t pid = first_process(t);
	int fd = pid ? pidfd_open(pid, 0) : -1;

	if (fd >= 0) {
		pidfd_send_signal(fd, SIGKILL, NULL, 0);
		close(fd);
	}
	kill(-t->bwrap, SIGKILL); /* not reaped yet, so the number is its own */
}

/*
 * bwrap closes the ready pipe in its own process; in the sandbox it goes
 * through to the agent, which closes what it was not told about. So its end
 * says: the agent runs, or nothing does.
 */
static int listen_until_ready(const struct launch *l, struct talk *t, int bwrap_fd, struct error *err)
{
	struct timespec start;
	char nothing[8];
	size_t none = 0;
	bool entered = false;

	clock_gettime(CLOCK_MONOTONIC, &start);
	while (t->ready >= 0 || t->info >= 0) {
		struct pollfd fds[] = {
		    {t->ready, POLLIN, 0},
		    {t->info, POLLIN, 0},
		    {t->errors, POLLIN, 0},
		    {bwrap_fd, POLLIN, 0},
		};
		int n = poll(fds, 4, left_ms(&start));

		if (n == 0)
			return error_set(err, ETIMEDOUT, "START_TIMEOUT",
					 "the agent did not start within %d s", START_TIMEOUT_MS / 1000);
		if (n < 0)
			continue;
		if (fds[1].revents)
			drain(&t->info, t->info_text, sizeof t->info_text, &t->info_len);
		if (fds[2].revents)
			drain(&t->errors, t->error_text, sizeof t->error_text, &t->error_len);
		if (fds[0].revents)
			drain(&t->ready, nothing, sizeof nothing, &none);
		if (fds[3].revents) { /* what it began may wait for it, and never close the pipes */
			bwrap_fd = -1;
			kill_begun(t);
		}
		if (!entered && first_process(t)) {
			entered = true;
			if (enter_cgroups(l, first_process(t), err))
				return -err->code;
		}
	}
	return 0;
}

/* Reads one pipe to its end, which the death of its writers brings. */
static void drain_rest(int *fd, char *text, size_t size, size_t *len)
{
	while (*fd >= 0)
		drain(fd, text, size, len);
}

static bool same_file(pid_t pid, int program)
{
	char path[32];
	struct stat a, b;

	snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
	return stat(path, &a) == 0 && fstat(program, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/*
 * The agent's pidfd. That the process behind it runs the agent's program shows
 * that bwrap has finished: before, its root directory would be the host's.
 */
static int find_agent(const struct launch *l, const struct talk *t, struct launched *ret)
{
	struct pollfd end = {.events = POLLIN};
	pid_t pid = first_process(t);

	if (!pid)
		return -ESRCH;
	ret->agent_fd = pidfd_open(pid, 0);
	if (ret->agent_fd < 0)
		return -errno;
	end.fd = ret->agent_fd;
	/* Checked in this order, a pid that was used again would show. */
	if (same_file(pid, l->agent) && poll(&end, 1, 0) == 0) {
		ret->agent = pid;
		return 0;
	}
	close(ret->agent_fd);
	ret->agent_fd = -1;
	return -ESRCH;
}

static void reap(int pidfd)
{
	siginfo_t info;

	while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) && errno == EINTR)
		;
}

/* All that bwrap made and did not wait for, as that fell to us; and itself. Each of them has been killed. */
static void reap_group(pid_t bwrap)
{
	siginfo_t info;

	while (waitid(P_PGID, (id_t)bwrap, &info, WEXITED) == 0 || errno == EINTR)
		;
}

static int child_error(const struct child *c, struct error *err)
{
	if (!strcmp(c->failed_step, "overlay"))
		return error_errno(err, c->failed_code, "OVERLAY", "cannot lay an overlay over the image");
	if (!strcmp(c->failed_step, "exec"))
		return error_errno(err, c->failed_code, "BUBBLEWRAP_MISSING", "cannot run %s", c->bwrap);
	return error_errno(err, c->failed_code, "START_FAILED", "cannot start bwrap (%s)", c->failed_step);
}

static bool says(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

/* Turns bwrap's last words into a sentence that says what to do. */
static int bwrap_error(char *text, struct error *err)
{
	text[strcspn(text, "\n")] = '\0';
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ')
			*c = '?';
	if (says(text, "new namespace") || says(text, "uid map") || says(text, "gid map") ||
	    says(text, "setgroups") || says(text, "max_user_namespaces"))
		return error_set(err, EPERM, "NO_USER_NAMESPACES",
				 "this user may not make user namespaces: set sysctl "
				 "kernel.unprivileged_userns_clone=1 or "
				 "user.max_user_namespaces higher; with AppArmor (Ubuntu 24.04), install "
				 "bubblewrap's profile or "
				 "set kernel.apparmor_restrict_unprivileged_userns=0 (%.120s)",
				 text);
	if (says(text, "No space left"))
		return error_set(err, ENOSPC, "NO_SPACE", "%.300s", text);
	if (text[0])
		return error_set(err, EIO, "START_FAILED", "%.300s", text);
	return error_set(err, EIO, "START_FAILED", "the agent ended before it was ready");
}

/*
 * Waits for the agent; on failure nothing runs any more. bwrap itself is ended
 * in any case: it would only wait, and hold the mount namespace it came from, in
 * which a copy of every mount of the host, ours too, would outlive its unmount.
 */
static int wait_for_agent(const struct launch *l, struct talk *t, int bwrap_fd, struct launched *run,
			  struct error *err)
{
	int rc = listen_until_ready(l, t, bwrap_fd, err);
	bool stands = !rc && !find_agent(l, t, run);

	if (stands) /* in a session of its own */
		kill(-t->bwrap, SIGKILL);
	else
		kill_begun(t);
	reap_group(t->bwrap);
	if (stands || rc)
		return rc;
	drain_rest(&t->errors, t->error_text, sizeof t->error_text, &t->error_len);
	return bwrap_error(t->error_text, err);
}

static int start_child(struct child *c, pid_t *ret_pid, int *bwrap_fd, struct error *err)
{
	pid_t pid = child_start(c, bwrap_fd);

	*ret_pid = pid;
	if (pid < 0)
		return error_errno(err, -pid, "START_FAILED", "cannot start bwrap");
	if (!c->failed_step)
		return 0;
	reap(*bwrap_fd);
	close_all(bwrap_fd, 1);
	return child_error(c, err);
}

int launch(const struct launch *l, struct launched *ret, struct error *err)
{
	char program[32], listen_number[12], spool_number[12], args_number[12], orphan[24], lifetime[24];
	char *argv[] = {(char *)"bwrap", (char *)"--args",
			args_number,	 (char *)"--",
			program,	 (char *)"--listen",
			listen_number,	 (char *)"--spool",
			spool_number,	 (char *)"--orphan-timeout",
			orphan,		 (char *)"--lifetime",
			lifetime,	 NULL};
	struct launched run = {.agent_fd = -1};
	int bwrap_fd = -1;
	struct talk talk = {.info = -1, .errors = -1, .ready = -1};
	struct child child = {.bwrap = l->bwrap,
			      .argv = argv,
			      .overlay_image = l->overlay_image,
			      .overlay_home = l->overlay_home,
			      .uid = geteuid()};
	int arguments = arguments_file(l->arguments, err);
	int rc;

	if (arguments < 0)
		return arguments;
	snprintf(program, sizeof program, "/proc/self/fd/%d", LAUNCH_AGENT);
	snprintf(listen_number, sizeof listen_number, "%d", LAUNCH_LISTEN);
	snprintf(spool_number, sizeof spool_number, "%d", LAUNCH_SPOOL);
	snprintf(args_number, sizeof args_number, "%d", LAUNCH_ARGUMENTS);
	snprintf(orphan, sizeof orphan, "%u", l->orphan_timeout_s);
	snprintf(lifetime, sizeof lifetime, "%u", l->lifetime_s);
	snprintf(child.uid_map, sizeof child.uid_map, "0 %u 1", (unsigned int)child.uid);
	snprintf(child.gid_map, sizeof child.gid_map, "0 %u 1", (unsigned int)getegid());
	for (int i = 0; i < LAUNCH_FDS; i++)
		child.fds[i] = -1;
	rc = gather(l, arguments, &child, &talk);
	close(arguments);
	if (rc)
		error_errno(err, -rc, "START_FAILED", "cannot start bwrap");
	else
		rc = start_child(&child, &talk.bwrap, &bwrap_fd, err);
	close_all(child.fds, LAUNCH_FDS);
	if (!rc) {
		rc = wait_for_agent(l, &talk, bwrap_fd, &run, err);
		close_all(&bwrap_fd, 1);
	}
	close_all(&talk.info, 1);
	close_all(&talk.errors, 1);
	close_all(&talk.ready, 1);
	if (!rc)
		*ret = run;
	return rc;
}
