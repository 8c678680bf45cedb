/* board_test.c - the shared counters: claiming, retiring, summing. */
#include "ipc/board.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLOT = 3 };

enum { REQUESTS, OPEN, ERRORS, COUNTERS };

static const char *const names[COUNTERS] = { "requests", "open", "errors" };
static const uint64_t levels[BOARD_WORDS] = { UINT64_C(1) << OPEN };

static struct board *board;
static struct board_owners owners;

static void create(void)
{
	struct err err;

	board = board_create(names, COUNTERS, levels, NULL, &err);
	owners = (struct board_owners){ 0 };
	ck_assert_ptr_nonnull(board);
}

static void destroy(void)
{
	board_destroy(board);
}

START_TEST(a_board_describes_itself)
{
	ck_assert_uint_eq(board->version, BOARD_VERSION);
	ck_assert_uint_eq(board->columns, BOARD_COLUMNS);
	ck_assert_uint_eq(board->counters, COUNTERS);
	ck_assert_uint_eq(board->levels[0], levels[0]);
	ck_assert_str_eq(board->names[ERRORS], "errors");
}
END_TEST

START_TEST(a_fresh_board_sums_to_nothing)
{
	for (unsigned i = 0; i < COUNTERS; i++)
		ck_assert_uint_eq(board_sum(board, i), 0);
}
END_TEST

START_TEST(a_name_that_is_too_long_is_cut)
{
	const char *long_name[] = { "a_counter_whose_name_has_many_more_than_31_bytes" };
	struct err err;
	struct board *other = board_create(long_name, 1, levels, NULL, &err);

	ck_assert_uint_eq(strlen(other->names[0]), BOARD_NAME_BYTES - 1);
	board_destroy(other);
}
END_TEST

START_TEST(more_counters_than_there_is_room_for_are_left_out)
{
	const char *many[BOARD_COUNTERS + 5];
	struct err err;
	struct board *other;

	for (unsigned i = 0; i < BOARD_COUNTERS + 5; i++)
		many[i] = "x";
	other = board_create(many, BOARD_COUNTERS + 5, levels, NULL, &err);
	ck_assert_uint_eq(other->counters, BOARD_COUNTERS);
	board_destroy(other);
}
END_TEST

START_TEST(every_claim_is_another_column_and_never_the_retired_one)
{
	unsigned first = board_claim(board, &owners), second = board_claim(board, &owners);

	ck_assert_uint_ne(first, BOARD_RETIRED);
	ck_assert_uint_ne(second, BOARD_RETIRED);
	ck_assert_uint_ne(first, second);
}
END_TEST

START_TEST(a_claimed_column_is_owned_before_its_pid_is_known)
{
	ck_assert_uint_ne(board->column[board_claim(board, &owners)].pid, 0);
}
END_TEST

START_TEST(a_claimed_column_starts_from_nothing)
{
	board->column[1].counters[REQUESTS] = 99;       /* what a former owner scribbled after its end */
	ck_assert_uint_eq(board_claim(board, &owners), 1);
	ck_assert_uint_eq(board->column[1].counters[REQUESTS], 0);
}
END_TEST

START_TEST(a_full_board_has_no_column_to_claim)
{
	for (unsigned i = 1; i < BOARD_COLUMNS; i++)
		ck_assert_uint_ne(board_claim(board, &owners), 0);
	ck_assert_uint_eq(board_claim(board, &owners), 0);
}
END_TEST

START_TEST(a_retired_column_can_be_claimed_again)
{
	unsigned column = board_claim(board, &owners);

	board_retire(board, &owners, column, SLOT);
	ck_assert_uint_eq(board_claim(board, &owners), column);
}
END_TEST

START_TEST(a_head_that_a_worker_overwrote_harms_no_column)
{
	unsigned column = board_claim(board, &owners), next = board_claim(board, &owners);

	board->column[column].counters[REQUESTS] = 3;
	board->column[next].counters[REQUESTS] = 4;
	board->counters = UINT32_MAX;
	board->levels[1] = UINT64_MAX;
	board_retire(board, &owners, column, SLOT);
	ck_assert_uint_eq(board->column[BOARD_RETIRED].counters[REQUESTS], 3);
	ck_assert_uint_eq(board->column[next].counters[REQUESTS], 4);
	ck_assert_uint_ne(board->column[next].pid, 0);
}
END_TEST

START_TEST(a_sum_counts_all_owned_columns)
{
	board->column[board_claim(board, &owners)].counters[REQUESTS] = 3;
	board->column[board_claim(board, &owners)].counters[REQUESTS] = 4;
	ck_assert_uint_eq(board_sum(board, REQUESTS), 7);
}
END_TEST

START_TEST(a_sum_leaves_out_columns_that_nobody_owns)
{
	board->column[9].counters[REQUESTS] = 100;
	ck_assert_uint_eq(board_sum(board, REQUESTS), 0);
}
END_TEST

START_TEST(what_a_worker_counted_outlives_it)
{
	for (unsigned round = 0; round < 3; round++) {
		unsigned column = board_claim(board, &owners);

		board->column[column].counters[REQUESTS] = 5;
		board_retire(board, &owners, column, SLOT);
	}
	ck_assert_uint_eq(board_sum(board, REQUESTS), 15);
}
END_TEST

START_TEST(what_a_slot_counted_outlives_its_workers)
{
	struct tally sum;
	struct turns turns;

	for (unsigned round = 0; round < 3; round++) {
		unsigned column = board_claim(board, &owners);

		board->column[column].counters[REQUESTS] = 5;
		board->column[column].counters[OPEN] = 1;
		board->metrics[column].site[METRICS_OTHER].requests[1] = 5;
		board->metrics[column].site[METRICS_OTHER].latency[7] = 5;
		board->metrics[column].turns.count = 2;
		board_retire(board, &owners, column, SLOT);
	}
	board_slot_sum(board, SLOT, &sum, &turns);
	ck_assert_uint_eq(board->past[SLOT].counters[REQUESTS], 15);
	ck_assert_uint_eq(board->past[SLOT].counters[OPEN], 0);
	ck_assert_uint_eq(sum.requests[1], 15);
	ck_assert_uint_eq(sum.latency[7], 15);
	ck_assert_uint_eq(turns.count, 6);
	board_slot_sum(board, SLOT + 1, &sum, &turns);
	ck_assert_uint_eq(sum.requests[1] + turns.count, 0);
}
END_TEST

START_TEST(who_had_no_known_slot_is_in_none)
{
	unsigned column = board_claim(board, &owners);

	board->column[column].counters[REQUESTS] = 5;
	board_retire(board, &owners, column, BOARD_NO_SLOT);
	ck_assert_uint_eq(board_sum(board, REQUESTS), 5);
	for (unsigned slot = 0; slot < BOARD_SLOTS; slot++)
		ck_assert_uint_eq(board->past[slot].counters[REQUESTS], 0);
}
END_TEST

START_TEST(a_level_goes_with_its_worker)
{
	unsigned column = board_claim(board, &owners);

	board->column[column].counters[OPEN] = 5;
	board_retire(board, &owners, column, SLOT);
	ck_assert_uint_eq(board_sum(board, OPEN), 0);
}
END_TEST

START_TEST(retiring_the_retired_column_changes_nothing)
{
	board->column[BOARD_RETIRED].counters[REQUESTS] = 5;
	board_retire(board, &owners, BOARD_RETIRED, SLOT);
	ck_assert_uint_eq(board_sum(board, REQUESTS), 5);
}
END_TEST

START_TEST(a_worker_that_writes_every_pid_takes_no_column)
{
	for (unsigned i = 0; i < BOARD_COLUMNS; i++)
		board->column[i].pid = 1;
	ck_assert_uint_ne(board_claim(board, &owners), 0);
}
END_TEST

START_TEST(a_worker_that_wipes_its_pid_keeps_its_column)
{
	unsigned column = board_claim(board, &owners);

	board->column[column].pid = 0;
	ck_assert_uint_ne(board_claim(board, &owners), column);
}
END_TEST

START_TEST(what_a_child_counts_the_parent_sees)
{
	unsigned column = board_claim(board, &owners);
	pid_t pid = fork();

	if (pid == 0) {
		board->column[column].counters[REQUESTS] = 42;
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_uint_eq(board_sum(board, REQUESTS), 42);
}
END_TEST

START_TEST(the_next_image_sees_what_workers_wrote_and_names_its_own_counters)
{
	static const char *const more[] = { "requests", "open", "errors", "handed" };
	struct board *again, *first;
	struct err err;
	int fd = -1;

	first = board_create(names, COUNTERS, levels, &fd, &err);
	ck_assert_ptr_nonnull(first);
	again = board_resume(fd, more, COUNTERS + 1, levels, &err);
	ck_assert_ptr_nonnull(again);
	first->column[1].counters[REQUESTS] = 7;
	ck_assert_uint_eq(again->column[1].counters[REQUESTS], 7);
	ck_assert_uint_eq(again->counters, COUNTERS + 1);
	ck_assert_str_eq(again->names[COUNTERS], "handed");
	board_destroy(again);
	board_destroy(first);
	close(fd);
}
END_TEST

/* ---- rows ---- */

START_TEST(a_site_keeps_the_row_that_it_got)
{
	ck_assert(board_site_add(&owners, "a.example"));
	ck_assert(board_site_add(&owners, "b.example"));
	ck_assert(board_site_add(&owners, "a.example"));
	board_sites_publish(board, &owners);
	ck_assert_uint_eq(board_site(board, "a.example"), 1);
	ck_assert_uint_eq(board_site(board, "b.example"), 2);
	ck_assert_uint_eq(board_site(board, "c.example"), METRICS_OTHER);
	ck_assert_uint_eq(owners.sites, 2);
}
END_TEST

START_TEST(the_last_row_is_followed_by_none)
{
	char name[16];

	for (unsigned i = 1; i < METRICS_SITES; i++) {
		snprintf(name, sizeof(name), "%u.example", i);
		ck_assert(board_site_add(&owners, name));
	}
	ck_assert(!board_site_add(&owners, "one.more"));
	ck_assert(board_site_add(&owners, name));
	board_sites_publish(board, &owners);
	ck_assert_uint_eq(board_site(board, name), METRICS_SITES - 1);
	ck_assert_uint_eq(board_site(board, "one.more"), METRICS_OTHER);
}
END_TEST

START_TEST(long_names_are_known_by_their_beginning)
{
	char name[METRICS_SITE_BYTES + 20];

	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	ck_assert(board_site_add(&owners, name));
	board_sites_publish(board, &owners);
	ck_assert_uint_eq(board_site(board, name), 1);
	name[sizeof(name) - 2] = 'b';
	ck_assert_uint_eq(board_site(board, name), 1);
}
END_TEST

START_TEST(a_row_for_nothing_is_given_back)
{
	ck_assert(board_site_add(&owners, "a.example"));
	ck_assert(board_site_add(&owners, "typo.example"));
	board_sites_trim(&owners, 1);
	board_sites_publish(board, &owners);
	ck_assert_uint_eq(board_site(board, "typo.example"), METRICS_OTHER);
	ck_assert(board_site_add(&owners, "b.example"));
	board_sites_publish(board, &owners);
	ck_assert_uint_eq(board_site(board, "b.example"), 2);
}
END_TEST

/* A hostile worker has written other names, or none. */
START_TEST(what_was_measured_outlives_a_worker_whatever_the_board_says_of_rows)
{
	unsigned column = board_claim(board, &owners);
	struct tally sum;

	ck_assert(board_site_add(&owners, "a.example"));
	board->metrics[column].site[1].requests[1] = 3;
	board->metrics[column].site[METRICS_OTHER].bytes = 7;
	board->metrics[column].turns.count = 11;
	memset(board->sites, 0, sizeof(board->sites));
	board_retire(board, &owners, column, SLOT);
	board_sites_publish(board, &owners);
	board_site_sum(board, 1, &sum);
	ck_assert_uint_eq(sum.requests[1], 3);
	board_site_sum(board, METRICS_OTHER, &sum);
	ck_assert_uint_eq(sum.bytes, 7);
	ck_assert_uint_eq(board->metrics[BOARD_RETIRED].turns.count, 11);
	ck_assert_uint_eq(board_claim(board, &owners), column);
	ck_assert_uint_eq(board->metrics[column].site[1].requests[1], 0);
}
END_TEST

START_TEST(memory_of_another_size_is_no_board)
{
	int fd = memfd_create("board-test", MFD_CLOEXEC);
	struct err err;

	ck_assert_int_ge(fd, 0);
	ck_assert_ptr_null(board_resume(fd, names, COUNTERS, levels, &err));
	ck_assert_ptr_nonnull(strstr(err.text, "0 bytes instead of"));
	close(fd);
	ck_assert_ptr_null(board_resume(fd, names, COUNTERS, levels, &err));
}
END_TEST

START_TEST(destroying_no_board_is_harmless)
{
	board_destroy(NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("board");
	TCase *tests = tcase_create("board");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_checked_fixture(tests, create, destroy);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_board_describes_itself);
	tcase_add_test(tests, a_fresh_board_sums_to_nothing);
	tcase_add_test(tests, a_name_that_is_too_long_is_cut);
	tcase_add_test(tests, more_counters_than_there_is_room_for_are_left_out);
	tcase_add_test(tests, every_claim_is_another_column_and_never_the_retired_one);
	tcase_add_test(tests, a_claimed_column_is_owned_before_its_pid_is_known);
	tcase_add_test(tests, a_claimed_column_starts_from_nothing);
	tcase_add_test(tests, a_full_board_has_no_column_to_claim);
	tcase_add_test(tests, a_retired_column_can_be_claimed_again);
	tcase_add_test(tests, a_head_that_a_worker_overwrote_harms_no_column);
	tcase_add_test(tests, a_sum_counts_all_owned_columns);
	tcase_add_test(tests, a_sum_leaves_out_columns_that_nobody_owns);
	tcase_add_test(tests, what_a_worker_counted_outlives_it);
	tcase_add_test(tests, what_a_slot_counted_outlives_its_workers);
	tcase_add_test(tests, who_had_no_known_slot_is_in_none);
	tcase_add_test(tests, a_level_goes_with_its_worker);
	tcase_add_test(tests, retiring_the_retired_column_changes_nothing);
	tcase_add_test(tests, a_worker_that_writes_every_pid_takes_no_column);
	tcase_add_test(tests, a_worker_that_wipes_its_pid_keeps_its_column);
	tcase_add_test(tests, what_a_child_counts_the_parent_sees);
	tcase_add_test(tests, the_next_image_sees_what_workers_wrote_and_names_its_own_counters);
	tcase_add_test(tests, a_site_keeps_the_row_that_it_got);
	tcase_add_test(tests, the_last_row_is_followed_by_none);
	tcase_add_test(tests, long_names_are_known_by_their_beginning);
	tcase_add_test(tests, a_row_for_nothing_is_given_back);
	tcase_add_test(tests, what_was_measured_outlives_a_worker_whatever_the_board_says_of_rows);
	tcase_add_test(tests, memory_of_another_size_is_no_board);
	tcase_add_test(tests, destroying_no_board_is_harmless);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
