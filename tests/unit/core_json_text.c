/* JSON as text: what is one value, where it stops being one, and how bytes are quoted. */
#include "core/json_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include <cjson/cJSON.h>

#include <stdlib.h>
#include <string.h>

static void assert_good(const char *text, size_t len)
{
	size_t bad;

	if (!json_text_check(text, len, &bad))
		fail_msg("refused at byte %zu: %.*s", bad, (int)len, text);
	/* Cut anywhere, and with no number at the top, it only ends too early. */
	for (size_t cut = 0; cut < len && (text[0] == '[' || text[0] == '{'); cut++) {
		assert_false(json_text_check(text, cut, &bad));
		assert_int_equal(bad, cut);
	}
}

static void test_good(void **state)
{
	static const char *const texts[] = {
	    "0",
	    "-0",
	    "1e400",
	    "-12.50E+7",
	    "123456789012345678901234567890.000000000000000000000001e-99999",
	    " \t\r\n null \n",
	    "true",
	    "[]",
	    "[ ]",
	    "{}",
	    "{ }",
	    "[[], {}, [{}], \"\", 1, false]",
	    "{\"a\": {\"b\": [1, {\"c\": []}]}, \"a\": 2}",
	    "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\ud800\"]",
	    "[\"\x7f \xc3\xa9 \xe2\x98\x83 \xf0\x9d\x84\x9e \xef\xbf\xbf \xf4\x8f\xbf\xbf \xed\x9f\xbf\"]",
	};

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		assert_good(texts[i], strlen(texts[i]));
}

static void test_bad(void **state)
{
	static const struct {
		const char *text;
		size_t at;
	} texts[] = {
	    {"", 0},
	    {" ", 1},
	    {"01", 1},
	    {"+1", 0},
	    {".5", 0},
	    {"1.", 2},
	    {"1.e3", 2},
	    {"-", 1},
	    {"1e", 2},
	    {"0x10", 1},
	    {"NaN", 0},
	    {"Infinity", 0},
	    {"-Infinity", 1},
	    {"nul", 3},
	    {"nulL", 3},
	    {"nullx", 4},
	    {"[1 2]", 3},
	    {"[1,]", 3},
	    {"[,1]", 1},
	    {"[1}", 2},
	    {"{1:2}", 1},
	    {"{\"a\" 1}", 5},
	    {"{\"a\":1,}", 7},
	    {"{\"a\":}", 5},
	    {"]", 0},
	    {"[1] 2", 4},
	    {"\"\\x\"", 2},
	    {"\"\\u12g4\"", 5},
	    {"\"a\tb\"", 2},
	    {"\"\n\"", 1},
	    {"\"\xff\"", 1},
	    {"\"\xc0\x80\"", 1},
	    {"\"\xed\xa0\x80\"", 1},
	    {"\"\xf4\x90\x80\x80\"", 1},
	    {"\"\xe0\x80\x80\"", 1},
	    {"\"\xe2\x98\"", 1},
	    {"'a'", 0},
	    {"// c\n1", 0},
	    {"\xef\xbb\xbf"
	     "1",
	     0},
	};
	size_t bad;

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		assert_false(json_text_check(texts[i].text, strlen(texts[i].text), &bad));
		if (bad != texts[i].at)
			fail_msg("%s: byte %zu, not %zu", texts[i].text, bad, texts[i].at);
	}
	assert_false(json_text_check("[1]\0", 4, &bad));
	assert_int_equal(bad, 3);
	/* A character that is cut may still become one. */
	assert_false(json_text_check("\"\xe2\x98", 3, &bad));
	assert_int_equal(bad, 3);
}

static void test_depth(void **state)
{
	char text[2 * JSON_DEPTH_MAX + 4];
	size_t bad;

	(void)state;
	memset(text, '[', JSON_DEPTH_MAX);
	memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	assert_true(json_text_check(text, 2 * JSON_DEPTH_MAX, &bad));
	memset(text, '[', JSON_DEPTH_MAX + 1);
	assert_false(json_text_check(text, JSON_DEPTH_MAX + 1, &bad));
	assert_int_equal(bad, JSON_DEPTH_MAX);
}

/* Every byte, and every pair: quoted it is JSON, and what is ASCII comes back. */
static void test_quote(void **state)
{
	struct buf out;
	cJSON *back;
	size_t bad;

	(void)state;
	buf_init(&out, 1000);
	for (unsigned pair = 0; pair < 65536; pair++) {
		const char text[3] = {(char)(pair & 255), (char)(pair >> 8), 0};

		out.len = 0;
		assert_int_equal(json_text_quote(&out, text, 2), 0);
		assert_true(json_text_check(out.data, out.len, &bad));
		if (pair & 0x8080 || !text[0] || !text[1])
			continue;
		back = cJSON_Parse(buf_text(&out));
		assert_string_equal(back->valuestring, text);
		cJSON_Delete(back);
	}
	out.len = 0;
	assert_int_equal(json_text_quote(&out, "\xe2\x98\x83\xe2\x98", 5), 0);
	assert_string_equal(buf_text(&out), "\"\xe2\x98\x83\\ufffd\\ufffd\"");
	buf_free(&out);
}

static void test_line(void **state)
{
	static const char text[] = "\n {\r\n\t\"a\\n\": [1,\n2] }\t\n";
	struct buf out;

	(void)state;
	buf_init(&out, 100);
	assert_int_equal(buf_puts(&out, "before\n"), 0);
	assert_int_equal(json_text_put_line(&out, text, strlen(text)), 0);
	assert_string_equal(buf_text(&out), "before\n{  \t\"a\\n\": [1, 2] }\n");
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_good),  cmocka_unit_test(test_bad),  cmocka_unit_test(test_depth),
	    cmocka_unit_test(test_quote), cmocka_unit_test(test_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
