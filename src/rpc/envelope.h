/* The envelopes Connect streams are cut into: a byte of flags, a big-endian u32 length, the payload. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define ENVELOPE_HEADER	    5
#define ENVELOPE_MAX	    (100u << 20) /* bytes of payload, either way */
#define ENVELOPE_COMPRESSED 0x01
#define ENVELOPE_END	    0x02

struct envelope {
	uint8_t flags;
	const char *payload; /* within the bytes it was read from; not terminated */
	uint32_t len;
};

/* The envelope at the start of `data`: its whole size, 0 when it has not come whole, -EPROTO. */
ssize_t envelope_parse(const char *data, size_t len, struct envelope *ret);

/* Begins one behind what `out` holds and returns where; then the payload is appended; then it is finished. */
ssize_t envelope_begin(struct buf *out);
void envelope_finish(struct buf *out, size_t at);
