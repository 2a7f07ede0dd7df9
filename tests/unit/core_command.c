/* The forms of a command's text, and what each malformed one is told. */
#include "core/process/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct start parse(const char *text)
{
	struct error err = {0};
	struct start s;

	assert_int_equal(command_parse(text, strlen(text), &s, &err), 0);
	assert_int_equal(err.code, 0);
	return s;
}

static void test_shell_text(void **state)
{
	static const char *const texts[] = {
	    "ls -l", "ls\n",	  "[ -f x ] && y", "{ echo; }", "[",	      "{", "[]",      "{}",
	    "[1]",   " [\"ls\"]", "[ \"ls\"]",	   "# comment", " #!/bin/sh", "#", "\377\376"};

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct start s = parse(texts[i]);

		assert_int_equal(s.kind, START_SHELL);
		assert_int_equal(s.text_len, strlen(texts[i]));
		assert_string_equal(s.text, texts[i]);
		assert_null(s.argv);
		assert_null(s.env);
		assert_null(s.cwd);
		assert_false(s.input);
		assert_int_equal(s.timeout_ms, 0);
		start_free(&s);
	}
}

static void test_script(void **state)
{
	struct start s = parse("#!/usr/bin/env python3\nprint(1)\n");

	(void)state;
	assert_int_equal(s.kind, START_SCRIPT);
	assert_string_equal(s.text, "#!/usr/bin/env python3\nprint(1)\n");
	start_free(&s);
	s = parse("#!");
	assert_int_equal(s.kind, START_SCRIPT);
	start_free(&s);
}

static void test_argv(void **state)
{
	struct start s = parse("[\"printf\", \"%s\\n\", \"\", \"\\u00e4 \\\"x\\\"\"]\n");

	(void)state;
	assert_int_equal(s.kind, START_ARGV);
	assert_string_equal(s.argv[0], "printf");
	assert_string_equal(s.argv[1], "%s\n");
	assert_string_equal(s.argv[2], "");
	assert_string_equal(s.argv[3], "\303\244 \"x\"");
	assert_null(s.argv[4]);
	assert_string_equal(s.text, "[\"printf\", \"%s\\n\", \"\", \"\\u00e4 \\\"x\\\"\"]\n");
	start_free(&s);
}

static void test_object(void **state)
{
	struct start s =
	    parse("{\"command\": [\"a\", \"b\"], \"cwd\": \"/x\", \"env\": {\"A\": \"b=c\", \"E\": \"\"}, "
		  "\"stdin\": true, \"tty\": false, \"timeout_seconds\": 1.5}");

	(void)state;
	assert_int_equal(s.kind, START_ARGV);
	assert_string_equal(s.argv[1], "b");
	assert_null(s.argv[2]);
	assert_string_equal(s.cwd, "/x");
	assert_string_equal(s.env[0], "A=b=c");
	assert_string_equal(s.env[1], "E=");
	assert_null(s.env[2]);
	assert_true(s.input);
	assert_int_equal(s.timeout_ms, 1500);
	start_free(&s);
}

/* What stands behind a bracket or brace is white space: JSON only as a whole. */
static void test_printed(void **state)
{
	struct start s = parse("{\r\n\t\"command\": [\n \"a\"]\n}\n");

	(void)state;
	assert_int_equal(s.kind, START_ARGV);
	assert_string_equal(s.argv[0], "a");
	start_free(&s);
	s = parse("[\n  \"ls\"\n]");
	assert_int_equal(s.kind, START_ARGV);
	start_free(&s);
	s = parse("[ \"ls\" ]");
	assert_int_equal(s.kind, START_SHELL);
	start_free(&s);
	s = parse("{ \"$cc\" -c a.c; }");
	assert_int_equal(s.kind, START_SHELL);
	start_free(&s);
	s = parse("{\n");
	assert_int_equal(s.kind, START_SHELL);
	start_free(&s);
}

static void test_object_with_text(void **state)
{
	struct start s = parse("{\"command\": \"echo $A\"}");

	(void)state;
	assert_int_equal(s.kind, START_ARGV);
	assert_string_equal(s.argv[0], "/bin/sh");
	assert_string_equal(s.argv[1], "-c");
	assert_string_equal(s.argv[2], "echo $A");
	assert_null(s.argv[3]);
	assert_string_equal(s.text, "{\"command\": \"echo $A\"}"); /* what `cmd` reads back */
	start_free(&s);
	s = parse("{\"command\": \"#!/bin/cat\\nx\"}");
	assert_int_equal(s.kind, START_SCRIPT);
	assert_string_equal(s.text, "#!/bin/cat\nx");
	assert_int_equal(s.text_len, 12);
	start_free(&s);
}

/* More than the kernel takes for one argument. */
static void test_object_with_long_text(void **state)
{
	static const char head[] = "{\"command\": \"";
	char *text = malloc(200100);
	struct start s;

	(void)state;
	assert_non_null(text);
	strcpy(text, head);
	memset(text + sizeof head - 1, ':', 200000);
	strcpy(text + sizeof head - 1 + 200000, "\"}");
	s = parse(text);
	assert_int_equal(s.kind, START_SHELL);
	assert_int_equal(s.text_len, 200000);
	start_free(&s);
	free(text);
}

static const struct {
	const char *text, *sentence;
} malformed[] = {
    {"[\"ls\"", "not valid JSON at byte 4"},
    {"[\"ls\"] x", "not valid JSON at byte 7"},
    {"[\"ls\",]", "not valid JSON at byte 6"},
    {"[\"ls\", 1]", "a command array holds strings only"},
    {"[\"ls\", null]", "a command array holds strings only"},
    {"[\"ls\", [\"x\"]]", "a command array holds strings only"},
    {"[\"\", \"x\"]", "the program's name is empty"},
    {"[\"a\\u0000b\"]", "a command holds no NUL byte"},
    {"{\"command\": \"x\", \"cwd\": \"/\\u0000\"}", "a command holds no NUL byte"},
    {"{\"command\": []}", "a command array needs 1 to 65536 strings"},
    {"{\"command\": \"\"}", "\"command\" is an array of strings or a text"},
    {"{\"command\": 1}", "\"command\" is an array of strings or a text"},
    {"{\"command\": {}}", "\"command\" is an array of strings or a text"},
    {"{\"command\": \"x\", \"cwd\": \"y\"}", "\"cwd\" is an absolute path"},
    {"{\"command\": \"x\", \"cwd\": \"\"}", "\"cwd\" is an absolute path"},
    {"{\"command\": \"x\", \"cwd\": null}", "\"cwd\" is an absolute path"},
    {"{\"command\": \"x\", \"env\": []}", "\"env\" is an object of strings"},
    {"{\"command\": \"x\", \"env\": {\"A\": 1}}", "\"env\" is an object of strings, and no name holds '='"},
    {"{\"command\": \"x\", \"env\": {\"A=B\": \"1\"}}",
     "\"env\" is an object of strings, and no name holds '='"},
    {"{\"command\": \"x\", \"env\": {\"A\": \"1\", \"AB\": \"1\", \"B\": \"2\", \"A\": \"\"}}",
     "\"env\" has \"A\" twice"},
    {"{\"command\": \"x\", \"env\": {\"\": \"1\"}}",
     "\"env\" is an object of strings, and no name holds '='"},
    {"{\"command\": \"x\", \"stdin\": 1}", "\"stdin\" is true or false"},
    {"{\"command\": \"x\", \"stdin\": \"true\"}", "\"stdin\" is true or false"},
    {"{\"command\": \"x\", \"tty\": 0}", "\"tty\" is true or false"},
};

static void test_malformed(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
		struct error err = {0};
		struct start s;

		assert_int_equal(command_parse(malformed[i].text, strlen(malformed[i].text), &s, &err),
				 -EINVAL);
		assert_string_equal(err.text, malformed[i].sentence);
	}
}

static int refusal(const char *text)
{
	struct error err = {0};
	struct start s;
	int rc = command_parse(text, strlen(text), &s, &err);

	if (rc == 0)
		start_free(&s);
	else
		assert_true(err.text[0] && err.reason[0]);
	return rc;
}

static void test_refused_objects(void **state)
{
	(void)state;
	assert_int_equal(refusal("{\"cwd\": \"/\"}"), -EINVAL); /* no command */
	assert_int_equal(refusal("{\"comand\": \"x\"}"), -EINVAL);
	assert_int_equal(refusal("{\"command\": \"x\", \"Cwd\": \"/\"}"), -EINVAL);
	assert_int_equal(refusal("{\"command\": \"x\", \"command\": \"y\"}"), -EINVAL);
	assert_int_equal(refusal("{\"command\": [\"x\"], \"command\": [\"y\"]}"), -EINVAL);
	assert_int_equal(refusal("{\"command\": \"x\", \"cwd\": \"/a\", \"cwd\": \"/b\"}"), -EINVAL);
	assert_int_equal(refusal("{\"command\": \"x\", \"env\": {}, \"env\": {\"A\": \"b\"}}"), -EINVAL);
	assert_int_equal(refusal("{\"command\": \"x\", \"tty\": true, \"tty\": true}"), -EINVAL);
}

static void test_timeouts(void **state)
{
	static const struct {
		const char *value;
		uint64_t ms; /* 0: refused */
	} cases[] = {
	    {"1", 1000},      {"0.25", 250}, {"2592000", 2592000000},
	    {"2592001", 0},   {"0", 0},	     {"-1", 0},
	    {"1e3", 1000000}, {"1e300", 0},  {"\"5\"", 0},
	    {"null", 0},      {"true", 0},   {"-0", 0},
	};
	char text[100];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		snprintf(text, sizeof text, "{\"command\": \"x\", \"timeout_seconds\": %s}", cases[i].value);
		if (cases[i].ms) {
			struct start s = parse(text);

			assert_int_equal(s.timeout_ms, cases[i].ms);
			start_free(&s);
		} else {
			assert_int_equal(refusal(text), -EINVAL);
		}
	}
	/* So short that it would round to none. */
	{
		struct start s = parse("{\"command\": \"x\", \"timeout_seconds\": 0.0001}");

		assert_int_equal(s.timeout_ms, 1);
		start_free(&s);
	}
}

static void test_nul(void **state)
{
	struct error err;
	struct start s;

	(void)state;
	assert_int_equal(command_parse("a\0b", 3, &s, &err), -EINVAL);
	assert_string_equal(err.text, "a command holds no NUL byte");
	assert_int_equal(command_parse("a\0", 2, &s, &err), -EINVAL);
	/* The letters alone are none. */
	s = parse("[\"a\\\\u0000b\"]");
	assert_string_equal(s.argv[0], "a\\u0000b");
	start_free(&s);
}

static void test_sizes(void **state)
{
	char *text = malloc(COMMAND_TEXT_MAX + 1), *end = text;
	struct error err;
	struct start s;

	(void)state;
	assert_non_null(text);
	memset(text, ' ', COMMAND_TEXT_MAX + 1);
	assert_int_equal(command_parse(text, COMMAND_TEXT_MAX + 1, &s, &err), -EFBIG);
	assert_int_equal(command_parse(text, COMMAND_TEXT_MAX, &s, &err), 0);
	assert_int_equal(s.text_len, COMMAND_TEXT_MAX);
	start_free(&s);
	for (unsigned i = 0; i <= START_STRINGS_MAX; i++)
		end = stpcpy(end, i ? ",\"x\"" : "[\"x\"");
	assert_int_equal(command_parse(text, (size_t)(stpcpy(end, "]") - text), &s, &err), -EINVAL);
	assert_string_equal(err.text, "a command array needs 1 to 65536 strings");
	strcpy(end - 4, "]");
	assert_int_equal(command_parse(text, strlen(text), &s, &err), 0);
	start_free(&s);
	free(text);
}

static void test_long_cwd(void **state)
{
	char text[5000];
	size_t len = (size_t)snprintf(text, sizeof text, "{\"command\": \"x\", \"cwd\": \"/");

	(void)state;
	memset(text + len, 'd', 4095);
	strcpy(text + len + 4095, "\"}");
	assert_int_equal(refusal(text), -EINVAL);
	strcpy(text + len + 4094, "\"}");
	assert_int_equal(refusal(text), 0);
}

/* Deep nesting is refused, not followed. */
static void test_deep_nesting(void **state)
{
	char *text = malloc(100001);

	(void)state;
	assert_non_null(text);
	memset(text, '[', 100000);
	memcpy(text, "[\"x\",", 5);
	text[100000] = '\0';
	assert_int_equal(refusal(text), -EINVAL);
	free(text);
}

/* What the command says itself wins over what is laid under it. */
static void test_env_merging(void **state)
{
	struct start s = parse("{\"command\": \"x\", \"env\": {\"A\": \"1\", \"AB\": \"2\"}}");

	(void)state;
	assert_int_equal(command_add_env(&s, "A=9\nABC=3\n\nB=4\nAB=8"), 0);
	assert_string_equal(s.env[0], "A=1");
	assert_string_equal(s.env[1], "AB=2");
	assert_string_equal(s.env[2], "ABC=3");
	assert_string_equal(s.env[3], "B=4");
	assert_null(s.env[4]);
	start_free(&s);
	s = parse("x");
	assert_int_equal(command_add_env(&s, ""), 0);
	assert_null(s.env[0]);
	assert_int_equal(command_add_env(&s, "A=\nA=2\n"), 0);
	assert_string_equal(s.env[0], "A=");
	assert_null(s.env[1]);
	start_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_shell_text),
	    cmocka_unit_test(test_script),
	    cmocka_unit_test(test_argv),
	    cmocka_unit_test(test_object),
	    cmocka_unit_test(test_printed),
	    cmocka_unit_test(test_object_with_text),
	    cmocka_unit_test(test_object_with_long_text),
	    cmocka_unit_test(test_malformed),
	    cmocka_unit_test(test_refused_objects),
	    cmocka_unit_test(test_timeouts),
	    cmocka_unit_test(test_nul),
	    cmocka_unit_test(test_sizes),
	    cmocka_unit_test(test_long_cwd),
	    cmocka_unit_test(test_deep_nesting),
	    cmocka_unit_test(test_env_merging),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
