/*
 * JSON judged as text. What is accepted stays so on one line, and with any number of brackets around it; what
 * is refused is refused at a byte up to which it was the beginning of something; any bytes can be quoted.
 */
#include "core/json_text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_good(const char *text, size_t len)
{
	struct buf b;
	size_t bad;

	buf_init(&b, len + 8);
	if (json_text_put_line(&b, text, len) || !json_text_check(b.data, b.len, &bad))
		abort();
	if (memchr(b.data, '\n', b.len) != b.data + b.len - 1 || memchr(b.data, '\r', b.len))
		abort();
	buf_free(&b);
	if (buf_puts(&b, "[") || buf_append(&b, text, len) || buf_puts(&b, "]"))
		abort();
	if (!json_text_check(b.data, b.len, &bad) && bad < JSON_DEPTH_MAX)
		abort();
	buf_free(&b);
}

static void check_quoted(const char *text, size_t len)
{
	struct buf b;
	size_t bad;

	buf_init(&b, 6 * len + 2);
	if (json_text_quote(&b, text, len) || !json_text_check(b.data, b.len, &bad))
		abort();
	buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	size_t bad, again;

	if (json_text_check(text, size, &bad))
		check_good(text, size);
	else if (bad > size || (!json_text_check(text, bad, &again) && again != bad))
		abort();
	check_quoted(text, size);
	return 0;
}
