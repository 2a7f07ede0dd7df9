/* aviatofs: options, the backend, the mount, and its end. */
#include "options.h"
#include "subcommands.h"

#include "backend/aviato/aviato.h"
#include "backend/local/local.h"
#include "base/log.h"
#include "base/loop.h"
#include "core/mount.h"
#include "fuse/serve.h"
#include "tree/tree.h"

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILES_MAX     1048576
#define ARRIVALS_MS   5000
#define SEARCH_MS     30000 /* looking for what is there, without -o timeout */
#define SEARCH_MIN_MS 15000
#define STOPPING_MS   15000

/* The parent waits at the other end until the mount answers; -1 in the foreground. */
static int answer_fd = -1;

static int complain(const struct error *err)
{
	fprintf(stderr, "aviatofs: %s\n", err->text);
	return 1;
}

/* --- Backends --- */

static int open_backend(const struct options *o, struct backend **ret, struct error *err)
{
	struct local_options local = {.state_dir = o->state_dir, .orphan_timeout_s = o->orphan_timeout_s};
	struct aviato_options aviato = {.source = o->source,
					.credentials = o->credentials,
					.ca_file = o->ca_file,
					.orphan_timeout_s = o->orphan_timeout_s,
					.timeout_ms = (uint32_t)(o->timeout_s * 1000),
					.keep = o->keep,
					.no_agent = o->no_agent};

	if (strncmp(o->source, "local:", 6) == 0) {
		local.source_name = o->source + 6;
		return local_open(&local, ret, err);
	}
	if (strcmp(o->source, "aviato:") == 0 || strncmp(o->source, "https://", 8) == 0 ||
	    strncmp(o->source, "http://", 7) == 0)
		return aviato_open(&aviato, ret, err);
	return error_set(err, EINVAL, "BAD_SOURCE",
			 "'%.100s' is no source: local:, local:NAME, aviato: or https://HOST is", o->source);
}

/* --- Becoming a daemon --- */

/* A child that exited has said why; for one that was killed it is said here. */
static void tell_death(pid_t child)
{
	int status;

	if (waitpid(child, &status, 0) == child && WIFSIGNALED(status))
		fprintf(stderr,
			"aviatofs: the daemon was killed by signal %d (%s) before the mount answered\n",
			WTERMSIG(status), strsignal(WTERMSIG(status)));
}

/* In the parent: 0 once the child's mount answers, else 1; then it was said why. */
static int await_answer(int fd, pid_t child, const char *mountpoint)
{
	struct stat st;
	char byte;
	ssize_t n;

	do
		n = read(fd, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n != 1) {
		tell_death(child);
		return 1;
	}
	if (stat(mountpoint, &st) != 0) {
		fprintf(stderr, "aviatofs: %s: %s\n", mountpoint, strerror(errno));
		return 1;
	}
	return 0;
}

/* Returns in the child; exits in the parent. */
static int become_daemon(const char *mountpoint, struct error *err)
{
	int fds[2];
	pid_t pid;

	close_range(3, ~0u, 0); /* what the starting shell had open is not ours to hold */
	if (pipe2(fds, O_CLOEXEC) != 0)
		return error_errno(err, errno, "DAEMON", "pipe");
	pid = fork();
	if (pid < 0)
		return error_errno(err, errno, "DAEMON", "fork");
	if (pid > 0) {
		close(fds[1]);
		_exit(await_answer(fds[0], pid, mountpoint)); /* what is to be freed is the child's */
	}
	close(fds[0]);
	setsid();
	answer_fd = fds[1];
	return 0;
}

/* On a FUSE thread: from here on nothing is said on the terminal. */
static void answering(void)
{
	int null;

	if (answer_fd < 0)
		return;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; null >= 0 && fd <= 2; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	if (chdir("/") != 0 || write(answer_fd, "", 1) != 1)
		log_warn("the parent did not wait");
	close(answer_fd);
	answer_fd = -1;
}

/* --- Ending --- */

static uv_signal_t terminations[3];
static unsigned stop_requests;

static void on_signal(uv_signal_t *handle, int number)
{
	(void)handle;
	(void)number;
	if (++stop_requests == 1) {
		serve_stop();
	} else {
		log_warn("a second signal: ending at once");
		mount_abort();
	}
}

static void watch_signals(void *arg)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};

	(void)arg;
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		uv_signal_init(loop_uv(), &terminations[i]);
		uv_signal_start(&terminations[i], on_signal, numbers[i]);
	}
}

static int end_mount(struct backend *backend)
{
	unsigned left = mount_end(STOPPING_MS);

	if (left) { /* a second signal, or an agent that does not die: the next mount tidies up */
		log_warn("%u sandboxes had no time to end", left);
		_exit(1);
	}
	backend->ops->close(backend);
	/* The loop thread may be inside serve_stop(), or answering a parked request: the session goes last.
	 */
	loop_stop();
	serve_end();
	return 0;
}

/* --- Beginning --- */

static void raise_limits(void)
{
	struct rlimit files, most = {FILES_MAX, FILES_MAX}, none = {0, 0};

	/* Every sandbox and every node of fs/ holds some; only root may go over the hard limit. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 &&
	    (files.rlim_max >= FILES_MAX || setrlimit(RLIMIT_NOFILE, &most) != 0)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	setrlimit(RLIMIT_CORE, &none); /* settings may hold secrets */
}

static unsigned search_ms(const struct options *o)
{
	unsigned ms = o->timeout_s ? (unsigned)o->timeout_s * 1000 : SEARCH_MS;

	return ms > SEARCH_MIN_MS ? ms : SEARCH_MIN_MS;
}

static int run(struct options *o, struct error *err)
{
	struct mount_settings settings = {.timeout_ms = (unsigned)(o->timeout_s * 1000),
					  .spool_limit = o->spool_limit,
					  .keep = o->keep,
					  .spool_over_channel = o->spool_over_channel,
					  .files_over_channel = o->files_over_channel};
	struct serve_options serve = {.mountpoint = o->mountpoint,
				      .fuse_args = &o->fuse_args,
				      .umask = o->umask,
				      .single_threaded = o->single_threaded,
				      .shared = o->allow_other,
				      .memory = o->memory,
				      .passthrough = !o->no_passthrough,
				      .answering = answering};
	struct backend *backend;
	int rc;

	snprintf(settings.mountpoint, sizeof settings.mountpoint, "%s", o->mountpoint);
	if (o->state_dir)
		snprintf(settings.scratch, sizeof settings.scratch, "%s", o->state_dir);
	rc = open_backend(o, &backend, err);
	if (rc)
		return rc;
	rc = loop_start();
	if (rc)
		return error_errno(err, -rc, "LOOP", "the event loop cannot be started");
	rc = mount_begin(backend, &settings, err);
	tree_init();
	if (rc == 0)
		rc = mount_wait_search(search_ms(o), err);
	if (rc == 0) {
		mount_wait_arrivals(ARRIVALS_MS);
		loop_post(watch_signals, NULL);
		rc = serve_mount(&serve, err);
	}
	if (rc == 0) {
		rc = serve_run();
		if (rc)
			log_warn("the connection to the kernel broke: %s", strerror(-rc));
		return end_mount(backend);
	}
	end_mount(backend);
	return rc;
}

static int show(const struct options *o)
{
	if (o->help)
		options_print_help();
	else
		printf("aviatofs %s\nlibfuse %s\n", VERSION, fuse_pkgversion());
	return 0;
}

static int begin(struct options *o, struct error *err)
{
	int rc;

	signal(SIGPIPE, SIG_IGN);
	raise_limits();
	umask(0); /* modes of files below fs/ come from the kernel, with the caller's mask applied */
	rc = serve_clear_mountpoint(o->mountpoint, err);
	if (rc == 0 && !o->foreground)
		rc = become_daemon(o->mountpoint, err);
	if (rc)
		return rc;
	log_setup(o->debug, !o->foreground);
	log_debug("%s on %s", o->source, o->mountpoint);
	return run(o, err);
}

int main(int argc, char **argv)
{
	const struct subcommand *command = argc > 1 ? subcommand_find(argv[1]) : NULL;
	struct options o;
	struct error err;
	int rc;

	if (command)
		return command->run(argc - 1, argv + 1);
	if (options_parse(argc, argv, &o, &err))
		return complain(&err);
	rc = o.help || o.version ? show(&o) : begin(&o, &err);
	options_free(&o);
	return rc < 0 ? complain(&err) : rc;
}
