#include "tree/handle.h"

#include "core/snapshot/comparison.h"
#include "core/process/terminal.h"
#include "tree/store.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>

#define RENDERED_MAX (64u << 20)

static void place_of(const struct handle *h, struct place *ret)
{
	struct spot s = {.object = h->object, .node = h->node};

	tree_place(&s, ret);
	if (h->bound)
		ret->process = (struct process *)h->bound;
}

/* --- Opening --- */

static bool readable_node(const struct node *n)
{
	return n->show || n->stream || n->feed || n->compare || n->converse || n->terminal;
}

static bool writable_node(const struct node *n)
{
	return n->store || n->submit || n->sink || n->converse || n->terminal;
}

/* A result, and a listing of proc/, come after the text that is on its way. */
static bool must_wait(const struct place *at, const struct node *n, struct list **ret_wait)
{
	struct inbox *in;

	if (!n->result || !at->sandbox)
		return false;
	in = at->kind == OBJECT_PROCESS ? &at->process->inbox : &at->sandbox->inbox;
	if (!inbox_must_wait(in))
		return false;
	*ret_wait = &in->waiters;
	return true;
}

/* A question without an ear for the answer, or the other way round, is a mistake. */
static int both_ways(struct handle *h, const struct place *at, int code)
{
	struct error err;

	if (h->readable && h->writable)
		return 0;
	error_set(&err, code, "ONE_WAY", "%s has to be opened for reading and writing at once",
		  h->node->name);
	tree_keep_error(at, &err);
	return -code;
}

static int converse(struct handle *h, const struct place *at)
{
	int rc = both_ways(h, at, EACCES);

	if (rc)
		return rc;
	h->calls = h->node->converse(at);
	return h->calls ? 0 : -ENOMEM;
}

static int open_terminal(struct handle *h, const struct place *at)
{
	int rc = both_ways(h, at, EINVAL);
	struct process *p;
	struct error err;

	if (rc)
		return rc;
	p = h->node->terminal(at, &err);
	if (!p) {
		tree_keep_error(at, &err);
		return -err.code;
	}
	h->bound = &p->object;
	h->stream = &p->streams[STREAM_OUT];
	stream_add_reader(h->stream);
	h->sink = &p->input;
	sink_open(h->sink);
	return 0;
}

/* Binds to the process that is latest now: later commands do not change what is read. */
static int bind(struct handle *h, struct place *at)
{
	struct process *of = NULL;

	if (h->node->stream && h->readable) {
		at->opening = true;
		h->stream = h->node->stream(at, &of);
		if (h->stream)
			stream_add_reader(h->stream);
	} else if (h->node->result || h->node->submit) {
		of = at->process;
	}
	if (of)
		h->bound = object_ref(&of->object);
	if (h->node->feed) {
		h->lines = malloc(sizeof *h->lines);
		if (!h->lines)
			return -ENOMEM;
		journal_reader_init(h->lines, h->node->feed(at));
	}
	if (h->node->converse)
		return converse(h, at);
	if (h->node->terminal)
		return open_terminal(h, at);
	if (h->node->await && (!at->process || at->process->state == PROCESS_NONE))
		return -ENODATA;
	if (h->node->sink && h->writable) {
		h->sink = h->node->sink(at);
		if (!h->sink)
			return -ENXIO;
		sink_open(h->sink);
	}
	return 0;
}

/* Its size has to be known to who opened it. */
static int compare(struct handle *h, const struct place *at, struct list **ret_wait)
{
	struct error err = {0};

	if (!h->comparison &&
	    comparison_begin(at->sandbox, h->node->compare, &h->comparison, ret_wait, &err) == -EAGAIN)
		return -EAGAIN;
	if (h->comparison && !h->comparison->done) {
		*ret_wait = &h->comparison->waiters;
		return -EAGAIN;
	}
	if (h->comparison)
		err = h->comparison->why;
	if (err.code)
		tree_keep_error(at, &err);
	return -err.code;
}

/* Whether it may be opened like this, and now. */
static int may_open(const struct spot *s, const struct place *at, int access, struct list **ret_wait)
{
	struct error err = {0};
	int rc;

	if ((access != O_WRONLY && !readable_node(s->node)) ||
	    (access != O_RDONLY && !writable_node(s->node)))
		return -EACCES;
	if (must_wait(at, s->node, ret_wait))
		return -EAGAIN;
	if (access != O_RDONLY && (s->node->submit || s->node->terminal) && at->sandbox &&
	    sandbox_asks_first(at->sandbox, ret_wait))
		return -EAGAIN;
	rc = s->node->ask && access != O_WRONLY ? s->node->ask(at, ret_wait, &err) : 0;
	if (rc && !*ret_wait)
		tree_keep_error(at, &err);
	return rc;
}

static struct handle *new_handle(const struct spot *s, const struct place *at, int flags, int opener)
{
	struct handle *h = calloc(1, sizeof *h);

	if (!h)
		return NULL;
	h->object = object_ref(s->object);
	h->node = s->node;
	h->readable = (flags & O_ACCMODE) != O_WRONLY;
	h->writable = (flags & O_ACCMODE) != O_RDONLY;
	h->append = flags & O_APPEND;
	h->truncated = h->writable && flags & O_TRUNC;
	h->opener = opener;
	buf_init(&h->text, RENDERED_MAX);
	if (h->node->submit && h->writable)
		draft_init(&h->draft, h->node->submit(at));
	return h;
}

int handle_open(const struct spot *s, int flags, int opener, struct handle **h, struct list **ret_wait)
{
	struct place at;
	int rc = 0;

	tree_place(s, &at);
	if (!*h) {
		rc = may_open(s, &at, flags & O_ACCMODE, ret_wait);
		if (rc)
			return rc;
		*h = new_handle(s, &at, flags, opener);
		rc = *h ? bind(*h, &at) : -ENOMEM;
	}
	if (rc == 0 && s->node->compare)
		rc = compare(*h, &at, ret_wait);
	if (rc && *h && !*ret_wait) {
		handle_release(*h);
		*h = NULL;
	}
	return rc;
}

void handle_release(struct handle *h)
{
	if (h->node->submit && h->writable)
		draft_release(&h->draft);
	if (h->node->store && h->writable)
		store_finish(h);
	if (h->stream)
		stream_drop_reader(h->stream);
	if (h->node->terminal && h->bound) { /* hung up, which is no end of file */
		terminal_end((struct process *)h->bound);
	} else if (h->sink) {
		sink_release(h->sink);
		process_pump_input((struct process *)h->bound);
	}
	if (h->calls)
		calls_free(h->calls);
	if (h->lines)
		journal_reader_free(h->lines);
	free(h->lines);
	if (h->comparison)
		comparison_drop(h->comparison);
	if (h->bound)
		object_unref(h->bound);
	buf_free(&h->text);
	object_unref(h->object);
	free(h);
}

/* --- Reading --- */

int64_t handle_size(const struct handle *h)
{
	return (int64_t)(h->comparison ? h->comparison->size : h->stream->size);
}

static int serve_stream(struct stream *s, uint64_t off, size_t size, bool follow, struct served *ret,
			struct list **ret_wait)
{
	ssize_t n = stream_read(s, &off, size, follow, &ret->fd, &ret->data);

	*ret_wait = &s->waiters;
	if (n <= 0) {
		ret->fd = -1;
		return (int)n;
	}
	ret->offset = off;
	ret->len = (size_t)n;
	return 0;
}

/* Reading and writing one descriptor of cmd: what was written runs, and its output comes back. */
static int serve_transaction(struct handle *h, size_t size, struct served *ret, struct list **ret_wait)
{
	struct process *p;
	int rc = handle_fsync(h);

	if (rc)
		return rc;
	p = (struct process *)h->draft.process;
	if (!p)
		return 0;
	if (h->bound != &p->object) { /* a new command of this descriptor: from its start */
		if (h->stream)
			stream_drop_reader(h->stream);
		if (h->bound)
			object_unref(h->bound);
		h->bound = object_ref(&p->object);
		h->stream = &p->streams[STREAM_OUT];
		stream_add_reader(h->stream);
		h->cursor = 0;
	}
	return serve_stream(h->stream, h->cursor, size, true, ret, ret_wait);
}

static int serve_text(struct handle *h, size_t size, uint64_t off, struct served *ret, struct list **ret_wait)
{
	struct place at;
	int rc;

	place_of(h, &at);
	if (h->node->await && !process_ended(at.process)) {
		*ret_wait = &at.process->enders;
		return -EAGAIN;
	}
	if (!h->rendered || off == 0) { /* reading from the start again shows what is true now */
		buf_free(&h->text);
		rc = h->node->show(&at, &h->text);
		if (rc)
			return rc;
		h->rendered = true;
	}
	if (off >= h->text.len)
		return 0;
	ret->data = h->text.data + off;
	ret->len = size < h->text.len - off ? size : h->text.len - off;
	return 0;
}

static int serve_lines(struct handle *h, size_t size, uint64_t off, struct served *ret,
		       struct list **ret_wait)
{
	*ret_wait = &h->lines->feed->waiters;
	return journal_read(h->lines, off, size, &ret->data, &ret->len);
}

/* Of what was true when it was opened. */
static int serve_comparison(const struct comparison *c, size_t size, uint64_t off, struct served *ret)
{
	if (off >= c->size)
		return 0;
	ret->fd = c->file;
	ret->offset = off;
	ret->len = size < c->size - off ? size : (size_t)(c->size - off);
	return 0;
}

/* What is wrong with what was written is told where `error` is; what needs no words has none. */
static int judged(const struct handle *h, int rc, const struct error *err)
{
	struct place at;

	if (rc && err->code) {
		place_of(h, &at);
		tree_keep_error(&at, err);
	}
	return rc;
}

static int serve_answers(struct handle *h, size_t size, struct served *ret, struct list **ret_wait)
{
	struct error err = {0};
	ssize_t n = calls_read(h->calls, size, &ret->offset, &ret->fd, &ret->data, &err);

	*ret_wait = &h->calls->waiters;
	if (n <= 0) {
		ret->fd = -1;
		return judged(h, (int)n, &err);
	}
	ret->len = (size_t)n;
	return 0;
}

int handle_read(struct handle *h, size_t size, uint64_t off, struct served *ret, struct list **ret_wait)
{
	*ret = (struct served){.fd = -1};
	if (h->node->submit && h->writable)
		return serve_transaction(h, size, ret, ret_wait);
	if (h->node->stream)
		return h->stream ? serve_stream(h->stream, off, size, h->node->follow, ret, ret_wait) : 0;
	if (h->node->terminal)
		return serve_stream(h->stream, h->cursor, size, true, ret, ret_wait);
	if (h->node->compare)
		return serve_comparison(h->comparison, size, off, ret);
	if (h->calls)
		return serve_answers(h, size, ret, ret_wait);
	if (h->lines)
		return serve_lines(h, size, off, ret, ret_wait);
	return serve_text(h, size, off, ret, ret_wait);
}

void handle_advance(struct handle *h, const struct served *served, size_t len)
{
	h->cursor = served->offset + len;
	if (h->calls)
		calls_advance(h->calls, h->cursor);
}

/* --- Writing --- */

static ssize_t ask(struct handle *h, const char *data, size_t len, struct list **ret_wait)
{
	struct error err = {0};
	ssize_t n = calls_write(h->calls, data, len, &err);

	*ret_wait = &h->calls->waiters;
	return n < 0 ? judged(h, (int)n, &err) : n;
}

static int commit_calls(struct handle *h, bool all)
{
	struct error err = {0};
	int rc = calls_commit(h->calls, all, &err);

	return judged(h, rc, &err);
}

ssize_t handle_write(struct handle *h, const char *data, size_t len, struct list **ret_wait)
{
	ssize_t n;

	if (h->node->submit) {
		n = draft_write(&h->draft, data, len);
		return n ? n : (ssize_t)len;
	}
	if (h->node->store) {
		n = store_write(h, data, len, ret_wait);
		return n ? n : (ssize_t)len;
	}
	if (h->calls)
		return ask(h, data, len, ret_wait);
	n = sink_write(h->sink, data, len);
	*ret_wait = &h->sink->waiters;
	if (n > 0)
		process_pump_input((struct process *)h->bound);
	return n;
}

bool handle_minds_who_flushes(const struct handle *h)
{
	return h->node->submit || h->calls || h->node->unit == STORE_JSON;
}

int handle_flush(struct handle *h, bool by_opener)
{
	if (h->node->submit && h->writable)
		return draft_flush(&h->draft, by_opener);
	if (h->node->store && h->writable)
		return store_flush(h, by_opener);
	return h->calls && by_opener ? commit_calls(h, false) : 0;
}

int handle_fsync(struct handle *h)
{
	if (h->calls)
		return commit_calls(h, true);
	return h->node->submit && h->writable ? draft_commit(&h->draft) : 0;
}

int handle_truncate(const struct spot *s)
{
	if (!writable_node(s->node))
		return -EACCES;
	return s->node->store && s->node->unit != STORE_LINES ? store_unset(s) : 0;
}

/* --- Polling --- */

/* There is one list to wait on; who cannot be written to, and says nothing, is waited for to take something.
 */
static unsigned poll_terminal(struct handle *h, struct list **ret_wait)
{
	struct served served;
	unsigned events = sink_writable(h->sink) ? POLLOUT : 0;

	if (serve_stream(h->stream, h->cursor, 1, true, &served, ret_wait) != -EAGAIN)
		events |= POLLIN;
	if (!events)
		*ret_wait = &h->sink->waiters;
	return events;
}

unsigned handle_poll(struct handle *h, struct list **ret_wait)
{
	struct served served;
	unsigned events = 0;
	struct place at;

	*ret_wait = NULL;
	if (h->node->terminal)
		return poll_terminal(h, ret_wait);
	if (h->sink) {
		*ret_wait = &h->sink->waiters;
		if (h->sink->closed)
			return POLLOUT | POLLERR;
		return sink_writable(h->sink) ? POLLOUT : 0;
	}
	if (h->calls) {
		*ret_wait = &h->calls->waiters;
		return (calls_readable(h->calls) ? POLLIN : 0u) | (calls_writable(h->calls) ? POLLOUT : 0u);
	}
	if (h->writable)
		events |= POLLOUT;
	if (!h->readable)
		return events;
	if (h->node->await) {
		place_of(h, &at);
		*ret_wait = &at.process->enders;
		return process_ended(at.process) ? events | POLLIN : events;
	}
	if (h->lines) {
		*ret_wait = &h->lines->feed->waiters;
		return journal_ready(h->lines) ? events | POLLIN : events;
	}
	if (!h->stream || (h->node->submit && h->writable && !h->draft.process))
		return events | POLLIN;
	if (serve_stream(h->stream, h->cursor, 1, true, &served, ret_wait) == -EAGAIN)
		return events;
	if (h->stream->ended) /* its list is never woken again, and may go before this handle does */
		*ret_wait = NULL;
	return events | POLLIN;
}
