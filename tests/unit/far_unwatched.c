/* Files that nobody watches: what is remembered of them, and for how long. The agent is a directory "d" with
 * names. */
#include "far_agent.h"

#include <sys/syscall.h>
#include <time.h>

#define NAMES	  40
#define ROOT_INO  1
#define FIRST_INO 100

static uint64_t now_ms = 1000000;
static ino_t dir_ino;		  /* what is "d" */
static unsigned part = NAMES + 1; /* names in one answer */
static unsigned lookups, listings;

/* What is remembered grows old only when a test wants it to. */
int clock_gettime(clockid_t id, struct timespec *ret)
{
	if (id != CLOCK_MONOTONIC_COARSE)
		return (int)syscall(SYS_clock_gettime, id, ret);
	*ret =
	    (struct timespec){.tv_sec = (time_t)(now_ms / 1000), .tv_nsec = (long)(now_ms % 1000) * 1000000};
	return 0;
}

static void something_is_heard(void)
{
	core_lock();
	far_fake.sandbox->news++;
	core_unlock();
}

/* --- The agent --- */

static struct stat a_directory(ino_t ino)
{
	return a_file(ino, S_IFDIR | 0755, 0);
}

static bool is_root(uint64_t handle)
{
	return handle == FILE_ROOT;
}

static void answer_lookup(void)
{
	struct file_reply r = {0};
	unsigned n;

	lookups++;
	if (is_root(asked.handle) && !strcmp(asked.name, "d"))
		r.attr = a_directory(dir_ino);
	else if (!is_root(asked.handle) && sscanf(asked.name, "n%u", &n) == 1 && n < NAMES)
		r.attr = a_file(FIRST_INO + n, S_IFREG | 0644, 5);
	else
		r.error = ENOENT;
	answer(&r, 0);
}

static void put(struct buf *list, uint64_t position, const char *name, struct stat st)
{
	struct file_entry e = {.position = position, .known = true, .plain = true, .attr = st};

	snprintf(e.name, sizeof e.name, "%s", name);
	assert_int_equal(file_list_put_entry(list, &e), 0);
}

static void answer_listing(void)
{
	bool root = is_root(asked.handle);
	struct file_reply r = {.attr = a_directory(root ? ROOT_INO : dir_ino)};
	uint64_t end = root ? 1 : NAMES, at = asked.offset;
	struct buf list;
	char name[16];

	listings++;
	buf_init(&list, 1u << 20);
	for (unsigned i = 0; i < part && at < end; i++, at++) {
		snprintf(name, sizeof name, "n%u", (unsigned)at);
		put(&list, at + 1, root ? "d" : name,
		    root ? a_directory(dir_ino) : a_file(FIRST_INO + at, S_IFREG | 0644, 5));
	}
	r.flag = at == end;
	assert_int_equal(agent_replies(tag, FILE_READDIR, &r, &list), 0);
	buf_free(&list);
}

static void answer_one(void)
{
	if (asked.op == FILE_LOOKUP)
		answer_lookup();
	else if (asked.op == FILE_READDIR)
		answer_listing();
	else
		answer(&(struct file_reply){0}, 0);
}

static void answer_all(void)
{
	while (agent_is_asked(&asked, &tag))
		answer_one();
}

/* --- The kernel --- */

static uint64_t looks_up(uint64_t dir, const char *name, int want)
{
	kernel_looks_up(dir, name);
	answer_all();
	assert_int_equal(far_fake.error, want);
	return want ? 0 : replied_entry()->nodeid;
}

static void looks_up_number(uint64_t dir, unsigned n)
{
	char name[16];

	snprintf(name, sizeof name, "n%u", n);
	looks_up(dir, name, 0);
}

static void opens_directory(uint64_t dir)
{
	kernel_asks(FUSE_OPENDIR, dir, &(struct fuse_open_in){0}, sizeof(struct fuse_open_in), NULL, NULL, 0);
}

static void has_opened_directory(uint64_t dir, int want)
{
	uint64_t handle;

	answer_all();
	assert_int_equal(far_fake.error, want);
	if (want)
		return;
	handle = replied_handle();
	kernel_asks(FUSE_RELEASEDIR, dir, &(struct fuse_release_in){.fh = handle},
		    sizeof(struct fuse_release_in), NULL, NULL, 0);
}

static void lists(uint64_t dir, int want)
{
	opens_directory(dir);
	has_opened_directory(dir, want);
}

static void nothing_was_asked_yet(void)
{
	lookups = listings = 0;
}

static void was_asked(unsigned looked, unsigned listed)
{
	assert_int_equal(lookups, looked);
	assert_int_equal(listings, listed);
}

/* "d", as it is after its first listing. */
static uint64_t listed_directory(void)
{
	uint64_t dir;

	dir_ino = 2;
	part = NAMES + 1;
	dir = looks_up(FUSE_ROOT_ID, "d", 0);
	/* Twice, as the first ones came along with look-ups, when nobody knew that they are not watched. */
	for (int i = 0; i < 2; i++) {
		lists(FUSE_ROOT_ID, 0);
		lists(dir, 0);
	}
	nothing_was_asked_yet();
	return dir;
}

/* --- Tests --- */

static void a_listing_answers_what_is_looked_up_behind_it(void **state)
{
	uint64_t dir = listed_directory();

	(void)state;
	for (unsigned i = 0; i < NAMES; i++) {
		looks_up(FUSE_ROOT_ID, "d", 0);
		looks_up_number(dir, i);
	}
	looks_up(dir, "none", -ENOENT);
	was_asked(0, 0);
}

static void so_does_one_in_several_answers(void **state)
{
	uint64_t dir = listed_directory();

	(void)state;
	part = 7;
	lists(dir, 0);
	assert_int_equal(listings, (NAMES + 6) / 7);
	nothing_was_asked_yet();
	for (unsigned i = 0; i < NAMES; i++)
		looks_up_number(dir, i);
	looks_up(FUSE_ROOT_ID, "d", 0);
	was_asked(0, 0);
}

static void what_is_heard_amid_it_makes_its_beginning_old(void **state)
{
	uint64_t dir = listed_directory();

	(void)state;
	part = NAMES / 2;
	opens_directory(dir);
	while (listings == 0 && agent_is_asked(&asked, &tag))
		answer_one();
	something_is_heard();
	has_opened_directory(dir, 0);
	assert_int_equal(listings, 2);
	nothing_was_asked_yet();
	looks_up_number(dir, NAMES - 1);
	was_asked(0, 0);
	looks_up_number(dir, 0);
	was_asked(1, 0);
}

static void what_is_heard_later_makes_all_of_it_old(void **state)
{
	uint64_t dir = listed_directory();

	(void)state;
	something_is_heard();
	looks_up_number(dir, 0);
	looks_up(FUSE_ROOT_ID, "d", 0);
	was_asked(2, 0);
	looks_up(dir, "none", -ENOENT);
	was_asked(3, 0);
}

static void so_does_time(void **state)
{
	uint64_t dir = listed_directory();

	(void)state;
	now_ms += 999;
	looks_up_number(dir, 0);
	was_asked(0, 0);
	now_ms += 1;
	looks_up_number(dir, 0);
	was_asked(1, 0);
}

static void an_answer_that_tells_of_no_file_makes_nothing_old(void **state)
{
	uint64_t dir = listed_directory();

	(void)state;
	kernel_asks(FUSE_STATFS, dir, NULL, 0, NULL, NULL, 0);
	answer_all();
	looks_up_number(dir, 0);
	was_asked(0, 0);
	looks_up(dir, "none", -ENOENT);
	something_is_heard();
	kernel_asks(FUSE_STATFS, dir, NULL, 0, NULL, NULL, 0);
	answer_all();
	looks_up_number(dir, 1);
	was_asked(1, 0);
}

/* Whoever goes on through a directory has all of it asked for again, and not one name after the other. */
static void what_many_look_at_is_listed_again(void **state)
{
	uint64_t dir = listed_directory();
	unsigned before;

	(void)state;
	something_is_heard();
	for (unsigned i = 0; i < NAMES; i++)
		looks_up_number(dir, i);
	assert_int_equal(listings, 1);
	before = lookups;
	assert_true(before < 10);
	for (unsigned i = 0; i < NAMES; i++)
		looks_up_number(dir, i);
	was_asked(before, 1);
}

static void one_that_another_directory_stands_for_is_stale(void **state)
{
	uint64_t dir = listed_directory();

	(void)state;
	dir_ino = 3;
	lists(dir, -ESTALE);
	nothing_was_asked_yet();
	assert_int_not_equal(looks_up(FUSE_ROOT_ID, "d", 0), dir);
}

static int closes(uint64_t ino, uint64_t handle)
{
	kernel_asks(FUSE_FLUSH, ino, &(struct fuse_flush_in){.fh = handle}, sizeof(struct fuse_flush_in),
		    NULL, NULL, 0);
	return far_fake.error;
}

static void what_may_be_held_back_of_it_is_asked_for_when_it_is_closed(void **state)
{
	struct stat st = a_file(2, S_IFREG | 0644, 4);
	uint64_t ino = look_up("f", st), handle = open_file(ino, O_RDWR, &(struct file_reply){.attr = st});

	(void)state;
	assert_int_equal(closes(ino, handle), 0); /* nothing was written */
	nothing_was_asked_yet();
	write_some(ino, handle, "text", 4);
	wait_for(FILE_WRITE);
	answer(&(struct file_reply){.attr = st, .value = 4}, 0);
	assert_int_equal(far_fake.error, 0);
	closes(ino, handle);
	wait_for(FILE_FSYNC);
	assert_int_equal(asked.bits, FILE_FSYNC_CLOSE);
	answer(&(struct file_reply){.error = ENOSPC}, 0);
	assert_int_equal(far_fake.error, -ENOSPC);
	release(ino, handle);
}

#define UNWATCHED(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    UNWATCHED(a_listing_answers_what_is_looked_up_behind_it),
	    UNWATCHED(so_does_one_in_several_answers),
	    UNWATCHED(what_is_heard_amid_it_makes_its_beginning_old),
	    UNWATCHED(what_is_heard_later_makes_all_of_it_old),
	    UNWATCHED(so_does_time),
	    UNWATCHED(an_answer_that_tells_of_no_file_makes_nothing_old),
	    UNWATCHED(what_many_look_at_is_listed_again),
	    UNWATCHED(one_that_another_directory_stands_for_is_stale),
	    UNWATCHED(what_may_be_held_back_of_it_is_asked_for_when_it_is_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
