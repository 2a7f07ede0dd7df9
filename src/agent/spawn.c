#include "agent/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x10U
#endif

#define SCRIPT_FD   3 /* where a script finds its own text */
#define SCRIPT_PATH "/proc/self/fd/3"
#define SHELL	    "/bin/sh"
/* The kernel takes no argument over 128 KiB; longer shell text goes the way of scripts. */
#define SHELL_TEXT_MAX (100u << 10)

/* Everything the child needs, made ready before it is there: it shares our memory and may not allocate. */
struct child {
	const char *cwd;
	char *const *argv, **env;
	const char *program; /* with a slash: as it is; else searched on `path` */
	const char *path;
	const char *shown;	  /* in its own message when it cannot be executed */
	int in, out, err, script; /* -1: none */
	bool tty;		  /* `out` is a terminal, and the other two are that too */
	uint64_t files_limit;
	volatile int cwd_error; /* written by the child */
	const char *shell_argv[5];
	char interpreter[64];
};

static int fail(struct outcome *why, int error, const char *reason, const char *what)
{
	why->kind = OUTCOME_FAILED;
	snprintf(why->reason, sizeof why->reason, "%s", reason);
	snprintf(why->text, sizeof why->text, "%.180s: %s", what, strerror(error));
	return -error;
}

/* --- In the child: between vfork and exec --- */

/* Returns the errno that tells most about why nothing was executed, as execvp does. */
static int execute(const struct child *c)
{
	const char *dir = c->path, *end;
	char file[PATH_MAX];
	bool denied = false;

	if (strchr(c->program, '/') || !*c->program) {
		execve(c->program, c->argv, c->env);
		return errno;
	}
	for (;; dir = end + 1) {
		end = strchrnul(dir, ':');
		if (snprintf(file, sizeof file, "%.*s%s%s", (int)(end - dir), dir, end > dir ? "/" : "",
			     c->program) < (int)sizeof file) {
			execve(file, c->argv, c->env);
			if (errno == EACCES)
				denied = true;
			else if (errno != ENOENT && errno != ENOTDIR)
				return errno;
		}
		if (!*end)
			return denied ? EACCES : ENOENT;
	}
}

static void complain(const char *name, int error)
{
	const char *words = strerror(error);
	struct iovec parts[] = {
	    {(void *)name, strlen(name)},
	    {(void *)": ", 2},
	    {(void *)words, strlen(words)},
	    {(void *)"\n", 1},
	};

	/* Nobody is left to be told when stderr is gone. */
	if (writev(STDERR_FILENO, parts, 4) < 0)
		return;
}

static _Noreturn void child_run(struct child *c)
{
	sigset_t none;
	int error;

	setsid();
	if (c->tty)
		ioctl(c->out, TIOCSCTTY, 0);
	if (c->in >= 0)
		dup2(c->in, STDIN_FILENO);
	dup2(c->out, STDOUT_FILENO);
	dup2(c->err >= 0 ? c->err : c->out, STDERR_FILENO);
	if (c->script == SCRIPT_FD)
		fcntl(SCRIPT_FD, F_SETFD, 0);
	else if (c->script >= 0)
		dup2(c->script, SCRIPT_FD);
	if (c->files_limit) {
		struct rlimit limit;

		getrlimit(RLIMIT_NOFILE, &limit);
		limit.rlim_cur = c->files_limit;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (*c->cwd && chdir(c->cwd)) {
		c->cwd_error = errno;
		_exit(126);
	}
	/* We run with every signal blocked and none handled, so this is all there is to reset. */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	error = execute(c);
	complain(c->shown, error);
	_exit(error == ENOENT ? 127 : 126);
}

/* --- In the agent --- */

static int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Text as a file that exists nowhere but in descriptors. Returns it, or -errno. */
static int text_file(const struct start *s)
{
	int fd = memfd_create("script", MFD_CLOEXEC | MFD_EXEC), rc;

	/* Older kernels do not know the flag, and need none. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("script", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = write_all(fd, s->text, s->text_len);
	if (rc) {
		close(fd);
		return rc;
	}
	lseek(fd, 0, SEEK_SET);
	return fd;
}

/* What a script's first line names, for the message that it is not there. */
static const char *interpreter(struct child *c, const struct start *s)
{
	const char *from = s->text + 2;
	size_t len;

	from += strspn(from, " \t");
	len = strcspn(from, " \t\r\n");
	snprintf(c->interpreter, sizeof c->interpreter, "%.*s", (int)(len > 63 ? 63 : len), from);
	return c->interpreter;
}

static int choose_program(struct child *c, const struct start *s)
{
	const char **arg = c->shell_argv;

	if (s->kind == START_ARGV) {
		c->argv = s->argv;
		c->program = c->shown = s->argv[0];
		return 0;
	}
	c->argv = (char *const *)c->shell_argv;
	c->program = c->shown = *arg++ = SHELL;
	if (s->kind == START_SHELL && s->text_len <= SHELL_TEXT_MAX && !memchr(s->text, 0, s->text_len)) {
		*arg++ = "-c";
		if (*s->text == '-' || *s->text == '+')
			*arg++ = "--";
		*arg = s->text;
		return 0;
	}
	c->script = text_file(s);
	if (c->script < 0)
		return c->script;
	if (s->kind == START_SHELL) {
		*arg = SCRIPT_PATH;
	} else {
		c->shell_argv[0] = SCRIPT_PATH;
		c->program = SCRIPT_PATH;
		c->shown = interpreter(c, s);
	}
	return 0;
}

static void close_all(int *fds, int count)
{
	for (int i = 0; i < count; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

enum { IN_READ, IN_WRITE, OUT_READ, OUT_WRITE, ERR_READ, ERR_WRITE, PIPE_ENDS };

void spawn_resize(int terminal, uint32_t columns, uint32_t rows)
{
	struct winsize size = {.ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows};

	ioctl(terminal, TIOCSWINSZ, &size);
}

#ifndef TIOCGPTPEER
#define TIOCGPTPEER 0x5441
#endif

/*
 * Of the sandbox's own devpts. Two descriptors of our end, as elsewhere there are two pipes; the
 * other end is opened through ours, as no path into the sandbox is to be trusted.
 */
static int make_terminal(const struct start *s, int *ends)
{
	int locked = 0;

	ends[OUT_READ] = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (ends[OUT_READ] < 0 || ioctl(ends[OUT_READ], TIOCSPTLCK, &locked))
		return -errno;
	ends[OUT_WRITE] = ioctl(ends[OUT_READ], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (ends[OUT_WRITE] < 0)
		return -errno;
	spawn_resize(ends[OUT_READ], s->columns, s->rows);
	ends[IN_READ] = fcntl(ends[OUT_WRITE], F_DUPFD_CLOEXEC, 0);
	ends[IN_WRITE] = s->input ? fcntl(ends[OUT_READ], F_DUPFD_CLOEXEC, 0) : -1;
	return ends[IN_READ] < 0 || (s->input && ends[IN_WRITE] < 0) ? -errno : 0;
}

static int make_pipes(const struct start *s, int *ends)
{
	if (s->tty)
		return make_terminal(s, ends);
	if (s->input && (pipe2(ends + IN_READ, O_CLOEXEC) || fcntl(ends[IN_WRITE], F_SETFL, O_NONBLOCK)))
		return -errno;
	if (pipe2(ends + OUT_READ, O_CLOEXEC) || (!s->merge && pipe2(ends + ERR_READ, O_CLOEXEC)))
		return -errno;
	return 0;
}

/* vfork: the child borrows our memory until it executes, so a spawn costs the same however big we are. */
static pid_t launch(struct child *c)
{
	pid_t pid = vfork();

	if (pid == 0)
		child_run(c);
	return pid < 0 ? -errno : pid;
}

static int prepare(const struct agent *a, const struct start *s, struct child *c, int *ends,
		   struct outcome *why)
{
	int rc;

	c->env = *s->env ? environment_merge(a->environ, s->env) : a->environ;
	if (!c->env)
		return fail(why, ENOMEM, "SPAWN", "environment");
	c->path = environment_get(c->env, "PATH");
	if (!c->path)
		c->path = DEFAULT_PATH;
	rc = choose_program(c, s);
	if (rc)
		return fail(why, -rc, "SPAWN", "the command's text");
	rc = make_pipes(s, ends);
	if (rc)
		return fail(why, -rc, "SPAWN", s->tty ? "terminal" : "pipe");
	c->in = ends[IN_READ];
	c->out = ends[OUT_WRITE];
	c->err = ends[ERR_WRITE];
	c->tty = s->tty;
	return 0;
}

int spawn(const struct agent *a, const struct start *s, struct spawned *ret, struct outcome *ret_why)
{
	int ends[PIPE_ENDS] = {-1, -1, -1, -1, -1, -1};
	struct child c = {.cwd = s->cwd, .script = -1, .files_limit = a->files_limit};
	pid_t pid = -1;
	int rc = prepare(a, s, &c, ends, ret_why);

	if (!rc) {
		pid = launch(&c);
		if (pid < 0)
			rc = fail(ret_why, -pid, "SPAWN", "fork");
	}
	if (!rc && c.cwd_error) {
		waitpid(pid, NULL, 0);
		rc = fail(ret_why, c.cwd_error, "CWD", s->cwd);
	}
	if (c.env != a->environ)
		free(c.env);
	if (rc) {
		close_all(ends, PIPE_ENDS);
	} else {
		close_all((int[]){c.in, c.out, c.err}, 3);
		*ret = (struct spawned){pid, ends[IN_WRITE], ends[OUT_READ], ends[ERR_READ]};
	}
	if (c.script >= 0)
		close(c.script);
	return rc;
}

void spawn_signal(pid_t group, int sig)
{
	kill(-group, sig);
}

void spawn_signal_all(struct agent *a, int sig)
{
	if (a->is_init) {
		kill(-1, sig);
		return;
	}
	list_each (at, &a->processes) {
		struct process *p = container_of(at, struct process, all);

		if (p->group)
			kill(-p->group, sig);
	}
}

pid_t spawn_reap(int *ret_status)
{
	pid_t pid = waitpid(-1, ret_status, WNOHANG);

	return pid < 0 ? -errno : pid;
}
