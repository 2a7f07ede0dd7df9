/* Messages of StreamExec: what an error says of a program. */
#include "backend/aviato/exec_message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static bool lacks_shell(const char *text)
{
	struct exec_message m;
	struct buf out;
	bool lacks;

	buf_init(&out, 1000);
	assert_int_equal(exec_message_decode(text, strlen(text), &out, &out, &m), 0);
	lacks = exec_message_lacks(&m, "/bin/sh");
	buf_free(&out);
	return lacks;
}

static void test_missing_program(void **state)
{
	(void)state;
	assert_true(
	    lacks_shell("{\"error\": {\"message\": \"exec: \\\"/bin/sh\\\": stat /bin/sh: No such file or "
			"directory\"}}"));
	assert_true(lacks_shell("{\"error\": {\"code\": \"X\", \"message\": \"/bin/sh: not found\"}}"));
	assert_false(lacks_shell("{\"error\": {\"message\": \"sandbox 7 not found\"}}"));
	assert_false(lacks_shell("{\"error\": {\"message\": \"/bin/sh: out of memory\"}}"));
	assert_false(lacks_shell("{\"error\": {}}"));
	assert_false(lacks_shell("{\"exit\": {\"exitCode\": 127}}"));
	assert_false(lacks_shell("{}"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_missing_program)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
