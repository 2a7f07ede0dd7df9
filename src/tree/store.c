#include "tree/store.h"

#include "core/json_text.h"

#include <errno.h>
#include <string.h>

static void place_of(const struct handle *h, struct place *ret)
{
	struct spot s = {.object = h->object, .node = h->node};

	tree_place(&s, ret);
}

static int apply_at(struct handle *h, struct place *at, const char *text, bool complete)
{
	struct error err = {0};
	int rc = h->node->store(at, text, &err);

	/* Some refusals are no failure of anybody, and come without a sentence. */
	if (rc && err.code && (complete || rc != -EINVAL) && !(rc == -EAGAIN && at->wait && *at->wait))
		tree_keep_error(at, &err);
	return rc;
}

/* Hands one text to the row. That it is wrong is shown only when it is complete. */
static int apply(struct handle *h, const char *text, bool complete)
{
	struct place at;

	place_of(h, &at);
	return apply_at(h, &at, text, complete);
}

static int refuse_nul(const struct handle *h)
{
	struct place at;
	struct error err;
	int rc = error_set(&err, EINVAL, h->node->unit == STORE_LINES ? "INVALID_VERB" : "INVALID_VALUE",
			   "%s takes no NUL byte", h->node->name);

	place_of(h, &at);
	tree_keep_error(&at, &err);
	return rc;
}

static int apply_line(struct handle *h, const char *text, size_t len, struct list **wait)
{
	struct place at;
	struct buf line;
	int rc;

	if (memchr(text, '\0', len))
		return refuse_nul(h);
	buf_init(&line, len + 1);
	rc = buf_append(&line, text, len);
	if (rc == 0) {
		place_of(h, &at);
		at.wait = wait;
		at.again = h->waiting;
		at.held = &h->held;
		rc = apply_at(h, &at, buf_text(&line), true);
	}
	buf_free(&line);
	return rc;
}

static void let_go(struct handle *h)
{
	if (h->held)
		object_unref(h->held);
	h->held = NULL;
}

/* Whether this is the write that had to wait; a new one, after an interrupt, starts afresh. */
static void begin_lines(struct handle *h, const char *data, size_t len)
{
	h->waiting = h->waiting && h->text.len == len && memcmp(h->text.data, data, len) == 0;
	if (h->waiting)
		return;
	h->lines_done = 0;
	let_go(h);
}

static int apply_lines(struct handle *h, const char *data, size_t len, struct list **wait)
{
	int rc = 0;

	begin_lines(h, data, len);
	while (h->lines_done < len && rc == 0) {
		const char *text = data + h->lines_done;
		size_t left = len - h->lines_done;
		const char *newline = memchr(text, '\n', left);
		size_t take = newline ? (size_t)(newline - text) : left;

		*wait = NULL;
		rc = apply_line(h, text, take, wait);
		if (rc == -EAGAIN && *wait) {
			h->text.len = 0;
			h->waiting = true;
			return buf_append(&h->text, data, len) ? -ENOMEM : -EAGAIN;
		}
		h->waiting = false;
		let_go(h);
		h->lines_done += take + (newline != NULL);
	}
	h->lines_done = 0;
	/* What a verb says by EAGAIN is no invitation to wait. */
	return rc;
}

/* With >> the text goes on behind what is set at this level. */
static int begin_text(struct handle *h)
{
	struct place at;
	const struct config *own;
	const char *old;

	if (!h->append || h->truncated || h->node->unit != STORE_LIST || h->stored || h->text.len)
		return 0;
	place_of(h, &at);
	own = at.sandbox    ? &at.sandbox->own
	      : at.function ? &at.function->config
	      : at.session  ? &at.session->defaults
			    : &the_mount.defaults;
	old = config_text(own, h->node->arg);
	return *old ? buf_printf(&h->text, "%s\n", old) : 0;
}

/* All lines that are whole; the rest waits for the next write, or for the flush. */
static int apply_whole_lines(struct handle *h)
{
	char *text = (char *)buf_text(&h->text);
	char *end = strrchr(text, '\n');
	int rc;

	if (!end)
		return 0;
	*end = '\0';
	rc = apply(h, text, true);
	*end = '\n';
	return rc;
}

/* Whether more may make it right. */
static bool is_unfinished(struct handle *h)
{
	const char *text = buf_text(&h->text), *newline = strrchr(text, '\n');
	size_t bad;

	switch (h->node->unit) {
	case STORE_JSON:
		return !json_text_check(text, h->text.len, &bad) && bad == h->text.len;
	case STORE_LIST: /* a name is judged as soon as all of it is there */
		text = newline ? newline + 1 : text;
		return *text && !strchr(text, '=');
	default:
		return false;
	}
}

int store_write(struct handle *h, const char *data, size_t len, struct list **ret_wait)
{
	bool unfinished;
	size_t before;
	int rc;

	if (h->node->unit == STORE_LINES)
		return apply_lines(h, data, len, ret_wait);
	if (memchr(data, '\0', len))
		return refuse_nul(h);
	rc = begin_text(h);
	before = h->text.len;
	if (rc == 0)
		rc = buf_append(&h->text, data, len);
	if (rc)
		return rc;
	h->dirty = false;
	unfinished = is_unfinished(h);
	rc = apply(h, buf_text(&h->text), !unfinished);
	if (rc == -EINVAL && unfinished) {
		rc = h->node->unit == STORE_LIST ? apply_whole_lines(h) : 0;
		h->dirty = rc == 0;
	}
	if (rc) {
		h->text.len = before;
		h->dirty = false;
	}
	h->stored = true;
	return rc;
}

int store_flush(struct handle *h, bool by_opener)
{
	int rc = 0;

	h->flushes++;
	if (h->dirty && (by_opener || h->node->unit == STORE_LIST)) {
		rc = apply(h, buf_text(&h->text), true);
		h->dirty = false;
	} else if (h->truncated && !h->stored && h->flushes == 2) {
		/* The first flush is the shell's, before any write; a second one without text is `: > file`.
		 */
		rc = apply(h, "", true);
		h->stored = true;
	}
	return rc;
}

void store_finish(struct handle *h)
{
	let_go(h);
	if (h->node->unit == STORE_LINES)
		return;
	if (h->dirty)
		apply(h, buf_text(&h->text), true);
	else if (h->truncated && !h->stored)
		apply(h, "", true);
}

int store_unset(const struct spot *s)
{
	struct error err = {0};
	struct place at;
	int rc;

	tree_place(s, &at);
	rc = s->node->store(&at, "", &err);
	if (rc && err.code)
		tree_keep_error(&at, &err);
	return rc;
}
