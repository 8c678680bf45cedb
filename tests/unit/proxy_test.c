/* proxy_test.c - the PROXY protocol: the header, in every split; and the connection around it. */
#include "fake_move.h"

#include "net/proxy.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <stdlib.h>

#define V2 "\r\n\r\n\0\r\nQUIT\n"

struct sample {
	const char *bytes;
	size_t len;                     /* of all bytes */
	size_t header;                  /* of the header; 0: it is none */
	const char *source;             /* NULL: the header has none */
};

#define SAMPLE(bytes, header, source) { bytes, sizeof(bytes) - 1, header, source }

static const char v1_long[] = "PROXY TCP6 1111:2222:3333:4444:5555:6666:7777:8888 "
			      "1111:2222:3333:4444:5555:6666:7777:8888 65535 65535\r\n";

static const struct sample samples[] = {
	SAMPLE("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", 42, "192.0.2.1:56324"),
	SAMPLE("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\nGET / HTTP/1.1\r\n", 42, "192.0.2.1:56324"),
	SAMPLE("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", 56, "255.255.255.255:65535"),
	SAMPLE("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", 32, "0.0.0.0:0"),
	SAMPLE("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", 32, "[2001:db8::1]:1"),
	SAMPLE("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", 37, "[::ffff:192.0.2.1]:1"),
	SAMPLE("PROXY TCP6 2001:DB8::A ::1 1 2\r\n", 32, "[2001:db8::a]:1"),
	SAMPLE("PROXY UNKNOWN\r\n", 15, NULL),
	SAMPLE("PROXY UNKNOWN anything at all\nis \rignored\r\n", 43, NULL),
	SAMPLE("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	       "65535 65535\r\n", 107, NULL),
	SAMPLE("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	       "65535 65535 \r\n", 0, NULL),
	SAMPLE("PROXY UNKNOWN, or so\r\n", 0, NULL),
	SAMPLE("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\nGET / HTTP/1.1\r\n", 0, NULL),
	SAMPLE("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\rGET / HTTP/1.1\r\n", 0, NULL),
	SAMPLE("PROXY  TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", 0, NULL),
	SAMPLE("PROXY TCP4 192.0.2.1  192.0.2.2 56324 443\r\n", 0, NULL),
	SAMPLE("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443 \r\n", 0, NULL),
	SAMPLE("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443 1\r\n", 0, NULL),
	SAMPLE("PROXY TCP4 192.0.2.1 192.0.2.2 56324\r\n", 0, NULL),
	SAMPLE("PROXY\tTCP4 192.0.2.1 192.0.2.2 56324 443\r\n", 0, NULL),
	SAMPLE("PROXY tcp4 192.0.2.1 192.0.2.2 56324 443\r\n", 0, NULL),
	SAMPLE("PROXY UDP4 192.0.2.1 192.0.2.2 56324 443\r\n", 0, NULL),
	SAMPLE("PROXY TCP4 192.0.2.01 192.0.2.2 56324 443\r\n", 0, NULL),
	SAMPLE("PROXY TCP4 192.0.2.256 192.0.2.2 56324 443\r\n", 0, NULL),
	SAMPLE("PROXY TCP4 192.0.2 192.0.2.2 56324 443\r\n", 0, NULL),
	SAMPLE("PROXY TCP4 192.0.2.1\0 192.0.2.2 56324 443\r\n", 0, NULL),
	SAMPLE("PROXY TCP4 ::1 ::1 56324 443\r\n", 0, NULL),
	SAMPLE("PROXY TCP6 192.0.2.1 192.0.2.2 56324 443\r\n", 0, NULL),
	SAMPLE("PROXY TCP6 2001:db8::1 192.0.2.2 56324 443\r\n", 0, NULL),
	SAMPLE("PROXY TCP6 2001:db8::1%eth0 ::1 56324 443\r\n", 0, NULL),
	SAMPLE("PROXY TCP4 192.0.2.1 192.0.2.2 65536 443\r\n", 0, NULL),
	SAMPLE("PROXY TCP4 192.0.2.1 192.0.2.2 056324 443\r\n", 0, NULL),
	SAMPLE("PROXY TCP4 192.0.2.1 192.0.2.2 56324 0443\r\n", 0, NULL),
	SAMPLE("PROXY TCP4 192.0.2.1 192.0.2.2 -1 443\r\n", 0, NULL),
	SAMPLE("PROXY TCP4 192.0.2.1 192.0.2.2 1 443443\r\n", 0, NULL),
	SAMPLE("PROXY \r\n", 0, NULL),
	SAMPLE("PROXY\r\n", 0, NULL),
	SAMPLE("proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n", 0, NULL),
	SAMPLE("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0, NULL),
	SAMPLE("\r\n\r\nPROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", 0, NULL),

	SAMPLE(V2 "\x21\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\x12\x34\0\x50", 28, "192.0.2.1:4660"),
	SAMPLE(V2 "\x21\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\x12\x34\0\x50GET", 28, "192.0.2.1:4660"),
	SAMPLE(V2 "\x21\x11\0\x13\xc0\0\2\1\xc0\0\2\2\x12\x34\0\x50\4\0\4abcdGET", 35, "192.0.2.1:4660"),
	SAMPLE(V2 "\x21\x21\0\x24 \1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2\x12\x34\0\x50", 52,
	       "[2001:db8::1]:4660"),
	SAMPLE(V2 "\x20\0\0\0", 16, NULL),
	SAMPLE(V2 "\x20\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\x12\x34\0\x50", 28, NULL),
	SAMPLE(V2 "\x20\xff\0\1x", 17, NULL),           /* of LOCAL the family is to be ignored */
	SAMPLE(V2 "\x21\0\0\0", 16, NULL),
	SAMPLE(V2 "\x21\0\0\3xyz", 19, NULL),
	SAMPLE(V2 "\x21\x12\0\x0c\xc0\0\2\1\xc0\0\2\2\x12\x34\0\x50", 28, NULL),
	SAMPLE(V2 "\x21\x10\0\0", 16, NULL),
	SAMPLE(V2 "\x21\x01\0\0", 16, NULL),
	SAMPLE(V2 "\x21\x11\0\x0b\xc0\0\2\1\xc0\0\2\2\x12\x34\0\x50", 0, NULL),
	SAMPLE(V2 "\x21\x21\0\x0c\xc0\0\2\1\xc0\0\2\2\x12\x34\0\x50", 0, NULL),
	SAMPLE(V2 "\x21\x31\0\x0c\xc0\0\2\1\xc0\0\2\2\x12\x34\0\x50", 0, NULL),
	SAMPLE(V2 "\x21\x41\0\0", 0, NULL),
	SAMPLE(V2 "\x21\x13\0\x0c\xc0\0\2\1\xc0\0\2\2\x12\x34\0\x50", 0, NULL),
	SAMPLE(V2 "\x22\0\0\0", 0, NULL),
	SAMPLE(V2 "\x11\0\0\0", 0, NULL),
	SAMPLE(V2 "\x31\0\0\0", 0, NULL),
	SAMPLE(V2 "\x20\0\x0f\xf1", 0, NULL),           /* a byte longer than what we take */
	SAMPLE("\r\n\r\n\0\r\nQUIT\r\x20\0\0\0", 0, NULL),
	SAMPLE("\r\n\r\nGET / HTTP/1.1\r\n", 0, NULL),
};

enum { SAMPLES = sizeof(samples) / sizeof(samples[0]) };

START_TEST(a_header_is_read_as_it_is_specified)
{
	const struct sample *sample = &samples[_i];
	struct proxy_header header = { 0 };
	enum proxy_result result = proxy_parse(sample->bytes, sample->len, &header);
	struct addr source;

	ck_assert_int_eq(result == PROXY_DONE, sample->header > 0);
	ck_assert_uint_eq(header.len, sample->header);
	ck_assert_int_eq(header.has_source, sample->source != NULL);
	if (sample->source != NULL) {
		peer_describe(&header.source, &source);
		ck_assert_str_eq(source.text, sample->source);
	}
}
END_TEST

/* Nothing is decided too early: only the whole header is one, and what was bad stays bad. */
START_TEST(a_part_of_a_header_waits_for_the_rest)
{
	const struct sample *sample = &samples[_i];
	enum proxy_result before = PROXY_MORE, result;
	struct proxy_header header;

	for (size_t len = 1; len <= sample->len; len++) {
		char *part = malloc(len);       /* so that a sanitizer sees a byte too much */

		memcpy(part, sample->bytes, len);
		result = proxy_parse(part, len, &header);
		free(part);
		if (before != PROXY_MORE)
			ck_assert_int_eq(result, before);
		if (sample->header > 0)
			ck_assert_int_eq(result, len < sample->header ? PROXY_MORE : PROXY_DONE);
		else
			ck_assert_int_ne(result, PROXY_DONE);
		before = result;
	}
}
END_TEST

START_TEST(a_line_without_an_end_is_refused_after_107_bytes)
{
	char line[200];
	struct proxy_header header;

	memset(line, 'x', sizeof(line));
	memcpy(line, "PROXY UNKNOWN ", 14);
	ck_assert_int_eq(proxy_parse(line, 106, &header), PROXY_MORE);
	ck_assert_int_eq(proxy_parse(line, 107, &header), PROXY_BAD);
	ck_assert_int_eq(proxy_parse(v1_long, sizeof(v1_long) - 1, &header), PROXY_DONE);
}
END_TEST

START_TEST(the_longest_header_is_not_waited_for_beyond_its_bound)
{
	static char bytes[PROXY_MOST_BYTES];
	struct proxy_header header;

	memcpy(bytes, V2 "\x21\0\x0f\xf0", 16);
	ck_assert_int_eq(proxy_parse(bytes, PROXY_MOST_BYTES - 1, &header), PROXY_MORE);
	ck_assert_int_eq(proxy_parse(bytes, PROXY_MOST_BYTES, &header), PROXY_DONE);
	ck_assert_uint_eq(header.len, PROXY_MOST_BYTES);
}
END_TEST

/* ---- the connection ---------------------------------------------------------------------------------- */

#define HEADER "PROXY TCP4 192.0.2.7 192.0.2.2 56324 443\r\n"
#define REQUEST "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"

static struct fake_server server;
static struct fake_client client;
static struct listener_rules rules = { .proxy = true, .proxy_ns = 60 * CLOCK_S, .proxy_from.local = true };

static void set_up(void)
{
	fake_server_open(&server, &protocol_http1);
	server.engine.nowhere.rules = &rules;
}

static void tear_down(void)
{
	fake_server_close(&server);
}

static struct conn *first_conn(void)
{
	return LIST_ENTRY(server.engine.conns.next, struct conn, link);
}

START_TEST(a_request_behind_the_header_is_served)
{
	fake_connect(&server, &client, HEADER REQUEST);
	ck_assert(fake_until_text(&client, "hello\n"));
	ck_assert_int_eq(conn_client(first_conn()).v4.sin_addr.s_addr, inet_addr("192.0.2.7"));
	ck_assert_int_eq(conn_peer(first_conn()).family, AF_UNIX);
}
END_TEST

START_TEST(header_and_request_come_in_any_portions)
{
	static const char bytes[] = HEADER REQUEST REQUEST;
	char one[2] = "";

	fake_connect_tcp(&server, &client, "");
	for (size_t i = 0; i < sizeof(bytes) - 1; i++) {
		one[0] = bytes[i];
		fake_send(&client, one);
		fake_turn(&server);
	}
	ck_assert(fake_until_text(&client, "hello\n"));
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 200"), 2);
}
END_TEST

START_TEST(a_connection_moves_behind_any_byte_of_header_and_request)
{
	static const char bytes[] = HEADER REQUEST;
	static struct fake_second second;
	char one[2] = "";

	fake_second_open(&second, &server);
	fake_connect_tcp(&server, &client, "");
	for (size_t i = 0; i < sizeof(bytes) - 1; i++) {
		one[0] = bytes[i];
		ck_assert_int_ne(fake_move(first_conn(), &second.engine), MOVING_NOT);
		fake_send(&client, one);
		fake_turn(&server);
		ck_assert_int_ne(fake_move(fake_only(&second.engine), &server.engine), MOVING_NOT);
		fake_turn(&server);
	}
	ck_assert(fake_until_text(&client, "hello\n"));
	ck_assert_int_eq(conn_client(first_conn()).v4.sin_addr.s_addr, inet_addr("192.0.2.7"));
	fake_second_close(&second);
}
END_TEST

/* By then the socket is watched: what was there with the rest of the header is no event of its own. */
START_TEST(a_request_that_comes_with_the_rest_of_the_header_is_served)
{
	fake_connect_tcp(&server, &client, "PROXY TCP4 ");
	fake_turn(&server);
	fake_turn(&server);
	fake_send(&client, "192.0.2.7 192.0.2.2 1 2\r\n" REQUEST);
	ck_assert(fake_until_text(&client, "hello\n"));
}
END_TEST

START_TEST(the_transport_sees_nothing_of_it)
{
	server.engine.transport = &fake_transport;
	fake_connect(&server, &client, HEADER REQUEST);
	ck_assert(fake_until_text(&client, "hello\n"));
}
END_TEST

START_TEST(a_connection_that_waits_for_its_header_holds_nothing_and_is_idle)
{
	fake_connect(&server, &client, "PROXY TCP4 ");
	fake_turn(&server);
	ck_assert_uint_eq(server.engine.states.in_use, 0);
	ck_assert_uint_eq(server.engine.pool.in_use_bytes, 0);
	ck_assert_int_eq(conn_protocol(first_conn())->doing(first_conn()), DOING_IDLE);
	fake_send(&client, "192.0.2.7 192.0.2.2 1 2\r\n");
	fake_turn(&server);
	ck_assert_ptr_eq(conn_protocol(first_conn()), &protocol_http1);
	ck_assert_int_eq(conn_protocol(first_conn())->doing(first_conn()), DOING_IDLE);
}
END_TEST

/* What a client sends that is not to be served. */
static const char *const refused[] = {
	REQUEST,
	"PROXY TCP4 192.0.2.7 192.0.2.2 56324 443\n" REQUEST,
	"PROXY TCP4 192.0.2.7 192.0.2.2 56324\r\n" REQUEST,
};

START_TEST(a_connection_without_a_header_is_closed_unanswered)
{
	fake_connect(&server, &client, refused[_i]);
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(client.len, 0);
	ck_assert_uint_eq(server.counters[COUNT_PROXY_REFUSED], 1);
	ck_assert_uint_eq(server.counters[COUNT_REQUESTS], 0);
}
END_TEST

START_TEST(who_is_not_in_proxy_from_is_refused)
{
	struct listener_rules strangers = rules;

	strangers.proxy_from.local = false;
	server.engine.nowhere.rules = &strangers;
	fake_connect(&server, &client, HEADER REQUEST);
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(client.len, 0);
	ck_assert_uint_eq(server.counters[COUNT_PROXY_REFUSED], 1);
}
END_TEST

START_TEST(a_header_that_does_not_come_in_time_is_not_waited_for)
{
	struct listener_rules hasty = rules;

	hasty.proxy_ns = 10 * CLOCK_MS;
	server.engine.nowhere.rules = &hasty;
	fake_connect(&server, &client, "PROXY TCP4 ");
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(server.counters[COUNT_TIMEOUTS], 1);
	ck_assert_uint_eq(server.counters[COUNT_PROXY_REFUSED], 1);
}
END_TEST

START_TEST(the_heads_deadline_begins_behind_the_header)
{
	server.config->request_head_ns = 20 * CLOCK_MS;
	fake_connect(&server, &client, HEADER "GET");
	ck_assert(fake_until_text(&client, "408"));
}
END_TEST

START_TEST(an_end_inside_of_the_header_is_the_end)
{
	fake_connect_tcp(&server, &client, "PROXY TCP4 ");
	ck_assert_int_eq(shutdown(client.fd, SHUT_WR), 0);
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(server.counters[COUNT_PROXY_REFUSED], 1);
}
END_TEST

START_TEST(an_end_behind_the_request_still_gets_its_answer)
{
	fake_connect_tcp(&server, &client, HEADER REQUEST);
	ck_assert_int_eq(shutdown(client.fd, SHUT_WR), 0);
	ck_assert(fake_until_text(&client, "hello\n"));
	ck_assert(fake_until_eof(&client));
}
END_TEST

START_TEST(a_health_check_that_only_connects_is_nothing_to_speak_of)
{
	fake_connect_tcp(&server, &client, "");
	fake_hang_up(&client);
	while (server.engine.count > 0)
		fake_turn(&server);
	ck_assert_uint_eq(server.counters[COUNT_PROXY_REFUSED], 0);
}
END_TEST

START_TEST(a_server_that_leaves_closes_who_still_waits)
{
	fake_connect(&server, &client, "PROXY TCP4 ");
	first_conn()->since_ns -= 2 * CLOCK_S;
	engine_drain(&server.engine, true);
	ck_assert(fake_until_eof(&client));
}
END_TEST

START_TEST(a_request_that_came_before_the_server_leaves_is_answered)
{
	fake_connect(&server, &client, "PROXY TCP4 ");
	first_conn()->since_ns -= 2 * CLOCK_S;
	fake_send(&client, "192.0.2.7 192.0.2.2 1 2\r\n" REQUEST);
	engine_drain(&server.engine, true);
	ck_assert(fake_until_text(&client, "hello\n"));
	ck_assert(fake_until_eof(&client));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("proxy");
	TCase *parse = tcase_create("parse"), *stage = tcase_create("stage");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(parse, a_header_is_read_as_it_is_specified, 0, SAMPLES);
	tcase_add_loop_test(parse, a_part_of_a_header_waits_for_the_rest, 0, SAMPLES);
	tcase_add_test(parse, a_line_without_an_end_is_refused_after_107_bytes);
	tcase_add_test(parse, the_longest_header_is_not_waited_for_beyond_its_bound);
	suite_add_tcase(suite, parse);
	tcase_add_checked_fixture(stage, set_up, tear_down);
	tcase_add_test(stage, a_request_behind_the_header_is_served);
	tcase_add_test(stage, header_and_request_come_in_any_portions);
	tcase_add_test(stage, a_connection_moves_behind_any_byte_of_header_and_request);
	tcase_add_test(stage, a_request_that_comes_with_the_rest_of_the_header_is_served);
	tcase_add_test(stage, the_transport_sees_nothing_of_it);
	tcase_add_test(stage, a_connection_that_waits_for_its_header_holds_nothing_and_is_idle);
	tcase_add_loop_test(stage, a_connection_without_a_header_is_closed_unanswered, 0,
			    sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(stage, who_is_not_in_proxy_from_is_refused);
	tcase_add_test(stage, a_header_that_does_not_come_in_time_is_not_waited_for);
	tcase_add_test(stage, the_heads_deadline_begins_behind_the_header);
	tcase_add_test(stage, an_end_inside_of_the_header_is_the_end);
	tcase_add_test(stage, an_end_behind_the_request_still_gets_its_answer);
	tcase_add_test(stage, a_health_check_that_only_connects_is_nothing_to_speak_of);
	tcase_add_test(stage, a_server_that_leaves_closes_who_still_waits);
	tcase_add_test(stage, a_request_that_came_before_the_server_leaves_is_answered);
	suite_add_tcase(suite, stage);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
