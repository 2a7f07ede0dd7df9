/* JSON as it was written: judged and quoted, never taken apart, so that no number loses a digit. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

#define JSON_DEPTH_MAX 1024

/*
 * Whether the text is one JSON value in UTF-8 with white space around it. If not, *ret_bad is the offset
 * of the byte where that shows: `len` when the text only ends too early.
 */
bool json_text_check(const char *text, size_t len, size_t *ret_bad);

/* Appends any bytes as a JSON string; what is no UTF-8 becomes U+FFFD. 0 or -errno of buf_append(). */
int json_text_quote(struct buf *out, const char *text, size_t len);

/* Appends a text that was checked, on one line and without the white space around it. */
int json_text_put_line(struct buf *out, const char *text, size_t len);
