/* The connection: whatever it does or sends, processes live on; and how the agent itself ends. */
#include "agent_daemon.h"

static struct daemon d;

static int setup(void **state)
{
	(void)state;
	daemon_open(&d, 0, 0);
	daemon_connect(&d, SPOOL_SHARED, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	daemon_close(&d);
	return 0;
}

/* The agent says why, in words, and closes. */
static void assert_refused(void)
{
	struct frame f;

	do
		assert_true(next_frame(&d, &f));
	while (f.type != MSG_REFUSED);
	assert_true(f.length > 8);
	assert_false(next_frame(&d, &f));
}

static void assert_still_running(struct seen *s)
{
	s->known = false;
	daemon_connect(&d, SPOOL_SHARED, s);
	assert_true(s->known && s->report.running);
}

static void send_frame(enum message type, uint32_t id, uint8_t stream, const void *payload, uint32_t len)
{
	struct buf b = {.data = (char *)payload, .len = len, .cap = len, .max = len};

	tell(&d, type, id, stream, &b);
}

static void test_garbage(void **state)
{
	static const uint8_t zeros[64];
	struct seen s;

	(void)state;
	seen_init(&s, 1);
	start_text(&d, 1, "exec sleep 100");
	until(&d, &s, MSG_STARTED);

	raw_connect(&d);
	raw_send(&d, "GET / HTTP/1.1\r\n\r\n", 18);
	assert_refused();
	raw_connect(&d);
	send_frame(MSG_PING, 0, 0, zeros, 8);
	assert_refused();
	raw_connect(&d);
	send_frame(MSG_HELLO, 0, 0, zeros, 9);
	assert_refused();
	assert_still_running(&s);

	const struct {
		enum message type;
		uint8_t stream;
		uint32_t len;
	} bad[] = {
	    {MSG_HELLO, 0, 9},	  {MSG_START, 0, 0},	     {MSG_START, 0, 64},      {MSG_INPUT, 0, 7},
	    {MSG_SIGNAL, 0, 4},	  {MSG_SIGNAL, 0, 3},	     {MSG_CANCEL, 0, 5},      {MSG_LIMIT, 0, 4},
	    {MSG_WANT, 0, 8},	  {MSG_HAVE, 0, 8},	     {MSG_PING, 0, 0},	      {MSG_INPUT_END, 0, 9},
	    {MSG_WELCOME, 0, 16}, {(enum message)255, 0, 0}, {(enum message)0, 0, 0}, {MSG_FORGET, 0, 1},
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		send_frame(bad[i].type, 1, bad[i].stream, zeros, bad[i].len);
		assert_refused();
		assert_still_running(&s);
	}
	/* A frame that never ends. */
	raw_send(&d, "\xff\xff\xff\x00\x02", 5);
	assert_refused();
	assert_still_running(&s);
	seen_free(&s);
}

static void test_stream_mode_garbage(void **state)
{
	static const uint8_t far[8] = {0, 0, 0, 1};
	struct seen s;

	(void)state;
	seen_init(&s, 1);
	start_text(&d, 1, "exec sleep 100");
	until(&d, &s, MSG_STARTED);
	daemon_connect(&d, SPOOL_STREAM, NULL);
	send_frame(MSG_WANT, 1, 0, far, 8);
	assert_refused();
	daemon_connect(&d, SPOOL_STREAM, NULL);
	send_frame(MSG_WANT, 1, 2, "\0\0\0\0\0\0\0", 8);
	assert_refused();
	daemon_connect(&d, SPOOL_STREAM, NULL);
	send_frame(MSG_HAVE, 1, 0, "\0\0\0\0\0\0\0", 8);
	assert_refused();
	assert_still_running(&s);
	seen_free(&s);
}

/* The successor of a killed daemon does not wait for its connection to be noticed as dead. */
static void test_newest_connection_counts(void **state)
{
	struct frame f;
	int old;

	(void)state;
	old = d.fd;
	d.fd = -1;
	daemon_connect(&d, SPOOL_SHARED, NULL);
	tell_number(&d, MSG_PING, 0, 0, 7, true);
	do
		assert_true(next_frame(&d, &f));
	while (f.type == MSG_STILL);
	assert_int_equal(f.type, MSG_PONG);
	assert_int_equal(frame_u64(&f), 7);
	assert_int_equal(read(old, &f, 1), 0);
	close(old);
}

/* A daemon that asks and never reads is not answered without bound, and harms nobody. */
static void test_deaf_daemon(void **state)
{
	static char pings[20 * 4096];
	struct seen s;

	(void)state;
	for (size_t i = 0; i < 4096; i++) {
		frame_header(&(struct frame){.type = MSG_PING, .length = 8}, (uint8_t *)pings + i * 20);
		memset(pings + i * 20 + 12, 1, 8);
	}
	seen_init(&s, 1);
	start_text(&d, 1, "exec sleep 100");
	until(&d, &s, MSG_STARTED);
	while (send(d.fd, pings, sizeof pings, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof pings)
		poll(NULL, 0, 1);
	assert_still_running(&s);
	seen_free(&s);
}

static void test_too_many(void **state)
{
	struct seen s;

	(void)state;
	/* Processes that cannot start cost little, and count until they are forgotten. */
	for (uint32_t i = 1; i <= PROCESSES_MAX; i++) {
		seen_init(&s, i);
		start(&d, i, &(struct start){.kind = START_SHELL, .cwd = (char *)"/no/such/dir"});
		until_gone(&d, &s);
		assert_string_equal(s.outcome.reason, "CWD");
	}
	seen_init(&s, 9999);
	start_text(&d, 9999, "echo no");
	until(&d, &s, MSG_EXITED);
	assert_int_equal(s.outcome.kind, OUTCOME_FAILED);
	assert_string_equal(s.outcome.reason, "TOO_MANY_PROCESSES");
	tell(&d, MSG_FORGET, 17, 0, NULL);
	seen_init(&s, 10000);
	start_text(&d, 10000, "echo yes");
	until_gone(&d, &s);
	assert_output(&d, &s, STREAM_OUT, "yes\n");
	seen_free(&s);
}

static void read_bye(const char *why)
{
	struct frame f;

	do
		assert_true(next_frame(&d, &f));
	while (f.type != MSG_BYE);
	assert_int_equal(f.length, 4 + strlen(why));
	assert_memory_equal(f.payload + 4, why, strlen(why));
	assert_false(next_frame(&d, &f));
}

static void assert_agent_ends(void)
{
	int status;

	assert_int_equal(waitpid(d.agent, &status, 0), d.agent);
	assert_int_equal(status, 0);
	d.agent = 0;
}

static void test_shutdown(void **state)
{
	struct seen s;

	(void)state;
	seen_init(&s, 1);
	start_text(&d, 1, "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done");
	until(&d, &s, MSG_GREW);
	tell_number(&d, MSG_SHUTDOWN, 0, 0, 10000, false);
	until_gone(&d, &s);
	assert_int_equal(s.outcome.value, 5);
	assert_output(&d, &s, STREAM_OUT, "ready\nbye\n");
	read_bye("SHUTDOWN");
	assert_agent_ends();
	seen_free(&s);
}

static void test_shutdown_kills(void **state)
{
	struct seen s;

	(void)state;
	seen_init(&s, 1);
	start_text(&d, 1, "trap '' TERM; echo ready; while :; do sleep 1; done");
	until(&d, &s, MSG_GREW);
	tell_number(&d, MSG_SHUTDOWN, 0, 0, 100, false);
	until_gone(&d, &s);
	assert_int_equal(s.outcome.kind, OUTCOME_CANCELED);
	read_bye("SHUTDOWN");
	assert_agent_ends();
	seen_free(&s);
}

static int setup_lifetime(void **state)
{
	(void)state;
	daemon_open(&d, 0, 300);
	daemon_connect(&d, SPOOL_SHARED, NULL);
	return 0;
}

static void test_lifetime(void **state)
{
	struct seen s;

	(void)state;
	seen_init(&s, 1);
	start_text(&d, 1, "exec sleep 100");
	until_gone(&d, &s);
	assert_int_equal(s.outcome.kind, OUTCOME_CANCELED);
	read_bye("LIFETIME");
	assert_agent_ends();
	seen_free(&s);
}

static void until_still(uint64_t starts)
{
	struct frame f;

	do
		assert_true(next_frame(&d, &f));
	while (f.type != MSG_STILL);
	assert_int_equal(frame_u64(&f), starts);
}

/* Nobody else's frames matter here; but STILL must not be among those that come before the answer. */
static void assert_not_still(void)
{
	struct frame f;

	tell_number(&d, MSG_PING, 0, 0, 1, true);
	do {
		assert_true(next_frame(&d, &f));
		assert_int_not_equal(f.type, MSG_STILL);
	} while (f.type != MSG_PONG);
}

/* What a command leaves behind counts, however it got away; each word says how many starts it knows of. */
static void test_still(void **state)
{
	char *left_behind;
	struct seen s;
	size_t len;

	(void)state;
	until_still(0);
	seen_init(&s, 1);
	start_text(&d, 1, "(setsid sleep 1000 & echo $!) 2>&1 </dev/null; exit 3");
	until(&d, &s, MSG_EXITED);
	assert_not_still();
	left_behind = output(&d, &s, STREAM_OUT, &len);
	daemon_connect(&d, SPOOL_SHARED, NULL);
	assert_not_still();
	assert_true(atoi(left_behind) > 1);
	kill(atoi(left_behind), SIGKILL);
	free(left_behind);
	until_still(0); /* none came over this connection */
	seen_free(&s);
	seen_init(&s, 2);
	start_text(&d, 2, "exec cat /nowhere");
	until(&d, &s, MSG_EXITED);
	until_still(1);
	/* Neither one that cannot be started, nor one that is known, changes anything; but they were heard
	 * of. */
	start(&d, 3,
	      &(struct start){
		  .kind = START_SHELL, .cwd = (char *)"/nowhere", .text = (char *)"true", .text_len = 4});
	until_still(2);
	start_text(&d, 2, "exec cat /nowhere");
	until_still(3);
	seen_free(&s);
}

static int setup_orphan(void **state)
{
	(void)state;
	daemon_open(&d, 300, 0);
	daemon_connect(&d, SPOOL_SHARED, NULL);
	return 0;
}

static void test_orphan(void **state)
{
	struct seen s;

	(void)state;
	seen_init(&s, 1);
	start_text(&d, 1, "exec sleep 0.6");
	/* While somebody is connected its clock stands still. */
	until_gone(&d, &s);
	assert_int_equal(s.outcome.kind, OUTCOME_EXITED);
	daemon_drop(&d);
	assert_agent_ends();
	seen_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_stream_mode_garbage, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_newest_connection_counts, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_still, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_deaf_daemon, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_shutdown, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_shutdown_kills, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_lifetime, setup_lifetime, teardown),
	    cmocka_unit_test_setup_teardown(test_orphan, setup_orphan, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
