/* Base64, standard alphabet. */
#pragma once

#include "base/buf.h"

#include <sys/types.h>

#define BASE64_ENCODED(len) (((len) + 2) / 3 * 4)
#define BASE64_DECODED(len) ((len) / 4 * 3 + 3) /* at most */

/* Writes BASE64_ENCODED(len) bytes, padded, without a NUL. */
void base64_encode(const void *data, size_t len, char *ret);
/* The same, behind what `out` holds: 0, -EFBIG or -ENOMEM. */
int base64_append(struct buf *out, const void *data, size_t len);

/*
 * Decodes the standard and the URL alphabet, padded or not, into `ret`, which has
 * room for BASE64_DECODED(len). The number of bytes, or -EPROTO.
 */
ssize_t base64_decode(const char *text, size_t len, void *ret);
