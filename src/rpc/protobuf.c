#include "rpc/protobuf.h"

#include "base/utf8.h"

#include <string.h>

#define WIRE_VARINT  0
#define WIRE_FIXED64 1
#define WIRE_BYTES   2
#define WIRE_FIXED32 5

static uint64_t varint(struct protobuf *m)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 70; shift += 7) {
		uint8_t byte;

		if (!m->left)
			break;
		byte = *m->at++;
		m->left--;
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
	m->bad = true;
	return 0;
}

static uint64_t fixed(struct protobuf *m, unsigned bytes)
{
	uint64_t value = 0;

	if (m->left < bytes) {
		m->bad = true;
		return 0;
	}
	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)m->at[i] << 8 * i;
	m->at += bytes;
	m->left -= bytes;
	return value;
}

bool protobuf_next(struct protobuf *m, struct protobuf_field *ret)
{
	uint64_t tag, len;

	if (m->bad || !m->left)
		return false;
	tag = varint(m);
	*ret = (struct protobuf_field){.number = (uint32_t)(tag >> 3)};
	if (tag >> 32 || !ret->number)
		m->bad = true;
	switch (tag & 7) {
	case WIRE_VARINT:
		ret->value = varint(m);
		break;
	case WIRE_FIXED64:
		ret->value = fixed(m, 8);
		break;
	case WIRE_FIXED32:
		ret->value = fixed(m, 4);
		break;
	case WIRE_BYTES:
		len = varint(m);
		if (m->bad || len > m->left) {
			m->bad = true;
			break;
		}
		ret->is_bytes = true;
		ret->sub = (struct protobuf){m->at, (size_t)len, false};
		m->at += len;
		m->left -= (size_t)len;
		break;
	default:
		m->bad = true;
	}
	return !m->bad;
}

void protobuf_text(const struct protobuf *string, char *ret, size_t size)
{
	size_t len = string->left < size - 1 ? string->left : size - 1;

	for (size_t i = 0; i < len; i++)
		ret[i] = string->at[i] ? (char)string->at[i] : '?';
	ret[len] = '\0';
	utf8_make_printable(ret);
}
