#include "agent/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE ((64u << 10) - 1) /* with buf's spare byte a round number */
#define KEEP_SIZE (1u << 20)	    /* a larger buffer is given back when empty */
#define SENT_MAX  (256u << 10)	    /* sent bytes in front of unsent ones before those are moved down */

static void in_ready(struct agent *a, struct watch *w, uint32_t events);
static void out_ready(struct agent *a, struct watch *w, uint32_t events);

void connection_init(struct agent *a)
{
	struct connection *c = &a->conn;

	*c = (struct connection){.in = {.fd = -1, .ready = in_ready}, .out = {.fd = -1, .ready = out_ready}};
	buf_init(&c->incoming, FRAME_HEADER + FRAME_PAYLOAD_MAX + READ_SIZE);
	/* Room for the frame that passes the pause, and the few short ones that go with it. */
	buf_init(&c->outgoing, OUT_PAUSE + FRAME_HEADER + FRAME_PAYLOAD_MAX + SENT_MAX + OUT_PAUSE);
}

int connection_open(struct agent *a, int in, int out)
{
	struct connection *c = &a->conn;
	int rc;

	connection_close(a);
	connection_init(a);
	c->in.fd = in;
	c->out.fd = out;
	c->state = CONN_HELLO;
	c->in_events = EPOLLIN;
	rc = watch_add(a, &c->in, EPOLLIN);
	if (!rc && out >= 0) {
		rc = watch_add(a, &c->out, 0);
		/* A file, which takes bytes at any time. */
		if (rc == -EPERM)
			rc = 0;
	}
	if (rc)
		connection_close(a);
	return rc;
}

void connection_close(struct agent *a)
{
	struct connection *c = &a->conn;

	if (c->state == CONN_NONE)
		return;
	files_lost(a);
	if (c->state > CONN_HELLO && a->orphan_ms)
		a->orphan_at = a->now + a->orphan_ms;
	c->state = CONN_NONE;
	watch_close(&c->in);
	watch_close(&c->out);
	buf_free(&c->incoming);
	buf_free(&c->outgoing);
	if (a->stdio)
		agent_end(a, "ORPHANED", KILL_GRACE_MS);
}

/* A daemon that was killed must not stand in its successor's way: the newest connection counts. */
void connection_accept(struct agent *a, struct watch *w, uint32_t events)
{
	int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd < 0 && errno == EMFILE && a->spare >= 0) {
		close(a->spare);
		a->spare = -1;
		fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	}
	if (fd >= 0)
		connection_open(a, fd, -1); /* and closes the one before */
	if (a->spare < 0)
		a->spare = fcntl(a->epoll, F_DUPFD_CLOEXEC, 0);
}

bool connection_room(const struct agent *a)
{
	const struct connection *c = &a->conn;

	return c->outgoing.len - c->sent < OUT_PAUSE && !c->failed && !c->ending;
}

/* --- Frames out --- */

struct buf *frame_begin(struct agent *a, const struct frame *f)
{
	struct connection *c = &a->conn;
	uint8_t header[FRAME_HEADER];

	frame_header(f, header);
	c->frame = c->outgoing.len;
	if (buf_append(&c->outgoing, header, sizeof header))
		c->failed = true;
	return &c->outgoing;
}

void frame_finish(struct agent *a, int rc)
{
	struct connection *c = &a->conn;
	char *header;

	if (rc || c->failed) {
		c->failed = true;
		return;
	}
	header = c->outgoing.data + c->frame;
	store_u32(header, (uint32_t)(c->outgoing.len - c->frame - FRAME_HEADER));
	c->count = frame_count_after(c->count);
	header[FRAME_COUNT_AT] = (char)c->count;
}

static void send_words(struct agent *a, enum message type, const char *words)
{
	struct buf *out = frame_begin(a, &(struct frame){.type = (uint8_t)type});

	frame_finish(a, put_bytes(out, words, (uint32_t)strlen(words)));
	a->conn.ending = true;
}

void connection_refuse(struct agent *a, const char *why)
{
	send_words(a, MSG_REFUSED, why);
}

void connection_bye(struct agent *a, const char *reason)
{
	if (a->conn.state == CONN_READY)
		send_words(a, MSG_BYE, reason);
	else
		connection_close(a);
}

/* --- Frames in --- */

static void welcome(struct agent *a, const struct frame *f)
{
	struct connection *c = &a->conn;
	struct reader r = {.at = f->payload, .left = f->length};
	uint32_t magic = get_u32(&r), version = get_u32(&r);
	uint8_t mode = get_u8(&r);
	uint64_t life = r.left ? get_u64(&r) : 0;
	struct buf *out;
	int rc;

	if (f->type != MSG_HELLO || r.bad || magic != PROTOCOL_MAGIC || !version || mode > SPOOL_STREAM ||
	    (version == PROTOCOL_VERSION && r.left)) {
		connection_refuse(a, "the first frame is not a HELLO of this protocol");
		return;
	}
	out = frame_begin(a, &(struct frame){.type = MSG_WELCOME});
	if (!(rc = put_u32(out, PROTOCOL_MAGIC)) && !(rc = put_u32(out, PROTOCOL_VERSION)))
		rc = put_u64(out, a->started_ns);
	frame_finish(a, rc);
	files_hello(a, life);
	c->mode = mode;
	c->state = CONN_REPORTS;
	a->starts = 0;
	a->told_still = false;
	c->cursor = &a->processes;
	a->orphan_at = NEVER;
}

static void handle(struct agent *a, const struct frame *f)
{
	const char *why;

	if (a->conn.state == CONN_HELLO)
		welcome(a, f);
	else if (request(a, f, &why))
		connection_refuse(a, why);
}

/* Frames wait while reports are under way, and while the daemon does not read what they would answer. */
static bool listening(const struct agent *a)
{
	return (a->conn.state == CONN_HELLO || a->conn.state == CONN_READY) && connection_room(a);
}

static void handle_all(struct agent *a)
{
	struct connection *c = &a->conn;
	struct frame f;
	size_t done = 0;
	ssize_t n;

	while (listening(a) && !a->yield) {
		n = frame_parse(c->incoming.data + done, c->incoming.len - done, &f);
		if (n == 0)
			break;
		if (n < 0) {
			connection_refuse(a, "a frame is longer than any can be");
			break;
		}
		handle(a, &f);
		done += (size_t)n;
	}
	if (done)
		buf_consume(&c->incoming, done);
	c->stalled = c->incoming.len && (!listening(a) || a->yield);
	if (!c->incoming.len && c->incoming.cap > KEEP_SIZE)
		buf_free(&c->incoming);
}

/* How much to read next: a long frame that has begun is read in one go. */
static size_t read_size(const struct buf *incoming)
{
	struct reader r = {.at = (const uint8_t *)incoming->data, .left = incoming->len};
	size_t whole = FRAME_HEADER + (size_t)get_u32(&r);

	return !r.bad && whole <= FRAME_HEADER + FRAME_PAYLOAD_MAX && whole > incoming->len + READ_SIZE
		   ? whole - incoming->len
		   : READ_SIZE;
}

static void in_ready(struct agent *a, struct watch *w, uint32_t events)
{
	struct connection *c = &a->conn;
	size_t size = read_size(&c->incoming);
	ssize_t n;

	if (w->fd < 0)
		return;
	if (events & EPOLLOUT)
		out_ready(a, w, events);
	if (!(c->in_events & EPOLLIN)) {
		/* We do not read on now; but of a connection that is gone we would hear for ever. */
		if (events & (EPOLLHUP | EPOLLERR))
			connection_close(a);
		return;
	}
	if (c->stalled) /* there is enough to do */
		return;
	if (buf_reserve(&c->incoming, size)) {
		connection_close(a);
		return;
	}
	n = read(w->fd, c->incoming.data + c->incoming.len, size);
	if (n > 0) {
		c->incoming.len += (size_t)n;
		handle_all(a);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		connection_close(a);
	}
}

/* --- Sending --- */

static void out_ready(struct agent *a, struct watch *w, uint32_t events)
{
	if (w->fd < 0)
		return;
	if (events & (EPOLLERR | EPOLLHUP) && w == &a->conn.out) {
		connection_close(a);
		return;
	}
	a->conn.blocked = false;
	a->talk = true;
}

static void send_outgoing(struct agent *a)
{
	struct connection *c = &a->conn;
	int fd = c->out.fd >= 0 ? c->out.fd : c->in.fd;
	ssize_t n;

	while (!c->blocked && c->sent < c->outgoing.len) {
		n = write(fd, c->outgoing.data + c->sent, c->outgoing.len - c->sent);
		if (n > 0) {
			c->sent += (size_t)n;
		} else if (errno == EAGAIN) {
			c->blocked = true;
		} else if (errno != EINTR) {
			connection_close(a);
			return;
		}
	}
	if (c->sent == c->outgoing.len || c->sent > SENT_MAX) {
		buf_consume(&c->outgoing, c->sent);
		c->sent = 0;
	}
	if (!c->outgoing.len && c->outgoing.cap > KEEP_SIZE)
		buf_free(&c->outgoing);
}

static void send_reports(struct agent *a)
{
	struct connection *c = &a->conn;

	while (c->state == CONN_REPORTS && connection_room(a)) {
		c->cursor = c->cursor->next;
		if (c->cursor == &a->processes) {
			frame_begin(a, &(struct frame){.type = MSG_READY});
			frame_finish(a, 0);
			c->state = CONN_READY;
			a->talk = true;
		} else {
			tell_report(a, container_of(c->cursor, struct process, all));
		}
	}
}

/* What the loop shall wait for, in both directions. */
static void watch_connection(struct agent *a)
{
	struct connection *c = &a->conn;
	uint32_t in = listening(a) ? EPOLLIN : 0, out = c->blocked ? EPOLLOUT : 0;

	if (c->out.fd < 0) {
		in |= out;
	} else if (out != c->out_events) {
		c->out_events = out;
		watch_change(a, &c->out, out);
	}
	if (in != c->in_events) {
		c->in_events = in;
		watch_change(a, &c->in, in);
	}
}

void connection_flush(struct agent *a)
{
	struct connection *c = &a->conn;
	bool all = true;

	if (c->state == CONN_REPORTS)
		send_reports(a);
	if (c->incoming.len)
		handle_all(a);
	if (c->state == CONN_READY && a->talk && !c->ending) {
		files_sync(a);
		all = tell_all(a);
		if (all) {
			a->talk = false;
			a->talk_at = NEVER;
		}
	}
	if (c->state == CONN_READY && all && !c->ending)
		tell_still(a);
	if (c->state == CONN_NONE)
		return;
	if (c->failed) {
		connection_close(a);
		return;
	}
	send_outgoing(a);
	if (c->state == CONN_NONE)
		return;
	files_flush(a);
	if (c->ending && !c->outgoing.len) {
		connection_close(a);
		return;
	}
	/* What had no room has some now, unless the other side has to make it. */
	if (!c->blocked && (!all || c->stalled || c->state == CONN_REPORTS))
		a->again = true;
	watch_connection(a);
}
