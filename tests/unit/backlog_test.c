/* How many may wait for a worker that is overloaded: what the kernel says of the socket's backlog. */
#include "worker/worker.h"

#include "base/clock.h"
#include "base/fd.h"

#include <arpa/inet.h>
#include <check.h>
#include <linux/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { CONFIGURED = 1000, LISTENER = 7, GENERATION = 1 };

static struct worker worker;
static struct generation *generation;
static struct config config;
static const struct listener_rules rules = { .address = "", .backlog = CONFIGURED };
static uint64_t counters[COUNTERS];
static struct hot_line line;
static struct hot_seat seat;
static int listening;                   /* the master's */
static struct held_socket *held;

static void hold(unsigned slot)
{
	struct socket_note note = { .listener = LISTENER, .slot = slot };

	ck_assert(accept_hold(&worker, &note, dup(listening), GENERATION));
	held = LIST_ENTRY(worker.sockets.next, struct held_socket, link);
	held->listener->rules = &rules;
}

static const struct protocol protocol_none = { .name = "none" };

static void set_up(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct err err;

	memset(&worker, 0, sizeof(worker));
	list_init(&worker.sockets);
	list_init(&worker.released);
	list_init(&worker.generations);
	ck_assert(loop_open(&worker.loop, &err));
	engine_init(&worker.engine, &worker.loop, &protocol_none, counters);
	generation = generation_new(GENERATION, NULL);
	config = (struct config){ .connections = 100, .queue_ns = 250 * CLOCK_MS };
	generation->config = &config;
	worker.engine.generation = generation;
	worker.note = (struct prepare_note){ .slots = 1,
					     .listener_count = 1,
					     .listeners = { { .listener = LISTENER } } };
	worker.line = &line;
	worker.seat = &seat;
	worker.loop.now_ns = CLOCK_S;
	listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listening, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(listening, CONFIGURED), 0);
	hold(0);
}

static void tear_down(void)
{
	accept_end(&worker, EMPTY_NOT);
	accept_sweep(&worker.sweep);
	fd_close(&listening);
	generation_unpin(generation);
	engine_free(&worker.engine);
	loop_close(&worker.loop);
}

/* tcp_get_info in the kernel. */
static unsigned backlog(void)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	ck_assert_int_eq(getsockopt(listening, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	return info.tcpi_sacked;
}

/* So many turns of 10 ms in which `taken` were taken and more are left. */
static void be_behind(unsigned turns, unsigned taken)
{
	for (unsigned i = 0; i < turns; i++) {
		backlog_look(&worker, held, taken, true);
		worker.loop.now_ns += 10 * CLOCK_MS;
	}
}

START_TEST(a_queue_that_is_never_empty_is_cut_to_what_is_taken_in_its_time)
{
	be_behind(101, 20);      /* the first look begins the window */
	ck_assert_uint_eq(backlog(), 500);
	ck_assert_uint_eq(counters[COUNT_OVERLOADED], 1);
}
END_TEST

START_TEST(a_queue_that_is_full_for_less_than_a_second_stays)
{
	be_behind(100, 20);
	backlog_look(&worker, held, 3, false);
	be_behind(100, 20);
	ck_assert_uint_eq(backlog(), CONFIGURED);
	ck_assert_uint_eq(counters[COUNT_OVERLOADED], 0);
}
END_TEST

START_TEST(a_time_in_which_the_worker_was_stopped_does_not_count)
{
	be_behind(50, 20);
	worker.loop.now_ns += 5 * CLOCK_S;
	be_behind(99, 20);
	ck_assert_uint_eq(backlog(), CONFIGURED);
	be_behind(2, 20);
	ck_assert_uint_eq(backlog(), 500);
}
END_TEST

START_TEST(it_is_cut_to_no_less_than_a_batch)
{
	be_behind(101, 1);
	ck_assert_uint_eq(backlog(), 64);
}
END_TEST

START_TEST(it_follows_what_is_taken)
{
	be_behind(101, 20);
	be_behind(10, 30);
	ck_assert_uint_eq(backlog(), 750);
	be_behind(10, 31);      /* about the same: not worth a call */
	ck_assert_uint_eq(backlog(), 750);
	ck_assert_uint_eq(counters[COUNT_OVERLOADED], 1);
}
END_TEST

START_TEST(it_is_never_more_than_configured)
{
	be_behind(101, 20);
	be_behind(10, 64);
	ck_assert_uint_eq(backlog(), CONFIGURED);
}
END_TEST

START_TEST(who_has_caught_up_has_the_whole_backlog_again)
{
	be_behind(101, 20);
	backlog_look(&worker, held, 3, false);
	ck_assert_uint_eq(backlog(), CONFIGURED);
	be_behind(5, 20);
	ck_assert_uint_eq(backlog(), CONFIGURED);
}
END_TEST

START_TEST(where_it_is_not_wanted_it_stays)
{
	config.queue_ns = 0;
	be_behind(150, 20);
	ck_assert_uint_eq(backlog(), CONFIGURED);
}
END_TEST

START_TEST(an_address_that_was_removed_stays_as_it_is)
{
	held->listener->rules = &listener_without_rules;
	be_behind(150, 20);
	ck_assert_uint_eq(backlog(), CONFIGURED);
}
END_TEST

START_TEST(whoever_lets_it_go_leaves_it_whole)
{
	be_behind(101, 20);
	accept_end(&worker, EMPTY_NOT);
	ck_assert_uint_eq(backlog(), CONFIGURED);
}
END_TEST

START_TEST(whoever_begins_to_serve_has_it_whole)
{
	listen(listening, 64);  /* the worker before was killed */
	backlog_begin(&worker);
	ck_assert_uint_eq(backlog(), CONFIGURED);
}
END_TEST

START_TEST(whoever_begins_to_serve_leaves_other_slots_alone)
{
	accept_end(&worker, EMPTY_NOT);
	hold(1);
	listen(listening, 64);  /* by the worker that serves it */
	backlog_begin(&worker);
	ck_assert_uint_eq(backlog(), 64);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("backlog");
	TCase *tcase = tcase_create("backlog");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, a_queue_that_is_never_empty_is_cut_to_what_is_taken_in_its_time);
	tcase_add_test(tcase, a_queue_that_is_full_for_less_than_a_second_stays);
	tcase_add_test(tcase, a_time_in_which_the_worker_was_stopped_does_not_count);
	tcase_add_test(tcase, it_is_cut_to_no_less_than_a_batch);
	tcase_add_test(tcase, it_follows_what_is_taken);
	tcase_add_test(tcase, it_is_never_more_than_configured);
	tcase_add_test(tcase, who_has_caught_up_has_the_whole_backlog_again);
	tcase_add_test(tcase, where_it_is_not_wanted_it_stays);
	tcase_add_test(tcase, an_address_that_was_removed_stays_as_it_is);
	tcase_add_test(tcase, whoever_lets_it_go_leaves_it_whole);
	tcase_add_test(tcase, whoever_begins_to_serve_has_it_whole);
	tcase_add_test(tcase, whoever_begins_to_serve_leaves_other_slots_alone);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
