/* news_test.c - what the master tells on the board: the ring of events, news that is read while it is
 * written, and boards that somebody else has written. */
#include "ipc/board.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = { "requests" };

static struct board *board;
static struct news_event events[NEWS_EVENTS + 8];

static void create(void)
{
	static const uint64_t levels[BOARD_WORDS];
	struct err err;

	board = board_create(names, 1, levels, NULL, &err);
	ck_assert_ptr_nonnull(board);
}

static void destroy(void)
{
	board_destroy(board);
}

static void add(uint64_t first, uint64_t last)
{
	char text[32];

	for (uint64_t id = first; id <= last; id++) {
		snprintf(text, sizeof(text), "number %llu", (unsigned long long)id);
		news_add(board, id, NEWS_RELOAD, NEWS_NO_SLOT, id % 2 == 0, text);
	}
}

/* ---- events ------------------------------------------------------------------------------------------ */

START_TEST(a_fresh_board_has_no_events)
{
	ck_assert_uint_eq(news_since(board, 0, events, NEWS_EVENTS), 0);
}
END_TEST

START_TEST(an_event_is_read_as_it_was_told)
{
	news_add(board, 1, NEWS_CRASH, 3, false, "worker 12 ended by SIGKILL");
	ck_assert_uint_eq(news_since(board, 0, events, NEWS_EVENTS), 1);
	ck_assert_uint_eq(events[0].id, 1);
	ck_assert_uint_eq(events[0].kind, NEWS_CRASH);
	ck_assert_uint_eq(events[0].slot, 3);
	ck_assert_uint_eq(events[0].good, 0);
	ck_assert_str_eq(events[0].text, "worker 12 ended by SIGKILL");
	ck_assert_uint_gt(events[0].at_ms, UINT64_C(1600000000000));
}
END_TEST

START_TEST(only_events_after_the_last_one_known_are_read)
{
	add(1, 5);
	ck_assert_uint_eq(news_since(board, 3, events, NEWS_EVENTS), 2);
	ck_assert_uint_eq(events[0].id, 4);
	ck_assert_uint_eq(events[1].id, 5);
	ck_assert_uint_eq(news_since(board, 5, events, NEWS_EVENTS), 0);
	ck_assert_uint_eq(news_since(board, 6, events, NEWS_EVENTS), 0);
	ck_assert_uint_eq(news_since(board, UINT64_MAX, events, NEWS_EVENTS), 0);
}
END_TEST

START_TEST(the_ring_keeps_the_newest_ones)
{
	size_t count;

	add(1, NEWS_EVENTS + 3);
	count = news_since(board, 0, events, NEWS_EVENTS + 8);
	ck_assert_uint_eq(count, NEWS_EVENTS);
	for (size_t i = 0; i < count; i++)
		ck_assert_uint_eq(events[i].id, 4 + i);
	ck_assert_str_eq(events[count - 1].text, "number 259");
}
END_TEST

START_TEST(no_more_are_copied_than_there_is_room_for)
{
	add(1, 20);
	memset(&events[3], 0xee, sizeof(events[3]));
	ck_assert_uint_eq(news_since(board, 4, events, 3), 3);
	ck_assert_uint_eq(events[0].id, 5);
	ck_assert_uint_eq(events[2].id, 7);
	ck_assert_uint_eq(events[3].kind, 0xeeeeeeee);
}
END_TEST

START_TEST(a_text_that_is_too_long_is_cut)
{
	char text[NEWS_EVENT_BYTES * 2];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	news_add(board, 1, NEWS_RELOAD, NEWS_NO_SLOT, true, text);
	news_since(board, 0, events, NEWS_EVENTS);
	ck_assert_uint_eq(strlen(events[0].text), NEWS_EVENT_BYTES - 1);
}
END_TEST

/* What an image that failed has told, the old one leaves out. */
START_TEST(numbers_may_be_left_out)
{
	add(1, 2);
	add(6, 7);
	ck_assert_uint_eq(news_since(board, 0, events, NEWS_EVENTS), 4);
	ck_assert_uint_eq(events[2].id, 6);
}
END_TEST

START_TEST(every_kind_has_a_name)
{
	for (unsigned i = 0; i < NEWS_KINDS; i++) {
		ck_assert_ptr_nonnull(news_event_names[i]);
		ck_assert_uint_gt(strlen(news_event_names[i]), 0);
	}
}
END_TEST

/* ---- a board that somebody else has written ---------------------------------------------------------- */

START_TEST(the_highest_number_there_is_ends_too)
{
	add(1, 3);
	board->events.last = UINT64_MAX;
	ck_assert_uint_eq(news_since(board, 0, events, NEWS_EVENTS), 0);
	ck_assert_uint_eq(news_since(board, UINT64_MAX - 2, events, NEWS_EVENTS), 0);
	for (unsigned i = 0; i < NEWS_EVENTS; i++)
		board->events.at[i].id = UINT64_MAX - (NEWS_EVENTS - 1) + i;
	ck_assert_uint_eq(news_since(board, 0, events, NEWS_EVENTS), NEWS_EVENTS);
	ck_assert_uint_eq(events[NEWS_EVENTS - 1].id, UINT64_MAX);
}
END_TEST

START_TEST(a_kind_that_is_none_is_no_event)
{
	add(1, 3);
	board->events.at[2].kind = NEWS_KINDS;
	ck_assert_uint_eq(news_since(board, 0, events, NEWS_EVENTS), 2);
	ck_assert_uint_eq(events[1].id, 3);
}
END_TEST

START_TEST(an_event_of_another_number_is_none)
{
	add(1, 3);
	board->events.at[2].id = 0;     /* it is just being written */
	ck_assert_uint_eq(news_since(board, 0, events, NEWS_EVENTS), 2);
	board->events.at[2].id = 2 + NEWS_EVENTS;
	ck_assert_uint_eq(news_since(board, 0, events, NEWS_EVENTS), 2);
}
END_TEST

START_TEST(every_text_ends)
{
	struct news news = { .pid = 1 };

	add(1, 1);
	memset(board->events.at[1].text, 'x', NEWS_EVENT_BYTES);
	ck_assert_uint_eq(news_since(board, 0, events, NEWS_EVENTS), 1);
	ck_assert_uint_eq(strlen(events[0].text), NEWS_EVENT_BYTES - 1);
	memset(&board->news, 'x', sizeof(board->news));
	board->news.sequence = 2;
	ck_assert(news_read(board, &news));
	ck_assert_uint_eq(strlen(news.version), sizeof(news.version) - 1);
	ck_assert_uint_eq(strlen(news.accept_wanted), sizeof(news.accept_wanted) - 1);
	ck_assert_uint_eq(strlen(news.accept_effective), sizeof(news.accept_effective) - 1);
	ck_assert_uint_eq(strlen(news.reload.text), NEWS_TEXT_BYTES - 1);
	ck_assert_uint_eq(strlen(news.upgrade.text), NEWS_TEXT_BYTES - 1);
}
END_TEST

/* ---- news -------------------------------------------------------------------------------------------- */

START_TEST(what_is_published_is_read)
{
	struct news told = {
		.pid = 7, .slots = 4, .started_ms = 99, .generation = 3, .version = "1.2.3",
		.accept_wanted = "directed", .accept_effective = "reuseport",
		.reload = { .at_ms = 5, .succeeded = 2, .failed = 1, .good = 1, .text = "fine" },
	};
	struct news news;

	news_publish(board, &told);
	ck_assert(news_read(board, &news));
	ck_assert_uint_eq(news.pid, 7);
	ck_assert_uint_eq(news.generation, 3);
	ck_assert_str_eq(news.accept_effective, "reuseport");
	ck_assert_str_eq(news.reload.text, "fine");
	ck_assert_uint_eq(news.reload.failed, 1);
}
END_TEST

START_TEST(news_that_is_being_written_is_not_read)
{
	struct news told = { .pid = 7 }, news;

	news_publish(board, &told);
	board->news.sequence |= 1;
	ck_assert(!news_read(board, &news));
	ck_assert_uint_eq(news.pid, 0);
	news_publish(board, &told);     /* also after one whose writer died meanwhile */
	ck_assert(news_read(board, &news));
	ck_assert_uint_eq(news.pid, 7);
}
END_TEST

/* ---- read while it is written ------------------------------------------------------------------------ */

enum { ROUNDS = 200000 };

static bool ended;

/* Every text is of one letter, which goes with the number. */
static void *write_all(void *unused)
{
	char text[NEWS_EVENT_BYTES];

	for (uint64_t i = 1; i <= ROUNDS; i++) {
		struct news news = { .pid = (uint32_t)i, .generation = i, .started_ms = i };

		memset(news.upgrade.text, 'a' + (char)(i % 26), NEWS_TEXT_BYTES - 1);
		news_publish(board, &news);
		memset(text, 'a' + (char)(i % 26), sizeof(text) - 1);
		text[sizeof(text) - 1] = '\0';
		news_add(board, i, NEWS_RELOAD, (uint32_t)i, true, text);
	}
	__atomic_store_n(&ended, true, __ATOMIC_RELEASE);
	return unused;
}

static void check_text(const char *text, uint64_t number)
{
	for (const char *c = text; *c != '\0'; c++)
		ck_assert_int_eq(*c, 'a' + (char)(number % 26));
}

static void check_news(void)
{
	struct news news;

	if (!news_read(board, &news) || news.pid == 0)
		return;
	ck_assert_uint_eq(news.generation, news.pid);
	ck_assert_uint_eq(news.started_ms, news.pid);
	check_text(news.upgrade.text, news.pid);
}

static void check_events(uint64_t *known)
{
	size_t count = news_since(board, *known, events, NEWS_EVENTS);

	for (size_t i = 0; i < count; i++) {
		ck_assert_uint_gt(events[i].id, *known);
		*known = events[i].id;
		ck_assert_uint_eq(events[i].slot, (uint32_t)*known);
		check_text(events[i].text, *known);
	}
}

START_TEST(nobody_reads_halves)
{
	uint64_t known = 0;
	pthread_t writer;

	ck_assert_int_eq(pthread_create(&writer, NULL, write_all, NULL), 0);
	while (!__atomic_load_n(&ended, __ATOMIC_ACQUIRE)) {
		check_news();
		check_events(&known);
	}
	pthread_join(writer, NULL);
	check_events(&known);
	ck_assert_uint_eq(known, ROUNDS);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("news");
	TCase *tests = tcase_create("news");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_set_timeout(tests, 120);
	tcase_add_checked_fixture(tests, create, destroy);
	tcase_add_test(tests, a_fresh_board_has_no_events);
	tcase_add_test(tests, an_event_is_read_as_it_was_told);
	tcase_add_test(tests, only_events_after_the_last_one_known_are_read);
	tcase_add_test(tests, the_ring_keeps_the_newest_ones);
	tcase_add_test(tests, no_more_are_copied_than_there_is_room_for);
	tcase_add_test(tests, a_text_that_is_too_long_is_cut);
	tcase_add_test(tests, numbers_may_be_left_out);
	tcase_add_test(tests, every_kind_has_a_name);
	tcase_add_test(tests, the_highest_number_there_is_ends_too);
	tcase_add_test(tests, a_kind_that_is_none_is_no_event);
	tcase_add_test(tests, an_event_of_another_number_is_none);
	tcase_add_test(tests, every_text_ends);
	tcase_add_test(tests, what_is_published_is_read);
	tcase_add_test(tests, news_that_is_being_written_is_not_read);
	tcase_add_test(tests, nobody_reads_halves);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
