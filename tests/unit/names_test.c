/* names_test.c - the set of names: what is known, and that many cost no more each than a few. */
#include "base/names.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

enum { MANY = 20000 };

static struct names names;

static void release(void)
{
	names_free(&names);
}

START_TEST(an_empty_set_has_nothing)
{
	ck_assert(!names_has(&names, str_of("a")));
	ck_assert(!names_has(&names, str_of("")));
}
END_TEST

START_TEST(a_name_is_new_once)
{
	ck_assert_int_eq(names_add(&names, str_of("a")), NAMES_NEW);
	ck_assert_int_eq(names_add(&names, str_of("a")), NAMES_KNOWN);
	ck_assert_uint_eq(names.count, 1);
	ck_assert(names_has(&names, str_of("a")));
}
END_TEST

START_TEST(the_length_counts_and_so_does_the_case)
{
	ck_assert_int_eq(names_add(&names, str_of("ab")), NAMES_NEW);
	ck_assert_int_eq(names_add(&names, (struct str){ "ab", 1 }), NAMES_NEW);
	ck_assert_int_eq(names_add(&names, str_of("AB")), NAMES_NEW);
	ck_assert_int_eq(names_add(&names, str_of("")), NAMES_NEW);
	ck_assert_int_eq(names_add(&names, str_of("")), NAMES_KNOWN);
}
END_TEST

static void add_many(enum names_result expected)
{
	static char texts[MANY][8];

	for (unsigned i = 0; i < MANY; i++) {
		snprintf(texts[i], sizeof(texts[i]), "%u", i);
		if (names_add(&names, str_of(texts[i])) != expected)
			ck_abort_msg("%s", texts[i]);
	}
}

START_TEST(all_of_many_are_kept)
{
	add_many(NAMES_NEW);
	add_many(NAMES_KNOWN);
	ck_assert_uint_eq(names.count, MANY);
}
END_TEST

/* Counted, not timed: at most half full, a look or two each; each is moved about once more by growing. */
START_TEST(many_names_cost_a_few_looks_each)
{
	add_many(NAMES_NEW);
	ck_assert_uint_lt(names.looks, 8 * MANY);
}
END_TEST

START_TEST(a_set_that_was_freed_is_empty_and_usable)
{
	names_add(&names, str_of("a"));
	names_free(&names);
	ck_assert(!names_has(&names, str_of("a")));
	ck_assert_int_eq(names_add(&names, str_of("a")), NAMES_NEW);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("names");
	TCase *tests = tcase_create("names");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_checked_fixture(tests, NULL, release);
	tcase_add_test(tests, an_empty_set_has_nothing);
	tcase_add_test(tests, a_name_is_new_once);
	tcase_add_test(tests, the_length_counts_and_so_does_the_case);
	tcase_add_test(tests, all_of_many_are_kept);
	tcase_add_test(tests, many_names_cost_a_few_looks_each);
	tcase_add_test(tests, a_set_that_was_freed_is_empty_and_usable);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
