#include "channel/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint32_t load32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

void store_u32(void *at, uint32_t v)
{
	uint8_t *p = at;

	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
	p[3] = (uint8_t)(v >> 24);
}

void store_u64(void *at, uint64_t v)
{
	store_u32(at, (uint32_t)v);
	store_u32((uint8_t *)at + 4, (uint32_t)(v >> 32));
}

ssize_t frame_parse(const void *data, size_t len, struct frame *ret_frame)
{
	const uint8_t *p = data;
	uint32_t length;

	/* The length is judged as soon as it is there, before anybody waits for so many bytes. */
	if (len < 4)
		return 0;
	length = load32(p);
	if (length > FRAME_PAYLOAD_MAX)
		return -EPROTO;
	if (len < FRAME_HEADER || len - FRAME_HEADER < length)
		return 0;
	*ret_frame = (struct frame){
	    .type = p[4],
	    .stream = p[5],
	    .flags = p[6],
	    .count = p[FRAME_COUNT_AT],
	    .id = load32(p + 8),
	    .payload = p + FRAME_HEADER,
	    .length = length,
	};
	return (ssize_t)(FRAME_HEADER + length);
}

void frame_header(const struct frame *f, uint8_t out[FRAME_HEADER])
{
	store_u32(out, f->length);
	out[4] = f->type;
	out[5] = f->stream;
	out[6] = f->flags;
	out[FRAME_COUNT_AT] = f->count;
	store_u32(out + 8, f->id);
}

int put_u8(struct buf *out, uint8_t v)
{
	return buf_append(out, &v, 1);
}

int put_u32(struct buf *out, uint32_t v)
{
	uint8_t bytes[4];

	store_u32(bytes, v);
	return buf_append(out, bytes, sizeof bytes);
}

int put_u64(struct buf *out, uint64_t v)
{
	uint8_t bytes[8];

	store_u64(bytes, v);
	return buf_append(out, bytes, sizeof bytes);
}

int put_bytes(struct buf *out, const void *data, uint32_t len)
{
	int rc = buf_reserve(out, (size_t)len + 4);

	if (rc)
		return rc;
	put_u32(out, len);
	return buf_append(out, data, len);
}

/* The next `len` bytes, or NULL and a reader that is bad for good. */
static const uint8_t *take(struct reader *r, size_t len)
{
	const uint8_t *at = r->at;

	if (r->bad || len > r->left) {
		r->bad = true;
		return NULL;
	}
	r->at += len;
	r->left -= len;
	return at;
}

uint8_t get_u8(struct reader *r)
{
	const uint8_t *p = take(r, 1);

	return p ? *p : 0;
}

uint32_t get_u32(struct reader *r)
{
	const uint8_t *p = take(r, 4);

	return p ? load32(p) : 0;
}

uint64_t get_u64(struct reader *r)
{
	const uint8_t *p = take(r, 8);

	return p ? (uint64_t)load32(p) | (uint64_t)load32(p + 4) << 32 : 0;
}

const uint8_t *get_bytes(struct reader *r, uint32_t *ret_len)
{
	uint32_t len = get_u32(r);
	const uint8_t *p = take(r, len);

	*ret_len = p ? len : 0;
	return p;
}

char *get_text(struct reader *r)
{
	uint32_t len;
	const uint8_t *p = get_bytes(r, &len);
	char *text;

	if (!p)
		return NULL;
	text = memchr(p, 0, len) ? NULL : malloc((size_t)len + 1);
	if (!text) {
		r->bad = true;
		return NULL;
	}
	memcpy(text, p, len);
	text[len] = '\0';
	return text;
}
