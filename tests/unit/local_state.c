/* The state directory and what is said when something is missing. No sandbox is started here. */
#include "local_core.h"

#include "backend/local/remove.h"
#include "backend/local/store.h"

#include <sys/file.h>

static char parent[64];

static int make_parent(void **state)
{
	(void)state;
	snprintf(parent, sizeof parent, "/tmp/local-state-XXXXXX");
	return mkdtemp(parent) ? loop_start() : -1;
}

static int remove_parent(void **state)
{
	(void)state;
	loop_stop();
	return remove_tree(AT_FDCWD, parent);
}

static const char *below(const char *name)
{
	static char path[128];

	snprintf(path, sizeof path, "%s/%s", parent, name);
	return path;
}

static void expect_failure(const struct local_options *options, const char *reason, const char *words)
{
	struct backend *b = NULL;
	struct error err = {0};
	int rc = local_open(options, &b, &err);

	if (rc == 0)
		fail_msg("opened although: %s", reason);
	assert_int_equal(rc, -err.code);
	assert_string_equal(err.reason, reason);
	if (!strstr(err.text, words))
		fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

static void test_sentences(void **state)
{
	struct local_options o = {.source_name = "", .state_dir = below("s"), .agent_path = "/no/such/agent"};
	char inner[160];

	(void)state;
	expect_failure(&o, "AGENT_MISSING", "/no/such/agent");
	o.agent_path = agent_path();
	o.source_name = "../other";
	expect_failure(&o, "BAD_SOURCE", "../other");
	o.source_name = "a/b";
	expect_failure(&o, "BAD_SOURCE", "a/b");
	o.source_name = "";
	o.state_dir = "relative";
	expect_failure(&o, "STATE_DIR", "absolute");
	o.state_dir = below("open");
	assert_int_equal(mkdir(o.state_dir, 0755), 0);
	assert_int_equal(chmod(o.state_dir, 0777), 0);
	expect_failure(&o, "STATE_DIR", "writable");
	assert_int_equal(chmod(o.state_dir, 0755), 0);
	snprintf(inner, sizeof inner, "%s/default", o.state_dir);
	assert_int_equal(mkdir(inner, 0755), 0);
	expect_failure(&o, "STATE_DIR", "0700");
	assert_int_equal(rmdir(inner), 0);
	assert_int_equal(rmdir(o.state_dir), 0);
}

static void test_no_home(void **state)
{
	struct local_options o = {.source_name = "", .agent_path = agent_path()};

	(void)state;
	if (geteuid() == 0)
		skip();
	unsetenv("HOME");
	unsetenv("XDG_STATE_HOME");
	expect_failure(&o, "STATE_DIR", "HOME");
}

static void count(void *arg, const char *id, struct home home)
{
	(void)id;
	++*(int *)arg;
	home_close(&home);
}

static void test_locks(void **state)
{
	struct store a, b;
	struct home home;
	struct error err;
	int seen = 0;

	(void)state;
	assert_int_equal(store_open(below("locks"), "", &a, &err), 0);
	assert_int_equal(store_open(below("locks"), "", &b, &err), 0);
	assert_int_equal(store_create(&a, "one", &home, &err), 0);
	assert_int_equal(store_create(&b, "one", &home, &err), -EEXIST);
	/* Owned by a living mount. */
	store_scan(&b, count, &seen);
	assert_int_equal(seen, 0);
	home_close(&home);
	store_scan(&b, count, &seen);
	assert_int_equal(seen, 1);
	assert_int_equal(remove_tree(b.dir, "one"), 0);
	/* The last one to leave puts out the light. */
	store_close(&a);
	assert_int_equal(access(below("locks"), F_OK), 0);
	store_close(&b);
	assert_int_equal(access(below("locks"), F_OK), -1);
}

static void put(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

/* Deletes what is ours and dead; leaves alone what it cannot read. */
static void test_leftovers(void **state)
{
	static const char good[] =
	    "{\"version\":1,\"id\":\"%s\",\"session\":\"s\",\"name\":\"n\",\"created\":5,\"agent\":%d,"
	    "\"agent_started\":\"1\",\"boot\":\"x\",\"config\":{\"image\":\"host\"},\"cgroups\":{"
	    "}}";
	const struct local_options o = {
	    .source_name = "", .state_dir = below("left"), .agent_path = agent_path()};
	struct backend *b;
	struct error err;
	char text[512], path[256], base[128];

	(void)state;
	snprintf(base, sizeof base, "%s", o.state_dir);
	assert_int_equal(mkdir(base, 0700), 0);
	snprintf(path, sizeof path, "%s/default", base);
	assert_int_equal(mkdir(path, 0700), 0);
	for (int i = 0; i < 5; i++) {
		static const char *const ids[] = {"dead", "broken", "other", "stillborn", "foreign"};

		snprintf(path, sizeof path, "%s/default/%s", base, ids[i]);
		assert_int_equal(mkdir(path, 0700), 0);
		snprintf(path, sizeof path, "%s/default/%s/%s", base, ids[i], i == 4 ? "mine" : "meta.json");
		snprintf(text, sizeof text, good, i == 2 ? "another" : ids[i], (int)getpid());
		if (i != 3)
			put(path, i == 1 ? "{\"version\":1" : text);
	}
	{
		const struct local_options again = {
		    .source_name = "", .state_dir = base, .agent_path = agent_path()};

		assert_int_equal(local_open(&again, &b, &err), 0);
	}
	found_count = 0;
	core_lock();
	b->ops->find(b);
	core_unlock();
	b->ops->close(b);
	assert_int_equal(found_count, 0);
	snprintf(path, sizeof path, "%s/default/dead", base);
	assert_int_equal(access(path, F_OK), -1);
	snprintf(path, sizeof path, "%s/default/stillborn", base);
	assert_int_equal(access(path, F_OK), -1);
	snprintf(path, sizeof path, "%s/default/broken/meta.json", base);
	assert_int_equal(access(path, F_OK), 0);
	snprintf(path, sizeof path, "%s/default/other/meta.json", base);
	assert_int_equal(access(path, F_OK), 0);
	snprintf(path, sizeof path, "%s/default/foreign/mine", base);
	assert_int_equal(access(path, F_OK), 0);
}

static void test_removal(void **state)
{
	char command[1024], outside[80];
	int top;

	(void)state;
	snprintf(outside, sizeof outside, "%s/outside", parent);
	snprintf(
	    command, sizeof command,
	    "cd %s && mkdir -p outside/kept tree/a/b tree/.removing-0/x && echo x > outside/kept/file && "
	    "ln -s %s tree/link && ln -s %s tree/a/b/link && mkfifo tree/a/fifo && touch tree/.removing-1 && "
	    "chmod 000 tree/a/b && chmod 000 tree/a && chmod 500 tree",
	    parent, outside, outside);
	assert_int_equal(system(command), 0);
	top = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(remove_tree(top, "tree"), 0);
	assert_int_equal(faccessat(top, "tree", F_OK, 0), -1);
	assert_int_equal(faccessat(top, "outside/kept/file", F_OK, 0), 0);
	/* A link in the place of the tree is only unlinked. */
	assert_int_equal(symlinkat(outside, top, "tree"), 0);
	assert_int_equal(remove_tree(top, "tree"), 0);
	assert_int_equal(faccessat(top, "outside/kept/file", F_OK, 0), 0);
	assert_int_equal(remove_tree(top, "never-there"), 0);
	close(top);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sentences), cmocka_unit_test(test_no_home), cmocka_unit_test(test_locks),
	    cmocka_unit_test(test_leftovers), cmocka_unit_test(test_removal),
	};

	return cmocka_run_group_tests_name("local state", tests, make_parent, remove_parent);
}
