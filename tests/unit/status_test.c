/* status_test.c - what the status service shows of a board, whatever is on it. */
#include "base/loop.h"
#include "http/request.h"
#include "net/hot.h"
#include "service/status_accept.h"
#include "service/status_json.h"
#include "service/status_metrics.h"
#include "service/status_page.h"

#include <check.h>
#include <jansson.h>
#include <stdlib.h>

static struct board board;
static struct hot hot;
static struct loop loop;
static uint64_t counters[COUNTERS];
static struct engine engine;
static struct view *view;
static struct status_text *text;

static void set_up(void)
{
	memset(&board, 0, sizeof(board));
	memset(&hot, 0, sizeof(hot));
	hot.slots = 2;
	engine = (struct engine){ .loop = &loop, .counters = counters, .board = &board, .hot = &hot };
	view = view_new();
	text = status_text_new();
	ck_assert(view != NULL && text != NULL);
}

static void tear_down(void)
{
	view_free(view);
	lasting_unpin(&text->lasting);
}

static void look(void)
{
	view_begin(view, &engine);
	ck_assert(view_step(view, UINT64_MAX) && !view->failed);
}

static const char *write_with(const struct status_writer *writer)
{
	status_text_empty(text);
	for (unsigned i = 0; i < writer->parts(view); i++)
		writer->part(view, i, text);
	status_text_put(text, (struct str){ "", 1 });
	ck_assert(!text->bad);
	return text->at;
}

static json_t *write_json(void)
{
	json_error_t error;
	json_t *json = json_loads(write_with(&status_json_whole), 0, &error);

	ck_assert_msg(json != NULL, "%s at %d", error.text, error.position);
	return json;
}

static void worker(unsigned column, uint32_t slot, uint64_t requests)
{
	board.column[column].pid = 100 + column;
	board.column[column].slot = slot;
	board.column[column].counters[COUNT_REQUESTS] = requests;
}

/* ---- the view -------------------------------------------------------------------------------------- */

START_TEST(all_columns_are_added_up)
{
	board.column[BOARD_RETIRED].counters[COUNT_REQUESTS] = 1;
	worker(1, 0, 10);
	worker(7, 1, 100);
	worker(BOARD_COLUMNS - 1, 1, 1000);
	look();
	ck_assert_uint_eq(view->counters[COUNT_REQUESTS], 1111);
	ck_assert_uint_eq(view->slots[0].counters[COUNT_REQUESTS], 10);
	ck_assert_uint_eq(view->slots[1].counters[COUNT_REQUESTS], 1100);
	ck_assert_uint_eq(view->worker_count, 3);
}
END_TEST

START_TEST(a_slot_is_what_its_seat_says)
{
	hot.slots = 3;
	hot.seat[0].good = 1;
	worker(1, 0, 0);
	worker(2, 1, 0);
	look();
	ck_assert_int_eq(view->slots[0].state, VIEW_SERVING);
	ck_assert_int_eq(view->slots[1].state, VIEW_BAD);
	ck_assert_int_eq(view->slots[2].state, VIEW_NONE);
}
END_TEST

START_TEST(a_look_goes_on_where_it_had_to_stop)
{
	unsigned steps = 1;

	for (unsigned i = 1; i < 100; i++)
		worker(i, 0, 1);
	view_begin(view, &engine);
	while (!view_step(view, 0))
		steps++;
	ck_assert_uint_gt(steps, 50);
	ck_assert_uint_eq(view->counters[COUNT_REQUESTS], 99);
}
END_TEST

START_TEST(more_slots_than_there_can_be_are_not_believed)
{
	hot.slots = UINT32_MAX;
	worker(1, UINT32_MAX, 5);
	look();
	ck_assert_uint_eq(view->slot_count, HOT_SLOTS);
	ck_assert_uint_eq(view->counters[COUNT_REQUESTS], 5);
}
END_TEST

START_TEST(every_bucket_of_the_board_is_in_one_that_is_shown)
{
	uint64_t sum[VIEW_BUCKETS], fine[METRICS_BUCKETS];

	for (unsigned i = 0; i < METRICS_BUCKETS; i++) {
		unsigned at = 0;

		memset(fine, 0, sizeof(fine));
		fine[i] = 1;
		view_merge(sum, fine);
		while (sum[at] == 0)
			at++;
		ck_assert_uint_ge(view_bound_ns(at), metrics_bound_ns(i));
		ck_assert(at == 0 || view_bound_ns(at - 1) < metrics_bound_ns(i));
	}
}
END_TEST

/* ---- JSON ------------------------------------------------------------------------------------------ */

START_TEST(the_document_says_what_the_board_says)
{
	json_t *json;

	worker(1, 0, 10);
	strcpy(board.sites[1], "example.org");
	board.metrics[1].site[1].requests[1] = 7;
	look();
	json = write_json();
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(json, "counters"), "requests")), 10);
	json_t *site = json_array_get(json_object_get(json, "sites"), 1);
	ck_assert_str_eq(json_string_value(json_object_get(site, "name")), "example.org");
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(site, "requests"), "2xx")), 7);
	json_decref(json);
}
END_TEST

START_TEST(only_events_after_the_last_one_are_told)
{
	for (uint64_t id = 1; id <= 300; id++)
		board.events.at[id % NEWS_EVENTS] = (struct news_event){ .id = id, .kind = NEWS_RELOAD };
	board.events.last = 300;
	ck_assert_uint_eq(status_json_events(&board, 298, text), 300);
	ck_assert_ptr_nonnull(strstr(text->at, "\"id\":299"));
	ck_assert_ptr_null(strstr(text->at, "\"id\":298"));
	status_text_empty(text);
	ck_assert_uint_eq(status_json_events(&board, 300, text), 300);
	ck_assert_mem_eq(text->at, "]}\n", text->len);
}
END_TEST

/* ---- metrics --------------------------------------------------------------------------------------- */

START_TEST(every_counter_has_a_family)
{
	for (unsigned i = 0; i < COUNTERS; i++)
		ck_assert_msg(status_metrics_family(i) != NULL, "%s is in no family", counter_names[i]);
}
END_TEST

START_TEST(a_label_keeps_what_a_worker_wrote_in_its_quotes)
{
	strcpy(board.sites[1], "a\"} 1\n\\x\xff");
	look();
	write_with(&status_openmetrics);
	ck_assert_ptr_nonnull(strstr(text->at, "{site=\"a\\\\x22} 1\\\\x0a\\\\x5cx\\\\xff\"}"));
}
END_TEST

START_TEST(a_histogram_has_a_bucket_for_each_doubling_and_ends_with_all)
{
	board.metrics[BOARD_RETIRED].site[0].latency[0] = 1;
	board.metrics[BOARD_RETIRED].site[0].latency[3] = 1;
	board.metrics[BOARD_RETIRED].site[0].latency[METRICS_BUCKETS - 1] = 1;
	board.metrics[BOARD_RETIRED].site[0].duration_ns = 1500000000;
	look();
	write_with(&status_openmetrics);
	ck_assert_ptr_nonnull(strstr(text->at, "{site=\"(other)\",le=\"3.2768e-05\"} 1\n"));
	ck_assert_ptr_nonnull(strstr(text->at, "{site=\"(other)\",le=\"6.5536e-05\"} 2\n"));
	ck_assert_ptr_nonnull(strstr(text->at, "{site=\"(other)\",le=\"34.359738368\"} 2\n"));
	ck_assert_ptr_nonnull(strstr(text->at, "{site=\"(other)\",le=\"+Inf\"} 3\n"));
	ck_assert_ptr_nonnull(strstr(text->at, "duration_seconds_count{site=\"(other)\"} 3\n"));
	ck_assert_ptr_nonnull(strstr(text->at, "duration_seconds_sum{site=\"(other)\"} 1.5\n"));
}
END_TEST

/* ---- a hostile board ------------------------------------------------------------------------------- */

/* Anything, as often as not of the kind that is nearly right. */
static void scribble(void *at, size_t len, unsigned seed)
{
	static const unsigned char likely[] = { 0, 1, '"', '\\', '\n', 0x80, 0xff, '{' };
	unsigned char *bytes = at;

	for (size_t i = 0; i < len; i++) {
		seed = seed * 1664525 + 1013904223;
		bytes[i] = seed >> 31 != 0 ? likely[seed >> 28 & 7] : (unsigned char)(seed >> 16);
	}
}

START_TEST(whatever_is_on_the_board_the_document_is_json)
{
	scribble(board.column, 20 * sizeof(board.column[0]), (unsigned)_i);
	scribble(board.metrics, 20 * sizeof(board.metrics[0]), (unsigned)_i + 100);
	scribble(&board.news, sizeof(board.news), (unsigned)_i + 200);
	scribble(&board.events, sizeof(board.events), (unsigned)_i + 300);
	scribble(board.sites, sizeof(board.sites), (unsigned)_i + 400);
	scribble(&hot.seat[0], sizeof(hot.seat[0]), (unsigned)_i);
	board.news.sequence = 0;
	look();
	json_decref(write_json());
	write_with(&status_openmetrics);
	ck_assert_ptr_nonnull(strstr(text->at, "\n# EOF\n"));
}
END_TEST

/* The markup that the page has between its halves. */
static bool is_own_tag(const char *at)
{
	static const char *const own[] = {
		"<h2>",    "</h2>",   "<div class=\"scroll\">", "</div>",           "<table>", "</table>",
		"<thead>", "</thead>", "<tbody>",               "<tr>",             "<th>",    "<td>",
		"<th scope=\"row\">",  "<th class=\"n\">",      "<td class=\"n\">",
	};

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (strncmp(at, own[i], strlen(own[i])) == 0)
			return true;
	return false;
}

/* Every other byte is one of markup. */
static void write_markup(void *at, size_t len, unsigned seed)
{
	static const char likely[] = "<>&\"'/=s";
	char *bytes = at;

	scribble(at, len, seed);
	for (size_t i = 0; i < len; i += 2)
		bytes[i] = likely[(i / 2 + seed) % 8];
}

START_TEST(whatever_is_on_the_board_the_page_has_no_other_markup)
{
	const char *at, *end;

	write_markup(&board.news, sizeof(board.news), (unsigned)_i);
	write_markup(board.sites, sizeof(board.sites), (unsigned)_i + 1);
	board.news.sequence = 0;
	for (uint64_t id = 1; id <= 5; id++) {
		news_add(&board, id, NEWS_RELOAD, NEWS_NO_SLOT, true, "");
		write_markup(board.events.at[id].text, NEWS_EVENT_BYTES, (unsigned)_i + (unsigned)id);
	}
	look();
	at = write_with(&status_page) + strlen(status_page_head);
	end = text->at + text->len - 1 - strlen(status_page_tail);
	ck_assert(at < end);
	ck_assert_int_eq(strncmp(end, status_page_tail, strlen(status_page_tail)), 0);
	for (; at < end; at++) {
		ck_assert_int_gt(*at, 0);
		if (*at == '<')
			ck_assert_msg(is_own_tag(at), "%.20s", at);
	}
}
END_TEST

START_TEST(the_highest_numbers_are_numbers)
{
	memset(&board.column[0], 0xff, 2 * sizeof(board.column[0]));
	memset(&board.metrics[0], 0xff, 2 * sizeof(board.metrics[0]));
	memset(&board.events, 0xff, sizeof(board.events));
	board.column[1].pid = board.column[1].slot = 0;
	look();
	json_decref(write_json());
	write_with(&status_openmetrics);
	ck_assert_ptr_nonnull(
		strstr(text->at, "{site=\"(other)\",le=\"0.000131072\"} 18446744073709551615\n"));
	write_with(&status_page);
}
END_TEST

/* ---- Accept ---------------------------------------------------------------------------------------- */

static const struct status_offer offers[] = { { "a/json", NULL }, { "a/open", "1" }, { "b/plain", NULL } };

static const struct {
	const char *accept;
	unsigned wanted;
} accepts[] = {
	{ "*/*", 0 },
	{ "b/*", 2 },
	{ "a/*;q=0.1, b/plain;q=0.2", 2 },
	{ "a/*, a/json;q=0.5", 1 },
	{ "*/*;q=0.5, a/open;version=2, b/plain;q=0.4", 0 },
	{ "a/open ; version = 1 ; q=0.5", 1 },
	{ "a/open;version=\"1\"", 1 },
	{ "a/open;q=2", 0 },
	{ "a/open;;;q", 0 },
	{ ";,/;=,\"", 0 },
};

START_TEST(accept_says_what_is_wanted)
{
	struct header header = { .value = { 0, (uint32_t)strlen(accepts[_i].accept) }, .id = HEADER_ACCEPT };
	struct request request = {
		.header_count = 1, .headers = &header, .seen = UINT32_MAX, .again = UINT32_MAX
	};

	ck_assert_uint_eq(status_accept(&request, accepts[_i].accept, offers, 3), accepts[_i].wanted);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("status");
	TCase *all = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(all, set_up, tear_down);
	tcase_set_timeout(all, 60);
	tcase_add_test(all, all_columns_are_added_up);
	tcase_add_test(all, a_slot_is_what_its_seat_says);
	tcase_add_test(all, a_look_goes_on_where_it_had_to_stop);
	tcase_add_test(all, more_slots_than_there_can_be_are_not_believed);
	tcase_add_test(all, every_bucket_of_the_board_is_in_one_that_is_shown);
	tcase_add_test(all, the_document_says_what_the_board_says);
	tcase_add_test(all, only_events_after_the_last_one_are_told);
	tcase_add_test(all, every_counter_has_a_family);
	tcase_add_test(all, a_label_keeps_what_a_worker_wrote_in_its_quotes);
	tcase_add_test(all, a_histogram_has_a_bucket_for_each_doubling_and_ends_with_all);
	tcase_add_loop_test(all, whatever_is_on_the_board_the_document_is_json, 0, 20);
	tcase_add_loop_test(all, whatever_is_on_the_board_the_page_has_no_other_markup, 0, 20);
	tcase_add_test(all, the_highest_numbers_are_numbers);
	tcase_add_loop_test(all, accept_says_what_is_wanted, 0, sizeof(accepts) / sizeof(accepts[0]));
	suite_add_tcase(suite, all);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
