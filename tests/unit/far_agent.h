/* For tests of fs/ far away in which the test is the agent. */
#pragma once

#include "far_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct file_request asked;
static uint32_t tag;

/* The next request to the agent of this kind; what else it was asked meanwhile stays unanswered. */
static inline void wait_for(uint8_t op)
{
	do
		assert_true(agent_is_asked(&asked, &tag));
	while (asked.op != op);
}

static inline void answer(const struct file_reply *r, int want)
{
	assert_int_equal(agent_replies(tag, asked.op, r, NULL), want);
}

static inline int begin(void **state)
{
	struct buf list;
	struct stat st = a_file(1, S_IFDIR | 0755, 0);

	(void)state;
	far_fake_begin();
	far_fake_graft();
	wait_for(FILE_GETATTR);
	buf_init(&list, 1024);
	assert_int_equal(file_list_put_attr(&list, 0, &st), 0);
	assert_int_equal(agent_replies(tag, asked.op, &(struct file_reply){0}, &list), 0);
	buf_free(&list);
	return 0;
}

static inline int end(void **state)
{
	(void)state;
	far_fake_end();
	return 0;
}

/* The kernel gets to know a file. */
static inline uint64_t look_up(const char *name, struct stat st)
{
	kernel_looks_up(FUSE_ROOT_ID, name);
	wait_for(FILE_LOOKUP);
	answer(&(struct file_reply){.attr = st, .watch = 7}, 0);
	assert_int_equal(far_fake.error, 0);
	return replied_entry()->nodeid;
}

static inline uint64_t open_file(uint64_t ino, uint32_t flags, const struct file_reply *r)
{
	kernel_opens(ino, flags);
	wait_for(FILE_OPEN);
	answer(r, 0);
	assert_int_equal(far_fake.error, 0);
	return replied_handle();
}

static inline uint64_t open_large(uint64_t ino)
{
	return open_file(ino, O_RDONLY,
			 &(struct file_reply){.attr = a_file(2, S_IFREG | 0644, 1 << 20), .watch = 8});
}

static inline void release(uint64_t ino, uint64_t handle)
{
	kernel_asks(FUSE_RELEASE, ino, &(struct fuse_release_in){.fh = handle},
		    sizeof(struct fuse_release_in), NULL, NULL, 0);
	assert_int_equal(far_fake.error, 0);
}

static inline void read_some(uint64_t ino, uint64_t handle, uint64_t offset, uint32_t size)
{
	kernel_asks(FUSE_READ, ino, &(struct fuse_read_in){.fh = handle, .offset = offset, .size = size},
		    sizeof(struct fuse_read_in), NULL, NULL, 0);
}

static inline void write_some(uint64_t ino, uint64_t handle, const char *data, uint32_t size)
{
	kernel_asks(FUSE_WRITE, ino, &(struct fuse_write_in){.fh = handle, .size = size},
		    sizeof(struct fuse_write_in), NULL, data, size);
}

static inline void reconnect(void)
{
	core_lock();
	file_calls_suspend(far_fake.sandbox->files);
	far_changed(far_fake.graft, NULL);
	file_calls_resume(far_fake.sandbox->files, far_fake_send, NULL);
	core_unlock();
	far_fake.taken = far_fake.count;
}
