/* Calls of a remote function, with agents that answer when the test says so. */
#include "core_fake.h"

#include "core/function/answer.h"
#include "core/function/calls.h"
#include "core/function/function.h"
#include "core/waiter.h"

#define FIRST_ID 2 /* the agent's number for a sandbox's first command */

static struct function *new_function(const char *name, const char *source)
{
	struct function *f;
	struct error err;

	assert_int_equal(function_make(fake_session(), name, &err), 0);
	f = function_find(fake_session(), name);
	assert_int_equal(function_set_source(f, source, &err), 0);
	return f;
}

/* The sandbox of the n-th call that was begun, counted from 0; NULL when it was not. Kept until it is over.
 */
static struct sandbox *sandbox_of(struct function *f, unsigned n)
{
	char name[NAME_MAX_BYTES + 32];

	snprintf(name, sizeof name, ".%s.%u", f->object.name, n + 1);
	return (struct sandbox *)object_child(&f->object, name);
}

static void boot(struct sandbox *s)
{
	fake_connect(s, -1);
	agent_welcome(fake_of(s));
	agent_ready(fake_of(s));
	assert_int_equal(s->state, SANDBOX_RUNNING);
}

/* All the backend has to say of one that is not wanted any more. */
static void finish(struct sandbox *s)
{
	sandbox_ended(s, END_TERMINATED, NULL);
	sandbox_removed(s);
	fake_settle();
}

/* The process of that call prints this and exits. */
static void answer(struct function *f, unsigned n, const char *text, uint32_t code)
{
	struct sandbox *s = sandbox_of(f, n);

	assert_non_null(s);
	boot(s);
	agent_output(fake_of(s), FIRST_ID, STREAM_OUT, 0, text);
	agent_number(fake_of(s), MSG_END, FIRST_ID, STREAM_OUT, 0, strlen(text));
	agent_number(fake_of(s), MSG_END, FIRST_ID, STREAM_ERR, 0, 0);
	agent_exited(fake_of(s), FIRST_ID, OUTCOME_EXITED, code);
	fake_settle();
	assert_false(s->object.listed);
	finish(s);
}

static void write_text(struct calls *c, const char *text)
{
	struct error err;

	assert_int_equal(calls_write(c, text, strlen(text), &err), strlen(text));
	fake_settle();
}

/* What can be read now; "" for end of file, "(wait)" where a read would. */
static const char *read_text(struct calls *c)
{
	static char text[4096];
	struct error err;
	const char *data;
	uint64_t off;
	int fd = -1;
	ssize_t n = calls_read(c, sizeof text - 1, &off, &fd, &data, &err);

	fake_settle();
	if (n == -EAGAIN)
		return "(wait)";
	if (n < 0)
		return strerrorname_np((int)-n);
	if (n && data)
		memcpy(text, data, (size_t)n);
	else if (n)
		assert_int_equal(pread(fd, text, (size_t)n, (off_t)off), n);
	text[n] = '\0';
	calls_advance(c, off + (uint64_t)n);
	return text;
}

static void test_order(void **state)
{
	struct function *f = new_function("order", "#!x");
	struct calls *c = calls_new(f, true);
	struct error err;

	(void)state;
	assert_int_equal(function_set_parallel(f, "3\n", &err), 0);
	write_text(c, "1\n2\n\nno\n");
	write_text(c, "3\n4");
	write_text(c, "4\n5");
	assert_string_equal(read_text(c), "(wait)");
	assert_non_null(sandbox_of(f, 2));
	assert_null(sandbox_of(f, 3)); /* three at once */
	answer(f, 2, "30", 0);
	assert_non_null(sandbox_of(f, 3));
	answer(f, 1, "{\"a\":\n20}\n", 0);
	assert_string_equal(read_text(c), "(wait)"); /* for the first */
	answer(f, 0, "10", 0);
	assert_string_equal(read_text(c), "10\n{\"a\": 20}\n"
					  "{\"error\": {\"type\": \"INVALID_JSON\", \"message\": "
					  "\"not valid JSON at byte 1\"}}\n30\n");
	answer(f, 3, "40", 0);
	assert_string_equal(read_text(c), "40\n");
	assert_string_equal(read_text(c), "(wait)"); /* the line without an end was taken by a read */
	answer(f, 4, "50", 2);
	assert_string_equal(read_text(c),
			    "{\"error\": {\"type\": \"EXITED\", \"message\": \"it exited with 2\", "
			    "\"exit_code\": 2}}\n");
	assert_string_equal(read_text(c), "");
	assert_null(sandbox_of(f, 5));
	calls_free(c);
	function_drop(f);
}

static void test_text_of_a_call(void **state)
{
	struct function *f = new_function("text", "#!x");
	struct calls *c = calls_new(f, false);
	struct error err = {0};
	char *large = malloc(9u << 20);

	(void)state;
	write_text(c, " {\"a\": ");
	assert_int_equal(calls_commit(c, false, &err), 0); /* it may go on */
	assert_null(sandbox_of(f, 0));
	write_text(c, "1} ");
	assert_int_equal(calls_commit(c, false, &err), 0);
	assert_non_null(sandbox_of(f, 0));
	answer(f, 0, "1", 0);
	assert_string_equal(read_text(c), "1\n");
	assert_string_equal(read_text(c), "");
	write_text(c, "[1");
	assert_string_equal(read_text(c), "EINVAL");
	assert_string_equal(read_text(c), "EINVAL");
	write_text(c, " \n");
	assert_string_equal(read_text(c), "");
	write_text(c, "[1]]");
	assert_int_equal(calls_commit(c, false, &err), -EINVAL);
	assert_string_equal(err.reason, "INVALID_JSON");
	/* All of a text that is too long is. */
	memset(large, ' ', 9u << 20);
	assert_int_equal(calls_write(c, large, 9u << 20, &err), -EFBIG);
	assert_int_equal(calls_write(c, "1", 1, &err), -EFBIG);
	assert_string_equal(read_text(c), "EFBIG");
	write_text(c, "2");
	assert_string_equal(read_text(c), "(wait)");
	answer(f, 1, "2", 0);
	assert_string_equal(read_text(c), "2\n");
	assert_int_equal(function_set_source(f, "", &err), 0);
	assert_int_equal(calls_write(c, "1", 1, &err), -EINVAL);
	assert_string_equal(err.reason, "NO_SOURCE");
	function_drop(f);
	assert_int_equal(calls_write(c, "1", 1, &err), -ESHUTDOWN);
	calls_free(c);
	free(large);
}

/* Stdin of what runs: the text and a newline; for Python the source before it. */
static void test_input(void **state)
{
	struct function *script = new_function("script", "#!/bin/sh\n"),
			*python = new_function("python", "def");
	const struct {
		struct function *f;
		const char *input;
		int kind;
	} all[] = {{script, "[1]\n", START_SCRIPT}, {python, "3\ndef[1]\n", START_ARGV}};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct calls *c = calls_new(all[i].f, true);
		struct buf input;
		struct frame said;
		struct start start;
		struct sandbox *s;

		buf_init(&input, 1000);
		write_text(c, "[1]\n");
		s = sandbox_of(all[i].f, 0);
		fake_connect(s, -1);
		agent_welcome(fake_of(s));
		fake_of(s)->seen = fake_of(s)->sent.len;
		agent_ready(fake_of(s));
		assert_said_start(fake_of(s), FIRST_ID, &start);
		assert_int_equal(start.kind, all[i].kind);
		assert_true(start.input);
		if (start.kind == START_ARGV)
			assert_string_equal(start.argv[3], "python");
		start_free(&start);
		while (next_said(fake_of(s), &said) == MSG_INPUT)
			assert_int_equal(buf_append(&input, said.payload + 8, said.length - 8), 0);
		assert_int_equal(said.type, MSG_INPUT_END);
		assert_string_equal(buf_text(&input), all[i].input);
		buf_free(&input);
		calls_free(c); /* while it runs */
		fake_settle();
		assert_false(s->object.listed);
		assert_int_equal(fake_of(s)->stops, 1);
		finish(s);
		function_drop(all[i].f);
	}
}

static void on_wake(struct waiter *w)
{
	w->run = NULL;
}

static void test_writers_wait(void **state)
{
	struct function *f = new_function("many", "#!x");
	struct calls *c = calls_new(f, true);
	struct waiter w = {.run = on_wake};
	struct sandbox *s;
	struct error err;
	char lines[4096];

	(void)state;
	assert_int_equal(function_set_parallel(f, "1", &err), 0);
	for (size_t i = 0; i < sizeof lines; i++)
		lines[i] = i % 2 ? '\n' : '7';
	assert_int_equal(calls_write(c, lines, sizeof lines, &err), 2 * (1 + 1024)); /* one runs */
	assert_int_equal(calls_write(c, lines, sizeof lines, &err), -EAGAIN);
	assert_false(calls_writable(c));
	fake_settle();
	list_append(&c->waiters, &w.link);
	answer(f, 0, "1", 0);
	assert_null(w.run);
	assert_true(calls_writable(c));
	assert_int_equal(calls_write(c, lines, sizeof lines, &err), 2);
	/* Lines that are no JSON have their answers, and these wait. */
	answer(f, 1, "1", 0);
	answer(f, 2, "1", 0);
	memset(lines, '\n', sizeof lines);
	for (size_t i = 0; i < sizeof lines; i += 2)
		lines[i] = 'x';
	assert_int_equal(calls_write(c, lines, sizeof lines, &err), 4);
	assert_int_equal(calls_write(c, lines, sizeof lines, &err), -EAGAIN);
	s = sandbox_of(f, 3);
	function_drop(f); /* what runs is canceled, what waits is refused */
	finish(s);
	assert_int_equal(c->waiting + c->running, 0);
	calls_free(c);
	fake_settle();
}

static void test_removed_while_it_runs(void **state)
{
	struct function *f = new_function("gone", "#!x");
	struct calls *c = calls_new(f, true);
	struct sandbox *s;

	(void)state;
	write_text(c, "1\n");
	s = sandbox_of(f, 0);
	boot(s);
	function_drop(f);
	assert_false(s->object.listed);
	finish(s);
	assert_string_equal(read_text(c),
			    "{\"error\": {\"type\": \"CANCELED\", \"message\": \"its sandbox was "
			    "stopped\"}}\n");
	calls_free(c);
}

static void test_pool(void **state)
{
	struct function *f = new_function("pool", "#!x");
	struct sandbox *first, *second, *third;
	struct error err;

	(void)state;
	assert_int_equal(function_set_pool(f, "65", &err), -EINVAL);
	assert_int_equal(function_set_pool(f, "2", &err), 0);
	first = sandbox_of(f, 0);
	second = sandbox_of(f, 1);
	assert_true(first->idle && second->idle && !sandbox_of(f, 2));
	boot(second);
	assert_ptr_equal(function_sandbox(f, &err), second); /* it runs already */
	third = sandbox_of(f, 2);
	assert_true(third && third->idle && !second->idle);
	function_done(second);
	finish(second);
	/* One that has ended by itself is no use. */
	boot(third);
	sandbox_ended(third, END_FAILED, NULL);
	assert_ptr_equal(function_sandbox(f, &err), first);
	assert_false(third->object.listed);
	sandbox_removed(third);
	function_done(first);
	finish(first);
	first = sandbox_of(f, 3);
	second = sandbox_of(f, 4);
	assert_true(first && second && !sandbox_of(f, 5));
	assert_int_equal(function_config_set(f, CONFIG_ENV, "A=1", &err), 0);
	finish(first);
	finish(second);
	first = sandbox_of(f, 5);
	second = sandbox_of(f, 6);
	assert_string_equal(config_text(&first->effective, CONFIG_ENV), "A=1");
	function_drop(f);
	finish(first);
	finish(second);
}

static void assert_answer(struct ending *e, const char *want)
{
	struct buf got;

	buf_init(&got, ANSWER_LINE_MAX);
	assert_int_equal(answer_line(&got, e), 0);
	assert_string_equal(buf_text(&got), want);
	buf_free(&got);
	ending_free(e);
}

static void test_answers(void **state)
{
	struct ending e;

	(void)state;
	ending_init(&e);
	e.state = PROCESS_EXITED;
	buf_puts(&e.out, " 1e999\n");
	assert_answer(&e, "1e999\n");
	e.value = 1;
	buf_puts(&e.out, "{ \"error\" : \"mine\"}");
	assert_answer(&e, "{ \"error\" : \"mine\"}\n");
	buf_puts(&e.out, "{\"errors\":1}");
	buf_puts(&e.err, "a \"b\"\n\xff");
	assert_answer(
	    &e, "{\"error\": {\"type\": \"EXITED\", \"message\": \"it exited with 1\", \"exit_code\": 1, "
		"\"stderr\": \"a \\\"b\\\"\\n\\ufffd\"}}\n");
	ending_init(&e);
	e.state = PROCESS_FAILED;
	strcpy(e.failure, "IMAGE_MISSING: no such: image");
	assert_answer(&e, "{\"error\": {\"type\": \"IMAGE_MISSING\", \"message\": \"no such: image\"}}\n");
	strcpy(e.failure, "odd");
	assert_answer(&e, "{\"error\": {\"type\": \"FAILED\", \"message\": \"odd\"}}\n");
	e.state = PROCESS_LOST;
	assert_answer(
	    &e, "{\"error\": {\"type\": \"LOST\", \"message\": \"its sandbox is gone: how it ended is not "
		"known\"}}\n");
	e.too_long = true;
	assert_answer(&e,
		      "{\"error\": {\"type\": \"TOO_LARGE\", \"message\": \"its answer is over 8 MiB\"}}\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_order),
	    cmocka_unit_test(test_text_of_a_call),
	    cmocka_unit_test(test_input),
	    cmocka_unit_test(test_writers_wait),
	    cmocka_unit_test(test_removed_while_it_runs),
	    cmocka_unit_test(test_pool),
	    cmocka_unit_test(test_answers),
	};

	return cmocka_run_group_tests(tests, fake_begin, fake_finish);
}
