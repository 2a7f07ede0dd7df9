#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

void buf_free(struct buf *b)
{
	free(b->data);
	*b = (struct buf){.max = b->max};
}

int buf_reserve(struct buf *b, size_t more)
{
	size_t want, cap;
	char *data;

	if (more > b->max || b->len > b->max - more)
		return -EFBIG;
	want = b->len + more + 1; /* one over, for buf_text()'s NUL */
	if (want <= b->cap)
		return 0;
	for (cap = b->cap ? b->cap : 64; cap < want; cap *= 2)
		;
	data = realloc(b->data, cap);
	if (!data)
		return -ENOMEM;
	b->data = data;
	b->cap = cap;
	return 0;
}

int buf_append(struct buf *b, const void *data, size_t len)
{
	int rc = buf_reserve(b, len);

	if (rc)
		return rc;
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	return 0;
}

int buf_puts(struct buf *b, const char *text)
{
	return buf_append(b, text, strlen(text));
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list args;
	int len, rc;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	rc = buf_reserve(b, (size_t)len);
	if (rc)
		return rc;
	va_start(args, fmt);
	vsnprintf(b->data + b->len, (size_t)len + 1, fmt, args);
	va_end(args);
	b->len += (size_t)len;
	return 0;
}

void buf_consume(struct buf *b, size_t len)
{
	b->len -= len;
	if (b->len)
		memmove(b->data, b->data + len, b->len);
}

const char *buf_text(struct buf *b)
{
	if (buf_reserve(b, 0))
		return "";
	b->data[b->len] = '\0';
	return b->data;
}
