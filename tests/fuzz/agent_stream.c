/*
 * A hostile daemon: the input is what it sends to an agent, whole or in
 * pieces. The agent is the real one but for spawn.c: this file stands in for
 * it, so that nothing is run, signalled or waited for. A "process" here is
 * three pipes. The input's first byte says how large the pieces are, and
 * whether the first process exits at once; the others end when killed.
 */
#include "agent/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FAKES_MAX 64 /* running at once */

static struct fake {
	pid_t pid;
	int in, out, err; /* the process's ends */
} fakes[FAKES_MAX];
static pid_t next_pid, dying;

static void fake_close(struct fake *f)
{
	close(f->out);
	if (f->err >= 0)
		close(f->err);
	if (f->in >= 0)
		close(f->in);
	*f = (struct fake){0};
}

static struct fake *fake_find(pid_t pid)
{
	for (int i = 0; i < FAKES_MAX; i++)
		if (fakes[i].pid == pid)
			return &fakes[i];
	return NULL;
}

int spawn(const struct agent *a, const struct start *s, struct spawned *ret, struct outcome *ret_why)
{
	struct fake *f = fake_find(0);
	int in[2] = {-1, -1}, out[2], err[2] = {-1, -1};

	(void)a;
	if (!f) {
		ret_why->kind = OUTCOME_FAILED;
		return -EAGAIN;
	}
	if ((s->input && pipe2(in, O_CLOEXEC | O_NONBLOCK)) || pipe2(out, O_CLOEXEC | O_NONBLOCK) ||
	    (!s->merge && pipe2(err, O_CLOEXEC | O_NONBLOCK)))
		abort();
	*f = (struct fake){++next_pid, in[0], out[1], err[1]};
	*ret = (struct spawned){f->pid, in[1], out[0], err[0]};
	/* It says back what it was told to run. */
	if (s->text_len && write(f->out, s->text, s->text_len) < 0 && errno != EAGAIN)
		abort();
	return 0;
}

void spawn_resize(int terminal, uint32_t columns, uint32_t rows)
{
	(void)terminal;
	(void)columns;
	(void)rows;
}

void spawn_signal(pid_t group, int sig)
{
	if (sig == SIGKILL && fake_find(group))
		dying = group;
}

void spawn_signal_all(struct agent *a, int sig)
{
	(void)a;
	for (int i = 0; i < FAKES_MAX; i++)
		if (sig == SIGKILL && fakes[i].pid)
			dying = fakes[i].pid;
}

pid_t spawn_reap(int *ret_status)
{
	struct fake *f = dying ? fake_find(dying) : NULL;
	pid_t pid = dying;

	dying = 0;
	*ret_status = SIGKILL;
	if (!f)
		return 0;
	fake_close(f);
	return pid;
}

static char spool_path[] = "/tmp/fuzz-agent-XXXXXX";
static char root_path[] = "/tmp/fuzz-root-XXXXXX";

static void remove_directories(void)
{
	char command[64];

	rmdir(spool_path);
	snprintf(command, sizeof command, "rm -rf %s", root_path);
	if (system(command))
		abort();
}

/* What requests about files are let loose on. */
static int root_directory(void)
{
	static int dir = -1;
	struct rlimit small = {1 << 20, 1 << 20};

	if (dir < 0) {
		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &small);
		if (!mkdtemp(root_path) || (dir = open(root_path, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
			abort();
	}
	return dup(dir);
}

static int spool_directory(void)
{
	static int dir = -1;

	if (dir < 0) {
		if (!mkdtemp(spool_path) || (dir = open(spool_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
			abort();
		atexit(remove_directories);
	}
	return dup(dir);
}

/* The agent blocks every signal; the fuzzer needs its alarm. */
static void unblock_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void hear(int fd)
{
	static char nowhere[1 << 16];

	while (read(fd, nowhere, sizeof nowhere) > 0)
		;
}

static void reap_fakes(struct agent *a)
{
	int status;
	pid_t pid;

	while ((pid = spawn_reap(&status)) > 0)
		process_exited(a, pid, status);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct options o = {.listener = -1, .spool = spool_directory(), .root = root_directory()};
	size_t step;
	struct agent a;
	int ends[2];

	if (size < 1 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) ||
	    agent_init(&a, &o))
		return 0;
	unblock_signals();
	a.own_spool = true;
	connection_open(&a, ends[0], -1);
	step = *data ? (size_t)*data * 8 : size;
	dying = *data & 1 ? next_pid + 1 : 0;
	for (data++, size--; size && a.conn.state != CONN_NONE;) {
		size_t len = size < step ? size : step;
		ssize_t n = write(ends[1], data, len);

		if (n < 0)
			break;
		agent_round(&a, 0);
		hear(ends[1]);
		reap_fakes(&a);
		data += n;
		size -= (size_t)n;
	}
	for (int i = 0; i < 4 && !a.done; i++) {
		agent_round(&a, 0);
		hear(ends[1]);
	}
	for (int i = 0; i < FAKES_MAX; i++)
		if (fakes[i].pid)
			fake_close(&fakes[i]);
	agent_free(&a);
	close(ends[1]);
	return 0;
}
