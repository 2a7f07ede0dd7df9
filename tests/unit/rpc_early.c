/* Calls that are answered before the service has the whole request: what libcurl makes of that, and we of it.
 */
#include "rpc_trial.h"

#include <errno.h>

#define MANY 200

/* Larger than what HTTP/2 lets through before the server asks for more. */
static const char *large_request(void)
{
	static char request[400000] = "{\"a\":\"";

	memset(request + 6, 'x', sizeof request - 9);
	strcpy(request + sizeof request - 3, "\"}");
	return request;
}

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
					      .timeout_ms = 10000,
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

static void begin_and_finish(void *arg)
{
	begin(arg);
	call_finish(((struct trial *)arg)->call);
}

/*
 * As commands that want no input: their requests end at once, while much comes for others, of which no byte
 * gets in front of another.
 */
static void test_ends_among_answers(void **state)
{
	static const char *const methods[] = {"t.T/quick", "t.T/count", "t.T/duplex", "t.T/quick"};
	static const enum call_kind kinds[] = {CALL_UNARY, CALL_SERVER_STREAM, CALL_DUPLEX, CALL_UNARY};
	const char *const requests[] = {large_request(), "{\"count\":20,\"size\":20000}", NULL,
					large_request()};
	static struct trial t[BUSY];

	(void)state;
	for (int round = 0; round < 50; round++) {
		open_another();
		for (int i = 0; i < BUSY; i++) {
			t[i] = (struct trial){.method = methods[i % 4],
					      .kind = kinds[i % 4],
					      .request = requests[i % 4],
					      .endpoint = another};
			start_by(&t[i], i % 4 == 2 ? begin_and_finish : begin);
			usleep((useconds_t)(i * 7 % 300));
		}
		for (int i = 0; i < BUSY; i++) {
			await(&t[i], is_ended);
			assert_int_not_equal(t[i].status.code, RPC_INTERNAL);
			assert_true(t[i].in_order);
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

/* libcurl loses what is said so early, in so many attempts as are made of it: then that is what is told. */
static bool is_lost_answer(const struct rpc_status *s)
{
	return s->code == RPC_UNAVAILABLE && strstr(s->message, "its answer is lost");
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

/* An end that comes all at once, while the request is still open: it is heard, or it is heard that it was
 * lost. */
static void test_sudden_ends(void **state)
{
	static const char *const methods[] = {"t.T/swift", "t.T/parting"};
	static struct trial t[MANY];

	(void)state;
	open_another();
	for (int i = 0; i < MANY; i++) {
		t[i] = (struct trial){
		    .method = methods[i % 2], .kind = CALL_DUPLEX, .persistent = true, .endpoint = another};
		run(&t[i]);
		if (is_lost_answer(&t[i].status))
			continue;
		assert_int_equal(t[i].status.code, RPC_RESOURCE_EXHAUSTED);
		assert_int_equal(t[i].messages, i % 2 ? 2 : 0);
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

/*
 * Streams that are reset among the data of another, when the first bytes of their next messages are used up:
 * libcurl forgets these resets.
 */
static void test_forgotten_resets(void **state)
{
	static struct trial t[MANY];
	struct trial disturb = {.method = "t.T/disturb", .kind = CALL_SERVER_STREAM};

	(void)state;
	open_another();
	disturb.endpoint = another;
	for (int i = 0; i < MANY; i++) {
		t[i] = (struct trial){
		    .method = "t.T/silent", .kind = CALL_DUPLEX, .persistent = true, .endpoint = another};
		start(&t[i]);
	}
	sleep(3);
	run(&disturb);
	assert_int_equal(disturb.status.code, RPC_OK);
	for (int i = 0; i < MANY; i++) {
		await(&t[i], is_ended);
		assert_int_equal(t[i].status.code, RPC_UNAVAILABLE);
	}
	loop_post(close_one, another);
}

static void send_room(void *arg)
{
	struct trial *t = arg;
	size_t room = call_room(t->call);
	char *text = malloc(room + 1);

	assert_in_range(room, CALL_ROOM_MIN, CALL_MESSAGE_MAX - 1);
	memset(text, 'y', room + 1);
	assert_int_equal(call_send(t->call, text, room + 1), -EFBIG);
	memcpy(text, "{\"data\":\"", 9);
	memcpy(text + room - 2, "\"}", 2);
	assert_int_equal(call_send(t->call, text, room), 0);
	free(text);
	assert_int_equal(call_room(t->call), CALL_MESSAGE_MAX);
	assert_int_equal(call_send(t->call, "{}", 2), 0);
	call_finish(t->call);
}

/* What was sent of a message before there was one is part of it: here its size, and there blanks as well. */
static void test_sent_ahead(void **state)
{
	struct trial size = {.method = "t.T/gather", .kind = CALL_DUPLEX, .persistent = true};
	struct trial blanks = size;

	(void)state;
	start(&size);
	start(&blanks);
	sleep(5); /* a byte every 2 s, as there are others that came for nobody */
	loop_post(send_room, &size);
	await(&size, is_ended);
	assert_non_null(strstr(size.last, "\"count\":3,\"bytes\":4085"));
	sleep(8);
	loop_post(send_room, &blanks);
	await(&blanks, is_ended);
	assert_non_null(strstr(blanks.last, "\"count\":3,\"bytes\":408"));
	assert_null(strstr(blanks.last, "4085"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_early_answers),
	    cmocka_unit_test(test_quick_answers),
	    cmocka_unit_test(test_answers_before_the_last_byte),
	    cmocka_unit_test(test_ends_among_answers),
	    cmocka_unit_test(test_one_deadline),
	    cmocka_unit_test(test_swift_answers),
	    cmocka_unit_test(test_sudden_ends),
	    cmocka_unit_test(test_given_up_connections),
	    cmocka_unit_test(test_forgotten_resets),
	    cmocka_unit_test(test_sent_ahead),
	};

	return cmocka_run_group_tests(tests, begin_all, end_all);
}
