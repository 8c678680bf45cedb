/* express: the same requests have the same answers, and count the same, whichever way they go.
 *
 * A head that comes byte by byte always goes the general way: that is the oracle. */
#include "fake_move.h"

#include "base/clock.h"
#include "http/express_batch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define HEAD(path) "HEAD " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define WITH(path, field) "GET " path " HTTP/1.1\r\nHost: a\r\n" field "\r\n\r\n"
#define ETAG "\"a-17979cfe362a0000\""      /* of ten bytes, by make_old */
#define LAST(path) WITH(path, "Connection: close")

enum { TEXT_BYTES = 64 * 1024, ROUNDS = 150 };

static char big[EXPRESS_COPY_BYTES + 1000];     /* is sent from where it is */

static struct fake_server server;
static struct fake_client client;

/* What was written just now has a weak tag, and a strong one two seconds later. */
static void make_old(const char *name)
{
	struct timespec then[2] = { { .tv_sec = 1700000000 }, { .tv_sec = 1700000000 } };
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", server.root, name);
	utimensat(AT_FDCWD, path, then, 0);
}

static void set_up(void)
{
	fake_server_open(&server, &protocol_http1);
	fake_file(&server, "file.txt", "0123456789", 10);
	make_old("file.txt");
}

static void tear_down(void)
{
	fake_server_close(&server);
}

static struct express *express(void)
{
	return server.engine.shared;
}

/* The answer that is kept for it; NULL: none. */
static const struct ready_answer *kept(const char *target)
{
	const struct ready_table *ready = &express()->ready;

	for (struct list *link = ready->answers.next; link != &ready->answers; link = link->next) {
		const struct ready_answer *answer = LIST_ENTRY(link, struct ready_answer, link);

		if (str_equal(answer->target, str_of(target)))
			return answer;
	}
	return NULL;
}

static uint64_t numbers = 88172645463325252;

static unsigned below(unsigned end)     /* xorshift64: the same on every run */
{
	numbers ^= numbers << 13;
	numbers ^= numbers >> 7;
	numbers ^= numbers << 17;
	return (unsigned)(numbers % end);
}

/* ---- conversations ------------------------ */

struct outcome {
	char *text;
	uint64_t counters[COUNTERS];
	uint64_t requests[METRICS_CLASSES], bytes, latencies;   /* of the site */
};

static void blank_dates(char *text)
{
	for (char *at = strstr(text, "\r\nDate: "); at != NULL; at = strstr(at + 1, "\r\nDate: "))
		memset(at + strlen("\r\nDate: "), '.', DATE_BYTES - 1);
}

static void measure(struct outcome *outcome)
{
	const struct tally *tally = &server.metrics.site[FAKE_ROW];

	memcpy(outcome->requests, tally->requests, sizeof(outcome->requests));
	outcome->bytes = tally->bytes;
	for (unsigned i = 0; i < METRICS_BUCKETS; i++)
		outcome->latencies += tally->latency[i];
}

/* Sends it in pieces of up to `most` bytes, a turn each, and waits for the end. */
static struct outcome converse(const char *bytes, unsigned most)
{
	uint64_t before[COUNTERS];
	struct outcome outcome = { 0 };
	size_t left = strlen(bytes);

	memcpy(before, server.counters, sizeof(before));
	server.metrics = (struct metrics_column){ 0 };
	server.client_count = 0;
	fake_connect(&server, &client, "");
	while (left > 0) {
		size_t len = most == 1 ? 1 : 1 + below(most);

		ssize_t sent = send(client.fd, bytes, len < left ? len : left, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno != EAGAIN)
			break;                  /* it was answered for the last time */
		fake_turn(&server);
		bytes += sent > 0 ? sent : 0;
		left -= sent > 0 ? (size_t)sent : 0;
	}
	shutdown(client.fd, SHUT_WR);
	ck_assert(fake_until_eof(&client));
	fake_hang_up(&client);
	while (server.counters[COUNT_OPEN] > 0)
		fake_turn(&server);
	outcome.text = client.text != NULL ? client.text : strdup("");
	client.text = NULL;
	blank_dates(outcome.text);
	for (unsigned i = 0; i < COUNTERS; i++)
		outcome.counters[i] = server.counters[i] - before[i];
	measure(&outcome);
	return outcome;
}

static void check_same(struct outcome expected, struct outcome got)
{
	size_t at = 0;

	while (got.text[at] != '\0' && got.text[at] == expected.text[at])
		at++;
	ck_assert_msg(got.text[at] == expected.text[at], "from byte %zu on \"%.300s\" instead of \"%.300s\"",
		      at, got.text + at, expected.text + at);
	/* a ready answer asks no file cache */
	got.counters[COUNT_FILE_CACHE_HITS] = expected.counters[COUNT_FILE_CACHE_HITS];
	got.counters[COUNT_FILE_CACHE_MISSES] = expected.counters[COUNT_FILE_CACHE_MISSES];
	for (unsigned i = 0; i < COUNT_FILE_CACHE_HITS; i++)    /* those from there on tell the ways apart */
		ck_assert_msg(expected.counters[i] == got.counters[i], "%s: %lu instead of %lu",
			      counter_names[i], (unsigned long)got.counters[i],
			      (unsigned long)expected.counters[i]);
	for (unsigned i = 0; i < METRICS_CLASSES; i++)
		ck_assert_uint_eq(got.requests[i], expected.requests[i]);
	ck_assert_uint_eq(got.bytes, expected.bytes);
	ck_assert_uint_eq(got.latencies, expected.latencies);
	free(got.text);
}

/* ---- one request ------------------------ */

START_TEST(an_answer_is_kept_and_given_again)
{
	struct outcome first = converse(GET("/hello"), 1000), second;

	ck_assert_ptr_nonnull(kept("/hello"));
	ck_assert(!kept("/hello")->used);
	second = converse(GET("/hello"), 1000);
	ck_assert(kept("/hello")->used);
	ck_assert_uint_eq(first.counters[COUNT_READY_ANSWERS], 0);
	ck_assert_uint_eq(second.counters[COUNT_READY_ANSWERS], 1);
	check_same(first, second);
	free(first.text);
}
END_TEST

START_TEST(a_head_has_the_same_answer_without_its_body)
{
	struct outcome oracle = converse(HEAD("/hello") GET("/hello"), 1);

	check_same(oracle, converse(HEAD("/hello") GET("/hello"), 1000));
	ck_assert(kept("/hello")->used);
	free(oracle.text);
}
END_TEST

static const char *const not_kept[] = {
	"GET /hello HTTP/1.0\r\nHost: a\r\n\r\n",
	"HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /later HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /known HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /status HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /hello HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\n\r\n",
	"GET /hello HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\nIf-None-Match: \"a\"\r\n\r\n",
	"GET /hello HTTP/1.1\r\nHost: a\r\nIf-None-Match:\r\n\r\n",
	"GET /hello HTTP/1.1\r\nHost: a\r\nIf-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT\r\n\r\n",
	"GET /hello HTTP/1.1\r\nHost: a\r\nIf-Match: *\r\nIf-None-Match: \"a\"\r\n\r\n",
	"GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
	"POST /hello HTTP/1.1\r\nHost: a\r\n\r\n",
};

START_TEST(what_depends_on_more_is_not_kept)
{
	free(converse(not_kept[_i], 1000).text);
	ck_assert_uint_eq(express()->ready.count, 0);
}
END_TEST

/* As browsers ask for what they have. */
START_TEST(an_answer_for_the_tags_that_a_client_has_is_kept_for_these)
{
	struct outcome first = converse(WITH("/hello", "If-None-Match: \"x\""), 1000), other;

	other = converse(WITH("/hello", "If-None-Match: \"y\"") GET("/hello"), 1000);
	ck_assert_uint_eq(other.counters[COUNT_READY_ANSWERS], 0);
	free(other.text);
	other = converse(WITH("/hello", "If-None-Match: \"x\"\r\nIf-Modified-Since: x"), 1000);
	ck_assert_uint_eq(other.counters[COUNT_READY_ANSWERS], 1);
	check_same(first, other);
	free(first.text);
}
END_TEST

START_TEST(another_generation_answers_anew)
{
	free(converse(GET("/hello"), 1000).text);
	generation_unpin(engine_adopt(&server.engine, fake_generation(&server, 2)));
	free(converse(GET("/hello"), 1000).text);
	ck_assert_uint_eq(kept("/hello")->terms.generation, 2);
	ck_assert(!kept("/hello")->used);
}
END_TEST

/* ---- many requests ------------------------ */

static const char *const pieces[] = {
	GET("/hello"), GET("/hello"), GET("/hello"), GET("/hello"), HEAD("/hello"),
	GET("/hello/below?q=1"), GET("/hello%20x"), GET("/nothing"), GET("/file.txt"), GET("/known"),
	GET("http://b/hello"), GET("/later"), "\r\n" GET("/hello"),
	WITH("/hello", "Accept-Encoding: gzip, br"), WITH("/hello", "Accept-Encoding: identity;q=0"),
	WITH("/hello", "Range: bytes=1-2"), WITH("/file.txt", "Range: bytes=1-2"),
	WITH("/file.txt", "If-None-Match: *"), WITH("/file.txt", "If-None-Match: " ETAG),
	WITH("/file.txt", "If-None-Match: " ETAG "\r\nIf-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT"),
	WITH("/file.txt", "If-None-Match: \"x\""), WITH("/hello", "If-None-Match: \"x\""),
	WITH("/file.txt", "If-None-Match: \"x\"\r\nIf-None-Match: " ETAG),
	WITH("/file.txt", "If-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT"), WITH("/file.txt", "If-None-Match:"), WITH("/hello", "Connection: keep-alive"),
	WITH("/hello", "Cookie: a=b; c=d\r\nUser-Agent: x\r\nAccept: */*\r\nReferer: http://u:p@h/"),
	"POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /",
	"POST /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
	"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
};

/* What ends a connection. */
static const char *const ends[] = {
	"", "GET /hel", LAST("/hello"), LAST("/hello") GET("/hello"), LAST("/nothing"),
	"GET /hello HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "nonsense\r\n\r\n" GET("/hello"),
	"GET /hello HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
	"HEAD /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char *compose(void)
{
	char *text = calloc(1, TEXT_BYTES);
	unsigned count = below(40);

	for (unsigned i = 0; i < count; i++)
		strcat(text, pieces[below(below(2) == 0 ? 5 : COUNT(pieces))]);
	return strcat(text, ends[below(COUNT(ends))]);
}

static void compare(const char *text, unsigned most)
{
	struct outcome oracle = converse(text, 1);

	check_same(oracle, converse(text, most));
	free(oracle.text);
}

START_TEST(every_mix_has_the_same_answers_in_every_split)
{
	static const unsigned sizes[] = { 8, 40, 200, 1000, TEXT_BYTES };

	for (unsigned i = 0; i < ROUNDS; i++) {
		char *text = compose();

		compare(text, sizes[below(COUNT(sizes))]);
		free(text);
	}
}
END_TEST

START_TEST(every_mix_has_the_same_answers_when_the_transport_has_fits)
{
	server.engine.transport = &fake_transport;
	for (unsigned i = 0; i < ROUNDS; i++) {
		char *text = compose();

		fake_fits = (struct fake_fits){ .recv_bytes = below(3) == 0 ? 1 + below(200) : 0,
						.send_bytes = 1 + below(600), .again_every = 2 + below(5) };
		compare(text, TEXT_BYTES);
		free(text);
	}
}
END_TEST

static char *repeat(const char *request, unsigned count)
{
	char *text = calloc(1, strlen(request) * count + 1);

	for (unsigned i = 0; i < count; i++)
		strcat(text, request);
	return text;
}

static unsigned count_of(const char *text, const char *what)
{
	unsigned count = 0;

	while ((text = strstr(text, what)) != NULL) {
		text += strlen(what);
		count++;
	}
	return count;
}

START_TEST(a_long_pipeline_is_answered_to_its_end)
{
	char *text = repeat(GET("/hello"), 1000);
	struct outcome all;

	free(converse(GET("/hello"), 1000).text);
	all = converse(text, (unsigned)strlen(text));
	ck_assert_uint_eq(all.counters[COUNT_REQUESTS], 1000);
	ck_assert_uint_eq(all.counters[COUNT_STATUS_2XX], 1000);
	ck_assert_uint_eq(count_of(all.text, "\r\n\r\nhello\n"), 1000);
	free(all.text);
	free(text);
}
END_TEST

/* As a service with bytes of its own would have it. */
static void keep_body(struct lasting *lasting, const char *head, struct str body)
{
	struct ready_key key = { str_of("a"), str_of("/big"), 0, { 0 } };
	struct ready_terms terms = {
		.generation = 1, .until_ns = UINT64_MAX, .status = 200, .head = str_of(head),
		.date_at = 23, .fields_at = (unsigned)strlen(head) - 2, .keep_s = UINT32_MAX,
		.body = body, .body_lasts = true, .lasting = lasting,
	};

	ck_assert(ready_keep(&express()->ready, &key, &terms));
}

static void keep_big(struct lasting *lasting)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
				   "Content-Length: 9192\r\n\r\n";

	memset(big, 'x', sizeof(big));
	ck_assert_uint_eq(sizeof(big), 9192);
	keep_body(lasting, head, (struct str){ big, sizeof(big) });
}

START_TEST(a_large_body_is_sent_from_where_it_is)
{
	static const char text[] = GET("/big") GET("/hello") HEAD("/big") GET("/big") LAST("/big");
	struct lasting lasting = { .pins = 1 };
	struct outcome whole, once;

	free(converse(GET("/hello"), 1000).text);
	keep_big(&lasting);
	whole = converse(text, 1U << 30);               /* never cut */
	ck_assert_uint_eq(count_of(whole.text, "Content-Length: 9192\r\n"), 4);
	ck_assert_uint_eq(whole.counters[COUNT_READY_ANSWERS], 5);
	ck_assert_uint_gt(strlen(whole.text), 3 * sizeof(big));
	once = converse(LAST("/big"), 1U << 30);
	server.engine.transport = &fake_transport;
	for (unsigned i = 0; i < 50; i++) {
		fake_fits = (struct fake_fits){ .send_bytes = 1 + below(4000), .again_every = 2 + below(5) };
		check_same(once, converse(LAST("/big"), 1U << 30));     /* others would go the general way */
	}
	lasting_end(&lasting);
	ck_assert_uint_eq(lasting.pins, 1);
	free(whole.text);
	free(once.text);
}
END_TEST

START_TEST(a_body_that_is_over_is_sent_to_its_end)
{
	struct lasting lasting = { .pins = 1 };
	long one;

	free(converse(GET("/hello"), 1000).text);
	keep_big(&lasting);
	server.client_count = 0;
	fake_connect(&server, &client, "");
	fake_fits = (struct fake_fits){ 0 };
	client.deaf = true;
	fake_send(&client, GET("/big") GET("/big") GET("/big") GET("/big") GET("/big") GET("/big") GET("/big"));
	for (unsigned i = 0; i < 40; i++)
		fake_send(&client, GET("/big"));
	fake_turn(&server);
	ck_assert_int_eq(protocol_http1.doing(LIST_ENTRY(server.engine.conns.next, struct conn, link)),
			 DOING_SENDING);
	lasting_end(&lasting);
	ck_assert_uint_eq(lasting.pins, 2);
	client.deaf = false;
	shutdown(client.fd, SHUT_WR);
	ck_assert(fake_until_eof(&client));
	/* those behind it went the general way, which knows of none; up to there all are of one length */
	one = strstr(client.text + 1, "HTTP/1.1 200") - client.text;
	ck_assert_int_gt(one, (long)sizeof(big));
	ck_assert_int_eq((strstr(client.text, "HTTP/1.1 404") - client.text) % one, 0);
	ck_assert_uint_ge(fake_count(&client, "Content-Length: 9192\r\n"), 10);
	ck_assert_uint_eq(lasting.pins, 1);
}
END_TEST

/* ---- the socket is full ------------------------ */

static void fill_less(struct conn *conn)
{
	int bytes = 1;                  /* the kernel knows how little that is */

	ck_assert_int_eq(setsockopt(conn->source.fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
}

static struct conn *the_connection(void)
{
	return LIST_ENTRY(server.engine.conns.next, struct conn, link);
}

START_TEST(what_the_socket_does_not_take_is_sent_when_it_does)
{
	char *text = repeat(GET("/hello"), 60);

	free(converse(GET("/hello"), 1000).text);
	server.client_count = 0;
	fake_connect(&server, &client, "");
	fill_less(the_connection());
	client.deaf = true;
	fake_send(&client, text);
	fake_turn(&server);
	ck_assert_int_eq(protocol_http1.doing(the_connection()), DOING_SENDING);
	ck_assert_uint_lt(server.counters[COUNT_REQUESTS], 61);
	client.deaf = false;
	client.gulp = 100;
	shutdown(client.fd, SHUT_WR);
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(fake_count(&client, "\r\n\r\nhello\n"), 60);
	ck_assert_uint_eq(server.counters[COUNT_REQUESTS], 61);
	ck_assert_uint_eq(server.counters[COUNT_STATUS_2XX], 61);
	ck_assert_uint_ge(server.counters[COUNT_READY_ANSWERS], 2);
	free(text);
}
END_TEST

START_TEST(a_client_that_goes_meanwhile_counts_once)
{
	char *text = repeat(GET("/hello"), 60);

	free(converse(GET("/hello"), 1000).text);
	server.client_count = 0;
	fake_connect(&server, &client, "");
	fill_less(the_connection());
	client.deaf = true;
	fake_send(&client, text);
	fake_turn(&server);
	fake_hang_up(&client);
	fake_turn(&server);
	ck_assert_uint_eq(server.counters[COUNT_OPEN], 0);
	ck_assert_uint_eq(server.counters[COUNT_REQUESTS], server.counters[COUNT_STATUS_2XX]);
	free(text);
}
END_TEST

START_TEST(an_answer_under_way_moves_with_what_is_pipelined_behind)
{
	char *text = repeat(GET("/hello"), 60);
	struct fake_second second;

	free(converse(GET("/hello"), 1000).text);
	fake_second_open(&second, &server);
	server.client_count = 0;
	fake_connect(&server, &client, "");
	fill_less(the_connection());
	client.deaf = true;
	fake_send(&client, text);
	fake_turn(&server);
	ck_assert_int_eq(fake_move(the_connection(), &second.engine), MOVING_PIPELINED);
	client.deaf = false;
	shutdown(client.fd, SHUT_WR);
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(fake_count(&client, "\r\n\r\nhello\n"), 60);
	fake_second_close(&second);
	free(text);
}
END_TEST

/* As long as what is kept of a file by default (file_cache.largest). */
START_TEST(a_large_body_under_way_moves)
{
	static char large[128 * 1024];
	static const char head[] = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
				   "Content-Length: 131072\r\n\r\n";
	struct lasting lasting = { .pins = 1 };
	struct fake_second second;

	memset(large, 'x', sizeof(large));
	free(converse(GET("/hello"), 1000).text);
	keep_body(&lasting, head, (struct str){ large, sizeof(large) });
	fake_second_open(&second, &server);
	server.client_count = 0;
	fake_connect(&server, &client, "");
	fill_less(the_connection());
	client.deaf = true;
	fake_send(&client, GET("/big"));
	fake_turn(&server);
	ck_assert_int_eq(fake_move(the_connection(), &second.engine), MOVING_SENDING);
	ck_assert_uint_eq(lasting.pins, 2);     /* ours, and the ready answer's */
	lasting_end(&lasting);
	memset(large, 'y', sizeof(large));
	client.deaf = false;
	shutdown(client.fd, SHUT_WR);
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(strspn(strstr(client.text, "\r\n\r\n") + 4, "x"), sizeof(large));
	fake_second_close(&second);
}
END_TEST

/* ---- between requests ------------------------ */

static void ask_once(void)
{
	unsigned before = client.text != NULL ? fake_count(&client, "\r\n\r\nhello\n") : 0;

	fake_send(&client, GET("/hello"));
	do
		fake_turn(&server);
	while (client.text == NULL || fake_count(&client, "\r\n\r\nhello\n") == before);
}

START_TEST(a_connection_has_no_state_between_requests)
{
	fake_connect(&server, &client, "");
	for (unsigned i = 0; i < 3; i++) {
		ask_once();
		ck_assert_ptr_null(the_connection()->state);
		ck_assert_uint_eq(server.engine.pool.in_use_bytes, 0);
		ck_assert_uint_eq(the_connection()->served, i + 1);
	}
}
END_TEST

START_TEST(its_timer_is_not_armed_for_each_request)
{
	uint64_t due;

	server.config->keep_alive_ns = 60 * CLOCK_S;
	fake_connect(&server, &client, "");
	ask_once();
	due = the_connection()->timer.due_ns;
	ask_once();
	ck_assert_uint_eq(the_connection()->timer.due_ns, due);
}
END_TEST

START_TEST(its_time_begins_with_the_last_request_all_the_same)
{
	struct conn *conn;
	uint64_t due;

	server.config->keep_alive_ns = 60 * CLOCK_S;
	fake_connect(&server, &client, "");
	ask_once();
	ask_once();
	conn = the_connection();
	due = conn->since_ns + 60 * CLOCK_S + server.config->keep_alive_grace_ns;
	ck_assert_uint_lt(conn->timer.due_ns, due);
	server.loop.now_ns = conn->timer.due_ns;        /* it fires for what was armed with the first one */
	ck_assert_int_eq(protocol_http1.timeout(conn), SERVED_WAIT);
	ck_assert_uint_eq(conn->timer.due_ns, due);
}
END_TEST

START_TEST(a_shorter_time_is_armed_at_once)
{
	free(converse(GET("/hello"), 1000).text);
	server.client_count = 0;
	server.config->request_head_ns = 60 * CLOCK_S;
	server.config->keep_alive_ns = CLOCK_S;
	server.config->keep_alive_grace_ns = 0;
	fake_connect(&server, &client, "");
	ask_once();
	ck_assert_uint_le(the_connection()->timer.due_ns, the_connection()->since_ns + CLOCK_S);
}
END_TEST

/* ---- what a crash would tell ------------------------ */

static struct epitaph epitaph, seen;

static enum io see_epitaph(struct conn *conn, const struct iovec *parts, int count, bool more, size_t *sent)
{
	seen = epitaph;
	return transport_plain.writev(conn, parts, count, more, sent);
}

START_TEST(a_crash_would_tell_of_the_request_without_its_secrets)
{
	struct transport transport = transport_plain;

	transport.writev = see_epitaph;
	server.engine.transport = &transport;
	server.engine.epitaph = &epitaph;
	server.config->log_query = false;
	for (unsigned i = 0; i < 2; i++)
		free(converse(WITH("/hello?secret", "Cookie: secret"), 1000).text);
	ck_assert(kept("/hello?secret")->used);
	ck_assert_uint_eq(seen.phase, PHASE_SENDING);
	ck_assert(str_equal((struct str){ seen.request, seen.request_bytes },
			    str_of("GET /hello?- HTTP/1.1\r")));
	ck_assert_uint_eq(epitaph.request_bytes, 0);
	server.engine.epitaph = &epitaph_nowhere;
	server.engine.transport = &transport_plain;
}
END_TEST

START_TEST(what_is_promised_is_the_listeners_own)
{
	struct listener_rules rules = { .address = "", .keep_alive_ns = 7 * CLOCK_S };
	struct outcome outcome;

	free(converse(GET("/hello"), 1000).text);
	server.engine.nowhere.rules = &rules;
	outcome = converse(GET("/hello") GET("/hello"), 1000);
	ck_assert_uint_eq(count_of(outcome.text, "Keep-Alive: timeout=7\r\n"), 2);
	ck_assert_uint_eq(count_of(outcome.text, "Content-Length: 6\r\n"), 2);
	ck_assert(kept("/hello")->used);
	server.engine.nowhere.rules = &listener_without_rules;
	free(outcome.text);
}
END_TEST

static Suite *suite(void)
{
	Suite *all = suite_create("express");
	TCase *one = tcase_create("one"), *many = tcase_create("many"), *full = tcase_create("full"),
	      *between = tcase_create("between");
	TCase *cases[] = { one, many, full, between };

	for (size_t i = 0; i < COUNT(cases); i++) {
		tcase_add_checked_fixture(cases[i], set_up, tear_down);
		tcase_set_timeout(cases[i], 60);
		suite_add_tcase(all, cases[i]);
	}
	tcase_add_test(one, an_answer_is_kept_and_given_again);
	tcase_add_test(one, a_head_has_the_same_answer_without_its_body);
	tcase_add_loop_test(one, what_depends_on_more_is_not_kept, 0, COUNT(not_kept));
	tcase_add_test(one, an_answer_for_the_tags_that_a_client_has_is_kept_for_these);
	tcase_add_test(one, another_generation_answers_anew);
	tcase_add_test(one, a_crash_would_tell_of_the_request_without_its_secrets);
	tcase_add_test(many, every_mix_has_the_same_answers_in_every_split);
	tcase_add_test(many, every_mix_has_the_same_answers_when_the_transport_has_fits);
	tcase_add_test(many, a_long_pipeline_is_answered_to_its_end);
	tcase_add_test(full, a_large_body_is_sent_from_where_it_is);
	tcase_add_test(full, a_body_that_is_over_is_sent_to_its_end);
	tcase_add_test(full, what_the_socket_does_not_take_is_sent_when_it_does);
	tcase_add_test(full, an_answer_under_way_moves_with_what_is_pipelined_behind);
	tcase_add_test(full, a_large_body_under_way_moves);
	tcase_add_test(full, a_client_that_goes_meanwhile_counts_once);
	tcase_add_test(between, a_connection_has_no_state_between_requests);
	tcase_add_test(between, what_is_promised_is_the_listeners_own);
	tcase_add_test(between, its_timer_is_not_armed_for_each_request);
	tcase_add_test(between, its_time_begins_with_the_last_request_all_the_same);
	tcase_add_test(between, a_shorter_time_is_armed_at_once);
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
