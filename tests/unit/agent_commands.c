/* What a command is and how it ends: kinds, environment, exit codes, signals, timeouts, stdin. */
#include "agent_daemon.h"

static struct daemon d;

static int setup(void **state)
{
	(void)state;
	daemon_open(&d, 0, 0);
	daemon_connect(&d, SPOOL_SHARED, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	daemon_close(&d);
	return 0;
}

static void expect(const struct start *what, uint8_t kind, uint32_t value, const char *out, const char *err)
{
	static uint32_t id = 100;
	struct seen s;

	seen_init(&s, ++id);
	start(&d, id, what);
	until_gone(&d, &s);
	assert_int_equal(s.outcome.kind, kind);
	assert_int_equal(s.outcome.value, value);
	assert_true(s.outcome.started_ns && s.outcome.ended_ns >= s.outcome.started_ns);
	if (out)
		assert_output(&d, &s, STREAM_OUT, out);
	if (err)
		assert_output(&d, &s, STREAM_ERR, err);
	seen_free(&s);
}

static void shell(const char *text, uint8_t kind, uint32_t value, const char *out, const char *err)
{
	expect(&(struct start){.kind = START_SHELL, .text = (char *)text, .text_len = (uint32_t)strlen(text)},
	       kind, value, out, err);
}

static void test_shell(void **state)
{
	(void)state;
	shell("echo hello; echo oops >&2", OUTCOME_EXITED, 0, "hello\n", "oops\n");
	shell("exit 7", OUTCOME_EXITED, 7, "", "");
	shell("kill -SEGV $$", OUTCOME_SIGNALED, SIGSEGV, "", NULL);
	shell("-x 2>/dev/null", OUTCOME_EXITED, 127, "", "");
	shell("", OUTCOME_EXITED, 0, "", "");
	shell("cat; echo end", OUTCOME_EXITED, 0, "end\n", "");
}

static void test_argv(void **state)
{
	char *echo[] = {(char *)"printf", (char *)"%s|", (char *)"a b", (char *)"", (char *)"$x", NULL};
	char *missing[] = {(char *)"no-such-program", NULL};
	char *denied[] = {(char *)"/usr", NULL};
	char *empty[] = {(char *)"", NULL};
	char *path[] = {(char *)"PATH=/nowhere", NULL};

	(void)state;
	expect(&(struct start){.kind = START_ARGV, .argv = echo}, OUTCOME_EXITED, 0, "a b||$x|", "");
	expect(&(struct start){.kind = START_ARGV, .argv = missing}, OUTCOME_EXITED, 127, "",
	       "no-such-program: No such file or directory\n");
	expect(&(struct start){.kind = START_ARGV, .argv = denied}, OUTCOME_EXITED, 126, "",
	       "/usr: Permission denied\n");
	expect(&(struct start){.kind = START_ARGV, .argv = empty}, OUTCOME_EXITED, 127, "",
	       ": No such file or directory\n");
	/* The child's PATH counts, not the agent's. */
	expect(&(struct start){.kind = START_ARGV, .argv = echo, .env = path}, OUTCOME_EXITED, 127, "",
	       "printf: No such file or directory\n");
}

static void test_script(void **state)
{
	const char *cat = "#!/bin/cat\nline\n", *none = "#! /no/such/interpreter -x\n";
	char *big = malloc(300000);
	const char tail[] = "\necho \"big $0\"";

	(void)state;
	expect(&(struct start){.kind = START_SCRIPT, .text = (char *)cat, .text_len = (uint32_t)strlen(cat)},
	       OUTCOME_EXITED, 0, cat, "");
	expect(
	    &(struct start){.kind = START_SCRIPT, .text = (char *)none, .text_len = (uint32_t)strlen(none)},
	    OUTCOME_EXITED, 127, "", "/no/such/interpreter: No such file or directory\n");
	/* Over what one argument may hold, and over what is kept in memory. */
	assert_non_null(big);
	memset(big, '#', 300000);
	memcpy(big + 300000 - (sizeof tail - 1), tail, sizeof tail - 1);
	expect(&(struct start){.kind = START_SHELL, .text = big, .text_len = 300000}, OUTCOME_EXITED, 0,
	       "big /proc/self/fd/3\n", "");
	free(big);
}

static void test_surroundings(void **state)
{
	char *env[] = {(char *)"HOME=/changed", (char *)"NEW=a=b", NULL};
	const char *text = "echo $HOME $NEW; pwd";
	struct start s = {
	    .kind = START_SHELL, .text = (char *)text, .text_len = (uint32_t)strlen(text), .env = env};

	(void)state;
	s.cwd = (char *)"/usr";
	expect(&s, OUTCOME_EXITED, 0, "/changed a=b\n/usr\n", "");
	/* Its own session and group; nothing of ours is open; no signal is blocked or ignored. */
	shell("set -- $(cat /proc/$$/stat); [ $5 = $1 ] && [ $6 = $1 ] && echo leader", OUTCOME_EXITED, 0,
	      "leader\n", "");
	shell("grep -E 'Sig(Blk|Ign):' /proc/self/status | tr -d '\\t'", OUTCOME_EXITED, 0,
	      "SigBlk:0000000000000000\nSigIgn:0000000000000000\n", "");
	shell("ls /proc/self/fd | tr '\\n' ' '", OUTCOME_EXITED, 0, "0 1 2 3 ", "");
	shell("readlink /proc/self/fd/0", OUTCOME_EXITED, 0, "/dev/null\n", "");
}

static void test_cannot_start(void **state)
{
	struct seen s;

	(void)state;
	seen_init(&s, 1);
	start(&d, 1, &(struct start){.kind = START_SHELL, .cwd = (char *)"/no/such/dir"});
	until_gone(&d, &s);
	assert_int_equal(s.outcome.kind, OUTCOME_FAILED);
	assert_string_equal(s.outcome.reason, "CWD");
	assert_string_equal(s.outcome.text, "/no/such/dir: No such file or directory");
	assert_false(s.started);
	seen_free(&s);
}

static void test_merge(void **state)
{
	const char *text = "echo a; echo b >&2; echo c";

	(void)state;
	expect(
	    &(struct start){
		.kind = START_SHELL, .merge = true, .text = (char *)text, .text_len = (uint32_t)strlen(text)},
	    OUTCOME_EXITED, 0, "a\nb\nc\n", "");
}

static void start_terminal(const char *text)
{
	start(&d, 1,
	      &(struct start){.kind = START_SHELL,
			      .tty = true,
			      .input = true,
			      .columns = 100,
			      .rows = 40,
			      .text = (char *)text,
			      .text_len = (uint32_t)strlen(text)});
}

static void type(const char *keys, uint64_t offset)
{
	struct buf b;

	buf_init(&b, 100);
	put_u64(&b, offset);
	buf_puts(&b, keys);
	tell(&d, MSG_INPUT, 1, 0, &b);
	buf_free(&b);
}

static void size_reaches(struct seen *s, uint64_t size)
{
	while (s->size[STREAM_OUT] < size)
		until(&d, s, MSG_GREW);
}

/* All three are one terminal of the size asked for, and its last words are there at the end. */
static void test_terminal(void **state)
{
	struct seen s;

	(void)state;
	seen_init(&s, 1);
	start_terminal(
	    "stty size; test -t 0 -a -t 1 -a -t 2 && echo all; echo mine >/dev/tty; exec echo last >&2");
	until_gone(&d, &s);
	assert_output(&d, &s, STREAM_OUT, "40 100\r\nall\r\nmine\r\nlast\r\n");
	assert_output(&d, &s, STREAM_ERR, "");
	assert_int_equal(s.outcome.value, 0);
	seen_free(&s);
}

/* Keys become signals and ends of file, and a change of size is told. */
static void test_terminal_keys(void **state)
{
	struct seen s;

	(void)state;
	seen_init(&s, 1);
	start_terminal("stty -echo; trap 'echo int' INT; trap 'stty size' WINCH; echo ready; "
		       "while ! read a; do :; done; echo got $a; cat; exit 3");
	size_reaches(&s, 7);
	type("\3", 0);
	size_reaches(&s, 12);
	tell_number(&d, MSG_RESIZE, 1, 0, 50ull << 32 | 70, true);
	size_reaches(&s, 19);
	type("x\nline\n", 1);
	tell_number(&d, MSG_INPUT_END, 1, 0, 8, true);
	until_gone(&d, &s);
	assert_output(&d, &s, STREAM_OUT, "ready\r\nint\r\n50 70\r\ngot x\r\nline\r\n");
	assert_int_equal(s.outcome.value, 3);
	seen_free(&s);
}

/* HUP is a line that drops. */
static void test_terminal_drops(void **state)
{
	struct seen s;

	(void)state;
	seen_init(&s, 1);
	start_terminal("trap 'exit 4' HUP; echo ready; read x; read x || exit 5; exit 6");
	size_reaches(&s, 7);
	tell_number(&d, MSG_SIGNAL, 1, 0, 1, false);
	until_gone(&d, &s);
	assert_int_equal(s.outcome.value, 4);
	seen_free(&s);
}

/* Who leads the session takes the terminal along, also from those who stay. */
static void test_terminal_hangs_up(void **state)
{
	struct seen s;

	(void)state;
	seen_init(&s, 1);
	start_terminal("trap '' HUP; (trap 'exit 0' TERM; while :; do sleep 0.01; done) & echo end");
	until_gone(&d, &s);
	assert_output(&d, &s, STREAM_OUT, "end\r\n");
	seen_free(&s);
}

/* A START may be repeated, as after a reconnect: it runs once. */
static void test_repeated_start(void **state)
{
	struct seen s;

	(void)state;
	seen_init(&s, 1);
	start_text(&d, 1, "echo once");
	start_text(&d, 1, "echo twice");
	until_gone(&d, &s);
	start_text(&d, 1, "echo thrice");
	tell_number(&d, MSG_PING, 0, 0, 42, true);
	s.id = 0;
	until(&d, &s, MSG_PONG);
	s.id = 1;
	assert_output(&d, &s, STREAM_OUT, "once\n");
	seen_free(&s);
}

/* Reads the pid that a command printed, once it has. */
static pid_t printed_pid(struct seen *s)
{
	size_t len;
	char *text;
	pid_t pid;

	while (!s->size[STREAM_OUT])
		until(&d, s, MSG_GREW);
	text = output(&d, s, STREAM_OUT, &len);
	pid = atoi(text);
	free(text);
	assert_true(pid > 1);
	return pid;
}

/* Processes of the group end a moment after they were killed; the agent reaps them as theirs ended too. */
static void assert_dies(pid_t pid)
{
	for (int i = 0; i < PATIENCE_MS / 10 && !kill(pid, 0); i++)
		poll(NULL, 0, 10);
	assert_int_equal(kill(pid, 0), -1);
}

static void test_timeout_ends_group(void **state)
{
	/* The member in the background ignores TERM; the shell obeys and exits 0. */
	const char *text =
	    "sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & trap 'exit 0' TERM; wait";
	struct seen s;
	pid_t member;

	(void)state;
	seen_init(&s, 1);
	start(&d, 1,
	      &(struct start){.kind = START_SHELL,
			      .timeout_ms = 500,
			      .text = (char *)text,
			      .text_len = (uint32_t)strlen(text)});
	member = printed_pid(&s);
	until_gone(&d, &s);
	assert_int_equal(s.outcome.kind, OUTCOME_TIMEOUT);
	assert_int_equal(kill(member, 0), 0);
	assert_dies(member);
	seen_free(&s);
}

static void test_cancel(void **state)
{
	struct seen s;

	(void)state;
	seen_init(&s, 1);
	start_text(&d, 1, "trap 'echo bye; exit 0' TERM; echo $$; while :; do sleep 0.05; done");
	printed_pid(&s);
	tell_number(&d, MSG_CANCEL, 1, 0, 10000, false);
	until_gone(&d, &s);
	assert_int_equal(s.outcome.kind, OUTCOME_CANCELED);
	seen_free(&s);
	seen_init(&s, 2);
	start_text(&d, 2, "trap '' TERM; echo $$; while :; do sleep 1; done");
	printed_pid(&s);
	tell_number(&d, MSG_CANCEL, 2, 0, 50, false);
	until_gone(&d, &s);
	assert_int_equal(s.outcome.kind, OUTCOME_CANCELED);
	seen_free(&s);
}

static void test_signal(void **state)
{
	struct seen s;

	(void)state;
	seen_init(&s, 1);
	start_text(&d, 1, "echo $$; exec sleep 100");
	printed_pid(&s);
	tell_number(&d, MSG_SIGNAL, 1, 0, SIGUSR1, false);
	until_gone(&d, &s);
	assert_int_equal(s.outcome.kind, OUTCOME_SIGNALED);
	assert_int_equal(s.outcome.value, SIGUSR1);
	/* To what is gone, and to what never was: nothing. */
	tell_number(&d, MSG_SIGNAL, 1, 0, SIGTERM, false);
	tell_number(&d, MSG_SIGNAL, 9, 0, SIGTERM, false);
	seen_free(&s);
}

static void test_forget(void **state)
{
	struct seen s;
	pid_t pid;
	size_t tries = 0;

	(void)state;
	seen_init(&s, 1);
	/* Enough output for a file, which is to go too. */
	start_text(&d, 1, "echo $$; sleep 0.2; head -c 5000 /dev/zero; exec sleep 100");
	pid = printed_pid(&s);
	while (s.size[STREAM_OUT] < 5000)
		until(&d, &s, MSG_GREW);
	assert_int_equal(faccessat(d.spool, "1.out", F_OK, 0), 0);
	tell(&d, MSG_FORGET, 1, 0, NULL);
	assert_dies(pid);
	while (!faccessat(d.spool, "1.out", F_OK, 0) && tries++ < PATIENCE_MS / 10)
		poll(NULL, 0, 10);
	assert_int_equal(faccessat(d.spool, "1.out", F_OK, 0), -1);
	/* And a report says nothing of it. */
	s.known = false;
	daemon_connect(&d, SPOOL_SHARED, &s);
	assert_false(s.known);
	seen_free(&s);
}

/* A job left in the background lives on, and its output still comes. */
static void test_background(void **state)
{
	struct seen s;

	(void)state;
	seen_init(&s, 2);
	start_text(&d, 2, "{ sleep 0.3; echo later; } & echo now");
	until_gone(&d, &s);
	assert_output(&d, &s, STREAM_OUT, "now\n");
	until(&d, &s, MSG_GREW);
	assert_output(&d, &s, STREAM_OUT, "now\nlater\n");
	seen_free(&s);
}

/* --- stdin --- */

static void input(uint32_t id, uint64_t offset, const void *data, size_t len)
{
	struct buf payload;

	buf_init(&payload, FRAME_PAYLOAD_MAX);
	put_u64(&payload, offset);
	buf_append(&payload, data, len);
	tell(&d, MSG_INPUT, id, 0, &payload);
	buf_free(&payload);
}

static void start_input(uint32_t id, const char *text)
{
	start(&d, id,
	      &(struct start){.kind = START_SHELL,
			      .input = true,
			      .text = (char *)text,
			      .text_len = (uint32_t)strlen(text)});
}

static void test_input(void **state)
{
	struct seen s;

	(void)state;
	seen_init(&s, 1);
	start_input(1, "cat");
	input(1, 0, "hello ", 6);
	input(1, 3, "lo world", 8); /* partly known already, as after a reconnect */
	input(1, 0, "hello", 5);
	tell_number(&d, MSG_INPUT_END, 1, 0, 11, true);
	tell_number(&d, MSG_INPUT_END, 1, 0, 11, true);
	until_gone(&d, &s);
	assert_output(&d, &s, STREAM_OUT, "hello world");
	assert_int_equal(s.taken, 11);
	seen_free(&s);
}

static void test_input_window(void **state)
{
	size_t total = 3u << 20, sent = 0, len;
	char *data = malloc(total), *got;
	struct seen s;

	(void)state;
	assert_non_null(data);
	for (size_t i = 0; i < total; i++)
		data[i] = (char)(i * 31 >> 3);
	seen_init(&s, 1);
	start_input(1, "sleep 0.2; cat");
	while (sent < total) {
		size_t window = INPUT_WINDOW - (sent - s.taken);

		len = total - sent < window ? total - sent : window;
		if (len)
			input(1, sent, data + sent, len);
		else
			until(&d, &s, MSG_TAKEN);
		sent += len;
	}
	tell_number(&d, MSG_INPUT_END, 1, 0, total, true);
	until_gone(&d, &s);
	got = output(&d, &s, STREAM_OUT, &len);
	assert_int_equal(len, total);
	assert_memory_equal(got, data, total);
	free(got);
	free(data);
	seen_free(&s);
}

static void test_input_unread(void **state)
{
	struct seen s;

	(void)state;
	seen_init(&s, 1);
	start_input(1, "exec <&-; sleep 0.3");
	until(&d, &s, MSG_TAKEN);
	assert_true(s.taken_closed);
	input(1, 0, "nobody reads this", 17);
	until_gone(&d, &s);
	assert_int_equal(s.outcome.kind, OUTCOME_EXITED);
	seen_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_shell, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_argv, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_script, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_surroundings, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_cannot_start, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_merge, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_terminal, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_terminal_keys, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_terminal_drops, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_terminal_hangs_up, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_repeated_start, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_timeout_ends_group, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_signal, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_forget, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_background, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_input, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_input_window, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_input_unread, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
