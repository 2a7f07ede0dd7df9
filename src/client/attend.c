#include "client/attend.h"

#include "client/signals.h"
#include "client/started.h"
#include "client/terminal.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define PIECE	      (128u << 10) /* what the kernel asks a mount for at once */
#define UNHEARD	      (64u << 10)  /* as much as a pipe holds that nobody reads */
#define BACKGROUND_MS 100

/* --- Output --- */

/* As after a read or write that would have had to wait: our streams are as we were given them. */
static void wait_for(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	poll(&p, 1, -1);
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n > 0) {
			data += n;
			len -= (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			wait_for(fd, POLLOUT);
		} else if (n < 0 && errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

struct copy {
	const struct started *command;
	int from, to;
	char *bytes;
	atomic_bool broken; /* what came could not be written, and not because nobody reads */
	int unread;	    /* errno of a read that failed */
};

/*
 * Nobody takes its output any more: it is told as by a pipe, and who does not listen and writes
 * on (he may ignore PIPE, and would see the write fail) in words that are harder to miss.
 */
static void turn_away(const struct copy *c)
{
	static const int words[] = {SIGPIPE, SIGTERM, SIGKILL};
	size_t unheard = 0, said = 1;
	ssize_t n;

	started_signal(c->command, words[0]);
	while ((n = read(c->from, c->bytes, PIECE)) != 0) {
		if (n < 0 && errno != EINTR)
			return;
		unheard += n > 0 ? (size_t)n : 0;
		if (unheard > said * UNHEARD && said < sizeof words / sizeof *words)
			started_signal(c->command, words[said++]);
	}
}

static void *copy_output(void *arg)
{
	struct copy *c = arg;
	ssize_t n;
	int rc;

	while ((n = read(c->from, c->bytes, PIECE)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			c->unread = errno;
			return NULL;
		}
		rc = write_all(c->to, c->bytes, (size_t)n);
		c->broken = rc && rc != -EPIPE;
		if (c->broken)
			fprintf(stderr, "%s: output: %s\n", c->command->box->who, strerror(-rc));
		if (rc) {
			turn_away(c);
			return NULL;
		}
	}
	return NULL;
}

/* --- Input --- */

static bool has_input(void)
{
	struct stat st;

	/* What is closed, or empty for ever, need not be carried over. */
	return fstat(STDIN_FILENO, &st) == 0 && !(S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3));
}

/* A read of our terminal fails while another job has it. */
static bool is_background(void)
{
	return isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) != getpgrp();
}

static void *copy_input(void *arg)
{
	struct copy *c = arg;
	ssize_t n;
	int rc = 0;

	for (;;) {
		n = read(STDIN_FILENO, c->bytes, PIECE);
		if (n > 0 && (rc = write_all(c->to, c->bytes, (size_t)n)) == 0)
			continue;
		if (n < 0)
			rc = -errno;
		if (n < 0 && errno == EAGAIN)
			wait_for(STDIN_FILENO, POLLIN);
		else if (n < 0 && errno == EIO && is_background())
			poll(NULL, 0, BACKGROUND_MS); /* nothing tells when that changes */
		else if (n >= 0 || errno != EINTR)
			break;
	}
	/* End of file follows, and the command would take it for that of all there was. */
	c->broken = rc && rc != -EPIPE && n != 0;
	if (c->broken)
		fprintf(stderr, "%s: input: %s\n", c->command->box->who, strerror(-rc));
	close(c->to);
	return NULL;
}

/* --- All of it --- */

static bool run_thread(pthread_t *ret, void *(*run)(void *), void *arg)
{
	int rc = pthread_create(ret, NULL, run, arg);

	if (rc)
		fprintf(stderr, "aviatofs: a thread: %s\n", strerror(rc));
	return rc == 0;
}

/* It ended by what was passed on to it: so do we, and a shell sees that its loop is to end. */
static void die_alike(int signal_number)
{
	struct rlimit none = {0, 0};

	setrlimit(RLIMIT_CORE, &none); /* the core would be of the wrong program */
	signals_die(signal_number);
}

/* Why output could not be read, unless what the end is called has said so already. */
static int judge(const struct started *p, const struct copy *out, const struct copy *err)
{
	int unread = out->unread ? out->unread : err->unread;
	bool told;
	int rc = started_outcome(p, &told);

	if (unread && !told)
		fprintf(stderr, "%s: output: %s\n", p->box->who, strerror(unread));
	return rc == 0 && unread ? CLIENT_BROKEN : rc;
}

static int carry(const struct started *p)
{
	static char bytes[3][PIECE];
	static struct copy in, out, err;
	pthread_t thread;

	int rc;

	in = (struct copy){p, STDIN_FILENO, p->in, bytes[0], false, 0};
	out = (struct copy){p, p->out, STDOUT_FILENO, bytes[1], false, 0};
	err = (struct copy){p, p->err, STDERR_FILENO, bytes[2], false, 0};
	if (p->in >= 0 && !run_thread(&thread, copy_input, &in))
		return CLIENT_BROKEN;
	if (!run_thread(&thread, copy_output, &err))
		return CLIENT_BROKEN;
	copy_output(&out);
	pthread_join(thread, NULL);
	terminal_leave();
	rc = judge(p, &out, &err);
	/* Success would be said of output that is not there. */
	return rc == 0 && (in.broken || out.broken || err.broken) ? CLIENT_BROKEN : rc;
}

int attend(const struct box *b, const struct order *o)
{
	static struct started p;
	int rc;

	signals_block(o->tty); /* from here on there is something to tidy up */
	rc = started_begin(&p, b, o, o->tty || has_input());
	if (rc)
		return rc;
	if (o->tty)
		terminal_enter();
	rc = signals_pass_to(&p) ? carry(&p) : CLIENT_BROKEN;
	terminal_leave();
	started_forget(&p);
	if (rc > 128 && signals_passed(rc - 128))
		die_alike(rc - 128);
	return rc;
}
