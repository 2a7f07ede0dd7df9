/* fs/ far away: which writes wait for the agent, what it is told of them, and who hears of those that failed.
 */
#include "far_agent.h"

#define SYNC (O_APPEND | O_SYNC)

static uint64_t known_file(void)
{
	return look_up("f", a_file(2, S_IFREG | 0644, 3));
}

static uint64_t open_known(uint64_t ino, uint32_t flags)
{
	return open_file(ino, flags, &(struct file_reply){.attr = a_file(2, S_IFREG | 0644, 3), .watch = 8});
}

/* `flags`: those the descriptor has at the write. */
static void write_as(uint64_t ino, uint64_t handle, uint32_t flags)
{
	kernel_asks(FUSE_WRITE, ino,
		    &(struct fuse_write_in){.fh = handle, .offset = 3, .size = 4, .flags = flags},
		    sizeof(struct fuse_write_in), NULL, "more", 4);
}

static void flush(uint64_t ino, uint64_t handle)
{
	kernel_asks(FUSE_FLUSH, ino, &(struct fuse_flush_in){.fh = handle}, sizeof(struct fuse_flush_in),
		    NULL, NULL, 0);
}

static void assert_flushed(uint64_t ino, uint64_t handle, int error)
{
	flush(ino, handle);
	assert_int_equal(far_fake.error, error);
}

static void agent_wrote(void)
{
	wait_for(FILE_WRITE);
	answer(&(struct file_reply){.attr = a_file(2, S_IFREG | 0644, 7), .value = 7}, 0);
}

static void agent_could_not_write(void)
{
	wait_for(FILE_WRITE);
	answer(&(struct file_reply){.error = ENOSPC}, 0);
}

/* The kernel asks for the rest of O_SYNC behind each write, but not where it appends. */
static void an_append_with_o_sync_has_been_written(void **state)
{
	uint64_t ino = known_file(), h = open_known(ino, O_WRONLY | SYNC);

	(void)state;
	write_as(ino, h, O_WRONLY | SYNC);
	assert_int_equal(far_fake.error, 1); /* it waits */
	agent_wrote();
	assert_true(asked.bits & FILE_OPEN_APPEND);
	assert_int_equal(far_fake.error, 0);
	assert_int_equal(((const struct fuse_write_out *)far_fake.reply)->size, 4);
	write_as(ino, h, O_WRONLY | SYNC);
	agent_could_not_write();
	assert_int_equal(far_fake.error, -ENOSPC);
	assert_flushed(ino, h, 0); /* it has been told */
	release(ino, h);
}

static void other_writes_do_not_wait(void **state)
{
	static const uint32_t flags[] = {O_WRONLY, O_WRONLY | O_APPEND, O_WRONLY | O_SYNC};
	uint64_t ino = known_file(), h = open_known(ino, O_WRONLY);

	(void)state;
	for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++) {
		write_as(ino, h, flags[i]);
		assert_int_equal(far_fake.error, 0);
		agent_wrote();
	}
	release(ino, h);
}

/* Of the descriptor, fcntl(2) may have changed it since the open. */
static void o_append_is_what_it_is_at_the_write(void **state)
{
	uint64_t ino = known_file(), plain = open_known(ino, O_WRONLY),
		 appends = open_known(ino, O_WRONLY | O_APPEND);

	(void)state;
	write_as(ino, plain, O_WRONLY | O_APPEND);
	agent_wrote();
	assert_true(asked.bits & FILE_OPEN_APPEND);
	write_as(ino, appends, O_WRONLY);
	agent_wrote();
	assert_false(asked.bits & FILE_OPEN_APPEND);
	assert_int_equal(asked.offset, 3);
	release(ino, plain);
	release(ino, appends);
}

static void a_write_that_failed_is_told_to_who_wrote(void **state)
{
	uint64_t ino = known_file(), reader = open_known(ino, O_RDONLY), writer = open_known(ino, O_WRONLY);

	(void)state;
	write_as(ino, writer, O_WRONLY);
	assert_int_equal(far_fake.error, 0);
	agent_could_not_write();
	assert_flushed(ino, reader, 0);
	assert_flushed(ino, writer, -ENOSPC);
	assert_flushed(ino, writer, 0); /* once */
	release(ino, reader);
	release(ino, writer);
}

/* The same where the close comes first, and waits for the write. */
static void a_close_that_waits_for_the_write_of_another(void **state)
{
	uint64_t ino = known_file(), reader = open_known(ino, O_RDONLY), writer = open_known(ino, O_WRONLY);

	(void)state;
	write_as(ino, writer, O_WRONLY);
	flush(ino, reader);
	assert_int_equal(far_fake.error, 1);
	agent_could_not_write();
	assert_int_equal(far_fake.error, 0);
	write_as(ino, writer, O_WRONLY);
	assert_int_equal(far_fake.error, -ENOSPC); /* the next write tells, too */
	write_as(ino, writer, O_WRONLY);
	flush(ino, writer);
	assert_int_equal(far_fake.error, 1);
	agent_could_not_write();
	assert_int_equal(far_fake.error, -ENOSPC);
	release(ino, reader);
	release(ino, writer);
}

static void a_write_that_failed_is_told_by_fsync(void **state)
{
	uint64_t ino = known_file(), writer = open_known(ino, O_WRONLY);

	(void)state;
	write_as(ino, writer, O_WRONLY);
	kernel_asks(FUSE_FSYNC, ino, &(struct fuse_fsync_in){.fh = writer}, sizeof(struct fuse_fsync_in),
		    NULL, NULL, 0);
	agent_could_not_write();
	assert_int_equal(far_fake.error, 1);
	wait_for(FILE_FSYNC);
	answer(&(struct file_reply){0}, 0);
	assert_int_equal(far_fake.error, -ENOSPC);
	assert_flushed(ino, writer, 0);
	release(ino, writer);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(an_append_with_o_sync_has_been_written),      TEST(other_writes_do_not_wait),
	    TEST(o_append_is_what_it_is_at_the_write),	       TEST(a_write_that_failed_is_told_to_who_wrote),
	    TEST(a_close_that_waits_for_the_write_of_another), TEST(a_write_that_failed_is_told_by_fsync),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
