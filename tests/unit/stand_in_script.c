/*
 * The shell that works requests about files, run here by each shell there is, on a directory of ours: what it
 * is asked in the words of helper_word() it answers so that helper_attr() and the others understand it.
 */
#include "backend/aviato/stand_in/shell.h"
#include "backend/aviato/stand_in/output.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char place[] = "/tmp/aviatofs-script.XXXXXX";
static const char *const *shell;
static struct buf asked, said;
static struct helper_output answers;

/* --- Asking --- */

static void ask(const char *letter, ...)
{
	struct buf line;
	const char *word;
	va_list words;

	buf_init(&line, 1u << 20);
	assert_int_equal(helper_word(&line, letter), 0);
	va_start(words, letter);
	while ((word = va_arg(words, const char *)))
		assert_int_equal(helper_word(&line, word), 0);
	va_end(words);
	assert_int_equal(buf_append(&asked, line.data, line.len), 0);
	assert_int_equal(buf_puts(&asked, "\n"), 0);
	buf_free(&line);
}

static const char *at(const char *name)
{
	static char paths[4][PATH_MAX];
	static int next;
	char *path = paths[next++ % 4];

	snprintf(path, PATH_MAX, "%s%s%s", place, *name ? "/" : "", name);
	return path;
}

static int file_of(const struct buf *b)
{
	char name[] = "/tmp/aviatofs-script.XXXXXX";
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	unlink(name);
	if (b)
		assert_int_equal(write(fd, b->data, b->len), b->len);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

/* Its input is a pipe, as with the service, since who shares a file's offset may read too much. */
static void feed(int to)
{
	if (fork())
		return;
	for (size_t done = 0; done < asked.len;) {
		ssize_t n = write(to, asked.data + done, asked.len - done);

		if (n <= 0)
			_exit(1);
		done += (size_t)n;
	}
	_exit(0);
}

static void run(void)
{
	int in[2], out = file_of(NULL), status;
	char part[4096];
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		const char *argv[8] = {0};
		int i = 0;

		for (; shell[i]; i++)
			argv[i] = shell[i];
		argv[i++] = "-c";
		argv[i++] = stand_in_script;
		argv[i] = "sh";
		dup2(in[0], 0);
		dup2(out, 1);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(in[0]);
	feed(in[1]);
	close(in[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	while (wait(NULL) > 0)
		;
	said.len = asked.len = 0;
	lseek(out, 0, SEEK_SET);
	while ((n = read(out, part, sizeof part)) > 0)
		assert_int_equal(buf_append(&said, part, (size_t)n), 0);
	close(out);
	answers = (struct helper_output){.at = said.data, .left = said.len};
}

/* --- Answers --- */

static int next_attr(struct stat *ret)
{
	const uint8_t *text;
	uint32_t len;

	return helper_attr(&answers, ret, &text, &len);
}

static void ends(void)
{
	assert_int_equal(helper_end(&answers), 0);
}

static void good(int answers_each)
{
	struct stat st;

	while (answers_each--)
		assert_int_equal(next_attr(&st), 0);
	ends();
}

static void fails_with(int code)
{
	struct stat st;

	assert_int_equal(next_attr(&st), -code);
	ends();
}

/* --- Tests --- */

static const char *const names[] = {
    "plain",  " blank ",  "new\nline", "-rf",	     "*", "$(touch made)", "`touch made`", "'\";|&<>",
    "\\0101", "\xff\xfe", "\\",	       "trailing\n", "~", "a=b",	   "\x01\x7f"};
#define NAMES (sizeof names / sizeof *names)

static void test_names(void **state)
{
	struct file_entry e;
	unsigned found = 0;
	struct stat st;

	(void)state;
	for (size_t i = 0; i < NAMES; i++) {
		ask("c", place, at(names[i]), "00640", "x", "-", NULL);
		ask("s", at(names[i]), NULL);
		ask("c", place, at(names[i]), "00640", "x", "-", NULL);
	}
	ask("l", place, NULL);
	run();
	for (size_t i = 0; i < NAMES; i++) {
		good(2);
		assert_int_equal(next_attr(&st), 0);
		assert_int_equal(st.st_mode, S_IFREG | 0640);
		ends();
		fails_with(EEXIST);
	}
	assert_int_equal(next_attr(&st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(helper_list(&answers), 0);
	while (helper_entry(&answers, &e) == 1)
		for (size_t i = 0; i < NAMES; i++)
			if (strcmp(e.name, names[i]) == 0 && e.known && e.attr.st_mode == (S_IFREG | 0640))
				found++;
	ends();
	assert_int_equal(found, NAMES);
	for (size_t i = 0; i < NAMES; i++)
		ask("u", place, at(names[i]), NULL);
	ask("u", place, at("plain"), NULL);
	run();
	for (size_t i = 0; i < NAMES; i++)
		good(1);
	fails_with(ENOENT);
}

static void test_bytes(void **state)
{
	static const char some[] = "line\nof \0 bytes\n";
	struct buf out;

	(void)state;
	ask("c", place, at("f"), "00644", "x", "-", NULL);
	ask("w", at("f"), "0", "3", "16", NULL);
	assert_int_equal(buf_append(&asked, some, 16), 0);
	ask("w", at("f"), "0", "+", "70000", NULL);
	for (int i = 0; i < 70000; i++)
		assert_int_equal(buf_append(&asked, "x", 1), 0);
	ask("w", at("f"), "1.1", "0", "16", NULL); /* another file */
	assert_int_equal(buf_append(&asked, some, 16), 0);
	ask("w", at("none/f"), "0", "0", "16", NULL);
	assert_int_equal(buf_append(&asked, some, 16), 0);
	ask("r", at("f"), "0", "1", "20", NULL);
	ask("r", at("f"), "0", "70018", "100", NULL);
	ask("r", at("f"), "0", "99999", "100", NULL);
	ask("u", place, at("f"), NULL);
	run();
	good(2);
	good(1);
	good(1);
	fails_with(ESTALE);
	fails_with(ENOENT);
	buf_init(&out, 1000);
	assert_int_equal(helper_bytes(&answers, 1, 20, &out), 0);
	assert_int_equal(out.len, 20);
	assert_memory_equal(out.data, "\0\0line\nof \0 bytes\nxx", 20);
	ends();
	out.len = 0;
	assert_int_equal(helper_bytes(&answers, 70018, 100, &out), 0);
	assert_int_equal(out.len, 1);
	ends();
	assert_int_equal(helper_bytes(&answers, 99999, 100, &out), 0);
	assert_int_equal(out.len, 1);
	ends();
	good(1);
	buf_free(&out);
}

static void test_moving(void **state)
{
	struct stat st;

	(void)state;
	ask("m", place, at("d"), "00755", NULL);
	ask("y", place, at("link"), "d", NULL);
	ask("c", place, at("f"), "00644", "x", "-", NULL);
	ask("v", place, at("f"), place, at("link"), "1", NULL); /* there is one */
	ask("v", place, at("f"), place, at("d"), "0", NULL);
	ask("v", place, at("d"), place, at("f"), "0", NULL);
	ask("v", place, at("f"), place, at("link"), "0", NULL); /* over it, not to where it leads */
	ask("s", at("link"), NULL);
	ask("v", place, at("f"), place, at("g"), "0", NULL);
	ask("v", place, at("link"), at("d"), at("d/g"), "0", NULL);
	ask("x", place, at("d"), NULL);
	ask("u", at("d"), at("d/g"), NULL);
	ask("x", place, at("d"), NULL);
	run();
	good(2);
	good(2);
	good(2);
	fails_with(EEXIST);
	fails_with(EISDIR);
	fails_with(ENOTDIR);
	good(2);
	assert_int_equal(next_attr(&st), 0);
	assert_true(S_ISREG(st.st_mode));
	ends();
	fails_with(ENOENT);
	good(2);
	fails_with(ENOTEMPTY);
	good(1);
	good(1);
}

static void test_changing(void **state)
{
	struct statvfs fs;
	struct stat st;

	(void)state;
	ask("c", place, at("f"), "00600", "-", "t", NULL);
	ask("t", at("f"), "0", "1000", "-", "00751", "1000000000.250000000", "now", NULL);
	ask("k", at("f"), "0", NULL);
	ask("o", at("f"), "0", "t", "-r -w", NULL);
	ask("o", place, "0", "-", "-r", NULL);
	ask("A", at("f"), "-r ", NULL);
	ask("A", at("none"), "", NULL);
	ask("f", place, NULL);
	ask("S", at("f"), "", at("f"), NULL);
	ask("u", place, at("f"), NULL);
	run();
	good(2);
	assert_int_equal(next_attr(&st), 0);
	assert_int_equal(st.st_size, 1000);
	assert_int_equal(st.st_mode, S_IFREG | 0751);
	assert_int_equal(st.st_atim.tv_sec, 1000000000);
	assert_true(st.st_mtim.tv_sec > 1000000000);
	ends();
	assert_int_equal(helper_nothing(&answers), 0);
	ends();
	assert_int_equal(next_attr(&st), 0);
	assert_int_equal(st.st_size, 0);
	ends();
	fails_with(EISDIR);
	assert_int_equal(helper_nothing(&answers), 0);
	ends();
	fails_with(ENOENT);
	assert_int_equal(helper_statfs(&answers, &fs), 0);
	assert_true(fs.f_blocks > 0);
	ends();
	assert_int_equal(next_attr(&st), 0);
	assert_int_equal(next_attr(&st), -ENOENT);
	assert_int_equal(next_attr(&st), 0);
	ends();
	good(1);
}

static void test_programs(void **state)
{
	struct buf out;

	(void)state;
	ask("b", "", "sh", NULL);
	ask("b", "/none:relative:/bin", "no such program", NULL);
	ask("b", "/bin", "", NULL);
	run();
	buf_init(&out, 1u << 20);
	assert_int_equal(helper_programs(&answers, &out), 0);
	assert_true(out.len >= 3);
	assert_string_equal(out.data, "sh");
	ends();
	out.len = 0;
	assert_int_equal(helper_programs(&answers, &out), 0);
	assert_int_equal(out.len, 0);
	ends();
	assert_int_equal(helper_programs(&answers, &out), 0);
	assert_true(out.len > 100);
	ends();
	buf_free(&out);
}

/* Busybox's own programs, found before those of this machine. */
static void busybox_first(void)
{
	static const char *const applets[] = {"stat",  "find",	"dd",	    "head",    "base64", "mv",
					      "chmod", "touch", "ln",	    "mkdir",   "rm",	 "rmdir",
					      "sync",  "cat",	"readlink", "truncate"};
	static char bin[sizeof place + 8];
	char path[PATH_MAX], command[PATH_MAX];

	snprintf(bin, sizeof bin, "%s.bin", place);
	mkdir(bin, 0755);
	snprintf(command, sizeof command, "command -v busybox >/dev/null && cd %s && for p in", bin);
	for (size_t i = 0; i < sizeof applets / sizeof *applets; i++) {
		strcat(command, " ");
		strcat(command, applets[i]);
	}
	strcat(command, "; do ln -s $(command -v busybox) $p; done");
	if (system(command) == 0) {
		snprintf(path, sizeof path, "%s:%s", bin, getenv("PATH"));
		setenv("PATH", path, 1);
	}
}

int main(void)
{
	static const char *const shells[][3] = {{"sh"}, {"bash", "--posix"}, {"busybox", "sh"}};
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_names),    cmocka_unit_test(test_bytes),    cmocka_unit_test(test_moving),
	    cmocka_unit_test(test_changing), cmocka_unit_test(test_programs),
	};
	char command[128];
	int rc = 0;

	if (!mkdtemp(place))
		return 1;
	buf_init(&asked, 1u << 20);
	buf_init(&said, 4u << 20);
	for (size_t i = 0; i < 3; i++) {
		shell = shells[i];
		if (i == 2)
			busybox_first();
		rc |= cmocka_run_group_tests_name(shell[0], tests, NULL, NULL);
	}
	snprintf(command, sizeof command, "rm -rf %s %s.bin", place, place);
	rc |= system(command);
	buf_free(&asked);
	buf_free(&said);
	return rc;
}
