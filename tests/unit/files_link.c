/* The text a symlink shows outside: stays below the root, and means there what it means inside. */
#include "files/link.h"
#include "files/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root_path[] = "/tmp/files_link.XXXXXX";
static int root;

static int make_tree(void **state)
{
	(void)state;
	if (!mkdtemp(root_path) || (root = open(root_path, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
		return -1;
	return mkdirat(root, "a", 0755) || mkdirat(root, "a/b", 0755) || mkdirat(root, "a/b/c", 0755) ||
	       mkdirat(root, "usr", 0755) || mkdirat(root, "usr/lib", 0755) ||
	       mkdirat(root, "usr/lib/x", 0755) || symlinkat("/usr/lib/x", root, "a/link") ||
	       symlinkat("..", root, "a/b/up") || symlinkat("/../../..", root, "out") ||
	       symlinkat("loop", root, "loop");
}

static int remove_tree(void **state)
{
	static const char *const names[] = {"loop", "out", "a/b/up", "a/link"};
	static const char *const dirs[] = {"usr/lib/x", "usr/lib", "usr", "a/b/c", "a/b", "a", "."};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		unlinkat(root, names[i], 0);
	for (size_t i = 0; i + 1 < sizeof(dirs) / sizeof(*dirs); i++)
		unlinkat(root, dirs[i], AT_REMOVEDIR);
	close(root);
	return rmdir(root_path);
}

static const struct {
	const char *dir; /* the link's, "." for the root */
	unsigned int depth;
	const char *raw, *shown;
} cases[] = {
    /* relative and harmless: untouched */
    {".", 0, "x", "x"},
    {"a/b", 2, "../../x", "../../x"},
    {"a/b", 2, "./.././../x/", "./.././../x/"},
    {"a", 1, "x//y/./z", "x//y/./z"},
    {"a", 1, "..x/...", "..x/..."},
    /* absolute */
    {".", 0, "/etc/passwd", "etc/passwd"},
    {"a/b", 2, "/etc/passwd", "../../etc/passwd"},
    {"a/b", 2, "///etc//passwd", "../../etc//passwd"},
    {".", 0, "/", "."},
    {"a", 1, "/", "../"},
    {"a", 1, "/../../x", "../x"},
    /* more ".." than there are levels */
    {".", 0, "..", "."},
    {".", 0, "../../../etc", "etc"},
    {"a", 1, "../../etc", "../etc"},
    {"a/b", 2, "../../../../..", "../../"},
    /* ".." behind a name: resolved */
    {".", 0, "a/../usr", "usr"},
    {"a", 1, "b/../../usr", "../usr"},
    {"a", 1, "b/..", "../a"},
    {".", 0, "a/..", "."},
    {"a", 1, "link/../x/f", "../usr/lib/x/f"},
    {"a/b", 2, "/a/link/..//x", "../../usr/lib/x"},
    {"a/b", 2, "up/../usr/lib/../../a", "../../a"},
    {".", 0, "out/../../x", "x"},
    {"a/b", 2, "c/../../../../../../x", "../../x"},
    /* ... and where that fails, clamped by the letter */
    {"a", 1, "missing/../../../etc/x", "../etc/x"},
    {"a", 1, "missing/..", "."},
    {"a", 1, "/missing/../../y/./z", "../y/z"},
    {"a", 1, "../loop/../x", "../x"},
};

static void texts_are_as_the_table_says(void **state)
{
	char shown[PATH_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int dir = openat(root, cases[i].dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		int len = files_link_text(root, dir, cases[i].depth, cases[i].raw, shown);

		close(dir);
		assert_int_equal(len, (int)strlen(shown));
		assert_string_equal(shown, cases[i].shown);
	}
}

/* Any text, at any depth: ".." only at the start and never more than the depth. */
static void no_text_climbs_too_far(void **state)
{
	static const char *const parts[] = {"..", ".", "a", "b", "link", "up", "out", "missing", "/", "loop"};
	char shown[PATH_MAX], raw[256];
	unsigned int seed = 1;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		unsigned int depth = (unsigned int)round % 4, ups = 0;
		int names = 0, dir = openat(root, round % 2 ? "a/b" : ".", O_PATH | O_CLOEXEC);

		strcpy(raw, rand_r(&seed) % 3 ? "" : "/");
		for (int n = 1 + rand_r(&seed) % 8; n; n--) {
			strcat(raw, parts[rand_r(&seed) % 10]);
			strcat(raw, "/");
		}
		assert_true(files_link_text(root, dir, depth, raw, shown) > 0);
		close(dir);
		assert_int_not_equal(shown[0], '/');
		for (char *part = strtok(shown, "/"); part; part = strtok(NULL, "/")) {
			if (strcmp(part, "..") == 0) {
				assert_int_equal(names, 0);
				ups++;
			} else if (strcmp(part, ".") != 0) {
				names++;
			}
		}
		assert_true(ups <= depth);
	}
}

static void long_texts_are_refused(void **state)
{
	char raw[PATH_MAX], shown[PATH_MAX];

	(void)state;
	memset(raw, 'x', sizeof(raw));
	raw[0] = '/';
	raw[PATH_MAX - 1] = '\0';
	assert_int_equal(files_link_text(root, root, 0, raw, shown), PATH_MAX - 2);
	assert_int_equal(files_link_text(root, root, 1, raw, shown), -ENAMETOOLONG);
	assert_int_equal(files_link_text(root, root, 3000, "/x", shown), -ENAMETOOLONG);
}

static void names_are_checked(void **state)
{
	char longest[FILES_NAME_MAX + 2];

	(void)state;
	memset(longest, 'n', sizeof(longest));
	longest[FILES_NAME_MAX + 1] = '\0';
	assert_int_equal(files_check_name(""), -EINVAL);
	assert_int_equal(files_check_name("."), -EINVAL);
	assert_int_equal(files_check_name(".."), -EINVAL);
	assert_int_equal(files_check_name("a/b"), -EINVAL);
	assert_int_equal(files_check_name("/"), -EINVAL);
	assert_int_equal(files_check_name(longest), -ENAMETOOLONG);
	longest[FILES_NAME_MAX] = '\0';
	assert_int_equal(files_check_name(longest), 0);
	assert_int_equal(files_check_name("..."), 0);
	assert_int_equal(files_check_name("new\nline\xff"), 0);
	assert_int_equal(files_child(root, ".."), -EINVAL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(texts_are_as_the_table_says),
	    cmocka_unit_test(no_text_climbs_too_far),
	    cmocka_unit_test(long_texts_are_refused),
	    cmocka_unit_test(names_are_checked),
	};

	return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
