/* A core with one sandbox, whose agent is tree_agent and shows any directory as its root. */
#include "far_tree.h"

#include "slow_way.h"

#include "base/loop.h"
#include "channel/pipe.h"
#include "core/after.h"
#include "core/mount.h"
#include "core/sandbox.h"
#include "core/session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
	const char *directory;
	struct sandbox *sandbox;
	pid_t agent;
	char place[32];
	struct sockaddr_un at;
	int connection; /* a second descriptor of it; -1: none yet. Core lock */
	int latency_ms; /* of a round trip; 0: the socket itself */
	bool ended;
} tree = {.connection = -1};

static int connect_now(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (connect(fd, (struct sockaddr *)&tree.at, sizeof tree.at)) {
		close(fd);
		return -1;
	}
	return tree.latency_ms ? slow_way(fd, tree.latency_ms / 2) : fd;
}

/* On the loop thread. */
static void connect_agent(void *unused)
{
	struct pipe *pipe = NULL;
	int fd;

	(void)unused;
	core_lock();
	fd = tree.ended ? -1 : connect_now();
	if (fd >= 0 && (pipe = socket_pipe(fd))) {
		if (tree.connection >= 0)
			close(tree.connection);
		tree.connection = dup(fd);
		sandbox_connected(tree.sandbox, pipe, -1);
	}
	core_unlock();
	if (pipe)
		socket_pipe_watch(pipe);
}

static void begin(struct backend *b, struct sandbox *s)
{
	(void)b;
	tree.sandbox = s;
	loop_post(connect_agent, NULL);
}

static void stop(struct backend *b, struct sandbox *s, uint32_t grace_ms)
{
	(void)b;
	(void)grace_ms;
	if (!tree.ended)
		sandbox_ended(s, END_TERMINATED, NULL);
	tree.ended = true;
}

static void drop(struct backend *b, struct sandbox *s)
{
	(void)b;
	sandbox_removed(s);
}

static void find(struct backend *b)
{
	(void)b;
}

static int check(struct backend *b, const struct config *c, struct error *err)
{
	(void)b;
	(void)c;
	(void)err;
	return 0;
}

static const struct backend_ops ops = {
    .name = "tree",
    .defaults = {[CONFIG_IMAGE] = "tree", [CONFIG_CWD] = "/", [CONFIG_LIFETIME] = "1h"},
    .check = check,
    .find = find,
    .start = begin,
    .reconnect = begin,
    .stop = stop,
    .remove = drop,
    .keep = drop,
};

static pid_t start_agent(void)
{
	char program[4096], listener[16];
	ssize_t len = readlink("/proc/self/exe", program, sizeof program - 16);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	pid_t pid;

	if (len < 0 || bind(fd, (struct sockaddr *)&tree.at, sizeof tree.at) || listen(fd, 8))
		return -1;
	strcpy(program + len, "_agent"); /* mount_tree_agent */
	snprintf(listener, sizeof listener, "%d", fd);
	pid = fork();
	if (pid == 0) {
		execl(program, program, listener, tree.directory, (char *)NULL);
		perror(program);
		_exit(1);
	}
	close(fd);
	return pid;
}

static int heard(void *graft, const struct frame *f)
{
	return far_changed(graft, f);
}

static void anew(void *graft)
{
	far_anew(graft);
}

static void gone(void *graft)
{
	far_end(graft);
	loop_post((void (*)(void *))graft_shutdown, graft);
}

static bool answers(void)
{
	bool is;

	core_lock();
	is = tree.sandbox && tree.sandbox->state == SANDBOX_RUNNING;
	core_unlock();
	return is;
}

struct graft *far_tree_open(const char *directory, fuse_ino_t root)
{
	static struct backend backend = {&ops};
	const struct mount_settings settings = {.spool_limit = 1 << 20, .timeout_ms = 30000};
	struct session *session;
	struct sandbox *s;
	struct error err = {0};
	struct graft *g;

	tree.directory = directory;
	tree.latency_ms = getenv("LATENCY") ? atoi(getenv("LATENCY")) : 0;
	strcpy(tree.place, "/tmp/mount-tree.XXXXXX");
	if (!mkdtemp(tree.place))
		return NULL;
	tree.at.sun_family = AF_UNIX;
	snprintf(tree.at.sun_path, sizeof tree.at.sun_path, "%s/agent", tree.place);
	tree.agent = start_agent();
	if (tree.agent < 0 || loop_start() || mount_begin(&backend, &settings, &err))
		return NULL;
	core_lock();
	session_make("s", &err);
	session = (struct session *)object_child(&the_mount.object, "s");
	sandbox_make(session, "box", &err);
	s = (struct sandbox *)object_child(&session->object, "box");
	sandbox_need(s, &err);
	core_unlock();
	for (int i = 0; i < 1000 && !answers(); i++)
		poll(NULL, 0, 10);
	if (!answers()) {
		fprintf(stderr, "no agent: %s\n", err.text);
		return NULL;
	}
	core_lock();
	g = far_new(s, 1, root);
	s->front = g;
	s->front_changed = heard;
	s->front_anew = anew;
	s->front_gone = gone;
	core_unlock();
	return g;
}

void far_tree_cut(void)
{
	core_lock();
	shutdown(tree.connection, SHUT_RDWR);
	core_unlock();
}

void far_tree_end(void)
{
	core_lock();
	stop(NULL, tree.sandbox, 0);
	core_unlock();
}

void far_tree_close(void)
{
	core_lock();
	sandbox_drop(tree.sandbox);
	core_unlock();
	kill(tree.agent, SIGKILL);
	waitpid(tree.agent, NULL, 0);
	core_lock(); /* runs what is due */
	core_unlock();
	core_after_end();
	loop_stop();
	close(tree.connection);
	unlink(tree.at.sun_path);
	rmdir(tree.place);
}
