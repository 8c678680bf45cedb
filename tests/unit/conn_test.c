/* The connection engine: registration, the ready list, and when memory goes. */
#include "fake_protocol.h"
#include "fake_server.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define LAST(path) "GET " path " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

static struct fake_server server;
static struct fake_client client, other;

static void set_up(void)
{
	fake_server_open(&server, &protocol_http1);
}

static void tear_down(void)
{
	fake_server_close(&server);
}

static struct conn *first_conn(void)
{
	return LIST_ENTRY(server.engine.conns.next, struct conn, link);
}

/* ---- whose it is ------------------------ */

static union peer numbered(unsigned number)
{
	return (union peer){ .v4 = { .sin_family = AF_INET, .sin_port = htons(4711),
				     .sin_addr.s_addr = htonl(number) } };
}

START_TEST(a_peer_is_the_same_when_it_was_packed)
{
	union peer peers[] = {
		numbered(0x7f000001), { .family = AF_UNIX }, { .v6 = { .sin6_family = AF_INET6 } },
	};
	struct packed_peer packed;
	union peer again;

	peers[2].v6.sin6_port = htons(80);
	peers[2].v6.sin6_scope_id = 0x01020304;
	memcpy(&peers[2].v6.sin6_addr, "\xfe\x80 and so on...", sizeof(struct in6_addr));
	packed = peer_pack(&peers[_i]);
	again = peer_unpack(&packed);
	ck_assert_mem_eq(&again, &peers[_i], sizeof(again));
}
END_TEST

START_TEST(whom_a_proxy_speaks_for_is_the_client_and_the_proxy_the_peer)
{
	union peer proxy = numbered(1), client_of_it = numbered(2), now;

	fake_connect(&server, &client, "");
	ck_assert(!conn_is_proxied(first_conn()));
	ck_assert_ptr_null(conn_side(first_conn()));
	ck_assert(conn_name(first_conn(), &proxy, &client_of_it));
	ck_assert(conn_is_proxied(first_conn()));
	now = conn_peer(first_conn());
	ck_assert_mem_eq(&now, &proxy, sizeof(now));
	now = conn_client(first_conn());
	ck_assert_mem_eq(&now, &client_of_it, sizeof(now));
	ck_assert(conn_name(first_conn(), &proxy, &proxy));
	ck_assert(!conn_is_proxied(first_conn()));
	now = conn_peer(first_conn());
	ck_assert_mem_eq(&now, &proxy, sizeof(now));
}
END_TEST

START_TEST(what_few_have_goes_with_the_connection)
{
	struct conn *conn;

	fake_connect(&server, &client, "");
	conn = first_conn();
	ck_assert_ptr_nonnull(conn_side_made(conn));
	ck_assert_ptr_eq(conn_side_made(conn), conn_side(conn));
	ck_assert_uint_eq(conn_side(conn)->refusals, 0);
	conn_close(conn);               /* its memory is there until the turn ends */
	ck_assert(!conn->has_side);
	ck_assert_ptr_null(conn_side(conn));
}
END_TEST

START_TEST(a_promise_is_kept_whole_up_to_a_day)
{
	fake_connect(&server, &client, "");
	conn_promise(first_conn(), 86400);
	ck_assert_uint_eq(first_conn()->promised_s, 86400);
	conn_promise(first_conn(), UINT32_MAX);
	ck_assert_uint_ge(first_conn()->promised_s, 86400);
}
END_TEST

/* ---- registration ------------------------ */

/* Accepts with an epoll instance that refuses everything. */
static void connect_without_epoll(const char *first)
{
	int epoll_fd = server.loop.epoll_fd;

	server.loop.epoll_fd = -1;
	fake_connect(&server, &client, first);
	server.loop.epoll_fd = epoll_fd;
}

START_TEST(a_connection_that_finishes_at_once_is_never_registered)
{
	connect_without_epoll(LAST("/hello"));
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(server.counters[COUNT_OUT_OF_MEMORY], 0);
}
END_TEST

START_TEST(a_connection_that_cannot_be_registered_is_closed_and_counted)
{
	connect_without_epoll(GET("/hello"));
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(server.counters[COUNT_OUT_OF_MEMORY], 1);
}
END_TEST

START_TEST(being_registered_causes_no_further_read)
{
	server.engine.transport = &fake_transport;
	fake_connect(&server, &client, GET("/hello"));
	ck_assert(fake_until_text(&client, "hello\n"));
	fake_fits.recv_calls = 0;
	fake_turn(&server);             /* ADD has reported that the socket is writable */
	ck_assert_uint_eq(fake_fits.recv_calls, 0);
}
END_TEST

START_TEST(what_a_transport_holds_back_is_read_without_an_event)
{
	server.engine.transport = &fake_transport;
	fake_fits.recv_bytes = 5;
	fake_fits.again_every = 2;
	fake_connect(&server, &client, LAST("/hello"));
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(fake_count(&client, "hello\n"), 1);
}
END_TEST

START_TEST(a_fin_behind_a_short_read_is_seen)
{
	fake_connect_tcp(&server, &client, GET("/hello"));
	ck_assert(fake_until_text(&client, "hello\n"));
	fake_send(&client, GET("/hello"));
	shutdown(client.fd, SHUT_WR);   /* one event for both */
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(fake_count(&client, "hello\n"), 2);
}
END_TEST

/* ---- the end ------------------------ */

START_TEST(a_closed_connection_keeps_its_memory_until_the_turn_ends)
{
	fake_connect(&server, &client, "");
	conn_close(first_conn());
	ck_assert_uint_eq(server.engine.slab.in_use, 1);
	fake_turn(&server);
	ck_assert_uint_eq(server.engine.slab.in_use, 0);
}
END_TEST

START_TEST(a_closed_connection_takes_no_event_of_the_same_batch)
{
	struct conn *conn;
	uint16_t tag;

	fake_connect(&server, &client, "");
	conn = first_conn();
	tag = conn->source.tag;
	conn_close(conn);
	ck_assert_uint_ne(conn->source.tag, tag);
}
END_TEST

START_TEST(closing_twice_is_harmless)
{
	struct conn *conn;

	fake_connect(&server, &client, "");
	conn = first_conn();
	conn_close(conn);
	conn_close(conn);
	ck_assert_uint_eq(server.engine.count, 0);
}
END_TEST

START_TEST(a_recycled_connection_has_another_tag)
{
	uint16_t tag;

	fake_connect(&server, &client, "");
	tag = first_conn()->source.tag;
	conn_close(first_conn());
	fake_turn(&server);
	fake_connect(&server, &other, "");
	ck_assert_uint_ne(first_conn()->source.tag, tag);
}
END_TEST

static unsigned told;

static void tell(struct engine *engine)
{
	(void)engine;
	told++;
}

START_TEST(whoever_waits_for_room_is_told_when_a_connection_was_freed)
{
	told = 0;
	server.engine.closed_one = tell;
	fake_connect(&server, &client, LAST("/hello"));
	ck_assert_uint_eq(told, 0);
	fake_turn(&server);
	ck_assert_uint_eq(told, 1);
}
END_TEST

START_TEST(only_what_is_owed_to_is_counted_as_cut)
{
	fake_connect(&server, &client, GET("/slow"));
	fake_connect(&server, &other, GET("/hello"));
	engine_cut(&server.engine);
	ck_assert_uint_eq(server.counters[COUNT_DRAIN_CUT], 1);
}
END_TEST

START_TEST(adopting_closes_nothing)
{
	fake_connect(&server, &client, GET("/hello"));
	fake_connect(&server, &other, GET("/slow"));
	generation_unpin(engine_adopt(&server.engine, fake_generation(&server, 2)));
	ck_assert(fake_until_text(&other, "slow"));
	ck_assert_uint_eq(server.engine.count, 2);
}
END_TEST

/* ---- shedding ------------------------ */

/* A connection that had its answer `age_ns` ago. */
static struct conn *idle_one(struct fake_client *which, uint64_t age_ns)
{
	struct conn *conn;

	fake_connect(&server, which, GET("/hello"));
	ck_assert(fake_until_text(which, "hello\n"));
	conn = LIST_ENTRY(server.engine.conns.prev, struct conn, link);
	conn->since_ns -= age_ns;
	return conn;
}

START_TEST(the_longest_idle_connection_is_shed)
{
	idle_one(&client, 2 * CLOCK_S);
	idle_one(&other, 3 * CLOCK_S);
	ck_assert(engine_shed(&server.engine));
	ck_assert(fake_until_eof(&other));
	ck_assert_int_eq(other.error, 0);
	ck_assert(!client.eof);
	ck_assert_uint_eq(server.engine.count, 1);
	ck_assert_uint_eq(server.counters[COUNT_SHED], 1);
}
END_TEST

START_TEST(a_busy_connection_is_not_shed)
{
	fake_connect(&server, &client, GET("/slow"));
	LIST_ENTRY(server.engine.conns.next, struct conn, link)->since_ns -= 2 * CLOCK_S;
	ck_assert(!engine_shed(&server.engine));
	idle_one(&other, CLOCK_S);      /* younger */
	ck_assert(engine_shed(&server.engine));
	ck_assert(fake_until_eof(&other));
	ck_assert(fake_until_text(&client, "slow"));
	ck_assert_uint_eq(server.counters[COUNT_SHED], 1);
}
END_TEST

START_TEST(a_request_that_came_before_it_was_shed_saves_a_connection)
{
	idle_one(&client, 2 * CLOCK_S);
	fake_send(&client, GET("/hello"));
	ck_assert(!engine_shed(&server.engine));
	fake_turn(&server);
	ck_assert_uint_eq(fake_count(&client, "hello\n"), 2);
	ck_assert(!client.eof);
}
END_TEST

START_TEST(a_connection_that_was_just_accepted_is_not_shed)
{
	fake_connect(&server, &client, "");
	ck_assert(!engine_shed(&server.engine));
	server.loop.now_ns += CLOCK_S;
	ck_assert(engine_shed(&server.engine));
}
END_TEST

START_TEST(a_connection_that_was_just_answered_is_not_shed)
{
	idle_one(&client, 0);
	ck_assert(!engine_shed(&server.engine));
}
END_TEST

START_TEST(a_connection_whose_end_was_announced_is_shed_first)
{
	idle_one(&client, 3 * CLOCK_S);
	fake_connect(&server, &other, "GET /hello HTTP/1.0\r\n\r\nmore");
	ck_assert(fake_until_text(&other, "hello\n"));
	ck_assert_uint_eq(server.engine.count, 2);
	ck_assert(engine_shed(&server.engine));
	fake_turn(&server);
	ck_assert(!client.eof);
	ck_assert_uint_eq(server.engine.count, 1);
}
END_TEST

START_TEST(what_is_owed_is_a_request_or_a_second_for_one)
{
	ck_assert(!engine_owes(&server.engine, UINT64_MAX));
	idle_one(&client, 0);
	ck_assert(!engine_owes(&server.engine, UINT64_MAX));
	fake_send(&client, "GET");
	fake_turn(&server);
	ck_assert(engine_owes(&server.engine, UINT64_MAX));
	ck_assert(!engine_owes(&server.engine, 1));
	fake_hang_up(&client);
	fake_turn(&server);
	fake_connect(&server, &other, "");
	ck_assert(engine_owes(&server.engine, UINT64_MAX));
	server.loop.now_ns += CLOCK_S;
	ck_assert(!engine_owes(&server.engine, UINT64_MAX));
}
END_TEST

START_TEST(what_is_cut_is_counted_by_what_it_was_doing)
{
	fake_connect(&server, &client, "GET / HT");
	fake_connect(&server, &other, GET("/slow"));
	engine_cut(&server.engine);
	ck_assert_uint_eq(server.counters[COUNT_DRAIN_CUT], 2);
	ck_assert_uint_eq(server.counters[COUNT_CUT_HEAD], 1);
	ck_assert_uint_eq(server.counters[COUNT_CUT_WAITING], 1);
	ck_assert_uint_eq(server.counters[COUNT_CUT_SENDING], 0);
}
END_TEST

/* ---- other protocols: small ones, made for one test ------------------------ */

static struct conn *conns[2];
static unsigned conn_count, served[2];
static char order[16];

static void tiny_open(struct conn *conn)
{
	conns[conn_count++] = conn;
}

static unsigned index_of(const struct conn *conn)
{
	return conn == conns[1];
}

static enum served tiny_wait(struct conn *conn)
{
	(void)conn;
	return SERVED_WAIT;
}

static void tiny_close(struct conn *conn)
{
	(void)conn;
}

static enum doing tiny_idle(const struct conn *conn)
{
	(void)conn;
	return DOING_IDLE;
}

/* Has work for four turns each. */
static enum served busy_ready(struct conn *conn)
{
	unsigned index = index_of(conn);

	if (served[index] == 4)
		return SERVED_WAIT;
	served[index]++;
	strcat(order, index == 0 ? "a" : "b");
	return SERVED_MORE;
}

static const struct protocol busy = {
	.name = "busy",
	.open = tiny_open,
	.ready = busy_ready,
	.timeout = tiny_wait,
	.adopt = tiny_wait,
	.close = tiny_close,
	.doing = tiny_idle,
};

/* Whoever is served first once there are two closes the other one. */
static enum served killer_ready(struct conn *conn)
{
	unsigned index = index_of(conn);

	if (conn_count < 2 || !conn->source.added)
		return SERVED_WAIT;
	served[index]++;
	conn_close(conns[1 - index]);
	return SERVED_WAIT;
}

static const struct protocol killer = {
	.name = "killer",
	.open = tiny_open,
	.ready = killer_ready,
	.timeout = tiny_wait,
	.adopt = tiny_wait,
	.close = tiny_close,
	.doing = tiny_idle,
};

static void use_protocol(const struct protocol *protocol)
{
	conn_count = served[0] = served[1] = 0;
	order[0] = '\0';
	server.engine.protocol = protocol;
}

static bool all_served(void *what)
{
	(void)what;
	return served[0] == 4 && served[1] == 4;
}

START_TEST(busy_connections_take_turns)
{
	use_protocol(&busy);
	fake_connect(&server, &client, "");
	fake_connect(&server, &other, "");
	ck_assert(fake_until(&server, all_served, NULL));
	ck_assert_str_eq(order, "abababab");
}
END_TEST

START_TEST(an_event_for_a_connection_that_was_closed_in_the_same_batch_is_dropped)
{
	use_protocol(&killer);
	fake_connect(&server, &client, "");
	fake_connect(&server, &other, "");
	fake_turn(&server);             /* both have been reported as writable: one batch */
	ck_assert_uint_eq(served[0] + served[1], 1);
	ck_assert_uint_eq(server.engine.count, 1);
}
END_TEST

static void set_up_lines(void)
{
	fake_server_open(&server, &protocol_lines);
}

START_TEST(two_exchanges_of_a_connection_may_finish_in_the_other_order)
{
	fake_connect(&server, &client, "/slow\n/later\n");
	ck_assert(fake_until_text(&client, "slow"));
	ck_assert_str_eq(client.text, "soon\nslow\n");
}
END_TEST

START_TEST(all_exchanges_of_a_connection_are_cancelled_with_it)
{
	fake_connect(&server, &client, "/slow\n/later\n");
	fake_hang_up(&client);
	engine_cut(&server.engine);
	ck_assert_uint_eq(fake_cancels, 2);
}
END_TEST

static Suite *suite(void)
{
	Suite *all = suite_create("conn");
	TCase *engine = tcase_create("engine"), *lines = tcase_create("lines");

	tcase_add_checked_fixture(engine, set_up, tear_down);
	tcase_add_checked_fixture(lines, set_up_lines, tear_down);
	suite_add_tcase(all, engine);
	suite_add_tcase(all, lines);
	tcase_add_test(engine, a_connection_that_finishes_at_once_is_never_registered);
	tcase_add_test(engine, a_connection_that_cannot_be_registered_is_closed_and_counted);
	tcase_add_test(engine, being_registered_causes_no_further_read);
	tcase_add_test(engine, what_a_transport_holds_back_is_read_without_an_event);
	tcase_add_test(engine, a_fin_behind_a_short_read_is_seen);
	tcase_add_test(engine, a_closed_connection_keeps_its_memory_until_the_turn_ends);
	tcase_add_test(engine, a_closed_connection_takes_no_event_of_the_same_batch);
	tcase_add_test(engine, closing_twice_is_harmless);
	tcase_add_test(engine, a_recycled_connection_has_another_tag);
	tcase_add_test(engine, whoever_waits_for_room_is_told_when_a_connection_was_freed);
	tcase_add_test(engine, only_what_is_owed_to_is_counted_as_cut);
	tcase_add_test(engine, adopting_closes_nothing);
	tcase_add_test(engine, the_longest_idle_connection_is_shed);
	tcase_add_test(engine, a_busy_connection_is_not_shed);
	tcase_add_test(engine, a_request_that_came_before_it_was_shed_saves_a_connection);
	tcase_add_test(engine, a_connection_that_was_just_accepted_is_not_shed);
	tcase_add_test(engine, a_connection_that_was_just_answered_is_not_shed);
	tcase_add_test(engine, a_connection_whose_end_was_announced_is_shed_first);
	tcase_add_test(engine, what_is_owed_is_a_request_or_a_second_for_one);
	tcase_add_test(engine, what_is_cut_is_counted_by_what_it_was_doing);
	tcase_add_test(engine, busy_connections_take_turns);
	tcase_add_test(engine, an_event_for_a_connection_that_was_closed_in_the_same_batch_is_dropped);
	tcase_add_loop_test(engine, a_peer_is_the_same_when_it_was_packed, 0, 3);
	tcase_add_test(engine, whom_a_proxy_speaks_for_is_the_client_and_the_proxy_the_peer);
	tcase_add_test(engine, what_few_have_goes_with_the_connection);
	tcase_add_test(engine, a_promise_is_kept_whole_up_to_a_day);
	tcase_add_test(lines, two_exchanges_of_a_connection_may_finish_in_the_other_order);
	tcase_add_test(lines, all_exchanges_of_a_connection_are_cancelled_with_it);
	return all;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
