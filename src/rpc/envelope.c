#include "rpc/envelope.h"

#include <errno.h>

ssize_t envelope_parse(const char *data, size_t len, struct envelope *ret)
{
	const uint8_t *h = (const uint8_t *)data;
	uint32_t size;

	if (len && (h[0] & ~(ENVELOPE_COMPRESSED | ENVELOPE_END)))
		return -EPROTO;
	if (len < ENVELOPE_HEADER)
		return 0;
	size = (uint32_t)h[1] << 24 | (uint32_t)h[2] << 16 | (uint32_t)h[3] << 8 | h[4];
	if (size > ENVELOPE_MAX)
		return -EPROTO;
	if (len - ENVELOPE_HEADER < size)
		return 0;
	*ret = (struct envelope){h[0], data + ENVELOPE_HEADER, size};
	return ENVELOPE_HEADER + (ssize_t)size;
}

ssize_t envelope_begin(struct buf *out)
{
	size_t at = out->len;
	int rc = buf_append(out, "\0\0\0\0", ENVELOPE_HEADER);

	return rc ? rc : (ssize_t)at;
}

void envelope_finish(struct buf *out, size_t at)
{
	uint32_t size = (uint32_t)(out->len - at - ENVELOPE_HEADER);

	for (int i = 0; i < 4; i++)
		out->data[at + 1 + (size_t)i] = (char)(size >> (24 - 8 * i));
}
