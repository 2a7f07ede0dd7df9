/* The payloads of the agent protocol: round trips, every truncation, and what nobody may say. */
#include "channel/protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static char *argv[] = {(char *)"make", (char *)"-j2", (char *)"", NULL};
static char *env[] = {(char *)"A=b", (char *)"EMPTY=", (char *)"C=d=e", NULL};

static const struct start example = {
    .kind = START_ARGV,
    .input = true,
    .timeout_ms = 1ull << 40,
    .spool_limit = SPOOL_LIMIT,
    .name = (char *)"build",
    .cwd = (char *)"/workspace",
    .argv = argv,
    .env = env,
    .text = (char *)"[\"make\"]\0x",
    .text_len = 10,
};

static void assert_example(const struct start *s)
{
	assert_int_equal(s->kind, START_ARGV);
	assert_true(s->input);
	assert_false(s->merge);
	assert_true(s->timeout_ms == 1ull << 40);
	assert_true(s->spool_limit == SPOOL_LIMIT);
	assert_string_equal(s->name, "build");
	assert_string_equal(s->cwd, "/workspace");
	for (int i = 0; i < 3; i++) {
		assert_string_equal(s->argv[i], argv[i]);
		assert_string_equal(s->env[i], env[i]);
	}
	assert_null(s->argv[3]);
	assert_null(s->env[3]);
	assert_int_equal(s->text_len, 10);
	assert_memory_equal(s->text, example.text, 10);
}

/* Each shorter payload, and each with a byte more, is refused; the copies let sanitizers see a read past the
 * end. */
#define ASSERT_EXACT(b, decode, type)                                                                        \
	do {                                                                                                 \
		for (size_t len = 0; len <= (b)->len + 1; len++) {                                           \
			char *copy = calloc(1, len + 1);                                                     \
			type partial;                                                                        \
                                                                                                             \
			assert_non_null(copy);                                                               \
			memcpy(copy, (b)->data, len < (b)->len ? len : (b)->len);                            \
			if (len != (b)->len)                                                                 \
				assert_int_equal(decode(copy, len, &partial), -EPROTO);                      \
			free(copy);                                                                          \
		}                                                                                            \
	} while (0)

static void test_start(void **state)
{
	struct start got;
	struct buf b;

	(void)state;
	buf_init(&b, FRAME_PAYLOAD_MAX);
	assert_int_equal(start_encode(&b, &example), 0);
	assert_int_equal(start_decode(b.data, b.len, &got), 0);
	assert_example(&got);
	start_free(&got);
	ASSERT_EXACT(&b, start_decode, struct start);
	buf_free(&b);
}

static void test_start_terminal(void **state)
{
	struct start s = {.kind = START_SHELL, .tty = true, .columns = TERMINAL_MAX, .rows = 1}, got;
	struct buf b;

	(void)state;
	buf_init(&b, FRAME_PAYLOAD_MAX);
	assert_int_equal(start_encode(&b, &s), 0);
	assert_int_equal(start_decode(b.data, b.len, &got), 0);
	assert_true(got.tty && !got.merge && got.columns == TERMINAL_MAX && got.rows == 1);
	start_free(&got);
	start_set_limit(b.data, b.len, 1234567890123);
	assert_int_equal(start_decode(b.data, b.len, &got), 0);
	assert_int_equal(got.spool_limit, 1234567890123);
	start_free(&got);
	ASSERT_EXACT(&b, start_decode, struct start);
	b.data[2] = 3; /* no such kind of output */
	assert_int_equal(start_decode(b.data, b.len, &got), -EPROTO);
	buf_free(&b);
}

static void test_start_bare(void **state)
{
	struct start got;
	struct buf b;

	(void)state;
	buf_init(&b, FRAME_PAYLOAD_MAX);
	assert_int_equal(start_encode(&b, &(struct start){.kind = START_SHELL}), 0);
	start_set_limit(b.data, b.len, 99);
	assert_int_equal(start_decode(b.data, b.len, &got), 0);
	assert_int_equal(got.spool_limit, 99);
	assert_string_equal(got.cwd, "");
	assert_null(got.argv[0]);
	assert_null(got.env[0]);
	assert_int_equal(got.text_len, 0);
	start_free(&got);
	buf_free(&b);
}

/* What one side may not say the other side's encoder does not write. */
static void test_start_limits(void **state)
{
	char long_name[START_NAME_MAX + 2], long_cwd[5000];
	char *no_name[] = {(char *)"=x", NULL}, *no_value[] = {(char *)"X", NULL}, *none[] = {NULL};
	struct start bad[] = {
	    {.kind = START_SCRIPT + 1},
	    {.kind = START_ARGV},
	    {.kind = START_ARGV, .argv = none},
	    {.kind = START_SCRIPT, .text = (char *)"#", .text_len = 1},
	    {.kind = START_SCRIPT, .text = (char *)"ls", .text_len = 2},
	    {.kind = START_SHELL, .cwd = (char *)"relative"},
	    {.kind = START_SHELL, .cwd = long_cwd},
	    {.kind = START_SHELL, .name = long_name},
	    {.kind = START_SHELL, .env = no_name},
	    {.kind = START_SHELL, .env = no_value},
	    {.kind = START_SHELL, .tty = true, .columns = TERMINAL_MAX + 1},
	    {.kind = START_SHELL, .tty = true, .rows = TERMINAL_MAX + 1},
	};
	struct buf b;

	(void)state;
	memset(long_name, 'n', sizeof long_name);
	long_name[sizeof long_name - 1] = '\0';
	memset(long_cwd, '/', sizeof long_cwd);
	long_cwd[sizeof long_cwd - 1] = '\0';
	buf_init(&b, FRAME_PAYLOAD_MAX);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(start_encode(&b, &bad[i]), -EPROTO);
		assert_int_equal(b.len, 0);
	}
	buf_free(&b);
}

static void test_start_size(void **state)
{
	struct start s = {.kind = START_SHELL, .text_len = START_PAYLOAD_MAX};
	struct start got;
	struct buf b;

	(void)state;
	s.text = calloc(1, s.text_len);
	assert_non_null(s.text);
	buf_init(&b, 2 * FRAME_PAYLOAD_MAX);
	assert_int_equal(start_encode(&b, &s), -EFBIG);
	assert_int_equal(b.len, 0);
	s.text_len = START_PAYLOAD_MAX - 39; /* the other fields, all empty */
	assert_int_equal(start_encode(&b, &s), 0);
	assert_int_equal(b.len, START_PAYLOAD_MAX);
	assert_int_equal(start_decode(b.data, b.len, &got), 0);
	start_free(&got);
	buf_free(&b);
	free(s.text);
}

/* A count of four thousand million strings gets no memory. */
static void test_made_up_counts(void **state)
{
	struct start got;
	struct buf b;

	(void)state;
	for (uint32_t count = 1; count; count <<= 1) {
		buf_init(&b, 4096);
		for (int i = 0; i < 3; i++)
			put_u8(&b, 0);
		put_u64(&b, 0);
		put_u64(&b, 0);
		put_bytes(&b, NULL, 0);
		put_bytes(&b, NULL, 0);
		put_u32(&b, count | 1);
		assert_int_equal(start_decode(b.data, b.len, &got), -EPROTO);
		buf_free(&b);
	}
}

static void test_outcome(void **state)
{
	struct outcome o = {.kind = OUTCOME_FAILED,
			    .value = 0,
			    .started_ns = 5,
			    .ended_ns = 1ull << 63,
			    .reason = "CWD",
			    .text = "/x: No such file or directory"};
	struct outcome got;
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	assert_int_equal(outcome_encode(&b, &o), 0);
	assert_int_equal(outcome_decode(b.data, b.len, &got), 0);
	assert_int_equal(got.kind, OUTCOME_FAILED);
	assert_true(got.started_ns == 5 && got.ended_ns == 1ull << 63);
	assert_string_equal(got.reason, "CWD");
	assert_string_equal(got.text, o.text);
	ASSERT_EXACT(&b, outcome_decode, struct outcome);
	buf_free(&b);
}

static void assert_outcome_refused(uint8_t kind, uint32_t value)
{
	struct outcome got;
	struct buf b;

	buf_init(&b, 4096);
	assert_int_equal(outcome_encode(&b, &(struct outcome){.kind = kind, .value = value}), 0);
	assert_int_equal(outcome_decode(b.data, b.len, &got), -EPROTO);
	buf_free(&b);
}

static void test_impossible_outcomes(void **state)
{
	struct outcome got;
	struct buf b;

	(void)state;
	assert_outcome_refused(OUTCOMES, 0);
	assert_outcome_refused(OUTCOME_EXITED, 256);
	assert_outcome_refused(OUTCOME_SIGNALED, 0);
	assert_outcome_refused(OUTCOME_SIGNALED, 65);
	/* A reason that does not fit its field. */
	buf_init(&b, 4096);
	put_u8(&b, OUTCOME_FAILED);
	put_u32(&b, 0);
	put_u64(&b, 0);
	put_u64(&b, 0);
	put_bytes(&b, "0123456789012345678901234567890123456789", 32);
	put_bytes(&b, NULL, 0);
	assert_int_equal(outcome_decode(b.data, b.len, &got), -EPROTO);
	buf_free(&b);
}

static void test_report(void **state)
{
	struct report r = {
	    .running = true,
	    .outcome = {.started_ns = 9},
	    .size = {10, 1ull << 40},
	    .ended = {false, true},
	    .full = {true, false},
	    .input_received = 30,
	    .input_taken = 20,
	    .input_ended = true,
	    .input_closed = true,
	    .start = example,
	};
	struct report got;
	struct buf b, head;

	(void)state;
	buf_init(&b, FRAME_PAYLOAD_MAX);
	assert_int_equal(report_encode(&b, &r), 0);
	assert_int_equal(report_decode(b.data, b.len, &got), 0);
	assert_true(got.running && !got.ended[0] && got.ended[1] && got.full[0] && !got.full[1]);
	assert_true(got.size[0] == 10 && got.size[1] == 1ull << 40);
	assert_true(got.input_received == 30 && got.input_taken == 20 && got.input_ended && got.input_closed);
	assert_example(&got.start);
	start_free(&got.start);
	ASSERT_EXACT(&b, report_decode, struct report);

	/* The head and a start as it came are the same bytes. */
	buf_init(&head, FRAME_PAYLOAD_MAX);
	assert_int_equal(report_encode_head(&head, &r), 0);
	assert_int_equal(start_encode(&head, &example), 0);
	assert_int_equal(head.len, b.len);
	assert_memory_equal(head.data, b.data, b.len);
	buf_free(&head);

	b.len = 0;
	r.input_taken = 31;
	assert_int_equal(report_encode(&b, &r), 0);
	assert_int_equal(report_decode(b.data, b.len, &got), -EPROTO);
	buf_free(&b);
}

static void test_spool_name(void **state)
{
	char name[24];

	(void)state;
	spool_name(7, STREAM_OUT, name);
	assert_string_equal(name, "7.out");
	spool_name(UINT32_MAX, STREAM_ERR, name);
	assert_string_equal(name, "4294967295.err");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_start),	   cmocka_unit_test(test_start_bare),
	    cmocka_unit_test(test_start_terminal), cmocka_unit_test(test_start_limits),
	    cmocka_unit_test(test_start_size),	   cmocka_unit_test(test_made_up_counts),
	    cmocka_unit_test(test_outcome),	   cmocka_unit_test(test_impossible_outcomes),
	    cmocka_unit_test(test_report),	   cmocka_unit_test(test_spool_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
