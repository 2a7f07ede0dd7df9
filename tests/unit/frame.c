/* Frames and the fields of payloads: what is written is read, and what is cut short or made up is refused. */
#include "channel/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void test_round_trip(void **state)
{
	const struct frame f = {
	    .type = 7, .stream = 1, .flags = 0x5a, .id = 0xdeadbeef, .length = 3, .count = 0xa5};
	uint8_t bytes[FRAME_HEADER + 4] = {0};
	struct frame got;

	(void)state;
	frame_header(&f, bytes);
	memcpy(bytes + FRAME_HEADER, "abcX", 4);
	for (size_t len = 0; len < FRAME_HEADER + 3; len++)
		assert_int_equal(frame_parse(bytes, len, &got), 0);
	assert_int_equal(frame_parse(bytes, sizeof bytes, &got), FRAME_HEADER + 3);
	assert_int_equal(got.type, 7);
	assert_int_equal(got.stream, 1);
	assert_int_equal(got.flags, 0x5a);
	assert_int_equal(got.count, 0xa5);
	assert_int_equal(got.id, 0xdeadbeef);
	assert_int_equal(got.length, 3);
	assert_memory_equal(got.payload, "abc", 3);
}

static void test_byte_order(void **state)
{
	static const uint8_t want[] = {4, 3, 2, 0, 9, 1, 0x34, 0x12, 0xdd, 0xcc, 0xbb, 0xaa};
	uint8_t bytes[FRAME_HEADER];

	(void)state;
	frame_header(
	    &(struct frame){
		.type = 9, .stream = 1, .flags = 0x34, .id = 0xaabbccdd, .length = 0x020304, .count = 0x12},
	    bytes);
	assert_memory_equal(bytes, want, sizeof want);
}

static void test_length_limit(void **state)
{
	uint8_t bytes[FRAME_HEADER];
	struct frame got;

	(void)state;
	frame_header(&(struct frame){.length = FRAME_PAYLOAD_MAX}, bytes);
	assert_int_equal(frame_parse(bytes, sizeof bytes, &got), 0);
	frame_header(&(struct frame){.length = FRAME_PAYLOAD_MAX + 1}, bytes);
	assert_int_equal(frame_parse(bytes, sizeof bytes, &got), -EPROTO);
	/* As soon as the length is there. */
	assert_int_equal(frame_parse(bytes, 4, &got), -EPROTO);
	assert_int_equal(frame_parse(bytes, 3, &got), 0);
	frame_header(&(struct frame){.length = UINT32_MAX}, bytes);
	assert_int_equal(frame_parse(bytes, sizeof bytes, &got), -EPROTO);
}

static void put_all(struct buf *b)
{
	buf_init(b, 1000);
	assert_int_equal(put_u8(b, 0xfe), 0);
	assert_int_equal(put_u32(b, 0x89abcdef), 0);
	assert_int_equal(put_u64(b, 0x0123456789abcdef), 0);
	assert_int_equal(put_bytes(b, "t\0t", 3), 0);
	assert_int_equal(put_bytes(b, "text", 4), 0);
	assert_int_equal(put_bytes(b, NULL, 0), 0);
}

static bool get_all(const void *data, size_t len)
{
	struct reader r = {.at = data, .left = len};
	const uint8_t *p;
	uint32_t n;
	char *text, *none;
	bool right;

	right = get_u8(&r) == 0xfe;
	right = get_u32(&r) == 0x89abcdef && right;
	right = get_u64(&r) == 0x0123456789abcdef && right;
	p = get_bytes(&r, &n);
	right = p && n == 3 && !memcmp(p, "t\0t", 3) && right;
	text = get_text(&r);
	right = text && !strcmp(text, "text") && right;
	none = get_text(&r);
	right = none && !*none && right;
	free(text);
	free(none);
	assert_true(right == !r.bad);
	return right && !r.left;
}

static void test_fields(void **state)
{
	struct buf b;

	(void)state;
	put_all(&b);
	assert_true(get_all(b.data, b.len));
	/* Every shorter one is bad, and read without touching what lies behind. */
	for (size_t len = 0; len < b.len; len++) {
		char *cut = malloc(len ? len : 1);

		assert_non_null(cut);
		memcpy(cut, b.data, len);
		assert_false(get_all(cut, len));
		free(cut);
	}
	buf_free(&b);
}

static void test_bad_stays_bad(void **state)
{
	static const uint8_t bytes[] = {0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4};
	struct reader r = {.at = bytes, .left = sizeof bytes};
	uint32_t len = 77;

	(void)state;
	assert_null(get_bytes(&r, &len));
	assert_int_equal(len, 0);
	assert_true(r.bad);
	assert_int_equal(get_u8(&r), 0);
	assert_int_equal(get_u32(&r), 0);
	assert_int_equal(get_u64(&r), 0);
	assert_null(get_text(&r));
}

static void test_text_without_nul(void **state)
{
	static const uint8_t bytes[] = {3, 0, 0, 0, 'a', 0, 'b'};
	struct reader r = {.at = bytes, .left = sizeof bytes};

	(void)state;
	assert_null(get_text(&r));
	assert_true(r.bad);
}

static void test_full_buffer(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 6);
	assert_int_equal(put_bytes(&b, "abc", 3), -EFBIG);
	assert_int_equal(b.len, 0);
	assert_int_equal(put_bytes(&b, "ab", 2), 0);
	assert_int_equal(put_u8(&b, 1), -EFBIG);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),	  cmocka_unit_test(test_byte_order),
	    cmocka_unit_test(test_length_limit),  cmocka_unit_test(test_fields),
	    cmocka_unit_test(test_bad_stays_bad), cmocka_unit_test(test_text_without_nul),
	    cmocka_unit_test(test_full_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
