/* The life of a sandbox and of its commands, with a backend and an agent that do what the test says. */
#include "core_fake.h"

/* A directory for spool files that stays empty: the tests tell sizes, nobody reads them. */
static int spool_dir(void)
{
	int fd = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static ssize_t read_end(struct process *p)
{
	uint64_t off = p->streams[STREAM_OUT].size;
	const char *data;
	int fd;

	return stream_read(&p->streams[STREAM_OUT], &off, 1, true, &fd, &data);
}

static void test_first_command_starts_it(void **state)
{
	struct sandbox *s = fake_sandbox("first");
	struct frame hello;
	struct process *p;
	struct start start;
	struct fake *f;

	(void)state;
	assert_int_equal(s->state, SANDBOX_UNSTARTED);
	assert_null(fake_of(s));
	assert_int_equal(fake_submit(s, NULL, "echo hi"), 0);
	assert_int_equal(s->state, SANDBOX_PENDING);
	f = fake_of(s);
	assert_non_null(f);
	p = fake_process(s, "1");
	assert_non_null(p);
	assert_ptr_equal(s->latest, p);
	assert_status(p, "starting");
	sandbox_creating(s);
	assert_int_equal(s->state, SANDBOX_CREATING);
	fake_connect(s, spool_dir());
	assert_int_equal(next_said(f, &hello), MSG_HELLO);
	assert_int_equal(hello.payload[8], SPOOL_SHARED);
	agent_welcome(f);
	assert_said_nothing(f);
	assert_int_equal(s->state, SANDBOX_CREATING);
	agent_ready(f);
	assert_int_equal(s->state, SANDBOX_RUNNING);
	assert_said_start(f, 2, &start);
	assert_int_equal(start.kind, START_SHELL);
	assert_string_equal(start.name, "1");
	assert_string_equal(start.cwd, "/workspace");
	assert_int_equal(start.spool_limit, 1000000);
	assert_false(start.input);
	start_free(&start);
	assert_status(p, "starting");
	agent_number(f, MSG_STARTED, 2, 0, 0, 1000);
	assert_status(p, "running");
	assert_int_equal(read_end(p), -EAGAIN);
	agent_number(f, MSG_GREW, 2, STREAM_ERR, GREW_FULL, 7);
	assert_status(p, "running full stderr");
	agent_number(f, MSG_END, 2, STREAM_OUT, 0, 0);
	agent_number(f, MSG_END, 2, STREAM_ERR, 0, 8);
	assert_int_equal(p->streams[STREAM_ERR].size, 8);
	assert_int_equal(read_end(p), 0);
	agent_exited(f, 2, OUTCOME_EXITED, 3);
	assert_status(p, "exited 3");
	assert_int_equal(process_exit_number(p), 3);
	assert_int_equal(s->nonzero, 1);
	assert_said_nothing(f);
}

static void test_outcomes(void **state)
{
	static const struct {
		uint8_t kind, value;
		const char *status;
		int number;
	} cases[] = {
	    {OUTCOME_EXITED, 0, "exited 0", 0},
	    {OUTCOME_EXITED, 255, "exited 255", 255},
	    {OUTCOME_SIGNALED, 9, "signaled 9 KILL", 137},
	    {OUTCOME_SIGNALED, 40, "signaled 40 RT", 168},
	    {OUTCOME_TIMEOUT, 0, "timeout", 124},
	    {OUTCOME_CANCELED, 0, "canceled", 125},
	    {OUTCOME_FAILED, 0, "failed REASON: text", 125},
	};
	struct sandbox *s = fake_running("outcomes", spool_dir());

	(void)state;
	for (uint32_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(fake_submit(s, NULL, "x"), 0);
		agent_exited(fake_of(s), i + 2, cases[i].kind, cases[i].value);
		assert_status(s->latest, cases[i].status);
		assert_int_equal(process_exit_number(s->latest), cases[i].number);
		/* The end is said once. */
		agent_exited(fake_of(s), i + 2, OUTCOME_EXITED, 77);
		assert_status(s->latest, cases[i].status);
	}
	assert_string_equal(s->error.reason, "REASON");
	assert_int_equal(s->commands, sizeof cases / sizeof *cases);
	assert_int_equal(s->succeeded, 1);
	assert_int_equal(s->nonzero, 1);
	assert_int_equal(s->failures, 5);
}

static void test_backend_cannot_start_it(void **state)
{
	const struct error why = {EIO, "IMAGE_BROKEN", "the image is broken"};
	uint64_t failures = the_mount.totals.start_failures;
	struct sandbox *s = fake_sandbox("unstartable");
	struct error err;

	(void)state;
	assert_int_equal(fake_submit(s, NULL, "one"), 0);
	assert_int_equal(fake_submit(s, NULL, "two"), 0);
	core_lock();
	sandbox_ended(s, END_FAILED, &why);
	core_unlock();
	assert_int_equal(s->state, SANDBOX_FAILED);
	assert_status(fake_process(s, "1"), "failed IMAGE_BROKEN: the image is broken");
	assert_status(fake_process(s, "2"), "failed IMAGE_BROKEN: the image is broken");
	assert_int_equal(read_end(s->latest), -EIO);
	assert_int_equal(fake_submit(s, NULL, "three"), -EIO);
	assert_int_equal(sandbox_need(s, &err), -EIO);
	assert_string_equal(err.text, "the sandbox is failed: the image is broken");
	assert_int_equal(fake_submit(s, NULL, "four"), -EIO);
	assert_string_equal(s->error.text, "the sandbox is failed: the image is broken");
	assert_int_equal(s->object.child_count, 2);
	assert_int_equal(the_mount.totals.start_failures, failures + 1);
	assert_string_equal(the_mount.error.reason, "IMAGE_BROKEN");
}

static void test_settings_that_are_refused_at_start(void **state)
{
	struct sandbox *s = fake_sandbox("refused");

	(void)state;
	fake_objection = "not today";
	assert_int_equal(fake_submit(s, NULL, "one"), 0);
	fake_objection = NULL;
	assert_int_equal(s->state, SANDBOX_FAILED);
	assert_status(fake_process(s, "1"), "failed OBJECTION: not today");
	assert_null(fake_of(s));
	assert_int_equal(fake_submit(s, NULL, "two"), -EINVAL);
}

/* ENOENT would be said of the name that is looked up in it. */
static void test_backend_knows_no_such_thing(void **state)
{
	const struct error why = {ENOENT, "NOT_FOUND", "there is no such secret"};
	struct sandbox *s = fake_sandbox("lacking");
	struct error err;

	(void)state;
	assert_int_equal(fake_submit(s, NULL, "one"), 0);
	core_lock();
	sandbox_ended(s, END_FAILED, &why);
	core_unlock();
	assert_int_equal(sandbox_need(s, &err), -ESHUTDOWN);
	assert_string_equal(err.reason, "NOT_FOUND");
}

static void test_agent_dies(void **state)
{
	const struct error why = {EIO, "KILLED", "it was killed"};
	struct sandbox *s = fake_running("dies", -1);
	struct fake *f = fake_of(s);
	struct process *done, *running;

	(void)state;
	assert_int_equal(fake_submit(s, NULL, "done"), 0);
	done = s->latest;
	agent_number(f, MSG_END, 2, STREAM_OUT, 0, 0);
	agent_number(f, MSG_END, 2, STREAM_ERR, 0, 0);
	agent_exited(f, 2, OUTCOME_EXITED, 0);
	assert_int_equal(fake_submit(s, NULL, "running"), 0);
	running = s->latest;
	agent_number(f, MSG_STARTED, 3, 0, 0, 1000);
	agent_output(f, 3, STREAM_OUT, 0, "hello");
	agent_hangs_up(f);
	assert_int_equal(f->stops, 0); /* the backend is about to say how it died */
	assert_status(running, "running");
	core_lock();
	sandbox_ended(s, END_FAILED, &why);
	core_unlock();
	assert_false(f->open);
	assert_int_equal(s->state, SANDBOX_FAILED);
	assert_status(done, "exited 0");
	assert_int_equal(read_end(done), 0);
	assert_status(running, "lost");
	assert_int_equal(process_exit_number(running), 125);
	assert_int_equal(running->streams[STREAM_OUT].size, 5);
	assert_int_equal(read_end(running), -EIO);
	agent_ready(f); /* nobody is there to hear it */
	assert_int_equal(s->state, SANDBOX_FAILED);
}

/* It closed the connection and does not die: then it has to go. */
static void test_agent_hangs_up(void **state)
{
	struct sandbox *s = fake_running("hangs-up", -1);
	struct fake *f = fake_of(s);
	bool stopped = false;

	(void)state;
	agent_hangs_up(f);
	for (int i = 0; i < 500 && !stopped; i++) {
		poll(NULL, 0, 10);
		core_lock();
		stopped = f->stops == 1;
		core_unlock();
	}
	assert_true(stopped);
	assert_int_equal(f->grace_ms, 0);
	assert_string_equal(s->error.reason, "AGENT_LOST");
	core_lock();
	sandbox_ended(s, END_TERMINATED, NULL);
	core_unlock();
}

static void test_stop_cancels(void **state)
{
	struct sandbox *s = fake_running("stopped", spool_dir());
	struct fake *f = fake_of(s);
	struct process *p;
	struct start start;

	(void)state;
	assert_int_equal(fake_submit(s, NULL, "sleep 9"), 0);
	p = s->latest;
	assert_said_start(f, 2, &start);
	start_free(&start);
	sandbox_stop(s, 500);
	assert_said_number(f, MSG_SHUTDOWN, 0, 0, 500);
	assert_int_equal(s->state, SANDBOX_TERMINATING);
	assert_int_equal(f->grace_ms, 500);
	assert_int_equal(fake_submit(s, NULL, "late"), -ESHUTDOWN);
	agent_hangs_up(f); /* as expected: no failure */
	assert_int_equal(f->stops, 1);
	sandbox_ended(s, END_TERMINATED, NULL);
	assert_int_equal(s->state, SANDBOX_TERMINATED);
	assert_status(p, "canceled");
	assert_int_equal(read_end(p), 0);
	sandbox_stop(s, 0); /* once is enough */
	assert_int_equal(f->stops, 1);
}

/* What the service says of it: a command is given to it all the same. */
static void test_paused(void **state)
{
	struct sandbox *s = fake_sandbox("early");
	struct start start;

	(void)state;
	sandbox_paused(s, true);
	assert_int_equal(s->state, SANDBOX_UNSTARTED);
	s = fake_running("paused", -1);
	sandbox_paused(s, false);
	assert_int_equal(s->state, SANDBOX_RUNNING);
	sandbox_paused(s, true);
	assert_int_equal(s->state, SANDBOX_PAUSED);
	assert_int_equal(fake_submit(s, NULL, "date"), 0);
	assert_said_start(fake_of(s), 2, &start);
	start_free(&start);
	sandbox_paused(s, false);
	assert_int_equal(s->state, SANDBOX_RUNNING);
	sandbox_paused(s, true);
	sandbox_stop(s, 0);
	sandbox_paused(s, false);
	assert_int_equal(s->state, SANDBOX_TERMINATING);
	sandbox_ended(s, END_TERMINATED, NULL);
	assert_int_equal(s->state, SANDBOX_TERMINATED);
}

static void test_stop_before_start(void **state)
{
	struct sandbox *s = fake_sandbox("never");
	struct error err;

	(void)state;
	sandbox_stop(s, 0);
	assert_int_equal(s->state, SANDBOX_TERMINATED);
	assert_int_equal(sandbox_need(s, &err), -ESHUTDOWN);
	assert_null(fake_of(s));
}

static void test_settings_are_fixed_at_start(void **state)
{
	struct sandbox *s = fake_sandbox("settings");
	struct config effective;
	struct error err;

	(void)state;
	assert_int_equal(sandbox_config_set(s, CONFIG_CPU, "2", &err), 0);
	assert_int_equal(sandbox_config_set(s, CONFIG_CPU, "two", &err), -EINVAL);
	fake_objection = "too much";
	assert_int_equal(sandbox_config_set(s, CONFIG_CPU, "1000", &err), -EINVAL);
	assert_string_equal(err.text, "too much");
	fake_objection = NULL;
	assert_int_equal(sandbox_config_effective(s, &effective), 0);
	assert_string_equal(config_text(&effective, CONFIG_CPU), "2");
	assert_string_equal(config_text(&effective, CONFIG_IMAGE), "base");
	config_free(&effective);
	assert_int_equal(sandbox_need(s, &err), 0);
	assert_int_equal(sandbox_config_set(s, CONFIG_CPU, "3", &err), -EBUSY);
	assert_int_equal(config_set(&fake_session()->defaults, CONFIG_CPU, "4", &err), 0);
	assert_int_equal(sandbox_config_effective(s, &effective), 0);
	assert_string_equal(config_text(&effective, CONFIG_CPU), "2");
	config_free(&effective);
	assert_int_equal(config_set(&fake_session()->defaults, CONFIG_CPU, "", &err), 0);
}

static void test_drop_while_running(void **state)
{
	struct sandbox *s = fake_running("dropped", spool_dir());
	unsigned living = the_mount.living;
	struct fake *f = fake_of(s);
	struct process *p;

	(void)state;
	assert_int_equal(fake_submit(s, NULL, "sleep 9"), 0);
	p = (struct process *)object_ref(&s->latest->object);
	sandbox_drop(s);
	assert_null(object_child(&fake_session()->object, "dropped"));
	assert_int_equal(f->stops, 1);
	assert_int_equal(f->removes, 0);
	/* The name is free at once. */
	fake_drop(fake_sandbox("dropped"));
	agent_exited(f, 2, OUTCOME_SIGNALED, 15);
	core_lock();
	sandbox_ended(s, END_TERMINATED, NULL);
	assert_int_equal(f->removes, 1);
	assert_int_equal(the_mount.living, living);
	sandbox_removed(s);
	core_unlock();
	assert_int_equal(the_mount.living, living - 1);
	assert_status(p, "signaled 15 TERM"); /* who holds it still reads it */
	object_unref(&p->object);
}

static void test_drop_of_an_ended_one(void **state)
{
	struct sandbox *s = fake_running("ended", spool_dir());
	struct fake *f = fake_of(s);

	(void)state;
	sandbox_ended(s, END_TERMINATED, NULL);
	assert_int_equal(f->removes, 0); /* its results can be read */
	sandbox_drop(s);
	assert_int_equal(f->removes, 1);
	assert_int_equal(f->stops, 0);
	sandbox_removed(s);
}

/* --- The main process --- */

static struct sandbox *with_main(const char *name, struct start *ret)
{
	struct sandbox *s = fake_sandbox(name);
	struct error err;

	assert_int_equal(sandbox_config_set(s, CONFIG_COMMAND, "serve", &err), 0);
	assert_int_equal(fake_submit(s, NULL, "client"), 0);
	fake_connect(s, spool_dir());
	agent_welcome(fake_of(s));
	fake_of(s)->seen = fake_of(s)->sent.len;
	agent_ready(fake_of(s));
	assert_said_start(fake_of(s), MAIN_ID, ret);
	return s;
}

static void test_main_process(void **state)
{
	struct start start;
	struct sandbox *s = with_main("main-ok", &start);
	struct fake *f = fake_of(s);

	(void)state;
	assert_true(start.merge);
	assert_string_equal(start.text, "serve");
	start_free(&start);
	assert_said_start(f, 2, &start);
	start_free(&start);
	assert_null(fake_process(s, "main"));
	agent_exited(f, MAIN_ID, OUTCOME_EXITED, 0);
	assert_int_equal(s->state, SANDBOX_TERMINATING);
	assert_int_equal(f->stops, 1);
	sandbox_ended(s, END_TERMINATED, NULL);
	assert_int_equal(s->state, SANDBOX_COMPLETED);
	assert_int_equal(s->error.code, 0);
	assert_int_equal(s->commands, 1); /* it is none itself */
}

static void test_main_process_fails(void **state)
{
	struct start start;
	struct sandbox *s = with_main("main-bad", &start);

	(void)state;
	start_free(&start);
	agent_exited(fake_of(s), MAIN_ID, OUTCOME_EXITED, 2);
	sandbox_ended(s, END_TERMINATED, NULL);
	assert_int_equal(s->state, SANDBOX_FAILED);
	assert_string_equal(s->error.reason, "MAIN_FAILED");
	assert_string_equal(s->error.text, "the main process ended: exited 2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_first_command_starts_it),
	    cmocka_unit_test(test_outcomes),
	    cmocka_unit_test(test_backend_cannot_start_it),
	    cmocka_unit_test(test_settings_that_are_refused_at_start),
	    cmocka_unit_test(test_backend_knows_no_such_thing),
	    cmocka_unit_test(test_agent_dies),
	    cmocka_unit_test(test_agent_hangs_up),
	    cmocka_unit_test(test_stop_cancels),
	    cmocka_unit_test(test_paused),
	    cmocka_unit_test(test_stop_before_start),
	    cmocka_unit_test(test_settings_are_fixed_at_start),
	    cmocka_unit_test(test_drop_while_running),
	    cmocka_unit_test(test_drop_of_an_ended_one),
	    cmocka_unit_test(test_main_process),
	    cmocka_unit_test(test_main_process_fails),
	};

	return cmocka_run_group_tests(tests, fake_begin, fake_finish);
}
