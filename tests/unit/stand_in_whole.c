/* What is known of files that are read and written whole: sizes, and what they are shown as. */
#include "backend/aviato/stand_in/whole.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct whole *whole;

static int begin(void **state)
{
	(void)state;
	whole = whole_open(NULL);
	return whole ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	whole_close(whole);
	return 0;
}

static void a_file_grows_by_nuls_and_shrinks(void **state)
{
	struct whole_call c = {.whole = whole, .file = whole_file_get(whole, "/f")};
	struct stat st;

	(void)state;
	assert_int_equal(whole_resize(&c, 3), 0);
	memcpy(c.file->content.data, "abc", 3);
	assert_int_equal(whole_resize(&c, 2), 0);
	assert_int_equal(whole_resize(&c, 5), 0);
	assert_memory_equal(c.file->content.data, "ab\0\0\0", 5);
	assert_true(c.file->dirty);
	whole_attr(c.file, &st);
	assert_int_equal(st.st_mode, S_IFREG | 0644);
	assert_int_equal(st.st_size, 5);
	whole_file_put(whole, c.file);
}

static void one_file_has_a_limit_and_so_have_all(void **state)
{
	struct whole_call c = {.whole = whole};
	struct whole_file *files[8];
	const char *const names[] = {"/0", "/1", "/2", "/3", "/4", "/5", "/6", "/7"};
	unsigned fit = 0;

	(void)state;
	whole->most = 1000;
	c.file = files[0] = whole_file_get(whole, names[0]);
	assert_int_equal(whole_resize(&c, 1001), -EFBIG);
	assert_string_equal(c.why.reason, "FILE_TOO_LARGE");
	assert_non_null(strstr(c.why.text, "1000 bytes"));
	whole->most = WHOLE_FILE_MAX;
	for (unsigned i = 1; i < 8; i++)
		files[i] = whole_file_get(whole, names[i]);
	for (unsigned i = 0; i < 8; i++) {
		c.file = files[i];
		fit += whole_resize(&c, WHOLE_FILE_MAX) == 0;
	}
	assert_int_equal(fit, WHOLE_BYTES_MAX / WHOLE_FILE_MAX);
	assert_string_equal(c.why.reason, "NO_MEMORY");
	for (unsigned i = 0; i < 8; i++)
		whole_file_put(whole, files[i]);
}

static void a_path_is_one_file_as_long_as_somebody_has_it(void **state)
{
	struct whole_file *f = whole_file_get(whole, "/f"), *same = whole_file_get(whole, "/f"), *other;

	(void)state;
	assert_ptr_equal(f, same);
	other = whole_file_get(whole, "/f2");
	assert_ptr_not_equal(f, other);
	whole_file_put(whole, other);
	whole_file_put(whole, f);
	assert_ptr_equal(f, whole_file_get(whole, "/f"));
	whole_file_put(whole, f);
	whole_file_put(whole, f);
}

static void paths_have_numbers_of_their_own_that_stay(void **state)
{
	struct stat a, again, b;

	(void)state;
	whole_directory_attr("/d/a", &a);
	whole_directory_attr("/d/a", &again);
	whole_directory_attr("/d/b", &b);
	assert_int_equal(a.st_mode, S_IFDIR | 0755);
	assert_int_equal(a.st_ino, again.st_ino);
	assert_int_not_equal(a.st_ino, b.st_ino);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_file_grows_by_nuls_and_shrinks, begin, end),
	    cmocka_unit_test_setup_teardown(one_file_has_a_limit_and_so_have_all, begin, end),
	    cmocka_unit_test_setup_teardown(a_path_is_one_file_as_long_as_somebody_has_it, begin, end),
	    cmocka_unit_test_setup_teardown(paths_have_numbers_of_their_own_that_stay, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
