/* What a shell in a sandbox says about files: as it is meant, cut off anywhere, and made up. */
#include "backend/aviato/stand_in/handles.h"
#include "backend/aviato/stand_in/shell.h"
#include "backend/aviato/stand_in/output.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

#define OUTPUT(text)                                                                                         \
	{                                                                                                    \
		.at = (text), .left = sizeof(text) - 1                                                       \
	}
#define FIELDS "x81a4 2 1000 100 6 8 1700000000.5 -2.25 1700000000.123456789 65024 10958114 0 0"

static int attr(const char *fields, struct stat *ret)
{
	char text[300] = "a";
	size_t len = strlen(fields);
	struct helper_output o = {.at = text, .left = len + 4};
	const uint8_t *link;
	uint32_t link_len;

	memcpy(text + 2, fields, len);
	return helper_attr(&o, ret, &link, &link_len);
}

static void test_attributes(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(attr(FIELDS, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0644);
	assert_int_equal(st.st_nlink, 2);
	assert_int_equal(st.st_uid, 1000);
	assert_int_equal(st.st_gid, 100);
	assert_int_equal(st.st_size, 6);
	assert_int_equal(st.st_blocks, 8);
	assert_int_equal(st.st_atim.tv_nsec, 500000000);
	assert_int_equal(st.st_mtim.tv_sec, -3);
	assert_int_equal(st.st_mtim.tv_nsec, 750000000);
	assert_int_equal(st.st_ctim.tv_nsec, 123456789);
	assert_int_equal(st.st_ino, 10958114);
	/* find's, with more digits than there are nanoseconds */
	assert_int_equal(attr("d1777 3 0 0 4096 8 1.0 2.1234567890 3.5 1 2 0 0", &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 01777);
	assert_int_equal(st.st_mtim.tv_nsec, 123456789);
	assert_int_equal(attr("x21b6 1 0 0 0 0 1 2 3 6 3 1 fe03", &st), 0);
	assert_int_equal(major(st.st_rdev), 1);
	assert_int_equal(minor(st.st_rdev), 0xfe03);
}

static void test_attributes_made_up(void **state)
{
	static const char *const bad[] = {
	    "",
	    "x",
	    "x81a4",
	    "x81a4 2 1000 100 6 8 1 2 3 65024 10958114 0",
	    FIELDS " 1",
	    "x01a4 1 0 0 0 0 1 2 3 6 3 0 0",	     /* no type */
	    "xf1a4 1 0 0 0 0 1 2 3 6 3 0 0",	     /* no such type */
	    "x1081a4 1 0 0 0 0 1 2 3 6 3 0 0",	     /* more bits than a mode has */
	    "f8 1 0 0 0 0 1 2 3 6 3 0 0",	     /* not octal */
	    "D755 1 0 0 0 0 1 2 3 6 3 0 0",	     /* a door */
	    "f644 1 4294967296 0 0 0 1 2 3 6 3 0 0", /* no uid */
	    "f644 1 0 0 -1 0 1 2 3 6 3 0 0",
	    "f644 1 0 0 9223372036854775808 0 1 2 3 6 3 0 0",
	    "f644 1 0 0 99999999999999999999 0 1 2 3 6 3 0 0",
	    "f644  1 0 0 0 0 1 2 3 6 3 0 0",
	    "f644 1 0 0 0 0 1x 2 3 6 3 0 0",
	    "f644 1 0 0 0 0 1.5.5 2 3 6 3 0 0",
	    "f644 1 0 0 0 0 99999999999999999999 2 3 6 3 0 0",
	};
	struct stat st;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(attr(bad[i], &st), -EPROTO);
}

static void test_failures(void **state)
{
	static const struct {
		const char *reason;
		int code;
	} known[] = {{"No such file or directory", ENOENT},
		     {"Directory not empty", ENOTEMPTY},
		     {"Filename too long", ENAMETOOLONG},
		     {"", EIO},
		     {"Success", EIO}};
	struct helper_output o = OUTPUT("e\0Permission denied\0z\0");
	struct stat st;
	const uint8_t *text;
	uint32_t len;

	(void)state;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		assert_int_equal(helper_errno(known[i].reason), known[i].code);
	assert_true(helper_may_end(&o));
	assert_int_equal(helper_attr(&o, &st, &text, &len), -EACCES);
	assert_int_equal(helper_end(&o), 0);
	assert_int_equal(o.left, 0);
	assert_false(o.short_of);
}

static const char listing[] = "l\0" FIELDS "\0plain\0\0"
			      "l777 1 0 0 4 0 1 2 3 1 9 0 0\0new\nline\0to \"it\"\0"
			      "c620 1 0 0 0 0 1 2 3 1 10 0 0\0tty\0\0"
			      "?\0odd\0\0"
			      "\0z";

static void test_listing(void **state)
{
	struct helper_output o = {.at = listing, .left = sizeof listing};
	struct file_entry e;

	(void)state;
	assert_int_equal(helper_list(&o), 0);
	assert_int_equal(helper_entry(&o, &e), 1);
	assert_string_equal(e.name, "plain");
	assert_true(e.known && e.plain);
	assert_int_equal(helper_entry(&o, &e), 1);
	assert_string_equal(e.name, "new\nline");
	assert_int_equal(e.text_len, 7);
	assert_memory_equal(e.text, "to \"it\"", 7);
	assert_int_equal(helper_entry(&o, &e), 1); /* which device it is find does not say */
	assert_false(e.known);
	assert_int_equal(helper_entry(&o, &e), 1);
	assert_string_equal(e.name, "odd");
	assert_false(e.known);
	assert_int_equal(e.attr.st_mode, 0);
	assert_int_equal(helper_entry(&o, &e), 0);
	assert_int_equal(helper_end(&o), 0);
	assert_int_equal(o.left, 0);
}

/* Wherever it is cut, that is noticed, and nothing behind the cut is read. */
static void test_cut(void **state)
{
	struct file_entry e;

	(void)state;
	for (size_t len = 0; len < sizeof listing; len++) {
		char *copy = malloc(len + 1);
		struct helper_output o = {.at = copy, .left = len};
		int rc;

		assert_non_null(copy);
		memcpy(copy, listing, len);
		rc = helper_list(&o);
		for (rc = rc ? rc : 1; rc == 1;)
			rc = helper_entry(&o, &e);
		rc = rc ? rc : helper_end(&o);
		assert_int_equal(rc, -EPROTO);
		assert_true(o.short_of);
		free(copy);
	}
}

static void test_names_made_up(void **state)
{
	static const char slash[] = FIELDS "\0a/b\0", dots[] = FIELDS "\0..\0", none[] = FIELDS "\0\0";
	struct helper_output o[] = {OUTPUT(slash), OUTPUT(dots), OUTPUT(none)};
	char longer[sizeof FIELDS + 300];
	struct file_entry e;

	(void)state;
	for (size_t i = 0; i < sizeof o / sizeof *o; i++)
		assert_int_equal(helper_entry(&o[i], &e), -EPROTO);
	memset(longer, 'n', sizeof longer);
	memcpy(longer, FIELDS, sizeof FIELDS);
	longer[sizeof FIELDS + 256] = '\0';
	o[0] = (struct helper_output){.at = longer, .left = sizeof longer};
	assert_int_equal(helper_entry(&o[0], &e), -EPROTO);
}

static int bytes(const char *text, size_t len, uint64_t offset, size_t most, struct buf *out)
{
	struct helper_output o = {.at = text, .left = len};

	out->len = 0;
	return helper_bytes(&o, offset, most, out);
}

static void test_bytes(void **state)
{
	static const char whole[] = "r\0006\0Zm9v\nYmFy\n\0z", more[] = "r\00010\0Zm9vYmFy\0z",
			  not_base64[] = "r\0006\0Zm9v*mFy\0z", no_size[] = "r\0\0Zm9v\0z";
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	assert_int_equal(bytes(whole, sizeof whole, 0, 100, &out), 0);
	assert_int_equal(out.len, 6);
	assert_memory_equal(out.data, "foobar", 6);
	assert_int_equal(bytes(more, sizeof more, 0, 6, &out), 0);
	assert_int_equal(bytes(more, sizeof more, 4, 7, &out), 0);
	assert_int_equal(bytes(more, sizeof more, 0, 7, &out), -EIO);	   /* there was one more */
	assert_int_equal(bytes(whole, sizeof whole, 0, 5, &out), -EPROTO); /* more than was asked for */
	assert_int_equal(bytes(not_base64, sizeof not_base64, 0, 100, &out), -EPROTO);
	assert_int_equal(bytes(no_size, sizeof no_size, 0, 100, &out), -EPROTO);
	assert_int_equal(bytes(whole, 5, 0, 100, &out), -EPROTO);
	buf_free(&out);
}

static void test_programs(void **state)
{
	static const char some[] = "p\0ls\0a/b\0cat\0\0z";
	struct helper_output o = {.at = some, .left = sizeof some}, cut = {.at = some, .left = 8};
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	assert_int_equal(helper_programs(&o, &out), 0);
	assert_int_equal(out.len, 7);
	assert_memory_equal(out.data, "ls\0cat", 7);
	assert_int_equal(helper_programs(&cut, &out), -EPROTO);
	assert_true(cut.short_of);
	assert_int_equal(out.len, 7);
	buf_free(&out);
}

static void test_words(void **state)
{
	struct buf line;

	(void)state;
	buf_init(&line, 1000);
	assert_int_equal(helper_word(&line, "s"), 0);
	assert_int_equal(helper_word(&line, "/a b\n\\\xff'$(x)*"), 0);
	assert_int_equal(helper_word(&line, ""), 0);
	assert_string_equal(buf_text(&line), "s /a\\0040b\\0012\\0134\\0377'$(x)* \\");
	buf_free(&line);
}

static void test_handles(void **state)
{
	struct handles h;
	struct held *one;
	struct stat st = {.st_dev = 1, .st_ino = 2};

	(void)state;
	assert_int_equal(handles_init(&h), 0);
	assert_int_equal(handles_find(&h, FILE_ROOT, &one), 0);
	assert_string_equal(one->path, "/");
	assert_int_equal(handles_find(&h, 7, &one), -ESTALE);
	assert_int_equal(handles_add(&h, 7, "/a/b"), 0);
	assert_int_equal(handles_add(&h, 8, "/a"), 0);
	assert_int_equal(handles_add(&h, 9, "/ab"), 0);
	handles_see(&h, 7, &st);
	handles_move(&h, "/a", "/a/longer");
	assert_int_equal(handles_find(&h, 7, &one), 0);
	assert_string_equal(one->path, "/a/longer/b");
	assert_int_equal(one->ino, 2);
	assert_int_equal(handles_find(&h, 9, &one), 0);
	assert_string_equal(one->path, "/ab");
	handles_fail(&h, 8, -EACCES);
	assert_int_equal(handles_find(&h, 8, &one), -EACCES);
	for (uint64_t i = 100; h.count < FILE_HANDLES_MAX; i++)
		assert_int_equal(handles_add(&h, i, "/x"), 0);
	assert_int_equal(handles_add(&h, 99, "/x"), -ENFILE);
	handles_free(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_attributes), cmocka_unit_test(test_attributes_made_up),
	    cmocka_unit_test(test_failures),   cmocka_unit_test(test_listing),
	    cmocka_unit_test(test_cut),	       cmocka_unit_test(test_names_made_up),
	    cmocka_unit_test(test_bytes),      cmocka_unit_test(test_programs),
	    cmocka_unit_test(test_words),      cmocka_unit_test(test_handles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
