/* departure_test.c - what became of connections, reckoned from what the workers counted on the board. */
#include "base/log.h"
#include "master/departure.h"
#include "master/master.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct master *master;
static struct child *old, *other;
static struct config config = { .drain_ns = CLOCK_S };
static struct generation generation = { .number = 7, .pins = 1, .config = &config };
static struct master_setup setup = {
	.counter_names = counter_names, .counters = COUNTERS, .open = COUNT_OPEN, .levels = counter_levels,
};

static struct child *add_child(unsigned slot)
{
	struct child *child = calloc(1, sizeof(*child));

	child->master = master;
	child->slot = slot;
	child->hands = true;
	child->column = board_claim(master->board, &master->owners);
	list_push_back(&master->children, &child->link);
	return child;
}

static struct hot hot;

static uint64_t *counters_of(const struct child *child)
{
	return master->board->column[child->column].counters;
}

static void set_up(void)
{
	struct err err;

	master = calloc(1, sizeof(*master));
	master_init(master, &setup);
	master->hot = &hot;
	master->board = board_create(counter_names, COUNTERS, counter_levels, NULL, &err);
	ck_assert(master->board != NULL && loop_open(&master->loop, &err));
	master->current.generation = &generation;
	old = add_child(0);
	other = add_child(1);
	counters_of(old)[COUNT_ACCEPTED] = 500;
	counters_of(old)[COUNT_OPEN] = 10;
	counters_of(other)[COUNT_OPEN] = 4;
}

static void tear_down(void)
{
	departure_forget(master);
	loop_close(&master->loop);
	board_destroy(master->board);
	free(old);
	free(other);
	free(master);
}

START_TEST(what_it_had_when_it_was_told_is_what_it_has_to_lose)
{
	departure_begin(old);
	ck_assert_uint_eq(departure_of(old).connections, 10);
	ck_assert_uint_eq(departure_of(old).left, 10);
	ck_assert_uint_eq(departure_of(old).finished, 0);
}
END_TEST

START_TEST(what_comes_still_counts_too)
{
	departure_begin(old);
	counters_of(old)[COUNT_ACCEPTED] += 2;
	counters_of(old)[COUNT_TAKEN_OVER] += 3;
	counters_of(old)[COUNT_OPEN] += 5;
	ck_assert_uint_eq(departure_of(old).connections, 15);
	ck_assert_uint_eq(departure_of(old).finished, 0);
}
END_TEST

START_TEST(each_kind_is_counted_apart)
{
	departure_begin(old);
	for (unsigned kind = 0; kind < PARTING_KINDS; kind++)
		counters_of(old)[COUNT_HANDED_IDLE + kind] = kind;
	counters_of(old)[COUNT_OPEN] = 0;
	for (unsigned kind = 0; kind < PARTING_KINDS; kind++)
		ck_assert_uint_eq(departure_of(old).handed[kind], kind);
	ck_assert_uint_eq(departure_of(old).moved, 15);
}
END_TEST

START_TEST(what_is_neither_there_nor_moved_nor_cut_was_finished)
{
	departure_begin(old);
	counters_of(old)[COUNT_HANDED_IDLE] = 3;
	counters_of(old)[COUNT_DRAIN_CUT] = 1;
	counters_of(old)[COUNT_OPEN] = 4;
	ck_assert_uint_eq(departure_of(old).finished, 2);
}
END_TEST

START_TEST(a_worker_that_lies_makes_no_number_wrap)
{
	departure_begin(old);
	counters_of(old)[COUNT_ACCEPTED] = 0;
	counters_of(old)[COUNT_HANDED_IDLE] = 1000;
	ck_assert_uint_eq(departure_of(old).connections, 10);
	ck_assert_uint_eq(departure_of(old).finished, 0);
}
END_TEST

START_TEST(the_sum_has_those_that_are_gone_and_those_that_are_not)
{
	unsigned workers;

	departure_begin(old);
	departure_begin(other);
	counters_of(old)[COUNT_HANDED_IDLE] = 10;
	counters_of(old)[COUNT_OPEN] = 0;
	departure_end(old);
	ck_assert_uint_eq(departure_sum(master, &workers).connections, 14);
	ck_assert_uint_eq(departure_sum(master, &workers).moved, 10);
	ck_assert_uint_eq(workers, 1);
}
END_TEST

START_TEST(when_all_are_gone_there_is_no_sum)
{
	unsigned workers;

	departure_begin(old);
	departure_begin(other);
	departure_end(old);
	departure_end(other);
	ck_assert_uint_eq(departure_sum(master, &workers).connections, 0);
	ck_assert(list_empty(&master->handover.departures));
}
END_TEST

START_TEST(while_seats_are_taken_others_may_follow)
{
	master->transition.phase = PHASE_GOING;
	master->transition.number = generation.number;
	departure_begin(old);
	departure_end(old);
	ck_assert(!list_empty(&master->handover.departures));
	departure_begin(other);
	master->transition.phase = PHASE_IDLE;
	departure_check(master);
	ck_assert(!list_empty(&master->handover.departures));
	departure_end(other);
	ck_assert(list_empty(&master->handover.departures));
}
END_TEST

START_TEST(who_leaves_because_the_service_stops_is_not_counted)
{
	unsigned workers;

	old->hands = false;
	departure_begin(old);
	departure_sum(master, &workers);
	ck_assert_uint_eq(workers, 0);
	departure_end(old);
	ck_assert(list_empty(&master->handover.departures));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("departure");
	TCase *tests = tcase_create("departure");
	SRunner *runner = srunner_create(suite);
	struct log_setup quiet = { .least = LEVEL_ERROR, .target = { LOG_STREAM, -1, NULL } };
	int failed;

	log_open(NULL, &quiet);
	tcase_add_checked_fixture(tests, set_up, tear_down);
	suite_add_tcase(suite, tests);
	tcase_add_test(tests, what_it_had_when_it_was_told_is_what_it_has_to_lose);
	tcase_add_test(tests, what_comes_still_counts_too);
	tcase_add_test(tests, each_kind_is_counted_apart);
	tcase_add_test(tests, what_is_neither_there_nor_moved_nor_cut_was_finished);
	tcase_add_test(tests, a_worker_that_lies_makes_no_number_wrap);
	tcase_add_test(tests, the_sum_has_those_that_are_gone_and_those_that_are_not);
	tcase_add_test(tests, when_all_are_gone_there_is_no_sum);
	tcase_add_test(tests, while_seats_are_taken_others_may_follow);
	tcase_add_test(tests, who_leaves_because_the_service_stops_is_not_counted);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
