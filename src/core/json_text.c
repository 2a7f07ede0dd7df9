#include "core/json_text.h"

#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

/* What the scanner has read so far. */
struct scan {
	const unsigned char *text;
	size_t len, at;
	unsigned depth;
	uint64_t object[JSON_DEPTH_MAX / 64]; /* a bit for each level: an object, or an array */
};

static bool is_blank(int c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_blanks(struct scan *s)
{
	while (s->at < s->len && is_blank(s->text[s->at]))
		s->at++;
}

/* The next byte, or -1 behind the last. */
static int peek(const struct scan *s)
{
	return s->at < s->len ? s->text[s->at] : -1;
}

static bool take(struct scan *s, int c)
{
	if (peek(s) != c)
		return false;
	s->at++;
	return true;
}

static bool take_word(struct scan *s, const char *word)
{
	for (; *word; word++)
		if (!take(s, *word))
			return false;
	return true;
}

static bool take_escape(struct scan *s)
{
	int c = peek(s);

	if (c < 0 || !strchr("\"\\/bfnrtu", c) || c == 0)
		return false;
	s->at++;
	for (int i = 0; c == 'u' && i < 4; i++) {
		int digit = peek(s);

		if (!((digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f') ||
		      (digit >= 'A' && digit <= 'F')))
			return false;
		s->at++;
	}
	return true;
}

static bool take_string(struct scan *s)
{
	bool cut;

	if (!take(s, '"'))
		return false;
	while (s->at < s->len) {
		unsigned char c = s->text[s->at];
		size_t n;

		if (c == '"' || c == '\\') {
			s->at++;
			if (c == '"')
				return true;
			if (!take_escape(s))
				return false;
			continue;
		}
		n = c < 0x20 ? 0 : utf8_length(s->text + s->at, s->len - s->at, &cut);
		if (n == 0) {
			if (c >= 0x20 && cut)
				s->at = s->len;
			return false;
		}
		s->at += n;
	}
	return false;
}

static bool take_digits(struct scan *s)
{
	size_t before = s->at;

	while (peek(s) >= '0' && peek(s) <= '9')
		s->at++;
	return s->at > before;
}

static bool take_number(struct scan *s)
{
	take(s, '-');
	if (!take(s, '0') && !take_digits(s))
		return false;
	if (take(s, '.') && !take_digits(s))
		return false;
	if (peek(s) == 'e' || peek(s) == 'E') {
		s->at++;
		if (!take(s, '+'))
			take(s, '-');
		return take_digits(s);
	}
	return true;
}

static bool take_scalar(struct scan *s)
{
	switch (peek(s)) {
	case '"':
		return take_string(s);
	case 't':
		return take_word(s, "true");
	case 'f':
		return take_word(s, "false");
	case 'n':
		return take_word(s, "null");
	default:
		return take_number(s);
	}
}

static bool in_object(const struct scan *s)
{
	return s->depth && s->object[(s->depth - 1) / 64] >> (s->depth - 1) % 64 & 1;
}

static bool enter(struct scan *s, bool object)
{
	uint64_t bit;

	if (s->depth == JSON_DEPTH_MAX)
		return false;
	bit = 1ull << s->depth % 64;
	if (object)
		s->object[s->depth / 64] |= bit;
	else
		s->object[s->depth / 64] &= ~bit;
	s->depth++;
	s->at++;
	return true;
}

static bool take_member_name(struct scan *s)
{
	skip_blanks(s);
	if (!take_string(s))
		return false;
	skip_blanks(s);
	return take(s, ':');
}

/* Behind a value: what closes, and the comma before the next one. False: a mistake; *ret_done: that was all.
 */
static bool leave(struct scan *s, bool *ret_done)
{
	*ret_done = false;
	for (;;) {
		skip_blanks(s);
		if (s->depth == 0) {
			*ret_done = true;
			return s->at == s->len;
		}
		if (take(s, ','))
			return !in_object(s) || take_member_name(s);
		if (!take(s, in_object(s) ? '}' : ']'))
			return false;
		s->depth--;
	}
}

/* Down to the first value that holds no other; empty objects and arrays are values of that kind. */
static bool take_value(struct scan *s)
{
	for (;;) {
		int c;

		skip_blanks(s);
		c = peek(s);
		if (c != '{' && c != '[')
			return take_scalar(s);
		if (!enter(s, c == '{'))
			return false;
		skip_blanks(s);
		if (take(s, c == '{' ? '}' : ']')) {
			s->depth--;
			return true;
		}
		if (c == '{' && !take_member_name(s))
			return false;
	}
}

bool json_text_check(const char *text, size_t len, size_t *ret_bad)
{
	struct scan s = {.text = (const unsigned char *)text, .len = len};
	bool done = false, good = true;

	while (good && !done)
		good = take_value(&s) && leave(&s, &done);
	*ret_bad = s.at;
	return good;
}

int json_text_quote(struct buf *out, const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;
	int rc = buf_append(out, "\"", 1);
	bool cut;

	for (size_t i = 0; i < len && rc == 0;) {
		size_t n = utf8_length(p + i, len - i, &cut);

		if (n == 0)
			rc = buf_puts(out, "\\ufffd");
		else if (p[i] == '"' || p[i] == '\\')
			rc = buf_printf(out, "\\%c", p[i]);
		else if (p[i] == '\n')
			rc = buf_puts(out, "\\n");
		else if (p[i] < 0x20 || p[i] == 0x7f)
			rc = buf_printf(out, "\\u%04x", p[i]);
		else
			rc = buf_append(out, p + i, n);
		i += n ? n : 1;
	}
	return rc ? rc : buf_append(out, "\"", 1);
}

int json_text_put_line(struct buf *out, const char *text, size_t len)
{
	size_t before;
	int rc;

	while (len && is_blank((unsigned char)text[0])) {
		text++;
		len--;
	}
	while (len && is_blank((unsigned char)text[len - 1]))
		len--;
	before = out->len;
	rc = buf_append(out, text, len);
	if (rc)
		return rc;
	/* Between values only: inside a string it would have been refused. */
	for (char *c = out->data + before; c < out->data + out->len; c++)
		if (*c == '\n' || *c == '\r')
			*c = ' ';
	return buf_append(out, "\n", 1);
}
