/* The ends of requests and of streams, of which libcurl makes a mess in several ways. */
#include "rpc_trial.h"

#include <errno.h>

#define MANY 200
#define BUSY 60

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
	    cmocka_unit_test(test_ends_among_answers),
	    cmocka_unit_test(test_sudden_ends),
	    cmocka_unit_test(test_forgotten_resets),
	    cmocka_unit_test(test_sent_ahead),
	};

	return cmocka_run_group_tests(tests, begin_all, end_all);
}
