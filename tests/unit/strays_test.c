/* strays_test.c - children that the master does not know are found, waited for and reaped. */
#include "master/master.h"
#include "unit/one_turn.h"

#include "base/fd.h"
#include "net/conn.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static struct master *master;

static pid_t fork_one(bool ends_at_once)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	if (ends_at_once)
		_exit(0);
	for (;;)
		pause();
}

static bool is_reaped(pid_t pid)
{
	return waitpid(pid, NULL, WNOHANG) < 0 && errno == ECHILD;
}

static struct hot hot;

static void set_up(void)
{
	static const char *const names[COUNTERS];
	struct err err;

	master = calloc(1, sizeof(*master));
	list_init(&master->children);
	list_init(&master->strays);
	list_init(&master->testaments);
	master->hot = &hot;
	master->board = board_create(names, COUNTERS, counter_levels, NULL, &err);
	ck_assert_ptr_nonnull(master->board);
	ck_assert(loop_open(&master->loop, &err));
}

static void tear_down(void)
{
	strays_kill(master);
	strays_forget(master);
	loop_close(&master->loop);
	board_destroy(master->board);
	free(master);
}

static void wait_until_none_is_left(void)
{
	while (strays_left(master))
		one_turn(&master->loop);
}

START_TEST(without_unknown_children_there_are_none)
{
	strays_find(master);
	ck_assert(!strays_left(master));
}
END_TEST

START_TEST(one_that_has_ended_is_reaped)
{
	pid_t pid = fork_one(true);
	siginfo_t info;

	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	strays_find(master);
	ck_assert(strays_left(master));
	wait_until_none_is_left();
	ck_assert(is_reaped(pid));
}
END_TEST

START_TEST(one_that_lives_is_reaped_when_it_ends)
{
	pid_t pid = fork_one(false), other = fork_one(false);

	strays_find(master);
	kill(pid, SIGKILL);
	one_turn(&master->loop);
	ck_assert(is_reaped(pid));
	ck_assert(strays_left(master));
	strays_kill(master);
	wait_until_none_is_left();
	ck_assert(is_reaped(other));
}
END_TEST

START_TEST(one_that_stays_too_long_is_killed)
{
	pid_t pid = fork_one(false);

	strays_find(master);    /* without a generation there is only the grace */
	wait_until_none_is_left();
	ck_assert(is_reaped(pid));
}
END_TEST

START_TEST(workers_checkers_and_candidates_are_none)
{
	struct child child = { .pid = fork_one(false) };

	list_push_back(&master->children, &child.link);
	master->checker.pid = fork_one(false);
	master->candidate.pid = fork_one(false);
	strays_find(master);
	ck_assert(!strays_left(master));
	kill(child.pid, SIGKILL);
	kill(master->checker.pid, SIGKILL);
	kill(master->candidate.pid, SIGKILL);
}
END_TEST

START_TEST(what_one_counts_stays_counted_and_its_column_is_nobody_elses)
{
	pid_t pid = fork_one(false);
	struct board_column *column = &master->board->column[1];
	unsigned next, epoch;
	int memory = -1;
	struct err err;

	master->quota = quota_create(&memory, &err);
	fd_close(&memory);
	ck_assert_ptr_nonnull(master->quota);
	epoch = quota_epoch(master->quota);
	column->pid = (uint32_t)pid;
	column->counters[COUNT_REQUESTS] = 5;
	strays_find(master);
	next = board_claim(master->board, &master->owners);
	ck_assert_uint_eq(next, 2);
	column->counters[COUNT_REQUESTS] = 7;
	column->counters[COUNT_OPEN] = 3;
	strays_kill(master);
	wait_until_none_is_left();
	ck_assert_uint_eq(board_sum(master->board, COUNT_REQUESTS), 7);
	ck_assert_uint_eq(board_sum(master->board, COUNT_LOST_CRASHED), 3);
	ck_assert_uint_eq(quota_epoch(master->quota), epoch + 1);       /* its clients' places are free */
	quota_destroy(master->quota);
	ck_assert_uint_eq(board_claim(master->board, &master->owners), 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("strays");
	TCase *all = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(all, set_up, tear_down);
	tcase_set_timeout(all, 60);
	tcase_add_test(all, without_unknown_children_there_are_none);
	tcase_add_test(all, one_that_has_ended_is_reaped);
	tcase_add_test(all, one_that_lives_is_reaped_when_it_ends);
	tcase_add_test(all, one_that_stays_too_long_is_killed);
	tcase_add_test(all, workers_checkers_and_candidates_are_none);
	tcase_add_test(all, what_one_counts_stays_counted_and_its_column_is_nobody_elses);
	suite_add_tcase(suite, all);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
