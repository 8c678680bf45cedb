/* metrics_test.c - what a worker measures of its answers: in which row, of which class, how many bytes, how
 * long. */
#include "fake_server.h"

#include "base/clock.h"
#include "ipc/board.h"
#include "ipc/meter.h"
#include "service/status_view.h"

#include <stdlib.h>
#include <sys/socket.h>

enum { BIG_BYTES = 8 * 1024 * 1024 };

static struct fake_server server;
static struct fake_client client;

static void set_up(void)
{
	fake_server_open(&server, &protocol_http1);
}

static void tear_down(void)
{
	fake_server_close(&server);
}

static const struct tally *tally(unsigned row)
{
	return &server.metrics.site[row];
}

static uint64_t requests(unsigned row)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < METRICS_CLASSES; i++)
		sum += tally(row)->requests[i];
	return sum;
}

static uint64_t latencies(unsigned row, uint64_t from_ns)
{
	uint64_t sum = 0;

	for (unsigned i = metrics_bucket(from_ns); i < METRICS_BUCKETS; i++)
		sum += tally(row)->latency[i];
	return sum;
}

static void ask(const char *request)
{
	fake_connect(&server, &client, request);
	shutdown(client.fd, SHUT_WR);
	ck_assert(fake_until_eof(&client));
}

/* Before the next one. */
static void forget_client(void)
{
	fake_hang_up(&client);
	free(client.text);
	server.client_count = 0;
}

/* ---- buckets ------------------------ */

START_TEST(what_is_in_a_bucket_is_below_its_bound)
{
	for (unsigned i = 0; i < METRICS_BUCKETS - 1; i++) {
		ck_assert_uint_eq(metrics_bucket(metrics_bound_ns(i) - 1), i);
		ck_assert_uint_eq(metrics_bucket(metrics_bound_ns(i)), i + 1);
	}
	ck_assert_uint_eq(metrics_bucket(UINT64_MAX), METRICS_BUCKETS - 1);
	ck_assert_uint_eq(metrics_bucket(0), 0);
}
END_TEST

START_TEST(a_percentile_is_near_what_was_measured)
{
	uint64_t buckets[METRICS_BUCKETS] = { 0 }, of_half, of_most;

	for (unsigned i = 1; i <= 1000; i++)
		buckets[metrics_bucket(i * CLOCK_MS)]++;
	of_half = metrics_percentile_ns(buckets, 500);
	of_most = metrics_percentile_ns(buckets, 990);
	ck_assert(of_half > 400 * CLOCK_MS && of_half < 600 * CLOCK_MS);
	ck_assert(of_most > 850 * CLOCK_MS && of_most < 1150 * CLOCK_MS);
}
END_TEST

START_TEST(a_status_that_cannot_be_is_in_no_class)
{
	struct tally one = { 0 };

	tally_answer(&one, 0, 1, 1);
	tally_answer(&one, 99, 1, 1);
	tally_answer(&one, 600, 1, 1);
	for (unsigned i = 0; i < METRICS_CLASSES; i++)
		ck_assert_uint_eq(one.requests[i], 0);
	tally_answer(&one, 599, 1, 1);
	ck_assert_uint_eq(one.requests[4], 1);
	ck_assert_uint_eq(one.bytes, 4);
}
END_TEST

/* ---- answers ------------------------ */

START_TEST(an_answer_is_measured_in_the_row_of_its_site)
{
	ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\nGET /none HTTP/1.1\r\nHost: a\r\n\r\n");
	ck_assert_uint_eq(tally(FAKE_ROW)->requests[1], 1);
	ck_assert_uint_eq(tally(FAKE_ROW)->requests[3], 1);
	ck_assert_uint_eq(tally(FAKE_ROW)->bytes, client.len);
	ck_assert_uint_eq(latencies(FAKE_ROW, 0), 2);
	ck_assert_uint_eq(requests(METRICS_OTHER), 0);
	fake_hang_up(&client);
}
END_TEST

START_TEST(nobody_knows_whose_a_request_is_that_nobody_understands)
{
	ask("GET /hello HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n");
	ck_assert_uint_eq(requests(FAKE_ROW), 0);
	ck_assert_uint_eq(tally(METRICS_OTHER)->requests[3], 1);
	ck_assert_uint_eq(tally(METRICS_OTHER)->bytes, client.len);
	fake_hang_up(&client);
}
END_TEST

START_TEST(time_begins_with_the_first_byte_and_ends_with_the_last)
{
	ask("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");       /* 40 ms */
	ck_assert_uint_eq(latencies(FAKE_ROW, 30 * CLOCK_MS), 1);
	ck_assert_uint_ge(tally(FAKE_ROW)->duration_ns, 30 * CLOCK_MS);
	fake_hang_up(&client);
}
END_TEST

static bool is_sending(void *what)
{
	(void)what;
	return server.counters[COUNT_BYTES_SENT] > 0;
}

static bool is_closed(void *what)
{
	(void)what;
	return server.engine.count == 0;
}

/* So the classes add up to what is in the buckets. */
START_TEST(an_answer_that_was_given_up_is_measured_as_far_as_it_came)
{
	char *big = calloc(1, BIG_BYTES);

	fake_file(&server, "big", big, BIG_BYTES);
	free(big);
	fake_connect(&server, &client, "");
	client.deaf = true;
	fake_send(&client, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
	ck_assert(fake_until(&server, is_sending, NULL));
	ck_assert_uint_eq(requests(FAKE_ROW), 0);
	fake_hang_up(&client);
	ck_assert(fake_until(&server, is_closed, NULL));
	ck_assert_uint_eq(tally(FAKE_ROW)->requests[1], 1);
	ck_assert_uint_eq(latencies(FAKE_ROW, 0), 1);
	ck_assert_uint_eq(tally(FAKE_ROW)->bytes, server.counters[COUNT_BYTES_SENT]);
	ck_assert_uint_lt(tally(FAKE_ROW)->bytes, BIG_BYTES);
}
END_TEST

START_TEST(who_does_not_measure_answers_all_the_same)
{
	server.engine.metrics = NULL;
	ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
	ck_assert_uint_eq(fake_count(&client, "hello"), 1);
	forget_client();
	ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
	ck_assert_uint_eq(fake_count(&client, "hello"), 1);
	fake_hang_up(&client);
}
END_TEST

/* ---- what was wrong, what was too slow ------------------------ */

#define LONG "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
	const char *request;
	enum counter counter;
} wrong[] = {
	{ "nonsense\r\n\r\n", COUNT_WRONG_LINE },
	{ "G\x01T / HTTP/1.1\r\n\r\n", COUNT_WRONG_LINE },
	{ "\r\n\r\n\r\n\r\n\r\n\r\n", COUNT_WRONG_LINE },
	{ "GET / HTTP/2.0\r\n\r\n", COUNT_WRONG_VERSION },
	{ "GET / HTTQ/1.1\r\n\r\n", COUNT_WRONG_VERSION },
	{ "GET nowhere HTTP/1.1\r\n\r\n", COUNT_WRONG_TARGET },
	{ "GET /" LONG " HTTP/1.1\r\n\r\n", COUNT_WRONG_LONG },
	{ LONG " / HTTP/1.1\r\n\r\n", COUNT_WRONG_LONG },
	{ "GET / HTTP/1.1\r\nHost: a\r\nnone\r\n\r\n", COUNT_WRONG_FIELD },
	{ "GET / HTTP/1.1\r\nHost: a\r\nA: \x01\r\n\r\n", COUNT_WRONG_FIELD },
	{ "GET / HTTP/1.1\r\nHost: a\r\nA: " LONG "\r\n\r\n", COUNT_WRONG_LARGE },
	{ "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\nE: f\r\nG: h\r\n\r\n", COUNT_WRONG_MANY },
	{ "GET / HTTP/1.1\r\n\r\n", COUNT_WRONG_HOST },
	{ "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", COUNT_WRONG_HOST },
	{ "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", COUNT_WRONG_FRAMING },
	{ "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
	  COUNT_WRONG_FRAMING },
	{ "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", COUNT_WRONG_FRAMING },
	{ "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", COUNT_WRONG_BODY },
	{ "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc", COUNT_WRONG_BODY },
};

enum { WRONGS = sizeof(wrong) / sizeof(wrong[0]) };

static uint64_t sum_of(enum counter first, enum counter last)
{
	uint64_t sum = 0;

	for (unsigned i = first; i <= last; i++)
		sum += server.counters[i];
	return sum;
}

START_TEST(what_is_wrong_about_a_request_is_counted)
{
	server.config->request_line_bytes = server.config->header_bytes = 80;
	server.config->headers = 4;
	ask(wrong[_i].request);
	ck_assert_uint_eq(server.counters[COUNT_PARSE_ERRORS], 1);
	ck_assert_msg(server.counters[wrong[_i].counter] == 1, "%s", client.text);
	ck_assert_uint_eq(sum_of(COUNT_WRONG_LINE, COUNT_WRONG_BODY), 1);
	fake_hang_up(&client);
}
END_TEST

static const struct {
	const char *text;
	enum counter counter;
	bool in_sum;
} slow[] = {
	{ "", COUNT_TIMEOUT_SILENT, true },
	{ "GET / HT", COUNT_TIMEOUT_HEAD, true },
	{ "GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc", COUNT_TIMEOUT_BODY, true },
	{ "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", COUNT_TIMEOUT_IDLE, false },
};

enum { SLOWS = sizeof(slow) / sizeof(slow[0]) };

START_TEST(what_was_waited_for_in_vain_is_counted)
{
	server.config->request_head_ns = server.config->body_ns = 20 * CLOCK_MS;
	server.config->keep_alive_ns = server.config->keep_alive_grace_ns = 20 * CLOCK_MS;
	fake_connect(&server, &client, slow[_i].text);
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(server.counters[slow[_i].counter], 1);
	ck_assert_uint_eq(server.counters[COUNT_TIMEOUTS], slow[_i].in_sum ? 1 : 0);
	ck_assert_uint_eq(sum_of(COUNT_TIMEOUT_SILENT, COUNT_TIMEOUT_PROXY), slow[_i].in_sum ? 1 : 0);
	fake_hang_up(&client);
}
END_TEST

START_TEST(who_takes_nothing_is_counted_as_that)
{
	char *big = calloc(1, BIG_BYTES);

	fake_file(&server, "big", big, BIG_BYTES);
	free(big);
	server.config->send_ns = 50 * CLOCK_MS;
	fake_connect(&server, &client, "");
	client.deaf = true;
	fake_send(&client, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
	ck_assert(fake_until(&server, is_closed, NULL));
	ck_assert_uint_eq(server.counters[COUNT_TIMEOUT_SEND], 1);
	ck_assert_uint_eq(server.counters[COUNT_TIMEOUTS], 1);
	fake_hang_up(&client);
}
END_TEST

/* ---- who adds up while a worker goes ------------------------ */

static struct {
	struct board *board;
	struct board_owners owners;
	struct view *view;
	unsigned column;                /* the last of those that are claimed; it had seven requests */
} adding;

static void begin_to_add(unsigned columns)
{
	static const char *const names[COUNTERS];
	struct err err;

	adding.owners = (struct board_owners){ 0 };
	adding.view = view_new();
	adding.board = board_create(names, 0, counter_levels, NULL, &err);
	ck_assert(adding.board != NULL && adding.view != NULL);
	for (unsigned i = 0; i < columns; i++)
		adding.column = board_claim(adding.board, &adding.owners);
	adding.board->column[adding.column].counters[COUNT_REQUESTS] = 7;
	server.engine.board = adding.board;
}

static void end_adding(void)
{
	server.engine.board = NULL;
	view_free(adding.view);
	board_destroy(adding.board);
}

START_TEST(a_worker_that_goes_meanwhile_is_counted_once)
{
	struct board *board;
	struct view *view;

	begin_to_add(3);
	board = adding.board;
	view = adding.view;
	board->metrics[adding.column].site[METRICS_OTHER].requests[1] = 7;
	view_begin(view, &server.engine);
	for (unsigned i = 0; i < (unsigned)_i; i++)
		ck_assert(!view_step(view, 0));
	board_retire(board, &adding.owners, adding.column, 0);
	while (!view_step(view, 0))
		;
	ck_assert_uint_eq(view->counters[COUNT_REQUESTS], 7);
	ck_assert_uint_eq(view->sites[METRICS_OTHER].requests[1], 7);
	ck_assert_uint_eq(view->slots[0].counters[COUNT_REQUESTS], 7);
	ck_assert_uint_eq(board_sum(board, COUNT_REQUESTS), 7);
	ck_assert_uint_eq(board_moves(board) % 2, 0);
	end_adding();
}
END_TEST

START_TEST(a_master_that_has_no_turn_while_it_moves_a_column_is_waited_for)
{
	struct board *board;
	struct view *view;

	begin_to_add(1);
	board = adding.board;
	view = adding.view;
	board->column[BOARD_RETIRED].counters[COUNT_REQUESTS] = 7;  /* not taken from there yet */
	board->moves = 1;
	view_begin(view, &server.engine);
	for (unsigned i = 0; i < 100; i++)
		ck_assert(!view_step(view, UINT64_MAX));
	board->column[adding.column] = (struct board_column){ 0 };
	board->moves = 2;
	while (!view_step(view, UINT64_MAX))
		;
	ck_assert_uint_eq(view->counters[COUNT_REQUESTS], 7);
	end_adding();
}
END_TEST

/* A broken worker writes there what it likes. */
START_TEST(who_adds_up_comes_to_an_end_whatever_is_written)
{
	static const char *const names[COUNTERS];
	struct view *view = view_new();
	struct board *board;
	struct err err;

	board = board_create(names, 0, counter_levels, NULL, &err);
	ck_assert(board != NULL && view != NULL);
	server.engine.board = board;
	board->moves = 1;
	ck_assert_uint_eq(board_sum(board, COUNT_REQUESTS), 0);
	view_begin(view, &server.engine);
	while (!view_step(view, UINT64_MAX))
		;
	server.engine.board = NULL;
	view_free(view);
	board_destroy(board);
}
END_TEST

/* ---- turns ------------------------ */

static struct turns turns;
static struct meter meter;
static struct ready work, more;

static void set_up_meter(void)
{
	turns = (struct turns){ 0 };
	set_up();
	meter_begin(&meter, &server.loop, &turns, &server.counters[COUNT_READY]);
}

static uint64_t turns_of(uint64_t from_ns)
{
	uint64_t sum = 0;

	for (unsigned i = metrics_bucket(from_ns); i < METRICS_BUCKETS; i++)
		sum += turns.duration[i];
	return sum;
}

static void work_for_long(struct ready *ready)
{
	uint64_t until_ns = clock_now_ns() + 300 * CLOCK_MS;

	(void)ready;
	while (clock_now_ns() < until_ns)
		;
}

static void work_again(struct ready *ready)
{
	loop_ready(&server.loop, ready);
}

START_TEST(a_turn_that_took_long_is_seen)
{
	work.serve = work_for_long;
	loop_ready(&server.loop, &work);
	fake_turn(&server);
	ck_assert_uint_eq(turns_of(250 * CLOCK_MS), 1);
	ck_assert_uint_ge(turns.busy_ns, 300 * CLOCK_MS);
}
END_TEST

/* The clock that its answer was measured by is not that of the turn's end. */
START_TEST(a_turn_is_as_long_as_what_was_done_behind_its_last_answer)
{
	ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
	forget_client();
	fake_connect(&server, &client, "");
	fake_turn(&server);
	work.serve = work_for_long;
	loop_ready(&server.loop, &work);
	fake_send(&client, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
	fake_turn(&server);
	ck_assert_uint_eq(server.counters[COUNT_READY_ANSWERS], 1);
	ck_assert_uint_eq(turns_of(250 * CLOCK_MS), 1);
}
END_TEST

START_TEST(turns_are_counted_each_once)
{
	for (unsigned i = 1; i <= 5; i++) {
		fake_turn(&server);
		ck_assert_uint_ge(turns.count, i);
		ck_assert_uint_eq(turns_of(0), turns.count);
	}
}
END_TEST

START_TEST(what_is_left_on_the_ready_lists_is_a_level)
{
	work.serve = more.serve = work_again;
	loop_ready(&server.loop, &work);
	loop_ready(&server.loop, &more);
	fake_turn(&server);
	ck_assert_uint_eq(server.counters[COUNT_READY], 2);
	loop_unready(&work);
	loop_unready(&more);
	fake_wait_for_nothing(&server);
	fake_turn(&server);
	ck_assert_uint_eq(server.counters[COUNT_READY], 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("metrics");
	TCase *buckets = tcase_create("buckets"), *answers = tcase_create("answers");
	TCase *turning = tcase_create("turns");
	SRunner *runner;
	int failed;

	tcase_add_test(buckets, what_is_in_a_bucket_is_below_its_bound);
	tcase_add_test(buckets, a_percentile_is_near_what_was_measured);
	tcase_add_test(buckets, a_status_that_cannot_be_is_in_no_class);
	suite_add_tcase(suite, buckets);
	tcase_add_checked_fixture(answers, set_up, tear_down);
	tcase_add_test(answers, an_answer_is_measured_in_the_row_of_its_site);
	tcase_add_test(answers, nobody_knows_whose_a_request_is_that_nobody_understands);
	tcase_add_test(answers, time_begins_with_the_first_byte_and_ends_with_the_last);
	tcase_add_test(answers, an_answer_that_was_given_up_is_measured_as_far_as_it_came);
	tcase_add_test(answers, who_does_not_measure_answers_all_the_same);
	tcase_add_loop_test(answers, what_is_wrong_about_a_request_is_counted, 0, WRONGS);
	tcase_add_loop_test(answers, what_was_waited_for_in_vain_is_counted, 0, SLOWS);
	tcase_add_loop_test(answers, a_worker_that_goes_meanwhile_is_counted_once, 0, 6);
	tcase_add_test(answers, a_master_that_has_no_turn_while_it_moves_a_column_is_waited_for);
	tcase_add_test(answers, who_adds_up_comes_to_an_end_whatever_is_written);
	tcase_add_test(answers, who_takes_nothing_is_counted_as_that);
	suite_add_tcase(suite, answers);
	tcase_add_checked_fixture(turning, set_up_meter, tear_down);
	tcase_add_test(turning, a_turn_that_took_long_is_seen);
	tcase_add_test(turning, a_turn_is_as_long_as_what_was_done_behind_its_last_answer);
	tcase_add_test(turning, turns_are_counted_each_once);
	tcase_add_test(turning, what_is_left_on_the_ready_lists_is_a_level);
	suite_add_tcase(suite, turning);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
