#include "bench.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

void fail(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fprintf(stderr, "bench: ");
	vfprintf(stderr, fmt, args);
	fprintf(stderr, "\n");
	va_end(args);
	_exit(1);
}

char *text(const char *fmt, ...)
{
	va_list args;
	char *out;

	va_start(args, fmt);
	if (vasprintf(&out, fmt, args) < 0)
		fail("no memory");
	va_end(args);
	return out;
}

double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double median(double *values, int count)
{
	qsort(values, count, sizeof(*values), by_value);
	return values[count / 2];
}

ssize_t run_captured(const struct way *w, const char *const *args, char *out, size_t size)
{
	posix_spawn_file_actions_t actions;
	const char *argv[64];
	char rest[65536];
	int ends[2], status, count = 0;
	size_t kept = 0;
	ssize_t n;
	pid_t pid;

	for (int i = 0; w->prefix[i]; i++)
		argv[count++] = w->prefix[i];
	for (int i = 0; args[i]; i++)
		argv[count++] = args[i];
	argv[count] = NULL;
	if (pipe2(ends, O_CLOEXEC) < 0)
		fail("pipe: %s", strerror(errno));
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	status = posix_spawn(&pid, argv[0], &actions, NULL, (char **)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (status)
		fail("%s: %s", argv[0], strerror(status));
	close(ends[1]);
	while ((n = read(ends[0], rest, sizeof(rest))) > 0) {
		size_t take = (size_t)n < size - kept ? (size_t)n : size - kept;

		memcpy(out + kept, rest, take);
		kept += take;
	}
	close(ends[0]);
	if (waitpid(pid, &status, 0) < 0 || status != 0)
		return -1;
	return kept;
}

int open_in(const char *dir, const char *name, int flags)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		fail("%s: %s", path, strerror(errno));
	return fd;
}

void put(const char *dir, const char *name, const char *text)
{
	int fd = open_in(dir, name, O_WRONLY);

	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text) || close(fd) < 0)
		fail("%s/%s: %s", dir, name, strerror(errno));
}

size_t get(const char *dir, const char *name, char *out, size_t size)
{
	int fd = open_in(dir, name, O_RDONLY);
	size_t got = 0;
	ssize_t n;

	while (got < size && (n = read(fd, out + got, size - got)) != 0) {
		if (n < 0)
			fail("%s/%s: %s", dir, name, strerror(errno));
		got += n;
	}
	close(fd);
	return got;
}

void make_directory(const char *path)
{
	if (mkdir(path, 0755) < 0)
		fail("mkdir %s: %s", path, strerror(errno));
}

void make_in(const char *dir, const char *name)
{
	make_directory(text("%s/%s", dir, name));
}

void remove_in(const char *dir, const char *name)
{
	if (rmdir(text("%s/%s", dir, name)) < 0)
		fail("rmdir %s/%s: %s", dir, name, strerror(errno));
}

/* --- processes --- */

static long status_field(int pid, const char *field)
{
	char path[64], line[256];
	long value = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	if (!f)
		fail("process %d is gone", pid);
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, field, strlen(field)) == 0 && line[strlen(field)] == ':')
			value = strtol(line + strlen(field) + 1, NULL, 10);
	fclose(f);
	return value;
}

long memory_of(int pid, const char *field)
{
	return status_field(pid, field);
}

int threads_of(int pid)
{
	return status_field(pid, "Threads");
}

/* Whether /proc/PID/FILE holds `word`; its NULs count as blanks. */
static bool mentions(const char *pid, const char *file, const char *word)
{
	static char text[1 << 20];
	char path[300];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/%s", pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	for (ssize_t i = 0; i < n; i++)
		if (!text[i])
			text[i] = ' ';
	text[n > 0 ? n : 0] = 0;
	return strstr(text, word) != NULL;
}

/* The youngest process (pids grow here) that `is` accepts. */
static int find_process(bool (*is)(const char *pid, const char *word), const char *word)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	int found = 0;

	while (proc && (e = readdir(proc)))
		if (isdigit(e->d_name[0]) && atoi(e->d_name) > found && atoi(e->d_name) != getpid() &&
		    is(e->d_name, word))
			found = atoi(e->d_name);
	if (proc)
		closedir(proc);
	if (!found)
		fail("no process found for %s", word);
	return found;
}

static bool is_daemon(const char *pid, const char *mountpoint)
{
	return mentions(pid, "comm", "aviatofs\n") && mentions(pid, "cmdline", mountpoint);
}

static bool is_agent(const char *pid, const char *state)
{
	return mentions(pid, "cmdline", "--orphan-timeout") && mentions(pid, "mountinfo", state);
}

int find_daemon(const char *mountpoint)
{
	return find_process(is_daemon, mountpoint);
}

int find_agent(const char *state)
{
	return find_process(is_agent, state);
}

/* --- the contenders --- */

static bool there(const char *program)
{
	return access(program, X_OK) == 0;
}

static const struct way contenders[WAYS] = {
    [WAY_SPAWN] = {.name = "posix_spawn (the limit)", .present = true},
    [WAY_BWRAP] = {.name = "bwrap, per command",
		   .prefix = {"/usr/bin/bwrap", "--unshare-all", "--die-with-parent",
			      "--ro-bind",	"/usr",		 "/usr",
			      "--symlink",	"usr/bin",	 "/bin",
			      "--symlink",	"usr/lib",	 "/lib",
			      "--symlink",	"usr/lib64",	 "/lib64",
			      "--proc",		"/proc",	 "--dev",
			      "/dev",		"--tmpfs",	 "/tmp"}},
    [WAY_CRUN] = {.name = "crun exec"},
    [WAY_DOCKER] = {.name = "docker exec"},
};

void read_setting(struct setting *s, int argc, char **argv)
{
	memset(s, 0, sizeof(*s));
	if (argc < 3)
		fail("usage: bench BUILD WORK [--us] [--crun ID] [--docker NAME]");
	s->build = argv[1];
	s->work = argv[2];
	memcpy(s->ways, contenders, sizeof(contenders));
	s->ways[WAY_BWRAP].present = there("/usr/bin/bwrap");
	for (int i = 3; i < argc; i++) {
		if (strcmp(argv[i], "--us") == 0) {
			s->session = text("%s/mnt/s", s->work);
			s->box = text("%s/box", s->session);
			s->state = text("%s/state", s->work);
			s->daemon = find_daemon(s->state);
		} else if (strcmp(argv[i], "--crun") == 0 && i + 1 < argc) {
			const char *words[] = {
			    "/usr/bin/crun", "--root", text("%s/crun", s->work), "--cgroup-manager=disabled",
			    "exec",	     argv[++i]};

			memcpy(s->ways[WAY_CRUN].prefix, words, sizeof(words));
			s->ways[WAY_CRUN].present = true;
		} else if (strcmp(argv[i], "--docker") == 0 && i + 1 < argc) {
			const char *words[] = {"/usr/bin/env", "docker", "exec", argv[++i]};

			memcpy(s->ways[WAY_DOCKER].prefix, words, sizeof(words));
			s->ways[WAY_DOCKER].present = true;
		} else {
			fail("what is %s?", argv[i]);
		}
	}
}
