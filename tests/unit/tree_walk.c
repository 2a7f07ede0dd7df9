/* Names, numbers, lists and attributes of the control tree, on every file there is. */
#include "core_fake.h"

#include "tree/tree.h"

static int begin(void **state)
{
	tree_init();
	return fake_begin(state);
}

static struct spot root(void)
{
	struct spot s;

	assert_int_equal(tree_resolve(TREE_ROOT, &s), 0);
	return s;
}

static int walk(const char *path, struct spot *ret)
{
	char copy[256], *save = NULL;
	int rc = 0;

	*ret = root();
	snprintf(copy, sizeof copy, "%s", path);
	for (char *name = strtok_r(copy, "/", &save); name && rc == 0; name = strtok_r(NULL, "/", &save)) {
		struct spot dir = *ret;

		rc = tree_lookup(&dir, name, ret);
	}
	return rc;
}

static struct spot spot_of(const char *path)
{
	struct spot s;

	assert_int_equal(walk(path, &s), 0);
	return s;
}

static bool same(const struct spot *a, const struct spot *b)
{
	return a->object == b->object && a->node == b->node && a->row == b->row &&
	       (a->by_id == b->by_id || a->node->graft);
}

/* What must hold for any file; returns how many there are below and with it. */
static unsigned check_all(const struct spot *s, const struct spot *parent, const char *name)
{
	uint64_t cursor = 0, last = 0, fresh = tree_fresh_number(s);
	struct spot got, child;
	const char *child_name;
	unsigned count = 1, directories = 2;
	struct stat st;

	assert_int_equal(tree_resolve(tree_number(s), &got), 0);
	assert_true(same(s, &got));
	assert_int_not_equal(fresh, tree_number(s));
	assert_int_equal(fresh >> 63, 0);
	assert_int_equal(tree_resolve(fresh, &got), 0);
	assert_true(same(s, &got));
	tree_parent(s, &got);
	assert_true(same(parent, &got));
	if (s->row != 1 && !(s->node->help && s->node->help[0]))
		fail_msg("%s has no help", name);
	assert_int_equal(tree_attributes(s, &st), 0);
	assert_int_equal(st.st_ino, tree_number(s));
	assert_int_equal(S_ISDIR(st.st_mode), tree_is_directory(s));
	assert_int_equal(st.st_mode & 07777 & ~0777, 0);
	if (!tree_is_directory(s)) {
		assert_int_equal(tree_lookup(s, "x", &got), -ENOTDIR);
		return count;
	}
	assert_int_equal(st.st_mode & 0777, 0755);
	while (tree_next(s, &cursor, &child, &child_name)) {
		assert_true(cursor > last);
		last = cursor;
		assert_int_equal(tree_lookup(s, child_name, &got), 0);
		assert_true(same(&child, &got));
		directories += tree_is_directory(&child);
		count += check_all(&child, s, child_name);
	}
	assert_int_equal(st.st_nlink, directories);
	assert_int_equal(tree_lookup(s, "no such name", &got), -ENOENT);
	assert_int_equal(tree_lookup(s, "", &got), -ENOENT);
	return count;
}

static void test_every_file(void **state)
{
	struct sandbox *s = fake_sandbox("every");
	struct spot top = root();
	unsigned before, with_one;

	(void)state;
	before = check_all(&top, &top, "");
	assert_int_equal(fake_submit(s, NULL, "x"), 0);
	with_one = check_all(&top, &top, "");
	assert_int_equal(with_one - before, 2 * (1 + 9)); /* proc/1 and its files, and by the sandbox's id */
	process_drop(fake_process(s, "1"));
	assert_int_equal(check_all(&top, &top, ""), before);
}

static void test_paths(void **state)
{
	static const char *const there[] = {"/.ctl/README",	    "/.ctl/defaults/image", "/s/.ctl/ctl",
					    "/s/.ctl/defaults/env", "/s/paths/cmd",	    "/s/paths/proc",
					    "/s/paths/config/cpu",  "/s/paths/fs"};
	static const char *const absent[] = {"/README",		"/.ctl/s",	     "/s/cmd",
					     "/s/paths/proc/1", "/s/paths/proc/cmd", "/s/paths/config/x",
					     "/s/paths/CMD",	"/s/paths/..",	     "/."};
	struct spot s;

	(void)state;
	fake_sandbox("paths");
	for (size_t i = 0; i < sizeof there / sizeof *there; i++)
		assert_int_equal(walk(there[i], &s), 0);
	for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
		assert_int_equal(walk(absent[i], &s), -ENOENT);
	assert_int_equal(walk("/s/paths/cmd/x", &s), -ENOTDIR);
}

static void test_numbers_that_are_none(void **state)
{
	struct spot s = spot_of("/s");
	uint64_t number = tree_number(&s);

	(void)state;
	assert_int_equal(tree_resolve(0, &s), -ESTALE);
	assert_int_equal(tree_resolve(number & ~0xffull, &s), -ESTALE); /* row 0 */
	assert_int_equal(tree_resolve(number | 0xff, &s), -ESTALE);	/* a row too many */
	assert_int_equal(tree_resolve(number + (1ull << 50), &s), -ESTALE);
	assert_int_equal(tree_resolve(UINT64_MAX, &s), -ESTALE);
	assert_int_equal(tree_resolve(number | 1ull << 63, &s), -ESTALE);
}

static void test_numbers_outlive_nobody(void **state)
{
	struct sandbox *s = fake_sandbox("stale");
	struct spot spot = spot_of("/s/stale/config/image");
	uint64_t number = tree_number(&spot);

	(void)state;
	fake_drop(s);
	assert_int_equal(tree_resolve(number, &spot), -ESTALE);
	fake_sandbox("stale"); /* the name comes again, the number does not */
	assert_int_equal(tree_resolve(number, &spot), -ESTALE);
	spot = spot_of("/s/stale/config/image");
	assert_int_not_equal(tree_number(&spot), number);
}

static void test_fresh_numbers(void **state)
{
	struct spot s = spot_of("/.ctl"), got;
	uint64_t last = 0;

	(void)state;
	for (unsigned i = 0; i < 70000; i++) { /* more than there are nonces */
		uint64_t number = tree_fresh_number(&s);

		assert_int_not_equal(number, last);
		assert_int_equal(tree_resolve(number, &got), 0);
		assert_true(same(&s, &got));
		last = number;
	}
}

/* Readdir in small steps while names go: each that stays is seen once. */
static void test_listing_with_removals(void **state)
{
	struct spot dir = spot_of("/s"), entry;
	bool seen[20] = {0};
	uint64_t cursor = 0;
	const char *name;
	char box[16];
	int number;

	(void)state;
	for (int i = 0; i < 20; i++) {
		snprintf(box, sizeof box, "list%d", i);
		fake_sandbox(box);
	}
	while (tree_next(&dir, &cursor, &entry, &name)) {
		if (sscanf(name, "list%d", &number) != 1)
			continue;
		assert_false(seen[number]);
		seen[number] = true;
		if (number % 3 == 0)
			fake_drop((struct sandbox *)entry.object);
	}
	for (int i = 0; i < 20; i++)
		assert_true(seen[i]);
	assert_false(tree_next(&dir, &cursor, &entry, &name)); /* stays at the end */
}

static void test_mkdir_and_rmdir(void **state)
{
	struct spot top = root(), session, ret;

	(void)state;
	assert_int_equal(tree_mkdir(&top, "t", &ret), 0);
	assert_string_equal(ret.object->name, "t");
	assert_int_equal(tree_mkdir(&top, "t", &ret), -EEXIST);
	assert_int_equal(tree_mkdir(&top, ".ctl", &ret), -EEXIST);
	assert_int_equal(tree_mkdir(&top, ".x", &ret), -EINVAL);
	assert_string_equal(the_mount.error.reason, "INVALID_NAME");
	session = spot_of("/t");
	assert_int_equal(tree_mkdir(&session, "box", &ret), 0);
	session = spot_of("/t/.ctl");
	assert_int_equal(tree_mkdir(&session, "x", &ret), -EPERM);
	session = spot_of("/t/box");
	assert_int_equal(tree_mkdir(&session, "x", &ret), -EPERM);
	assert_int_equal(tree_rmdir(&session, "cmd"), -ENOTDIR);
	assert_int_equal(tree_rmdir(&session, "config"), -EPERM);
	assert_int_equal(tree_rmdir(&session, "x"), -ENOENT);
	session = spot_of("/t/box/proc");
	assert_int_equal(tree_mkdir(&session, "p", &ret), 0);
	assert_int_equal(tree_rmdir(&session, "p"), 0);
	assert_int_equal(tree_rmdir(&top, "t"), -ENOTEMPTY);
	assert_string_equal(the_mount.error.text, "session t has 1 sandboxes");
	session = spot_of("/t");
	assert_int_equal(tree_rmdir(&session, "box"), 0);
	assert_int_equal(tree_rmdir(&top, "t"), 0);
	assert_int_equal(walk("/t", &ret), -ENOENT);
}

static int64_t size_at(const char *path)
{
	struct spot s = spot_of(path);
	struct stat st;

	assert_int_equal(tree_attributes(&s, &st), 0);
	return st.st_size;
}

/* wc, cp and tail believe them. */
static void test_sizes(void **state)
{
	struct sandbox *s = fake_running("sizes", -1);

	(void)state;
	assert_int_equal(size_at("/s/sizes/state"), 8); /* running, newline */
	assert_int_equal(size_at("/s/sizes/id"), 17);
	assert_int_equal(size_at("/s/sizes/status"), 5);
	assert_int_equal(size_at("/s/sizes/stdout"), 0);
	assert_int_equal(fake_submit(s, NULL, "echo hello"), 0);
	agent_number(fake_of(s), MSG_STARTED, 2, 0, 0, 1);
	agent_output(fake_of(s), 2, STREAM_OUT, 0, "hello\n");
	assert_int_equal(size_at("/s/sizes/cmd"), 10);
	assert_int_equal(size_at("/s/sizes/stdout"), 6);
	assert_int_equal(size_at("/s/sizes/proc/1/stdout.log"), 6);
	assert_int_equal(size_at("/s/sizes/stderr"), 0);
	agent_exited(fake_of(s), 2, OUTCOME_EXITED, 12);
	assert_int_equal(size_at("/s/sizes/wait"), 3);
	assert_int_equal(size_at("/s/sizes/proc/1/status"), 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_file),
	    cmocka_unit_test(test_paths),
	    cmocka_unit_test(test_numbers_that_are_none),
	    cmocka_unit_test(test_numbers_outlive_nobody),
	    cmocka_unit_test(test_fresh_numbers),
	    cmocka_unit_test(test_listing_with_removals),
	    cmocka_unit_test(test_mkdir_and_rmdir),
	    cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, begin, fake_finish);
}
