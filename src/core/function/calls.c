#include "core/function/calls.h"

#include "core/function/answer.h"
#include "core/function/call.h"
#include "core/function/function.h"
#include "core/json_text.h"
#include "core/mount.h"
#include "core/session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX	  (8u << 20)  /* bytes of one call */
#define WAITING_MAX	  1024	      /* calls that do not run: not begun, or behind one that does */
#define WAITING_BYTES_MAX (8u << 20)  /* their texts; one may go over it */
#define HELD_MAX	  (32u << 20) /* answers that wait for an earlier one, before no more are begun */
#define PUNCH_SIZE	  (16u << 20)

struct calls *calls_new(struct function *f, bool by_line)
{
	struct calls *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	object_ref(&f->object);
	c->function = f;
	c->by_line = by_line;
	list_init(&c->all);
	list_init(&c->turns);
	list_init(&c->waiters);
	buf_init(&c->text, TEXT_MAX + 1); /* and a newline */
	stream_init(&c->out, NULL);
	return c;
}

void calls_free(struct calls *c)
{
	list_each_safe (pos, &c->all)
		call_drop(container_of(pos, struct call, link));
	buf_free(&c->text);
	stream_fini(&c->out);
	object_unref(&c->function->object);
	free(c);
}

/* --- Answers --- */

/* A file that cannot be written ends it: what came before can be read, then EIO. */
static void cannot_keep(struct calls *c, int code)
{
	struct error err;

	error_errno(&err, code, "OUTPUT_LOST", "the answers of function %s cannot be kept",
		    c->function->object.name);
	function_session(c->function)->error = the_mount.error = err;
	stream_end(&c->out, EIO);
	list_each_safe (pos, &c->all)
		call_drop(container_of(pos, struct call, link));
	c->count = c->waiting = c->running = 0;
	c->waiting_bytes = c->held_bytes = 0;
}

/* Passes on the answers whose turn it is. */
static bool pass_on(struct calls *c)
{
	bool any = false;

	while (!list_empty(&c->all)) {
		struct call *first = container_of(c->all.next, struct call, link);
		int rc;

		if (!first->done)
			break;
		rc =
		    stream_append(&c->out, the_mount.settings.scratch, first->answer.data, first->answer.len);
		if (rc) {
			cannot_keep(c, -rc);
			return false;
		}
		c->held_bytes -= first->answer.len;
		c->count--;
		call_drop(first);
		any = true;
	}
	return any;
}

static bool may_begin(const struct calls *c)
{
	return c->waiting && c->running < c->function->parallel && c->held_bytes < HELD_MAX &&
	       c->out.size - c->read < mount_spool_limit();
}

static void begin_more(struct calls *c)
{
	while (may_begin(c)) {
		struct call *call = container_of(c->turns.next, struct call, turn);

		list_remove(&call->turn);
		c->waiting--;
		c->waiting_bytes -= call->text.len;
		call_begin(call);
		if (call->done)
			c->held_bytes += call->answer.len;
		else
			c->running++;
	}
}

static void go_on(struct calls *c)
{
	do
		begin_more(c);
	while (pass_on(c));
	core_wake(&c->waiters);
}

void calls_ended(struct calls *c)
{
	/* Who has ended is counted by what is left. */
	c->running = 0;
	c->held_bytes = 0;
	list_each (pos, &c->all) {
		struct call *call = container_of(pos, struct call, link);

		c->running += call->sandbox && !call->done;
		c->held_bytes += call->done ? call->answer.len : 0;
	}
	go_on(c);
}

/* --- Texts --- */

static int no_memory(struct error *err)
{
	return error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
}

/* Owns the text, on success. */
static int add(struct calls *c, struct buf *text, const struct error *refused, struct error *err)
{
	struct call *call;

	if (!refused && buf_append(text, "\n", 1))
		return no_memory(err);
	call = call_new(c, text);
	if (!call)
		return no_memory(err);
	list_append(&c->all, &call->link);
	c->count++;
	if (refused) {
		call_refuse(call, refused);
		c->held_bytes += call->answer.len;
		return 0;
	}
	list_append(&c->turns, &call->turn);
	c->waiting++;
	c->waiting_bytes += call->text.len;
	return 0;
}

static bool blank(const struct buf *b)
{
	for (size_t i = 0; i < b->len; i++)
		if (!strchr(" \t\r\n", b->data[i]) || !b->data[i])
			return false;
	return true;
}

static int not_json(struct error *err, size_t bad)
{
	return error_set(err, EINVAL, "INVALID_JSON", "not valid JSON at byte %zu", bad);
}

/* A line of `map`, without its newline: whatever is wrong with it is its answer. */
static int take_line(struct calls *c, struct error *err)
{
	struct error why;
	size_t bad;
	int rc;

	if (c->skipping) {
		error_set(&why, EFBIG, "TOO_LARGE", "a call has at most %u bytes", TEXT_MAX);
		c->skipping = false;
		rc = add(c, &c->text, &why, err);
	} else if (blank(&c->text)) {
		rc = 0;
	} else if (json_text_check(c->text.data, c->text.len, &bad)) {
		rc = add(c, &c->text, NULL, err);
	} else {
		not_json(&why, bad);
		rc = add(c, &c->text, &why, err);
	}
	buf_free(&c->text);
	return rc;
}

bool calls_writable(const struct calls *c)
{
	return c->out.ended || (c->count - c->running < WAITING_MAX && c->waiting_bytes < WAITING_BYTES_MAX);
}

/* A piece of a line. */
static int gather(struct calls *c, const char *data, size_t len, struct error *err)
{
	if (c->skipping)
		return 0;
	if (len > TEXT_MAX - c->text.len) {
		buf_free(&c->text);
		c->skipping = true;
		return 0;
	}
	return buf_append(&c->text, data, len) ? no_memory(err) : 0;
}

static ssize_t write_lines(struct calls *c, const char *data, size_t len, struct error *err)
{
	size_t done = 0;
	int rc = 0;

	while (done < len && rc == 0 && calls_writable(c)) {
		const char *newline = memchr(data + done, '\n', len - done);
		size_t take = newline ? (size_t)(newline - data) - done : len - done;

		rc = gather(c, data + done, take, err);
		if (rc == 0 && newline)
			rc = take_line(c, err);
		done += rc ? 0 : take + (newline != NULL);
		if (newline)
			go_on(c);
	}
	return done ? (ssize_t)done : rc ? rc : -EAGAIN;
}

ssize_t calls_write(struct calls *c, const char *data, size_t len, struct error *err)
{
	int rc = function_refuses(c->function, err);

	if (rc == 0 && c->out.ended)
		rc = error_set(err, EIO, "OUTPUT_LOST", "the answers cannot be kept");
	if (rc)
		return rc;
	if (len == 0)
		return 0;
	if (!calls_writable(c))
		return -EAGAIN;
	c->refused = 0;
	if (c->by_line)
		return write_lines(c, data, len, err);
	if (c->skipping || len > TEXT_MAX - c->text.len) {
		buf_free(&c->text);
		c->skipping = true;
		return error_set(err, EFBIG, "TOO_LARGE", "a call has at most %u bytes", TEXT_MAX);
	}
	return buf_append(&c->text, data, len) ? no_memory(err) : (ssize_t)len;
}

int calls_commit(struct calls *c, bool all, struct error *err)
{
	size_t bad;
	int rc;

	if (c->by_line) {
		if (!all || (c->text.len == 0 && !c->skipping))
			return 0;
		rc = take_line(c, err);
		go_on(c);
		return rc;
	}
	if (c->skipping)
		c->refused = EFBIG;
	c->skipping = false;
	if (c->refused || blank(&c->text))
		return -c->refused;
	if (json_text_check(c->text.data, c->text.len, &bad))
		rc = add(c, &c->text, NULL, err);
	else if (bad == c->text.len && !all)
		return 0;
	else
		rc = not_json(err, bad);
	if (rc)
		c->refused = -rc;
	buf_free(&c->text);
	go_on(c);
	return rc;
}

/* --- Reading --- */

ssize_t calls_read(struct calls *c, size_t len, uint64_t *ret_off, int *ret_fd, const char **ret_data,
		   struct error *err)
{
	ssize_t n;
	int rc;

	*ret_off = c->read;
	n = stream_read(&c->out, ret_off, len, false, ret_fd, ret_data);
	if (n)
		return n;
	if (c->out.ended)
		return -c->out.failure;
	rc = calls_commit(c, true, err);
	if (rc)
		return rc;
	/* A line that was refused has its answer already. */
	n = stream_read(&c->out, ret_off, len, false, ret_fd, ret_data);
	return n || list_empty(&c->all) ? n : -EAGAIN;
}

void calls_advance(struct calls *c, uint64_t read)
{
	uint64_t done;

	if (read <= c->read)
		return;
	c->read = read;
	done = read / PUNCH_SIZE * PUNCH_SIZE;
	if (done >
	    c->punched) { /* never read again: gives its room back, where the file system can do that */
		fallocate(c->out.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)c->punched,
			  (off_t)(done - c->punched));
		c->punched = done;
	}
	if (c->waiting)
		go_on(c);
}

bool calls_readable(const struct calls *c)
{
	return c->out.size > c->read || c->out.ended || c->refused;
}
