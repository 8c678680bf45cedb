/* http1_move_test.c - connections that move to another engine, in every stage and cut everywhere: the client
 * sees the bytes that it would have seen. */
#include "fake_move.h"

#include "base/clock.h"
#include "base/offload.h"
#include "http/access_format.h"
#include "http/access_log.h"
#include "http/http1_state.h"
#include "http/response.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define LAST(path) "GET " path " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
#define WITH(fields, body) "GET /hello HTTP/1.1\r\nHost: a\r\n" fields "\r\n" body
#define CHUNKED(body) WITH("Transfer-Encoding: chunked\r\n", body)

enum { BIG_BYTES = 700000 };

static struct fake_server server;
static struct fake_second second;
static struct fake_client client, other;

/* Heads of one test have one date. */
static struct wall *stop_clock(void)
{
	struct wall *wall = (struct wall *)(uintptr_t)wall_clock(&server.loop);

	wall->until_ns = UINT64_MAX;
	return wall;
}

static void make_files(void)
{
	char *content = malloc(BIG_BYTES);

	for (unsigned i = 0; i < BIG_BYTES; i++)
		content[i] = (char)('a' + i % 23);
	fake_file(&server, "big", content, BIG_BYTES);
	fake_file(&server, "x", "file x", 6);
	free(content);
}

static void set_up(void)
{
	fake_server_open(&server, &protocol_http1);
	fake_second_open(&second, &server);
	stop_clock();
	make_files();
}

static void tear_down(void)
{
	fake_second_close(&second);
	fake_server_close(&server);
}

/* Files of now are as old to the server as if it were a minute later: the kernel sends them. */
static void be_late(void)
{
	stop_clock()->now += 60;
}

static bool nobody_left(void *what)
{
	(void)what;
	return server.engine.count + second.engine.count == 0;
}

static char *path_of(const char *name)
{
	static char path[160];

	snprintf(path, sizeof(path), "%s/%s", server.root, name);
	return path;
}

static struct http1 *state_of(struct engine *engine)
{
	return fake_only(engine)->state;
}

/* ---- the same bytes --------------------------------------------------------------------------------- */

static void check_same(void)
{
	fake_mask_boundaries(&client);
	fake_mask_boundaries(&other);
	ck_assert_uint_eq(client.error, 0);
	ck_assert_uint_gt(client.len, 0);
	ck_assert_uint_eq(client.len, other.len);
	ck_assert_mem_eq(client.text, other.text, client.len);
}

/* What a client that nobody moves is told. */
static void ask_undisturbed(const char *text)
{
	fake_connect(&server, &other, text);
	ck_assert(fake_until_eof(&other));
	fake_hang_up(&other);
	fake_turn(&server);
	ck_assert_uint_eq(server.engine.count, 0);
}

static struct {
	unsigned random;                /* 0: after every turn, else now and then */
	unsigned moves[MOVINGS];
	struct turn_end hook;
	struct ready spin;
} mover;

static bool comes_up(void)
{
	mover.random = mover.random * 1664525 + 1013904223;
	return mover.random >> 30 == 0;
}

static void move_back_and_forth(struct turn_end *hook)
{
	struct engine *from = server.engine.count > 0 ? &server.engine : &second.engine;
	struct engine *to = from == &second.engine ? &server.engine : &second.engine;

	(void)hook;
	if (from->count > 0 && (mover.random == 0 || comes_up()))
		mover.moves[fake_move(fake_only(from), to)]++;
}

/* Turns do not wait for anything. */
static void spin_on(struct ready *ready)
{
	loop_ready(&server.loop, ready);
}

static void start_spinning(void)
{
	mover.spin.serve = spin_on;
	loop_ready(&server.loop, &mover.spin);
}

static void start_moving(unsigned random)
{
	mover.random = random;
	mover.hook.run = move_back_and_forth;
	loop_at_turn_end(&server.loop, &mover.hook);
	start_spinning();
}

static void stop_moving(void)
{
	list_remove(&mover.hook.link);
	loop_unready(&mover.spin);
}

static const struct {
	const char *text;
	bool late;
	unsigned kinds;                 /* that it is moved as, at least */
} conversations[] = {
	{ GET("/hello") GET("/x") LAST("/hello"), false, 0 },
	{ GET("/big") LAST("/hello"), true, 1 << MOVING_PIPELINED },
	{ LAST("/big"), true, 1 << MOVING_SENDING },
	{ LAST("/big"), false, 1 << MOVING_SENDING },
	{ GET("/trickle") GET("/known") LAST("/trickle"), false, 1 << MOVING_PIPELINED | 1 << MOVING_SENDING },
	{ GET("/later") GET("/stalls") LAST("/nope"), false, 1 << MOVING_NOT | 1 << MOVING_PIPELINED },
	{ "GET /big HTTP/1.1\r\nHost: a\r\nRange: bytes=5-600000\r\n\r\n" LAST("/x"), true, 1 << MOVING_PIPELINED },
	{ "GET /big HTTP/1.1\r\nHost: a\r\nRange: bytes=5-300000,400000-400001,500000-650000\r\n\r\n"
	  LAST("/x"), true, 1 << MOVING_PIPELINED },
	{ "GET /trickle HTTP/1.0\r\n\r\n", false, 1 << MOVING_SENDING },
	{ "HEAD /big HTTP/1.1\r\nHost: a\r\n\r\n" LAST("/hello"), true, 0 },
	{ CHUNKED("5\r\nhello\r\n0\r\n\r\n") WITH("Content-Length: 3\r\n", "abc") LAST("/x"), false, 0 },
	{ WITH("Content-Length: 5\r\nExpect: 100-continue\r\n", ""), false, 0 },
	{ "nonsense\r\n\r\n", false, 0 },
	{ "GET /breaks HTTP/1.1\r\nHost: a\r\n\r\n", false, 1 << MOVING_SENDING },
};

enum { CONVERSATIONS = sizeof(conversations) / sizeof(conversations[0]), SEEDS = 6 };

static void be_moved(unsigned which, unsigned random)
{
	start_moving(random);
	fake_connect(&server, &client, conversations[which].text);
	client.gulp = 50000;
	ck_assert(fake_until_eof(&client));
	stop_moving();
}

static void converse(unsigned which, unsigned random)
{
	if (conversations[which].late)
		be_late();
	ask_undisturbed(conversations[which].text);
	be_moved(which, random);
	check_same();
}

START_TEST(a_client_does_not_see_that_it_is_moved_after_every_turn)
{
	converse(_i, 0);
	for (unsigned kind = 0; kind < MOVINGS; kind++)
		ck_assert_msg((conversations[_i].kinds & 1U << kind) == 0 || mover.moves[kind] > 0,
			      "was never moved as kind %u", kind);
}
END_TEST

START_TEST(a_client_does_not_see_that_it_is_moved_now_and_then)
{
	converse(_i % CONVERSATIONS, 1 + _i);
}
END_TEST

/* ---- every byte of a request ------------------------------------------------------------------------ */

static const char requests[] =
	GET("/hello") WITH("Content-Length: 31\r\n", GET("/nope")) GET("/x")
		CHUNKED("5;a=b\r\nhello\r\n0\r\nT: u\r\n\r\n")
			"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyz"
			GET("/known") LAST("/hello");

enum { CUTS = 40 };                     /* a test: the first that goes wrong ends it */

static void forget_client(void)
{
	fake_hang_up(&client);
	ck_assert(fake_until(&server, nobody_left, NULL));
	free(client.text);
	server.client_count--;
}

static void cut_request(size_t at)
{
	char first[sizeof(requests)] = "";

	memcpy(first, requests, at);
	fake_connect(&server, &client, first);
	fake_turn(&server);
	fake_move_all(&server.engine, &second.engine);
	fake_move_all(&second.engine, &server.engine);
	fake_move_all(&server.engine, &second.engine);
	fake_send(&client, requests + at);
	ck_assert(fake_until_eof(&client));
	check_same();
	forget_client();
}

START_TEST(a_connection_moves_behind_any_byte_of_its_requests)
{
	unsigned count = 1;

	ask_undisturbed(requests);
	for (size_t at = _i * CUTS; at < sizeof(requests) && count <= CUTS; at++, count++)
		cut_request(at);
	ck_assert_uint_eq(server.counters[COUNT_REQUESTS] + second.counters[COUNT_REQUESTS], 7 * count);
}
END_TEST

/* ---- every byte of an answer ------------------------------------------------------------------------ */

static size_t allowed;                  /* bytes that the transport takes, all connections */

static enum io count_out(struct conn *conn, enum io io, size_t *sent)
{
	if (io == IO_OK)
		allowed -= *sent;
	if (allowed == 0)
		conn->writable = false;
	return io;
}

static enum io stingy_writev(struct conn *conn, const struct iovec *parts, int count, bool more, size_t *sent)
{
	struct iovec one = parts[0];

	(void)count, (void)more;
	if (allowed == 0)
		return conn->writable = false, IO_AGAIN;
	one.iov_len = one.iov_len < allowed ? one.iov_len : allowed;
	return count_out(conn, transport_plain.writev(conn, &one, 1, false, sent), sent);
}

static enum io stingy_send_file(struct conn *conn, int file_fd, off_t *offset, size_t len, size_t *sent)
{
	if (allowed == 0)
		return conn->writable = false, IO_AGAIN;
	if (len > allowed)
		len = allowed;
	return count_out(conn, transport_plain.send_file(conn, file_fd, offset, len, sent), sent);
}

static struct transport stingy;

static void be_stingy(void)
{
	stingy = transport_plain;
	stingy.writev = stingy_writev;
	stingy.send_file = stingy_send_file;
	server.engine.transport = second.engine.transport = &stingy;
}

static const char answers[] =
	GET("/x") GET("/hello") GET("/middle")
		"GET /middle HTTP/1.1\r\nHost: a\r\nRange: bytes=1-2,4-40000\r\n\r\n"
		GET("/nope") LAST("/x");

enum { MIDDLE_BYTES = 33000, ANSWER_BYTES = 130000, FINE = 4, COARSE_BYTES = 631 };

/* What the access log has not counted yet. */
static size_t body_in_buffers(const struct conn *conn)
{
	const struct http1 *http = conn->state;
	size_t from;

	if (http == NULL || http->stage != STAGE_SENDING)
		return 0;
	from = http->body_at > http->out_at ? http->body_at : http->out_at;
	return (http->out_len > from ? http->out_len - from : 0) + http->memory.len;
}

static void cut_answer(size_t at)
{
	size_t left;

	allowed = at;
	fake_connect(&server, &client, answers);
	fake_turn(&server);
	left = server.engine.count > 0 ? body_in_buffers(fake_only(&server.engine)) : 0;
	fake_move_all(&server.engine, &second.engine);
	ck_assert_uint_eq(server.engine.count, 0);
	if (left > 0)
		ck_assert_uint_eq(body_in_buffers(fake_only(&second.engine)), left);
	allowed = SIZE_MAX;
	ck_assert(fake_until_eof(&client));
	check_same();
	forget_client();
}

/* Each byte of the first heads and bodies, then now and then. */
START_TEST(a_connection_moves_behind_any_byte_of_its_answers)
{
	char *content = calloc(1, MIDDLE_BYTES);
	unsigned part = (unsigned)_i / 2;

	fake_file(&server, "middle", content, MIDDLE_BYTES);
	free(content);
	if (_i % 2 == 0)
		be_late();
	be_stingy();
	allowed = SIZE_MAX;
	ask_undisturbed(answers);
	for (unsigned i = 0; i < CUTS; i++)
		cut_answer(part < FINE ? part * CUTS + i : ((part - FINE) * CUTS + i) * COARSE_BYTES);
}
END_TEST

/* ---- what a record has and has not ------------------------------------------------------------------ */

static void start_big(const char *text)
{
	be_late();
	fake_connect(&server, &client, "");
	client.deaf = true;
	fake_send(&client, text);
	fake_turn(&server);
	ck_assert_int_eq(state_of(&server.engine)->stage, STAGE_SENDING);
}

/* A connection in each of the stages that can be moved. */
static const struct stage_case {
	const char *text;
	bool big;
	enum moving moving;
} stages[] = {
	{ GET("/hello"), false, MOVING_IDLE },
	{ "", false, MOVING_IDLE },
	{ "GET /hello HTTP/1.1\r\nHo", false, MOVING_HEAD },
	{ CHUNKED("5\r\nhel"), false, MOVING_BODY },
	{ WITH("Content-Length: 10\r\n", "hel"), false, MOVING_BODY },
	{ GET("/big"), true, MOVING_SENDING },
	{ GET("/big") GET("/hello"), true, MOVING_PIPELINED },
	{ "GET /big HTTP/1.1\r\nHost: a\r\nRange: bytes=5-300000,400000-400001,500000-650000\r\n\r\n", true,
	  MOVING_SENDING },
	{ "nonsense\r\n\r\n", false, MOVING_LEAVING },
};

enum { STAGE_CASES = sizeof(stages) / sizeof(stages[0]) };

static void start_stage(const struct stage_case *stage)
{
	if (stage->big) {
		start_big(stage->text);
		return;
	}
	fake_connect(&server, &client, stage->text);
	fake_turn(&server);
}

static int duplicate(int fd)
{
	return fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
}

static char written[64 * 1024];

static struct record write_only(int *file_fd)
{
	struct record record = record_to(written, sizeof(written));

	ck_assert_int_ne(move_write(fake_only(&server.engine), &record, file_fd), MOVING_NOT);
	return record_from(written, record.len);
}

/* Read from memory that ends where the record does. */
static struct conn *read_part(size_t len, int file_fd)
{
	char *bytes = malloc(len);
	struct record record = record_from(memcpy(bytes, written, len), len);
	int fd = duplicate(fake_only(&server.engine)->source.fd);
	struct conn *conn = move_read(&second.engine, &record, fd, duplicate(file_fd));

	free(bytes);
	return conn;
}

START_TEST(each_stage_is_moved_as_what_it_is)
{
	start_stage(&stages[_i]);
	ck_assert_int_eq(fake_move(fake_only(&server.engine), &second.engine), stages[_i].moving);
	ck_assert_uint_eq(server.engine.count, 0);
	ck_assert_uint_eq(server.engine.states.in_use, 0);
	ck_assert_uint_eq(server.engine.pool.in_use_bytes, 0);
}
END_TEST

START_TEST(what_has_no_room_in_a_record_stays)
{
	struct record record;
	size_t len;
	int file_fd;

	start_stage(&stages[_i]);
	len = write_only(&file_fd).size;
	for (size_t room = 0; room < len; room++) {
		record = record_to(written, room);
		ck_assert_int_eq(move_write(fake_only(&server.engine), &record, &file_fd), MOVING_NOT);
	}
}
END_TEST

START_TEST(a_record_that_was_cut_is_refused_and_nothing_is_left)
{
	unsigned pins;
	size_t len;
	int file_fd;

	start_stage(&stages[_i]);
	pins = server.engine.generation->pins;
	len = write_only(&file_fd).size;
	for (size_t part = 1; part < len; part++)
		ck_assert_ptr_null(read_part(part, file_fd));
	second.engine.sweep.run(&second.engine.sweep);
	ck_assert_uint_eq(second.engine.slab.in_use, 0);
	ck_assert_uint_eq(second.engine.states.in_use, 0);
	ck_assert_uint_eq(second.engine.pool.in_use_bytes, 0);
	ck_assert_uint_eq(server.engine.generation->pins, pins);
}
END_TEST

/* Whatever comes of it: it is refused, or served without harm. */
START_TEST(a_record_with_a_wrong_byte_does_no_harm)
{
	size_t len;
	int file_fd;

	start_stage(&stages[_i]);
	len = write_only(&file_fd).size;
	start_spinning();
	for (size_t at = 0; at < len; at++) {
		char right = written[at];
		struct conn *conn;

		written[at] = (char)(right ^ (at % 2 == 0 ? 0xff : 0x01));
		conn = read_part(len, file_fd);
		written[at] = right;
		if (conn != NULL && at % 16 == 0) {
			move_begin(conn);
			fake_turn(&server);
			conn_close(conn);
		} else if (conn != NULL) {
			move_gone(conn);
		}
	}
	loop_unready(&mover.spin);
}
END_TEST

START_TEST(a_file_that_did_not_come_along_is_refused)
{
	int file_fd;
	size_t len;

	start_big(GET("/big"));
	len = write_only(&file_fd).size;
	ck_assert_int_ge(file_fd, 0);
	ck_assert_ptr_null(read_part(len, -1));
}
END_TEST

START_TEST(a_service_that_is_not_here_is_refused)
{
	int file_fd;
	size_t len;
	char *name;

	start_big(GET("/big"));
	len = write_only(&file_fd).size;
	name = memmem(written, len, "files", 5);
	ck_assert_ptr_nonnull(name);
	memcpy(name, "fills", 5);
	ck_assert_ptr_null(read_part(len, file_fd));
}
END_TEST

START_TEST(what_a_service_works_on_stays)
{
	fake_connect(&server, &client, GET("/slow"));
	fake_turn(&server);
	ck_assert_int_eq(fake_move(fake_only(&server.engine), &second.engine), MOVING_NOT);
	ck_assert(fake_until_text(&client, "slow"));
	ck_assert_int_eq(fake_move(fake_only(&server.engine), &second.engine), MOVING_IDLE);
}
END_TEST

START_TEST(a_stream_that_nobody_else_can_go_on_with_stays)
{
	fake_connect(&server, &client, GET("/trickle"));
	fake_turn(&server);
	state_of(&server.engine)->exchange.response.freeze = NULL;
	ck_assert_int_eq(fake_move(fake_only(&server.engine), &second.engine), MOVING_NOT);
	ck_assert(fake_until_text(&client, "0\r\n\r\n"));
}
END_TEST

static bool has_ended(void *what)
{
	return state_of(what)->stream_ended;
}

START_TEST(what_is_left_of_a_stream_that_ended_needs_no_service)
{
	be_stingy();
	allowed = SIZE_MAX;
	ask_undisturbed(LAST("/trickle"));
	allowed = other.len - 3;
	fake_connect(&server, &client, LAST("/trickle"));
	ck_assert(fake_until(&server, has_ended, &server.engine));
	state_of(&server.engine)->exchange.response.freeze = NULL;
	ck_assert_int_eq(fake_move(fake_only(&server.engine), &second.engine), MOVING_SENDING);
	allowed = SIZE_MAX;
	ck_assert(fake_until_eof(&client));
	check_same();
}
END_TEST

/* ---- two of them ------------------------------------------------------------------------------------ */

START_TEST(one_that_stays_after_all_goes_on_as_if_nothing_had_been)
{
	enum moving moving;
	struct conn *copy;

	be_late();
	ask_undisturbed(GET("/big") LAST("/x"));
	start_big(GET("/big") LAST("/x"));
	copy = fake_copy(fake_only(&server.engine), &second.engine, &moving);
	ck_assert_ptr_nonnull(copy);
	move_gone(copy);
	move_thaw(LIST_ENTRY(server.engine.frozen.next, struct conn, link));
	client.deaf = false;
	ck_assert(fake_until_eof(&client));
	check_same();
	ck_assert_uint_eq(second.engine.states.in_use, 0);
}
END_TEST

START_TEST(a_service_is_told_that_the_exchange_has_left_and_that_it_ended)
{
	fake_connect(&server, &client, LAST("/trickle"));
	fake_turn(&server);
	fake_move_all(&server.engine, &second.engine);
	ck_assert_uint_eq(fake_cancels, 1);
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(fake_cancels, 2);
}
END_TEST

START_TEST(an_answer_that_moved_pins_no_generation)
{
	start_big(GET("/big"));
	fake_move_all(&server.engine, &second.engine);
	ck_assert_uint_eq(server.engine.generation->pins, 2);
}
END_TEST

START_TEST(a_body_that_moved_is_answered_by_the_successor_s_generation)
{
	fake_connect(&server, &client, "GET /status HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab");
	generation_unpin(engine_adopt(&second.engine, fake_generation(&server, 7)));
	fake_move_all(&server.engine, &second.engine);
	fake_send(&client, "c");
	ck_assert(fake_until_text(&client, "\"generation\":7"));
}
END_TEST

/* Its head was understood once, and the client has a part of the answer. */
START_TEST(an_answer_goes_on_whatever_the_successor_would_say_to_its_request)
{
	struct generation *next = fake_generation(&server, 2);

	((struct config *)next->config)->header_bytes = 2;
	((struct config *)next->config)->request_line_bytes = 2;
	((struct config *)next->config)->headers = 0;
	generation_unpin(engine_adopt(&second.engine, next));
	start_big(LAST("/big"));
	fake_move_all(&server.engine, &second.engine);
	client.deaf = false;
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_gt(client.len, BIG_BYTES);
}
END_TEST

START_TEST(a_lower_limit_of_the_successor_counts_for_a_body_that_moved)
{
	struct generation *next = fake_generation(&server, 2);

	((struct config *)next->config)->body_bytes = 3;
	generation_unpin(engine_adopt(&second.engine, next));
	fake_connect(&server, &client, CHUNKED("5\r\nhello\r\n"));
	fake_turn(&server);
	fake_move_all(&server.engine, &second.engine);
	fake_send(&client, "1\r\nx\r\n0\r\n\r\n");
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 413 "), 1);
}
END_TEST

/* ---- the access log --------------------------------------------------------------------------------- */

#define LOGGED(path) "GET " path " HTTP/1.1\r\nHost: example.org\r\nReferer: http://r/\r\nUser-Agent: test/1" \
		     "\r\n\r\n"

static const struct {
	enum access_format format;
	enum log_kind kind;
} styles[] = {
	{ ACCESS_COMMON, LOG_STREAM },   { ACCESS_COMBINED, LOG_STREAM }, { ACCESS_JSON, LOG_STREAM },
	{ ACCESS_COMBINED, LOG_SYSLOG }, { ACCESS_JSON, LOG_JOURNAL },
};

/* Within one second, as the style sees it. */
static size_t log_line(struct engine *engine, unsigned style, char *out)
{
	static struct access_style one;
	struct access_entry entry;

	access_style_init(&one, styles[style].format);
	one.kind = styles[style].kind;
	access_entry_fill(&entry, &one, &state_of(engine)->exchange, 5000);
	ck_assert_uint_lt(access_room(&one, &entry), 16 * 1024);
	return access_put(&one, &entry, out);
}

/* Without the first digits of the time, which goes on. */
static void without_time(char *line, size_t len)
{
	static const char *const names[] = { "\"time\":\"", " [" };

	line[len] = '\0';
	for (unsigned i = 0; i < 2; i++)
		if (strstr(line, names[i]) != NULL)
			memset(strstr(line, names[i]), '-', 32);
	if (line[0] == '<')
		memset(line, '-', 20);
}

static void set_log_fields(void)
{
	struct exchange *exchange = &state_of(&server.engine)->exchange;

	exchange->user = (struct str){ "somebody", 8 };
	exchange->client.v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = 77 };
	exchange->generation_number = 41;
}

START_TEST(a_line_of_the_log_says_the_same_after_a_move)
{
	char before[16 * 1024], after[16 * 1024];

	start_big(LOGGED("/big"));
	set_log_fields();
	without_time(before, log_line(&server.engine, _i, before));
	fake_move_all(&server.engine, &second.engine);
	without_time(after, log_line(&second.engine, _i, after));
	ck_assert_str_eq(before, after);
	ck_assert_ptr_nonnull(strstr(before, _i == 2 || _i == 4 ? "\"user\":\"somebody\"" : " somebody"));
}
END_TEST

START_TEST(a_line_says_the_same_of_what_was_not_understood)
{
	char before[16 * 1024], after[16 * 1024];

	be_stingy();
	allowed = 10;
	fake_connect(&server, &client, "GET /hello HTTP/3.0\r\nHost: a\r\n\r\n");
	fake_turn(&server);
	without_time(before, log_line(&server.engine, _i, before));
	fake_move_all(&server.engine, &second.engine);
	without_time(after, log_line(&second.engine, _i, after));
	ck_assert_str_eq(before, after);
	ck_assert_ptr_nonnull(strstr(before, "/hello"));
}
END_TEST

static struct offload offload;
static struct log_writers writers;

static void log_to(struct engine *engine, const char *name)
{
	engine->log_writers = &writers;
	access_log_open(engine, server.config,
			open(path_of(name), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
}

static void start_logs(void)
{
	server.config->log_access = "the log";
	server.config->access_format = ACCESS_COMMON;
	offload_init(&offload, &server.loop, 16);
	log_writers_init(&writers, &server.loop, &offload);
}

static void stop_logs(void)
{
	uint64_t until_ns = clock_now_ns() + 5 * CLOCK_S;

	access_log_open(&server.engine, NULL, -1);
	access_log_open(&second.engine, NULL, -1);
	log_writers_close(&writers, until_ns);
	ck_assert_uint_eq(offload_close(&offload, until_ns), 0);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines of a log from their requests on, sorted: two engines write when it suits them. */
static char *lines_of(const char *name)
{
	char text[4096], *lines[16], *sorted = calloc(1, sizeof(text));
	int fd = open(path_of(name), O_RDONLY | O_CLOEXEC);
	ssize_t len = read(fd, text, sizeof(text) - 1);
	unsigned count = 0;

	close(fd);
	ck_assert_int_gt(len, 0);
	text[len] = '\0';
	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
		lines[count++] = strchr(line, ']');
	qsort(lines, count, sizeof(lines[0]), compare);
	for (unsigned i = 0; i < count; i++)
		strcat(strcat(sorted, lines[i]), "\n");
	return sorted;
}

START_TEST(each_exchange_has_one_line_with_all_its_bytes)
{
	char *before, *after;

	start_logs();
	log_to(&server.engine, "undisturbed");
	if (conversations[_i].late)
		be_late();
	ask_undisturbed(conversations[_i].text);
	log_to(&server.engine, "moved");
	log_to(&second.engine, "moved");
	be_moved(_i, 0);
	fake_hang_up(&client);
	ck_assert(fake_until(&server, nobody_left, NULL));
	stop_logs();
	before = lines_of("undisturbed");
	after = lines_of("moved");
	ck_assert_str_eq(before, after);
	free(before);
	free(after);
}
END_TEST

START_TEST(the_time_of_a_request_counts_from_where_it_began)
{
	uint64_t before_ns;

	fake_connect(&server, &client, "GET /big HT");
	before_ns = state_of(&server.engine)->exchange.started_ns;
	server.loop.now_ns += CLOCK_S;
	fake_move_all(&server.engine, &second.engine);
	ck_assert_uint_eq(state_of(&second.engine)->exchange.started_ns, before_ns);
}
END_TEST

/* ---- time ------------------------------------------------------------------------------------------- */

START_TEST(a_deadline_is_the_same_after_a_move)
{
	uint64_t before_ns;

	start_stage(&stages[_i]);
	before_ns = fake_only(&server.engine)->timer.due_ns;
	ck_assert(timer_armed_lean(&fake_only(&server.engine)->timer));
	fake_move(fake_only(&server.engine), &second.engine);
	ck_assert(timer_armed_lean(&fake_only(&second.engine)->timer));
	ck_assert_uint_eq(fake_only(&second.engine)->timer.due_ns, before_ns);
}
END_TEST

/* Whoever has it now looks at it before its client has done anything. */
START_TEST(a_client_that_takes_nothing_gains_no_time_by_a_move)
{
	struct conn *conn;
	uint64_t due_ns;

	start_big(GET("/big"));
	conn = fake_only(&server.engine);
	ck_assert(!conn->writable && timer_armed_lean(&conn->timer));
	due_ns = conn->timer.due_ns;
	fake_move(conn, &second.engine);
	conn = fake_only(&second.engine);
	second.engine.loop->now_ns += CLOCK_S;
	conn_serve(conn);
	ck_assert_uint_eq(conn->timer.due_ns, due_ns);
}
END_TEST

START_TEST(a_head_that_does_not_come_gets_408_however_often_it_moves)
{
	server.config->request_head_ns = 30 * CLOCK_MS;
	start_moving(0);
	fake_connect(&server, &client, "GET /hello HT");
	ck_assert(fake_until_eof(&client));
	stop_moving();
	ck_assert_uint_eq(fake_count(&client, "HTTP/1.1 408 Request Timeout\r\n"), 1);
	ck_assert_uint_gt(mover.moves[MOVING_HEAD], 0);
}
END_TEST

START_TEST(an_idle_connection_ends_however_often_it_moves)
{
	server.config->keep_alive_ns = 30 * CLOCK_MS;
	server.config->keep_alive_grace_ns = 0;
	start_moving(0);
	fake_connect(&server, &client, GET("/hello"));
	ck_assert(fake_until_eof(&client));
	stop_moving();
	ck_assert_uint_gt(mover.moves[MOVING_IDLE], 0);
}
END_TEST

START_TEST(a_client_that_takes_nothing_is_cut_however_often_it_moves)
{
	server.config->send_ns = 30 * CLOCK_MS;
	start_big(GET("/big"));
	start_moving(0);
	ck_assert(fake_until(&server, nobody_left, NULL));
	stop_moving();
	ck_assert_uint_gt(mover.moves[MOVING_SENDING], 0);
	ck_assert_uint_eq(server.counters[COUNT_TIMEOUTS] + second.counters[COUNT_TIMEOUTS], 1);
}
END_TEST

START_TEST(what_a_client_took_before_the_move_does_not_count_after_it)
{
	struct http1 *http;

	start_big(GET("/big"));
	http = state_of(&server.engine);
	http->taken_mark = 77;
	http->min_rate = 1234;
	fake_move_all(&server.engine, &second.engine);
	ck_assert_uint_eq(state_of(&second.engine)->taken_mark, 77);
	ck_assert_uint_eq(state_of(&second.engine)->min_rate, 1234);
	ck_assert_uint_gt(state_of(&second.engine)->sent, 77);
}
END_TEST

/* ---- files ------------------------------------------------------------------------------------------ */

START_TEST(a_file_that_is_written_to_behind_a_move_cuts_the_connection)
{
	int fd;

	start_big(GET("/big"));
	fake_move_all(&server.engine, &second.engine);
	fd = open(path_of("big"), O_WRONLY | O_CLOEXEC);
	ck_assert_int_eq(pwrite(fd, "x", 1, BIG_BYTES - 1), 1);
	close(fd);
	client.deaf = false;
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_lt(client.len, BIG_BYTES);
	ck_assert_uint_eq(second.counters[COUNT_FILE_CHANGED], 1);
}
END_TEST

/* As the page of an error is. */
START_TEST(a_file_that_nobody_watches_needs_no_service)
{
	struct response *response;

	start_big(LAST("/big"));
	response = &state_of(&server.engine)->exchange.response;
	response->unchanged = NULL;
	response->freeze = NULL;
	ck_assert_int_eq(fake_move(fake_only(&server.engine), &second.engine), MOVING_SENDING);
	client.deaf = false;
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_gt(client.len, BIG_BYTES);
}
END_TEST

START_TEST(a_file_that_is_renamed_behind_a_move_is_sent)
{
	char away[160];

	start_big(LAST("/big"));
	fake_move_all(&server.engine, &second.engine);
	strcpy(away, path_of("away"));
	ck_assert_int_eq(rename(path_of("big"), away), 0);
	client.deaf = false;
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_gt(client.len, BIG_BYTES);
}
END_TEST

static Suite *suite(void)
{
	Suite *all = suite_create("http1_move");
	TCase *same = tcase_create("same"), *record = tcase_create("record"), *two = tcase_create("two");
	TCase *log = tcase_create("log"), *late = tcase_create("time"), *file = tcase_create("file");
	TCase *const cases[] = { same, record, two, log, late, file };

	for (unsigned i = 0; i < 6; i++) {
		tcase_add_checked_fixture(cases[i], set_up, tear_down);
		tcase_set_timeout(cases[i], 60);
		suite_add_tcase(all, cases[i]);
	}
	tcase_add_loop_test(same, a_client_does_not_see_that_it_is_moved_after_every_turn, 0, CONVERSATIONS);
	tcase_add_loop_test(same, a_client_does_not_see_that_it_is_moved_now_and_then, 0,
			    CONVERSATIONS * SEEDS);
	tcase_add_loop_test(same, a_connection_moves_behind_any_byte_of_its_requests, 0,
			    sizeof(requests) / CUTS + 1);
	tcase_add_loop_test(same, a_connection_moves_behind_any_byte_of_its_answers, 0,
			    2 * (FINE + ANSWER_BYTES / COARSE_BYTES / CUTS));
	tcase_add_loop_test(record, each_stage_is_moved_as_what_it_is, 0, STAGE_CASES);
	tcase_add_loop_test(record, what_has_no_room_in_a_record_stays, 0, STAGE_CASES);
	tcase_add_loop_test(record, a_record_that_was_cut_is_refused_and_nothing_is_left, 0, STAGE_CASES);
	tcase_add_loop_test(record, a_record_with_a_wrong_byte_does_no_harm, 0, STAGE_CASES);
	tcase_add_test(record, a_file_that_did_not_come_along_is_refused);
	tcase_add_test(record, a_service_that_is_not_here_is_refused);
	tcase_add_test(record, what_a_service_works_on_stays);
	tcase_add_test(record, a_stream_that_nobody_else_can_go_on_with_stays);
	tcase_add_test(record, what_is_left_of_a_stream_that_ended_needs_no_service);
	tcase_add_test(two, one_that_stays_after_all_goes_on_as_if_nothing_had_been);
	tcase_add_test(two, a_service_is_told_that_the_exchange_has_left_and_that_it_ended);
	tcase_add_test(two, an_answer_that_moved_pins_no_generation);
	tcase_add_test(two, a_body_that_moved_is_answered_by_the_successor_s_generation);
	tcase_add_test(two, an_answer_goes_on_whatever_the_successor_would_say_to_its_request);
	tcase_add_test(two, a_lower_limit_of_the_successor_counts_for_a_body_that_moved);
	tcase_add_loop_test(log, a_line_of_the_log_says_the_same_after_a_move, 0, 5);
	tcase_add_loop_test(log, a_line_says_the_same_of_what_was_not_understood, 0, 5);
	tcase_add_loop_test(log, each_exchange_has_one_line_with_all_its_bytes, 0, CONVERSATIONS);
	tcase_add_test(log, the_time_of_a_request_counts_from_where_it_began);
	tcase_add_loop_test(late, a_deadline_is_the_same_after_a_move, 0, STAGE_CASES);
	tcase_add_test(late, a_client_that_takes_nothing_gains_no_time_by_a_move);
	tcase_add_test(late, a_head_that_does_not_come_gets_408_however_often_it_moves);
	tcase_add_test(late, an_idle_connection_ends_however_often_it_moves);
	tcase_add_test(late, a_client_that_takes_nothing_is_cut_however_often_it_moves);
	tcase_add_test(late, what_a_client_took_before_the_move_does_not_count_after_it);
	tcase_add_test(file, a_file_that_is_written_to_behind_a_move_cuts_the_connection);
	tcase_add_test(file, a_file_that_nobody_watches_needs_no_service);
	tcase_add_test(file, a_file_that_is_renamed_behind_a_move_is_sent);
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
