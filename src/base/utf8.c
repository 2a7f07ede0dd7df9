#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

size_t utf8_length(const unsigned char *p, size_t len, bool *ret_short)
{
	static const unsigned char least[] = {0, 0, 0x80, 0xa0,
					      0x90}; /* of the second byte, where it matters */
	size_t n = p[0] < 0x80	 ? 1
		   : p[0] < 0xc2 ? 0
		   : p[0] < 0xe0 ? 2
		   : p[0] < 0xf0 ? 3
		   : p[0] < 0xf5 ? 4
				 : 0;

	*ret_short = false;
	for (size_t i = 1; i < n; i++) {
		if (i == len) {
			*ret_short = true;
			return 0;
		}
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		if (i == 1 && (((p[0] == 0xe0 || p[0] == 0xf0) && p[1] < least[n]) ||
			       (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf4 && p[1] >= 0x90)))
			return 0;
	}
	return n;
}

/* Most text is ASCII, and some of it is long. */
static size_t ascii_length(const char *text, size_t len)
{
	size_t n = 0;
	uint64_t word;

	while (len - n >= sizeof word) {
		memcpy(&word, text + n, sizeof word);
		if (word & 0x8080808080808080u)
			break;
		n += sizeof word;
	}
	return n;
}

bool utf8_is_valid(const char *text, size_t len)
{
	size_t at = 0, n = 1;
	bool cut;

	while (n && (at += ascii_length(text + at, len - at)) < len)
		at += n = utf8_length((const unsigned char *)text + at, len - at, &cut);
	return n > 0;
}

void ascii_printable(const char *text, size_t len, char *ret, size_t size)
{
	size_t n = 0;

	for (; n < len && n + 1 < size; n++)
		ret[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
	ret[n] = '\0';
}

/* U+0080 to U+009F are control characters too: terminals obey some. */
static bool is_control(const unsigned char *p, size_t n)
{
	return n == 1 ? p[0] < ' ' || p[0] == 127 : p[0] == 0xc2 && p[1] < 0xa0;
}

void utf8_make_printable(char *text)
{
	unsigned char *p = (unsigned char *)text;
	size_t left = strlen(text), n;
	bool cut;

	for (; left; p += n, left -= n) {
		n = utf8_length(p, left, &cut);
		if (n && !is_control(p, n))
			continue;
		n = n ? n : 1;
		memset(p, '?', n);
	}
}
