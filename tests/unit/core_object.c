/* Objects of the tree: what may be a name, numbers that never come back, listings while things go away. */
#include "core/object.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned destroyed;

static void destroy(struct object *o)
{
	destroyed++;
	free(o);
}

/* With one reference besides the listing's. */
static struct object *add(struct object *parent, const char *name)
{
	struct object *o = calloc(1, sizeof *o);

	assert_non_null(o);
	assert_int_equal(object_add(o, parent ? OBJECT_SESSION : OBJECT_MOUNT, parent, name, destroy), 0);
	return o;
}

static struct object *add_listed(struct object *parent, const char *name)
{
	struct object *o = add(parent, name);

	object_unref(o);
	return o;
}

static void remove_all(struct object *root)
{
	while (root->child_count)
		object_remove(container_of(root->children.next, struct object, sibling));
	object_remove(root);
	object_unref(root);
}

static void test_names(void **state)
{
	static const char *const good[] = {
	    "a",     "9",	   "Z",	   "a.b",
	    "a_b-c", "0123456789", "A..B", "123456789012345678901234567890123456789012345678"};
	static const char *const bad[] = {
	    "",		  ".",	 "..",	   ".a",
	    "a.",	  "-a",	 "a-",	   "_a",
	    "a/b",	  "a b", "a\nb",   "\303\244",
	    "a\303\244b", "a:b", "a\177b", "1234567890123456789012345678901234567890123456789"};
	char name[257];

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_int_equal(object_name_check(good[i]), 0);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(object_name_check(bad[i]), -EINVAL);
	memset(name, 'a', sizeof name);
	name[255] = '\0';
	assert_int_equal(object_name_check(name), -EINVAL);
	name[255] = 'a';
	name[256] = '\0';
	assert_int_equal(object_name_check(name), -ENAMETOOLONG);
}

static void test_serials_are_never_reused(void **state)
{
	struct object *root = add(NULL, "");
	uint64_t last = root->serial;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		struct object *o = add_listed(root, "same");

		assert_true(o->serial > last);
		last = o->serial;
		assert_ptr_equal(object_find(last), o);
		object_remove(o);
		assert_null(object_find(last));
	}
	remove_all(root);
}

static void test_removed_objects_live_while_referenced(void **state)
{
	struct object *root = add(NULL, ""), *o = add(root, "one"), *inner = add(o, "inner");
	unsigned before = destroyed;

	(void)state;
	object_remove(o);
	object_remove(o); /* harmless */
	assert_int_equal(root->child_count, 0);
	assert_null(object_child(root, "one"));
	assert_ptr_equal(object_child(o, "inner"), inner);
	object_unref(o);
	assert_int_equal(destroyed, before); /* its child holds it */
	object_remove(inner);
	object_unref(inner);
	assert_int_equal(destroyed, before + 2);
	remove_all(root);
	assert_int_equal(destroyed, before + 3);
}

static void test_names_belong_to_their_parent(void **state)
{
	struct object *root = add(NULL, ""), *a = add_listed(root, "a"), *b = add_listed(root, "b");
	struct object *in_a = add_listed(a, "x"), *in_b = add_listed(b, "x");

	(void)state;
	assert_ptr_equal(object_child(a, "x"), in_a);
	assert_ptr_equal(object_child(b, "x"), in_b);
	assert_null(object_child(root, "x"));
	assert_null(object_child(a, "X"));
	object_remove(in_a);
	assert_null(object_child(a, "x"));
	assert_ptr_equal(object_child(b, "x"), in_b);
	object_remove(in_b);
	remove_all(root);
}

/* What was there all the time is listed exactly once, whatever goes and comes meanwhile. */
static void test_listing_with_removals(void **state)
{
	struct object *root = add(NULL, ""), *o, *others[10];
	struct object *far = add_listed(root, "far");
	uint64_t after = 0;
	char name[16];
	int seen = 0;

	(void)state;
	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof name, "n%d", i);
		others[i] = add_listed(root, name);
	}
	object_remove(far);
	while ((o = object_next(root, after))) {
		assert_true(o->serial > after);
		assert_ptr_equal(o, others[seen]);
		after = o->serial;
		if (seen % 2 == 0) { /* the one just listed, and one behind it that was not yet */
			object_remove(o);
			if (seen == 4) {
				object_remove(others[5]);
				seen++;
			}
		}
		seen++;
	}
	assert_int_equal(seen, 10);
	assert_int_equal(root->child_count, 4);
	assert_ptr_equal(object_next(root, after), NULL);
	remove_all(root);
}

/* A serial of somebody else's child is a place between, not a jump into another listing. */
static void test_next_behind_a_stranger(void **state)
{
	struct object *root = add(NULL, ""), *a = add_listed(root, "a");
	struct object *inner = add_listed(a, "inner"), *b = add_listed(root, "b");

	(void)state;
	assert_ptr_equal(object_next(root, inner->serial), b);
	assert_null(object_next(a, b->serial));
	assert_ptr_equal(object_next(a, 0), inner);
	object_remove(inner);
	remove_all(root);
}

#define MANY 20000

static void test_thousands(void **state)
{
	struct object *root = add(NULL, ""), *o;
	uint64_t first = 0, after = 0;
	unsigned count = 0;
	char name[16];

	(void)state;
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof name, "box%d", i);
		o = add_listed(root, name);
		first = first ? first : o->serial;
	}
	assert_int_equal(root->child_count, MANY);
	for (int i = 0; i < MANY; i += 2) {
		snprintf(name, sizeof name, "box%d", i);
		o = object_child(root, name);
		assert_non_null(o);
		assert_true(o->serial == first + (uint64_t)i);
		object_remove(o);
	}
	for (; (o = object_next(root, after)); count++) {
		snprintf(name, sizeof name, "box%u", 2 * count + 1);
		assert_string_equal(o->name, name);
		assert_ptr_equal(object_find(o->serial), o);
		after = o->serial;
	}
	assert_int_equal(count, MANY / 2);
	remove_all(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_serials_are_never_reused),
	    cmocka_unit_test(test_removed_objects_live_while_referenced),
	    cmocka_unit_test(test_names_belong_to_their_parent),
	    cmocka_unit_test(test_listing_with_removals),
	    cmocka_unit_test(test_next_behind_a_stranger),
	    cmocka_unit_test(test_thousands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
