/* Stdin: how much is held, what goes out when, what is sent again, and where it ends. */
#include "core/process/sink.h"

#include "channel/protocol.h"
#include "core/backend.h"
#include "core/waiter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static char *zeros(size_t len)
{
	char *data = calloc(1, len);

	assert_non_null(data);
	return data;
}

/* Takes all that may go now, and says how much that was; ends at end of file. */
static uint64_t drain(struct sink *s, bool *ret_end)
{
	struct sink_piece piece;
	uint64_t sum = 0;

	*ret_end = false;
	while (sink_next(s, &piece)) {
		if (piece.end)
			*ret_end = true;
		assert_true(piece.len <= 64u << 10);
		sum += piece.len;
	}
	return sum;
}

static void test_staged_limit(void **state)
{
	char *data = zeros(SINK_STAGED_MAX + 1);
	struct sink_piece piece;
	struct sink s;

	(void)state;
	sink_init(&s);
	sink_open(&s);
	assert_int_equal(sink_write(&s, data, SINK_STAGED_MAX - 1), SINK_STAGED_MAX - 1);
	assert_true(sink_writable(&s));
	assert_int_equal(sink_write(&s, data, 2), 1);
	assert_false(sink_writable(&s));
	assert_int_equal(sink_write(&s, data, 1), -ENOSPC);
	assert_false(sink_next(&s, &piece)); /* there is no command yet */
	sink_go_live(&s, false);
	assert_true(s.wanted);
	assert_int_equal(sink_write(&s, data, 1), -EAGAIN); /* over the live limit by far */
	assert_true(sink_next(&s, &piece));
	assert_int_equal(piece.offset, 0);
	sink_fini(&s);
	free(data);
}

static void test_live_limit(void **state)
{
	char *data = zeros(SINK_LIVE_MAX);
	struct sink s;

	(void)state;
	sink_init(&s);
	sink_go_live(&s, true);
	sink_open(&s);
	assert_int_equal(sink_write(&s, data, SINK_LIVE_MAX - 10), SINK_LIVE_MAX - 10);
	assert_int_equal(sink_write(&s, data, 100), 10);
	assert_int_equal(sink_write(&s, data, 1), -EAGAIN);
	assert_false(sink_writable(&s));
	sink_fini(&s);
	free(data);
}

static void test_window(void **state)
{
	char *data = zeros(SINK_LIVE_MAX);
	struct sink s;
	bool end;

	(void)state;
	sink_init(&s);
	sink_go_live(&s, true);
	sink_open(&s);
	assert_int_equal(sink_write(&s, data, SINK_LIVE_MAX), SINK_LIVE_MAX);
	sink_release(&s);
	assert_int_equal(drain(&s, &end), INPUT_WINDOW);
	assert_false(end);
	sink_taken(&s, 1000, false);
	assert_int_equal(drain(&s, &end), 1000);
	assert_false(end);
	sink_taken(&s, 1000, false); /* said twice */
	sink_taken(&s, 500, false);  /* and backwards */
	assert_int_equal(drain(&s, &end), 0);
	sink_taken(&s, INPUT_WINDOW, false);
	sink_taken(&s, INPUT_WINDOW + 1000, false);
	assert_int_equal(drain(&s, &end), SINK_LIVE_MAX - INPUT_WINDOW - 1000);
	assert_true(end);
	assert_int_equal(drain(&s, &end), 0);
	assert_false(end); /* once */
	sink_fini(&s);
	free(data);
}

/* An agent cannot take what it was never given. */
static void test_taken_beyond_sent(void **state)
{
	struct sink_piece piece;
	struct sink s;
	bool end;

	(void)state;
	sink_init(&s);
	sink_go_live(&s, true);
	sink_open(&s);
	assert_int_equal(sink_write(&s, "abcdef", 6), 6);
	sink_taken(&s, 3, false);
	sink_taken(&s, UINT64_MAX, false);
	assert_int_equal(s.held.len, 6);
	assert_true(sink_next(&s, &piece));
	assert_int_equal(piece.len, 6);
	sink_taken(&s, 7, false);
	assert_int_equal(s.base, 0);
	sink_taken(&s, 4, false);
	assert_int_equal(s.base, 4);
	assert_int_equal(sink_write(&s, "gh", 2), 2);
	assert_true(sink_next(&s, &piece));
	assert_int_equal(piece.offset, 6);
	assert_int_equal(piece.len, 2);
	assert_memory_equal(piece.data, "gh", 2);
	assert_int_equal(drain(&s, &end), 0);
	sink_fini(&s);
}

static void test_resume(void **state)
{
	struct sink_piece piece;
	struct sink s;
	bool end;

	(void)state;
	sink_init(&s);
	sink_go_live(&s, true);
	sink_open(&s);
	assert_int_equal(sink_write(&s, "abcdef", 6), 6);
	sink_release(&s);
	assert_int_equal(drain(&s, &end), 6);
	assert_true(end);
	sink_taken(&s, 2, false);
	/* The agent got four of six, and no end of file. */
	assert_true(sink_resume(&s, 4, 2, false));
	assert_true(sink_next(&s, &piece));
	assert_int_equal(piece.offset, 4);
	assert_memory_equal(piece.data, "ef", 2);
	assert_true(sink_next(&s, &piece));
	assert_true(piece.end);
	assert_int_equal(piece.offset, 6);
	/* More than was written, or less than it took, cannot be. */
	assert_false(sink_resume(&s, 7, 2, false));
	assert_false(sink_resume(&s, 1, 0, false));
	sink_fini(&s);
}

/* A daemon of after the bytes: it counts on from where the agent stands. */
static void test_resume_of_an_unknown_past(void **state)
{
	struct sink_piece piece;
	struct sink s;

	(void)state;
	sink_init(&s);
	sink_go_live(&s, true);
	assert_true(sink_resume(&s, 1000, 1000, false));
	sink_open(&s);
	assert_int_equal(sink_write(&s, "x", 1), 1);
	assert_true(sink_next(&s, &piece));
	assert_int_equal(piece.offset, 1000);
	assert_int_equal(piece.len, 1);
	sink_fini(&s);
}

/*
 * The agent holds bytes of an earlier daemon that the command has not taken yet:
 * they are not sent again, and the agent's window counts them.
 */
static void test_resume_with_bytes_at_the_agent(void **state)
{
	char *data = zeros(SINK_LIVE_MAX);
	struct sink_piece piece;
	struct sink s;
	bool end;

	(void)state;
	sink_init(&s);
	sink_go_live(&s, true);
	assert_true(sink_resume(&s, 1000, 900, false));
	sink_open(&s);
	assert_int_equal(sink_write(&s, "x", 1), 1);
	assert_true(sink_next(&s, &piece));
	assert_int_equal(piece.offset, 1000);
	assert_int_equal(piece.len, 1);
	assert_memory_equal(piece.data, "x", 1);
	assert_int_equal(sink_write(&s, data, SINK_LIVE_MAX), SINK_LIVE_MAX - 1);
	assert_int_equal(drain(&s, &end), INPUT_WINDOW - 101);
	sink_taken(&s, 950, false);
	assert_int_equal(drain(&s, &end), 50);
	assert_int_equal(s.held.len, SINK_LIVE_MAX);
	sink_taken(&s, 1001, false);
	assert_int_equal(s.held.len, SINK_LIVE_MAX - 1);
	sink_fini(&s);
	free(data);
}

static void test_end_of_file(void **state)
{
	struct sink_piece piece;
	struct sink s;
	bool end;

	(void)state;
	sink_init(&s);
	sink_open(&s);
	sink_open(&s);
	sink_go_live(&s, false);
	sink_release(&s);
	assert_false(sink_next(&s, &piece)); /* one writer is left */
	sink_release(&s);
	/* Another one, before end of file went out: it writes on. */
	sink_open(&s);
	assert_int_equal(drain(&s, &end), 0);
	assert_false(end);
	assert_int_equal(sink_write(&s, "x", 1), 1);
	sink_release(&s);
	assert_int_equal(drain(&s, &end), 1);
	assert_true(end);
	sink_fini(&s);
}

/* What comes behind an end of file that is on its way is told to the writer, not swallowed. */
static void test_write_behind_the_end(void **state)
{
	struct sink s;
	bool end;

	(void)state;
	sink_init(&s);
	sink_go_live(&s, true);
	sink_open(&s);
	sink_release(&s);
	assert_int_equal(drain(&s, &end), 0);
	assert_true(end);
	sink_open(&s);
	assert_int_equal(sink_write(&s, "x", 1), -EPIPE);
	assert_true(sink_writable(&s));
	sink_release(&s);
	sink_fini(&s);
}

struct counting {
	struct waiter waiter;
	int runs;
};

static void count(struct waiter *w)
{
	container_of(w, struct counting, waiter)->runs++;
}

static void test_closed(void **state)
{
	struct counting w = {.waiter.run = count};
	struct sink_piece piece;
	struct sink s;

	(void)state;
	sink_init(&s);
	sink_go_live(&s, true);
	sink_open(&s);
	assert_int_equal(sink_write(&s, "abc", 3), 3);
	core_lock();
	list_append(&s.waiters, &w.waiter.link);
	sink_taken(&s, 0, true);
	core_unlock();
	assert_int_equal(w.runs, 1);
	assert_int_equal(sink_write(&s, "abc", 3), -EPIPE);
	assert_true(sink_writable(&s));
	assert_false(sink_next(&s, &piece));
	sink_fini(&s);
}

static void test_unwanted(void **state)
{
	struct sink_piece piece;
	struct sink s;

	(void)state;
	sink_init(&s);
	sink_go_live(&s, false);
	assert_false(s.wanted);
	sink_open(&s);
	assert_int_equal(sink_write(&s, "abc", 3), -EPIPE);
	assert_true(sink_writable(&s));
	sink_release(&s);
	assert_false(sink_next(&s, &piece));
	sink_fini(&s);
}

/* The agent's word on bytes that were dropped with the command comes late. */
static void test_taken_after_close(void **state)
{
	struct sink_piece piece;
	struct sink s;

	(void)state;
	sink_init(&s);
	sink_open(&s);
	sink_go_live(&s, true);
	assert_int_equal(sink_write(&s, "hello", 5), 5);
	assert_true(sink_next(&s, &piece));
	sink_close(&s);
	sink_taken(&s, 5, false);
	sink_taken(&s, 5, true);
	assert_int_equal(s.held.len, 0);
	assert_int_equal(sink_write(&s, "more", 4), -EPIPE);
	sink_fini(&s);
}

/* Another daemon gave the command its end of file; the agent may still be passing on what came before. */
static void test_resume_after_end(void **state)
{
	struct sink_piece piece;
	struct sink s;

	(void)state;
	sink_init(&s);
	sink_go_live(&s, true);
	assert_true(sink_resume(&s, 100, 40, true));
	sink_open(&s);
	assert_int_equal(sink_write(&s, "late", 4), -EPIPE);
	sink_release(&s);
	assert_false(sink_next(&s, &piece));
	sink_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_taken_after_close),
	    cmocka_unit_test(test_resume_after_end),
	    cmocka_unit_test(test_staged_limit),
	    cmocka_unit_test(test_live_limit),
	    cmocka_unit_test(test_window),
	    cmocka_unit_test(test_taken_beyond_sent),
	    cmocka_unit_test(test_resume),
	    cmocka_unit_test(test_resume_of_an_unknown_past),
	    cmocka_unit_test(test_resume_with_bytes_at_the_agent),
	    cmocka_unit_test(test_end_of_file),
	    cmocka_unit_test(test_write_behind_the_end),
	    cmocka_unit_test(test_closed),
	    cmocka_unit_test(test_unwanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
