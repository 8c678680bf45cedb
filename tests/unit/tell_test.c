/* tell_test.c - what the master tells on the board, whatever stands there. */
#include "master/master.h"

#include "base/fd.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[COUNTERS];
static const struct master_setup setup = { .counter_names = names, .counters = COUNTERS };

static struct master *master;
static struct news_event events[NEWS_EVENTS];
static struct child child;

static void create(void)
{
	struct err err;

	master = calloc(1, sizeof(*master));
	master_init(master, &setup);
	master->board = board_create(names, COUNTERS, counter_levels, NULL, &err);
	ck_assert_ptr_nonnull(master->board);
	tell_begin(master);
	child = (struct child){ .master = master, .pid = 77, .slot = 2, .state = CHILD_SERVING };
	master->slots[2].serving = &child;
}

static void destroy(void)
{
	board_destroy(master->board);
	fd_close(&master->board_fd);
	free(master);
}

/* The last one. */
static const struct news_event *told(void)
{
	size_t count = news_since(master->board, 0, events, NEWS_EVENTS);

	ck_assert_uint_gt(count, 0);
	return &events[count - 1];
}

START_TEST(events_are_numbered_from_one_on)
{
	tell_event(master, NEWS_STOP, NEWS_NO_SLOT, true, "a");
	ck_assert_uint_eq(told()->id, 1);
	tell_event(master, NEWS_STOP, NEWS_NO_SLOT, true, "b");
	ck_assert_uint_eq(told()->id, 2);
}
END_TEST

START_TEST(what_the_board_says_is_no_number)
{
	tell_event(master, NEWS_STOP, NEWS_NO_SLOT, true, "a");
	master->board->events.last = UINT64_MAX;
	tell_event(master, NEWS_STOP, NEWS_NO_SLOT, true, "b");
	ck_assert_uint_eq(told()->id, 2);
}
END_TEST

START_TEST(the_next_image_goes_on_counting)
{
	master->tell.event = 41;
	tell_resume(master);
	tell_event(master, NEWS_STOP, NEWS_NO_SLOT, true, "a");
	ck_assert_uint_eq(told()->id, 42);
}
END_TEST

/* Who saw its events goes on behind them. */
START_TEST(numbers_of_an_image_that_failed_are_left_out)
{
	tell_event(master, NEWS_STOP, NEWS_NO_SLOT, true, "a");
	news_add(master->board, 2, NEWS_CRASH, 0, false, "of the other one");
	tell_resume(master);
	tell_event(master, NEWS_STOP, NEWS_NO_SLOT, true, "b");
	ck_assert_uint_eq(told()->id, 3);
}
END_TEST

START_TEST(the_next_image_does_not_believe_every_number)
{
	master->tell.event = 5;
	master->board->events.last = 5 + NEWS_EVENTS + 1;
	tell_resume(master);
	ck_assert_uint_eq(master->tell.event, 5);
	master->board->events.last = UINT64_MAX;
	tell_resume(master);
	ck_assert_uint_eq(master->tell.event, 5);
	master->board->events.last = 2;
	tell_resume(master);
	ck_assert_uint_eq(master->tell.event, 5);
}
END_TEST

START_TEST(texts_are_plain)
{
	tell_event(master, NEWS_RELOAD, NEWS_NO_SLOT, false, "a\nb\x1b[31m \xc3\xa4 <i>");
	ck_assert_str_eq(told()->text, "a b?[31m ?? <i>");
}
END_TEST

START_TEST(a_crash_says_who_and_how)
{
	siginfo_t info = { .si_code = CLD_KILLED, .si_status = SIGKILL };

	tell_crash(&child, &info, 9);
	ck_assert_uint_eq(told()->kind, NEWS_CRASH);
	ck_assert_uint_eq(told()->slot, 2);
	ck_assert(!told()->good);
	ck_assert_str_eq(told()->text, "worker 77 ended by SIGKILL; it had 9 connections open");
	info = (siginfo_t){ .si_code = CLD_EXITED, .si_status = 3 };
	child.state = CHILD_DRAINING;
	tell_crash(&child, &info, 0);
	ck_assert_str_eq(told()->text,
			 "worker 77 exited with status 3, while it drained; it had 0 connections open");
	tell_crash(&child, &info, 1);
	ck_assert_str_eq(told()->text,
			 "worker 77 exited with status 3, while it drained; it had 1 connection open");
	ck_assert_uint_eq(master->board->column[child.column].counters[COUNT_DIED_KILLED], 1);
	ck_assert_uint_eq(master->board->column[child.column].counters[COUNT_DIED_EXITED], 2);
}
END_TEST

START_TEST(who_follows_a_dead_worker_is_told_once)
{
	siginfo_t info = { .si_code = CLD_KILLED, .si_status = SIGSEGV };

	tell_served(&master->slots[2]);
	ck_assert_uint_eq(news_since(master->board, 0, events, NEWS_EVENTS), 0);
	tell_crash(&child, &info, 0);
	tell_served(&master->slots[2]);
	ck_assert_uint_eq(told()->kind, NEWS_RESPAWN);
	ck_assert_uint_eq(told()->slot, 2);
	tell_served(&master->slots[2]);
	ck_assert_uint_eq(told()->id, 2);
}
END_TEST

/* It had no seat any more: whoever has it serves on. */
START_TEST(nobody_follows_one_that_had_left)
{
	siginfo_t info = { .si_code = CLD_KILLED, .si_status = SIGKILL };
	struct child successor = { .master = master, .slot = 2 };

	master->slots[2].serving = &successor;
	tell_crash(&child, &info, 0);
	tell_served(&master->slots[2]);
	ck_assert_uint_eq(told()->kind, NEWS_CRASH);
}
END_TEST

START_TEST(news_are_what_the_master_knows)
{
	struct news news;

	master->slot_count = 3;
	master->stopping = true;
	master->reloads_bad = 2;
	strcpy(master->last_reload, "failed at check: \xff");
	tell_news(master);
	ck_assert(news_read(master->board, &news));
	ck_assert_uint_eq(news.pid, (uint32_t)getpid());
	ck_assert_uint_eq(news.slots, 3);
	ck_assert_uint_eq(news.stopping, 1);
	ck_assert_str_eq(news.version, DROVER_VERSION);
	ck_assert_uint_eq(news.started_ms, master->tell.started_ms);
	ck_assert_uint_eq(news.reload.failed, 2);
	ck_assert_str_eq(news.reload.text, "failed at check: ?");
	ck_assert_uint_eq(news.upgrade.at_ms, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tell");
	TCase *tests = tcase_create("tell");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_checked_fixture(tests, create, destroy);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, events_are_numbered_from_one_on);
	tcase_add_test(tests, what_the_board_says_is_no_number);
	tcase_add_test(tests, the_next_image_goes_on_counting);
	tcase_add_test(tests, numbers_of_an_image_that_failed_are_left_out);
	tcase_add_test(tests, the_next_image_does_not_believe_every_number);
	tcase_add_test(tests, texts_are_plain);
	tcase_add_test(tests, a_crash_says_who_and_how);
	tcase_add_test(tests, who_follows_a_dead_worker_is_told_once);
	tcase_add_test(tests, nobody_follows_one_that_had_left);
	tcase_add_test(tests, news_are_what_the_master_knows);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
