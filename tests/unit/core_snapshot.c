/* Snapshots in core, whatever a backend makes of them and in whatever order it says so; comparisons. */
#include "core_fake.h"

#include "core/snapshot/comparison.h"

static struct snapshot *making, *removing;
static struct comparison *comparing;
static unsigned lists;
static bool refuse;

static void take(struct backend *b, struct snapshot *n)
{
	struct error err;

	(void)b;
	making = n;
	if (!refuse)
		return;
	error_set(&err, ENOSPC, "NO_SPACE", "it is full");
	snapshot_failed(n, &err);
}

static void forget(struct backend *b, struct snapshot *n)
{
	(void)b;
	removing = n;
}

static void list(struct backend *b, struct sandbox *s)
{
	(void)b;
	(void)s;
	lists++;
}

static void compare(struct backend *b, struct comparison *c)
{
	(void)b;
	comparing = c;
}

static int begin(void **state)
{
	static struct backend_ops ops;
	int rc = fake_begin(state);

	ops = *the_mount.backend->ops;
	ops.snapshot = take;
	ops.snapshot_remove = forget;
	ops.snapshots = list;
	ops.compare = compare;
	the_mount.backend->ops = &ops;
	return rc;
}

static struct sandbox *running(const char *name)
{
	struct sandbox *s = fake_sandbox(name);
	struct error err;

	assert_int_equal(sandbox_need(s, &err), 0);
	sandbox_ready(s);
	return s;
}

/* As the write to ctl does it, until it would wait. */
static int ask(struct sandbox *s, const char *name, struct object **held, struct error *err)
{
	struct list *wait_list = NULL;
	int rc = snapshot_take(s, name, held, &wait_list, err);

	assert_int_equal(rc == -EAGAIN, wait_list != NULL);
	return rc;
}

static void let_go(struct object **held)
{
	if (*held)
		object_unref(*held);
	*held = NULL;
}

static void test_ready(void **state)
{
	struct sandbox *s = fake_sandbox("ready");
	struct object *held = NULL;
	struct error err;
	char *id;

	(void)state;
	assert_int_equal(ask(s, NULL, &held, &err), -EAGAIN); /* for its start */
	assert_null(held);
	sandbox_ready(s);
	assert_int_equal(ask(s, NULL, &held, &err), -EAGAIN);
	assert_string_equal(snapshot_name(making), "1");
	assert_int_equal(snapshot_resolve(fake_session(), "ready/snapshots/1", &id, &err), -EBUSY);
	snapshot_set_id(making, "an id");
	snapshot_ready(making, 77);
	assert_int_equal(ask(s, NULL, &held, &err), 0);
	let_go(&held);
	assert_int_equal(snapshot_resolve(fake_session(), "ready/snapshots/1", &id, &err), 0);
	assert_string_equal(id, "an id");
	free(id);
	assert_int_equal(snapshot_make(s, "1", &making, &err), -EEXIST);
	assert_int_equal(snapshot_make(s, "../x", &making, &err), -EINVAL);
	/* Neither a command nor its directory: those are found apart. */
	assert_null(object_child(&s->object, "1"));
	assert_null(object_next(&s->object, 0));
	assert_int_equal(snapshot_drop(snapshot_find(s, "1"), &err), 0);
	assert_null(snapshot_find(s, "1"));
	snapshot_removed(removing);
	fake_drop(s);
}

static void test_failed(void **state)
{
	struct sandbox *s = running("failed");
	struct object *held = NULL;
	struct error err, why;

	(void)state;
	refuse = true; /* before snapshot() returns */
	assert_int_equal(ask(s, "a", &held, &err), -ENOSPC);
	let_go(&held);
	refuse = false;
	assert_int_equal(ask(s, "a", &held, &err), -EAGAIN);
	error_set(&why, EIO, "BROKEN", "it broke");
	snapshot_failed(making, &why);
	assert_null(snapshot_find(s, "a"));
	assert_int_equal(ask(s, "a", &held, &err), -EIO);
	assert_string_equal(s->error.reason, "BROKEN");
	let_go(&held);
	fake_drop(s);
}

static void test_removed_while_made(void **state)
{
	struct sandbox *s = running("removed");
	struct object *held = NULL;
	struct error err, why;

	(void)state;
	error_set(&why, ECANCELED, "CANCELED", "given up");
	assert_int_equal(ask(s, "a", &held, &err), -EAGAIN);
	assert_int_equal(snapshot_drop(making, &err), 0);
	assert_ptr_equal(removing, making);
	assert_int_equal(ask(s, "a", &held, &err), -ECANCELED);
	let_go(&held);
	assert_int_equal(ask(s, "a", &held, &err), -EAGAIN); /* the name is free again */
	snapshot_failed(removing, &why);
	assert_null(snapshot_find(s, "b"));
	assert_non_null(snapshot_find(s, "a"));
	assert_int_equal(snapshot_drop(making, &err), 0);
	snapshot_ready(making, -1); /* too late to be given up */
	snapshot_removed(making);
	let_go(&held);
	fake_drop(s);
}

static void test_sandbox_goes(void **state)
{
	struct sandbox *s = running("goes");
	struct object *held = NULL;
	struct error err;

	(void)state;
	assert_int_equal(ask(s, "a", &held, &err), -EAGAIN);
	assert_int_equal(snapshot_make(s, "b", &making, &err), 0);
	object_unref(&making->object);
	snapshot_ready(making, 1);
	fake_drop(s);
	assert_int_equal(ask(s, "a", &held, &err), -ESHUTDOWN);
	let_go(&held);
}

static void test_listed(void **state)
{
	struct sandbox *s = running("listed");
	struct snapshot_leftover found = {.id = "x-1", .name = "theirs", .created = 5, .bytes = -1};
	struct list *wait_list = NULL;
	struct error err, why;

	(void)state;
	lists = 0;
	assert_int_equal(snapshot_seek(s, &wait_list, &err), -EAGAIN);
	assert_int_equal(snapshot_seek(s, &wait_list, &err), -EAGAIN);
	assert_int_equal(lists, 1);
	assert_non_null(snapshot_found(s, &found));
	assert_non_null(snapshot_found(s, &found)); /* the same */
	assert_int_equal(s->snapshots.count, 1);
	found.id = "x-2"; /* another of that name goes by its id */
	assert_string_equal(snapshot_name(snapshot_found(s, &found)), "x-2");
	found.id = "../x-3";
	assert_null(snapshot_found(s, &found));
	snapshots_listed(s, NULL);
	assert_int_equal(snapshot_seek(s, &wait_list, &err), 0);
	assert_int_equal(lists, 1);
	error_set(&why, EIO, "DOWN", "it is down");
	s->snapshots.told_ms = 0;
	assert_int_equal(snapshot_seek(s, &wait_list, &err), -EAGAIN);
	snapshots_listed(s, &why);
	assert_int_equal(snapshot_seek(s, &wait_list, &err), -EIO);
	fake_drop(s);
}

static void test_paths(void **state)
{
	struct sandbox *s = running("paths");
	static const char *const good[] = {"paths/snapshots/a", "./paths//snapshots/a/",
					   "s/paths/snapshots/a", "../s/paths/snapshots/a",
					   "/m/s/paths/snapshots/a"};
	static const char *const other[] = {"paths/snapshots/b",
					    "paths/a",
					    "snapshots/a",
					    "/s/paths/snapshots/a",
					    "/mm/s/paths/snapshots/a",
					    "../../s/paths/snapshots/a",
					    "a/b/c/d/e/f/g/h/i/snapshots/a",
					    "..",
					    ""};
	struct error err;
	char *id;

	(void)state;
	strcpy(the_mount.settings.mountpoint, "/m");
	assert_int_equal(snapshot_make(s, "a", &making, &err), 0);
	object_unref(&making->object);
	snapshot_set_id(making, "the id");
	snapshot_ready(making, 1);
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		assert_int_equal(snapshot_resolve(fake_session(), good[i], &id, &err), 0);
		assert_string_equal(id, "the id");
		free(id);
	}
	for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
		assert_int_equal(snapshot_resolve(fake_session(), other[i], &id, &err), 0);
		assert_string_equal(id, other[i]);
		free(id);
	}
	fake_drop(s);
}

static void test_comparison(void **state)
{
	struct sandbox *s = fake_sandbox("compared");
	struct list *wait_list = NULL;
	struct comparison *c;
	struct error err;

	(void)state;
	assert_int_equal(comparison_begin(s, COMPARE_PATHS, &c, &wait_list, &err), 0);
	assert_true(c->done);
	comparison_drop(c);
	assert_int_equal(sandbox_need(s, &err), 0);
	assert_int_equal(comparison_begin(s, COMPARE_PATHS, &c, &wait_list, &err), -EAGAIN);
	assert_ptr_equal(wait_list, &s->startup);
	sandbox_ready(s);
	/* Its reader goes before it is done, and after. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(comparison_begin(s, COMPARE_PATCH, &c, &wait_list, &err), 0);
		assert_int_equal(comparison_kind(c), COMPARE_PATCH);
		assert_false(comparison_unwanted(comparing));
		if (i == 0)
			comparison_drop(c);
		assert_int_equal(comparison_unwanted(comparing), i == 0);
		comparison_done(comparing, open("/dev/null", O_RDONLY | O_CLOEXEC), NULL);
		if (i == 1)
			comparison_drop(c);
	}
	fake_drop(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ready),
	    cmocka_unit_test(test_failed),
	    cmocka_unit_test(test_removed_while_made),
	    cmocka_unit_test(test_sandbox_goes),
	    cmocka_unit_test(test_listed),
	    cmocka_unit_test(test_paths),
	    cmocka_unit_test(test_comparison),
	};

	return cmocka_run_group_tests_name("core snapshot", tests, begin, fake_finish);
}
