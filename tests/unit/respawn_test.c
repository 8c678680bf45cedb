/* respawn_test.c - when a slot gets its next worker: the whole table. */
#include "master/respawn.h"

#include <check.h>
#include <stdlib.h>

enum { BOUND = 12 };                    /* failures in a row that are looked at */

static struct respawn after(bool came, uint64_t served_ms, unsigned failures, bool others)
{
	struct respawn_view view = { came, served_ms, failures, others };

	return respawn_decide(&view);
}

START_TEST(whoever_served_is_followed_at_once_and_all_is_forgotten)
{
	for (unsigned failures = 0; failures < BOUND; failures++)
		for (int others = 0; others < 2; others++) {
			struct respawn next = after(true, RESPAWN_SERVED_MS, failures, others != 0);

			ck_assert_uint_eq(next.after_ms, 0);
			ck_assert_uint_eq(next.failures, 0);
		}
}
END_TEST

START_TEST(a_moment_less_is_a_failure)
{
	struct respawn next = after(true, RESPAWN_SERVED_MS - 1, 0, true);

	ck_assert_uint_eq(next.after_ms, 100);
	ck_assert_uint_eq(next.failures, 1);
}
END_TEST

START_TEST(pauses_double_up_to_a_bound)
{
	static const uint64_t expected[BOUND] = { 100,   200,   400,   800,   1600,  3200,
						  6400, 12800, 25600, 25600, 25600, 25600 };

	for (unsigned failures = 0; failures < BOUND; failures++)
		for (int came = 0; came < 2; came++) {
			struct respawn next = after(came != 0, 0, failures, true);

			ck_assert_uint_eq(next.after_ms, expected[failures]);
			ck_assert_uint_eq(next.failures, failures + 1);
		}
}
END_TEST

START_TEST(while_nobody_serves_no_pause_is_long)
{
	for (unsigned failures = 0; failures < BOUND; failures++) {
		ck_assert_uint_eq(after(true, 0, failures, false).after_ms, 100);
		ck_assert_uint_le(after(false, 0, failures, false).after_ms, 1000);
		ck_assert_uint_eq(after(true, 0, failures, false).failures, failures + 1);
	}
	ck_assert_uint_eq(after(false, 0, 0, false).after_ms, 100);
	ck_assert_uint_eq(after(false, 0, 5, false).after_ms, 1000);
	ck_assert_uint_eq(respawn_longest_ms(true), 100);
	ck_assert_uint_eq(respawn_longest_ms(false), 1000);
}
END_TEST

START_TEST(who_never_came_did_not_serve_however_long)
{
	ck_assert_uint_eq(after(false, 5000, 3, true).after_ms, 800);
	ck_assert_uint_eq(after(false, 5000, 3, true).failures, 4);
}
END_TEST

int main(void)
{
	TCase *table = tcase_create("table");
	Suite *suite = suite_create("respawn");
	SRunner *runner;
	int failed;

	tcase_add_test(table, whoever_served_is_followed_at_once_and_all_is_forgotten);
	tcase_add_test(table, a_moment_less_is_a_failure);
	tcase_add_test(table, pauses_double_up_to_a_bound);
	tcase_add_test(table, while_nobody_serves_no_pause_is_long);
	tcase_add_test(table, who_never_came_did_not_serve_however_long);
	suite_add_tcase(suite, table);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
