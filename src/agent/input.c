/* stdin: from the daemon, through a window, to the process's pipe. */
#include "agent/agent.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

void input_close(struct input *in)
{
	watch_close(&in->pipe);
	buf_free(&in->waiting);
	in->closed = true;
}

#define END_OF_FILE "\4" /* what a terminal's end of input is typed as */
#define LINE_ENDS   "\n\r" END_OF_FILE

/*
 * A pipe's end is its closing; a terminal stays, and its reader may take the next line after this one.
 * In the middle of a line the key only hands over what there is of it: it takes another. False: no room yet.
 */
static bool finish(struct input *in)
{
	while (in->terminal) {
		if (write(in->pipe.fd, END_OF_FILE, 1) < 0 && (errno == EAGAIN || errno == EINTR))
			return false;
		if (!in->in_line)
			break;
		in->in_line = false;
	}
	input_close(in);
	in->told_closed = true; /* a wished end is no news for the daemon */
	return true;
}

static void drain(struct agent *a, struct process *p)
{
	struct input *in = &p->input;
	ssize_t n = 0;

	if (in->waiting.len) {
		n = write(in->pipe.fd, in->waiting.data, in->waiting.len);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			input_close(in);
			process_dirty(a, p);
			return;
		}
	}
	if (n > 0) {
		in->in_line = !memchr(LINE_ENDS, in->waiting.data[n - 1], sizeof LINE_ENDS - 1);
		in->taken += (uint64_t)n;
		buf_consume(&in->waiting, (size_t)n);
		process_dirty(a, p);
	}
	if (in->end && !in->waiting.len && finish(in))
		return;
	if (in->blocked != (in->end || in->waiting.len > 0)) {
		in->blocked = !in->blocked;
		watch_change(a, &in->pipe, in->blocked ? EPOLLOUT : 0);
	}
}

int input_receive(struct agent *a, struct process *p, uint64_t offset, const uint8_t *data, size_t len,
		  const char **ret_why)
{
	struct input *in = &p->input;
	uint64_t known;

	if (offset > in->received) {
		*ret_why = "INPUT leaves a gap";
		return -EPROTO;
	}
	known = in->received - offset;
	if (known >= len)
		return 0;
	data += known;
	len -= known;
	if (in->closed) {
		/* A process that does not read is no error of the daemon: it may not know yet. */
		in->received += len;
		in->taken = in->received;
		in->told_closed = false;
		process_dirty(a, p);
		return 0;
	}
	if (in->end || len > INPUT_WINDOW - in->waiting.len) {
		*ret_why = in->end ? "INPUT after INPUT_END" : "INPUT beyond the window";
		return -EPROTO;
	}
	if (buf_append(&in->waiting, data, len)) {
		*ret_why = "out of memory";
		return -EPROTO;
	}
	in->received += len;
	if (!in->blocked)
		drain(a, p);
	return 0;
}

int input_finish(struct agent *a, struct process *p, uint64_t offset, const char **ret_why)
{
	struct input *in = &p->input;

	if (in->closed)
		return 0;
	if (offset != in->received) {
		*ret_why = "INPUT_END is not where the input ends";
		return -EPROTO;
	}
	in->end = true;
	if (!in->waiting.len)
		drain(a, p);
	return 0;
}

void input_ready(struct agent *a, struct watch *w, uint32_t events)
{
	struct input *in = container_of(w, struct input, pipe);
	struct process *p = container_of(in, struct process, input);

	if (w->fd < 0)
		return;
	if (events & (EPOLLERR | EPOLLHUP)) { /* nobody has the other end of the terminal any more */
		input_close(in);
		process_dirty(a, p);
		return;
	}
	drain(a, p);
}
