#include "files/link.h"
#include "base/buf.h"
#include "files/walk.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The next component at *at, which moves behind it; its length, 0 at the end. */
static size_t component(const char **at, const char **ret)
{
	size_t len;

	*at += strspn(*at, "/");
	*ret = *at;
	len = strcspn(*at, "/");
	*at += len;
	return len;
}

static bool is_dot(const char *part, size_t len)
{
	return len == 1 && part[0] == '.';
}

static bool is_dotdot(const char *part, size_t len)
{
	return len == 2 && part[0] == '.' && part[1] == '.';
}

/* Behind the leading "." and ".."; counts the latter. */
static const char *skip_leading(const char *text, unsigned int *ret_ups)
{
	const char *at = text, *part;

	*ret_ups = 0;
	for (;;) {
		size_t len = component(&at, &part);

		if (is_dotdot(part, len))
			(*ret_ups)++;
		else if (!is_dot(part, len))
			return part;
	}
}

/* Behind the last ".."; NULL when there is none. */
static const char *behind_last_dotdot(const char *text)
{
	const char *at = text, *part, *ret = NULL;
	size_t len;

	while ((len = component(&at, &part)))
		if (is_dotdot(part, len))
			ret = at;
	return ret;
}

static int climb(struct buf *out, unsigned int ups)
{
	int r = 0;

	while (ups-- && r == 0)
		r = buf_puts(out, "../");
	return r;
}

/* Clamps like a root directory does, taking every name for a directory. */
static int lexical(struct buf *out, unsigned int depth, const char *raw)
{
	const char *at = raw, *part;
	size_t len, start, ends[PATH_MAX / 2];
	unsigned int ups = raw[0] == '/' ? depth : 0, names = 0;
	struct buf tail;
	int r = 0;

	buf_init(&tail, PATH_MAX);
	while (r == 0 && (len = component(&at, &part))) {
		if (is_dot(part, len))
			continue;
		if (is_dotdot(part, len)) {
			if (names)
				tail.len = --names ? ends[names - 1] : 0;
			else if (ups < depth)
				ups++;
			continue;
		}
		start = tail.len;
		r = start ? buf_puts(&tail, "/") : 0;
		if (r == 0)
			r = buf_append(&tail, part, len);
		ends[names++] = tail.len;
	}
	if (r == 0)
		r = climb(out, ups);
	if (r == 0)
		r = buf_append(out, tail.data, tail.len);
	buf_free(&tail);
	return r;
}

/* `raw` up to `end` as the sandbox would walk it from `dir`: a path below the root without links. */
static int canonical(int root, int dir, const char *raw, const char *end, char *out)
{
	char from[PATH_MAX] = "", path[PATH_MAX];
	int fd, r = 0;

	if (raw[0] != '/')
		r = files_where(root, dir, from);
	if (r < 0)
		return r;
	r = snprintf(path, sizeof(path), "/%s/%.*s", from, (int)(end - raw), raw);
	if (r < 0 || (size_t)r >= sizeof(path))
		return -ENAMETOOLONG;
	fd = files_resolve(root, path);
	if (fd < 0)
		return fd;
	r = files_where(root, fd, out);
	close(fd);
	return r;
}

static int resolved(struct buf *out, int root, int dir, unsigned int depth, const char *raw, const char *end)
{
	char path[PATH_MAX];
	const char *rest = end + strspn(end, "/");
	int r = canonical(root, dir, raw, end, path);

	if (r < 0)
		return lexical(out, depth, raw);
	r = climb(out, depth);
	if (r == 0)
		r = buf_puts(out, path);
	if (r == 0 && path[0] && rest[0])
		r = buf_puts(out, "/");
	if (r == 0)
		r = buf_puts(out, rest);
	return r;
}

static int rewrite(struct buf *out, int root, int dir, unsigned int depth, const char *raw)
{
	unsigned int ups;
	bool absolute = raw[0] == '/';
	const char *rest = skip_leading(raw, &ups);
	int r;

	if (behind_last_dotdot(rest))
		return resolved(out, root, dir, depth, raw, behind_last_dotdot(rest));
	if (!absolute && ups <= depth)
		return buf_puts(out, raw);
	r = climb(out, depth);
	return r < 0 ? r : buf_puts(out, rest);
}

int files_link_text(int root, int dir, unsigned int depth, const char *raw, char *out)
{
	struct buf text;
	int r;

	buf_init(&text, PATH_MAX - 1);
	r = rewrite(&text, root, dir, depth, raw);
	if (r == 0 && text.len == 0)
		r = buf_puts(&text, ".");
	if (r == 0) {
		memcpy(out, text.data, text.len);
		out[text.len] = '\0';
		r = (int)text.len;
	}
	buf_free(&text);
	return r == -EFBIG ? -ENAMETOOLONG : r;
}

bool files_link_needs_walk(const char *raw)
{
	unsigned int ups;

	return behind_last_dotdot(skip_leading(raw, &ups));
}

bool files_link_is_safe(const char *text, unsigned int depth)
{
	unsigned int ups;
	const char *rest = skip_leading(text, &ups);

	return text[0] && text[0] != '/' && ups <= depth && !behind_last_dotdot(rest);
}

int files_readlink(int root, int dir, unsigned int depth, int link, char *out)
{
	char raw[PATH_MAX];
	ssize_t len = readlinkat(link, "", raw, sizeof(raw));

	if (len < 0)
		return -errno;
	if ((size_t)len >= sizeof(raw))
		return -ENAMETOOLONG;
	raw[len] = '\0';
	return files_link_text(root, dir, depth, raw, out);
}
