#include "agent/resident.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define OWNER_MAX 64

static int broken(const char *what)
{
	fprintf(stderr, "aviatofs-agent: %s: %s\n", what, strerror(errno));
	return EXIT_BROKEN;
}

/* A directory of ours that nobody else can look into; /tmp, where it is, is everybody's. */
static int enter(const char *directory)
{
	struct stat st;

	if (mkdir(directory, 0700) && errno != EEXIST)
		return -1;
	if (lstat(directory, &st))
		return -1;
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 077) {
		errno = EPERM;
		return -1;
	}
	return chdir(directory);
}

/* --- Who owns the connection --- */

/* 1: it is ours now; 0: a connection of ours still has it; -1: somebody else has. */
static int take_ownership(int fd, const char *owner)
{
	char other[OWNER_MAX + 1] = "";

	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		if (ftruncate(fd, 0) || pwrite(fd, owner, strlen(owner), 0) < 0)
			return -1;
		return 1;
	}
	if (pread(fd, other, OWNER_MAX, 0) < 0)
		return -1;
	return strcmp(other, owner) == 0 ? 0 : -1;
}

/* --- The agent --- */

static int connect_socket(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "agent.sock"};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address)) {
		int code = errno;

		close(fd);
		errno = code;
		return -1;
	}
	return fd;
}

static int listen_socket(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "agent.sock"};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	unlink(address.sun_path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4))
		return -1;
	return fd;
}

/* Empty: what an agent that was killed has left is of no use to anybody. */
static int open_spool(void)
{
	struct dirent *entry;
	DIR *dir;
	int fd;

	if (mkdir("spool", 0700) && errno != EEXIST)
		return -1;
	fd = open("spool", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	dir = fd < 0 ? NULL : opendir("spool");
	while (dir && (entry = readdir(dir)))
		unlinkat(fd, entry->d_name, 0);
	if (dir)
		closedir(dir);
	return fd;
}

/* In the agent's process: nothing of who started it is left, so that the stream it came by can end. */
static void detach(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		if (null < 0)
			close(fd);
		else
			dup2(null, fd);
	}
}

/* A connection to the agent, which is made if there is none: its process returns -2. */
static int reach_agent(int *ret_listener, int *ret_spool)
{
	int lock = open("lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int fd = -1;

	if (lock < 0 || flock(lock, LOCK_EX))
		return -1;
	fd = connect_socket();
	if (fd < 0) {
		*ret_listener = listen_socket();
		*ret_spool = open_spool();
		if (*ret_listener < 0 || *ret_spool < 0)
			return -1;
		switch (fork()) {
		case -1:
			return -1;
		case 0:
			close(lock);
			detach();
			return -2;
		default:
			close(*ret_listener);
			close(*ret_spool);
			fd = connect_socket();
		}
	}
	close(lock);
	return fd;
}

/* --- Between the two --- */

struct way {
	int from, to;
	size_t start, end;
	char bytes[64 << 10];
};

static struct way up, down;

/* Moves what can be moved; false when that way has ended. */
static bool move(struct way *w)
{
	ssize_t n;

	if (w->start == w->end) {
		n = read(w->from, w->bytes, sizeof w->bytes);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return false;
		w->start = 0;
		w->end = n > 0 ? (size_t)n : 0;
	}
	while (w->start < w->end) {
		n = write(w->to, w->bytes + w->start, w->end - w->start);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (n < 0)
			break;
		w->start += (size_t)n;
	}
	return true;
}

/* What each way waits for: bytes, or room for those it has. */
static struct pollfd wanted(const struct way *w)
{
	return w->start == w->end ? (struct pollfd){.fd = w->from, .events = POLLIN}
				  : (struct pollfd){.fd = w->to, .events = POLLOUT};
}

static void relay(int agent, int owner_file, const char *owner, bool owned)
{
	up = (struct way){.from = STDIN_FILENO, .to = agent};
	down = (struct way){.from = agent, .to = STDOUT_FILENO};
	fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
	fcntl(STDOUT_FILENO, F_SETFL, O_NONBLOCK);
	fcntl(agent, F_SETFL, O_NONBLOCK);
	for (;;) {
		struct pollfd fds[] = {wanted(&up), wanted(&down)};

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return;
		if ((fds[0].revents && !move(&up)) || (fds[1].revents && !move(&down)))
			return;
		/* Our earlier connection, which this one has replaced, lets go when it notices. */
		if (!owned)
			owned = take_ownership(owner_file, owner) > 0;
	}
}

int resident_connect(const struct resident_options *o, int *ret_listener, int *ret_spool)
{
	int owner_file, owned, agent, here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (enter(o->directory))
		return broken(o->directory);
	owner_file = open("owner", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (owner_file < 0)
		return broken("owner");
	owned = take_ownership(owner_file, o->owner);
	if (owned < 0 && !o->steal)
		return EXIT_IN_USE;
	agent = reach_agent(ret_listener, ret_spool);
	if (agent == -2) {
		close(owner_file);
		/* Commands that name no directory start where we were started. */
		if (here < 0 || fchdir(here))
			_exit(EXIT_BROKEN);
		close(here);
		return -1;
	}
	if (agent < 0)
		return broken("agent.sock");
	if (write(STDERR_FILENO, CONNECTED_LINE "\n", sizeof CONNECTED_LINE) < 0)
		return EXIT_BROKEN;
	relay(agent, owner_file, o->owner, owned > 0);
	return 0;
}
