/* When what was written into `cmd` becomes a command: flush, release, pending text and who waits for it. */
#include "core_fake.h"

#include "core/process/command.h"
#include "core/waiter.h"

#include <pthread.h>

static void write_text(struct draft *d, const char *text)
{
	assert_int_equal(draft_write(d, text, strlen(text)), 0);
}

static unsigned commands(const struct sandbox *s)
{
	return s->object.child_count;
}

/* echo x > cmd: a flush before the write, one after it, and the release. */
static void test_one_writer(void **state)
{
	struct sandbox *s = fake_sandbox("one-writer");
	struct draft d;

	(void)state;
	draft_init(&d, &s->inbox);
	assert_int_equal(draft_flush(&d, true), 0);
	assert_int_equal(commands(s), 0);
	write_text(&d, "echo ");
	write_text(&d, "x\n");
	assert_int_equal(commands(s), 0);
	assert_int_equal(draft_flush(&d, true), 0);
	assert_int_equal(commands(s), 1);
	assert_string_equal(fake_process(s, "1")->start.text, "echo x\n");
	assert_ptr_equal(d.process, fake_process(s, "1"));
	assert_int_equal(draft_flush(&d, true), 0); /* nothing new */
	draft_release(&d);
	assert_int_equal(commands(s), 1);
	assert_int_equal(s->state, SANDBOX_PENDING);
}

/* exec 3>cmd; echo a >&3; echo b >&3 */
static void test_kept_descriptor(void **state)
{
	struct sandbox *s = fake_sandbox("kept");
	struct draft d;

	(void)state;
	draft_init(&d, &s->inbox);
	for (unsigned i = 1; i <= 3; i++) {
		write_text(&d, "x");
		assert_int_equal(draft_flush(&d, true), 0);
		assert_int_equal(commands(s), i);
		assert_ptr_equal(d.process, s->latest);
	}
	draft_release(&d);
	assert_int_equal(commands(s), 3);
}

/* { cat a; cat b; } > cmd: the children's exits flush, the release commits. */
static void test_several_writers(void **state)
{
	struct sandbox *s = fake_sandbox("several");
	struct draft d;

	(void)state;
	draft_init(&d, &s->inbox);
	assert_int_equal(draft_flush(&d, false), 0);
	assert_true(list_empty(&s->inbox.pending));
	write_text(&d, "a\n");
	assert_int_equal(draft_flush(&d, false), 0);
	assert_false(list_empty(&s->inbox.pending));
	write_text(&d, "b\n");
	assert_int_equal(draft_flush(&d, false), 0);
	assert_int_equal(commands(s), 0);
	draft_release(&d);
	assert_true(list_empty(&s->inbox.pending));
	assert_int_equal(commands(s), 1);
	assert_string_equal(fake_process(s, "1")->start.text, "a\nb\n");
}

static void test_nothing_written(void **state)
{
	struct sandbox *s = fake_sandbox("nothing");
	struct draft d;

	(void)state;
	draft_init(&d, &s->inbox);
	assert_int_equal(draft_flush(&d, true), 0);
	assert_int_equal(draft_flush(&d, true), 0);
	draft_release(&d);
	assert_int_equal(commands(s), 0);
	assert_int_equal(s->state, SANDBOX_UNSTARTED);
}

static void test_malformed(void **state)
{
	struct sandbox *s = fake_sandbox("malformed");
	struct draft d;

	(void)state;
	draft_init(&d, &s->inbox);
	write_text(&d, "[\"x\"");
	assert_int_equal(draft_flush(&d, true), -EINVAL);
	assert_string_equal(s->error.reason, "INVALID_JSON");
	assert_string_equal(fake_session()->error.reason, "INVALID_JSON");
	/* It is gone: the next text stands for itself. */
	write_text(&d, "true");
	assert_int_equal(draft_flush(&d, true), 0);
	assert_string_equal(s->latest->start.text, "true");
	draft_release(&d);
	assert_int_equal(commands(s), 1);
}

/* Once a part was refused no other part of that text runs, not even the end of it. */
static void test_refused_text(void **state)
{
	struct sandbox *s = fake_sandbox("refused-text");
	char *text = malloc(COMMAND_TEXT_MAX);
	struct draft d;

	(void)state;
	assert_non_null(text);
	memset(text, ' ', COMMAND_TEXT_MAX);
	draft_init(&d, &s->inbox);
	assert_int_equal(draft_write(&d, text, COMMAND_TEXT_MAX), 0);
	assert_int_equal(draft_write(&d, "x", 1), -EFBIG);
	assert_string_equal(s->error.reason, "TOO_LARGE");
	assert_int_equal(draft_write(&d, "rm -rf /", 8), -EFBIG);
	assert_int_equal(draft_flush(&d, false), 0);
	assert_int_equal(draft_flush(&d, true), 0);
	assert_int_equal(commands(s), 0);
	write_text(&d, "true");
	draft_release(&d);
	assert_int_equal(commands(s), 1);
	assert_string_equal(s->latest->start.text, "true");
	free(text);
}

static void test_ended_sandbox(void **state)
{
	struct sandbox *s = fake_sandbox("over");
	struct draft d;

	(void)state;
	draft_init(&d, &s->inbox);
	write_text(&d, "x");
	sandbox_stop(s, 0);
	assert_int_equal(draft_write(&d, "y", 1), -ESHUTDOWN);
	assert_int_equal(draft_flush(&d, true), 0); /* the text was dropped with the refusal */
	draft_release(&d);
	draft_init(&d, &s->inbox);
	assert_int_equal(draft_write(&d, "y", 1), -ESHUTDOWN);
	draft_release(&d);
	assert_int_equal(commands(s), 0);
	assert_string_equal(s->error.reason, "SANDBOX_ENDED");
}

static void test_named_process(void **state)
{
	struct sandbox *s = fake_sandbox("named");
	struct process *p;
	struct error err;
	struct draft d;

	(void)state;
	assert_int_equal(process_make(s, "build", &err), 0);
	assert_int_equal(process_make(s, "build", &err), -EEXIST);
	assert_int_equal(process_make(s, "12", &err), -EINVAL);
	assert_int_equal(process_make(s, ".x", &err), -EINVAL);
	p = fake_process(s, "build");
	assert_status(p, "none");
	assert_int_equal(s->state, SANDBOX_UNSTARTED);
	draft_init(&d, &p->inbox);
	write_text(&d, "make");
	assert_int_equal(draft_flush(&d, true), 0);
	assert_status(p, "starting");
	assert_ptr_equal(s->latest, p);
	assert_int_equal(draft_write(&d, "again", 5), -EBUSY);
	assert_string_equal(s->error.text, "process build has its command already");
	draft_release(&d);
	assert_string_equal(p->start.text, "make");
	assert_int_equal(commands(s), 1);
	process_drop(p);
	assert_null(s->latest);
	assert_int_equal(s->failures, 1);
	assert_int_equal(process_make(s, "build", &err), 0); /* the name is free */
	assert_status(fake_process(s, "build"), "none");
}

/* A draft keeps the process it belongs to, after rmdir. */
static void test_dropped_under_a_writer(void **state)
{
	struct sandbox *s = fake_sandbox("dropped");
	struct error err;
	struct draft d;

	(void)state;
	assert_int_equal(process_make(s, "gone", &err), 0);
	draft_init(&d, &fake_process(s, "gone")->inbox);
	write_text(&d, "make");
	process_drop(fake_process(s, "gone"));
	assert_int_equal(draft_flush(&d, true), -ESHUTDOWN);
	assert_string_equal(s->error.text, "process gone was removed");
	draft_release(&d);
	assert_int_equal(commands(s), 0);
	assert_int_equal(s->state, SANDBOX_UNSTARTED);
}

/* --- Waiting for a release --- */

static pthread_mutex_t woken_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t woken = PTHREAD_COND_INITIALIZER;

struct opener {
	struct waiter waiter;
	int runs;
};

static void wake(struct waiter *w)
{
	pthread_mutex_lock(&woken_lock);
	container_of(w, struct opener, waiter)->runs++;
	pthread_cond_signal(&woken);
	pthread_mutex_unlock(&woken_lock);
}

static void test_open_waits_for_the_release(void **state)
{
	struct sandbox *s = fake_sandbox("waits");
	struct opener w = {.waiter.run = wake};
	struct draft d;

	(void)state;
	core_lock();
	assert_false(inbox_must_wait(&s->inbox));
	draft_init(&d, &s->inbox);
	write_text(&d, "x");
	assert_false(inbox_must_wait(&s->inbox)); /* a text nobody flushed is not on its way */
	assert_int_equal(draft_flush(&d, false), 0);
	assert_true(inbox_must_wait(&s->inbox));
	list_append(&s->inbox.waiters, &w.waiter.link);
	draft_release(&d);
	assert_false(inbox_must_wait(&s->inbox));
	assert_int_equal(commands(s), 1);
	core_unlock();
	assert_int_equal(w.runs, 1);
}

/* The release does not come: a child in the background holds the file open. */
static void test_open_waits_not_for_ever(void **state)
{
	struct sandbox *s = fake_sandbox("overdue");
	struct opener w = {.waiter.run = wake};
	struct draft d, other;

	(void)state;
	core_lock();
	draft_init(&d, &s->inbox);
	draft_init(&other, &s->inbox);
	write_text(&d, "one");
	write_text(&other, "two");
	assert_int_equal(draft_flush(&d, false), 0);
	assert_int_equal(draft_flush(&other, false), 0);
	assert_true(inbox_must_wait(&s->inbox));
	list_append(&s->inbox.waiters, &w.waiter.link);
	core_unlock();
	pthread_mutex_lock(&woken_lock);
	while (!w.runs)
		pthread_cond_wait(&woken, &woken_lock);
	pthread_mutex_unlock(&woken_lock);
	core_lock();
	assert_int_equal(commands(s), 2);
	assert_string_equal(fake_process(s, "1")->start.text, "one");
	assert_string_equal(fake_process(s, "2")->start.text, "two");
	assert_false(inbox_must_wait(&s->inbox));
	draft_release(&d);
	draft_release(&other);
	assert_int_equal(commands(s), 2);
	core_unlock();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_one_writer),
	    cmocka_unit_test(test_kept_descriptor),
	    cmocka_unit_test(test_several_writers),
	    cmocka_unit_test(test_nothing_written),
	    cmocka_unit_test(test_malformed),
	    cmocka_unit_test(test_refused_text),
	    cmocka_unit_test(test_ended_sandbox),
	    cmocka_unit_test(test_named_process),
	    cmocka_unit_test(test_dropped_under_a_writer),
	    cmocka_unit_test(test_open_waits_for_the_release),
	    cmocka_unit_test(test_open_waits_not_for_ever),
	};

	return cmocka_run_group_tests(tests, fake_begin, fake_finish);
}
