/* A growing byte buffer with a stated maximum. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct buf {
	char *data; /* NULL while empty; after buf_text() also NUL-terminated */
	size_t len, cap;
	size_t max; /* bytes; growing past it fails with -EFBIG */
};

void buf_init(struct buf *b, size_t max);
void buf_free(struct buf *b);

/* Each returns 0, -EFBIG past the maximum, or -ENOMEM; on failure the buffer is as it was. */
int buf_reserve(struct buf *b, size_t more);
int buf_append(struct buf *b, const void *data, size_t len);
int buf_puts(struct buf *b, const char *text);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Drops the first `len` bytes (len <= b->len). */
void buf_consume(struct buf *b, size_t len);

/* The content as a C string; "" when empty or out of memory. Valid until the next change. */
const char *buf_text(struct buf *b);
