#include "tree/store.h"

#include <errno.h>
#include <string.h>

static void place_of(const struct handle *h, struct place *ret)
{
	struct spot s = {.object = h->object, .node = h->node};

	tree_place(&s, ret);
}

/* Hands one text to the row. A failure is shown only when the text is complete. */
static int apply(struct handle *h, const char *text, bool complete)
{
	struct error err = {0};
	struct place at;
	int rc;

	place_of(h, &at);
	rc = h->node->store(&at, text, &err);
	if (rc && complete)
		tree_keep_error(&at, &err);
	return rc;
}

static int apply_lines(struct handle *h, const char *data, size_t len)
{
	struct buf line;
	int rc = 0;

	buf_init(&line, len + 1);
	while (len && rc == 0) {
		size_t n = strnlen(data, len);
		const char *newline = memchr(data, '\n', len);
		size_t take = newline ? (size_t)(newline - data) : len;

		if (n < take) {
			rc = -EINVAL;
			break;
		}
		line.len = 0;
		rc = buf_append(&line, data, take);
		if (rc == 0)
			rc = apply(h, buf_text(&line), true);
		take += newline != NULL;
		data += take;
		len -= take;
	}
	buf_free(&line);
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
	own = at.sandbox ? &at.sandbox->own : at.session ? &at.session->defaults : &the_mount.defaults;
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

int store_write(struct handle *h, const char *data, size_t len)
{
	size_t before;
	int rc;

	if (h->node->unit == STORE_LINES)
		return apply_lines(h, data, len);
	if (memchr(data, '\0', len))
		return -EINVAL;
	rc = begin_text(h);
	before = h->text.len;
	if (rc == 0)
		rc = buf_append(&h->text, data, len);
	if (rc)
		return rc;
	h->dirty = false;
	rc = apply(h, buf_text(&h->text), h->node->unit == STORE_VALUE || data[len - 1] == '\n');
	if (rc && h->node->unit == STORE_LIST && data[len - 1] != '\n') {
		rc = apply_whole_lines(h);
		h->dirty = rc == 0;
	}
	if (rc) {
		h->text.len = before;
		h->dirty = false;
	}
	h->stored = true;
	return rc;
}

int store_flush(struct handle *h)
{
	int rc = 0;

	h->flushes++;
	if (h->dirty) {
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
	if (h->node->unit == STORE_LINES)
		return;
	if (h->dirty)
		apply(h, buf_text(&h->text), true);
	else if (h->truncated && !h->stored)
		apply(h, "", true);
}

int store_unset(const struct spot *s)
{
	struct error err;
	struct place at;
	int rc;

	tree_place(s, &at);
	rc = s->node->store(&at, "", &err);
	if (rc)
		tree_keep_error(&at, &err);
	return rc;
}
