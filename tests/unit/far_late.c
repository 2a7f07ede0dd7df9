/* fs/ far away: what was so when it was asked for, and is not any more. */
#include "far_agent.h"

static const char *read_back(void)
{
	static char text[64];

	assert_true(far_fake.len < sizeof text);
	memcpy(text, far_fake.reply, far_fake.len);
	text[far_fake.len] = '\0';
	return text;
}

/* The read is not answered from what is known, but by the agent. */
static void agent_reads(const char *text)
{
	assert_int_equal(far_fake.error, 1);
	wait_for(FILE_READ);
	answer(&(struct file_reply){.data = (const uint8_t *)text, .data_len = strlen(text)}, 0);
	assert_int_equal(far_fake.error, 0);
	assert_string_equal(read_back(), text);
}

/* open(2) is under way, and brings the content; meanwhile write(2) by another descriptor has returned. */
static void content_that_came_with_an_open_begun_before_a_write(void **state)
{
	struct stat st = a_file(2, S_IFREG | 0644, 3);
	uint64_t ino = look_up("f", st), w, r;
	uint32_t open_tag;

	(void)state;
	w = open_file(ino, O_WRONLY, &(struct file_reply){.attr = st, .watch = 8});
	kernel_opens(ino, O_RDONLY);
	wait_for(FILE_OPEN);
	open_tag = tag;
	write_some(ino, w, "new", 3);
	assert_int_equal(far_fake.error, 0); /* it has returned */
	agent_replies(
	    open_tag, FILE_OPEN,
	    &(struct file_reply){
		.attr = st, .watch = 8, .flag = true, .data = (const uint8_t *)"old", .data_len = 3},
	    NULL);
	assert_int_equal(far_fake.error, 0);
	r = replied_handle();
	wait_for(FILE_WRITE);
	st.st_mtim.tv_sec++;
	answer(&(struct file_reply){.attr = st, .value = 3}, 0);
	read_some(ino, r, 0, 4096);
	agent_reads("new");
	release(ino, r);
	release(ino, w);
}

/* The same with a truncation. */
static void content_that_came_with_an_open_begun_before_a_truncation(void **state)
{
	struct stat st = a_file(2, S_IFREG | 0644, 3);
	uint64_t ino = look_up("f", st), r;
	uint32_t open_tag;

	(void)state;
	kernel_opens(ino, O_RDONLY);
	wait_for(FILE_OPEN);
	open_tag = tag;
	kernel_asks(FUSE_SETATTR, ino, &(struct fuse_setattr_in){.valid = FATTR_SIZE, .size = 0},
		    sizeof(struct fuse_setattr_in), NULL, NULL, 0);
	agent_replies(
	    open_tag, FILE_OPEN,
	    &(struct file_reply){
		.attr = st, .watch = 8, .flag = true, .data = (const uint8_t *)"old", .data_len = 3},
	    NULL);
	r = replied_handle();
	wait_for(FILE_SETATTR);
	st.st_size = 0;
	answer(&(struct file_reply){.attr = st}, 0);
	assert_int_equal(far_fake.error, 0);
	read_some(ino, r, 0, 4096);
	agent_reads("");
	release(ino, r);
}

/* A file that is open and was made here has no watch of its own; its directory's listing was given up. */
static void a_notice_of_an_open_file_whose_entry_is_gone(void **state)
{
	struct stat st = a_file(2, S_IFREG | 0644, 3), dir = a_file(1, S_IFDIR | 0755, 0);
	struct file_changed c = {.watch = 7, .what = FILE_CHANGED_DATA, .name = "f"};
	struct file_entry e = {.known = true, .plain = true, .attr = st, .name = "f", .position = 1};
	struct buf out;
	uint64_t ino, r, listing;

	(void)state;
	kernel_asks(FUSE_CREATE, FUSE_ROOT_ID,
		    &(struct fuse_create_in){.flags = O_RDWR | O_CREAT, .mode = S_IFREG | 0644},
		    sizeof(struct fuse_create_in), "f", NULL, 0);
	wait_for(FILE_CREATE);
	answer(&(struct file_reply){.attr = st, .parent = dir, .watch = 7}, 0);
	assert_int_equal(far_fake.error, 0);
	ino = replied_entry()->nodeid;
	r = ((const struct fuse_open_out *)(replied_entry() + 1))->fh;
	/* It is listed, and read. */
	kernel_asks(FUSE_OPENDIR, FUSE_ROOT_ID, &(struct fuse_open_in){0}, sizeof(struct fuse_open_in), NULL,
		    NULL, 0);
	wait_for(FILE_READDIR);
	buf_init(&out, 4096);
	assert_int_equal(file_list_put_entry(&out, &e), 0);
	agent_replies(tag, FILE_READDIR, &(struct file_reply){.attr = dir, .watch = 7, .flag = true}, &out);
	assert_int_equal(far_fake.error, 0);
	listing = replied_handle();
	read_some(ino, r, 0, 4096);
	wait_for(FILE_READ);
	answer(&(struct file_reply){.data = (const uint8_t *)"old", .data_len = 3}, 0);
	assert_int_equal(far_fake.error, 0);
	assert_string_equal(read_back(), "old");
	/* A thousand names are made: the listing is given up. */
	c.what = FILE_CHANGED_ENTRY;
	for (unsigned i = 0; i <= 1001; i++) {
		out.len = 0;
		snprintf(c.name, sizeof c.name, "n%u", i);
		assert_int_equal(file_changed_encode(&out, &c), 0);
		assert_int_equal(agent_notices(out.data, out.len), 0);
	}
	/* Somebody inside writes to it. */
	c.what = FILE_CHANGED_DATA;
	strcpy(c.name, "f");
	out.len = 0;
	assert_int_equal(file_changed_encode(&out, &c), 0);
	assert_int_equal(agent_notices(out.data, out.len), 0);
	buf_free(&out);
	read_some(ino, r, 0, 4096);
	agent_reads("new");
	release(ino, r);
	kernel_asks(FUSE_RELEASEDIR, FUSE_ROOT_ID, &(struct fuse_release_in){.fh = listing},
		    sizeof(struct fuse_release_in), NULL, NULL, 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(content_that_came_with_an_open_begun_before_a_write),
	    TEST(content_that_came_with_an_open_begun_before_a_truncation),
	    TEST(a_notice_of_an_open_file_whose_entry_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
