/* Calls that are answered before the service has the whole request: what libcurl makes of that, and we of it.
 */
#include "rpc_trial.h"

#include <errno.h>

#define MANY 200

/*
 * A request that is larger than what is sent without the server's leave is answered
 * before all of it is there. libcurl loses some of these answers, which is told; what
 * is not lost is the server's word, and nothing waits.
 */
static void test_early_answers(void **state)
{
	static const struct {
		const char *method;
		enum rpc_code code;
	} cases[] = {{"t.T/early", RPC_RESOURCE_EXHAUSTED}, {"t.T/hasty", RPC_OK}, {"t.T/unheard", RPC_OK}};
	const char *request = large_request();

	(void)state;
	for (int i = 0; i < 60; i++) {
		struct trial t = {.method = cases[i % 3].method, .request = request};

		run(&t);
		assert_int_equal(t.status.transport, 0);
		if (t.status.code == RPC_UNAVAILABLE)
			assert_non_null(strstr(t.status.message, "answered before"));
		else
			assert_int_equal(t.status.code, cases[i % 3].code);
	}
}

/*
 * As a proxy does that refuses, or a server that is fast. On a connection of their own: libcurl resets each
 * stream that was answered early, and a server gives up a connection with very many of those.
 */
static void test_quick_answers(void **state)
{
	(void)state;
	open_another();
	for (int i = 0; i < 300; i++) {
		struct trial unary = {.method = "t.T/quick", .timeout_ms = 30000, .endpoint = another};
		struct trial stream = {.method = "t.T/quicker",
				       .kind = CALL_SERVER_STREAM,
				       .timeout_ms = 30000,
				       .endpoint = another};
		struct trial duplex = {
		    .method = "t.T/quicker", .kind = CALL_DUPLEX, .timeout_ms = 30000, .endpoint = another};
		struct trial *const all[] = {&unary, &stream, &duplex};

		run(all[i % 3]);
		assert_int_equal(all[i % 3]->status.code, RPC_OK);
		assert_int_equal(all[i % 3]->messages, 1);
	}
	loop_post(close_one, another);
}

#define BUSY 60

/*
 * The answer is there while the last of the request goes out, among others that fill the connection: that
 * both have ended is seen, and not only when the time is over.
 */
static void test_answers_before_the_last_byte(void **state)
{
	const char *request = large_request();
	static struct trial t[BUSY];

	(void)state;
	for (int round = 0; round < 5; round++) {
		open_another();
		for (int i = 0; i < BUSY; i++) {
			t[i] = (struct trial){.method = "t.T/quick",
					      .request = request,
					      .timeout_ms = 50000,
					      .endpoint = another};
			if (i % 2) {
				t[i].method = "t.T/count";
				t[i].kind = CALL_SERVER_STREAM;
				t[i].request = "{\"count\":20,\"size\":20000}";
			}
			start(&t[i]);
		}
		for (int i = 0; i < BUSY; i++) {
			await(&t[i], is_ended);
			assert_int_not_equal(t[i].status.code, RPC_DEADLINE_EXCEEDED);
		}
		loop_post(close_one, another);
	}
}

/* What is asked again, as its answer came too early, has one deadline for all of that. */
static void test_one_deadline(void **state)
{
	const char *request = large_request();
	struct trial t[4];

	(void)state;
	for (int i = 0; i < 4; i++) {
		t[i] = (struct trial){.method = "t.T/tardy", .request = request, .timeout_ms = 1000};
		start(&t[i]);
	}
	for (int i = 0; i < 4; i++) {
		await(&t[i], is_ended);
		if (t[i].status.code != RPC_OK)
			assert_int_equal(t[i].status.code, RPC_DEADLINE_EXCEEDED);
	}
}

/* Calls of all kinds that are answered at once, some twenty at a time, over `another`. */
static void start_swift(struct trial *t, int count)
{
	static const enum call_kind kinds[] = {CALL_UNARY, CALL_SERVER_STREAM, CALL_DUPLEX};

	for (int i = 0; i < count; i++) {
		t[i] = (struct trial){.method = i % 3 ? "t.T/swift" : "t.T/swift_unary",
				      .kind = kinds[i % 3],
				      .repeatable = true,
				      .endpoint = another};
		start(&t[i]);
		if (i % 20 == 19)
			await(&t[i - 10], is_ended);
	}
}

static void assert_answered_swiftly(const struct trial *t, int i)
{
	if (!is_lost_answer(&t[i].status))
		assert_int_equal(t[i].status.code, i % 3 ? RPC_RESOURCE_EXHAUSTED : RPC_UNAUTHENTICATED);
}

/* What the service says before it has got the request ends the call, whatever overtakes what. */
static void test_swift_answers(void **state)
{
	static struct trial t[2 * MANY];

	(void)state;
	open_another();
	start_swift(t, 2 * MANY);
	for (int i = 0; i < 2 * MANY; i++) {
		await(&t[i], is_ended);
		assert_int_equal(t[i].status.transport, 0);
		assert_answered_swiftly(t, i);
	}
	loop_post(close_one, another);
}

#define RESETS 3000

/*
 * So many early answers that the server, which takes their resets for an attack, says GOAWAY, again and
 * again: other calls find the next connection, also while the last one still carries something.
 */
static void test_given_up_connections(void **state)
{
	static struct trial t[RESETS];
	unsigned lost = 0;

	(void)state;
	open_another();
	start_swift(t, RESETS);
	for (int i = 0; i < RESETS; i++) {
		await(&t[i], is_ended);
		assert_false(t[i].status.unreachable);
		lost += t[i].status.transport == ECONNRESET;
		if (t[i].status.transport != ECONNRESET)
			assert_answered_swiftly(t, i);
	}
	assert_true(lost < RESETS / 100); /* what may have got there is not asked twice */
	loop_post(close_one, another);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_early_answers),
	    cmocka_unit_test(test_quick_answers),
	    cmocka_unit_test(test_answers_before_the_last_byte),

	    cmocka_unit_test(test_one_deadline),
	    cmocka_unit_test(test_swift_answers),

	    cmocka_unit_test(test_given_up_connections),

	};

	return cmocka_run_group_tests(tests, begin_all, end_all);
}
