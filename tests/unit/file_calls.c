/* Requests about files: order, windows, connections that break, answers that fit nothing. */
#include "channel/file_calls.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* An agent that remembers what it was sent. */
struct sent {
	uint32_t tag;
	struct file_request q;
};
static struct {
	struct sent at[8192];
	unsigned count;
	int result;
} wire;

static int to_wire(void *to, uint32_t tag, const void *payload, size_t len)
{
	(void)to;
	if (wire.result)
		return wire.result;
	assert_true(wire.count < sizeof wire.at / sizeof *wire.at);
	wire.at[wire.count].tag = tag;
	assert_int_equal(file_request_decode(payload, len, &wire.at[wire.count].q), 0);
	wire.count++;
	return 0;
}

struct one {
	struct file_call call;
	unsigned answers;
	int error;
};

static int on_answer(struct file_call *call, int error, struct file_reply *reply)
{
	struct one *o = container_of(call, struct one, call);

	(void)reply;
	o->answers++;
	o->error = error;
	return 0;
}

static void give(struct file_calls *calls, struct one *o, uint64_t handle)
{
	struct file_request q = {.op = FILE_ACCESS, .handle = handle};

	memset(o, 0, sizeof *o);
	buf_init(&o->call.payload, 1024);
	list_init(&o->call.link);
	o->call.answered = on_answer;
	assert_int_equal(file_call_encode(&o->call, &q), 0);
	file_calls_give(calls, &o->call);
}

static int answer(struct file_calls *calls, uint32_t tag, uint32_t error)
{
	struct file_reply r = {.error = error};
	struct frame f = {.id = tag};
	struct buf out;
	int rc;

	buf_init(&out, 1024);
	assert_int_equal(file_reply_encode(&out, FILE_ACCESS, &r), 0);
	f.payload = (uint8_t *)out.data;
	f.length = (uint32_t)out.len;
	rc = file_calls_reply(calls, &f);
	buf_free(&out);
	return rc;
}

static struct file_calls *begin(void)
{
	struct file_calls *calls = file_calls_new();

	assert_non_null(calls);
	memset(&wire, 0, sizeof wire);
	file_calls_resume(calls, to_wire, NULL);
	return calls;
}

static void end(struct file_calls *calls)
{
	file_calls_end(calls, ESHUTDOWN);
	assert_true(file_calls_idle(calls));
	file_calls_free(calls);
}

static void what_the_kernel_would_remember_of_all_files_is_not_told(void **state)
{
	struct file_calls *calls = begin();
	struct one a;

	(void)state;
	give(calls, &a, 1);
	assert_int_equal(answer(calls, wire.at[0].tag, ENOSYS), 0);
	assert_int_equal(a.error, -EOPNOTSUPP);
	end(calls);
}

static void answered_once_in_any_order(void **state)
{
	struct file_calls *calls = begin();
	struct one a, b;

	(void)state;
	give(calls, &a, 1);
	give(calls, &b, 2);
	assert_int_equal(wire.count, 2);
	assert_int_equal(wire.at[0].q.sequence, 1);
	assert_int_equal(wire.at[1].q.sequence, 2);
	assert_int_equal(answer(calls, wire.at[1].tag, ENOENT), 0);
	assert_int_equal(b.error, -ENOENT);
	assert_int_equal(a.answers, 0);
	assert_int_equal(answer(calls, wire.at[1].tag, 0), -EPROTO);
	assert_int_equal(answer(calls, wire.at[0].tag + 7, 0), -EPROTO);
	assert_int_equal(answer(calls, wire.at[0].tag, 0), 0);
	assert_int_equal(a.answers + b.answers, 2);
	end(calls);
}

static void sent_again_as_it_was(void **state)
{
	struct file_calls *calls = begin();
	struct one o[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		give(calls, &o[i], (uint64_t)i);
	assert_int_equal(answer(calls, wire.at[1].tag, 0), 0);
	file_calls_suspend(calls);
	wire.count = 0;
	file_calls_resume(calls, to_wire, NULL);
	assert_int_equal(wire.count, 2);
	assert_int_equal(wire.at[0].q.sequence, 1);
	assert_int_equal(wire.at[1].q.sequence, 3);
	assert_int_equal(wire.at[1].q.acknowledged, 0);
	assert_int_equal(answer(calls, wire.at[0].tag, 0), 0);
	assert_int_equal(answer(calls, wire.at[1].tag, 0), 0);
	give(calls, &o[0], 9);
	assert_int_equal(wire.at[2].q.acknowledged, 3);
	end(calls);
	assert_int_equal(o[0].error, -ESHUTDOWN);
}

static void a_connection_that_breaks_while_sending(void **state)
{
	struct file_calls *calls = begin();
	struct one o[2];

	(void)state;
	wire.result = -EPIPE;
	give(calls, &o[0], 1);
	give(calls, &o[1], 2);
	assert_int_equal(wire.count, 0);
	wire.result = 0;
	file_calls_resume(calls, to_wire, NULL);
	assert_int_equal(wire.count, 2);
	end(calls);
}

static void no_more_than_the_window(void **state)
{
	struct file_calls *calls = begin();
	struct one *o = calloc(3000, sizeof *o);

	(void)state;
	for (unsigned i = 0; i < 3000; i++)
		give(calls, &o[i], i);
	assert_in_range(wire.count, CALLS_MAX / 2, CALLS_MAX);
	for (unsigned i = 0; i < wire.count; i++) {
		assert_true(wire.at[i].q.sequence - wire.at[i].q.acknowledged <= FILE_WINDOW);
		assert_int_equal(wire.at[i].q.handle, i);
		assert_int_equal(answer(calls, wire.at[i].tag, 0), 0);
	}
	assert_int_equal(wire.count, 3000);
	for (unsigned i = 0; i < 3000; i++)
		assert_int_equal(o[i].answers, 1);
	free(o);
	end(calls);
}

static void the_oldest_unanswered_bounds_the_window(void **state)
{
	struct file_calls *calls = begin();
	struct one *o = calloc(3000, sizeof *o);
	unsigned seen;

	(void)state;
	for (unsigned i = 0; i < 3000; i++)
		give(calls, &o[i], i);
	for (unsigned i = 1; i < wire.count; i++)
		assert_int_equal(answer(calls, wire.at[i].tag, 0), 0);
	seen = wire.count;
	assert_true(seen <= CALLS_MAX);
	assert_int_equal(answer(calls, wire.at[0].tag, 0), 0);
	assert_true(wire.count > seen);
	end(calls);
	free(o);
}

/* The agent may have done them or not: the sequence goes on without a gap, and does nothing twice. */
static void after_a_timeout_the_sequence_has_no_gap(void **state)
{
	struct file_calls *calls = begin();
	struct one o[4], late;

	(void)state;
	for (int i = 0; i < 4; i++)
		give(calls, &o[i], (uint64_t)i);
	assert_int_equal(answer(calls, wire.at[0].tag, 0), 0);
	file_calls_suspend(calls);
	file_calls_fail(calls, ETIMEDOUT);
	for (int i = 1; i < 4; i++)
		assert_int_equal(o[i].error, -ETIMEDOUT);
	give(calls, &late, 5);
	assert_int_equal(late.error, -ETIMEDOUT);
	wire.count = 0;
	file_calls_resume(calls, to_wire, NULL);
	give(calls, &late, 6);
	assert_int_equal(wire.count, 4);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(wire.at[i].q.sequence, 2 + i);
		assert_int_equal(wire.at[i].q.op, FILE_RELEASE);
	}
	assert_int_equal(wire.at[3].q.sequence, 5);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(answer(calls, wire.at[i].tag, 0), 0);
	assert_int_equal(answer(calls, wire.at[3].tag, 0), 0);
	assert_int_equal(late.answers, 1);
	end(calls);
}

/* What nobody wants any more is not asked for another time: its place is taken. */
static void what_is_forsaken_is_not_sent_again(void **state)
{
	struct file_calls *calls = begin();
	struct file_reply nothing = {0};
	struct frame f = {0};
	struct one o[3];
	struct buf out;

	(void)state;
	for (int i = 0; i < 2; i++)
		give(calls, &o[i], (uint64_t)i);
	file_calls_forsake(calls, &o[0].call);
	file_calls_suspend(calls);
	file_calls_forsake(calls, &o[1].call);
	give(calls, &o[2], 2);
	wire.count = 0;
	file_calls_resume(calls, to_wire, NULL);
	assert_int_equal(wire.count, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(wire.at[i].q.sequence, 1 + i);
	assert_int_equal(wire.at[0].q.op, FILE_RELEASE);
	assert_int_equal(wire.at[1].q.op, FILE_RELEASE);
	assert_int_equal(wire.at[2].q.op, FILE_ACCESS);
	buf_init(&out, 64);
	assert_int_equal(file_reply_encode(&out, FILE_RELEASE, &nothing), 0);
	f.payload = (uint8_t *)out.data;
	f.length = (uint32_t)out.len;
	for (unsigned i = 0; i < 2; i++) {
		f.id = wire.at[i].tag;
		assert_int_equal(file_calls_reply(calls, &f), 0);
		assert_int_equal(o[i].answers, 1);
	}
	buf_free(&out);
	end(calls);
	assert_int_equal(o[2].answers, 1);
}

/* The connection on which the gap is filled is lost too, before the agent saw any of it. */
static void what_fills_the_place_of_requests_that_failed_is_sent_until_it_came(void **state)
{
	struct file_calls *calls = begin();
	struct one o[4], late;

	(void)state;
	for (int i = 0; i < 4; i++)
		give(calls, &o[i], (uint64_t)i);
	assert_int_equal(answer(calls, wire.at[0].tag, 0), 0); /* the agent saw sequence 1 alone */
	file_calls_suspend(calls);
	file_calls_fail(calls, ETIMEDOUT);
	file_calls_resume(calls, to_wire, NULL); /* 2, 3, 4 go out, and are lost with the connection */
	file_calls_suspend(calls);
	wire.count = 0;
	file_calls_resume(calls, to_wire, NULL);
	give(calls, &late, 6);
	assert_int_equal(wire.at[0].q.sequence, 2);
	assert_int_equal(wire.at[wire.count - 1].q.sequence, 5);
	assert_int_equal(answer(calls, wire.at[wire.count - 1].tag, 0), 0);
	end(calls);
}

static void garbage_answers_nothing(void **state)
{
	struct file_calls *calls = begin();
	uint8_t garbage[64];
	struct one o;

	(void)state;
	give(calls, &o, 1);
	for (unsigned i = 0; i < 5000; i++) {
		struct frame f = {.id = wire.at[0].tag, .payload = garbage, .length = i % sizeof garbage};

		for (unsigned k = 0; k < sizeof garbage; k++)
			garbage[k] = (uint8_t)rand();
		/* Eight bytes, an errno and a watch, may be an answer by chance. */
		if (f.length != FILE_REPLY_HEAD)
			assert_int_equal(file_calls_reply(calls, &f), -EPROTO);
	}
	assert_int_equal(o.answers, 0);
	end(calls);
	assert_int_equal(o.answers, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(answered_once_in_any_order),
	    cmocka_unit_test(what_the_kernel_would_remember_of_all_files_is_not_told),
	    cmocka_unit_test(sent_again_as_it_was),
	    cmocka_unit_test(a_connection_that_breaks_while_sending),
	    cmocka_unit_test(no_more_than_the_window),
	    cmocka_unit_test(the_oldest_unanswered_bounds_the_window),
	    cmocka_unit_test(after_a_timeout_the_sequence_has_no_gap),
	    cmocka_unit_test(what_is_forsaken_is_not_sent_again),
	    cmocka_unit_test(what_fills_the_place_of_requests_that_failed_is_sent_until_it_came),
	    cmocka_unit_test(garbage_answers_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
