/* Output where pipes cannot be spliced into the spool's file system: the agent reads and writes. */
#include "agent_daemon.h"

#include <sys/resource.h>

static struct daemon d;

/* Stands before the C library's. */
ssize_t splice(int in, __off64_t *in_at, int out, __off64_t *out_at, size_t len, unsigned flags)
{
	(void)in, (void)in_at, (void)out, (void)out_at, (void)len, (void)flags;
	errno = EINVAL;
	return -1;
}

static int teardown(void **state)
{
	(void)state;
	daemon_close(&d);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	daemon_open(&d, 0, 0);
	daemon_connect(&d, SPOOL_SHARED, NULL);
	return 0;
}

static void assert_numbers(struct seen *s)
{
	size_t len, at = 0;
	char *got = output(&d, s, STREAM_OUT, &len), line[16];

	for (unsigned i = 1; i <= 300000; i++) {
		int n = snprintf(line, sizeof line, "%u\n", i);

		assert_true(len - at >= (size_t)n);
		if (memcmp(got + at, line, (size_t)n))
			fail_msg("line %u is wrong", i);
		at += (size_t)n;
	}
	assert_int_equal(at, len);
	free(got);
}

static void test_bytes(void **state)
{
	struct seen s;

	(void)state;
	seen_init(&s, 1);
	start_text(&d, 1, "seq 300000");
	until_gone(&d, &s);
	assert_numbers(&s);
	seen_free(&s);
}

static void test_limit(void **state)
{
	const char *text = "seq 300000";
	struct seen s;

	(void)state;
	seen_init(&s, 1);
	start(&d, 1,
	      &(struct start){.kind = START_SHELL,
			      .spool_limit = 70000,
			      .text = (char *)text,
			      .text_len = (uint32_t)strlen(text)});
	while (!s.full[STREAM_OUT])
		until(&d, &s, MSG_GREW);
	assert_int_equal(s.size[STREAM_OUT], 70000);
	tell_number(&d, MSG_LIMIT, 1, 0, SPOOL_LIMIT, true);
	until_gone(&d, &s);
	assert_numbers(&s);
	seen_free(&s);
}

/* Bytes that were read and could not be written are held until they can. */
static void test_spool_refuses(void **state)
{
	struct rlimit old, small = {100000, RLIM_INFINITY};
	struct seen s;

	(void)state;
	seen_init(&s, 1);
	assert_int_equal(prlimit(d.agent, RLIMIT_FSIZE, &small, &old), 0);
	start_text(&d, 1, "seq 300000");
	while (!s.full[STREAM_OUT])
		until(&d, &s, MSG_GREW);
	assert_int_equal(s.size[STREAM_OUT], 100000);
	assert_false(s.exited);
	assert_int_equal(prlimit(d.agent, RLIMIT_FSIZE, &old, NULL), 0);
	until_gone(&d, &s);
	assert_numbers(&s);
	seen_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_bytes, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_spool_refuses, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
