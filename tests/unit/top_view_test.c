/* top_view_test.c - what droverctl top makes of two looks at the daemon. */
#include "ctl/top.h"

#include <check.h>
#include <string.h>

static struct top_look before, now;

static void look(struct top_look *look, const char *json)
{
	json_error_t error;
	json_t *status = json_loads(json, 0, &error);

	ck_assert_msg(status != NULL, "%s", error.text);
	ck_assert(top_look(look, status));
}

static void forget(void)
{
	top_forget(&before);
	top_forget(&now);
}

START_TEST(what_is_shown_happened_between_two_looks)
{
	look(&before, "{\"totals\":{\"requests\":10},\"metrics\":{\"now_ns\":1,\"slots\":[{\"slot\":0,"
		      "\"requests\":[0,10,0,0,2],\"bytes\":100,\"latency\":[3,10]}]}}");
	look(&now, "{\"totals\":{\"requests\":15},\"metrics\":{\"now_ns\":9,\"slots\":[{\"slot\":0,"
		   "\"requests\":[0,13,0,0,4],\"bytes\":160,\"latency\":[3,10,5,7]}]}}");
	top_between(&now, &before);
	ck_assert_uint_eq(now.requests, 5);
	ck_assert_uint_eq(now.rows[0].requests, 5);
	ck_assert_uint_eq(now.rows[0].errors, 2);
	ck_assert_uint_eq(now.rows[0].bytes, 60);
	ck_assert_uint_eq(now.rows[0].latency[3], 0);
	ck_assert_uint_eq(now.rows[0].latency[5], 7);
}
END_TEST

START_TEST(what_has_begun_anew_has_what_it_has_now)
{
	look(&before, "{\"metrics\":{\"slots\":[{\"slot\":0,\"requests\":[0,100]}]}}");
	look(&now, "{\"metrics\":{\"slots\":[{\"slot\":0,\"requests\":[0,7]}]}}");
	top_between(&now, &before);
	ck_assert_uint_eq(now.rows[0].requests, 7);
}
END_TEST

START_TEST(rows_are_found_by_slot_and_by_name)
{
	look(&before, "{\"metrics\":{\"slots\":[{\"slot\":1,\"bytes\":3}],"
		      "\"sites\":[{\"site\":\"b\",\"bytes\":4},{\"site\":\"a\",\"bytes\":5}]}}");
	look(&now, "{\"metrics\":{\"slots\":[{\"slot\":0,\"bytes\":9},{\"slot\":1,\"bytes\":9}],"
		   "\"sites\":[{\"site\":\"a\",\"bytes\":9},{\"site\":\"c\",\"bytes\":9}]}}");
	top_between(&now, &before);
	ck_assert_uint_eq(now.rows[0].bytes, 9);
	ck_assert_uint_eq(now.rows[1].bytes, 6);
	ck_assert_uint_eq(now.rows[2].bytes, 4);
	ck_assert_uint_eq(now.rows[3].bytes, 9);
}
END_TEST

START_TEST(a_slot_says_what_its_worker_does)
{
	look(&now, "{\"metrics\":{\"slots\":[{\"slot\":0},{\"slot\":1},{\"slot\":2}]},"
		   "\"workers\":[{\"slot\":0,\"state\":\"draining\",\"counters\":{\"open\":2}},"
		   "{\"slot\":0,\"state\":\"serving\",\"counters\":{\"open\":3}},"
		   "{\"slot\":1,\"state\":\"serving\"}],\"slots\":[{\"slot\":1,\"bad\":true}]}");
	ck_assert_str_eq(now.rows[0].name, "serving");
	ck_assert_uint_eq(now.rows[0].open, 5);
	ck_assert(!now.rows[0].bad);
	ck_assert_str_eq(now.rows[1].name, "hangs");
	ck_assert(now.rows[1].bad);
	ck_assert_str_eq(now.rows[2].name, "none");
}
END_TEST

START_TEST(whatever_is_no_number_is_none)
{
	look(&now, "{\"metrics\":{\"slots\":[{\"slot\":0,\"latency\":[999,5,-1,5,\"x\",5,1,-5,2],"
		   "\"requests\":{\"a\":1},\"bytes\":-5},7,null],\"sites\":\"x\"}}");
	for (unsigned i = 1; i < METRICS_BUCKETS; i++)
		ck_assert_uint_eq(now.rows[0].latency[i], 0);
	ck_assert_uint_eq(now.rows[0].requests, 0);
	ck_assert_uint_eq(now.rows[0].bytes, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("top_view");
	TCase *tests = tcase_create("top_view");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tests, NULL, forget);
	tcase_add_test(tests, what_is_shown_happened_between_two_looks);
	tcase_add_test(tests, what_has_begun_anew_has_what_it_has_now);
	tcase_add_test(tests, rows_are_found_by_slot_and_by_name);
	tcase_add_test(tests, a_slot_says_what_its_worker_does);
	tcase_add_test(tests, whatever_is_no_number_is_none);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
