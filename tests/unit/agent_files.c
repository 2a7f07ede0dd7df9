/*
 * Requests about files, of an agent in whose process fsync(2) takes as long as a test wants, and so does
 * cutting down a large file.
 */
#include "agent_daemon.h"

#include "channel/file_protocol.h"

#include <sys/syscall.h>

#define LARGE (65u << 20)

static int *gate; /* they wait for a byte in this pipe: shared with the agent, made before it */
static int gates[2];

static void pass_gate(void)
{
	char byte;

	while (read(*gate, &byte, 1) < 0 && errno == EINTR)
		;
}

int fsync(int fd)
{
	(void)fd;
	pass_gate();
	return 0;
}

int ftruncate(int fd, off_t size)
{
	struct stat st;

	if (!fstat(fd, &st) && st.st_size >= LARGE && size < LARGE)
		pass_gate();
	return (int)syscall(SYS_ftruncate, fd, size);
}

static uint64_t sequence, acknowledged;

static void ask(struct daemon *d, uint32_t tag, struct file_request q)
{
	struct buf payload;

	q.sequence = q.sequence ? q.sequence : ++sequence;
	q.acknowledged = acknowledged;
	buf_init(&payload, 1u << 20);
	assert_int_equal(file_request_encode(&payload, &q), 0);
	tell(d, MSG_FILE, tag, 0, &payload);
	buf_free(&payload);
}

static uint32_t reply(struct daemon *d, uint32_t tag, uint8_t op, struct file_reply *ret)
{
	struct file_reply r;
	struct frame f;

	do
		assert_true(next_frame(d, &f));
	while (f.type != MSG_FILE_REPLY);
	assert_int_equal(f.id, tag);
	assert_int_equal(file_reply_decode((enum file_op)op, f.payload, f.length, &r), 0);
	if (ret)
		*ret = r;
	return r.error;
}

#define LIFE 77

static void connect_as(struct daemon *d, uint64_t life)
{
	struct buf payload;
	struct frame f;

	raw_connect(d);
	buf_init(&payload, 64);
	put_u32(&payload, PROTOCOL_MAGIC);
	put_u32(&payload, PROTOCOL_VERSION);
	put_u8(&payload, SPOOL_SHARED);
	put_u64(&payload, life);
	tell(d, MSG_HELLO, 0, 0, &payload);
	buf_free(&payload);
	do
		assert_true(next_frame(d, &f));
	while (f.type != MSG_READY);
}

enum { DIR = 1, FILE_NODE, FILE_OPEN_ONE, FIRST_FREE };

/* An agent, a directory of the test's as handle DIR, and an open file in it. */
static void begin(struct daemon *d)
{
	struct file_request q = {.op = FILE_LOOKUP, .fresh = FIRST_FREE + 100, .depth = FILE_LINK_RAW};

	assert_int_equal(pipe(gates), 0);
	gate = &gates[0];
	daemon_open(d, 0, 0);
	connect_as(d, LIFE);
	sequence = acknowledged = 0;
	strcpy(q.name, "tmp");
	ask(d, 1, q);
	assert_int_equal(reply(d, 1, FILE_LOOKUP, NULL), 0);
	q.handle = q.fresh;
	q.fresh = DIR;
	strcpy(q.name, strrchr(d->dir, '/') + 1);
	ask(d, 2, q);
	assert_int_equal(reply(d, 2, FILE_LOOKUP, NULL), 0);
	ask(d, 3,
	    (struct file_request){.op = FILE_CREATE,
				  .handle = DIR,
				  .name = "file",
				  .fresh = FILE_NODE,
				  .fresh_file = FILE_OPEN_ONE,
				  .depth = FILE_LINK_RAW,
				  .bits = FILE_OPEN_WRITE | FILE_OPEN_EXCL,
				  .mode = 0600});
	assert_int_equal(reply(d, 3, FILE_CREATE, NULL), 0);
}

static void end(struct daemon *d)
{
	char path[64];

	snprintf(path, sizeof path, "%s/file", d->dir);
	unlink(path);
	/* Nothing may wait for it any more. */
	assert_int_equal(write(gates[1], "................", 16), 16);
	daemon_close(d);
	close(gates[0]);
	close(gates[1]);
}

static const struct file_request sync_file = {.op = FILE_FSYNC, .handle = FILE_OPEN_ONE};

/* Requests are answered and commands run while a job is under way. */
static void nothing_is_held_up(struct daemon *d)
{
	struct seen s;

	ask(d, 11, (struct file_request){.op = FILE_ACCESS, .handle = FILE_NODE, .bits = 4});
	assert_int_equal(reply(d, 11, FILE_ACCESS, NULL), 0);
	/* One that closes the file does not take it away. */
	seen_init(&s, 5);
	start_text(d, 5, "exit 3");
	until_gone(d, &s);
	assert_int_equal(s.outcome.value, 3);
	seen_free(&s);
}

static void a_slow_fsync_holds_nothing_up(void **state)
{
	struct daemon d;

	(void)state;
	begin(&d);
	ask(&d, 10, sync_file);
	nothing_is_held_up(&d);
	assert_int_equal(write(gates[1], ".", 1), 1);
	assert_int_equal(reply(&d, 10, FILE_FSYNC, NULL), 0);
	end(&d);
}

/* What is written is in the file already. */
static void a_close_syncs_nothing(void **state)
{
	struct file_request q = sync_file;
	struct daemon d;

	(void)state;
	begin(&d);
	q.bits = FILE_FSYNC_CLOSE;
	ask(&d, 10, q);
	assert_int_equal(reply(&d, 10, FILE_FSYNC, NULL), 0);
	end(&d);
}

static void more_of_them_than_threads(void **state)
{
	struct daemon d;

	(void)state;
	begin(&d);
	for (uint32_t i = 0; i < 20; i++)
		ask(&d, 10 + i, sync_file);
	assert_int_equal(write(gates[1], "....................", 20), 20);
	for (uint32_t answers = 0; answers < 20; answers++) {
		struct frame f;

		assert_true(next_frame(&d, &f));
		assert_int_equal(f.type, MSG_FILE_REPLY);
	}
	end(&d);
}

static void asked_again_over_the_next_connection(void **state)
{
	struct file_request again = sync_file;
	struct daemon d;

	(void)state;
	begin(&d);
	ask(&d, 10, sync_file);
	again.sequence = sequence;
	ask(&d, 11, (struct file_request){.op = FILE_ACCESS, .handle = FILE_NODE, .bits = 4});
	assert_int_equal(reply(&d, 11, FILE_ACCESS, NULL), 0);
	/* While it goes on: */
	connect_as(&d, LIFE);
	ask(&d, 20, again);
	assert_int_equal(write(gates[1], ".", 1), 1);
	assert_int_equal(reply(&d, 20, FILE_FSYNC, NULL), 0);
	/* And when it has ended: it would stand at the gate for ever if it was done once more. */
	connect_as(&d, LIFE);
	ask(&d, 30, again);
	assert_int_equal(reply(&d, 30, FILE_FSYNC, NULL), 0);
	end(&d);
}

static void of_another_life_nothing_is_left(void **state)
{
	struct daemon d;

	(void)state;
	begin(&d);
	ask(&d, 10, sync_file);
	connect_as(&d, LIFE + 1);
	sequence = acknowledged = 0;
	ask(&d, 20, (struct file_request){.op = FILE_ACCESS, .handle = FILE_NODE, .bits = 4});
	assert_int_equal(reply(&d, 20, FILE_ACCESS, NULL), ESTALE);
	assert_int_equal(write(gates[1], ".", 1), 1); /* its end is told to nobody */
	ask(&d, 21, (struct file_request){.op = FILE_ACCESS, .handle = FILE_ROOT, .bits = 4});
	assert_int_equal(reply(&d, 21, FILE_ACCESS, NULL), 0);
	end(&d);
}

static void what_changes_something_is_done_once(void **state)
{
	struct file_request q = {
	    .op = FILE_MKDIR, .handle = DIR, .name = "made", .fresh = FILE_NO_HANDLE, .mode = 0700};
	struct daemon d;
	char path[64];

	(void)state;
	begin(&d);
	ask(&d, 10, q);
	assert_int_equal(reply(&d, 10, FILE_MKDIR, NULL), 0);
	q.sequence = sequence;
	connect_as(&d, LIFE);
	ask(&d, 11, q);
	assert_int_equal(reply(&d, 11, FILE_MKDIR, NULL), 0);
	q.sequence = 0;
	ask(&d, 12, q);
	assert_int_equal(reply(&d, 12, FILE_MKDIR, NULL), EEXIST);
	snprintf(path, sizeof path, "%s/made", d.dir);
	assert_int_equal(rmdir(path), 0);
	end(&d);
}

static void a_handle_that_was_not_made_tells_why(void **state)
{
	struct file_request q = {
	    .op = FILE_LOOKUP, .handle = DIR, .name = "absent", .fresh = FIRST_FREE, .depth = FILE_LINK_RAW};
	struct daemon d;

	(void)state;
	begin(&d);
	ask(&d, 10, q);
	ask(&d, 11, (struct file_request){.op = FILE_ACCESS, .handle = FIRST_FREE});
	ask(&d, 12, (struct file_request){.op = FILE_ACCESS, .handle = FIRST_FREE + 1});
	ask(&d, 13, (struct file_request){.op = FILE_READ, .handle = FILE_NODE, .length = 5});
	assert_int_equal(reply(&d, 10, FILE_LOOKUP, NULL), ENOENT);
	assert_int_equal(reply(&d, 11, FILE_ACCESS, NULL), ENOENT);
	assert_int_equal(reply(&d, 12, FILE_ACCESS, NULL), ESTALE);
	assert_int_equal(reply(&d, 13, FILE_READ, NULL), EBADF);
	end(&d);
}

/* Behind it the size is known, though it was done elsewhere. */
static void room_that_is_made(void **state)
{
	struct file_reply r;
	struct daemon d;

	(void)state;
	begin(&d);
	ask(&d, 10, (struct file_request){.op = FILE_FALLOCATE, .handle = FILE_OPEN_ONE, .length = 100000});
	assert_int_equal(reply(&d, 10, FILE_FALLOCATE, &r), 0);
	assert_int_equal(r.attr.st_size, 100000);
	ask(&d, 11,
	    (struct file_request){
		.op = FILE_FALLOCATE, .handle = FILE_OPEN_ONE, .bits = 0x4000, .length = 1});
	assert_int_not_equal(reply(&d, 11, FILE_FALLOCATE, NULL), 0);
	end(&d);
}

static void make_large(struct daemon *d)
{
	ask(d, 5, (struct file_request){.op = FILE_FALLOCATE, .handle = FILE_OPEN_ONE, .length = LARGE});
	assert_int_equal(reply(d, 5, FILE_FALLOCATE, NULL), 0);
}

static void cut_down(struct daemon *d, uint32_t tag)
{
	ask(d, tag,
	    (struct file_request){.op = FILE_SETATTR,
				  .handle = FILE_NODE,
				  .other = FILE_OPEN_ONE,
				  .bits = FILE_SET_SIZE,
				  .length = 10});
}

static void let_it_be_cut_down(struct daemon *d, uint32_t tag)
{
	struct file_reply r;

	assert_int_equal(write(gates[1], ".", 1), 1);
	assert_int_equal(reply(d, tag, FILE_SETATTR, &r), 0);
	assert_int_equal(r.attr.st_size, 10);
}

static void a_large_file_that_is_cut_down_holds_nothing_up(void **state)
{
	struct daemon d;

	(void)state;
	begin(&d);
	make_large(&d);
	cut_down(&d, 10);
	nothing_is_held_up(&d);
	let_it_be_cut_down(&d, 10);
	end(&d);
}

/* Whoever had it cut down was killed, and another one writes to it. */
static void a_write_waits_for_the_size_it_follows(void **state)
{
	struct file_reply r;
	struct daemon d;

	(void)state;
	begin(&d);
	make_large(&d);
	cut_down(&d, 10);
	ask(&d, 11,
	    (struct file_request){.op = FILE_WRITE,
				  .handle = FILE_OPEN_ONE,
				  .offset = 20,
				  .data = (const uint8_t *)"text",
				  .data_len = 4});
	let_it_be_cut_down(&d, 10);
	assert_int_equal(reply(&d, 11, FILE_WRITE, &r), 0);
	assert_int_equal(r.attr.st_size, 24);
	end(&d);
}

static void cut_down_once_over_two_connections(void **state)
{
	struct file_reply r;
	struct daemon d;
	uint64_t first;

	(void)state;
	begin(&d);
	make_large(&d);
	cut_down(&d, 10);
	first = sequence;
	connect_as(&d, LIFE);
	assert_int_equal(write(gates[1], ".", 1), 1);
	ask(&d, 20,
	    (struct file_request){.op = FILE_SETATTR,
				  .sequence = first,
				  .handle = FILE_NODE,
				  .other = FILE_OPEN_ONE,
				  .bits = FILE_SET_SIZE,
				  .length = 10});
	assert_int_equal(reply(&d, 20, FILE_SETATTR, &r), 0);
	assert_int_equal(r.attr.st_size, 10);
	end(&d);
}

static void a_copy_of_much(void **state)
{
	struct file_request q = {
	    .op = FILE_CREATE,
	    .handle = DIR,
	    .name = "copy",
	    .fresh = FIRST_FREE,
	    .fresh_file = FIRST_FREE + 1,
	    .depth = FILE_LINK_RAW,
	    .bits = FILE_OPEN_READ | FILE_OPEN_WRITE | FILE_OPEN_EXCL,
	    .mode = 0600,
	};
	uint64_t done = 0;
	struct daemon d;
	char path[64];

	(void)state;
	begin(&d);
	ask(&d, 8,
	    (struct file_request){
		.op = FILE_OPEN, .handle = FILE_NODE, .fresh_file = FIRST_FREE + 2, .bits = FILE_OPEN_READ});
	assert_int_equal(reply(&d, 8, FILE_OPEN, NULL), 0);
	ask(&d, 9,
	    (struct file_request){.op = FILE_WRITE,
				  .handle = FILE_OPEN_ONE,
				  .offset = (3 << 20) - 3,
				  .data = (const uint8_t *)"end",
				  .data_len = 3});
	assert_int_equal(reply(&d, 9, FILE_WRITE, NULL), 0);
	ask(&d, 10, q);
	assert_int_equal(reply(&d, 10, FILE_CREATE, NULL), 0);
	while (done < 3 << 20) {
		struct file_reply r;

		ask(&d, 11,
		    (struct file_request){.op = FILE_COPY_RANGE,
					  .handle = FIRST_FREE + 2,
					  .other = FIRST_FREE + 1,
					  .offset = done,
					  .other_offset = done,
					  .length = FILE_COPY_MAX});
		assert_int_equal(reply(&d, 11, FILE_COPY_RANGE, &r), 0);
		assert_true(r.value > 0);
		done += r.value;
		assert_int_equal(r.attr.st_size, done); /* of what was written */
	}
	ask(&d, 12,
	    (struct file_request){
		.op = FILE_READ, .handle = FIRST_FREE + 1, .offset = (3 << 20) - 3, .length = 9});
	{
		struct file_reply r;

		assert_int_equal(reply(&d, 12, FILE_READ, &r), 0);
		assert_int_equal(r.data_len, 3);
		assert_memory_equal(r.data, "end", 3);
	}
	snprintf(path, sizeof path, "%s/copy", d.dir);
	assert_int_equal(unlink(path), 0);
	end(&d);
}

static void a_large_file_that_is_opened_empty(void **state)
{
	struct file_reply r;
	struct daemon d;

	(void)state;
	begin(&d);
	make_large(&d);
	ask(&d, 10,
	    (struct file_request){.op = FILE_OPEN,
				  .flags = FILE_WATCH,
				  .handle = FILE_NODE,
				  .fresh_file = FIRST_FREE,
				  .bits = FILE_OPEN_WRITE | FILE_OPEN_TRUNC});
	assert_int_equal(reply(&d, 10, FILE_OPEN, &r), 0);
	assert_int_equal(r.attr.st_size, 0);
	assert_int_not_equal(r.watch, 0);
	ask(&d, 11,
	    (struct file_request){
		.op = FILE_WRITE, .handle = FIRST_FREE, .data = (const uint8_t *)"text", .data_len = 4});
	assert_int_equal(reply(&d, 11, FILE_WRITE, &r), 0);
	assert_int_equal(r.attr.st_size, 4);
	end(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_slow_fsync_holds_nothing_up),
	    cmocka_unit_test(a_close_syncs_nothing),
	    cmocka_unit_test(more_of_them_than_threads),
	    cmocka_unit_test(asked_again_over_the_next_connection),
	    cmocka_unit_test(of_another_life_nothing_is_left),
	    cmocka_unit_test(what_changes_something_is_done_once),
	    cmocka_unit_test(a_handle_that_was_not_made_tells_why),
	    cmocka_unit_test(room_that_is_made),
	    cmocka_unit_test(a_large_file_that_is_cut_down_holds_nothing_up),
	    cmocka_unit_test(a_write_waits_for_the_size_it_follows),
	    cmocka_unit_test(cut_down_once_over_two_connections),
	    cmocka_unit_test(a_copy_of_much),
	    cmocka_unit_test(a_large_file_that_is_opened_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
