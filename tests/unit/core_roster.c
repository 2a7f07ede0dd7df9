/* The list of all sandboxes: what the backend shows, attaching, and what becomes of it. */
#include "core_fake.h"

#include "core/roster.h"
#include "core/waiter.h"

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

static unsigned shown(const char *id)
{
	struct sandbox *s;
	uint64_t cursor = 0, last = 0;
	unsigned count = 0;
	const char *name;

	while ((name = roster_next(&cursor, &s))) {
		assert_true(cursor > last);
		last = cursor;
		count += strcmp(name, id) == 0;
	}
	return count;
}

static struct sandbox *found(const char *id, const char *session, const char *name, bool dormant)
{
	static const struct config settings;
	struct sandbox_leftover l = {.id = id,
				     .session = session,
				     .name = name,
				     .config = &settings,
				     .created = 5,
				     .dormant = dormant,
				     .instance = fake_new()};

	return sandbox_found(&l);
}

static void test_ours(void **state)
{
	unsigned before = roster_count();
	struct sandbox *s = fake_sandbox("ours");
	char id[SANDBOX_ID_MAX + 1];

	(void)state;
	strcpy(id, s->id);
	assert_ptr_equal(roster_find(id), s);
	assert_int_equal(roster_count(), before + 1);
	assert_int_equal(shown(id), 1);
	sandbox_set_id(s, "the-backends-own");
	assert_null(roster_find(id));
	assert_ptr_equal(roster_find("the-backends-own"), s);
	fake_drop(s);
	assert_null(roster_find("the-backends-own"));
	assert_int_equal(roster_count(), before);
}

static void test_many(void **state)
{
	char name[16], ids[300][SANDBOX_ID_MAX + 1];

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		snprintf(name, sizeof name, "many%u", i);
		strcpy(ids[i], fake_sandbox(name)->id);
	}
	for (unsigned i = 0; i < 300; i++) {
		assert_string_equal(roster_find(ids[i])->id, ids[i]);
		assert_int_equal(shown(ids[i]), 1);
		if (i % 3)
			fake_drop(roster_find(ids[i]));
	}
	for (unsigned i = 0; i < 300; i++) {
		assert_int_equal(shown(ids[i]), i % 3 == 0);
		if (i % 3 == 0)
			fake_drop(roster_find(ids[i]));
	}
}

static void test_listing(void **state)
{
	struct waiting first, second;
	struct list *list = NULL;
	struct error err;

	(void)state;
	assert_int_equal(roster_list(&list, &err), -EAGAIN);
	wait_for(&first, list);
	assert_int_equal(roster_list(&list, &err), -EAGAIN);
	wait_for(&second, list);
	assert_int_equal(fake_lists, 1); /* one question for both */
	backend_shows("other-1");
	backend_shows("other-2");
	backend_shows("other-1");
	backend_shows("../../etc/passwd");
	backend_shows("");
	backend_shows("012345678901234567890123456789012345678901234567x");
	fake_settle();
	assert_int_equal(first.woken, 0);
	backend_showed(NULL);
	fake_settle();
	assert_int_equal(first.woken, 1);
	assert_int_equal(second.woken, 1);
	assert_int_equal(roster_list(&list, &err), 0); /* fresh */
	assert_int_equal(shown("other-1"), 1);
	assert_int_equal(shown("other-2"), 1);
	assert_int_equal(roster_count(), 2);
	assert_null(roster_find("other-1")); /* a name, and nothing behind it yet */
	backend_shows("uncalled-for");
	backend_showed(NULL);
	assert_int_equal(roster_count(), 2);
}

static void test_attaching(void **state)
{
	struct waiting first, second;
	struct list *list = NULL;
	unsigned before = fake_attaches;
	struct sandbox *s;
	struct error err;

	(void)state;
	assert_int_equal(roster_attach("other-1", &list, &err), -EAGAIN);
	wait_for(&first, list);
	assert_int_equal(roster_attach("other-1", &list, &err), -EAGAIN);
	wait_for(&second, list);
	assert_int_equal(fake_attaches, before + 1);
	s = found("other-1", "s", "box", false);
	assert_non_null(s);
	assert_null(object_child(&fake_session()->object, "box")); /* nobody's yet */
	assert_ptr_equal(sandbox_session(s), the_mount.strays);
	assert_string_equal(s->old_name, "box");
	backend_attached("other-1", NULL);
	fake_settle();
	assert_int_equal(first.woken, 0); /* its agent has not said what runs */
	assert_null(roster_find("other-1"));
	fake_connect(s, -1);
	agent_welcome(fake_of(s));
	agent_ready(fake_of(s));
	fake_settle();
	assert_int_equal(first.woken, 1);
	assert_int_equal(second.woken, 1);
	assert_ptr_equal(roster_find("other-1"), s);
	assert_int_equal(roster_attach("other-1", &list, &err), 0);
	assert_int_equal(s->state, SANDBOX_RUNNING);
	fake_drop(s);
	assert_null(roster_find("other-1"));
}

static void test_it_ends_while_attaching(void **state)
{
	struct waiting w;
	struct list *list = NULL;
	struct sandbox *s;
	struct error err;

	(void)state;
	assert_int_equal(roster_attach("ends", &list, &err), -EAGAIN);
	wait_for(&w, list);
	s = found("ends", "s", "ends", false);
	core_lock(); /* its attachment has a deadline, which the loop thread is setting */
	backend_attached("ends", NULL);
	sandbox_ended(s, END_FAILED, NULL);
	core_unlock();
	fake_settle();
	assert_int_equal(w.woken, 1);
	assert_ptr_equal(roster_find("ends"), s);
	fake_drop(s);
}

static void test_unknown(void **state)
{
	struct error why = {EHOSTUNREACH, "UNREACHABLE", "nobody answers"}, err;
	unsigned before = fake_attaches;
	struct list *list = NULL;
	struct waiting w;

	(void)state;
	assert_int_equal(roster_attach("unknown", &list, &err), -EAGAIN);
	wait_for(&w, list);
	backend_attached("unknown", NULL);
	fake_settle();
	assert_int_equal(w.woken, 1);
	assert_int_equal(roster_attach("unknown", &list, &err), -ENOENT);
	assert_string_equal(err.reason, "NO_SUCH_SANDBOX");
	assert_int_equal(fake_attaches, before + 1); /* not asked again at once */
	assert_int_equal(shown("unknown"), 0);
	assert_int_equal(roster_attach("far", &list, &err), -EAGAIN);
	backend_attached("far", &why);
	assert_int_equal(roster_attach("far", &list, &err), -EHOSTUNREACH);
	assert_string_equal(err.reason, "UNREACHABLE");
	assert_int_equal(roster_attach("..", &list, &err), -ENOENT);
	assert_int_equal(roster_attach("012345678901234567890123456789012345678901234567x", &list, &err),
			 -ENOENT);
	assert_int_equal(fake_attaches, before + 2);
}

/* Whoever asks for thousands of names that are not there costs no more than a table of some hundreds. */
static void test_flood(void **state)
{
	struct list *list = NULL;
	unsigned before;
	struct error err;
	char id[16];

	(void)state;
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(id, sizeof id, "flood%u", i);
		assert_int_equal(roster_attach(id, &list, &err), -EAGAIN);
		backend_attached(id, NULL);
	}
	for (unsigned i = 0; i < 64; i++) {
		snprintf(id, sizeof id, "slow%u", i);
		assert_int_equal(roster_attach(id, &list, &err), -EAGAIN);
	}
	before = fake_attaches;
	assert_int_equal(roster_attach("one-too-many", &list, &err), -EAGAIN);
	assert_int_equal(fake_attaches, before);
	for (unsigned i = 0; i < 64; i++) {
		snprintf(id, sizeof id, "slow%u", i);
		backend_attached(id, NULL);
	}
	assert_int_equal(roster_attach("one-too-many", &list, &err), -EAGAIN);
	assert_int_equal(fake_attaches, before + 1);
	backend_attached("one-too-many", NULL);
}

/* Attached to without its agent: that is started when it is needed. */
static void test_dormant(void **state)
{
	struct list *list = NULL;
	struct sandbox *s;
	struct error err;

	(void)state;
	assert_int_equal(roster_attach("dormant", &list, &err), -EAGAIN);
	s = found("dormant", NULL, NULL, true);
	backend_attached("dormant", NULL);
	assert_ptr_equal(roster_find("dormant"), s);
	assert_int_equal(s->state, SANDBOX_RUNNING);
	assert_null(s->channel);
	sandbox_set_instance(s, NULL); /* what fake_start() looks for */
	assert_int_equal(fake_submit(s, NULL, "x"), 0);
	assert_int_equal(s->state, SANDBOX_CREATING);
	fake_connect(s, -1);
	agent_welcome(fake_of(s));
	agent_ready(fake_of(s));
	assert_int_equal(s->state, SANDBOX_RUNNING);
	assert_true(fake_process(s, "1")->sent);
	fake_drop(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ours),    cmocka_unit_test(test_many),
	    cmocka_unit_test(test_listing), cmocka_unit_test(test_attaching),
	    cmocka_unit_test(test_unknown), cmocka_unit_test(test_it_ends_while_attaching),
	    cmocka_unit_test(test_flood),   cmocka_unit_test(test_dormant),
	};

	return cmocka_run_group_tests_name("roster", tests, fake_begin, fake_finish);
}
