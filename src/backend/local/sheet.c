#include "backend/local/sheet.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define FLUSH_AT (64u << 10)
#define TEXT_MAX (1u << 20) /* between two flushes: some paths */

void sheet_init(struct sheet *s, int file)
{
	s->file = file;
	buf_init(&s->text, TEXT_MAX);
}

void sheet_free(struct sheet *s)
{
	buf_free(&s->text);
}

long sheet_flush(struct sheet *s)
{
	size_t done = 0;
	off_t end;

	while (done < s->text.len) {
		ssize_t n = write(s->file, s->text.data + done, s->text.len - done);

		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	s->text.len = 0;
	end = lseek(s->file, 0, SEEK_CUR);
	if (end < 0)
		return -errno;
	return end > SHEET_MAX ? -EFBIG : (long)end;
}

int sheet_puts(struct sheet *s, const char *text)
{
	int rc = buf_puts(&s->text, text);
	long end;

	if (rc || s->text.len < FLUSH_AT)
		return rc;
	end = sheet_flush(s);
	return end < 0 ? (int)end : 0;
}

static int put_byte(struct buf *out, unsigned char c)
{
	static const char letters[] = "abtnvfr"; /* of 7 to 13 */

	if (c >= 7 && c <= 13)
		return buf_printf(out, "\\%c", letters[c - 7]);
	if (c == '"' || c == '\\')
		return buf_printf(out, "\\%c", c);
	if (c < ' ' || c == 0x7f)
		return buf_printf(out, "\\%03o", c);
	return buf_append(out, &c, 1);
}

static bool needs_quotes(const char *path)
{
	for (; *path; path++)
		if ((unsigned char)*path < ' ' || *path == 0x7f || *path == '"' || *path == '\\')
			return true;
	return false;
}

int quoted_path(struct buf *out, const char *prefix, const char *path)
{
	int rc;

	if (!needs_quotes(path))
		return buf_printf(out, "%s%s", prefix, path);
	rc = buf_printf(out, "\"%s", prefix);
	for (; *path && rc == 0; path++)
		rc = put_byte(out, (unsigned char)*path);
	return rc ? rc : buf_puts(out, "\"");
}

int sheet_path(struct sheet *s, const char *prefix, const char *path)
{
	return quoted_path(&s->text, prefix, path);
}
