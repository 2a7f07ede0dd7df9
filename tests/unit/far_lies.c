/* fs/ far away, and an agent that lies about files, or answers late, or not at all. */
#include "far_agent.h"

/* --- Attributes --- */

static void attributes_no_file_can_have(void **state)
{
	const struct stat bad[] = {
	    a_file(2, S_IFREG | 0644, -1),	   a_file(2, 0644, 1), /* no type */
	    a_file(2, S_IFREG | 0200000, 1),			       /* no such bit */
	    a_file(2, S_IFDIR | S_IFLNK, 1),			       /* no such type */
	    {.st_mode = S_IFREG, .st_blocks = -1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		kernel_looks_up(FUSE_ROOT_ID, "f");
		wait_for(FILE_LOOKUP);
		answer(&(struct file_reply){.attr = bad[i]}, -EPROTO);
		assert_int_equal(far_fake.error, 1); /* it waits for the next connection */
	}
}

/* To the kernel a node is of one type for ever: what turns into something else is another one. */
static void a_file_that_turns_into_a_directory(void **state)
{
	uint64_t before, after;

	(void)state;
	before = look_up("f", a_file(2, S_IFREG | 0644, 5));
	kernel_looks_up(FUSE_ROOT_ID, "g");
	wait_for(FILE_LOOKUP);
	answer(&(struct file_reply){.attr = a_file(2, S_IFDIR | 0755, 5), .watch = 7}, 0);
	assert_int_equal(far_fake.error, 0);
	after = replied_entry()->nodeid;
	assert_true(before != after);
	assert_int_equal(replied_entry()->attr.mode, S_IFDIR | 0755);
}

static void another_file_under_a_handle(void **state)
{
	uint64_t ino = look_up("f", a_file(2, S_IFREG | 0644, 5));

	(void)state;
	kernel_opens(ino, O_RDONLY);
	wait_for(FILE_OPEN);
	answer(&(struct file_reply){.attr = a_file(3, S_IFREG | 0644, 5), .watch = 8}, 0);
	assert_int_equal(far_fake.error, -ESTALE);
	kernel_opens(ino, O_RDONLY);
	wait_for(FILE_OPEN);
	answer(&(struct file_reply){.attr = a_file(2, S_IFIFO | 0644, 5), .watch = 8}, 0);
	assert_int_equal(far_fake.error, -ESTALE);
}

static void ask_about_root(void)
{
	kernel_asks(FUSE_GETATTR, FUSE_ROOT_ID, &(struct fuse_getattr_in){0}, sizeof(struct fuse_getattr_in),
		    NULL, NULL, 0);
	wait_for(FILE_GETATTR);
}

static void numbers_that_are_too_many(void **state)
{
	struct stat st = a_file(1, S_IFDIR | 0755, 0);
	struct buf list;

	(void)state;
	ask_about_root();
	buf_init(&list, 1024);
	assert_int_equal(file_list_put_attr(&list, 0, &st), 0);
	assert_int_equal(file_list_put_attr(&list, 0, &st), 0);
	assert_int_equal(agent_replies(tag, asked.op, &(struct file_reply){0}, &list), -EPROTO);
	assert_int_equal(far_fake.error, -EPROTO);
	buf_free(&list);
}

static void a_block_size_nobody_could_work_with(void **state)
{
	struct stat st = a_file(2, S_IFREG | 0644, 5);

	(void)state;
	st.st_blksize = 1 << 30;
	look_up("f", st);
	assert_true(replied_entry()->attr.blksize <= 1 << 20);
	st.st_blksize = 3;
	look_up("g", st);
	assert_true(replied_entry()->attr.blksize >= 512);
}

/* --- Listings --- */

static int answer_list(const struct buf *list, bool flag)
{
	struct file_reply r = {.attr = a_file(1, S_IFDIR | 0755, 0), .watch = 7, .flag = flag};

	return agent_replies(tag, asked.op, &r, list);
}

/* One name, as an agent that checks nothing would send it. */
static int list_with(const char *name, size_t len, bool flag)
{
	struct stat st = a_file(2, S_IFREG | 0644, 5);
	struct buf list;
	int rc;

	buf_init(&list, 4096);
	put_u64(&list, 1);
	put_bytes(&list, name, (uint32_t)len);
	put_u8(&list, 1);
	put_attr(&list, &st);
	put_bytes(&list, "", 0);
	rc = answer_list(&list, flag);
	buf_free(&list);
	return rc;
}

static void open_root(void)
{
	kernel_asks(FUSE_OPENDIR, FUSE_ROOT_ID, &(struct fuse_open_in){0}, sizeof(struct fuse_open_in), NULL,
		    NULL, 0);
	wait_for(FILE_READDIR);
}

static void close_root(uint64_t handle)
{
	kernel_asks(FUSE_RELEASEDIR, FUSE_ROOT_ID, &(struct fuse_release_in){.fh = handle},
		    sizeof(struct fuse_release_in), NULL, NULL, 0);
}

static void names_that_lead_elsewhere(void **state)
{
	char longest[300];
	static const struct {
		const char *name;
		size_t len;
	} bad[] = {{"", 0}, {".", 1}, {"..", 2}, {"a/b", 3}, {"/", 1}, {"a\0b", 3}, {"\0", 1}};

	(void)state;
	open_root();
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(list_with(bad[i].name, bad[i].len, true), -EPROTO);
	memset(longest, 'x', sizeof longest);
	assert_int_equal(list_with(longest, 256, true), -EPROTO);
	assert_int_equal(far_fake.error, 1);
	assert_int_equal(list_with(longest, 255, true), 0);
	assert_int_equal(far_fake.error, 0);
	close_root(replied_handle());
}

static void a_listing_that_does_not_go_on(void **state)
{
	struct stat dir = a_file(1, S_IFDIR | 0755, 0);

	(void)state;
	open_root();
	answer(&(struct file_reply){.attr = dir, .watch = 7}, 0);
	assert_int_equal(far_fake.error, -EIO);
}

static void a_listing_that_never_ends(void **state)
{
	struct file_entry e = {.known = true, .attr = a_file(2, S_IFREG | 0644, 5)};
	unsigned replies = 0, n = 0;
	struct buf list;

	(void)state;
	open_root();
	buf_init(&list, 2u << 20);
	while (far_fake.error == 1) {
		assert_true(++replies < 1000);
		list.len = 0;
		while (list.len < 1000000) {
			snprintf(e.name, sizeof e.name, "%0200u", n++);
			e.position = n;
			assert_int_equal(file_list_put_entry(&list, &e), 0);
		}
		assert_int_equal(answer_list(&list, false), 0);
		if (far_fake.error == 1)
			wait_for(FILE_READDIR);
	}
	assert_int_equal(far_fake.error, -EFBIG);
	buf_free(&list);
}

/* The same names again and again: memory does not grow, and each is shown once. */
static void the_same_name_many_times(void **state)
{
	struct file_entry e = {.known = true, .attr = a_file(2, S_IFREG | 0644, 5), .name = "twin"};
	struct buf list;
	uint64_t handle;

	(void)state;
	open_root();
	buf_init(&list, 2u << 20);
	for (unsigned i = 0; i < 1000; i++) {
		e.attr.st_mode = i % 2 ? S_IFREG : S_IFDIR; /* and of changing types */
		assert_int_equal(file_list_put_entry(&list, &e), 0);
	}
	assert_int_equal(answer_list(&list, true), 0);
	buf_free(&list);
	assert_int_equal(far_fake.error, 0);
	handle = replied_handle();
	kernel_asks(FUSE_READDIRPLUS, FUSE_ROOT_ID, &(struct fuse_read_in){.fh = handle, .size = 65536},
		    sizeof(struct fuse_read_in), NULL, NULL, 0);
	assert_int_equal(far_fake.error, 0);
	assert_true(far_fake.len < 4 * (sizeof(struct fuse_direntplus) + 8)); /* ".", ".." and it */
	close_root(handle);
}

/* --- Data --- */

static void more_bytes_than_asked_for(void **state)
{
	uint64_t ino = look_up("f", a_file(2, S_IFREG | 0644, 1 << 20)), handle;
	static char bytes[FILE_READ_MAX];

	(void)state;
	handle = open_large(ino);
	read_some(ino, handle, 0, 4096);
	assert_int_equal(far_fake.error, 1);
	wait_for(FILE_READ);
	answer(&(struct file_reply){.data = (const uint8_t *)bytes, .data_len = (uint32_t)asked.length + 1},
	       -EPROTO);
	assert_int_equal(far_fake.error, -EPROTO);
	release(ino, handle);
}

static void content_that_is_not_what_the_size_says(void **state)
{
	uint64_t ino = look_up("f", a_file(2, S_IFREG | 0644, 5)), handle;

	(void)state;
	/* Longer than the file is said to be: shown as long as it came, and no byte more. */
	handle = open_file(ino, O_RDONLY,
			   &(struct file_reply){.attr = a_file(2, S_IFREG | 0644, 5),
						.watch = 8,
						.flag = true,
						.data = (const uint8_t *)"0123456789",
						.data_len = 10});
	read_some(ino, handle, 8, 4096);
	assert_int_equal(far_fake.error, 0);
	assert_int_equal(far_fake.len, 2);
	read_some(ino, handle, INT64_MAX - 4096, 4096);
	assert_int_equal(far_fake.error, 0);
	assert_int_equal(far_fake.len, 0);
	release(ino, handle);
	/* Content that is not whole is no content. */
	kernel_opens(ino, O_RDONLY);
	wait_for(FILE_OPEN);
	answer(&(struct file_reply){.attr = a_file(2, S_IFREG | 0644, 5),
				    .data = (const uint8_t *)"01",
				    .data_len = 2},
	       -EPROTO);
}

/* A write that is said to have written less, or more, is a failure that close tells. */
static void fewer_bytes_than_were_written(void **state)
{
	uint64_t ino = look_up("f", a_file(2, S_IFREG | 0644, 0)), handle;
	const uint64_t ends[] = {0, 3, 5, (uint64_t)INT64_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		handle = open_file(ino, O_WRONLY,
				   &(struct file_reply){.attr = a_file(2, S_IFREG | 0644, 0), .watch = 8});
		write_some(ino, handle, "data", 4);
		assert_int_equal(far_fake.error, 0);
		wait_for(FILE_WRITE);
		answer(&(struct file_reply){.attr = a_file(2, S_IFREG | 0644, 4), .value = ends[i]}, 0);
		kernel_asks(FUSE_FLUSH, ino, &(struct fuse_flush_in){.fh = handle},
			    sizeof(struct fuse_flush_in), NULL, NULL, 0);
		assert_int_equal(far_fake.error, -EIO);
		release(ino, handle);
	}
}

/* --- When --- */

static void an_answer_to_what_was_given_up(void **state)
{
	uint32_t old;

	(void)state;
	kernel_looks_up(FUSE_ROOT_ID, "f");
	wait_for(FILE_LOOKUP);
	old = tag;
	core_lock();
	file_calls_suspend(far_fake.sandbox->files);
	far_changed(far_fake.graft, NULL);
	file_calls_fail(far_fake.sandbox->files, ETIMEDOUT);
	core_unlock();
	assert_int_equal(far_fake.error, -ETIMEDOUT);
	core_lock();
	file_calls_resume(far_fake.sandbox->files, far_fake_send, NULL);
	core_unlock();
	assert_int_equal(
	    agent_replies(old, FILE_LOOKUP, &(struct file_reply){.attr = a_file(2, S_IFREG, 1)}, NULL),
	    -EPROTO);
	/* And it goes on. */
	look_up("g", a_file(3, S_IFREG | 0644, 5));
}

static void what_was_remembered_goes_with_the_connection(void **state)
{
	uint64_t ino = look_up("f", a_file(2, S_IFREG | 0644, 5));

	(void)state;
	kernel_looks_up(FUSE_ROOT_ID, "f");
	assert_int_equal(far_fake.error, 0); /* known */
	core_lock();
	file_calls_suspend(far_fake.sandbox->files);
	far_changed(far_fake.graft, NULL);
	core_unlock();
	kernel_looks_up(FUSE_ROOT_ID, "f");
	assert_int_equal(far_fake.error, 1);
	kernel_asks(FUSE_GETATTR, ino, &(struct fuse_getattr_in){0}, sizeof(struct fuse_getattr_in), NULL,
		    NULL, 0);
	assert_int_equal(far_fake.error, 1);
}

/* Also what a listing had brought that was under way then, be there a new watch or not. */
static void a_connection_lost_amid_a_listing(void **state)
{
	struct file_entry e = {.known = true, .attr = a_file(2, S_IFDIR | 0755, 0), .name = "d"};
	struct buf list;

	(void)state;
	open_root();
	buf_init(&list, 4096);
	assert_int_equal(file_list_put_entry(&list, &e), 0);
	assert_int_equal(answer_list(&list, false), 0);
	buf_free(&list);
	kernel_looks_up(FUSE_ROOT_ID, "d");
	assert_int_equal(far_fake.error, 0);
	reconnect();
	look_up("x", a_file(3, S_IFREG | 0644, 5));
	kernel_looks_up(FUSE_ROOT_ID, "d");
	assert_int_equal(far_fake.error, 1);
}

/* Handles of an agent that was started anew are not known to it; names are. */
static void an_agent_that_was_started_anew(void **state)
{
	uint64_t ino = look_up("f", a_file(2, S_IFREG | 0644, 1 << 20)), handle;

	(void)state;
	handle = open_large(ino);
	reconnect();
	read_some(ino, handle, 0, 4096);
	wait_for(FILE_READ);
	answer(&(struct file_reply){.error = ESTALE}, 0);
	assert_int_equal(far_fake.error, -ESTALE);
	release(ino, handle);
	look_up("f", a_file(2, S_IFREG | 0644, 1 << 20));
}

static void notices_that_make_no_sense(void **state)
{
	struct file_changed c = {.watch = 7, .what = UINT32_MAX, .after = UINT64_MAX, .name = "f"};
	struct buf out;

	(void)state;
	look_up("f", a_file(2, S_IFREG | 0644, 5));
	buf_init(&out, 4096);
	assert_int_equal(file_changed_encode(&out, &c), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(agent_notices(out.data, out.len), 0);
	assert_int_equal(agent_notices(out.data, out.len - 1), -EPROTO);
	out.len = 0;
	strcpy(c.name, "..");
	assert_int_equal(file_changed_encode(&out, &c), 0);
	assert_int_equal(agent_notices(out.data, out.len), -EPROTO);
	buf_free(&out);
}

/* Names by the thousand in a directory whose listing is known: no more than can be asked for at once. */
static void a_flood_of_notices(void **state)
{
	struct file_changed c = {.watch = 7, .what = FILE_CHANGED_ENTRY};
	struct buf out;

	(void)state;
	open_root();
	assert_int_equal(list_with("f", 1, true), 0);
	close_root(replied_handle());
	buf_init(&out, 4096);
	for (unsigned i = 0; i < 100000; i++) {
		out.len = 0;
		snprintf(c.name, sizeof c.name, "%u", i);
		assert_int_equal(file_changed_encode(&out, &c), 0);
		assert_int_equal(agent_notices(out.data, out.len), 0);
	}
	buf_free(&out);
	look_up("f", a_file(2, S_IFREG | 0644, 5));
}

static void answer_about_root(uint32_t error, const struct stat *st)
{
	struct buf list;

	ask_about_root();
	buf_init(&list, 1024);
	assert_int_equal(file_list_put_attr(&list, error, st), 0);
	agent_replies(tag, asked.op, &(struct file_reply){0}, &list);
	buf_free(&list);
}

/* The kernel takes no reply with one above 511, and whoever waits for it waits for ever. */
static void an_errno_in_a_list_of_attributes(void **state)
{
	(void)state;
	answer_about_root(600, &(struct stat){0});
	assert_int_equal(far_fake.error, 1); /* it waits for the next connection */
}

static void a_negative_errno_in_a_list_of_attributes(void **state)
{
	(void)state;
	answer_about_root(0x80000000u, &(struct stat){0});
	assert_int_equal(far_fake.error, 1); /* it waits for the next connection */
}

/* The root of fs/ is a directory, whoever says what. */
static void a_root_that_is_a_file(void **state)
{
	struct stat st = a_file(1, S_IFREG | 0644, 0);

	(void)state;
	answer_about_root(0, &st);
	assert_int_equal(far_fake.error, -ESTALE);
}

static void a_setattr_that_tells_of_another_type(void **state)
{
	struct stat st = a_file(2, S_IFREG | 0644, 3);
	uint64_t ino = look_up("f", st);

	(void)state;
	kernel_asks(FUSE_SETATTR, ino, &(struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 0600},
		    sizeof(struct fuse_setattr_in), NULL, NULL, 0);
	wait_for(FILE_SETATTR);
	st.st_mode = S_IFDIR | 0600;
	agent_replies(tag, FILE_SETATTR, &(struct file_reply){.attr = st}, NULL);
	assert_int_equal(far_fake.error, -ESTALE);
}

#define LIE(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    LIE(attributes_no_file_can_have),
	    LIE(a_file_that_turns_into_a_directory),
	    LIE(another_file_under_a_handle),
	    LIE(numbers_that_are_too_many),
	    LIE(a_block_size_nobody_could_work_with),
	    LIE(names_that_lead_elsewhere),
	    LIE(a_listing_that_does_not_go_on),
	    LIE(a_listing_that_never_ends),
	    LIE(the_same_name_many_times),
	    LIE(more_bytes_than_asked_for),
	    LIE(content_that_is_not_what_the_size_says),
	    LIE(fewer_bytes_than_were_written),
	    LIE(an_answer_to_what_was_given_up),
	    LIE(what_was_remembered_goes_with_the_connection),
	    LIE(a_connection_lost_amid_a_listing),
	    LIE(an_agent_that_was_started_anew),
	    LIE(notices_that_make_no_sense),
	    LIE(a_flood_of_notices),
	    LIE(an_errno_in_a_list_of_attributes),
	    LIE(a_negative_errno_in_a_list_of_attributes),
	    LIE(a_root_that_is_a_file),
	    LIE(a_setattr_that_tells_of_another_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
