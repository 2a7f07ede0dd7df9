/* A pipe that breaks while the sandbox lives on: what was lost on the way is said again, once. */
#include "core_fake.h"

#define TIMEOUT_MS 200

static unsigned asked;

static void fake_reconnect(struct backend *b, struct sandbox *s)
{
	(void)b;
	(void)s;
	asked++;
}

static int begin(void **state)
{
	static struct backend_ops ops;
	static struct backend backend = {&ops};
	const struct mount_settings settings = {.spool_limit = 1000000, .timeout_ms = TIMEOUT_MS};
	struct error err;

	(void)state;
	ops = fake_ops;
	ops.reconnect = fake_reconnect;
	return loop_start() || mount_begin(&backend, &settings, &err) || session_make("s", &err);
}

static struct start shell(const char *name)
{
	return (struct start){.kind = START_SHELL,
			      .name = (char *)name,
			      .text = (char *)"x",
			      .text_len = 1,
			      .spool_limit = 1000000};
}

/* A new connection: HELLO has been said, and nothing else. */
static void connect_again(struct sandbox *s)
{
	struct frame said;

	fake_of(s)->seen = fake_of(s)->sent.len;
	fake_connect(s, -1);
	assert_int_equal(next_said(fake_of(s), &said), MSG_HELLO);
	assert_said_nothing(fake_of(s));
	agent_welcome(fake_of(s));
}

static void lose(struct sandbox *s)
{
	unsigned before = asked;

	agent_hangs_up(fake_of(s));
	fake_settle();
	assert_false(fake_of(s)->open);
	assert_int_equal(asked, before + 1);
	assert_int_equal(fake_of(s)->stops, 0);
	assert_int_equal(s->state, SANDBOX_RUNNING);
}

static void test_lost_start_is_sent_again(void **state)
{
	struct sandbox *s = fake_running("start", -1);
	struct fake *f = fake_of(s);
	struct start start;

	(void)state;
	assert_int_equal(fake_submit(s, NULL, "one"), 0);
	assert_said_start(f, 2, &start);
	start_free(&start);
	lose(s);
	assert_int_equal(fake_submit(s, NULL, "two"), 0); /* waits */
	assert_status(s->latest, "starting");
	connect_again(s);
	agent_ready(f);
	assert_said_start(f, 2, &start);
	start_free(&start);
	assert_said_start(f, 3, &start);
	start_free(&start);
	assert_said_nothing(f);
	agent_number(f, MSG_STARTED, 2, 0, 0, 5);
	agent_exited(f, 2, OUTCOME_EXITED, 3);
	assert_status(fake_process(s, "1"), "exited 3");
}

static void test_a_known_one_is_not_sent_again(void **state)
{
	struct report r = {.running = true, .outcome.started_ns = 5, .size = {9}, .start = shell("1")};
	struct sandbox *s = fake_running("known", -1);
	struct fake *f = fake_of(s);

	(void)state;
	assert_int_equal(fake_submit(s, NULL, "one"), 0);
	agent_number(f, MSG_STARTED, 2, 0, 0, 5);
	agent_output(f, 2, STREAM_OUT, 0, "hello");
	lose(s);
	connect_again(s);
	agent_report(f, 2, &r);
	assert_said_number(f, MSG_WANT, 2, STREAM_OUT, 5);
	assert_said_number(f, MSG_WANT, 2, STREAM_ERR, 0);
	agent_ready(f);
	assert_said_nothing(f);
	agent_output(f, 2, STREAM_OUT, 5, " all");
	assert_int_equal(s->latest->streams[STREAM_OUT].size, 9);
	lose(s);
	connect_again(s);
	r.running = false;
	r.outcome = (struct outcome){OUTCOME_EXITED, 4, 5, 6, "", ""};
	agent_report(f, 2, &r);
	agent_ready(f);
	assert_status(s->latest, "exited 4");
}

/* It may have begun under the agent that is gone, and a command is not done twice. */
static void test_a_start_given_to_another_agent_is_lost(void **state)
{
	struct sandbox *s = fake_running("other", -1);
	struct fake *f = fake_of(s);
	struct start start;

	(void)state;
	assert_int_equal(fake_submit(s, NULL, "one"), 0);
	assert_said_start(f, 2, &start);
	start_free(&start);
	lose(s);
	assert_int_equal(fake_submit(s, NULL, "two"), 0); /* was given to nobody */
	f->seen = f->sent.len;
	fake_connect(s, -1);
	agent_welcome_of(f, 0, 2);
	agent_ready(f);
	assert_status(fake_process(s, "1"), "lost");
	assert_status(fake_process(s, "2"), "starting");
	f->seen += FRAME_HEADER + 17; /* HELLO */
	assert_said_start(f, 3, &start);
	start_free(&start);
	assert_said_nothing(f);
}

static void test_what_the_agent_forgot_is_lost(void **state)
{
	struct sandbox *s = fake_running("amnesia", -1);
	struct fake *f = fake_of(s);

	(void)state;
	assert_int_equal(fake_submit(s, NULL, "one"), 0);
	agent_number(f, MSG_STARTED, 2, 0, 0, 5);
	lose(s);
	connect_again(s);
	agent_ready(f);
	assert_status(s->latest, "lost");
}

static void test_what_we_forgot_is_forgotten(void **state)
{
	struct report r = {.running = true, .start = shell("gone")};
	struct sandbox *s = fake_running("forgotten", -1);
	struct fake *f = fake_of(s);
	struct frame said;

	(void)state;
	lose(s);
	connect_again(s);
	agent_report(f, 7, &r);
	assert_int_equal(next_said(f, &said), MSG_FORGET);
	assert_int_equal(said.id, 7);
	agent_ready(f);
	assert_int_equal(s->object.child_count, 0);
}

/* Bytes are sent from where the agent has them; the news that they were taken may have been lost. */
static void test_input_goes_on(void **state)
{
	struct report r = {.running = true,
			   .outcome.started_ns = 5,
			   .input_received = 3,
			   .input_taken = 3,
			   .start = shell("1")};
	struct sandbox *s = fake_running("input", -1);
	struct fake *f = fake_of(s);
	struct frame said;

	(void)state;
	assert_int_equal(fake_submit(s, NULL, "{\"command\": \"cat\", \"stdin\": true}"), 0);
	agent_number(f, MSG_STARTED, 2, 0, 0, 5);
	core_lock();
	assert_int_equal(sink_write(&s->latest->input, "abcdef", 6), 6);
	process_pump_input(s->latest);
	core_unlock();
	lose(s);
	f->seen = f->sent.len;
	core_lock();
	assert_int_equal(sink_write(&s->latest->input, "gh", 2), 2);
	process_pump_input(s->latest); /* not before it is known what arrived */
	core_unlock();
	connect_again(s);
	r.start.input = true;
	agent_report(f, 2, &r);
	f->seen = f->sent.len;
	agent_ready(f);
	assert_int_equal(next_said(f, &said), MSG_INPUT);
	assert_int_equal(said.length, 8 + 5);
	assert_memory_equal(said.payload + 8, "defgh", 5);
	assert_int_equal(s->latest->input.base, 3);
}

static void test_signals_wait(void **state)
{
	struct report r = {.running = true, .outcome.started_ns = 5, .start = shell("1")};
	struct sandbox *s = fake_running("signals", -1);
	struct fake *f = fake_of(s);
	struct error err;

	(void)state;
	assert_int_equal(fake_submit(s, NULL, "one"), 0);
	agent_number(f, MSG_STARTED, 2, 0, 0, 5);
	lose(s);
	assert_int_equal(process_signal(s->latest, 15, &err), 0);
	assert_int_equal(process_signal(s->latest, 15, &err), 0);
	connect_again(s);
	agent_report(f, 2, &r);
	f->seen = f->sent.len;
	agent_ready(f);
	assert_said_number(f, MSG_SIGNAL, 2, 0, 15);
	assert_said_nothing(f);
}

static bool is_unreachable(const struct sandbox *s)
{
	bool is;

	core_lock();
	is = s->reach.unreachable;
	core_unlock();
	return is;
}

/* Asked again and again, until the timeout commands wait, then they fail at once; then it is found. */
static void test_out_of_reach(void **state)
{
	const struct error why = {ECONNREFUSED, "AGENT_LOST", "nobody there"};
	struct sandbox *s = fake_running("far", -1);
	struct fake *f = fake_of(s);
	struct process *waiting;
	unsigned before;

	(void)state;
	lose(s);
	assert_int_equal(reconnect_since(s), 0);
	core_lock();
	before = asked;
	sandbox_unreachable(s, &why);
	core_unlock();
	assert_int_not_equal(reconnect_since(s), 0);
	assert_string_equal(s->error.reason, "AGENT_LOST");
	assert_int_equal(fake_submit(s, NULL, "one"), 0);
	waiting = s->latest;
	assert_status(waiting, "starting");
	for (int i = 0; i < 2000 && !is_unreachable(s); i++)
		poll(NULL, 0, 10);
	assert_true(is_unreachable(s));
	fake_settle();
	assert_int_equal(waiting->state, PROCESS_FAILED);
	assert_int_equal(fake_submit(s, NULL, "two"), -ETIMEDOUT);
	core_lock();
	assert_true(asked > before);
	core_unlock();
	connect_again(s);
	agent_ready(f);
	assert_false(is_unreachable(s));
	assert_int_equal(fake_submit(s, NULL, "three"), 0);
	assert_status(s->latest, "starting");
}

/* A new pipe may be as dead as the one before. */
static void test_a_new_pipe_that_says_nothing(void **state)
{
	struct sandbox *s = fake_running("mute", -1);
	struct fake *f = fake_of(s);
	bool asking = false;

	(void)state;
	lose(s);
	connect_again(s);
	for (int i = 0; i < 400 && !asking; i++) {
		poll(NULL, 0, 10);
		core_lock();
		asking = s->reach.asking;
		core_unlock();
	}
	assert_true(asking); /* for another one */
	assert_false(f->open);
	assert_int_equal(f->stops, 0);
	connect_again(s);
	agent_ready(f);
	assert_false(is_unreachable(s));
}

/* We give the connection up, in a while. */
static void await_loss(struct sandbox *s)
{
	bool lost = false;

	for (int i = 0; i < 2000 && !lost; i++) {
		core_lock();
		lost = s->reach.lost;
		core_unlock();
		poll(NULL, 0, 5);
	}
	assert_true(lost);
}

/* A pipe that takes no more is as good as broken: what was to be sent is sent on the next. */
static void test_congestion(void **state)
{
	struct sandbox *s = fake_running("full", -1);
	struct fake *f = fake_of(s);

	(void)state;
	assert_int_equal(fake_submit(s, NULL, "{\"command\": \"cat\", \"stdin\": true}"), 0);
	f->refuse = ENOBUFS;
	core_lock();
	assert_int_equal(sink_write(&s->latest->input, "abc", 3), 3);
	process_pump_input(s->latest);
	core_unlock();
	await_loss(s);
	f->refuse = 0;
	assert_int_equal(f->stops, 0);
	connect_again(s);
	agent_ready(f);
	assert_int_equal(s->latest->input.sent, 3);
}

static int on_file_answer(struct file_call *call, int error, struct file_reply *reply)
{
	(void)call;
	(void)error;
	(void)reply;
	fail();
	return 0;
}

static int on_end_of_files(struct file_call *call, int error, struct file_reply *reply)
{
	(void)call;
	assert_int_equal(error, -ESHUTDOWN);
	assert_null(reply);
	return 0;
}

/* A request about files that the pipe did not take: nobody else would notice. It goes out with the next one.
 */
static void test_congestion_of_files(void **state)
{
	struct file_request q = {.op = FILE_ACCESS, .handle = 3}, got;
	struct file_call call = {.answered = on_file_answer};
	struct sandbox *s = fake_running("files", -1);
	struct fake *f = fake_of(s);
	struct frame said;

	(void)state;
	list_init(&call.link);
	buf_init(&call.payload, 1024);
	assert_int_equal(file_call_encode(&call, &q), 0);
	f->refuse = ENOBUFS;
	core_lock();
	the_mount.settings.timeout_ms = 60000; /* else a slow machine fails it before it can go out */
	file_calls_give(link_files(s), &call);
	core_unlock();
	await_loss(s);
	f->refuse = 0;
	assert_int_equal(f->stops, 0);
	connect_again(s);
	agent_ready(f);
	assert_int_equal(next_said(f, &said), MSG_FILE);
	assert_int_equal(file_request_decode(said.payload, said.length, &got), 0);
	assert_int_equal(got.op, FILE_ACCESS);
	assert_int_equal(got.handle, 3);
	assert_int_equal(got.sequence, 1);
	assert_said_nothing(f);
	call.answered = on_end_of_files;
	core_lock();
	file_calls_end(s->files, ESHUTDOWN);
	the_mount.settings.timeout_ms = TIMEOUT_MS;
	core_unlock();
}

/* Of STARTED, OUTPUT and END the second does not come: what is missing is had over another connection. */
static void test_a_frame_that_is_missing(void **state)
{
	struct report r = {.outcome = {OUTCOME_EXITED, 0, 5, 6, "", ""}, .size = {5}, .start = shell("1")};
	struct sandbox *s = fake_running("gap", -1);
	struct fake *f = fake_of(s);
	unsigned before = asked, again = before;

	(void)state;
	assert_int_equal(fake_submit(s, NULL, "one"), 0);
	lose(s);
	fake_of(s)->seen = fake_of(s)->sent.len;
	fake_connect(s, -1);
	agent_welcome_as(f, 1);
	agent_number_as(f, 2, MSG_READY, 0, STREAM_OUT, 0, 0);
	agent_number_as(f, 3, MSG_STARTED, 2, STREAM_OUT, 0, 5);
	assert_status(s->latest, "running");
	agent_number_as(f, 5, MSG_END, 2, STREAM_OUT, 0, 5);
	assert_false(s->latest->streams[STREAM_OUT].ended);
	for (int i = 0; i < 2000 && again != before + 2; i++) {
		poll(NULL, 0, 5);
		core_lock();
		again = asked;
		core_unlock();
	}
	assert_int_equal(again, before + 2);
	fake_settle();
	assert_int_equal(f->stops, 0);
	connect_again(s);
	agent_report(f, 2, &r);
	agent_ready(f);
	agent_output(f, 2, STREAM_OUT, 0, "hello");
	agent_number(f, MSG_END, 2, STREAM_OUT, 0, 5);
	assert_true(s->latest->streams[STREAM_OUT].ended);
	assert_int_equal(s->latest->streams[STREAM_OUT].size, 5);
	assert_int_equal(s->latest->streams[STREAM_OUT].failure, 0);
}

/* From an agent that does not count: no end before its bytes. */
static void test_an_end_without_its_bytes(void **state)
{
	struct sandbox *s = fake_running("short", -1);
	struct fake *f = fake_of(s);

	(void)state;
	assert_int_equal(fake_submit(s, NULL, "one"), 0);
	agent_number(f, MSG_STARTED, 2, 0, 0, 5);
	agent_number(f, MSG_END, 2, STREAM_OUT, 0, 5);
	assert_int_equal(s->latest->streams[STREAM_OUT].failure, EPROTO);
	agent_output(f, 2, STREAM_ERR, 3, "late");
	assert_int_equal(s->latest->streams[STREAM_ERR].failure, EPROTO);
	agent_exited(f, 2, OUTCOME_EXITED, 0);
}

static void test_a_late_pipe_is_closed(void **state)
{
	struct sandbox *s = fake_running("late", -1);
	struct fake *f = fake_of(s);

	(void)state;
	lose(s);
	sandbox_stop(s, 0);
	fake_connect(s, -1);
	assert_false(f->open);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lost_start_is_sent_again),
	    cmocka_unit_test(test_a_known_one_is_not_sent_again),
	    cmocka_unit_test(test_a_start_given_to_another_agent_is_lost),
	    cmocka_unit_test(test_what_the_agent_forgot_is_lost),
	    cmocka_unit_test(test_what_we_forgot_is_forgotten),
	    cmocka_unit_test(test_input_goes_on),
	    cmocka_unit_test(test_signals_wait),
	    cmocka_unit_test(test_out_of_reach),
	    cmocka_unit_test(test_a_new_pipe_that_says_nothing),
	    cmocka_unit_test(test_congestion),
	    cmocka_unit_test(test_congestion_of_files),
	    cmocka_unit_test(test_a_frame_that_is_missing),
	    cmocka_unit_test(test_an_end_without_its_bytes),
	    cmocka_unit_test(test_a_late_pipe_is_closed),
	};

	return cmocka_run_group_tests(tests, begin, fake_finish);
}
