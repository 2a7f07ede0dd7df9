/* UTF-8 as others send it: what is none must not get any further. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * The bytes of one character at `p`, of which there are `len`, at least one; 0 when it
 * is none: an overlong form, a surrogate, one over U+10FFFF. *ret_short: it may only
 * have been cut.
 */
size_t utf8_length(const unsigned char *p, size_t len, bool *ret_short);

bool utf8_is_valid(const char *text, size_t len);

/* Of text that has to be ASCII: as much as fits into `size` bytes with a NUL, what is not printable as '?'.
 */
void ascii_printable(const char *text, size_t len, char *ret, size_t size);

/* Makes one line of `text` that is safe to show on a terminal: each byte of a control character, or of none,
 * is '?'. */
void utf8_make_printable(char *text);
