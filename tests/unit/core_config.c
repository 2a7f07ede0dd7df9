/* Settings: what each takes and refuses, what they mean as numbers, and how three levels become one. */
#include "core/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAG_63 "123456789012345678901234567890123456789012345678901234567890123"

static const struct {
	enum config_key key;
	const char *text;
} good[] = {
    {CONFIG_IMAGE, "debian:12"},
    {CONFIG_COMMAND, "a\nb"},
    {CONFIG_ENV, "A=b"},
    {CONFIG_ENV, "A=\n\nB=c=d\n"},
    {CONFIG_ENV, "_a1="},
    {CONFIG_TAGS, "a\nb"},
    {CONFIG_TAGS, "x\n" TAG_63},
    {CONFIG_CWD, "/"},
    {CONFIG_CWD, "/a b"},
    {CONFIG_LIFETIME, "1"},
    {CONFIG_LIFETIME, "1.5h"},
    {CONFIG_LIFETIME, "4294967295"},
    {CONFIG_LIFETIME, "49710d"},
    {CONFIG_CPU, "0.5"},
    {CONFIG_CPU, "1m"},
    {CONFIG_MEMORY, "1"},
    {CONFIG_MEMORY, "512Mi"},
    {CONFIG_PIDS, "100"},
    {CONFIG_GPU, "1"},
    {CONFIG_NETWORK, "none"},
    {CONFIG_NETWORK, "host\n"},
    {CONFIG_SPEC, "{}"},
    {CONFIG_SPEC, " {\"a\": [1]} "},
    {CONFIG_MEMORY, "999999999999999999"},
};

static const struct {
	enum config_key key;
	const char *text;
} bad[] = {
    {CONFIG_IMAGE, "a\nb"},
    {CONFIG_ENV, "A"},
    {CONFIG_ENV, "=b"},
    {CONFIG_ENV, "1A=b"},
    {CONFIG_ENV, "A=b\nB"},
    {CONFIG_TAGS, TAG_63 "4"},
    {CONFIG_CWD, "a"},
    {CONFIG_CWD, "~"},
    {CONFIG_CWD, "/a\n/b"},
    {CONFIG_LIFETIME, "0"},
    {CONFIG_LIFETIME, "0.5"},
    {CONFIG_LIFETIME, "4294967296"},
    {CONFIG_LIFETIME, "49711d"},
    {CONFIG_LIFETIME, "1w"},
    {CONFIG_LIFETIME, "5 m"},
    {CONFIG_LIFETIME, "-1"},
    {CONFIG_LIFETIME, "+1"},
    {CONFIG_LIFETIME, "1mm"},
    {CONFIG_LIFETIME, "forever"},
    {CONFIG_CPU, "0"},
    {CONFIG_CPU, "0.5m"},
    {CONFIG_CPU, "1e2"},
    {CONFIG_CPU, "0x2"},
    {CONFIG_CPU, "inf"},
    {CONFIG_CPU, "nan"},
    {CONFIG_CPU, ".5"},
    {CONFIG_MEMORY, "1kb"},
    {CONFIG_MEMORY, "1gi"},
    {CONFIG_MEMORY, "1 Gi"},
    {CONFIG_MEMORY, "Gi"},
    {CONFIG_MEMORY, "1.2.3"},
    {CONFIG_MEMORY, "1,5G"},
    {CONFIG_MEMORY, "0.0001Ki"},
    {CONFIG_MEMORY, "1000000000000000000"},
    {CONFIG_MEMORY, "99999999Ti"},
    {CONFIG_MEMORY, "0"},
    {CONFIG_PIDS, "1.5"},
    {CONFIG_PIDS, "0"},
    {CONFIG_PIDS, "5k"},
    {CONFIG_PIDS, "1."},
    {CONFIG_GPU, "0"},
    {CONFIG_GPU, "one"},
    {CONFIG_NETWORK, "Host"},
    {CONFIG_NETWORK, "none host"},
    {CONFIG_SPEC, "[]"},
    {CONFIG_SPEC, "{"},
    {CONFIG_SPEC, "{} x"},
    {CONFIG_SPEC, "null"},
};

static void test_values(void **state)
{
	struct config c = {0};
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		if (config_set(&c, good[i].key, good[i].text, &err))
			fail_msg("%s refused %s", config_fields[good[i].key].name, good[i].text);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char *before = c.text[bad[i].key];

		err = (struct error){0};
		if (config_set(&c, bad[i].key, bad[i].text, &err) != -EINVAL)
			fail_msg("%s took %s", config_fields[bad[i].key].name, bad[i].text);
		assert_true(err.code == EINVAL && err.text[0] && err.reason[0]);
		assert_ptr_equal(c.text[bad[i].key], before); /* as it was */
	}
	config_free(&c);
}

static void test_newlines_and_unsetting(void **state)
{
	struct config c = {0};
	struct error err;

	(void)state;
	assert_int_equal(config_set(&c, CONFIG_IMAGE, "x\n\n", &err), 0);
	assert_string_equal(config_text(&c, CONFIG_IMAGE), "x");
	assert_int_equal(config_set(&c, CONFIG_IMAGE, "\n", &err), 0);
	assert_null(c.text[CONFIG_IMAGE]);
	assert_string_equal(config_text(&c, CONFIG_IMAGE), "");
	assert_int_equal(config_set(&c, CONFIG_NETWORK, "", &err), 0);
	assert_null(c.text[CONFIG_NETWORK]);
}

static void test_typed_readings(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes, seconds, millicpus, number;
	} cases[] = {
	    {"1", 1, 1, 1000, 1},
	    {"4Gi", 4294967296, 0, 0, 0},
	    {"512M", 512000000, 0, 0, 0},
	    {"2k", 2000, 0, 0, 0},
	    {"2K", 2000, 0, 0, 0},
	    {"2Ki", 2048, 0, 0, 0},
	    {"1.5Ti", 1649267441664, 0, 0, 0},
	    {"3T", 3000000000000, 0, 0, 0},
	    {"90s", 0, 90, 0, 0},
	    {"5m", 0, 300, 5, 0},
	    {"2h", 0, 7200, 0, 0},
	    {"1d", 0, 86400, 0, 0},
	    {"0.5", 0, 0, 500, 0},
	    {"2.25", 2, 2, 2250, 2},
	    {"4294967295", 4294967295, 4294967295, 4294967295000, 4294967295},
	    {"4294967296", 4294967296, 0, 4294967296000, 4294967296},
	    {"junk", 0, 0, 0, 0},
	    {"1e9", 0, 0, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct config c = {.text = {[CONFIG_CPU] = (char *)cases[i].text}};

		assert_int_equal(config_bytes(&c, CONFIG_CPU), cases[i].bytes);
		assert_int_equal(config_seconds(&c, CONFIG_CPU), cases[i].seconds);
		assert_int_equal(config_millicpus(&c, CONFIG_CPU), cases[i].millicpus);
		assert_int_equal(config_number(&c, CONFIG_CPU), cases[i].number);
		assert_int_equal(config_bytes(&c, CONFIG_MEMORY), 0); /* unset */
	}
}

static void assert_merged(enum config_key key, const char *far, const char *middle, const char *near,
			  const char *want)
{
	struct config a = {0}, b = {0}, c = {0}, merged;
	const struct config *levels[] = {&a, &b, NULL, &c};

	a.text[key] = (char *)far;
	b.text[key] = (char *)middle;
	c.text[key] = (char *)near;
	assert_int_equal(config_merge(levels, 4, &merged), 0);
	if (want)
		assert_string_equal(merged.text[key], want);
	else
		assert_null(merged.text[key]);
	for (enum config_key other = 0; other < CONFIG_KEYS; other++)
		assert_true(other == key || !merged.text[other]);
	config_free(&merged);
}

static void test_merge_rules(void **state)
{
	(void)state;
	assert_merged(CONFIG_IMAGE, "far", NULL, NULL, "far");
	assert_merged(CONFIG_IMAGE, "far", "middle", NULL, "middle");
	assert_merged(CONFIG_IMAGE, "far", "middle", "near", "near");
	assert_merged(CONFIG_IMAGE, NULL, NULL, NULL, NULL);
	assert_merged(CONFIG_COMMAND, "a\nb", NULL, "c", "c");

	assert_merged(CONFIG_TAGS, "a\nb", "c", "a", "a\nb\nc\na");
	assert_merged(CONFIG_TAGS, "a\n\n\nb", NULL, "b", "a\nb\nb");
	assert_merged(CONFIG_TAGS, NULL, NULL, NULL, NULL);

	assert_merged(CONFIG_ENV, "A=1\nB=2", "B=3\nC=4", "A=5", "B=3\nC=4\nA=5");
	assert_merged(CONFIG_ENV, "A=1", NULL, "AB=2", "A=1\nAB=2");
	assert_merged(CONFIG_ENV, "AB=1", NULL, "A=2", "AB=1\nA=2");
	assert_merged(CONFIG_ENV, "A=1", "A=", NULL, "A=");
	assert_merged(CONFIG_ENV, "A=1=2\nB=A=3", NULL, NULL, "A=1=2\nB=A=3");
	assert_merged(CONFIG_ENV, "a=1", NULL, "A=2", "a=1\nA=2");
	/* >> puts the new value behind the old one. */
	assert_merged(CONFIG_ENV, NULL, NULL, "A=1\nB=2\nA=3", "B=2\nA=3");
}

/* Many names, each set twice: in a moment. */
static void test_merge_of_many(void **state)
{
	char *far = malloc(CONFIG_TEXT_MAX + 1), *near = malloc(CONFIG_TEXT_MAX + 1), *end = far;
	struct config a = {.text = {[CONFIG_ENV] = far}}, b = {.text = {[CONFIG_ENV] = near}}, merged;
	const struct config *levels[] = {&a, &b};

	(void)state;
	assert_true(far && near);
	for (int i = 0; i < 50000; i++)
		end += sprintf(end, "N%d=far\n", i);
	end = near;
	for (int i = 0; i < 50000; i++)
		end += sprintf(end, "N%d=near\n", i);
	assert_int_equal(config_merge(levels, 2, &merged), 0);
	near[strlen(near) - 1] = '\0';
	assert_string_equal(merged.text[CONFIG_ENV], near);
	config_free(&merged);
	free(far);
	free(near);
}

static void test_limits(void **state)
{
	char *text = malloc(CONFIG_TEXT_MAX + 3);
	struct config a = {0}, merged;
	const struct config *levels[] = {&a, &a, &a, &a};
	struct error err;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', CONFIG_TEXT_MAX + 1);
	strcpy(text + CONFIG_TEXT_MAX + 1, "\n");
	assert_int_equal(config_set(&a, CONFIG_COMMAND, text, &err), -EFBIG);
	assert_string_equal(err.text, "command is over 1048576 bytes");
	strcpy(text + CONFIG_TEXT_MAX, "\n");
	assert_int_equal(config_set(&a, CONFIG_COMMAND, text, &err), 0);
	/* Four full levels of lines fit. */
	for (size_t i = 50; i < CONFIG_TEXT_MAX; i += 50)
		text[i] = '\n';
	text[CONFIG_TEXT_MAX] = '\0';
	assert_int_equal(config_set(&a, CONFIG_TAGS, text, &err), 0);
	assert_int_equal(config_merge(levels, 4, &merged), 0);
	assert_int_equal(strlen(merged.text[CONFIG_TAGS]), 4 * CONFIG_TEXT_MAX + 3);
	config_free(&merged);
	config_free(&a);
	/* A directory that no path can name. */
	memset(text, 'd', 4096);
	text[0] = '/';
	text[4096] = '\0';
	assert_int_equal(config_set(&a, CONFIG_CWD, text, &err), -EINVAL);
	text[4095] = '\0';
	assert_int_equal(config_set(&a, CONFIG_CWD, text, &err), 0);
	config_free(&a);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_values),	   cmocka_unit_test(test_newlines_and_unsetting),
	    cmocka_unit_test(test_typed_readings), cmocka_unit_test(test_merge_rules),
	    cmocka_unit_test(test_merge_of_many),  cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
