/* Copying what a sandbox has filled, and how two trees differ. */
#include "backend/local/copy.h"
#include "backend/local/differences.h"
#include "backend/local/remove.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

static char parent[64];
static int top = -1;
static struct error why;

/* `parent` holds from/ and to/ anew. */
static int begin(void **state)
{
	(void)state;
	snprintf(parent, sizeof parent, "/tmp/copy-tree-XXXXXX");
	if (!mkdtemp(parent))
		return -1;
	top = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return mkdirat(top, "from", 0755) || mkdirat(top, "to", 0700);
}

static int end(void **state)
{
	(void)state;
	close(top);
	return remove_tree(AT_FDCWD, parent);
}

static void shell(const char *script)
{
	char command[2048];

	snprintf(command, sizeof command, "cd %s/from && { %s\n}", parent, script);
	assert_int_equal(system(command), 0);
}

static int copy(struct copying *c)
{
	struct copying plain = {.lift = true};
	int from = openat(top, "from", O_RDONLY | O_DIRECTORY),
	    to = openat(top, "to", O_RDONLY | O_DIRECTORY);
	int rc = copy_tree(from, to, top, c ? c : &plain, &why);

	close(from);
	close(to);
	assert_int_equal(faccessat(top, "links", F_OK, AT_SYMLINK_NOFOLLOW), -1);
	return rc;
}

static struct stat stat_of(const char *path)
{
	struct stat st;

	assert_int_equal(fstatat(top, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st;
}

static void expect_text(const char *path, const char *text)
{
	char got[256] = "";
	int fd = openat(top, path, O_RDONLY);

	assert_true(fd >= 0);
	assert_true(read(fd, got, sizeof got - 1) >= 0);
	close(fd);
	assert_string_equal(got, text);
}

static void test_all_kinds(void **state)
{
	struct stat st, was;
	char link[64] = "", path[128];
	int mine, marked;

	(void)state;
	shell("mkdir -p a/b; echo one > a/f; ln a/f a/b/g; ln a/f h; ln -s /etc/passwd a/l; mkfifo a/p; "
	      "chmod 6751 a/f; "
	      "truncate -s 300M sparse; printf end >> sparse; printf mid | dd of=sparse bs=1M seek=100 "
	      "conv=notrunc "
	      "2>/dev/null; touch -d 2001-02-03 a/f a/b; chmod 0500 a/b; python3 -c 'import socket; "
	      "socket.socket(socket.AF_UNIX).bind(\"sock\")'; echo x > locked; chmod 0 locked");
	mine = openat(top, "from/h", O_RDONLY);
	marked = fsetxattr(mine, "user.mine", "value", 5, 0);
	assert_int_equal(copy(NULL), 0);
	was = stat_of("from/a/f");
	st = stat_of("to/a/f");
	assert_int_equal(st.st_nlink, 3);
	assert_int_equal(st.st_ino, stat_of("to/a/b/g").st_ino);
	assert_int_equal(st.st_ino, stat_of("to/h").st_ino);
	assert_int_equal(st.st_mode, was.st_mode);
	assert_int_equal(st.st_mtim.tv_sec, was.st_mtim.tv_sec);
	assert_int_equal(stat_of("to/a/b").st_mtim.tv_sec, stat_of("from/a/b").st_mtim.tv_sec);
	assert_int_equal(stat_of("to/a/b").st_mode, S_IFDIR | 0500);
	assert_true(readlinkat(top, "to/a/l", link, sizeof link - 1) > 0);
	assert_string_equal(link, "/etc/passwd");
	assert_true(S_ISFIFO(stat_of("to/a/p").st_mode));
	assert_int_equal(faccessat(top, "to/sock", F_OK, 0), -1);
	assert_int_equal(stat_of("to/locked").st_mode, S_IFREG);
	assert_int_equal(stat_of("from/locked").st_mode, S_IFREG);
	st = stat_of("to/sparse");
	assert_int_equal(st.st_size, (300 << 20) + 3);
	assert_true(st.st_blocks < 2048);
	shell("cmp sparse ../to/sparse");
	if (mine >= 0 && marked == 0) {
		snprintf(path, sizeof path, "%s/to/h", parent);
		assert_int_equal(getxattr(path, "user.mine", link, sizeof link), 5);
	}
	close(mine);
}

/* What makes an overlay's layer one: whiteouts and marks. */
static void test_layer(void **state)
{
	char value[8] = "";
	char path[128];

	(void)state;
	if (mknodat(top, "from/gone", S_IFCHR | 0600, makedev(0, 0)))
		skip();
	if (geteuid() == 0 && mknodat(top, "from/null", S_IFCHR | 0600, makedev(1, 3)))
		skip();
	mkdirat(top, "from/opaque", 0755);
	snprintf(path, sizeof path, "%s/from/opaque", parent);
	assert_int_equal(setxattr(path, "user.overlay.opaque", "y", 1, 0), 0);
	assert_int_equal(setxattr(path, "user.overlay.origin", "x", 1, 0), 0);
	assert_int_equal(copy(NULL), 0);
	assert_true(S_ISCHR(stat_of("to/gone").st_mode));
	assert_int_equal(stat_of("to/gone").st_rdev, 0);
	assert_int_equal(faccessat(top, "to/null", F_OK, 0), -1); /* no device is copied */
	snprintf(path, sizeof path, "%s/to/opaque", parent);
	assert_int_equal(getxattr(path, "user.overlay.opaque", value, sizeof value), 1);
	assert_int_equal(getxattr(path, "user.overlay.origin", value, sizeof value), -1);
}

static void test_depth(void **state)
{
	int dir = openat(top, "from", O_RDONLY | O_DIRECTORY), next;

	(void)state;
	for (int i = 0; i < 600; i++) {
		assert_int_equal(mkdirat(dir, "d", 0755), 0);
		next = openat(dir, "d", O_RDONLY | O_DIRECTORY);
		close(dir);
		dir = next;
	}
	close(dir);
	assert_int_equal(copy(NULL), -ENAMETOOLONG);
	assert_string_equal(why.reason, "TOO_DEEP");
}

/* The modes of what is not the sandbox's are not lifted, and it is told what cannot be read. */
static void test_no_lifting(void **state)
{
	struct copying plain = {0};
	bool root = geteuid() == 0;
	int rc;

	(void)state;
	shell("echo x > mine; chmod 0 mine");
	if (root) {
		shell("chown -R 65534 ..");
		assert_int_equal(seteuid(65534), 0);
	}
	rc = copy(&plain);
	if (root)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(rc, -EACCES);
	assert_non_null(strstr(why.text, "mine"));
	assert_int_equal(stat_of("from/mine").st_mode & 07777, 0);
}

static bool count_down(void *arg)
{
	int *left = arg;

	return --*left < 0;
}

static void test_giving_up(void **state)
{
	int left = 3;
	struct copying c = {.unwanted = count_down, .arg = &left};

	(void)state;
	shell("for i in 1 2 3 4 5 6 7 8 9; do echo $i > $i; done");
	assert_int_equal(copy(&c), -ECANCELED);
	assert_string_equal(why.reason, "CANCELED");
}

/* --- While it changes --- */

static atomic_bool over;

/* A directory, a link out of the tree, and a file take turns under two names. */
static void *swap_names(void *arg)
{
	int from = openat(top, "from", O_RDONLY | O_DIRECTORY);

	(void)arg;
	mkdirat(from, "real", 0755);
	symlinkat("../outside", from, "link");
	while (!atomic_load(&over)) {
		renameat2(from, "real", from, "link", RENAME_EXCHANGE);
		renameat2(from, "file", from, "pipe", RENAME_EXCHANGE);
		unlinkat(from, "short", 0);
		close(openat(from, "short", O_WRONLY | O_CREAT, 0600));
	}
	close(from);
	return NULL;
}

/* A link may be there, but not what it leads to. */
static void refuse_secret(const char *path)
{
	int dir = openat(top, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

	assert_int_equal(faccessat(dir, "secret", F_OK, 0), -1);
	if (dir >= 0)
		close(dir);
}

static void test_swaps(void **state)
{
	pthread_t swapper;

	(void)state;
	shell("mkdir ../outside; echo secret > ../outside/secret; echo text > file; mkfifo pipe");
	atomic_store(&over, false);
	assert_int_equal(pthread_create(&swapper, NULL, swap_names, NULL), 0);
	for (int i = 0; i < 200; i++) {
		assert_int_equal(copy(NULL), 0);
		refuse_secret("to/real");
		refuse_secret("to/link");
		assert_int_equal(remove_tree(top, "to"), 0);
		assert_int_equal(mkdirat(top, "to", 0700), 0);
	}
	atomic_store(&over, true);
	pthread_join(swapper, NULL);
	expect_text("outside/secret", "secret\n");
}

/* --- Differences --- */

static int note(void *arg, const struct difference *d)
{
	return buf_printf(arg, "%c%s\n",
			  d->before < 0	 ? '+'
			  : d->after < 0 ? '-'
			  : d->content	 ? '*'
					 : 'm',
			  d->path);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void expect_differences(bool layer, bool all_gone, const char *wanted)
{
	struct differing d = {.base = openat(top, "from", O_RDONLY | O_DIRECTORY),
			      .ours = -1,
			      .root = openat(top, "to", O_RDONLY | O_DIRECTORY),
			      .layer = layer,
			      .all_gone = all_gone,
			      .each = note};
	char *lines[64], *save = NULL, sorted[1024] = "";
	struct buf out;
	size_t count = 0;

	buf_init(&out, 65536);
	d.arg = &out;
	assert_int_equal(differences(&d), 0);
	close(d.base);
	close(d.root);
	for (char *l = strtok_r((char *)buf_text(&out), "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		lines[count++] = l;
	qsort(lines, count, sizeof *lines, by_text);
	for (size_t i = 0; i < count; i++) {
		strcat(sorted, i ? " " : "");
		strcat(sorted, lines[i]);
	}
	buf_free(&out);
	assert_string_equal(sorted, wanted);
}

static void test_differences(void **state)
{
	(void)state;
	shell("mkdir -p d/e same; echo 1 > d/e/f; echo 2 > g; echo 3 > same/h; ln -s x l; cp -a . ../to");
	expect_differences(false, false, "");
	shell("cd ../to; rm -r d; echo 3 > g; rm l; mkdir l; echo n > l/n; chmod 700 same/h; touch same/h; "
	      "mkdir new");
	expect_differences(false, false, "*g +l +l/n +new -d -l msame/h");
	expect_differences(false, true, "*g +l +l/n +new -d -d/e -d/e/f -l msame/h");
}

static void test_layer_differences(void **state)
{
	char path[128];

	(void)state;
	shell("mkdir -p d/e o; echo 1 > d/e/f; echo 2 > g; echo 3 > o/h; echo 4 > o/i; mkdir ../to/o");
	if (mknodat(top, "to/g", S_IFCHR | 0600, makedev(0, 0)))
		skip();
	snprintf(path, sizeof path, "%s/to/o", parent);
	expect_differences(true, false, "-g");
	/* Root's overlayfs keeps its mark in trusted.*: a program of the sandbox cannot set that. */
	assert_int_equal(setxattr(path, "user.overlay.opaque", "y", 1, 0), 0);
	if (geteuid() == 0) {
		expect_differences(true, false, "-g");
		if (setxattr(path, "trusted.overlay.opaque", "y", 1, 0))
			skip();
	}
	shell("echo 3 > ../to/o/h");
	expect_differences(true, false, "-g -o/i");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_all_kinds, begin, end),
	    cmocka_unit_test_setup_teardown(test_layer, begin, end),
	    cmocka_unit_test_setup_teardown(test_depth, begin, end),
	    cmocka_unit_test_setup_teardown(test_no_lifting, begin, end),
	    cmocka_unit_test_setup_teardown(test_giving_up, begin, end),
	    cmocka_unit_test_setup_teardown(test_swaps, begin, end),
	    cmocka_unit_test_setup_teardown(test_differences, begin, end),
	    cmocka_unit_test_setup_teardown(test_layer_differences, begin, end),
	};

	return cmocka_run_group_tests_name("copy tree", tests, NULL, NULL);
}
