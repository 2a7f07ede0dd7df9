/* Writes to settings and verbs: what is judged at which write, what >> and > mean, what is left after a
 * refusal. */
#include "core_fake.h"

#include "tree/handle.h"
#include "tree/store.h"

static int begin(void **state)
{
	tree_init();
	return fake_begin(state);
}

static struct spot at_path(struct object *o, const char *directory, const char *name)
{
	struct spot dir, ret;

	assert_int_equal(tree_resolve(o->serial << 24 | TREE_ROOT, &dir), 0);
	if (*directory)
		assert_int_equal(tree_lookup(&dir, directory, &dir), 0);
	assert_int_equal(tree_lookup(&dir, name, &ret), 0);
	return ret;
}

static struct handle *open_file(struct sandbox *s, const char *directory, const char *name, int flags)
{
	struct spot spot = at_path(&s->object, directory, name);
	struct handle *h = NULL;
	struct list *wait = NULL;

	assert_int_equal(handle_open(&spot, flags, 1, &h, &wait), 0);
	return h;
}

static ssize_t put(struct handle *h, const char *text)
{
	struct list *wait;

	return handle_write(h, text, strlen(text), &wait);
}

static void assert_own(struct sandbox *s, enum config_key key, const char *want)
{
	assert_string_equal(config_text(&s->own, key), want);
}

/* The whole of what a shell's `echo text > file` does. */
static ssize_t echo(struct sandbox *s, const char *name, int flags, const char *text)
{
	struct handle *h = open_file(s, "config", name, O_WRONLY | flags);
	ssize_t n;

	handle_flush(h, true);
	n = put(h, text);
	handle_flush(h, true);
	handle_release(h);
	return n;
}

static void test_value(void **state)
{
	struct sandbox *s = fake_sandbox("value");

	(void)state;
	assert_int_equal(echo(s, "memory", O_TRUNC, "512Mi\n"), 6);
	assert_own(s, CONFIG_MEMORY, "512Mi");
	assert_int_equal(echo(s, "memory", O_TRUNC, "lots\n"), -EINVAL);
	assert_own(s, CONFIG_MEMORY, "512Mi");
	assert_string_equal(s->error.text, "'lots' is not a size in bytes like 512Mi or 2G");
	assert_int_equal(echo(s, "memory", O_APPEND, "1Gi\n"), 4); /* a value has nothing to append to */
	assert_own(s, CONFIG_MEMORY, "1Gi");
}

static void test_value_in_pieces(void **state)
{
	struct sandbox *s = fake_sandbox("pieces");
	struct handle *h = open_file(s, "config", "command", O_WRONLY | O_TRUNC);

	(void)state;
	assert_int_equal(put(h, "make\n"), 5);
	assert_own(s, CONFIG_COMMAND, "make");
	assert_int_equal(put(h, "serve\n"), 6);
	assert_own(s, CONFIG_COMMAND, "make\nserve");
	handle_release(h);
	h = open_file(s, "config", "lifetime", O_WRONLY);
	assert_int_equal(put(h, "9"), 1);
	assert_int_equal(put(h, "0"), 1);
	assert_int_equal(put(h, "x"), -EINVAL); /* does not stay in the text */
	assert_int_equal(put(h, "m"), 1);
	assert_own(s, CONFIG_LIFETIME, "90m");
	handle_release(h);
}

static void test_unsetting(void **state)
{
	struct sandbox *s = fake_sandbox("unsetting");
	struct handle *h;
	struct spot spot;

	(void)state;
	assert_int_equal(echo(s, "image", O_TRUNC, "x\n"), 2);
	h = open_file(s, "config", "image", O_WRONLY | O_TRUNC); /* : > image */
	handle_flush(h, true);
	assert_own(s, CONFIG_IMAGE, "x");
	handle_flush(h, true);
	assert_own(s, CONFIG_IMAGE, "");
	handle_release(h);
	assert_int_equal(echo(s, "image", O_TRUNC, "y\n"), 2);
	h = open_file(s, "config", "image", O_WRONLY); /* opened, and nothing done */
	handle_release(h);
	assert_own(s, CONFIG_IMAGE, "y");
	h = open_file(s, "config", "image", O_WRONLY | O_TRUNC);
	handle_release(h);
	assert_own(s, CONFIG_IMAGE, "");
	assert_int_equal(echo(s, "image", O_TRUNC, "z\n"), 2);
	spot = at_path(&s->object, "config", "image");
	assert_int_equal(handle_truncate(&spot), 0);
	assert_own(s, CONFIG_IMAGE, "");
	/* A refused text is no empty one. */
	assert_int_equal(echo(s, "network", O_TRUNC, "host\n"), 5);
	assert_int_equal(echo(s, "network", O_TRUNC, "moon\n"), -EINVAL);
	assert_own(s, CONFIG_NETWORK, "host");
}

static void test_list(void **state)
{
	struct sandbox *s = fake_sandbox("list");

	(void)state;
	assert_int_equal(echo(s, "env", O_TRUNC, "A=1\n"), 4);
	assert_int_equal(echo(s, "env", O_APPEND, "B=2\n"), 4);
	assert_own(s, CONFIG_ENV, "A=1\nB=2");
	assert_int_equal(echo(s, "env", O_APPEND, "C\n"), -EINVAL);
	assert_own(s, CONFIG_ENV, "A=1\nB=2");
	assert_int_equal(echo(s, "env", O_APPEND | O_TRUNC, "D=4"), 3);
	assert_own(s, CONFIG_ENV, "D=4");
	assert_int_equal(echo(s, "tags", 0, "a\nb\n"), 4);
	assert_int_equal(echo(s, "tags", O_APPEND, "a\n"), 2);
	assert_own(s, CONFIG_TAGS, "a\nb\na");
}

/* A program's buffer ends in the middle of a line. */
static void test_list_in_pieces(void **state)
{
	struct sandbox *s = fake_sandbox("list-pieces");
	struct handle *h = open_file(s, "config", "env", O_WRONLY | O_TRUNC);

	(void)state;
	assert_int_equal(put(h, "A=1\nLONG"), 8);
	assert_own(s, CONFIG_ENV, "A=1");
	assert_int_equal(put(h, "ER=2\nB"), 6);
	assert_own(s, CONFIG_ENV, "A=1\nLONGER=2");
	assert_int_equal(s->error.code, 0); /* no failure was shown on the way */
	assert_int_equal(handle_flush(h, true), -EINVAL);
	assert_string_equal(s->error.text, "a line of env is not NAME=VALUE");
	handle_release(h);
	assert_own(s, CONFIG_ENV, "A=1\nLONGER=2");
	/* A bad line that is whole is refused at once, and the text before stays. */
	h = open_file(s, "config", "env", O_WRONLY | O_APPEND);
	assert_int_equal(put(h, "C=3\n"), 4);
	assert_int_equal(put(h, "bad\nD=4"), -EINVAL);
	assert_int_equal(put(h, "E=5\n"), 4);
	handle_release(h);
	assert_own(s, CONFIG_ENV, "A=1\nLONGER=2\nC=3\nE=5");
}

static void test_nul(void **state)
{
	struct sandbox *s = fake_sandbox("nul");
	struct handle *h = open_file(s, "config", "image", O_WRONLY | O_TRUNC);
	struct list *wait;

	(void)state;
	assert_int_equal(handle_write(h, "a\0b", 3, &wait), -EINVAL);
	assert_own(s, CONFIG_IMAGE, "");
	handle_release(h);
	h = open_file(s, "", "ctl", O_WRONLY);
	assert_int_equal(handle_write(h, "stop\0", 5, &wait), -EINVAL);
	assert_int_equal(s->state, SANDBOX_UNSTARTED);
	handle_release(h);
}

static void test_started_sandbox(void **state)
{
	struct sandbox *s = fake_running("started", -1);

	(void)state;
	assert_int_equal(echo(s, "cpu", O_TRUNC, "2\n"), -EBUSY);
	assert_string_equal(s->error.text, "cpu was fixed when the sandbox started");
}

static void test_verbs(void **state)
{
	static const char *const bad[] = {"jump\n",	"stop x\n",    "stop 1 2\n", "stop -1\n",
					  "stop 601\n", "start now\n", "Start\n"};
	struct sandbox *s = fake_sandbox("verbs");
	struct handle *h = open_file(s, "", "ctl", O_WRONLY);
	char line[400];

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(put(h, bad[i]), -EINVAL);
	assert_int_equal(put(h, "jump over\n"), -EINVAL);
	assert_string_equal(
	    s->error.text,
	    "'jump over' is not understood; known: start; stop [SECONDS] [snapshot [NAME]]; snapshot [NAME]");
	memset(line, 'x', sizeof line);
	line[sizeof line - 1] = '\0';
	assert_int_equal(put(h, line), -EINVAL);
	assert_int_equal(put(h, "stop 1 2 3 4 5 6 7 8 9"), -EINVAL);
	assert_int_equal(s->state, SANDBOX_UNSTARTED);
	assert_int_equal(put(h, "\n  \n\t\n"), 6);
	assert_int_equal(put(h, " start \n"), 8);
	assert_int_equal(s->state, SANDBOX_PENDING);
	assert_int_equal(put(h, "start\nstop\t7\njump\n"), -EINVAL); /* what stood before it was done */
	assert_int_equal(fake_of(s)->stops, 1);
	assert_int_equal(fake_of(s)->grace_ms, 7000);
	handle_release(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_value),	    cmocka_unit_test(test_value_in_pieces),
	    cmocka_unit_test(test_unsetting),	    cmocka_unit_test(test_list),
	    cmocka_unit_test(test_list_in_pieces),  cmocka_unit_test(test_nul),
	    cmocka_unit_test(test_started_sandbox), cmocka_unit_test(test_verbs),
	};

	return cmocka_run_group_tests(tests, begin, fake_finish);
}
