/* Which files are one node to the kernel, how deep it believes them, and what becomes of them. */
#include "fuse/graft/nodes.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>

#define ROOT_NUMBER 7

static struct graft *graft;
static struct graft_node *root;

static int open_graft(void **state)
{
	(void)state;
	graft = graft_new(open("/", O_PATH | O_CLOEXEC), 42, ROOT_NUMBER);
	root = graft ? graft_root(graft) : NULL;
	return !root;
}

static int close_graft(void **state)
{
	(void)state;
	graft_forget_all();
	graft_unref(graft);
	return 0;
}

/* As a look-up that found inode `ino`. */
static struct graft_node *look_up(struct graft_node *dir, const char *name, mode_t type, ino_t ino)
{
	struct stat st = {.st_dev = 1, .st_ino = ino, .st_mode = type};

	return graft_nodes_get(dir, name, open("/dev/null", O_PATH | O_CLOEXEC), &st, NULL);
}

static void rename_dir(struct graft_node *dir, const char *name, struct graft_node *newdir,
		       const char *newname, bool exchange)
{
	struct graft_move move = {dir, newdir, name, newname, exchange};

	graft_nodes_moving(&move);
	graft_nodes_moved(&move);
}

static void files_are_known_by_inode(void **state)
{
	struct graft_node *dir = look_up(root, "d", S_IFDIR, 10);
	struct graft_node *file = look_up(root, "f", S_IFREG, 11);

	(void)state;
	assert_ptr_equal(look_up(dir, "hard link", S_IFREG, 11), file);
	assert_ptr_not_equal(look_up(root, "f", S_IFREG, 12), file);
	assert_true(graft_owns(file->number));
	assert_ptr_equal(graft_node(file->number), file);
}

static void directories_and_links_are_known_by_place(void **state)
{
	struct graft_node *dir = look_up(root, "d", S_IFDIR, 10);
	struct graft_node *link = look_up(dir, "l", S_IFLNK, 11);

	(void)state;
	assert_ptr_equal(look_up(root, "d", S_IFDIR, 10), dir);
	assert_ptr_not_equal(look_up(root, "moved", S_IFDIR, 10), dir);
	assert_ptr_not_equal(look_up(root, "d", S_IFDIR, 13), dir);
	assert_ptr_equal(look_up(dir, "l", S_IFLNK, 11), link);
	assert_ptr_not_equal(look_up(root, "l", S_IFLNK, 11), link);
	assert_ptr_not_equal(look_up(dir, "l", S_IFREG, 11), link);
}

static void nodes_live_while_known_or_needed(void **state)
{
	struct graft_node *dir = look_up(root, "d", S_IFDIR, 10);
	struct graft_node *sub = look_up(dir, "sub", S_IFDIR, 11);
	fuse_ino_t dir_number = dir->number, sub_number = sub->number;

	(void)state;
	look_up(root, "d", S_IFDIR, 10);
	graft_forget(dir_number, 2);
	assert_ptr_equal(graft_node(dir_number), dir); /* for its child */
	assert_int_equal(graft_depth(sub), 2);
	graft_forget(sub_number, 1);
	assert_null(graft_node(sub_number));
	assert_null(graft_node(dir_number));
	assert_true(look_up(root, "d", S_IFDIR, 10)->number > sub_number); /* numbers do not come back */
	graft_forget(sub_number, 5);
}

static void a_rename_moves_the_node(void **state)
{
	struct graft_node *a = look_up(root, "a", S_IFDIR, 10);
	struct graft_node *b = look_up(a, "b", S_IFDIR, 11);
	struct graft_node *moved = look_up(root, "m", S_IFDIR, 12);
	struct graft_node *in = look_up(moved, "in", S_IFDIR, 13);

	(void)state;
	rename_dir(root, "m", root, "n", false);
	assert_ptr_equal(look_up(root, "n", S_IFDIR, 12), moved);
	rename_dir(root, "n", b, "m", false);
	/* the kernel may still have it in the old place: not deeper than it was */
	assert_int_equal(graft_depth(in), 2);
	assert_ptr_equal(look_up(b, "m", S_IFDIR, 12), moved);
	assert_int_equal(graft_depth(in), 4);
	rename_dir(b, "m", root, "m", false);
	assert_int_equal(graft_depth(in), 2);
	assert_ptr_not_equal(look_up(b, "m", S_IFDIR, 12), moved);
}

static void a_failed_rename_does_no_harm(void **state)
{
	struct graft_node *a = look_up(root, "a", S_IFDIR, 10);
	struct graft_node *b = look_up(a, "b", S_IFDIR, 11);
	struct graft_node *c = look_up(b, "c", S_IFDIR, 12);
	struct graft_move up = {b, root, "c", "c", false};

	(void)state;
	graft_nodes_moving(&up);
	assert_int_equal(graft_depth(c), 1);
	assert_ptr_equal(look_up(b, "c", S_IFDIR, 12), c);
	assert_int_equal(graft_depth(c), 3);
}

static void an_exchange_moves_both(void **state)
{
	struct graft_node *a = look_up(root, "a", S_IFDIR, 10);
	struct graft_node *x = look_up(a, "x", S_IFDIR, 11);
	struct graft_node *y = look_up(root, "y", S_IFDIR, 12);

	(void)state;
	rename_dir(a, "x", root, "y", true);
	assert_int_equal(graft_depth(x), 1);
	assert_int_equal(graft_depth(y), 1); /* until it is seen below */
	assert_ptr_equal(look_up(root, "y", S_IFDIR, 11), x);
	assert_ptr_equal(look_up(a, "x", S_IFDIR, 12), y);
	assert_int_equal(graft_depth(y), 2);
}

/* The sandbox swapped what the kernel knew as "x" for something else just before the rename. */
static void a_swapped_directory_is_never_too_deep(void **state)
{
	struct graft_node *a = look_up(root, "a", S_IFDIR, 10);
	struct graft_node *b = look_up(a, "b", S_IFDIR, 11);
	struct graft_node *old = look_up(b, "x", S_IFDIR, 12);
	struct graft_node *swapped = look_up(b, "x", S_IFDIR, 13);

	(void)state;
	rename_dir(b, "x", a, "x", false);
	assert_int_equal(graft_depth(old), 2);
	assert_int_equal(graft_depth(swapped), 2);
	look_up(a, "x", S_IFDIR, 13);
	/* where `old` is now nobody knows, and what it may be in moves up: no level is certain */
	rename_dir(a, "b", root, "b", false);
	assert_int_equal(graft_depth(old), 0);
	assert_int_equal(graft_depth(swapped), 2);
}

static void inode_numbers_differ_between_sandboxes(void **state)
{
	struct graft *other = graft_new(open("/", O_PATH | O_CLOEXEC), 43, 8);

	(void)state;
	assert_int_not_equal(graft_shown_ino(graft, 1, 2), graft_shown_ino(other, 1, 2));
	assert_int_not_equal(graft_shown_ino(graft, 1, 2), graft_shown_ino(graft, 2, 2));
	assert_int_equal(graft_shown_ino(graft, 1, 2), graft_shown_ino(graft, 1, 2));
	graft_unref(other);
}

static void after_the_end_descriptors_are_closed(void **state)
{
	struct graft_node *file = look_up(root, "f", S_IFREG, 11);
	fuse_ino_t number = file->number;

	(void)state;
	for (ino_t ino = 100; ino < 1000; ino++)
		look_up(root, "many", S_IFREG, ino);
	assert_int_equal(graft_enter(graft), 0);
	graft_shutdown(graft);
	assert_int_equal(graft_enter(graft), -ESHUTDOWN);
	assert_true(root->fd >= 0 && file->fd >= 0); /* for the one that runs */
	graft_leave(graft);
	assert_true(root->fd < 0);
	list_each (pos, &graft->nodes)
		assert_true(container_of(pos, struct graft_node, link)->fd < 0);
	graft_forget(number, 1);
	assert_null(graft_node(number));
}

/* The same where there are too many descriptors; `born`: when, in seconds. */
static struct graft_node *look_up_unheld(struct graft_node *dir, const char *name, mode_t type, ino_t ino,
					 time_t born)
{
	struct stat st = {.st_dev = 1, .st_ino = ino, .st_mode = type};
	struct timespec birth = {.tv_sec = born};

	return graft_nodes_get(dir, name, -1, &st, &birth);
}

static void assert_place(struct graft_node *node, struct graft_node *dir, const char *name)
{
	char got[256];

	assert_ptr_equal(graft_node_place(node, got), dir);
	assert_string_equal(got, name);
	graft_node_unpin(dir);
}

static void what_is_unheld_is_known_by_its_birth(void **state)
{
	struct graft_node *file = look_up_unheld(root, "f", S_IFREG, 11, 5);
	struct graft_node *dir = look_up_unheld(root, "d", S_IFDIR, 10, 5);
	struct stat st = {.st_dev = 1, .st_ino = 11, .st_mode = S_IFREG};

	(void)state;
	assert_true(file->unheld && dir->unheld && graft_has_unheld(graft));
	assert_ptr_equal(look_up_unheld(root, "f", S_IFREG, 11, 5), file);
	assert_ptr_not_equal(look_up_unheld(root, "f", S_IFREG, 11, 6), file);
	assert_ptr_not_equal(look_up_unheld(root, "d", S_IFDIR, 10, 6), dir);
	/* By its number alone it is not known. */
	assert_null(graft_nodes_known(root, "f", &st));
}

static void what_is_unheld_is_where_it_was_seen_last(void **state)
{
	struct graft_node *dir = look_up_unheld(root, "d", S_IFDIR, 10, 5);
	struct graft_node *file = look_up_unheld(dir, "f", S_IFREG, 11, 5);
	struct stat st = {.st_dev = 1, .st_ino = 11, .st_mode = S_IFREG};
	struct timespec birth = {.tv_sec = 5};
	fuse_ino_t number = dir->number;

	(void)state;
	assert_place(file, dir, "f");
	look_up_unheld(root, "hard link", S_IFREG, 11, 5);
	assert_place(file, root, "hard link");
	graft_nodes_seen(dir, "moved", &st, &birth);
	assert_place(file, dir, "moved");
	/* Its directory lives as long as it is there. */
	graft_forget(number, 1);
	assert_ptr_equal(graft_node(number), dir);
	graft_nodes_seen(root, "back", &st, &birth);
	assert_place(file, root, "back");
	assert_null(graft_node(number));
	/* A directory is where the kernel believes it to be. */
	dir = look_up_unheld(root, "d", S_IFDIR, 10, 5);
	rename_dir(root, "d", root, "e", false);
	assert_place(dir, root, "e");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_graft, close_graft)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    TEST(files_are_known_by_inode),
	    TEST(directories_and_links_are_known_by_place),
	    TEST(nodes_live_while_known_or_needed),
	    TEST(a_rename_moves_the_node),
	    TEST(a_failed_rename_does_no_harm),
	    TEST(an_exchange_moves_both),
	    TEST(a_swapped_directory_is_never_too_deep),
	    TEST(inode_numbers_differ_between_sandboxes),
	    TEST(after_the_end_descriptors_are_closed),
	    TEST(what_is_unheld_is_known_by_its_birth),
	    TEST(what_is_unheld_is_where_it_was_seen_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
