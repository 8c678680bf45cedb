/* http1: what a client sees, however its bytes and ours are cut. */
#include "fake_server.h"

#include "base/clock.h"
#include "base/watch.h"

#include "http/http1_state.h"
#include "http/response.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define LAST(path) "GET " path " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
#define OLD(path) "GET " path " HTTP/1.0\r\n\r\n"

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

/* All that the server says to `text`, after which it closes. */
static void ask(const char *text)
{
	fake_connect(&server, &client, text);
	ck_assert_msg(fake_until_eof(&client), "still open, after: %s",
		      client.text != NULL ? client.text : "");
}

static const char *body_of(const struct fake_client *one)
{
	const char *end = strstr(one->text, "\r\n\r\n");

	return end != NULL ? end + 4 : "(no body)";
}

/* ---- one request ------------------------ */

START_TEST(a_get_is_answered_with_the_body)
{
	ask(LAST("/hello"));
	ck_assert_str_eq(body_of(&client), "hello\n");
}
END_TEST

START_TEST(a_head_is_answered_with_the_length_and_no_body)
{
	ask("HEAD /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	ck_assert_uint_eq(fake_count(&client, "Content-Length: 6\r\n"), 1);
	ck_assert_str_eq(body_of(&client), "");
}
END_TEST

START_TEST(a_head_of_a_stream_does_not_pull_it)
{
	ask("HEAD /trickle HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	ck_assert_str_eq(body_of(&client), "");
}
END_TEST

START_TEST(a_file_is_sent_whole)
{
	char *content = malloc(300000);

	for (unsigned i = 0; i < 300000; i++)
		content[i] = (char)('a' + i % 23);
	fake_file(&server, "big.txt", content, 300000);
	ask(LAST("/big.txt"));
	ck_assert_uint_eq(client.len - (size_t)(body_of(&client) - client.text), 300000);
	ck_assert_mem_eq(body_of(&client), content, 300000);
	free(content);
}
END_TEST

START_TEST(a_file_is_sent_whole_by_a_transport_that_cannot_sendfile)
{
	char *content = malloc(100000);

	memset(content, 'x', 100000);
	fake_file(&server, "big.txt", content, 100000);
	server.engine.transport = &fake_transport;
	fake_fits.send_bytes = 1000;
	ask(LAST("/big.txt"));
	ck_assert_uint_eq(client.len - (size_t)(body_of(&client) - client.text), 100000);
	ck_assert_mem_eq(body_of(&client), content, 100000);
	free(content);
}
END_TEST

/* A transport that remembers whether bytes wait in the kernel for others to come. */
static struct transport corking;
static bool is_corked;
static unsigned corks;

static enum io note_writev(struct conn *conn, const struct iovec *parts, int count, bool more, size_t *sent)
{
	ck_assert(!is_corked);
	is_corked = more;
	corks += more ? 1 : 0;
	return transport_plain.writev(conn, parts, count, more, sent);
}

static enum io note_send_file(struct conn *conn, int file_fd, off_t *offset, size_t len, size_t *sent)
{
	is_corked = false;
	return transport_plain.send_file(conn, file_fd, offset, len, sent);
}

/* Whatever turn comes next, nothing waits for it in the kernel. */
static bool is_whole(void *what)
{
	ck_assert(!is_corked);
	return ((const struct fake_client *)what)->len > FAKE_COLD_BYTES;
}

static void ask_corking(const char *text)
{
	corking = transport_plain;
	corking.writev = note_writev;
	corking.send_file = note_send_file;
	server.engine.transport = &corking;
	fake_connect(&server, &client, text);
	ck_assert(fake_until(&server, is_whole, &client));
}

START_TEST(a_head_goes_out_together_with_its_file)
{
	ask_corking(GET("/warm"));
	ck_assert_uint_eq(corks, 1);
}
END_TEST

START_TEST(a_head_does_not_wait_in_the_kernel_for_a_file_that_has_to_be_brought)
{
	ask_corking(GET("/cold"));
	ck_assert_uint_eq(corks, 0);
	ck_assert_uint_eq(client.len - (size_t)(body_of(&client) - client.text), FAKE_COLD_BYTES);
}
END_TEST

START_TEST(while_a_file_is_brought_others_are_served)
{
	fake_connect(&server, &other, GET("/cold"));
	fake_connect(&server, &client, GET("/hello"));
	ck_assert(fake_until_text(&client, "hello\n"));
	ck_assert_uint_lt(other.len, FAKE_COLD_BYTES);
	ck_assert(fake_until(&server, is_whole, &other));
}
END_TEST

START_TEST(a_client_that_goes_while_a_file_is_brought_leaves_nothing)
{
	fake_connect(&server, &client, GET("/cold"));
	fake_turn(&server);
	engine_cut(&server.engine);
	ck_assert_uint_eq(timers_next_ns(&server.loop.timers), UINT64_MAX);
	ck_assert_uint_eq(fake_cancels, 1);
}
END_TEST

START_TEST(an_empty_file_has_length_0)
{
	fake_file(&server, "empty", "", 0);
	ask(LAST("/empty"));
	ck_assert_uint_eq(fake_count(&client, "Content-Length: 0\r\n"), 1);
}
END_TEST

START_TEST(a_304_has_no_length_and_no_body)
{
	fake_file(&server, "x", "x", 1);
	ask("GET /x HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\nConnection: close\r\n\r\n");
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 304 Not Modified\r\n"), 1);
	ck_assert_uint_eq(fake_count(&client, "Content-Length"), 0);
	ck_assert_str_eq(body_of(&client), "");
}
END_TEST

START_TEST(a_stream_without_a_length_is_chunked)
{
	ask(LAST("/trickle"));
	ck_assert_uint_eq(fake_count(&client, "Transfer-Encoding: chunked\r\n"), 1);
	ck_assert_str_eq(body_of(&client),
			 "0001\r\nt\r\n0001\r\nr\r\n0001\r\ni\r\n0001\r\nc\r\n0001\r\nk\r\n0001\r\nl\r\n"
			 "0001\r\ne\r\n0\r\n\r\n");
}
END_TEST

START_TEST(a_stream_of_known_length_is_not_chunked)
{
	ask(LAST("/known"));
	ck_assert_uint_eq(fake_count(&client, "Content-Length: 7\r\n"), 1);
	ck_assert_str_eq(body_of(&client), "trickle");
}
END_TEST

START_TEST(a_stream_ends_with_the_connection_for_an_old_client)
{
	ask("GET /trickle HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	ck_assert_uint_eq(fake_count(&client, "Connection: close\r\n"), 1);
	ck_assert_str_eq(body_of(&client), "trickle");
}
END_TEST

START_TEST(a_head_of_a_stream_says_the_same_to_an_old_client)
{
	ask("HEAD /trickle HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	ck_assert_uint_eq(fake_count(&client, "Connection: close\r\n"), 1);
}
END_TEST

START_TEST(a_stream_that_breaks_off_never_looks_complete)
{
	ask(LAST("/breaks"));
	ck_assert_uint_eq(fake_count(&client, "0\r\n\r\n"), 0);
}
END_TEST

START_TEST(a_service_may_answer_later)
{
	ask(LAST("/later"));
	ck_assert_str_eq(body_of(&client), "soon");
	ck_assert_uint_eq(fake_cancels, 1);
}
END_TEST

START_TEST(a_service_is_told_when_the_client_has_gone)
{
	fake_connect(&server, &client, GET("/slow"));
	fake_turn(&server);
	fake_hang_up(&client);
	fake_turn(&server);
	ck_assert_uint_eq(fake_cancels, 1);
	ck_assert_uint_eq(server.engine.count, 0);
}
END_TEST

START_TEST(a_cancelled_service_has_no_timer)
{
	fake_connect(&server, &client, GET("/slow"));
	engine_cut(&server.engine);
	ck_assert_uint_eq(timers_next_ns(&server.loop.timers), UINT64_MAX);
}
END_TEST

/* ---- many requests ------------------------ */

static const char pipeline[] =
	GET("/hello") GET("/x") GET("/later") GET("/known") GET("/nope") LAST("/hello");

/* The answers hold `parts`, in this order. */
static void check_order(const char *const *parts, unsigned count)
{
	const char *at = client.text;

	for (unsigned i = 0; i < count; i++) {
		at = strstr(at, parts[i]);
		ck_assert_msg(at != NULL, "answer %u is not there: %s", i, client.text);
		at++;
	}
}

static void check_pipeline(void)
{
	static const char *const parts[] = { "hello\n", "file x", "soon", "trickle", "404 Not Found</h1>",
					     "hello\n" };

	check_order(parts, 6);
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 200 OK\r\n"), 5);
}

START_TEST(pipelined_requests_are_answered_in_order)
{
	fake_file(&server, "x", "file x", 6);
	ask(pipeline);
	check_pipeline();
}
END_TEST

START_TEST(the_answers_do_not_depend_on_how_the_bytes_come_and_go)
{
	static const size_t fits[] = { 1, 2, 3, 7, 31, 64, 211 };

	fake_file(&server, "x", "file x", 6);
	server.engine.transport = &fake_transport;
	fake_fits.recv_bytes = fits[_i];
	fake_fits.send_bytes = fits[6 - _i];
	fake_fits.again_every = 5;
	ask(pipeline);
	check_pipeline();
}
END_TEST

START_TEST(a_pipeline_is_answered_whatever_the_first_packet_held)
{
	char first[sizeof(pipeline)] = "";

	fake_file(&server, "x", "file x", 6);
	memcpy(first, pipeline, (size_t)_i);
	fake_connect(&server, &client, first);
	fake_send(&client, pipeline + _i);
	ck_assert(fake_until_eof(&client));
	check_pipeline();
}
END_TEST

START_TEST(more_requests_than_a_turn_s_budget_are_all_answered)
{
	char many[64 * sizeof(GET("/hello"))] = "";

	for (unsigned i = 0; i < 60; i++)
		strcat(many, GET("/hello"));
	strcat(many, LAST("/hello"));
	ask(many);
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 200 OK\r\n"), 61);
}
END_TEST

START_TEST(a_half_closed_client_gets_all_its_answers)
{
	fake_connect(&server, &client, "");
	fake_send(&client, GET("/hello") GET("/later") GET("/hello"));
	shutdown(client.fd, SHUT_WR);
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 200 OK\r\n"), 3);
}
END_TEST

START_TEST(a_client_is_told_how_long_its_connection_may_be_idle)
{
	ask(GET("/hello") LAST("/hello"));
	ck_assert_uint_eq(fake_count(&client, "Connection: keep-alive\r\nKeep-Alive: timeout=60\r\n"), 1);
	ck_assert_uint_eq(fake_count(&client, "Keep-Alive:"), 1);
}
END_TEST

START_TEST(a_fraction_of_a_second_is_not_said)
{
	server.config->keep_alive_ns = 900 * CLOCK_MS;
	ask(GET("/hello") LAST("/hello"));
	ck_assert_uint_eq(fake_count(&client, "Keep-Alive:"), 0);
}
END_TEST

START_TEST(an_old_client_is_told_that_the_connection_is_kept)
{
	ask("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" OLD("/hello"));
	ck_assert_uint_eq(fake_count(&client, "Connection: keep-alive\r\n"), 1);
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 200 OK\r\n"), 2);
}
END_TEST

START_TEST(an_idle_connection_holds_no_memory)
{
	fake_connect(&server, &client, GET("/hello"));
	ck_assert(fake_until_text(&client, "hello\n"));
	ck_assert_uint_eq(server.engine.count, 1);
	ck_assert_uint_eq(server.engine.states.in_use, 0);
	ck_assert_uint_eq(server.engine.pool.in_use_bytes, 0);
}
END_TEST

/* ---- bodies ------------------------ */

#define WITH(fields, body) "GET /hello HTTP/1.1\r\nHost: a\r\n" fields "\r\n" body
#define CHUNKED(body) WITH("Transfer-Encoding: chunked\r\n", body)

static const char bodies[] =
	WITH("Content-Length: 31\r\n", GET("/nope")) GET("/x") CHUNKED("5;a=b\r\nhello\r\n0\r\nT: u\r\n\r\n")
		WITH("Content-Length: 0\r\n",
		     "") "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyz" CHUNKED("0\r\n\r\n")
			LAST("/hello");

static void check_bodies(void)
{
	static const char *const parts[] = { "hello\n",    "file x",  "hello\n",          "hello\n",
					     "405 Method", "hello\n", "Connection: close" };

	check_order(parts, 7);
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 200 OK\r\n"), 6);
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 "), 7);
}

START_TEST(a_connection_goes_on_behind_a_body)
{
	fake_file(&server, "x", "file x", 6);
	ask(bodies);
	check_bodies();
}
END_TEST

START_TEST(bodies_may_be_cut_anywhere)
{
	char first[sizeof(bodies)] = "";

	fake_file(&server, "x", "file x", 6);
	memcpy(first, bodies, (size_t)_i);
	fake_connect(&server, &client, first);
	fake_turn(&server);
	fake_send(&client, bodies + _i);
	ck_assert(fake_until_eof(&client));
	check_bodies();
}
END_TEST

START_TEST(bodies_may_come_and_go_in_fits)
{
	static const size_t fits[] = { 1, 2, 3, 7, 31, 64, 211 };

	fake_file(&server, "x", "file x", 6);
	server.engine.transport = &fake_transport;
	fake_fits.recv_bytes = fits[_i];
	fake_fits.send_bytes = fits[6 - _i];
	fake_fits.again_every = 5;
	ask(bodies);
	check_bodies();
}
END_TEST

static bool sent(void *what)
{
	struct fake_client *one = what;
	static char much[100000];

	while (one->len < 900000) {     /* `len` counts what was sent, as long as nothing comes */
		size_t most = 900000 - one->len < sizeof(much) ? 900000 - one->len : sizeof(much);
		ssize_t len = send(one->fd, much, most, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (len < 0)
			return false;
		one->len += (size_t)len;
	}
	return true;
}

START_TEST(a_client_may_send_a_large_body_before_it_reads)
{
	fake_connect(&server, &client, WITH("Content-Length: 900000\r\n", ""));
	client.deaf = true;
	ck_assert(fake_until(&server, sent, &client));
	client.deaf = false;
	client.len = 0;
	fake_send(&client, LAST("/hello"));
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 200 OK\r\n"), 2);
}
END_TEST

/* What is still to be sent, as far as the socket takes it. */
static bool all_sent(void *what)
{
	struct str *rest = what;
	ssize_t len = send(client.fd, rest->at, rest->len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (len > 0)
		*rest = (struct str){ rest->at + len, rest->len - (size_t)len };
	ck_assert_uint_le(server.engine.pool.in_use_bytes, 64 * 1024);
	return rest->len == 0 || client.eof;
}

/* So many that they are cut everywhere by the buffer's end: it does not grow with them. */
START_TEST(a_pipeline_of_bodies_needs_no_more_room_than_one)
{
	enum { REQUESTS = 1000, BODY_BYTES = 1000 };
	char *many = calloc(REQUESTS, BODY_BYTES + 100), *at = many;
	struct str rest;

	ck_assert_ptr_nonnull(many);
	for (unsigned i = 0; i < REQUESTS; i++)
		at += sprintf(at, "GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: %u\r\n\r\n%0*u", BODY_BYTES,
			      BODY_BYTES, i);
	strcpy(at, LAST("/hello"));
	rest = str_of(many);
	fake_connect(&server, &client, "");
	ck_assert(fake_until(&server, all_sent, &rest));
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 200 OK\r\n"), REQUESTS + 1);
	free(many);
}
END_TEST

static const struct {
	const char *text;
	unsigned status;
} bad_bodies[] = {
	{ CHUNKED("x\r\n"), 400 },
	{ CHUNKED("5\nhello"), 400 },
	{ CHUNKED("5\r\nhelloX\r\n0\r\n\r\n"), 400 },
	{ CHUNKED("0\r\na b: c\r\n\r\n"), 400 },
	{ CHUNKED("3e9\r\n"), 413 },
	{ WITH("Content-Length: 1001\r\n", ""), 413 },
	{ WITH("Content-Length: 1001\r\nExpect: 100-continue\r\n", ""), 413 },
	{ WITH("Content-Length: 5\r\nExpect: x\r\n", "hello"), 417 },
};

START_TEST(a_bad_body_gets_its_status)
{
	char status[32];

	server.config->body_bytes = 1000;
	if (bad_bodies[_i].status == 417) {
		fake_connect(&server, &client, bad_bodies[_i].text);
		fake_send(&client, LAST("/hello"));
		ck_assert(fake_until_eof(&client));
	} else {
		ask(bad_bodies[_i].text);
		ck_assert_uint_eq(fake_count(&client, "Connection: close\r\n"), 1);
		ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 "), 1);
	}
	snprintf(status, sizeof(status), "HTTP/1.1 %u ", bad_bodies[_i].status);
	ck_assert_uint_eq(fake_count(&client, status), 1);
}
END_TEST

START_TEST(a_body_that_ends_early_gets_400)
{
	fake_connect(&server, &client, WITH("Content-Length: 5\r\n", "hell"));
	shutdown(client.fd, SHUT_WR);
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 400 Bad Request\r\n"), 1);
}
END_TEST

/* Some clients want to see the answer before they send a body. */
START_TEST(a_body_that_does_not_come_is_not_waited_for)
{
	ask(WITH("Content-Length: 5\r\n", "hell"));
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 200 OK\r\n"), 1);
	ck_assert_uint_eq(fake_count(&client, "Connection: close\r\n"), 1);
	ck_assert_uint_eq(server.counters[COUNT_TIMEOUTS], 1);
}
END_TEST

static void drip(struct timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	send(client.fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	loop_timer(&server.loop, timer, 5 * CLOCK_MS);
}

START_TEST(a_body_that_drips_is_not_waited_for)
{
	struct timer drops = { .fire = drip };

	server.config->body_ns = 100 * CLOCK_MS;
	fake_connect(&server, &client, WITH("Content-Length: 10000\r\n", ""));
	loop_timer(&server.loop, &drops, CLOCK_MS);
	ck_assert(fake_until_eof(&client));
	timer_cancel(&drops);
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 200 OK\r\n"), 1);
	ck_assert_uint_eq(fake_count(&client, "Connection: close\r\n"), 1);
}
END_TEST

/* ---- what ends a connection ------------------------ */

START_TEST(a_100_is_never_sent)
{
	ask("POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 100"), 0);
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 405"), 1);
	ck_assert_uint_eq(fake_count(&client, "Connection: close\r\n"), 1);
	ck_assert_uint_eq(server.counters[COUNT_TIMEOUTS], 0);  /* it was not waited for */
}
END_TEST

START_TEST(nonsense_gets_400_and_the_end)
{
	ask("nonsense\r\n\r\n" GET("/hello"));
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 400 Bad Request\r\n"), 1);
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 "), 1);
	ck_assert_uint_eq(server.counters[COUNT_PARSE_ERRORS], 1);
}
END_TEST

START_TEST(a_client_that_sends_on_after_an_error_is_not_reset)
{
	fake_connect(&server, &client, "nonsense\r\n\r\n");
	for (unsigned i = 0; i < 100; i++)
		fake_send(&client, "and more of it\r\n");
	ck_assert(fake_until_text(&client, "</p>\n"));
	fake_send(&client, "and on\r\n");
	ck_assert(fake_until_eof(&client));
	ck_assert_int_eq(client.error, 0);
}
END_TEST

START_TEST(a_client_that_wants_to_close_may_still_send_its_body)
{
	fake_connect(&server, &client,
		     "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\n");
	ck_assert(fake_until_text(&client, "hello\n"));
	fake_send(&client, "body");
	ck_assert(fake_until_eof(&client));
	ck_assert_int_eq(client.error, 0);
}
END_TEST

START_TEST(a_lingering_connection_ends_with_the_client_s_fin)
{
	fake_connect(&server, &client, "nonsense\r\n\r\n");
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(server.engine.count, 1);
	fake_hang_up(&client);
	fake_turn(&server);
	ck_assert_uint_eq(server.engine.count, 0);
}
END_TEST

static void chatter(struct timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	send(client.fd, "and on\r\n", 8, MSG_NOSIGNAL | MSG_DONTWAIT);
	loop_timer(&server.loop, timer, 100 * CLOCK_MS);
}

static bool nobody_left(void *what)
{
	return ((struct fake_server *)what)->engine.count == 0;
}

START_TEST(a_lingering_connection_ends_after_two_seconds)
{
	fake_connect(&server, &client, "nonsense\r\n\r\n");
	ck_assert(fake_until(&server, nobody_left, &server));
}
END_TEST

START_TEST(a_client_that_still_sends_is_listened_to_for_longer)
{
	struct timer words = { .fire = chatter };

	fake_connect(&server, &client, "nonsense\r\n\r\n");
	loop_timer(&server.loop, &words, CLOCK_MS);
	server.loop.now_ns = clock_now_ns();
	ck_assert(!fake_until_within(&server, nobody_left, &server, 5 * CLOCK_S));
	timer_cancel(&words);
}
END_TEST

/* A connection that never has to wait arms no timer: the time is looked at whenever something comes. */
START_TEST(a_client_that_always_sends_is_not_listened_to_for_ever)
{
	struct http1 *http;

	fake_connect(&server, &client, "nonsense\r\n\r\n");
	ck_assert(fake_until_eof(&client));
	http = LIST_ENTRY(server.engine.leaving.next, struct conn, link)->state;
	http->until_ns = 1;
	fake_send(&client, "and on\r\n");
	fake_turn(&server);
	ck_assert_uint_eq(server.engine.count, 0);
}
END_TEST

START_TEST(a_client_that_still_sends_does_not_hold_up_a_server_that_leaves)
{
	struct timer words = { .fire = chatter };

	fake_connect(&server, &client, "nonsense\r\n\r\n");
	loop_timer(&server.loop, &words, CLOCK_MS);
	engine_drain(&server.engine, true);
	ck_assert(fake_until(&server, nobody_left, &server));
	timer_cancel(&words);
}
END_TEST

START_TEST(a_file_that_shrinks_cuts_the_connection)
{
	char *content = calloc(1, 2000000), path[128];

	fake_file(&server, "shrinks", content, 2000000);
	fake_connect(&server, &client, GET("/shrinks"));
	snprintf(path, sizeof(path), "%s/shrinks", server.root);
	ck_assert_int_eq(truncate(path, 1000), 0);
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_lt(client.len, 2000000);
	ck_assert_uint_eq(server.counters[COUNT_FILE_SHRANK], 1);
	free(content);
}
END_TEST

/* Files of now are as old to the server as if it were a minute later. */
static void be_late(void)
{
	struct wall *wall = (struct wall *)(uintptr_t)wall_clock(&server.loop);

	wall->now += 60;
	wall->until_ns = UINT64_MAX;
}

enum { OLD_BYTES = 2000000 };

/* A file that the kernel sends is under way to a client that takes it slowly. */
static void start_old_file(void)
{
	char *content = calloc(1, OLD_BYTES);

	be_late();
	fake_file(&server, "old", content, OLD_BYTES);
	free(content);
	fake_connect(&server, &client, GET("/old"));
	client.gulp = 1000;
	ck_assert(fake_until_text(&client, "\r\n\r\n"));
	client.gulp = 0;
}

static const char *old_path(void)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/old", server.root);
	return path;
}

static const struct transport *const transports[] = { &transport_plain, &fake_transport };

START_TEST(a_file_that_is_written_to_cuts_the_connection)
{
	int fd;

	server.engine.transport = transports[_i];
	start_old_file();
	fd = open(old_path(), O_WRONLY | O_CLOEXEC);
	ck_assert_int_eq(pwrite(fd, "x", 1, OLD_BYTES - 1), 1);
	close(fd);
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_lt(client.len, OLD_BYTES);
	ck_assert_uint_eq(server.counters[COUNT_FILE_CHANGED], 1);
}
END_TEST

START_TEST(a_file_that_is_written_to_with_its_old_time_cuts_the_connection)
{
	struct stat stat_before;
	int fd;

	server.engine.transport = transports[_i];
	start_old_file();
	fd = open(old_path(), O_WRONLY | O_CLOEXEC);
	ck_assert_int_eq(fstat(fd, &stat_before), 0);
	ck_assert_int_eq(pwrite(fd, "x", 1, OLD_BYTES - 1), 1);
	ck_assert_int_eq(futimens(fd, (struct timespec[]){ stat_before.st_atim, stat_before.st_mtim }), 0);
	close(fd);
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(server.counters[COUNT_FILE_CHANGED], 1);
}
END_TEST

START_TEST(a_file_that_is_renamed_is_still_sent)
{
	char away[160];

	server.engine.transport = transports[_i / 2];
	start_old_file();
	snprintf(away, sizeof(away), "%s.away", old_path());
	ck_assert_int_eq(rename(old_path(), away), 0);
	if (_i % 2 != 0)
		ck_assert_int_eq(unlink(away), 0);
	fake_send(&client, LAST("/hello"));
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_gt(client.len, OLD_BYTES);
	ck_assert_uint_eq(server.counters[COUNT_FILE_CHANGED], 0);
}
END_TEST

/* From now on the kernel tells of what changes. */
static void watch_files(void)
{
	struct err err;

	server.engine.watcher = watcher_open(&server.loop, NULL, &err);
	ck_assert_ptr_nonnull(server.engine.watcher);
}

static void end_watching(void)
{
	engine_cut(&server.engine);
	watcher_close(server.engine.watcher);
	server.engine.watcher = NULL;
}

START_TEST(a_watched_file_that_is_written_to_cuts_the_connection)
{
	int fd;

	watch_files();
	server.engine.transport = transports[_i];
	start_old_file();
	fd = open(old_path(), O_WRONLY | O_CLOEXEC);
	ck_assert_int_eq(pwrite(fd, "x", 1, OLD_BYTES - 1), 1);
	close(fd);
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_lt(client.len, OLD_BYTES);
	ck_assert_uint_eq(server.counters[COUNT_FILE_CHANGED], 1);
	end_watching();
}
END_TEST

/* Nobody tells of that; its time does, where the file system notes it. */
START_TEST(a_watched_file_that_a_mapping_changes_cuts_the_connection)
{
	struct stat before, behind;
	char *bytes;
	int fd;

	watch_files();
	server.engine.transport = transports[_i];
	start_old_file();
	fd = open(old_path(), O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(fstat(fd, &before), 0);
	bytes = mmap(NULL, OLD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(bytes, MAP_FAILED);
	bytes[OLD_BYTES - 1] = 'x';
	ck_assert_int_eq(fstat(fd, &behind), 0);
	fake_send(&client, LAST("/hello"));
	ck_assert(fake_until_eof(&client));
	if (memcmp(&before.st_mtim, &behind.st_mtim, sizeof(before.st_mtim)) != 0)
		ck_assert_uint_eq(server.counters[COUNT_FILE_CHANGED], 1);
	end_watching();
	ck_assert_int_eq(munmap(bytes, OLD_BYTES), 0);
	close(fd);
}
END_TEST

START_TEST(a_watched_file_that_is_renamed_is_still_sent)
{
	char away[160];

	watch_files();
	server.engine.transport = transports[_i];
	start_old_file();
	snprintf(away, sizeof(away), "%s.away", old_path());
	ck_assert_int_eq(rename(old_path(), away), 0);
	fake_send(&client, LAST("/hello"));
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_gt(client.len, OLD_BYTES);
	ck_assert_uint_eq(server.counters[COUNT_FILE_CHANGED], 0);
	end_watching();
}
END_TEST

/* ---- time ------------------------ */

START_TEST(a_client_that_sends_nothing_is_closed_silently)
{
	server.config->request_head_ns = 10 * CLOCK_MS;
	ask("");
	ck_assert_uint_eq(client.len, 0);
	ck_assert_uint_eq(server.counters[COUNT_TIMEOUTS], 1);
}
END_TEST

START_TEST(a_head_that_does_not_come_gets_408)
{
	server.config->request_head_ns = 10 * CLOCK_MS;
	ask("GET /hello HT");
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 408 Request Timeout\r\n"), 1);
	ck_assert_uint_eq(server.counters[COUNT_TIMEOUTS], 1);
}
END_TEST

START_TEST(the_second_head_that_does_not_come_gets_408)
{
	server.config->request_head_ns = 10 * CLOCK_MS;
	ask(GET("/hello") "GET /");
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 408 Request Timeout\r\n"), 1);
}
END_TEST

START_TEST(an_idle_connection_is_closed_after_keep_alive)
{
	server.config->keep_alive_ns = 10 * CLOCK_MS;
	server.config->keep_alive_grace_ns = 0;
	ask(GET("/hello"));
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 "), 1);
	ck_assert_uint_eq(server.counters[COUNT_TIMEOUTS], 0);
}
END_TEST

static void tick(struct timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	loop_timer(&server.loop, timer, 4 * CLOCK_MS);
}

static bool is_past(void *when_ns)
{
	return clock_now_ns() > *(uint64_t *)when_ns;
}

START_TEST(an_idle_connection_has_a_grace_for_a_request_on_its_way)
{
	struct timer turns = { .fire = tick };
	uint64_t when_ns = clock_now_ns() + 60 * CLOCK_MS;

	server.config->keep_alive_ns = 10 * CLOCK_MS;
	server.config->keep_alive_grace_ns = 2 * CLOCK_S;
	fake_connect(&server, &client, GET("/hello"));
	ck_assert(fake_until_text(&client, "hello\n"));
	loop_timer(&server.loop, &turns, CLOCK_MS);
	ck_assert(fake_until(&server, is_past, &when_ns));
	timer_cancel(&turns);
	ck_assert(!client.eof);
	fake_send(&client, LAST("/hello"));
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 200 OK\r\n"), 2);
}
END_TEST

static struct conn *only_conn(void)
{
	ck_assert_uint_eq(server.engine.count, 1);
	return LIST_ENTRY(server.engine.conns.next, struct conn, link);
}

static void let_idle_time_end(void)
{
	struct conn *conn = only_conn();

	conn->since_ns -= 1000 * CLOCK_S;
	server.loop.lean->fire(&conn->timer, server.loop.now_ns);
}

/* As when the loop was busy for so long that timers are late, too, and come first. */
START_TEST(a_request_that_waits_when_the_idle_time_is_over_is_served)
{
	fake_connect(&server, &client, GET("/hello"));
	ck_assert(fake_until_text(&client, "hello\n"));
	fake_send(&client, GET("/hello"));
	let_idle_time_end();
	ck_assert_uint_eq(server.counters[COUNT_REQUESTS], 2);
	ck_assert(fake_until_text(&client, "hello\n"));
	fake_turn(&server);
	ck_assert(!client.eof);
	let_idle_time_end();
	ck_assert(fake_until_eof(&client));
	ck_assert_int_eq(client.error, 0);
}
END_TEST

static uint64_t quiet_for_ns;
static size_t unsent_bytes;

static uint64_t fake_quiet_ns(const struct conn *conn)
{
	(void)conn;
	return quiet_for_ns;
}

static size_t fake_unsent(const struct conn *conn)
{
	(void)conn;
	return unsent_bytes;
}

static void be_served_slowly(void)
{
	static struct transport transport;

	transport = transport_plain;
	transport.quiet_ns = fake_quiet_ns;
	transport.unsent = fake_unsent;
	server.config->keep_alive_ns = 900 * CLOCK_MS;
	server.config->keep_alive_grace_ns = 0;
	server.config->send_ns = 20 * CLOCK_MS;
	fake_connect(&server, &client, GET("/hello"));
	ck_assert(fake_until_text(&client, "hello\n"));
	server.engine.transport = &transport;
}

START_TEST(a_slow_clients_time_begins_when_the_last_byte_has_left)
{
	unsent_bytes = 0;
	be_served_slowly();
	quiet_for_ns = 880 * CLOCK_MS;
	let_idle_time_end();
	fake_turn(&server);
	ck_assert(!client.eof);
	quiet_for_ns = 900 * CLOCK_MS;
	ck_assert(fake_until_eof(&client));
}
END_TEST

START_TEST(a_client_that_does_not_take_the_end_is_not_waited_for_for_ever)
{
	unsent_bytes = 1;
	be_served_slowly();
	quiet_for_ns = 910 * CLOCK_MS;
	let_idle_time_end();
	fake_turn(&server);
	ck_assert(!client.eof);
	quiet_for_ns = 920 * CLOCK_MS;
	ck_assert(fake_until_eof(&client));
}
END_TEST

START_TEST(a_client_that_takes_nothing_is_cut)
{
	char *content = calloc(1, 4000000);

	server.config->send_ns = 20 * CLOCK_MS;
	fake_file(&server, "big", content, 4000000);
	fake_connect(&server, &client, "");
	client.deaf = true;
	fake_send(&client, GET("/big"));
	ck_assert(fake_until(&server, nobody_left, &server));
	ck_assert_uint_eq(server.counters[COUNT_TIMEOUTS], 1);
	free(content);
}
END_TEST

START_TEST(a_client_that_takes_a_little_at_a_time_is_not_cut)
{
	struct timer turns = { .fire = tick };
	char *content = calloc(1, 4000000);

	server.config->send_ns = 250 * CLOCK_MS;
	server.config->min_rate = 40000;
	fake_file(&server, "big", content, 4000000);
	loop_timer(&server.loop, &turns, CLOCK_MS);
	fake_connect(&server, &client, "");
	client.gulp = 40000;
	fake_send(&client, LAST("/big"));
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_gt(client.len, 4000000);
	timer_cancel(&turns);
	free(content);
}
END_TEST

START_TEST(a_client_that_takes_too_little_at_a_time_is_cut)
{
	struct timer turns = { .fire = tick };
	char *content = calloc(1, 4000000);

	server.config->send_ns = 250 * CLOCK_MS;
	server.config->min_rate = 10000000;
	fake_file(&server, "big", content, 4000000);
	loop_timer(&server.loop, &turns, CLOCK_MS);
	fake_connect(&server, &client, "");
	client.gulp = 1000;
	fake_send(&client, LAST("/big"));
	ck_assert(fake_until(&server, nobody_left, &server));
	ck_assert_uint_lt(client.len, 4000000);
	ck_assert_uint_eq(server.counters[COUNT_TIMEOUTS], 1);
	timer_cancel(&turns);
	free(content);
}
END_TEST

START_TEST(a_stream_that_stalls_is_not_a_slow_client)
{
	server.config->send_ns = CLOCK_MS;
	ask(LAST("/stalls"));
	ck_assert_str_eq(body_of(&client), "0001\r\nx\r\n0001\r\ny\r\n0\r\n\r\n");
}
END_TEST

START_TEST(a_slow_service_is_not_a_slow_client)
{
	server.config->send_ns = CLOCK_MS;
	server.config->request_head_ns = CLOCK_MS;
	ask(LAST("/slow"));
	ck_assert_str_eq(body_of(&client), "slow");
}
END_TEST

/* ---- reload and drain ------------------------ */

START_TEST(an_adopted_generation_answers_the_next_request_of_an_open_connection)
{
	fake_connect(&server, &client, GET("/hello"));
	ck_assert(fake_until_text(&client, "hello\n"));
	generation_unpin(engine_adopt(&server.engine, fake_generation(&server, 7)));
	fake_send(&client, LAST("/status"));
	ck_assert(fake_until_text(&client, "\"generation\":7"));
}
END_TEST

START_TEST(an_answer_under_way_does_not_pin_its_generation)
{
	struct generation *before = generation_pin(server.engine.generation);
	char *content = calloc(1, 2000000);

	fake_file(&server, "big", content, 2000000);
	fake_connect(&server, &client, LAST("/big"));
	generation_unpin(engine_adopt(&server.engine, fake_generation(&server, 2)));
	ck_assert_uint_eq(before->pins, 1);
	generation_unpin(before);
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_gt(client.len, 2000000);
	free(content);
}
END_TEST

START_TEST(a_request_under_way_pins_its_generation)
{
	struct generation *before = server.engine.generation;

	fake_connect(&server, &client, LAST("/later"));
	generation_pin(before);
	generation_unpin(engine_adopt(&server.engine, fake_generation(&server, 2)));
	ck_assert_uint_eq(before->pins, 2);
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(before->pins, 1);
	generation_unpin(before);
}
END_TEST

static void adopt_short_keep_alive(void)
{
	struct generation *next = fake_generation(&server, 2);

	((struct config *)next->config)->keep_alive_ns = 10 * CLOCK_MS;
	((struct config *)next->config)->keep_alive_grace_ns = 0;
	generation_unpin(engine_adopt(&server.engine, next));
}

START_TEST(a_shorter_keep_alive_counts_for_whom_nothing_was_promised)
{
	server.config->keep_alive_ns = 900 * CLOCK_MS;
	fake_connect(&server, &client, GET("/hello"));
	ck_assert(fake_until_text(&client, "hello\n"));
	adopt_short_keep_alive();
	ck_assert(fake_until_eof(&client));
}
END_TEST

START_TEST(what_was_promised_to_an_idle_connection_stands)
{
	uint64_t from_ns = clock_now_ns();

	server.config->keep_alive_ns = CLOCK_S;
	fake_connect(&server, &client, GET("/hello"));
	ck_assert(fake_until_text(&client, "hello\n"));
	adopt_short_keep_alive();
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_ge(clock_now_ns() - from_ns, CLOCK_S);
}
END_TEST

START_TEST(a_draining_server_says_that_an_answer_is_the_last)
{
	fake_connect(&server, &client, GET("/hello"));
	ck_assert(fake_until_text(&client, "hello\n"));
	engine_drain(&server.engine, false);
	ck_assert_uint_eq(server.engine.count, 1);
	fake_send(&client, GET("/hello"));
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 200 OK\r\n"), 2);
	ck_assert_uint_eq(fake_count(&client, "Connection: close\r\n"), 1);
}
END_TEST

START_TEST(a_draining_server_answers_what_is_pipelined)
{
	fake_connect(&server, &client, GET("/hello"));
	ck_assert(fake_until_text(&client, "hello\n"));
	fake_send(&client, GET("/hello") GET("/hello") GET("/hello"));
	engine_drain(&server.engine, true);
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 200 OK\r\n"), 4);
	ck_assert_uint_eq(fake_count(&client, "Connection: close\r\n"), 1);
	ck_assert_int_eq(client.error, 0);
}
END_TEST

START_TEST(an_idle_connection_is_closed_when_its_server_leaves)
{
	fake_connect(&server, &client, GET("/hello"));
	ck_assert(fake_until_text(&client, "hello\n"));
	engine_drain(&server.engine, true);
	ck_assert(fake_until_eof(&client));
	ck_assert_int_eq(client.error, 0);
}
END_TEST

START_TEST(a_request_that_came_before_the_close_is_still_answered)
{
	fake_connect(&server, &client, GET("/hello"));
	ck_assert(fake_until_text(&client, "hello\n"));
	fake_send(&client, GET("/hello"));
	engine_drain(&server.engine, true);
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 200 OK\r\n"), 2);
}
END_TEST

START_TEST(a_connection_that_gets_idle_while_its_server_leaves_is_closed)
{
	char *content = calloc(1, 2000000);

	fake_file(&server, "big", content, 2000000);
	fake_connect(&server, &client, GET("/big"));
	engine_drain(&server.engine, true);
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_gt(client.len, 2000000);
	ck_assert_int_eq(client.error, 0);
	free(content);
}
END_TEST

START_TEST(a_connection_that_was_just_accepted_has_a_second_for_its_request)
{
	fake_connect(&server, &client, "");
	engine_drain(&server.engine, true);
	fake_send(&client, GET("/hello"));
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(fake_count(&client, "Connection: close\r\n"), 1);
	fake_connect(&server, &other, "");      /* also when it comes later */
	fake_turn(&server);
	ck_assert(!other.eof);
	server.loop.now_ns += CLOCK_S;
	engine_drain(&server.engine, true);
	ck_assert(fake_until_eof(&other));
}
END_TEST

START_TEST(health_is_good_until_the_service_stops)
{
	fake_connect(&server, &client, GET("/health"));
	ck_assert(fake_until_text(&client, "ok\n"));
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 200 OK\r\n"), 1);
	server.engine.out_of_service = true;
	fake_send(&client, GET("/health"));
	ck_assert(fake_until_text(&client, "out of service\n"));
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 503 Service Unavailable\r\n"), 1);
	ck_assert_uint_eq(fake_count(&client, "Cache-Control: no-store\r\n"), 2);
	ck_assert_uint_eq(fake_count(&client, "Connection: close\r\n"), 0);
}
END_TEST

START_TEST(what_a_connection_is_doing)
{
	fake_connect(&server, &client, "GET / HT");
	ck_assert_int_eq(protocol_http1.doing(LIST_ENTRY(server.engine.conns.next, struct conn, link)),
			 DOING_HEAD);
	fake_connect(&server, &other, GET("/slow"));
	ck_assert_int_eq(protocol_http1.doing(LIST_ENTRY(server.engine.conns.prev, struct conn, link)),
			 DOING_WAITING);
	ck_assert(fake_until_text(&other, "slow"));
	ck_assert_int_eq(protocol_http1.doing(LIST_ENTRY(server.engine.conns.prev, struct conn, link)),
			 DOING_IDLE);
	fake_send(&other, GET("/hello"));
	engine_drain(&server.engine, false);
	ck_assert(fake_until_text(&other, "hello\n"));
	ck_assert_int_eq(protocol_http1.doing(LIST_ENTRY(server.engine.leaving.next, struct conn, link)),
			 DOING_LEAVING);
}
END_TEST

static Suite *suite(void)
{
	Suite *all = suite_create("http1");
	TCase *one = tcase_create("one"), *many = tcase_create("many"), *end = tcase_create("end");
	TCase *late = tcase_create("time"), *change = tcase_create("change");
	TCase *body = tcase_create("body");
	TCase *const cases[] = { one, many, end, late, change, body };

	for (unsigned i = 0; i < 6; i++) {
		tcase_add_checked_fixture(cases[i], set_up, tear_down);
		tcase_set_timeout(cases[i], 60);
		suite_add_tcase(all, cases[i]);
	}
	tcase_add_test(one, a_get_is_answered_with_the_body);
	tcase_add_test(one, a_head_is_answered_with_the_length_and_no_body);
	tcase_add_test(one, a_head_of_a_stream_does_not_pull_it);
	tcase_add_test(one, a_file_is_sent_whole);
	tcase_add_test(one, a_file_is_sent_whole_by_a_transport_that_cannot_sendfile);
	tcase_add_test(one, a_head_goes_out_together_with_its_file);
	tcase_add_test(one, a_head_does_not_wait_in_the_kernel_for_a_file_that_has_to_be_brought);
	tcase_add_test(one, while_a_file_is_brought_others_are_served);
	tcase_add_test(one, a_client_that_goes_while_a_file_is_brought_leaves_nothing);
	tcase_add_test(one, an_empty_file_has_length_0);
	tcase_add_test(one, a_304_has_no_length_and_no_body);
	tcase_add_test(one, a_stream_without_a_length_is_chunked);
	tcase_add_test(one, a_stream_of_known_length_is_not_chunked);
	tcase_add_test(one, a_stream_ends_with_the_connection_for_an_old_client);
	tcase_add_test(one, a_head_of_a_stream_says_the_same_to_an_old_client);
	tcase_add_test(one, a_stream_that_breaks_off_never_looks_complete);
	tcase_add_test(one, a_service_may_answer_later);
	tcase_add_test(one, a_service_is_told_when_the_client_has_gone);
	tcase_add_test(one, a_cancelled_service_has_no_timer);
	tcase_add_test(many, pipelined_requests_are_answered_in_order);
	tcase_add_loop_test(many, the_answers_do_not_depend_on_how_the_bytes_come_and_go, 0, 7);
	tcase_add_loop_test(many, a_pipeline_is_answered_whatever_the_first_packet_held, 0, sizeof(pipeline));
	tcase_add_test(many, more_requests_than_a_turn_s_budget_are_all_answered);
	tcase_add_test(many, a_half_closed_client_gets_all_its_answers);
	tcase_add_test(many, a_client_is_told_how_long_its_connection_may_be_idle);
	tcase_add_test(many, a_fraction_of_a_second_is_not_said);
	tcase_add_test(many, an_old_client_is_told_that_the_connection_is_kept);
	tcase_add_test(many, an_idle_connection_holds_no_memory);
	tcase_add_test(body, a_connection_goes_on_behind_a_body);
	tcase_add_loop_test(body, bodies_may_be_cut_anywhere, 0, sizeof(bodies));
	tcase_add_loop_test(body, bodies_may_come_and_go_in_fits, 0, 7);
	tcase_add_test(body, a_client_may_send_a_large_body_before_it_reads);
	tcase_add_test(body, a_pipeline_of_bodies_needs_no_more_room_than_one);
	tcase_add_loop_test(body, a_bad_body_gets_its_status, 0, 8);
	tcase_add_test(body, a_body_that_ends_early_gets_400);
	tcase_add_test(body, a_body_that_does_not_come_is_not_waited_for);
	tcase_add_test(body, a_body_that_drips_is_not_waited_for);
	tcase_add_test(end, a_100_is_never_sent);
	tcase_add_test(end, nonsense_gets_400_and_the_end);
	tcase_add_test(end, a_client_that_sends_on_after_an_error_is_not_reset);
	tcase_add_test(end, a_client_that_wants_to_close_may_still_send_its_body);
	tcase_add_test(end, a_lingering_connection_ends_with_the_client_s_fin);
	tcase_add_test(end, a_lingering_connection_ends_after_two_seconds);
	tcase_add_test(end, a_client_that_still_sends_is_listened_to_for_longer);
	tcase_add_test(end, a_client_that_always_sends_is_not_listened_to_for_ever);
	tcase_add_test(end, a_client_that_still_sends_does_not_hold_up_a_server_that_leaves);
	tcase_add_test(end, a_file_that_shrinks_cuts_the_connection);
	tcase_add_loop_test(end, a_file_that_is_written_to_cuts_the_connection, 0, 2);
	tcase_add_loop_test(end, a_file_that_is_written_to_with_its_old_time_cuts_the_connection, 0, 2);
	tcase_add_loop_test(end, a_file_that_is_renamed_is_still_sent, 0, 4);
	tcase_add_loop_test(end, a_watched_file_that_is_written_to_cuts_the_connection, 0, 2);
	tcase_add_loop_test(end, a_watched_file_that_a_mapping_changes_cuts_the_connection, 0, 2);
	tcase_add_loop_test(end, a_watched_file_that_is_renamed_is_still_sent, 0, 2);
	tcase_add_test(late, a_client_that_sends_nothing_is_closed_silently);
	tcase_add_test(late, a_head_that_does_not_come_gets_408);
	tcase_add_test(late, the_second_head_that_does_not_come_gets_408);
	tcase_add_test(late, an_idle_connection_is_closed_after_keep_alive);
	tcase_add_test(late, an_idle_connection_has_a_grace_for_a_request_on_its_way);
	tcase_add_test(late, a_request_that_waits_when_the_idle_time_is_over_is_served);
	tcase_add_test(late, a_slow_clients_time_begins_when_the_last_byte_has_left);
	tcase_add_test(late, a_client_that_does_not_take_the_end_is_not_waited_for_for_ever);
	tcase_add_test(late, a_client_that_takes_nothing_is_cut);
	tcase_add_test(late, a_client_that_takes_a_little_at_a_time_is_not_cut);
	tcase_add_test(late, a_client_that_takes_too_little_at_a_time_is_cut);
	tcase_add_test(late, a_stream_that_stalls_is_not_a_slow_client);
	tcase_add_test(late, a_slow_service_is_not_a_slow_client);
	tcase_add_test(change, an_adopted_generation_answers_the_next_request_of_an_open_connection);
	tcase_add_test(change, an_answer_under_way_does_not_pin_its_generation);
	tcase_add_test(change, a_request_under_way_pins_its_generation);
	tcase_add_test(change, a_shorter_keep_alive_counts_for_whom_nothing_was_promised);
	tcase_add_test(change, what_was_promised_to_an_idle_connection_stands);
	tcase_add_test(change, a_draining_server_says_that_an_answer_is_the_last);
	tcase_add_test(change, a_draining_server_answers_what_is_pipelined);
	tcase_add_test(change, a_connection_that_was_just_accepted_has_a_second_for_its_request);
	tcase_add_test(change, health_is_good_until_the_service_stops);
	tcase_add_test(change, what_a_connection_is_doing);
	tcase_add_test(change, an_idle_connection_is_closed_when_its_server_leaves);
	tcase_add_test(change, a_request_that_came_before_the_close_is_still_answered);
	tcase_add_test(change, a_connection_that_gets_idle_while_its_server_leaves_is_closed);
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
