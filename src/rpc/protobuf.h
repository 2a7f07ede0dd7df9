/* Reading the few binary protobuf messages that come as error details. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A message, or what is left of it. Bytes belong to the caller. */
struct protobuf {
	const uint8_t *at;
	size_t left;
	bool bad; /* it was cut short or malformed; no field follows */
};

struct protobuf_field {
	uint32_t number;
	uint64_t value;	     /* of a varint or fixed field */
	struct protobuf sub; /* of a length-delimited one: a string, bytes or a message */
	bool is_bytes;
};

/* The next field; false at the end, or when the rest makes no sense. */
bool protobuf_next(struct protobuf *message, struct protobuf_field *ret);
/* Copies a string field, cut to fit, with what is not printable as '?'. */
void protobuf_text(const struct protobuf *string, char *ret, size_t size);
