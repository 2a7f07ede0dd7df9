/* Real sandboxes: how they start, what isolates them, what is left of them. As root and as an ordinary user.
 */
#include "local_core.h"

#include <grp.h>
#include <sys/mman.h>

static struct backend *backend;
static char out[OUTPUT_MAX];

static int open_backend(void **state)
{
	(void)state;
	backend = backend_open();
	return 0;
}

static int close_backend(void **state)
{
	(void)state;
	backend->ops->close(backend);
	return 0;
}

static struct sandbox *plain(void)
{
	struct sandbox *s = box_start(backend, -1);

	if (s->ended)
		fail_msg("%s: %s", s->why.reason, s->why.text);
	return s;
}

static void expect(struct sandbox *s, const char *text, const char *wanted)
{
	int code = box_run(s, text, out);

	if (code != 0 || strcmp(out, wanted))
		fail_msg("%s: code %d, \"%s\" and not \"%s\"", text, code, out, wanted);
}

static void refuse(struct sandbox *s, const char *text)
{
	int code = box_run(s, text, out);

	if (code == 0)
		fail_msg("%s: was allowed: %s", text, out);
}

#include "local_isolation.h"

static void test_life(void **state)
{
	struct timespec before, after;
	struct sandbox *s;

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &before);
	s = plain();
	clock_gettime(CLOCK_MONOTONIC, &after);
	print_message("start: %.1f ms\n", (double)(after.tv_sec - before.tv_sec) * 1e3 +
					      (double)(after.tv_nsec - before.tv_nsec) / 1e6);
	expect(s, "echo hello", "hello\n");
	expect(s, "hostname", "box\n");
	expect(s, "echo x > /workspace/a && cat /workspace/a", "x\n");
	box_end(backend, s);
}

static bool cgroups_here(enum config_key key, const char *value)
{
	struct config c = {{NULL}};
	struct error err;
	int rc;

	assert_int_equal(config_set(&c, key, value, NULL), 0);
	rc = backend->ops->check(backend, &c, &err);
	config_free(&c);
	assert_true(rc == 0 || rc == -EOPNOTSUPP);
	if (rc)
		assert_string_equal(err.reason, "LIMIT_UNAVAILABLE");
	return rc == 0;
}

static void test_unkept_limit_is_refused(void **state)
{
	struct sandbox *s;

	(void)state;
	if (cgroups_here(CONFIG_MEMORY, "64Mi"))
		return;
	s = box_start(backend, CONFIG_MEMORY, "64Mi", -1);
	assert_true(s->ended);
	assert_int_equal(s->how, END_FAILED);
	assert_string_equal(s->why.reason, "LIMIT_UNAVAILABLE");
	box_end(backend, s);
}

static void test_memory(void **state)
{
	struct sandbox *s;

	(void)state;
	if (!cgroups_here(CONFIG_MEMORY, "64Mi"))
		return;
	s = box_start(backend, CONFIG_MEMORY, "64Mi", -1);
	assert_false(s->ended);
	assert_int_equal(box_run(s, "exec /usr/bin/python3 -c 'x = bytearray(200 << 20)'", out), 128 + 9);
	expect(s, "echo still here", "still here\n");
	box_end(backend, s);
}

static void test_cpu(void **state)
{
	struct sandbox *s;

	(void)state;
	if (!cgroups_here(CONFIG_CPU, "0.2"))
		return;
	s = box_start(backend, CONFIG_CPU, "0.2", -1);
	assert_false(s->ended);
	/* A second of work takes much longer. */
	expect(
	    s,
	    "/usr/bin/python3 -c 'import time\nt = time.monotonic()\nwhile time.process_time() < 0.4: pass\n"
	    "print(time.monotonic() - t > 1)'",
	    "True\n");
	box_end(backend, s);
}

static void test_fork_bomb(void **state)
{
	struct sandbox *s = box_start(backend, CONFIG_PIDS, "40", -1);

	(void)state;
	assert_false(s->ended);
	expect(s,
	       "/usr/bin/python3 -c 'import os, time\nn = 0\ntry:\n  while n < 500:\n    if os.fork() == 0: "
	       "time.sleep(60)\n    n += 1\n"
	       "except OSError: pass\nprint(10 < n < 45)'",
	       "True\n");
	box_end(backend, s);
}

static void test_image(void **state)
{
	char image[] = "/tmp/local-image-XXXXXX", command[1024];
	struct sandbox *s;

	(void)state;
	assert_non_null(mkdtemp(image));
	/* With traps where bwrap or we would put something. */
	snprintf(
	    command, sizeof command,
	    "cd %s && mkdir bin etc 'a,b:c' && cp /bin/busybox bin/ &&"
	    " { ldd bin/busybox | grep -o '/[^ ]*' | xargs cp -L --parents -t . 2>/dev/null; true; } &&"
	    " for p in sh cat ls echo touch rm test grep; do ln -s busybox bin/$p; done && echo original > "
	    "file &&"
	    " ln -s /tmp/trap dev && ln -s ../../../../tmp/trap proc && ln -s /tmp/trap etc/hosts && chmod "
	    "755 .",
	    image);
	assert_int_equal(system(command), 0);
	s = box_start(backend, CONFIG_IMAGE, image, -1);
	if (s->ended)
		fail_msg("%s: %s", s->why.reason, s->why.text);
	expect(s,
	       "cat /file && echo changed > /file && cat /file && rm /bin/touch && echo x > /new && ls / | "
	       "grep -v lib",
	       "original\nchanged\na,b:"
	       "c\nbin\ndev\netc\nfile\nhome\nnew\nproc\nroot\nrun\ntmp\nvar\nworkspace\n");
	expect(s, "test -c /dev/null && test -d /proc/self && cat /etc/hosts",
	       "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
	snprintf(command, sizeof command,
		 "cd %s && test original = $(cat file) && test -L bin/touch && test ! -e new && test -L dev "
		 "&& test ! -e /tmp/trap",
		 image);
	assert_int_equal(system(command), 0);
	box_end(backend, s);
	snprintf(command, sizeof command, "rm -r %s", image);
	assert_int_equal(system(command), 0);
	s = box_start(backend, CONFIG_IMAGE, image, -1);
	assert_true(s->ended);
	assert_string_equal(s->why.reason, "IMAGE_MISSING");
	box_end(backend, s);
}

static void test_check(void **state)
{
	static const struct {
		enum config_key key;
		const char *value;
		int code;
	} bad[] = {
	    {CONFIG_IMAGE, "python:3.11", EINVAL},
	    {CONFIG_IMAGE, "/no/such/dir", ENOENT},
	    {CONFIG_IMAGE, "/etc/passwd", ENOTDIR},
	    {CONFIG_SPEC, "{\"secrets\": []}", EOPNOTSUPP},
	};

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct config c = {{NULL}};
		struct error err = {0};

		c.text[bad[i].key] = (char *)bad[i].value;
		assert_int_equal(backend->ops->check(backend, &c, &err), -bad[i].code);
		assert_int_equal(err.code, bad[i].code);
		assert_true(strlen(err.text) > 10);
	}
}

static void test_kill(void **state)
{
	struct sandbox *s = plain();

	(void)state;
	/* From inside nobody can; from outside, by stop. */
	box_run(s, "kill -9 1; echo $?", out);
	assert_false(s->ended);
	core_lock();
	backend->ops->stop(backend, s, 200);
	wait_for(&s->ended);
	assert_int_equal(s->how, END_TERMINATED);
	core_unlock();
	box_end(backend, s);
}

static void test_root_directory(void **state)
{
	struct sandbox *s = plain();
	char text[8] = "";
	int root, fd;

	(void)state;
	expect(s, "echo seen > /workspace/a", "");
	core_lock();
	root = backend->ops->root(backend, s);
	core_unlock();
	assert_true(root >= 0);
	fd = openat(root, "workspace/a", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, text, 5), 5);
	assert_string_equal(text, "seen\n");
	close(fd);
	close(root);
	box_end(backend, s);
}

static void test_describe(void **state)
{
	struct sandbox *s = plain();
	cJSON *info = cJSON_CreateObject();

	(void)state;
	core_lock();
	backend->ops->describe(backend, s, info);
	core_unlock();
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(info, "image")), "host");
	assert_true(cJSON_GetNumberValue(cJSON_GetObjectItem(info, "agent_pid")) > 1);
	cJSON_Delete(info);
	box_end(backend, s);
}

/* Another process takes the place of the mount that is killed. */
static void test_adoption(void **state)
{
	bool shared_seen = false;
	int done[2];
	char byte;
	pid_t owner;

	(void)state;
	assert_int_equal(pipe2(done, O_CLOEXEC), 0);
	owner = fork();
	assert_true(owner >= 0);
	if (owner == 0) {
		char fd[16];

		/* The loop's thread did not come along: start afresh. */
		snprintf(fd, sizeof fd, "%d", done[1]);
		fcntl(done[1], F_SETFD, 0);
		execl("/proc/self/exe", "local_sandbox", "--owner", state_dir, fd, NULL);
		_exit(127);
	}
	close(done[1]);
	assert_int_equal(read(done[0], &byte, 1), 1);
	close(done[0]);
	/* While the owner lives its sandbox is not ours. */
	found_count = 0;
	core_lock();
	backend->ops->find(backend);
	core_unlock();
	assert_int_equal(found_count, 0);
	kill(owner, SIGKILL);
	assert_int_equal(waitpid(owner, NULL, 0), owner);
	core_lock();
	backend->ops->find(backend);
	core_unlock();
	assert_int_equal(found_count, 1);
	assert_string_equal(found[0]->name, "box");
	assert_string_equal(config_text(&found[0]->config, CONFIG_CWD), "/workspace");
	shared_seen = found[0]->connected;
	assert_true(shared_seen);
	expect(found[0], "cat /workspace/mark", "made by the owner\n");
	box_end(backend, found[0]);
	found_count = 0;
}

/* The other half of it: makes a sandbox and waits to be killed. */
static int be_owner(const char *dir, const char *done)
{
	struct sandbox *s;

	snprintf(state_dir, sizeof state_dir, "%s", dir);
	if (loop_start())
		return 1;
	backend = backend_open();
	s = box_start(backend, CONFIG_CWD, "/workspace", -1);
	if (s->ended || box_run(s, "echo made by the owner > /workspace/mark", out) ||
	    write(atoi(done), "x", 1) != 1)
		return 1;
	for (;;)
		pause();
}

static void test_keep(void **state)
{
	struct sandbox *s = plain();

	(void)state;
	core_lock();
	drop_pipe(s);
	backend->ops->keep(backend, s);
	wait_for(&s->removed);
	core_unlock();
	box_free(s);
	found_count = 0;
	core_lock();
	backend->ops->find(backend);
	core_unlock();
	assert_int_equal(found_count, 1);
	expect(found[0], "echo alive", "alive\n");
	box_end(backend, found[0]);
	found_count = 0;
}

/* A sandbox may leave anything behind. */
static void test_hostile_tree(void **state)
{
	struct sandbox *s = plain();

	(void)state;
	expect(s,
	       "cd /workspace && mkdir -p a/b && echo x > a/b/c && chmod 000 a/b && chmod 000 a && ln -s / "
	       "up && mkfifo fifo && "
	       "/usr/bin/python3 -c 'import os\nfor i in range(4000):\n  os.mkdir(\"d\"); os.chdir(\"d\")' "
	       "&& chmod 000 d && "
	       "mkdir .removing-0 && touch .removing-1 && ls -A | wc -l",
	       "6\n");
	box_end(backend, s);
}

static int run_all(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_life),
	    cmocka_unit_test(test_isolation),
	    cmocka_unit_test(test_setuid_has_no_effect),
	    cmocka_unit_test(test_proc_is_not_writable),
	    cmocka_unit_test(test_filter),
	    cmocka_unit_test(test_network),
	    cmocka_unit_test(test_unkept_limit_is_refused),
	    cmocka_unit_test(test_memory),
	    cmocka_unit_test(test_cpu),
	    cmocka_unit_test(test_fork_bomb),
	    cmocka_unit_test(test_image),
	    cmocka_unit_test(test_check),
	    cmocka_unit_test(test_kill),
	    cmocka_unit_test(test_root_directory),
	    cmocka_unit_test(test_describe),
	    cmocka_unit_test(test_adoption),
	    cmocka_unit_test(test_keep),
	    cmocka_unit_test(test_hostile_tree),
	};
	int failures;

	if (setup_state(NULL) || open_backend(NULL))
		return 1;
	failures = cmocka_run_group_tests_name(
	    geteuid() ? "local sandbox, ordinary user" : "local sandbox, root", tests, NULL, NULL);
	end_all(backend);
	close_backend(NULL);
	if (teardown_state(NULL)) {
		fprintf(stderr, "something is left in %s\n", state_dir);
		failures++;
	}
	return failures;
}

/* The same tests once more, as nobody; from a fresh exec, so that /proc/self is nobody's too. */
static int run_as_nobody(const char *program)
{
	char path[PATH_MAX] = "";
	int status = 0;
	pid_t pid;

	if (readlink(program, path, sizeof path - 1) < 0)
		return 1;
	pid = fork();

	if (pid == 0) {
		if (setgroups(0, NULL) || setgid(65534) || setuid(65534))
			_exit(126);
		execl(path, "local_sandbox", NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv)
{
	int failures;

	if (argc == 4 && !strcmp(argv[1], "--owner"))
		return be_owner(argv[2], argv[3]);
	failures = run_all();
	if (geteuid() == 0)
		failures += run_as_nobody("/proc/self/exe");
	return failures != 0;
}
