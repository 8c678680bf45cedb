/* survive_test.c - which connections are marked as idle, so that they survive a crash; and how one that did
 * goes on elsewhere. */
#include "fake_server.h"

#include "base/clock.h"
#include "net/move.h"

#include <fcntl.h>
#include <unistd.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

enum { ROOM = 256, NUMBER = 7 };

static struct fake_server server;
static struct fake_client client;
static uint32_t marks[ROOM];

static void set_up(void)
{
	fake_server_open(&server, &protocol_http1);
	memset(marks, 0, sizeof(marks));
	server.engine.transport = &transport_plain;
	server.engine.marks = marks;
	server.engine.marks_room = ROOM;
	server.engine.nowhere.number = NUMBER;
}

static void tear_down(void)
{
	fake_server_close(&server);
	for (unsigned i = 0; i < ROOM; i++)
		ck_assert_uint_eq(marks[i], 0);
}

static struct conn *only_one(void)
{
	ck_assert(!list_empty(&server.engine.conns));
	return LIST_ENTRY(server.engine.conns.next, struct conn, link);
}

static uint32_t mark(void)
{
	return marks[only_one()->source.fd];
}

static bool is_marked(void *unused)
{
	(void)unused;
	return server.engine.count == 1 && mark() != 0;
}

static void let_it_idle(void)
{
	fake_connect(&server, &client, GET("/hello"));
	ck_assert(fake_until_text(&client, "hello\n") && fake_until(&server, is_marked, NULL));
}

START_TEST(one_that_has_its_answer_is_marked_with_its_listener)
{
	let_it_idle();
	ck_assert_uint_eq(mark(), NUMBER);
}
END_TEST

START_TEST(one_that_has_said_nothing_yet_is_marked)
{
	fake_connect(&server, &client, "");
	ck_assert(fake_until(&server, is_marked, NULL));
}
END_TEST

START_TEST(one_with_a_part_of_a_request_is_not)
{
	let_it_idle();
	fake_send(&client, "G");
	for (unsigned i = 0; i < 3; i++)
		fake_turn(&server);
	ck_assert_uint_eq(mark(), 0);
}
END_TEST

START_TEST(one_whose_answer_is_not_there_yet_is_not)
{
	let_it_idle();
	fake_send(&client, GET("/slow"));
	for (unsigned i = 0; i < 3; i++)
		fake_turn(&server);
	ck_assert_uint_eq(mark(), 0);
	ck_assert(fake_until(&server, is_marked, NULL));
}
END_TEST

START_TEST(one_that_a_proxy_spoke_of_is_not)
{
	union peer proxy = { .family = AF_UNIX }, who = { .family = AF_INET };

	let_it_idle();
	ck_assert(conn_name(only_one(), &proxy, &who));
	fake_send(&client, GET("/hello"));
	client.len = 0;
	ck_assert(fake_until_text(&client, "hello\n"));
	ck_assert_uint_eq(mark(), 0);
}
END_TEST

START_TEST(one_on_its_way_to_another_worker_is_not)
{
	struct conn *conn;
	int fd;

	let_it_idle();
	conn = only_one();
	fd = conn->source.fd;
	move_freeze(conn);
	ck_assert_uint_eq(marks[fd], 0);
	move_thaw(conn);
	ck_assert_uint_eq(marks[fd], NUMBER);
}
END_TEST

START_TEST(beyond_the_room_nothing_is_written)
{
	server.engine.marks_room = 1;
	fake_connect(&server, &client, GET("/hello"));
	ck_assert(fake_until_text(&client, "hello\n"));
	ck_assert_uint_eq(mark(), 0);
}
END_TEST

/* The client of a connection that another worker had. */
static void leave_behind(int ends[2])
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
}

START_TEST(a_survivor_is_served_with_what_came_meanwhile)
{
	char text[512] = "";
	int ends[2];

	leave_behind(ends);
	ck_assert_int_gt(write(ends[0], GET("/hello"), strlen(GET("/hello"))), 0);
	ck_assert(engine_survive(&server.engine, ends[1], NULL));
	ck_assert_uint_eq(server.counters[COUNT_SURVIVED], 1);
	ck_assert_uint_eq(server.counters[COUNT_ACCEPTED], 0);
	ck_assert_uint_eq(server.counters[COUNT_OPEN], 1);
	fake_turn(&server);
	ck_assert_int_gt(read(ends[0], text, sizeof(text) - 1), 0);
	ck_assert_ptr_nonnull(strstr(text, "\r\n\r\nhello\n"));
	ck_assert_uint_eq(mark(), NUMBER);
	close(ends[0]);
}
END_TEST

START_TEST(a_survivor_may_be_idle_for_as_long_as_one_that_was_served)
{
	const struct config *config = server.config;
	int ends[2];

	leave_behind(ends);
	ck_assert(engine_survive(&server.engine, ends[1], NULL));
	ck_assert_uint_eq(mark(), NUMBER);
	ck_assert_uint_eq(only_one()->timer.due_ns, server.loop.now_ns + config->keep_alive_ns +
							    config->keep_alive_grace_ns);
	close(ends[0]);
}
END_TEST

START_TEST(what_is_no_connection_is_closed_and_counted)
{
	int fd = dup(STDERR_FILENO);

	ck_assert(!engine_survive(&server.engine, fd, NULL));
	ck_assert_int_lt(fcntl(fd, F_GETFD), 0);
	ck_assert_uint_eq(server.counters[COUNT_SURVIVED_NOT], 1);
	ck_assert_uint_eq(server.engine.count, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("survive");
	TCase *all = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(all, set_up, tear_down);
	tcase_add_test(all, one_that_has_its_answer_is_marked_with_its_listener);
	tcase_add_test(all, one_that_has_said_nothing_yet_is_marked);
	tcase_add_test(all, one_with_a_part_of_a_request_is_not);
	tcase_add_test(all, one_whose_answer_is_not_there_yet_is_not);
	tcase_add_test(all, one_that_a_proxy_spoke_of_is_not);
	tcase_add_test(all, one_on_its_way_to_another_worker_is_not);
	tcase_add_test(all, beyond_the_room_nothing_is_written);
	tcase_add_test(all, a_survivor_is_served_with_what_came_meanwhile);
	tcase_add_test(all, a_survivor_may_be_idle_for_as_long_as_one_that_was_served);
	tcase_add_test(all, what_is_no_connection_is_closed_and_counted);
	suite_add_tcase(suite, all);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
