/* limits_test.c - what clients.* allows, to the request and to the byte. Time is the test's own, or does
 * not matter: a request costs an hour where refusals are counted. */
#include "fake_move.h"

#include "base/clock.h"
#include "http/http1_state.h"
#include "http/response.h"

#include <stdio.h>
#include <stdlib.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define LAST(path) "GET " path " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
#define HOUR_NS (3600 * CLOCK_S)
#define BEGIN_NS (HOUR_NS * 1000000)    /* of the test's own time: the true one is never beyond it */

enum { BURST = 3, MOST_REFUSALS = 100, WITH_A_PAGE = 8 };

static struct fake_server server;
static struct fake_second second;
static struct fake_client client, other;
static struct quota_rules *rules;

static struct quota_rules *rules_of(struct engine *engine)
{
	engine->quota_rules = &engine->generation->quota;
	return &engine->generation->quota;
}

static void set_up(void)
{
	fake_server_open(&server, &protocol_http1);
	fake_server_limit(&server);
	rules = rules_of(&server.engine);
	*rules = (struct quota_rules){ .wanted = true, .ipv4_bits = { 32, 24 }, .ipv6_bits = { 64, 48 } };
}

static void tear_down(void)
{
	struct quota *quota = server.engine.quota;

	fake_server_close(&server);
	quota_destroy(quota);
}

/* A client that has an address, 10.0.0.`last`. */
static void connect_as(struct fake_client *who, unsigned last)
{
	union peer name = { .v4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000000 + last) } };
	struct conn *conn;

	fake_connect(&server, who, "");
	conn = LIST_ENTRY(server.engine.conns.prev, struct conn, link);
	conn->client = peer_pack(&name);
}

static void requests_an_hour(enum quota_scope scope, unsigned burst)
{
	rules->limits[scope] = (struct quota_limit){
		.request_ns = HOUR_NS, .burst_ns = (burst - 1) * HOUR_NS,
	};
}

struct counted {
	const struct fake_client *client;
	const char *what;
	unsigned count;
};

static bool has_counted(void *what)
{
	const struct counted *counted = what;

	return counted->client->text != NULL && fake_count(counted->client, counted->what) >= counted->count;
}

static bool until_count(const char *what, unsigned count)
{
	return fake_until(&server, has_counted, &(struct counted){ &client, what, count });
}

static void ask(struct fake_client *who, const char *text, unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		fake_send(who, text);
}

/* ---- requests ---------------------------------------------------------------------------------------- */

START_TEST(who_is_over_the_limit_gets_429_and_goes_on)
{
	requests_an_hour(QUOTA_ADDRESS, BURST);
	connect_as(&client, 1);
	ask(&client, GET("/hello"), BURST + 2);
	fake_send(&client, LAST("/hello"));
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 200 OK\r\n"), BURST);
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 429 Too Many Requests\r\n"), 3);
	ck_assert_uint_eq(fake_count(&client, "Connection: close\r\n"), 1);
	ck_assert_uint_eq(server.counters[COUNT_LIMITED_REQUESTS], 3);
	ck_assert_uint_eq(server.counters[COUNT_STATUS_4XX], 3);
}
END_TEST

/* A request costs an hour, and less than one has passed. */
START_TEST(retry_after_is_in_whole_seconds_and_not_too_early)
{
	char *field;

	requests_an_hour(QUOTA_ADDRESS, 1);
	connect_as(&client, 1);
	ask(&client, GET("/hello"), 1);
	fake_send(&client, LAST("/hello"));
	ck_assert(fake_until_eof(&client));
	field = strstr(client.text, "\r\nRetry-After: ");
	ck_assert_ptr_nonnull(field);
	ck_assert_int_le(strtol(field + 15, NULL, 10), 3600);
	ck_assert_int_ge(strtol(field + 15, NULL, 10), 3590);
	rules->limits[QUOTA_ADDRESS].request_ns = 3 * CLOCK_S / 2;      /* what is owed is cut to that */
	connect_as(&other, 1);
	fake_send(&other, LAST("/hello"));
	ck_assert(fake_until_eof(&other));
	ck_assert_ptr_nonnull(strstr(other.text, "\r\nRetry-After: 2\r\n"));
}
END_TEST

START_TEST(another_client_is_not_disturbed)
{
	requests_an_hour(QUOTA_ADDRESS, BURST);
	connect_as(&client, 1);
	ask(&client, GET("/hello"), 2 * BURST);
	ck_assert(fake_until_text(&client, "429"));
	connect_as(&other, 2);
	ask(&other, GET("/hello"), BURST - 1);
	fake_send(&other, LAST("/hello"));
	ck_assert(fake_until_eof(&other));
	ck_assert_uint_eq(fake_count(&other, "HTTP/1.1 200 OK\r\n"), BURST);
}
END_TEST

START_TEST(a_network_is_limited_as_one)
{
	requests_an_hour(QUOTA_NETWORK, BURST);
	connect_as(&client, 1);
	ask(&client, GET("/hello"), BURST - 1);
	fake_send(&client, LAST("/hello"));
	ck_assert(fake_until_eof(&client));
	connect_as(&other, 255);
	fake_send(&other, LAST("/hello"));
	ck_assert(fake_until_eof(&other));
	ck_assert_uint_eq(fake_count(&other, "HTTP/1.1 429"), 1);
}
END_TEST

static const char *const shapes[] = {
	"HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n",
	"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
	"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
	"BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n",
	GET("/nope"),           /* NOLINT(bugprone-suspicious-missing-comma): one request */
};

/* And the next request is where it is expected. */
START_TEST(whatever_is_asked_for_is_refused_alike)
{
	requests_an_hour(QUOTA_ADDRESS, 1);
	connect_as(&client, 1);
	fake_send(&client, GET("/hello"));
	fake_send(&client, shapes[_i]);
	fake_send(&client, LAST("/hello"));
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 "), 3);
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 429"), 2);
	ck_assert_uint_eq(fake_count(&client, "<h1>429"), _i == 0 ? 1 : 2);
}
END_TEST

START_TEST(who_goes_on_gets_no_page_and_then_the_end)
{
	requests_an_hour(QUOTA_ADDRESS, 1);
	connect_as(&client, 1);
	ask(&client, GET("/hello"), 1 + MOST_REFUSALS + 50);
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 429"), MOST_REFUSALS);
	ck_assert_uint_eq(fake_count(&client, "<h1>429"), WITH_A_PAGE);
	ck_assert_uint_eq(fake_count(&client, "Connection: close\r\n"), 1);
	ck_assert_uint_eq(fake_count(&client, "Content-Length: 0\r\n"), MOST_REFUSALS - WITH_A_PAGE);
}
END_TEST

START_TEST(refusals_count_in_a_row_only)
{
	requests_an_hour(QUOTA_ADDRESS, 1);
	connect_as(&client, 1);
	ask(&client, GET("/hello"), MOST_REFUSALS);
	ck_assert(until_count("HTTP/1.1 429", MOST_REFUSALS - 1));
	rules->limits[QUOTA_ADDRESS].request_ns = 0;    /* lets one through that has a limit */
	rules->limits[QUOTA_NETWORK].request_ns = 1;
	fake_send(&client, GET("/hello"));
	ck_assert(until_count("HTTP/1.1 200", 2));
	requests_an_hour(QUOTA_ADDRESS, 1);
	fake_send(&client, GET("/hello"));
	ck_assert(until_count("HTTP/1.1 429", MOST_REFUSALS));
	ck_assert_uint_eq(fake_count(&client, "Connection: close\r\n"), 0);
	ck_assert_uint_eq(conn_side(fake_only(&server.engine))->refusals, 1);
}
END_TEST

START_TEST(a_dry_run_counts_and_lets_through)
{
	rules->dry_run = true;
	requests_an_hour(QUOTA_ADDRESS, 1);
	rules->limits[QUOTA_ADDRESS].bandwidth = 1024;
	fake_file(&server, "large", (char[20 * 1024]){ 0 }, 20 * 1024);
	connect_as(&client, 1);
	ask(&client, GET("/hello"), 2);
	fake_send(&client, LAST("/large"));
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 200 OK\r\n"), 3);
	ck_assert_uint_eq(server.counters[COUNT_LIMITED_REQUESTS], 2);
	ck_assert_uint_ge(server.counters[COUNT_LIMITED_BANDWIDTH], 30);
}
END_TEST

START_TEST(who_is_exempt_is_not_limited)
{
	static const struct cidr ten = { AF_INET, 8, { 10 } };

	rules->exempt = (struct networks){ 1, &ten, false };
	requests_an_hour(QUOTA_ADDRESS, 1);
	rules->limits[QUOTA_ADDRESS].bandwidth = 1024;
	fake_file(&server, "large", (char[200 * 1024]){ 0 }, 200 * 1024);
	connect_as(&client, 1);
	ask(&client, GET("/large"), 2);
	fake_send(&client, LAST("/hello"));
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 200 OK\r\n"), 3);
	ck_assert_uint_eq(server.counters[COUNT_LIMITED_REQUESTS], 0);
	ck_assert_uint_eq(server.counters[COUNT_LIMITED_BANDWIDTH], 0);
}
END_TEST

/* ---- bytes, with a clock of our own ------------------------------------------------------------------ */

enum { SENDERS = 10, RATE = 32 * 1024, PIECE = RATE / 32, SECONDS = 20 };

static struct exchange senders[SENDERS];
static uint64_t sent[SENDERS];
static struct conn sender_conn;

static void make_senders(void)
{
	for (unsigned i = 0; i < SENDERS; i++) {
		senders[i] = (struct exchange){ .engine = &server.engine, .conn = &sender_conn };
		senders[i].client.v4 = (struct sockaddr_in){ .sin_family = AF_INET,
							     .sin_addr.s_addr = htonl(1) };
		sent[i] = 0;
	}
	rules->limits[QUOTA_ADDRESS].bandwidth = RATE;
	server.loop.now_ns = BEGIN_NS;
	timers_init(&server.loop.timers, BEGIN_NS);
}

static void end_senders(void)
{
	for (unsigned i = 0; i < SENDERS; i++)
		timer_cancel(&senders[i].pace.timer);
}

/* Sends all that may be sent now, at most `most` at a time. */
static void send_all(unsigned which, uint64_t most)
{
	struct exchange *exchange = &senders[which];
	size_t room;

	while ((room = limits_room(exchange, exchange->engine, most)) > 0) {
		ck_assert_uint_le(room, PIECE);
		limits_sent(&exchange->pace, room);
		sent[which] += room;
		ck_assert_uint_le(sent[which], RATE * (SECONDS + 1));
	}
}

static void pass(uint64_t ns)
{
	server.loop.now_ns += ns;
	timers_run(&server.loop.timers, server.loop.now_ns);
}

START_TEST(a_second_is_sent_at_once_and_the_next_piece_when_it_is_due)
{
	make_senders();
	send_all(0, UINT64_MAX);
	ck_assert_uint_eq(sent[0], RATE);
	ck_assert_uint_eq(server.counters[COUNT_LIMITED_BANDWIDTH], 1);
	ck_assert_uint_eq(senders[0].pace.resume_ns, BEGIN_NS + CLOCK_S / 32);
	ck_assert(timer_armed(&senders[0].pace.timer));
	pass(CLOCK_S / 32 - 1);
	send_all(0, UINT64_MAX);
	ck_assert_uint_eq(sent[0], RATE);
	pass(1);
	send_all(0, UINT64_MAX);
	ck_assert_uint_eq(sent[0], RATE + PIECE);
	ck_assert_uint_eq(server.counters[COUNT_LIMITED_BANDWIDTH], 2);  /* looking again is none */
	pass(10 * CLOCK_S);
	send_all(0, UINT64_MAX);
	ck_assert_uint_eq(sent[0], 2 * RATE + 2 * PIECE);       /* a second's again, no more */
	end_senders();
}
END_TEST

/* Another worker, whose clock is right, has let the same client through meanwhile. */
START_TEST(a_turn_that_took_long_is_not_held_against_a_client)
{
	make_senders();
	rules->limits[QUOTA_ADDRESS].request_ns = HOUR_NS;
	rules->limits[QUOTA_ADDRESS].burst_ns = HOUR_NS;
	senders[1].generation = server.engine.generation;
	server.loop.now_ns = clock_now_ns();
	ck_assert_uint_eq(limits_room(&senders[0], &server.engine, 100), 100);
	quota_request(server.engine.quota, rules, &senders[0].places, server.loop.now_ns);
	server.loop.now_ns -= 2 * CLOCK_S;
	ck_assert_uint_eq(limits_room(&senders[1], &server.engine, 100), 100);
	ck_assert_uint_eq(limits_request(&senders[1]), 0);
	ck_assert_uint_eq(server.counters[COUNT_LIMITED_BANDWIDTH], 0);
	ck_assert_uint_eq(server.counters[COUNT_LIMITED_REQUESTS], 0);
}
END_TEST

/* It would be as right in pieces, and cost a system call for each. */
START_TEST(an_answer_without_a_limit_is_in_one_piece)
{
	static const struct cidr exempt = { AF_INET, 8, { 0 } };
	struct quota *quota = server.engine.quota;

	make_senders();
	rules->exempt = (struct networks){ 1, &exempt, false };
	ck_assert_uint_eq(limits_room(&senders[0], &server.engine, UINT64_MAX), SIZE_MAX);
	rules->exempt = (struct networks){ 0 };
	ck_assert_uint_eq(limits_room(&senders[1], &server.engine, UINT64_MAX), PIECE);
	server.engine.quota = NULL;     /* as if it had no room */
	ck_assert_uint_eq(limits_room(&senders[2], &server.engine, UINT64_MAX), SIZE_MAX);
	server.engine.quota = quota;
	end_senders();
}
END_TEST

/* At every moment, whatever the steps in which they are served. */
START_TEST(connections_of_a_client_share_the_rate_exactly_and_fairly)
{
	uint64_t begun = BEGIN_NS, all = 0;

	make_senders();
	for (uint64_t step = 1; server.loop.now_ns < begun + SECONDS * CLOCK_S; step = step * 7 % 31 + 1) {
		all = 0;
		for (unsigned i = 0; i < SENDERS; i++) {
			send_all(i, UINT64_MAX);
			all += sent[i];
		}
		ck_assert_uint_le(all, RATE + RATE * (server.loop.now_ns - begun) / CLOCK_S);
		pass(step * CLOCK_MS);
	}
	ck_assert_uint_ge(all, RATE * SECONDS);
	for (unsigned i = 1; i < SENDERS; i++)          /* the first had the burst */
		ck_assert_uint_ge(sent[i] * SENDERS, (uint64_t)RATE * (SECONDS - 2));
	end_senders();
}
END_TEST

START_TEST(small_answers_are_paid_for_by_the_byte)
{
	make_senders();
	for (unsigned i = 0; i < RATE / 100; i++) {
		ck_assert_uint_eq(limits_room(&senders[0], &server.engine, 100), 100);
		limits_sent(&senders[0].pace, 100);
	}
	ck_assert_uint_eq(limits_room(&senders[0], &server.engine, RATE % 100), RATE % 100);
	limits_sent(&senders[0].pace, RATE % 100);
	ck_assert_uint_eq(limits_room(&senders[0], &server.engine, 1), 0);
	end_senders();
}
END_TEST

START_TEST(what_was_paid_and_not_taken_is_not_paid_again)
{
	make_senders();
	ck_assert_uint_eq(limits_room(&senders[0], &server.engine, 4 * PIECE), PIECE);
	limits_sent(&senders[0].pace, PIECE - 1);       /* the client's buffer was full */
	ck_assert_uint_eq(limits_room(&senders[0], &server.engine, 3 * PIECE + 1), 1);
	limits_sent(&senders[0].pace, 1);
	for (unsigned i = 1; i < 32; i++) {
		ck_assert_uint_eq(limits_room(&senders[0], &server.engine, 4 * PIECE), PIECE);
		limits_sent(&senders[0].pace, PIECE);
	}
	ck_assert_uint_eq(limits_room(&senders[0], &server.engine, 4 * PIECE), 0);
	end_senders();
}
END_TEST

static const struct {
	uint64_t one, all;
	size_t piece;
} pieces[] = {
	{ 1024, 0, 512 },
	{ 64 * 1024, 0, 2048 },
	{ 64 * 1024, 32 * 1024, 1024 },
	{ 0, 64 * 1024, 2048 },
	{ 32 * 1024, 64 * 1024, 1024 },
	{ UINT64_C(10) << 30, 0, PACE_MOST_BYTES },
	{ 0, 0, SIZE_MAX },
};

START_TEST(a_piece_is_a_part_of_a_second_of_the_lower_limit)
{
	make_senders();
	rules->limits[QUOTA_ADDRESS].bandwidth = pieces[_i].one;
	rules->limits[QUOTA_NETWORK].bandwidth = pieces[_i].all;
	ck_assert_uint_eq(limits_room(&senders[0], &server.engine, UINT64_MAX), pieces[_i].piece);
	end_senders();
}
END_TEST

/* ---- bytes, over real connections -------------------------------------------------------------------- */

static char *content;

/* `bytes` that are told from each other, as the file "large". */
static void large_file(size_t bytes)
{
	content = malloc(bytes + 1);
	for (size_t i = 0; i < bytes; i++)
		content[i] = (char)('a' + i * 7 / 3 % 23);
	content[bytes] = '\0';
	fake_file(&server, "large", content, bytes);
}

static void check_whole(struct fake_client *who)
{
	const char *body = strstr(who->text, "\r\n\r\n");

	ck_assert_ptr_nonnull(body);
	ck_assert_uint_eq(who->len - (size_t)(body + 4 - who->text), strlen(content));
	ck_assert_str_eq(body + 4, content);
	free(content);
}

/* A server to whom files of now are old sends them by the kernel. */
static void be_late(void)
{
	struct wall *wall = (struct wall *)(uintptr_t)wall_clock(&server.loop);

	wall->now += 60;
	wall->until_ns = UINT64_MAX;
}

/* How: 0 from a file, 1 copied, 2 by a transport that moves bytes in fits. */
START_TEST(a_slowed_answer_is_whole)
{
	enum { BYTES = 40 * 1024, SLOW = 32 * 1024 };
	uint64_t began = clock_now_ns();

	rules->limits[QUOTA_ADDRESS].bandwidth = SLOW;
	if (_i == 0)
		be_late();
	if (_i == 2) {
		server.engine.transport = &fake_transport;
		fake_fits = (struct fake_fits){ .send_bytes = 700, .again_every = 3 };
	}
	large_file(BYTES);
	connect_as(&client, 1);
	fake_send(&client, LAST("/large"));
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_ge((clock_now_ns() - began) * SLOW, (client.len - SLOW) * CLOCK_S);
	ck_assert_uint_gt(server.counters[COUNT_LIMITED_BANDWIDTH], 0);
	check_whole(&client);
}
END_TEST

START_TEST(a_slowed_stream_is_whole)
{
	rules->limits[QUOTA_ADDRESS].bandwidth = 1024;
	connect_as(&client, 1);
	ask(&client, GET("/hello"), 6);                 /* a second's */
	fake_send(&client, LAST("/trickle"));
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(fake_count(&client, "hello\n"), 6);
	ck_assert_ptr_nonnull(strstr(client.text, "\r\n0\r\n\r\n"));
	ck_assert_uint_gt(server.counters[COUNT_LIMITED_BANDWIDTH], 0);
}
END_TEST

/* A pause of 125 ms with a deadline of 20 ms, and a rate that is much less than the least one. */
START_TEST(a_pause_is_not_held_against_the_client)
{
	server.config->send_ns = 20 * CLOCK_MS;
	server.config->min_rate = 1 << 20;
	rules->limits[QUOTA_ADDRESS].bandwidth = 4096;
	large_file(5000);
	connect_as(&client, 1);
	fake_send(&client, LAST("/large"));
	ck_assert(fake_until_eof(&client));
	check_whole(&client);
	ck_assert_uint_eq(server.counters[COUNT_TIMEOUTS], 0);
}
END_TEST

static size_t nothing_taken(const struct conn *conn)
{
	return (size_t)((const struct http1 *)conn->state)->sent;
}

/* One byte each time that somebody looks. */
static size_t little_taken(const struct conn *conn)
{
	static size_t taken;
	size_t given = nothing_taken(conn);

	taken = taken + 1 < given ? taken + 1 : 0;
	return given - taken;
}

static void be_taken(size_t (*unsent)(const struct conn *conn))
{
	static struct transport transport;

	transport = transport_plain;
	transport.unsent = unsent;
	server.engine.transport = &transport;
	server.config->send_ns = 20 * CLOCK_MS;
	server.config->min_rate = 1 << 20;
}

/* What fills its piece of 512 bytes is far from due. */
static void pause_client(void)
{
	rules->limits[QUOTA_ADDRESS].bandwidth = 1024;
	large_file(3000);
	connect_as(&client, 1);
	fake_send(&client, LAST("/large"));
	while (server.counters[COUNT_LIMITED_BANDWIDTH] == 0)
		fake_turn(&server);
	ck_assert(timer_armed(&((struct http1 *)fake_only(&server.engine)->state)->exchange.pace.timer));
}

static bool nobody_left(void *what)
{
	(void)what;
	return server.engine.count + second.engine.count == 0;
}

/* The first deadline of 20 ms is in the pause, of half a second. */
START_TEST(who_takes_nothing_is_cut_in_a_pause_too)
{
	uint64_t due;

	be_taken(nothing_taken);
	pause_client();
	due = ((struct http1 *)fake_only(&server.engine)->state)->exchange.pace.resume_ns;
	ck_assert(fake_until(&server, nobody_left, NULL));
	ck_assert_uint_lt(server.loop.now_ns, due);
	ck_assert_uint_eq(server.counters[COUNT_TIMEOUTS], 1);
	free(content);
}
END_TEST

/* The least rate is much more than the limit. */
START_TEST(who_takes_a_little_is_not_cut_in_a_pause)
{
	be_taken(little_taken);
	pause_client();
	ck_assert(fake_until_eof(&client));
	check_whole(&client);
	ck_assert_uint_eq(server.counters[COUNT_TIMEOUTS], 0);
}
END_TEST

START_TEST(who_goes_while_its_answer_waits_is_gone_at_once)
{
	uint64_t due;

	pause_client();
	due = ((struct http1 *)fake_only(&server.engine)->state)->exchange.pace.resume_ns;
	fake_hang_up(&client);
	ck_assert(fake_until(&server, nobody_left, NULL));
	ck_assert_uint_lt(server.loop.now_ns, due);
	free(content);
}
END_TEST

START_TEST(an_answer_that_waits_is_cut_as_any_other)
{
	pause_client();
	engine_cut(&server.engine);
	ck_assert_uint_eq(server.counters[COUNT_CUT_SENDING], 1);
	free(content);
}
END_TEST

static unsigned turns;

static void count_turn(struct turn_end *hook)
{
	(void)hook;
	turns++;
}

START_TEST(nobody_turns_while_an_answer_waits)
{
	struct turn_end hook = { .run = count_turn };

	pause_client();
	turns = 0;
	loop_at_turn_end(&server.loop, &hook);
	ck_assert(fake_until_eof(&client));
	list_remove(&hook.link);
	check_whole(&client);
	ck_assert_uint_le(turns, 40);           /* for four pieces */
}
END_TEST

START_TEST(a_reload_that_takes_the_limit_away_ends_the_pause)
{
	struct http1 *http;

	pause_client();
	http = fake_only(&server.engine)->state;
	http->exchange.pace.resume_ns += HOUR_NS;
	timer_arm(&server.loop.timers, &http->exchange.pace.timer, http->exchange.pace.resume_ns);
	for (unsigned i = 0; i < 5; i++)        /* what the client takes is an event */
		fake_turn(&server);
	rules->limits[QUOTA_ADDRESS].bandwidth = 0;
	generation_unpin(engine_adopt(&server.engine, generation_pin(server.engine.generation)));
	ck_assert(fake_until_eof(&client));
	check_whole(&client);
}
END_TEST

START_TEST(an_answer_that_waits_moves_with_what_was_paid)
{
	struct http1 *http;
	struct pace before;

	fake_second_open(&second, &server);
	second.engine.quota = server.engine.quota;
	rules_of(&second.engine);
	pause_client();
	before = ((struct http1 *)fake_only(&server.engine)->state)->exchange.pace;
	ck_assert_int_eq(fake_move(fake_only(&server.engine), &second.engine), MOVING_SENDING);
	http = fake_only(&second.engine)->state;
	ck_assert_uint_eq(http->exchange.pace.resume_ns, before.resume_ns);
	ck_assert_uint_eq(http->exchange.pace.paid, before.paid);
	fake_turn(&server);
	ck_assert_uint_eq(second.counters[COUNT_LIMITED_BANDWIDTH], 0);         /* not paid again */
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_gt(second.counters[COUNT_LIMITED_BANDWIDTH], 0);
	check_whole(&client);
	fake_second_close(&second);
}
END_TEST

/* ---- main ------------------------------------------------------------------------------------------- */

int main(void)
{
	Suite *suite = suite_create("limits");
	TCase *tests = tcase_create("limits");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, who_is_over_the_limit_gets_429_and_goes_on);
	tcase_add_test(tests, retry_after_is_in_whole_seconds_and_not_too_early);
	tcase_add_test(tests, another_client_is_not_disturbed);
	tcase_add_test(tests, a_network_is_limited_as_one);
	tcase_add_loop_test(tests, whatever_is_asked_for_is_refused_alike, 0,
			    sizeof(shapes) / sizeof(shapes[0]));
	tcase_add_test(tests, who_goes_on_gets_no_page_and_then_the_end);
	tcase_add_test(tests, refusals_count_in_a_row_only);
	tcase_add_test(tests, a_dry_run_counts_and_lets_through);
	tcase_add_test(tests, who_is_exempt_is_not_limited);
	tcase_add_test(tests, a_second_is_sent_at_once_and_the_next_piece_when_it_is_due);
	tcase_add_test(tests, a_turn_that_took_long_is_not_held_against_a_client);
	tcase_add_test(tests, an_answer_without_a_limit_is_in_one_piece);
	tcase_add_test(tests, connections_of_a_client_share_the_rate_exactly_and_fairly);
	tcase_add_test(tests, small_answers_are_paid_for_by_the_byte);
	tcase_add_test(tests, what_was_paid_and_not_taken_is_not_paid_again);
	tcase_add_loop_test(tests, a_piece_is_a_part_of_a_second_of_the_lower_limit, 0,
			    sizeof(pieces) / sizeof(pieces[0]));
	tcase_add_loop_test(tests, a_slowed_answer_is_whole, 0, 3);
	tcase_add_test(tests, a_slowed_stream_is_whole);
	tcase_add_test(tests, a_pause_is_not_held_against_the_client);
	tcase_add_test(tests, who_takes_nothing_is_cut_in_a_pause_too);
	tcase_add_test(tests, who_takes_a_little_is_not_cut_in_a_pause);
	tcase_add_test(tests, who_goes_while_its_answer_waits_is_gone_at_once);
	tcase_add_test(tests, an_answer_that_waits_is_cut_as_any_other);
	tcase_add_test(tests, nobody_turns_while_an_answer_waits);
	tcase_add_test(tests, a_reload_that_takes_the_limit_away_ends_the_pause);
	tcase_add_test(tests, an_answer_that_waits_moves_with_what_was_paid);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
