/*
 * The programs of an image that has no shell: called by what it is to do. Static, so that it needs nothing
 * else.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void end(int number)
{
	(void)number;
	_exit(0);
}

/* The main process: the first one of a sandbox has to ask for signals. */
static _Noreturn void hold(void)
{
	signal(SIGTERM, end);
	for (;;)
		pause();
}

static int copy(int from, int to)
{
	char bytes[65536];
	ssize_t n;

	while ((n = read(from, bytes, sizeof bytes)) > 0)
		if (write(to, bytes, (size_t)n) != n)
			return 1;
	return n < 0;
}

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	return fd < 0 || dprintf(fd, "%s", text) < 0 || close(fd);
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	const char *first = argc > 1 ? argv[1] : "", *second = argc > 2 ? argv[2] : "";

	if (strcmp(name, "hold") == 0)
		hold();
	if (strcmp(name, "show") == 0) /* FILE, or what is on standard input */
		return copy(*first ? open(first, O_RDONLY) : STDIN_FILENO, STDOUT_FILENO);
	if (strcmp(name, "put") == 0) /* FILE TEXT */
		return put(first, second);
	if (strcmp(name, "link") == 0) /* TARGET NAME */
		return symlink(first, second) != 0;
	if (strcmp(name, "remove") == 0) /* FILE */
		return unlink(first) != 0;
	if (strcmp(name, "end") == 0) /* CODE: with a word on standard error */
		fprintf(stderr, "%s\n", first);
	return atoi(first);
}
