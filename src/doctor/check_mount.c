/* The proof: a mount in a temporary directory, a sandbox in it, a command in that. */
#include "doctor/checks.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRIAL_SECONDS 30
#define ENDING_MS     20000

struct trial {
	char dir[PATH_MAX - 64]; /* the temporary one, with mnt/ and state/ */
	char mountpoint[PATH_MAX];
	pid_t daemon;
	int daemon_end; /* pidfd */
	int said;	/* what it prints */
};

/* --- The daemon, in the foreground: a child that can be waited for --- */

static void become_daemon(const struct trial *t, int out)
{
	char option[PATH_MAX];
	const char *argv[] = {"aviatofs", "-f", "local:", t->mountpoint, "-o", option, NULL};

	snprintf(option, sizeof option, "state_dir=%s/state", t->dir);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	dup2(out, 1);
	dup2(out, 2);
	execv("/proc/self/exe", (char *const *)argv);
	_exit(127);
}

static bool start_daemon(struct trial *t)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0)
		return false;
	t->daemon = fork();
	if (t->daemon == 0)
		become_daemon(t, fds[1]);
	close(fds[1]);
	t->said = fds[0];
	if (t->daemon < 0)
		return false;
	t->daemon_end = pidfd_open(t->daemon, 0);
	return t->daemon_end >= 0;
}

static bool is_mounted(const struct trial *t)
{
	struct stat in, out;

	return stat(t->mountpoint, &in) == 0 && stat(t->dir, &out) == 0 && in.st_dev != out.st_dev;
}

/* The kernel says when the list of mounts changes. */
static bool wait_for_mount(const struct trial *t)
{
	int mounts = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	struct pollfd p[] = {{.fd = mounts, .events = POLLPRI}, {.fd = t->daemon_end, .events = POLLIN}};
	bool mounted;

	while (!(mounted = is_mounted(t)) && poll(p, 2, TRIAL_SECONDS * 1000) > 0 && !p[1].revents)
		;
	close(mounts);
	return mounted;
}

/* Ends the daemon, the mount and all that was made. */
static void tidy_up(struct trial *t)
{
	struct pollfd p = {.fd = t->daemon_end, .events = POLLIN};
	char path[PATH_MAX];

	if (t->daemon > 0) {
		kill(t->daemon, SIGTERM);
		if (poll(&p, 1, ENDING_MS) <= 0)
			kill(t->daemon, SIGKILL);
		while (waitpid(t->daemon, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (t->daemon_end >= 0)
		close(t->daemon_end);
	if (t->said >= 0)
		close(t->said);
	if (is_mounted(t))
		umount2(t->mountpoint, MNT_DETACH);
	rmdir(t->mountpoint);
	snprintf(path, sizeof path, "%s/state", t->dir);
	rmdir(path);
	if (rmdir(t->dir) != 0)
		say(CHECK_WARN, "%s is left behind", t->dir);
}

/* --- The command, in a process that can be killed --- */

static const char *const steps =
    "mkdir s s/box && echo 'echo $((6 * 7))' >s/box/cmd && read -r answer <s/box/stdout && read -r code "
    "<s/box/wait "
    "&& read -r status <s/box/status && [ \"$answer $code $status\" = '42 0 exited 0' ] && exit 7; "
    "cat s/box/status s/box/error 2>/dev/null";

static void try_command(const struct trial *t)
{
	char command[PATH_MAX + 600], said[400];
	const char *argv[] = {"/bin/sh", "-c", command, "doctor", t->mountpoint, NULL};
	int status;

	snprintf(command, sizeof command, "cd \"$1\" && { %s; }", steps);
	status = run_program(argv, TRIAL_SECONDS, said, sizeof said);
	if (status == 7)
		say(CHECK_OK, "a trial mount ran a command in a sandbox");
	else if (status < 0)
		say(CHECK_FAIL, "a trial mount did not run a command within %d s", TRIAL_SECONDS);
	else
		say(CHECK_FAIL, "a trial mount could not run a command: %s",
		    said[0] ? said : "it said nothing");
}

static void explain(const struct trial *t)
{
	char text[400];
	ssize_t n = read(t->said, text, sizeof text - 1);

	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	say(CHECK_FAIL, "a trial mount failed: %s", text[0] ? text : "it said nothing");
}

void check_mount(void)
{
	const char *temporary = getenv("TMPDIR");
	struct trial t = {.daemon_end = -1, .said = -1};

	if (doctor_failed()) {
		say(CHECK_FAIL, "not tried, with what failed above");
		return;
	}
	snprintf(t.dir, sizeof t.dir, "%s/aviatofs-doctor.XXXXXX",
		 temporary && *temporary ? temporary : "/tmp");
	if (!mkdtemp(t.dir)) {
		say(CHECK_WARN, "not tried: no directory can be made in %s: set TMPDIR", t.dir);
		return;
	}
	snprintf(t.mountpoint, sizeof t.mountpoint, "%s/mnt", t.dir);
	mkdir(t.mountpoint, 0700);
	if (start_daemon(&t) && wait_for_mount(&t))
		try_command(&t);
	else
		explain(&t);
	tidy_up(&t);
}
