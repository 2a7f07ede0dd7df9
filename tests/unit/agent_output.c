/* Output: byte-exact in both modes, bounded by the limit, and still there for the next daemon. */
#include "agent_daemon.h"

#include <sys/resource.h>

static struct daemon d;

static int teardown(void **state)
{
	(void)state;
	daemon_close(&d);
	return 0;
}

static int setup_shared(void **state)
{
	(void)state;
	daemon_open(&d, 0, 0);
	daemon_connect(&d, SPOOL_SHARED, NULL);
	return 0;
}

static int setup_stream(void **state)
{
	(void)state;
	daemon_open(&d, 0, 0);
	daemon_connect(&d, SPOOL_STREAM, NULL);
	return 0;
}

static void start_limited(uint32_t id, const char *text, uint64_t limit)
{
	start(&d, id,
	      &(struct start){.kind = START_SHELL,
			      .spool_limit = limit,
			      .text = (char *)text,
			      .text_len = (uint32_t)strlen(text)});
}

static void test_nul_bytes(void **state)
{
	struct seen s;
	size_t len;
	char *got;

	(void)state;
	seen_init(&s, 1);
	start_text(&d, 1, "printf 'a\\0b\\377\\n\\0'; printf '\\0' >&2");
	until_gone(&d, &s);
	got = output(&d, &s, STREAM_OUT, &len);
	assert_int_equal(len, 6);
	assert_memory_equal(got, "a\0b\377\n\0", 6);
	free(got);
	assert_int_equal(s.size[STREAM_ERR], 1);
	seen_free(&s);
}

/* Numbered lines: a lost, doubled or moved block is seen. */
#define LINES 1300000u

static void assert_lines(const char *got, size_t len)
{
	char line[16];
	size_t at = 0;

	for (unsigned i = 1; i <= LINES; i++) {
		int n = snprintf(line, sizeof line, "%u\n", i);

		assert_true(len - at >= (size_t)n);
		if (memcmp(got + at, line, (size_t)n))
			fail_msg("line %u is wrong", i);
		at += (size_t)n;
	}
	assert_int_equal(at, len);
}

static void test_ten_megabytes(void **state)
{
	struct seen s;
	size_t len;
	char *got;

	(void)state;
	seen_init(&s, 1);
	start_text(&d, 1, "seq 1300000");
	until_gone(&d, &s);
	assert_int_equal(s.outcome.kind, OUTCOME_EXITED);
	got = output(&d, &s, STREAM_OUT, &len);
	assert_lines(got, len);
	free(got);
	seen_free(&s);
}

/* At the limit nothing is dropped: the command waits until it is raised. */
static void test_limit(void **state)
{
	struct seen s;
	size_t len;
	char *got;

	(void)state;
	seen_init(&s, 1);
	start_limited(1, "seq 1300000; echo done >&2", 100000);
	while (!s.full[STREAM_OUT])
		until(&d, &s, MSG_GREW);
	assert_false(s.exited);
	assert_int_equal(s.size[STREAM_ERR], 0);
	tell_number(&d, MSG_LIMIT, 1, 0, 200000, true);
	do
		until(&d, &s, MSG_GREW);
	while (!s.full[STREAM_OUT] || s.size[STREAM_OUT] < 200000);
	assert_false(s.exited);
	tell_number(&d, MSG_LIMIT, 1, 0, SPOOL_LIMIT, true);
	until_gone(&d, &s);
	got = output(&d, &s, STREAM_OUT, &len);
	assert_lines(got, len);
	free(got);
	assert_output(&d, &s, STREAM_ERR, "done\n");
	seen_free(&s);
}

/* A command that ended while its stream was full: its exit is told, its end only with its last byte. */
static void test_full_at_exit(void **state)
{
	struct seen s;

	(void)state;
	seen_init(&s, 1);
	start_limited(1, "echo 0123456789", 4);
	until(&d, &s, MSG_EXITED);
	assert_false(s.ended[STREAM_OUT]);
	assert_true(s.full[STREAM_OUT]);
	assert_int_equal(s.size[STREAM_OUT], 4);
	tell_number(&d, MSG_LIMIT, 1, 0, 1000, true);
	until_gone(&d, &s);
	assert_output(&d, &s, STREAM_OUT, "0123456789\n");
	seen_free(&s);
}

static void test_cancel_when_full(void **state)
{
	struct seen s;

	(void)state;
	seen_init(&s, 1);
	start_limited(1, "exec yes", 1000);
	while (!s.full[STREAM_OUT])
		until(&d, &s, MSG_GREW);
	tell_number(&d, MSG_CANCEL, 1, 0, 5000, false);
	until(&d, &s, MSG_EXITED);
	assert_int_equal(s.outcome.kind, OUTCOME_CANCELED);
	assert_int_equal(s.size[STREAM_OUT], 1000);
	seen_free(&s);
}

/* Without acknowledgement no more than a window is under way, and the command runs to its end anyway. */
static void test_window(void **state)
{
	uint64_t sent = 0;
	struct frame f;
	struct seen s;
	size_t len;
	char *got;

	(void)state;
	seen_init(&s, 1);
	start_text(&d, 1, "seq 1300000");
	do {
		assert_true(next_frame(&d, &f));
		if (f.type == MSG_OUTPUT)
			sent += f.length - 8;
	} while (f.type != MSG_EXITED);
	tell_number(&d, MSG_PING, 0, 0, 1, true);
	do {
		assert_true(next_frame(&d, &f));
		if (f.type == MSG_OUTPUT)
			sent += f.length - 8;
	} while (f.type != MSG_PONG);
	assert_int_equal(sent, OUTPUT_WINDOW);
	/* From the start again, to the end. */
	want(&d, 1, 0);
	s.exited = true;
	until_gone(&d, &s);
	got = output(&d, &s, STREAM_OUT, &len);
	assert_lines(got, len);
	free(got);
	seen_free(&s);
}

/* A new daemon in the middle of a running command goes on where the old one was. */
static void test_resume_in_the_middle(void **state)
{
	const char *text = "seq 100000; read x; seq 100001 1300000";
	struct seen s;
	size_t len;
	char *got;

	(void)state;
	seen_init(&s, 1);
	start(&d, 1,
	      &(struct start){.kind = START_SHELL,
			      .input = true,
			      .text = (char *)text,
			      .text_len = (uint32_t)strlen(text)});
	while (s.size[STREAM_OUT] < 300000)
		until(&d, &s, MSG_OUTPUT);
	daemon_connect(&d, SPOOL_STREAM, &s);
	assert_true(s.known && s.report.running);
	assert_true(s.report.size[STREAM_OUT] >= s.size[STREAM_OUT]);
	tell_number(&d, MSG_WANT, 1, STREAM_OUT, s.size[STREAM_OUT], true);
	tell_number(&d, MSG_WANT, 1, STREAM_ERR, 0, true);
	tell_number(&d, MSG_INPUT_END, 1, 0, 0, true);
	until_gone(&d, &s);
	got = output(&d, &s, STREAM_OUT, &len);
	assert_lines(got, len);
	free(got);
	seen_free(&s);
}

/* Ended while nobody was connected: the report says how, and the bytes are there. */
static void test_ended_meanwhile(void **state)
{
	struct seen s;

	(void)state;
	seen_init(&s, 1);
	start_text(&d, 1, "sleep 0.2; echo late; exit 3");
	until(&d, &s, MSG_STARTED);
	daemon_drop(&d);
	do {
		seen_free(&s);
		seen_init(&s, 1);
		daemon_connect(&d, SPOOL_SHARED, &s);
		assert_true(s.known);
	} while (s.report.running);
	assert_int_equal(s.report.outcome.kind, OUTCOME_EXITED);
	assert_int_equal(s.report.outcome.value, 3);
	/* What makes no file follows the report, and then its end. */
	assert_int_equal(s.report.size[STREAM_OUT], 0);
	assert_false(s.report.ended[STREAM_OUT]);
	assert_true(s.size[STREAM_OUT] == 5 && s.ended[STREAM_OUT] && s.ended[STREAM_ERR]);
	assert_output(&d, &s, STREAM_OUT, "late\n");
	seen_free(&s);
}

/* The agent can open nothing more. */
static void take_its_descriptors(void)
{
	struct rlimit limit;
	char path[32];
	rlim_t most = 0;

	do
		snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)d.agent, (int)most);
	while (access(path, F_OK) == 0 && ++most);
	limit = (struct rlimit){most, most};
	assert_int_equal(prlimit(d.agent, RLIMIT_NOFILE, &limit, NULL), 0);
}

/* Commands may have taken every descriptor there is; what others have written is told all the same. */
static void test_no_descriptor_left(void **state)
{
	char *text = malloc(100001);
	struct seen s;

	(void)state;
	assert_non_null(text);
	memset(text, '#', 100000);
	text[100000] = '\0';
	memcpy(text, "head -c 200000 /dev/zero\n", 25);
	seen_init(&s, 1);
	start_text(&d, 1, text);
	until_gone(&d, &s);
	seen_free(&s);
	take_its_descriptors();
	seen_init(&s, 1);
	want(&d, 1, 0);
	until(&d, &s, MSG_END);
	until(&d, &s, MSG_END);
	assert_int_equal(s.size[STREAM_OUT], 200000);
	seen_free(&s);
	/* Which has the START in it, from the spool too. */
	seen_init(&s, 1);
	daemon_connect(&d, SPOOL_STREAM, &s);
	assert_true(s.known);
	want(&d, 1, 0);
	until(&d, &s, MSG_END);
	until(&d, &s, MSG_END);
	assert_int_equal(s.size[STREAM_OUT], 200000);
	seen_free(&s);
	free(text);
}

/* The START is given back as it came, also a long one. */
static void test_report_of_start(void **state)
{
	char *text = malloc(2000001);
	struct report report;
	struct frame f;
	struct seen s;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', 2000000);
	text[0] = '#';
	text[2000000] = '\0';
	seen_init(&s, 1);
	start(
	    &d, 1,
	    &(struct start){.kind = START_SHELL, .name = (char *)"long", .text = text, .text_len = 2000000});
	until_gone(&d, &s);
	raw_connect(&d);
	hello(&d, SPOOL_SHARED);
	do
		assert_true(next_frame(&d, &f));
	while (f.type != MSG_PROCESS);
	assert_int_equal(report_decode(f.payload, f.length, &report), 0);
	assert_string_equal(report.start.name, "long");
	assert_int_equal(report.start.text_len, 2000000);
	assert_memory_equal(report.start.text, text, 2000000);
	start_free(&report.start);
	free(text);
	seen_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_nul_bytes, setup_shared, teardown),
	    cmocka_unit_test_setup_teardown(test_nul_bytes, setup_stream, teardown),
	    cmocka_unit_test_setup_teardown(test_ten_megabytes, setup_shared, teardown),
	    cmocka_unit_test_setup_teardown(test_ten_megabytes, setup_stream, teardown),
	    cmocka_unit_test_setup_teardown(test_limit, setup_shared, teardown),
	    cmocka_unit_test_setup_teardown(test_full_at_exit, setup_shared, teardown),
	    cmocka_unit_test_setup_teardown(test_cancel_when_full, setup_shared, teardown),
	    cmocka_unit_test_setup_teardown(test_window, setup_stream, teardown),
	    cmocka_unit_test_setup_teardown(test_resume_in_the_middle, setup_stream, teardown),
	    cmocka_unit_test_setup_teardown(test_ended_meanwhile, setup_shared, teardown),
	    cmocka_unit_test_setup_teardown(test_no_descriptor_left, setup_stream, teardown),
	    cmocka_unit_test_setup_teardown(test_report_of_start, setup_shared, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
