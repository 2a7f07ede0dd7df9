#include "rpc/base64.h"

#include <errno.h>
#include <stdint.h>

static const char alphabet[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#define BAD 0x80 /* of no digit */

/* What each byte is worth; with this in a table four bytes are decoded without a branch. */
#define DIGIT(c)                                                                                             \
	(uint8_t)((c) >= 'A' && (c) <= 'Z'   ? (c) - 'A'                                                     \
		  : (c) >= 'a' && (c) <= 'z' ? (c) - 'a' + 26                                                \
		  : (c) >= '0' && (c) <= '9' ? (c) - '0' + 52                                                \
		  : (c) == '+' || (c) == '-' ? 62                                                            \
		  : (c) == '/' || (c) == '_' ? 63                                                            \
					     : BAD)
#define DIGITS4(c)  DIGIT(c), DIGIT((c) + 1), DIGIT((c) + 2), DIGIT((c) + 3)
#define DIGITS16(c) DIGITS4(c), DIGITS4((c) + 4), DIGITS4((c) + 8), DIGITS4((c) + 12)
#define DIGITS64(c) DIGITS16(c), DIGITS16((c) + 16), DIGITS16((c) + 32), DIGITS16((c) + 48)

static const uint8_t worth[256] = {DIGITS64(0), DIGITS64(64), DIGITS64(128), DIGITS64(192)};

void base64_encode(const void *data, size_t len, char *ret)
{
	const uint8_t *in = data;

	for (; len >= 3; len -= 3, in += 3, ret += 4) {
		uint32_t v = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];

		ret[0] = alphabet[v >> 18];
		ret[1] = alphabet[v >> 12 & 63];
		ret[2] = alphabet[v >> 6 & 63];
		ret[3] = alphabet[v & 63];
	}
	if (len) {
		uint32_t v = (uint32_t)in[0] << 16 | (len == 2 ? (uint32_t)in[1] << 8 : 0);

		ret[0] = alphabet[v >> 18];
		ret[1] = alphabet[v >> 12 & 63];
		ret[2] = len == 2 ? alphabet[v >> 6 & 63] : '=';
		ret[3] = '=';
	}
}

int base64_append(struct buf *out, const void *data, size_t len)
{
	int rc = buf_reserve(out, BASE64_ENCODED(len));

	if (rc)
		return rc;
	base64_encode(data, len, out->data + out->len);
	out->len += BASE64_ENCODED(len);
	return 0;
}

ssize_t base64_decode(const char *text, size_t len, void *ret)
{
	const uint8_t *in = (const uint8_t *)text;
	uint8_t *out = ret;
	uint8_t bad = 0;
	uint32_t v;

	for (int padding = 0; padding < 2 && len && text[len - 1] == '='; padding++)
		len--;
	for (; len >= 4; len -= 4, in += 4, out += 3) {
		uint8_t a = worth[in[0]], b = worth[in[1]], c = worth[in[2]], d = worth[in[3]];

		bad |= a | b | c | d;
		v = (uint32_t)a << 18 | (uint32_t)b << 12 | (uint32_t)c << 6 | d;
		out[0] = (uint8_t)(v >> 16);
		out[1] = (uint8_t)(v >> 8);
		out[2] = (uint8_t)v;
	}
	if (len == 1)
		return -EPROTO;
	if (len) {
		uint8_t a = worth[in[0]], b = worth[in[1]], c = len == 3 ? worth[in[2]] : 0;

		bad |= a | b | c;
		v = (uint32_t)a << 18 | (uint32_t)b << 12 | (uint32_t)c << 6;
		*out++ = (uint8_t)(v >> 16);
		if (len == 3)
			*out++ = (uint8_t)(v >> 8);
	}
	return bad & BAD ? -EPROTO : out - (uint8_t *)ret;
}
