/* Calls over a real connection: what every kind of answer comes to, and that no byte is lost on the way. */
#include "base/loop.h"
#include "rpc_trial.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool has_message(struct trial *t)
{
	return t->messages > 0;
}

/* --- Unary --- */

static void test_unary(void **state)
{
	struct trial t = {
	    .method = "t.T/echo", .request = "{\"id\":\"9223372036854775807\"}", .timeout_ms = 5000};

	(void)state;
	run(&t);
	assert_int_equal(t.status.code, RPC_OK);
	assert_int_equal(t.messages, 1);
	assert_non_null(strstr(t.last, "\"id\":\"9223372036854775807\""));
	assert_non_null(strstr(t.last, "\"timeout\":\"5000\""));
	assert_non_null(strstr(t.last, "\"authorization\":\"Bearer k\""));
	assert_non_null(strstr(t.last, "\"encoding\":null")); /* no compression was asked for */
}

static void test_refusals(void **state)
{
	static const struct {
		const char *method;
		enum rpc_code code;
		int transport;
		const char *words;
	} cases[] = {
	    {"t.T/refuse", RPC_NOT_FOUND, 0, "no?such thing"},
	    {"t.T/html", RPC_UNAVAILABLE, 0, "HTTP status 502"},
	    {"t.T/type", RPC_INTERNAL, EPROTO, "no application/json"},
	    {"t.T/reset", RPC_UNAVAILABLE, ECONNRESET, ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct trial t = {.method = cases[i].method};

		run(&t);
		assert_int_equal(t.messages, 0);
		assert_int_equal(t.status.code, cases[i].code);
		assert_int_equal(t.status.transport, cases[i].transport);
		assert_non_null(strstr(t.status.message, cases[i].words));
		if (i == 0) {
			assert_string_equal(t.status.reason, "R");
			assert_true(t.status.trusted);
			assert_string_equal(t.status.request_id, "req-7");
		}
	}
}

static void test_deadline(void **state)
{
	struct trial t = {.method = "t.T/never", .timeout_ms = 100};

	(void)state;
	run(&t);
	assert_int_equal(t.status.code, RPC_DEADLINE_EXCEEDED);
	assert_int_equal(t.status.transport, ETIMEDOUT);
}

/* A call that is slow says nothing of a service that answers others meanwhile. */
static void test_slow_is_not_away(void **state)
{
	struct trial slow = {.method = "t.T/never", .timeout_ms = 1500}, other = {.method = "t.T/echo"};

	(void)state;
	start(&slow);
	run(&other);
	await(&slow, is_ended);
	assert_int_equal(slow.status.code, RPC_DEADLINE_EXCEEDED);
	assert_false(slow.status.unreachable);
}

static void test_nobody_there(void **state)
{
	struct trial t = {.method = "t.T/echo", .timeout_ms = 5000, .endpoint = server.nowhere};

	(void)state;
	run(&t);
	assert_int_equal(t.status.code, RPC_UNAVAILABLE);
	assert_int_equal(t.status.transport, ECONNREFUSED);
	assert_true(t.status.unreachable);
}

#define MANY 200

static void test_one_connection(void **state)
{
	static struct trial t[MANY];

	(void)state;
	for (int i = 0; i < MANY; i++) {
		t[i] = (struct trial){.method = "t.T/echo", .timeout_ms = 30000};
		start(&t[i]);
	}
	for (int i = 0; i < MANY; i++) {
		await(&t[i], is_ended);
		assert_int_equal(t[i].status.code, RPC_OK);
		assert_non_null(strstr(t[i].last, "\"sessions\":"));
		assert_string_equal(strstr(t[i].last, "\"sessions\":"), strstr(t[0].last, "\"sessions\":"));
	}
}

/* --- Streams --- */

static void test_stream_ends(void **state)
{
	static const struct {
		const char *method;
		unsigned messages;
		enum rpc_code code;
		int transport;
	} cases[] = {
	    {"t.T/failing", 0, RPC_RESOURCE_EXHAUSTED, 0}, {"t.T/cut", 1, RPC_UNAVAILABLE, ECONNRESET},
	    {"t.T/after", 0, RPC_INTERNAL, EPROTO},	   {"t.T/huge", 0, RPC_INTERNAL, EPROTO},
	    {"t.T/html", 0, RPC_UNAVAILABLE, 0},	   {"t.T/goaway", 1, RPC_UNAVAILABLE, ECONNRESET},
	    {"t.T/type", 0, RPC_INTERNAL, EPROTO},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct trial t = {.method = cases[i].method, .kind = CALL_SERVER_STREAM};

		run(&t);
		assert_int_equal(t.messages, cases[i].messages);
		assert_int_equal(t.status.code, cases[i].code);
		assert_int_equal(t.status.transport, cases[i].transport);
	}
}

static void test_stream_whole(void **state)
{
	struct trial t = {
	    .method = "t.T/count", .kind = CALL_SERVER_STREAM, .request = "{\"count\":400,\"size\":100000}"};
	struct trial slow = {.method = "t.T/count",
			     .kind = CALL_SERVER_STREAM,
			     .request = "{\"count\":40,\"size\":40,\"slow\":true}"};

	(void)state;
	run(&t);
	assert_int_equal(t.status.code, RPC_OK);
	assert_int_equal(t.messages, 400);
	assert_true(t.in_order);
	assert_true(t.bytes > 400u * 100000);
	run(&slow);
	assert_int_equal(slow.status.code, RPC_OK);
	assert_true(slow.messages == 40 && slow.in_order);
}

static void release(void *arg)
{
	struct trial *t = arg;

	call_hold(t->call, false);
}

static void hold_at_first(struct trial *t)
{
	if (t->messages == 1)
		call_hold(t->call, true);
}

/* A held stream brings nothing, does not stop others, and goes on where it was. */
static void test_hold(void **state)
{
	struct trial t = {.method = "t.T/count",
			  .kind = CALL_SERVER_STREAM,
			  .request = "{\"count\":2000,\"size\":50000}",
			  .on_message = hold_at_first};
	struct trial other[20];

	(void)state;
	start(&t);
	await(&t, has_message);
	for (int i = 0; i < 20; i++) {
		other[i] = (struct trial){.method = "t.T/echo", .timeout_ms = 20000};
		run(&other[i]);
		assert_int_equal(other[i].status.code, RPC_OK);
	}
	pthread_mutex_lock(&t.lock);
	assert_int_equal(t.messages, 1);
	pthread_mutex_unlock(&t.lock);
	loop_post(release, &t);
	await(&t, is_ended);
	assert_int_equal(t.status.code, RPC_OK);
	assert_true(t.messages == 2000 && t.in_order);
}

static void release_and_close(void *arg)
{
	struct trial *t = arg;

	release(t);
	endpoint_close(t->endpoint);
}

/* An endpoint may be closed while it still has to tell what was held back. */
static void test_close_after_hold(void **state)
{
	struct trial t = {.method = "t.T/stall", .kind = CALL_SERVER_STREAM, .on_message = hold_at_first};

	(void)state;
	open_another();
	t.endpoint = another;
	start(&t);
	await(&t, has_message);
	loop_post(release_and_close, &t);
	test_unary(state); /* the loop goes on */
	assert_false(t.ended);
}

static void push(struct trial *t)
{
	static char piece[60000];
	int len;

	if (!piece[0])
		memset(piece, 'y', sizeof piece - 1);
	while (t->pushed < t->to_push && call_queued(t->call) < CALL_QUEUE_HIGH) {
		char *text = NULL;

		len = asprintf(&text, "{\"data\":\"%s\"}", piece);
		assert_true(len > 0);
		assert_int_equal(call_send(t->call, text, (size_t)len), 0);
		free(text);
		if (++t->pushed == t->to_push)
			call_finish(t->call);
	}
}

/* 60 MB up while as many messages come down, through a bounded queue. */
static void test_duplex(void **state)
{
	struct trial t = {.method = "t.T/duplex", .kind = CALL_DUPLEX, .on_message = push, .to_push = 1000};

	(void)state;
	run(&t);
	assert_int_equal(t.status.code, RPC_OK);
	assert_int_equal(t.messages, 1001);
	assert_non_null(strstr(t.last, "\"bytes\":59999000"));
	assert_true(t.writable > 0);
}

static void next(void *arg)
{
	struct trial *t = arg;

	assert_int_equal(call_send(t->call, "{}", 2), 0);
}

static void finish(void *arg)
{
	call_finish(((struct trial *)arg)->call);
}

/* One message at a time, each after the answer to the one before: the pause between must not swallow one. */
static void test_ping_pong(void **state)
{
	struct trial t = {.method = "t.T/duplex", .kind = CALL_DUPLEX};
	unsigned seen = 0;

	(void)state;
	start(&t);
	for (int i = 0; i < 500; i++) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += WAIT_S;
		pthread_mutex_lock(&t.lock);
		while (t.messages <= seen)
			assert_int_equal(pthread_cond_timedwait(&t.changed, &t.lock, &until), 0);
		seen = t.messages;
		pthread_mutex_unlock(&t.lock);
		loop_post(next, &t);
	}
	loop_post(finish, &t);
	await(&t, is_ended);
	assert_true(t.status.code == RPC_OK && t.messages == 501);
}

/* Many begun at once: what each says first arrives, though it says nothing more for now. */
static void test_first_messages(void **state)
{
	static struct trial t[MANY];

	(void)state;
	for (int i = 0; i < MANY; i++) {
		t[i] = (struct trial){.method = "t.T/duplex", .kind = CALL_DUPLEX};
		start(&t[i]);
	}
	for (int i = 0; i < MANY; i++) {
		await(&t[i], has_message);
		loop_post(finish, &t[i]);
	}
}

static bool has_message_or_ended(struct trial *t)
{
	return t->messages > 0 || t->ended;
}

/*
 * Of calls that lose their connection curl begins some again by itself, on a new one, after it had taken
 * their first messages and sent nothing of them: there they have to be again. The others fail.
 */
static void test_begun_again(void **state)
{
	unsigned again = 0;

	(void)state;
	for (int i = 0; i < 20; i++) {
		struct trial shut = {.method = "t.T/shut"}, t[3];

		open_another();
		shut.endpoint = another;
		run(&shut);
		assert_int_equal(shut.status.code, RPC_OK);
		for (int k = 0; k < 3; k++) {
			t[k] = (struct trial){.method = "t.T/open",
					      .kind = CALL_DUPLEX,
					      .repeatable = i % 2,
					      .endpoint = another};
			start(&t[k]);
		}
		for (int k = 0; k < 3; k++) {
			await(&t[k], has_message_or_ended);
			again += !t[k].ended;
			if (!t[k].ended)
				loop_post(finish, &t[k]);
			await(&t[k], is_ended);
			assert_true(t[k].messages == (t[k].status.code == RPC_OK));
		}
		loop_post(close_one, another);
	}
	assert_true(again > 0);
}

/*
 * A call that is not answered yet, as a log is that says nothing, keeps others from no new connection when
 * its own takes no more.
 */
static void test_past_a_silent_one(void **state)
{
	struct trial silent = {.method = "t.T/never", .kind = CALL_SERVER_STREAM};
	struct trial leave = {.method = "t.T/leave"}, t = {.method = "t.T/echo", .timeout_ms = 30000};

	(void)state;
	open_another();
	silent.endpoint = leave.endpoint = t.endpoint = another;
	start(&silent);
	run(&leave);
	assert_int_equal(leave.status.code, RPC_OK);
	run(&t);
	assert_string_equal(t.status.message, "");
	assert_int_equal(t.status.code, RPC_OK);
	assert_false(silent.ended);
	loop_post(close_one, another);
}

static void cancel(void *arg)
{
	struct trial *t = arg;

	call_cancel(t->call);
	pthread_mutex_lock(&t->lock);
	t->ended = true;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
}

static void cancel_now(struct trial *t)
{
	cancel(t);
}

static void test_cancel(void **state)
{
	struct trial outside = {.method = "t.T/stall", .kind = CALL_SERVER_STREAM};
	struct trial inside = {.method = "t.T/stall", .kind = CALL_SERVER_STREAM, .on_message = cancel_now};

	(void)state;
	start(&outside);
	await(&outside, has_message);
	loop_post(cancel, &outside);
	await(&outside, is_ended);
	run(&inside);
	test_unary(state); /* the connection lives on */
}

/* What is given up while it comes in fast holds nothing else up. */
static void test_floods(void **state)
{
	for (int i = 0; i < 60; i++) {
		struct trial flood = {
		    .method = "t.T/flood", .kind = CALL_SERVER_STREAM, .on_message = cancel_now};
		struct trial garbage = {.method = "t.T/garbage", .kind = CALL_SERVER_STREAM};

		run(i % 2 ? &garbage : &flood);
		test_unary(state);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_unary),
	    cmocka_unit_test(test_refusals),
	    cmocka_unit_test(test_deadline),
	    cmocka_unit_test(test_slow_is_not_away),
	    cmocka_unit_test(test_nobody_there),
	    cmocka_unit_test(test_one_connection),
	    cmocka_unit_test(test_stream_ends),
	    cmocka_unit_test(test_stream_whole),
	    cmocka_unit_test(test_hold),
	    cmocka_unit_test(test_close_after_hold),
	    cmocka_unit_test(test_duplex),
	    cmocka_unit_test(test_ping_pong),
	    cmocka_unit_test(test_first_messages),
	    cmocka_unit_test(test_cancel),
	    cmocka_unit_test(test_floods),
	    cmocka_unit_test(test_begun_again),
	    cmocka_unit_test(test_past_a_silent_one),
	};

	return cmocka_run_group_tests(tests, begin_all, end_all);
}
