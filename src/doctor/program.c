/* Small files and other programs, for the checks. */
#include "doctor/checks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

bool read_line(const char *path, char *ret, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, ret, size - 1);

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return false;
	ret[n] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
	return true;
}

bool find_program(const char *name, char *ret, size_t size)
{
	const char *path = getenv("PATH");

	for (const char *dir = path ? path : ""; *dir;) {
		size_t len = strcspn(dir, ":");

		snprintf(ret, size, "%.*s/%s", (int)len, dir, name);
		if (dir[0] == '/' && access(ret, X_OK) == 0)
			return true;
		dir += len + (dir[len] == ':');
	}
	snprintf(ret, size, "/usr/bin/%s", name);
	return access(ret, X_OK) == 0;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* All it says, the first `size` bytes of which are kept; false when the time is over before it has closed the
 * pipe. */
static bool collect(int fd, uint64_t deadline, char *said, size_t size)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t used = 0;
	char block[512];
	ssize_t n;

	*said = '\0';
	for (;;) {
		uint64_t now = now_ms();

		if (now >= deadline || poll(&p, 1, (int)(deadline - now)) == 0)
			return false;
		n = read(fd, block, sizeof block);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return true;
		for (ssize_t i = 0; i < n && used + 1 < size; i++)
			said[used++] = block[i] == '\n' || block[i] == '\t' ? ' ' : block[i];
		while (used && said[used - 1] == ' ')
			used--;
		said[used] = '\0';
	}
}

static void become(const char *const argv[], int out)
{
	int null = open("/dev/null", O_RDWR);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(null, 0);
	dup2(out, 1);
	dup2(out, 2);
	execv(argv[0], (char *const *)argv);
	dprintf(2, "%s: %s", argv[0], strerror(errno));
	_exit(127);
}

int run_program(const char *const argv[], unsigned seconds, char *said, size_t size)
{
	uint64_t deadline = now_ms() + seconds * 1000ull;
	int fds[2], status;
	bool over;
	pid_t pid;

	*said = '\0';
	if (pipe2(fds, O_CLOEXEC) != 0)
		return -1;
	pid = fork();
	if (pid == 0)
		become(argv, fds[1]);
	close(fds[1]);
	over = pid > 0 && !collect(fds[0], deadline, said, size);
	close(fds[0]);
	if (pid < 0)
		return -1;
	if (over)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (over)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
