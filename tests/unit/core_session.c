/* Adopting and closing, with a backend that does what the test says. */
#include "core_fake.h"

#include "core/roster.h"
#include "core/waiter.h"

#include <semaphore.h>

struct waiting {
	struct waiter waiter;
	unsigned woken;
};

static void on_wake(struct waiter *w)
{
	container_of(w, struct waiting, waiter)->woken++;
}

static void wait_for(struct waiting *w, struct list *list)
{
	*w = (struct waiting){.waiter.run = on_wake};
	list_append(list, &w->waiter.link);
}

static struct session *new_session(const char *name)
{
	assert_int_equal(session_make(name, NULL), 0);
	return (struct session *)object_child(&the_mount.object, name);
}

static struct sandbox *sandbox_in(struct session *session, const char *name, bool running)
{
	struct sandbox *s;
	struct error err;

	assert_int_equal(sandbox_make(session, name, &err), 0);
	s = (struct sandbox *)object_child(&session->object, name);
	if (!running)
		return s;
	assert_int_equal(sandbox_need(s, &err), 0);
	fake_connect(s, -1);
	agent_welcome(fake_of(s));
	agent_ready(fake_of(s));
	return s;
}

static void drop_all(struct session *session)
{
	struct object *o;

	while ((o = object_next(&session->object, 0)))
		fake_drop((struct sandbox *)o);
	assert_int_equal(session_drop(session, NULL), 0);
}

static void idle(void *arg)
{
	sem_post(arg);
}

/* As a verb does, and the loop thread has set its timer: it runs what is due too, and is not to do so
 * meanwhile. */
static int close_session(struct session *session, bool again, struct list **list, struct error *err)
{
	sem_t done;
	int rc;

	core_lock();
	rc = session_close(session, again, list, err);
	core_unlock();
	sem_init(&done, 0, 0);
	assert_int_equal(loop_post(idle, &done), 0);
	while (sem_wait(&done))
		;
	sem_destroy(&done);
	return rc;
}

static void test_close(void **state)
{
	struct session *session = new_session("closing");
	struct sandbox *a = sandbox_in(session, "a", true), *b = sandbox_in(session, "b", true);
	struct sandbox *idle = sandbox_in(session, "idle", false);
	struct list *list = NULL;
	struct waiting w;
	struct error err;

	(void)state;
	assert_int_equal(close_session(session, false, &list, &err), -EAGAIN);
	wait_for(&w, list);
	/* At once, not one after the other. */
	assert_int_equal(fake_of(a)->stops, 1);
	assert_int_equal(fake_of(b)->stops, 1);
	assert_int_equal(idle->state, SANDBOX_TERMINATED);
	assert_int_equal(close_session(session, false, &list, &err), -ESHUTDOWN);
	assert_string_equal(err.reason, "SESSION_CLOSED");
	assert_int_equal(sandbox_make(session, "late", &err), -ESHUTDOWN);
	assert_int_equal(session_adopt(session, "x", NULL, &list, &err), -ESHUTDOWN);
	sandbox_ended(b, END_TERMINATED, NULL);
	fake_settle();
	assert_int_equal(w.woken, 0);
	assert_int_equal(close_session(session, true, &list, &err), -EAGAIN);
	sandbox_ended(a, END_TERMINATED, NULL);
	fake_settle();
	assert_int_equal(w.woken, 1);
	assert_int_equal(close_session(session, true, &list, &err), 0);
	assert_int_equal(session->error.code, 0);
	drop_all(session);
}

static void test_close_of_nothing(void **state)
{
	struct session *session = new_session("nothing");
	struct list *list = NULL;
	struct error err;

	(void)state;
	assert_int_equal(close_session(session, false, &list, &err), 0);
	assert_int_equal(close_session(session, false, &list, &err), -ESHUTDOWN);
	drop_all(session);
}

static void test_close_that_fails(void **state)
{
	const struct error why = {EHOSTUNREACH, "UNREACHABLE", "the backend does not answer"};
	struct session *session = new_session("failing");
	struct sandbox *a = sandbox_in(session, "a", true), *b = sandbox_in(session, "b", true),
		       *c = sandbox_in(session, "c", true);
	struct list *list = NULL;
	struct error err;

	(void)state;
	assert_int_equal(close_session(session, false, &list, &err), -EAGAIN);
	sandbox_stop_failed(a, &why);
	sandbox_stop_failed(a, &why); /* once is enough */
	assert_int_equal(close_session(session, true, &list, &err), -EAGAIN);
	sandbox_ended(b, END_TERMINATED, NULL);
	fake_drop(c); /* removed meanwhile */
	assert_int_equal(close_session(session, true, &list, &err), -EIO);
	assert_string_equal(err.reason, "CLOSE_FAILED");
	assert_string_equal(err.text,
			    "1 of the sandboxes could not be stopped: a: the backend does not answer");
	assert_string_equal(session->error.reason, "CLOSE_FAILED");
	assert_string_equal(the_mount.error.reason, "CLOSE_FAILED");
	sandbox_stop(a, 0); /* tried again */
	assert_int_equal(fake_of(a)->stops, 2);
	drop_all(session);
}

/* However many failures: a sentence of bounded length. */
static void test_many_failures(void **state)
{
	const struct error why = {
	    EIO, "X", "a sentence that is long enough to fill the room there is for it, and then some"};
	struct session *session = new_session("many");
	struct sandbox *all[20];
	struct list *list = NULL;
	struct error err;
	char name[16];

	(void)state;
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof name, "box%d", i);
		all[i] = sandbox_in(session, name, true);
	}
	assert_int_equal(close_session(session, false, &list, &err), -EAGAIN);
	for (int i = 0; i < 20; i++)
		sandbox_stop_failed(all[i], &why);
	assert_int_equal(close_session(session, true, &list, &err), -EIO);
	assert_non_null(strstr(err.text, "20 of the sandboxes"));
	assert_non_null(strstr(err.text, "box0: a sentence"));
	drop_all(session);
}

static void test_adopt(void **state)
{
	static const struct config settings;
	struct sandbox_leftover l = {
	    .id = "stray-1", .session = "elsewhere", .name = "box", .config = &settings};
	struct session *session = new_session("adopting"), *other = new_session("other");
	struct sandbox *first = sandbox_in(session, "first", false), *s;
	unsigned renames = fake_renames;
	struct list *list = NULL;
	uint64_t serial;
	struct error err;

	(void)state;
	l.instance = fake_new();
	assert_int_equal(session_adopt(session, "stray-1", NULL, &list, &err), -EAGAIN);
	s = sandbox_found(&l);
	serial = s->object.serial;
	backend_attached("stray-1", NULL);
	sandbox_in(session, "later", false);
	fake_connect(s, -1);
	agent_welcome(fake_of(s));
	agent_ready(fake_of(s));
	assert_int_equal(session_adopt(session, "stray-1", ".bad", &list, &err), -EINVAL);
	assert_int_equal(session_adopt(session, "stray-1", "first", &list, &err), -EEXIST);
	assert_int_equal(session_adopt(session, "stray-1", NULL, &list, &err), 0);
	assert_ptr_equal(object_child(&session->object, "box"), s);
	assert_int_equal(s->object.serial, serial);
	assert_int_equal(fake_renames, renames + 1);
	assert_int_equal(session->object.child_count, 3);
	/* The list stays in the order of the numbers, which paging goes by. */
	assert_ptr_equal(object_next(&session->object, first->object.serial), s);
	assert_ptr_equal(object_next(&session->object, serial), object_child(&session->object, "later"));
	assert_int_equal(session_adopt(session, "stray-1", NULL, &list, &err), 0);
	assert_int_equal(session_adopt(other, "stray-1", NULL, &list, &err), -EBUSY);
	drop_all(session);
	drop_all(other);
}

/* Counters go to the session and to the mount, and what is gone still counts. */
static void test_counters(void **state)
{
	struct session *session = new_session("counting");
	struct sandbox *a = sandbox_in(session, "a", true), *b = sandbox_in(session, "b", true);
	uint64_t commands = the_mount.totals.commands, started = the_mount.totals.started;
	struct buf out;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(fake_submit(a, NULL, "x"), 0);
	agent_exited(fake_of(a), 2, OUTCOME_EXITED, 0);
	agent_exited(fake_of(a), 3, OUTCOME_EXITED, 1);
	assert_int_equal(the_mount.totals.commands, commands + 3);
	assert_int_equal(the_mount.totals.started, started);
	fake_drop(b);
	buf_init(&out, 1u << 16);
	assert_int_equal(stats_print(session, &out), 0);
	assert_non_null(strstr(buf_text(&out), "sandboxes 1\n"));
	assert_non_null(strstr(buf_text(&out), "sandboxes_created 2\nsandboxes_started 2\n"));
	assert_non_null(
	    strstr(buf_text(&out), "executions 3\nexec_completed_ok 1\nexec_completed_nonzero 1\n"));
	assert_non_null(strstr(buf_text(&out), "processes_running 1\n"));
	assert_non_null(strstr(buf_text(&out), "avg_execs_per_sandbox 1.50\nmin_execs_per_sandbox 0\n"
					       "max_execs_per_sandbox 3\n"));
	assert_non_null(strstr(buf_text(&out), "startup_count 2\n"));
	buf_free(&out);
	/* A buffer that is too small is an error and no crash. */
	buf_init(&out, 100);
	assert_int_equal(stats_print(NULL, &out), -EFBIG);
	assert_int_equal(stats_print_metrics(&out), -EFBIG);
	buf_free(&out);
	drop_all(session);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_close),
	    cmocka_unit_test(test_close_of_nothing),
	    cmocka_unit_test(test_close_that_fails),
	    cmocka_unit_test(test_many_failures),
	    cmocka_unit_test(test_adopt),
	    cmocka_unit_test(test_counters),
	};

	return cmocka_run_group_tests_name("session", tests, fake_begin, fake_finish);
}
