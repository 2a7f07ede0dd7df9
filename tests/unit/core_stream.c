/* Streams: what a read may do at each offset and state, who is woken, and which bytes stay. */
#include "core/process/stream.h"

#include "channel/protocol.h"
#include "core/backend.h"
#include "core/waiter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int opens, open_failure;

static int open_file(struct stream *s)
{
	int fd;

	(void)s;
	opens++;
	if (open_failure)
		return -open_failure;
	fd = memfd_create("stream", MFD_CLOEXEC);
	assert_int_equal(write(fd, "0123456789", 10), 10);
	return fd;
}

static void begin(struct stream *s)
{
	opens = open_failure = 0;
	stream_init(s, open_file);
}

static ssize_t read_at(struct stream *s, uint64_t off, size_t len, bool follow)
{
	const char *data;
	int fd = -1;

	return stream_read(s, &off, len, follow, &fd, &data);
}

static void test_read_decisions(void **state)
{
	struct stream s;
	uint64_t off = 4;
	char got[3];
	const char *data;
	int fd;

	(void)state;
	begin(&s);
	assert_int_equal(read_at(&s, 0, 10, true), -EAGAIN);
	assert_int_equal(read_at(&s, 0, 10, false), 0);
	assert_int_equal(opens, 0); /* nothing to read opens nothing */
	stream_grow(&s, 7, false);
	assert_int_equal(read_at(&s, 0, 100, true), 7);
	assert_int_equal(read_at(&s, 0, 3, true), 3);
	assert_int_equal(read_at(&s, 6, 100, false), 1);
	assert_int_equal(read_at(&s, 7, 1, true), -EAGAIN);
	assert_int_equal(read_at(&s, 7, 1, false), 0);
	assert_int_equal(read_at(&s, 1000, 1, true), -EAGAIN); /* beyond the end: it may come */
	assert_int_equal(stream_read(&s, &off, 3, true, &fd, &data), 3);
	assert_int_equal(pread(fd, got, 3, (off_t)off), 3);
	assert_memory_equal(got, "456", 3);
	stream_end(&s, 0);
	assert_int_equal(read_at(&s, 7, 1, true), 0);
	assert_int_equal(read_at(&s, 1000, 1, true), 0);
	assert_int_equal(read_at(&s, 5, 100, true), 2);
	stream_fini(&s);
}

static void test_size_never_shrinks(void **state)
{
	struct stream s;

	(void)state;
	begin(&s);
	stream_grow(&s, 7, true);
	assert_true(s.full);
	stream_grow(&s, 3, false);
	assert_int_equal(s.size, 7);
	assert_false(s.full);
	/* What a process left behind writes after the end is still read. */
	stream_end(&s, 0);
	stream_grow(&s, 9, false);
	assert_int_equal(read_at(&s, 7, 100, true), 2);
	stream_fini(&s);
}

static void test_failure_comes_after_the_bytes(void **state)
{
	struct stream s;

	(void)state;
	begin(&s);
	stream_grow(&s, 5, true);
	stream_end(&s, EIO);
	assert_false(s.full);
	assert_int_equal(read_at(&s, 0, 100, true), 5);
	assert_int_equal(read_at(&s, 5, 100, true), -EIO);
	assert_int_equal(read_at(&s, 5, 100, false), 0);
	stream_end(&s, 0); /* a loss stays one */
	assert_int_equal(read_at(&s, 5, 100, true), -EIO);
	stream_end(&s, ENOSPC);
	assert_int_equal(read_at(&s, 5, 100, true), -EIO);
	stream_fini(&s);
}

static void test_open_failure(void **state)
{
	struct stream s;

	(void)state;
	begin(&s);
	stream_grow(&s, 5, false);
	open_failure = EMFILE;
	assert_int_equal(read_at(&s, 0, 5, true), -EMFILE);
	open_failure = 0;
	assert_int_equal(read_at(&s, 0, 5, true), 5);
	stream_fini(&s);
	/* A stream that only grows by stream_append() and was only said to have grown. */
	stream_init(&s, NULL);
	stream_grow(&s, 5, false);
	assert_int_equal(read_at(&s, 0, 5, true), -ENOENT);
}

static void test_readers_hold_the_file(void **state)
{
	struct stream s;

	(void)state;
	begin(&s);
	stream_grow(&s, 10, false);
	stream_add_reader(&s);
	stream_add_reader(&s);
	assert_int_equal(read_at(&s, 0, 1, true), 1);
	assert_int_equal(read_at(&s, 0, 1, true), 1);
	assert_int_equal(opens, 1);
	stream_drop_reader(&s);
	assert_true(s.fd >= 0);
	stream_drop_reader(&s);
	assert_int_equal(s.fd, -1);
	stream_add_reader(&s);
	assert_int_equal(read_at(&s, 0, 1, true), 1);
	assert_int_equal(opens, 2);
	stream_drop_reader(&s);
	assert_int_equal(s.fd, -1);
}

static void test_pin(void **state)
{
	struct stream s;

	(void)state;
	begin(&s);
	stream_pin(&s); /* nobody reads: no descriptor */
	stream_grow(&s, 10, false);
	stream_pin(&s);
	assert_int_equal(opens, 0);
	stream_add_reader(&s);
	stream_pin(&s);
	stream_pin(&s);
	assert_int_equal(opens, 1);
	stream_drop_reader(&s);
	/* The name is gone and nobody had it open: a reader learns of a loss, not of an end. */
	open_failure = ENOENT;
	stream_add_reader(&s);
	stream_pin(&s);
	stream_end(&s, 0);
	assert_int_equal(read_at(&s, 10, 1, true), -EIO);
	stream_drop_reader(&s);
}

/* Output too short for a file stays in memory until there is one. */
static void test_head(void **state)
{
	uint64_t off = 2;
	const char *data;
	struct stream s;
	int fd = -1;

	(void)state;
	begin(&s);
	assert_int_equal(stream_grow_head(&s, 0, "01234", 5), 0);
	assert_int_equal(s.size, 5);
	assert_int_equal(stream_read(&s, &off, 100, true, &fd, &data), 3);
	assert_memory_equal(data, "234", 3);
	assert_int_equal(opens, 0);
	assert_int_equal(stream_grow_head(&s, 3, "3456", 4), 0); /* overlaps */
	assert_int_equal(stream_grow_head(&s, 0, "XX", 2), 0);	 /* known */
	assert_int_equal(s.size, 7);
	assert_memory_equal(s.head, "0123456", 7);
	assert_int_equal(stream_grow_head(&s, 8, "gap", 3), -EPROTO);
	stream_add_reader(&s);
	stream_pin(&s); /* nothing to hold on to */
	assert_int_equal(opens, 0);
	assert_int_equal(s.failure, 0);
	/* Now there is a file, with those bytes in it. */
	stream_grow(&s, 10, false);
	assert_null(s.head);
	assert_int_equal(stream_read(&s, &off, 100, true, &fd, &data), 8);
	assert_null(data);
	assert_int_equal(opens, 1);
	assert_int_equal(stream_grow_head(&s, 10, "x", 1), -EPROTO);
	stream_drop_reader(&s);
	stream_fini(&s);
}

static void test_head_limit(void **state)
{
	static char bytes[SPOOL_HEAD_MAX + 1];
	struct stream s;

	(void)state;
	begin(&s);
	assert_int_equal(stream_grow_head(&s, 0, bytes, SPOOL_HEAD_MAX + 1), -EPROTO);
	assert_int_equal(s.size, 0);
	assert_int_equal(stream_grow_head(&s, 0, bytes, SPOOL_HEAD_MAX), 0);
	assert_int_equal(stream_grow_head(&s, SPOOL_HEAD_MAX, "x", 1), -EPROTO);
	assert_int_equal(stream_grow_head(&s, INT64_MAX, "x", 1), -EPROTO);
	assert_int_equal(s.size, SPOOL_HEAD_MAX);
	stream_fini(&s);
}

struct counting {
	struct waiter waiter;
	int runs;
};

static void count(struct waiter *w)
{
	container_of(w, struct counting, waiter)->runs++;
}

static void test_waiters(void **state)
{
	struct counting a = {.waiter.run = count}, b = {.waiter.run = count};
	struct stream s;

	(void)state;
	begin(&s);
	core_lock();
	list_append(&s.waiters, &a.waiter.link);
	list_append(&s.waiters, &b.waiter.link);
	stream_grow(&s, 1, false);
	assert_true(list_empty(&s.waiters));
	assert_int_equal(a.runs, 0); /* not under the lock */
	list_remove(&b.waiter.link); /* interrupted between wake and run */
	core_unlock();
	assert_int_equal(a.runs, 1);
	assert_int_equal(b.runs, 0);
	core_lock();
	list_append(&s.waiters, &a.waiter.link);
	stream_end(&s, 0);
	core_unlock();
	assert_int_equal(a.runs, 2);
}

/* A little takes no descriptor: there may be ten thousand of them. */
static void test_append(void **state)
{
	char piece[SPOOL_HEAD_MAX], got[SPOOL_HEAD_MAX + 8] = "", directory[] = "/tmp/core-stream-XXXXXX";
	struct stream s;

	(void)state;
	memset(piece, 'x', sizeof piece);
	stream_init(&s, NULL);
	assert_int_equal(stream_append(&s, "/does/not/exist", "hello ", 6), 0);
	assert_int_equal(s.fd, -1);
	assert_memory_equal(s.head, "hello ", 6);
	assert_int_equal(stream_append(&s, "/does/not/exist", piece, sizeof piece), -ENOENT);
	assert_int_equal(s.size, 6);
	assert_int_equal(stream_append(&s, "", piece, sizeof piece), 0);
	assert_null(s.head);
	stream_add_reader(&s);
	stream_drop_reader(&s); /* cannot be opened again, so it stays */
	assert_int_equal(stream_append(&s, "", "!", 1), 0);
	assert_int_equal(s.size, sizeof piece + 7);
	assert_int_equal(pread(s.fd, got, sizeof got, 0), sizeof piece + 7);
	assert_memory_equal(got, "hello xxx", 9);
	assert_string_equal(got + sizeof piece + 5, "x!");
	stream_fini(&s);

	stream_init(&s, NULL);
	assert_non_null(mkdtemp(directory));
	assert_int_equal(stream_append(&s, directory, piece, sizeof piece), 0);
	assert_int_equal(s.fd, -1);
	assert_int_equal(stream_append(&s, directory, "x", 1), 0);
	assert_int_equal(rmdir(directory), 0); /* the file has no name there */
	stream_fini(&s);
}

/* Whole lines stay; who reads where nothing is left goes on at the first line that is. */
int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_read_decisions),
	    cmocka_unit_test(test_size_never_shrinks),
	    cmocka_unit_test(test_failure_comes_after_the_bytes),
	    cmocka_unit_test(test_open_failure),
	    cmocka_unit_test(test_readers_hold_the_file),
	    cmocka_unit_test(test_pin),
	    cmocka_unit_test(test_head),
	    cmocka_unit_test(test_head_limit),
	    cmocka_unit_test(test_waiters),
	    cmocka_unit_test(test_append),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
