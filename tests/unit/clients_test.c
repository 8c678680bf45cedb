/* clients_test.c - the engine's connections as those of their clients: counted, limited, let go of, counted
 * anew. */
#include "fake_server.h"

#include "base/clock.h"
#include "net/clients.h"
#include "net/move.h"

#include <stdlib.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define LAST(path) "GET " path " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

static struct fake_server server;
static struct fake_client clients[4];
static struct quota_rules rules;

static void set_up(void)
{
	fake_server_open(&server, &protocol_http1);
	fake_server_limit(&server);
	server.config->retry_after_ns = 7 * CLOCK_S;
	rules = (struct quota_rules){
		.wanted = true,
		.ipv4_bits = { 32, 24 },
		.ipv6_bits = { 64, 48 },
		.limits[QUOTA_ADDRESS].connections = 2,
	};
	clients_adopt(&server.engine, &rules);
}

/* How many are open by the table, of all clients together. */
static unsigned counted(void)
{
	const struct quota *quota = server.engine.quota;
	unsigned count = 0;

	for (unsigned i = 0; i < QUOTA_ENTRIES; i++) {
		uint64_t word = quota->entries[i].word;

		if ((uint8_t)(word >> 20) == quota_epoch(quota))
			count += (unsigned)(word & QUOTA_CONNECTIONS_MOST);
	}
	return count;
}

static void tear_down(void)
{
	struct quota *quota = server.engine.quota;

	for (unsigned i = 0; i < 4; i++)
		fake_hang_up(&clients[i]);
	engine_cut(&server.engine);
	ck_assert_uint_eq(counted(), 0);
	fake_server_close(&server);
	quota_destroy(quota);
}

static void connect_some(unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		fake_connect_from(&server, &clients[i], "127.0.0.1", GET("/hello"));
		ck_assert(fake_until_text(&clients[i], "hello\n"));
	}
}

static struct conn *first(void)
{
	return LIST_ENTRY(server.engine.conns.next, struct conn, link);
}

/* ---- the limit -------------------------------------------------------------------------------------- */

START_TEST(one_too_many_is_told_so_and_is_none_of_the_engines)
{
	connect_some(0, 2);
	fake_connect_from(&server, &clients[2], "127.0.0.1", GET("/hello"));
	ck_assert(fake_until_eof(&clients[2]));
	ck_assert_int_eq(strncmp(clients[2].text, "HTTP/1.1 429 Too Many Requests\r\n", 32), 0);
	ck_assert_uint_eq(fake_count(&clients[2], "Retry-After: 7\r\n"), 1);
	ck_assert_uint_eq(fake_count(&clients[2], "Connection: close\r\n"), 1);
	ck_assert_uint_eq(server.engine.count, 2);
	ck_assert_uint_eq(server.counters[COUNT_OPEN], 2);
	ck_assert_uint_eq(server.counters[COUNT_ACCEPTED], 2);
	ck_assert_uint_eq(server.counters[COUNT_LIMITED_CONNECTIONS], 1);
	ck_assert_uint_eq(counted(), 2);
}
END_TEST

START_TEST(another_client_is_served)
{
	connect_some(0, 2);
	fake_connect_from(&server, &clients[2], "127.0.0.2", GET("/hello"));
	ck_assert(fake_until_text(&clients[2], "hello\n"));
}
END_TEST

START_TEST(whoever_ends_makes_room)
{
	connect_some(0, 2);
	conn_close(first());
	ck_assert_uint_eq(counted(), 1);
	connect_some(2, 3);
}
END_TEST

/* All places are taken: it costs nothing but the accept. */
START_TEST(beyond_the_places_it_is_closed_without_a_word)
{
	connect_some(0, 2);
	server.engine.refusing += QUOTA_REFUSALS;
	fake_connect_from(&server, &clients[2], "127.0.0.1", "");
	ck_assert(fake_until_eof(&clients[2]));
	ck_assert_uint_eq(clients[2].len, 0);
	ck_assert_uint_eq(server.engine.count, 2);
	server.engine.refusing -= QUOTA_REFUSALS;
	ck_assert_uint_eq(server.counters[COUNT_LIMITED_CONNECTIONS], 1);
}
END_TEST

START_TEST(so_many_are_told_in_a_time)
{
	struct conn conn = { .listener = &server.engine.nowhere };

	server.engine.limited_since_ns = server.loop.now_ns;
	server.engine.limited_made = 256;
	ck_assert_int_eq(clients_refuse(&conn), SERVED_CLOSE);
	server.engine.limited_since_ns -= 100 * CLOCK_MS;
	connect_some(0, 2);
	fake_connect_from(&server, &clients[2], "127.0.0.1", GET("/hello"));
	ck_assert(fake_until_eof(&clients[2]));
	ck_assert_uint_gt(clients[2].len, 0);
	ck_assert_uint_eq(server.engine.limited_made, 1);
}
END_TEST

START_TEST(a_dry_run_counts_and_lets_in)
{
	rules.dry_run = true;
	connect_some(0, 4);
	ck_assert_uint_eq(server.counters[COUNT_LIMITED_CONNECTIONS], 2);
	ck_assert_uint_eq(counted(), 4);
}
END_TEST

START_TEST(for_whom_there_is_no_room_is_counted_and_served)
{
	struct quota *quota = server.engine.quota;

	for (unsigned i = 0; i < QUOTA_ENTRIES; i++)
		quota->entries[i].due_ns[0] = server.loop.now_ns + CLOCK_S * 1000;
	connect_some(0, 4);
	ck_assert_uint_eq(server.counters[COUNT_CLIENTS_UNTRACKED], 4);
}
END_TEST

/* ---- what moves ------------------------------------------------------------------------------------- */

START_TEST(what_is_frozen_is_counted_by_nobody_and_what_thaws_again)
{
	struct conn *conn;

	connect_some(0, 2);
	conn = first();
	move_freeze(conn);
	ck_assert_uint_eq(counted(), 1);
	move_thaw(conn);
	ck_assert_uint_eq(counted(), 2);
	move_freeze(conn);
	move_gone(conn);
	ck_assert_uint_eq(counted(), 1);
}
END_TEST

START_TEST(one_that_comes_is_added_beyond_the_limit)
{
	struct conn *conn;

	connect_some(0, 2);
	conn = first();
	move_freeze(conn);
	connect_some(2, 3);             /* it took the place */
	move_thaw(conn);
	ck_assert_uint_eq(counted(), 3);
	ck_assert_uint_eq(server.counters[COUNT_LIMITED_CONNECTIONS], 0);
}
END_TEST

/* ---- counting anew ---------------------------------------------------------------------------------- */

static bool all_counted(void *number)
{
	return counted() == *(unsigned *)number;
}

START_TEST(a_new_epoch_has_all_of_them_again)
{
	unsigned two = 2;

	connect_some(0, 2);
	quota_recount(server.engine.quota);
	ck_assert_uint_eq(counted(), 0);
	ck_assert(fake_until(&server, all_counted, &two));
}
END_TEST

START_TEST(one_that_ends_before_it_was_added_again_takes_nothing_away)
{
	unsigned one = 1;

	connect_some(0, 2);
	quota_recount(server.engine.quota);
	conn_close(first());
	ck_assert_uint_eq(counted(), 0);
	ck_assert(fake_until(&server, all_counted, &one));
}
END_TEST

START_TEST(one_that_came_since_is_not_added_twice)
{
	connect_some(0, 2);
	quota_recount(server.engine.quota);
	clients_leave(first());
	clients_keep(first());          /* as one that was moved here */
	ck_assert_uint_eq(counted(), 1);
	server.engine.counted_ns = 0;
	clients_look(&server.engine);
	ck_assert_uint_eq(counted(), 2);
}
END_TEST

START_TEST(one_whose_place_is_somebody_elses_by_now_finds_another)
{
	struct quota *quota = server.engine.quota;

	connect_some(0, 2);
	quota_recount(quota);
	for (unsigned i = 0; i < QUOTA_ENTRIES; i++)
		quota->entries[i].word = 0;
	server.engine.counted_ns = 0;
	clients_look(&server.engine);
	ck_assert_uint_eq(counted(), 2);
	conn_close(first());
	ck_assert_uint_eq(counted(), 1);
}
END_TEST

/* Somebody may write there all the time. */
START_TEST(counting_anew_is_done_now_and_then_only)
{
	uint64_t before_ns;
	unsigned one = 1;

	connect_some(0, 1);
	quota_recount(server.engine.quota);
	server.engine.counted_ns = before_ns = server.loop.now_ns;
	clients_look(&server.engine);
	ck_assert_uint_eq(server.engine.counted_ns, before_ns);
	ck_assert_uint_eq(counted(), 0);
	ck_assert(fake_until(&server, all_counted, &one));
}
END_TEST

START_TEST(limits_that_are_switched_on_count_who_is_there)
{
	static const struct quota_rules none;

	clients_adopt(&server.engine, &none);
	ck_assert_uint_eq(counted(), 0);
	connect_some(0, 3);
	ck_assert_uint_eq(counted(), 0);
	clients_adopt(&server.engine, &rules);
	ck_assert_uint_eq(counted(), 3);
	ck_assert_uint_eq(server.engine.count, 3);
}
END_TEST

START_TEST(other_prefixes_are_other_clients)
{
	struct quota_rules wider = rules;

	wider.ipv4_bits[QUOTA_ADDRESS] = 8;
	connect_some(0, 2);
	clients_adopt(&server.engine, &wider);
	ck_assert_uint_eq(counted(), 2);
	fake_connect_from(&server, &clients[2], "127.9.9.9", GET("/hello"));
	ck_assert(fake_until_eof(&clients[2]));
	ck_assert_uint_eq(server.counters[COUNT_LIMITED_CONNECTIONS], 1);
	clients_adopt(&server.engine, &rules);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("clients");
	TCase *tests = tcase_create("clients");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, one_too_many_is_told_so_and_is_none_of_the_engines);
	tcase_add_test(tests, another_client_is_served);
	tcase_add_test(tests, whoever_ends_makes_room);
	tcase_add_test(tests, beyond_the_places_it_is_closed_without_a_word);
	tcase_add_test(tests, so_many_are_told_in_a_time);
	tcase_add_test(tests, a_dry_run_counts_and_lets_in);
	tcase_add_test(tests, for_whom_there_is_no_room_is_counted_and_served);
	tcase_add_test(tests, what_is_frozen_is_counted_by_nobody_and_what_thaws_again);
	tcase_add_test(tests, one_that_comes_is_added_beyond_the_limit);
	tcase_add_test(tests, a_new_epoch_has_all_of_them_again);
	tcase_add_test(tests, one_that_ends_before_it_was_added_again_takes_nothing_away);
	tcase_add_test(tests, one_that_came_since_is_not_added_twice);
	tcase_add_test(tests, one_whose_place_is_somebody_elses_by_now_finds_another);
	tcase_add_test(tests, counting_anew_is_done_now_and_then_only);
	tcase_add_test(tests, limits_that_are_switched_on_count_who_is_there);
	tcase_add_test(tests, other_prefixes_are_other_clients);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
