#include "client/started.h"

#include "client/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ORDER_MAX   (9u << 20) /* the mount takes 8 MiB, and says so itself */
#define SERIALS_MAX 10000

/* --- The start --- */

/* Another pid namespace may have our number too. */
static int declare(struct started *p)
{
	for (unsigned serial = 0; serial < SERIALS_MAX; serial++) {
		snprintf(p->name, sizeof p->name, "proc/run-%d-%u", (int)getpid(), serial);
		if (mkdirat(p->box->fd, p->name, 0700) == 0) {
			p->dir = openat(p->box->fd, p->name, O_PATH | O_DIRECTORY | O_CLOEXEC);
			return p->dir < 0 ? -errno : 0;
		}
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

static int open_in(const struct started *p, const char *file, int flags)
{
	int fd = openat(p->dir, file, flags | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int write_text(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int put_text(const struct started *p, const char *file, const char *data, size_t len)
{
	int fd = open_in(p, file, O_WRONLY), rc;

	if (fd < 0)
		return fd;
	rc = write_text(fd, data, len);
	return close(fd) == 0 || rc ? rc : -errno;
}

static int give(const struct started *p, const struct order *o)
{
	struct buf text;
	int rc;

	buf_init(&text, ORDER_MAX);
	rc = order_write(o, &text);
	rc = rc ? rc : put_text(p, "cmd", text.data, text.len);
	buf_free(&text);
	return rc;
}

int started_begin(struct started *p, const struct box *b, const struct order *o, bool input)
{
	int rc;

	*p = (struct started){.box = b, .dir = -1, .in = -1, .out = -1, .err = -1};
	rc = declare(p);
	if (rc)
		return box_complain(b, b->path, -rc);
	/* Whoever has it open before the order is given gives it an input. */
	if (input)
		rc = p->in = open_in(p, "stdin", O_WRONLY);
	if (rc >= 0)
		rc = p->out = open_in(p, "stdout", O_RDONLY);
	if (rc >= 0)
		rc = p->err = open_in(p, "stderr", O_RDONLY);
	if (rc >= 0 && o->tty)
		started_resize(p);
	if (rc >= 0)
		rc = give(p, o);
	if (rc == 0)
		return 0;
	box_complain(b, o->argv[0], -rc);
	started_forget(p);
	return CLIENT_BROKEN;
}

void started_forget(const struct started *p)
{
	unlinkat(p->box->fd, p->name, AT_REMOVEDIR);
}

/* --- While it runs --- */

int started_signal(const struct started *p, int signal_number)
{
	char line[32];
	int len = snprintf(line, sizeof line, "signal %d\n", signal_number);

	return put_text(p, "ctl", line, (size_t)len);
}

void started_resize(const struct started *p)
{
	unsigned columns, rows;
	char line[48];
	int len;

	if (!terminal_size(&columns, &rows))
		return;
	len = snprintf(line, sizeof line, "resize %u %u\n", columns, rows);
	put_text(p, "ctl", line, (size_t)len);
}

/* --- The end --- */

/* One line of a file; that of `wait` waits for the end of the command. */
static int read_line(const struct started *p, const char *file, char *out, size_t size)
{
	int fd = open_in(p, file, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return fd;
	do
		n = read(fd, out, size - 1);
	while (n < 0 && errno == EINTR);
	n = n < 0 ? -errno : n;
	close(fd);
	out[n > 0 ? n : 0] = '\0';
	out[strcspn(out, "\n")] = '\0';
	return n < 0 ? (int)n : 0;
}

int started_outcome(const struct started *p, bool *ret_told)
{
	char number[16], status[512];
	int rc = read_line(p, "wait", number, sizeof number);

	*ret_told = false;
	if (rc == 0 && strcmp(number, "125") != 0)
		return atoi(number);
	if (rc == 0)
		rc = read_line(p, "status", status, sizeof status);
	if (rc == 0 && strncmp(status, "exited ", 7) == 0)
		return CLIENT_BROKEN;
	*ret_told = true;
	if (rc)
		return box_complain(p->box, p->name, -rc);
	fprintf(stderr, "%s: %s\n", p->box->who, status);
	return CLIENT_BROKEN;
}
