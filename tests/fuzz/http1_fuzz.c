/* http1_fuzz.c - the whole protocol on one connection, over a transport that moves bytes in fits: every
 * complete request gets the one answer that it is owed, well-formed, and nothing follows the last one.
 *
 * Input: how the transport moves bytes (three bytes), what happens and before which piece (two bytes: the
 * worker drains, or adopts a generation), how the client's bytes are cut, what the client sends. */
#include "fuzz.h"

#include "unit/fake_server.h"

#include "base/clock.h"
#include "http/chunked.h"
#include "http/parse.h"
#include "http/target.h"

#include <sys/socket.h>

#define MOST_NS (5 * CLOCK_S)

enum { BODY_BYTES = 300 };

static const struct parse_limits limits = { 200, 400, 8 };
static struct fake_server server;

/* At the end of the process: its directory goes, and nothing may be left behind. */
static void tear_down(void)
{
	server.client_count = 0;
	fake_server_close(&server);
}

/* A generation that the client must not notice. */
static void adopt(void)
{
	static uint64_t number = 1;
	struct generation *next = fake_generation(&server, ++number);

	server.config = (struct config *)(uintptr_t)next->config;
	server.config->request_line_bytes = limits.request_line_bytes;
	server.config->header_bytes = limits.header_bytes;
	server.config->headers = limits.headers;
	server.config->body_bytes = BODY_BYTES;
	generation_unpin(engine_adopt(&server.engine, next));
}

static void set_up(void)
{
	static bool is_up;

	if (is_up)
		return;
	is_up = true;
	fake_server_open(&server, &protocol_http1);
	atexit(tear_down);
	fake_file(&server, "file.txt", "0123456789", 10);
	fake_file(&server, "empty", "", 0);
	adopt();
	fuzz_no_log();
}

/* ---- the conversation ---- */

enum { HAPPENS_NOTHING, HAPPENS_DRAIN, HAPPENS_ADOPT, HAPPENINGS };

struct happening {
	uint8_t what, before;           /* which piece */
};

static void turn(void)
{
	fake_wait_for_nothing(&server);
	fuzz_turn(&server.loop);
}

static void happen(struct happening *happening)
{
	if (happening->before-- != 0)
		return;
	if (happening->what % HAPPENINGS == HAPPENS_DRAIN)
		engine_drain(&server.engine, false);
	if (happening->what % HAPPENINGS == HAPPENS_ADOPT)
		adopt();
}

static void send_all(struct fake_client *client, struct str bytes, struct cuts cuts,
		     struct happening happening)
{
	while (bytes.len > 0 && !client->eof) {
		size_t len = cuts_next(&cuts, bytes.len);
		ssize_t sent = send(client->fd, bytes.at, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0)           /* the server has closed */
			break;
		bytes = (struct str){ bytes.at + sent, bytes.len - (size_t)sent };
		happen(&happening);
		turn();
	}
	shutdown(client->fd, SHUT_WR);
}

static void converse(struct fake_client *client, struct str bytes, struct cuts cuts,
		     struct happening happening)
{
	uint64_t until = clock_now_ns() + MOST_NS;

	server.client_count = 0;
	fake_connect(&server, client, "");
	send_all(client, bytes, cuts, happening);
	while (!client->eof && clock_now_ns() < until)
		turn();
	FUZZ_CHECK(client->eof);
	fake_hang_up(client);
	while (server.counters[COUNT_OPEN] > 0 && clock_now_ns() < until)
		turn();
	FUZZ_CHECK(server.counters[COUNT_OPEN] == 0);
	server.engine.draining = false;
}

/* ---- what the client is owed ---- */

struct owed {
	bool head;              /* an answer without a body */
	bool last;              /* nothing follows */
	bool breaks;            /* its body breaks off */
	unsigned status;        /* 0: the service's business */
};

struct client_side {
	struct str rest;        /* of what the client sent */
	bool over;              /* no further answer is owed */
};

static void owe_parsed(struct client_side *side, const struct request *request, struct owed *owed)
{
	struct arena arena = { 0 };
	struct str path = { "", 0 };
	unsigned status = 0;

	if (request->method == METHOD_GET || request->method == METHOD_HEAD)
		status = target_resolve(span_str(request->path, side->rest.at), &arena, &path);
	owed->last = !request->keep_alive || status == 400;
	owed->status = status;
	owed->breaks = !owed->head && str_has_prefix(path, str_of("/breaks"));
	arena_free(&arena);
}

/* Takes a body of known length off what the client sent; the status that refuses it, or 0. */
static unsigned take_length(struct client_side *side, uint64_t len)
{
	if (len > side->rest.len)       /* it has ended without it */
		return 400;
	side->rest = (struct str){ side->rest.at + len, side->rest.len - (size_t)len };
	return 0;
}

/* Takes a chunked one off, content byte by content byte. */
static unsigned take_chunks(struct client_side *side)
{
	const struct chunked_limits most = { BODY_BYTES, limits.header_bytes, limits.headers };
	struct chunked chunked = { 0 };
	enum chunked_result result = CHUNKED_MORE;
	unsigned status = 0;

	while (side->rest.len > 0 && result != CHUNKED_DONE) {
		struct str one = { side->rest.at, 1 }, data;

		result = chunked_next(&chunked, &most, &one, &data, &status);
		if (result == CHUNKED_ERROR)
			return status;
		side->rest = (struct str){ side->rest.at + 1, side->rest.len - 1 };
	}
	return result == CHUNKED_DONE ? 0 : 400;
}

static void owe_body(struct client_side *side, const struct request *request, struct owed *owed)
{
	unsigned status = 413;

	if (request->expects_continue && (request->chunked || request->body_bytes <= BODY_BYTES)) {
		owed->last = true;
		return;
	}
	if (request->chunked)
		status = take_chunks(side);
	else if (request->body_bytes <= BODY_BYTES)
		status = take_length(side, request->body_bytes);
	if (status == 0)
		return;
	owed->last = true;
	owed->breaks = false;
	owed->status = status;
}

/* The next answer that the client is owed; false: none. */
static bool next_owed(struct client_side *side, struct owed *owed)
{
	struct parse parse;
	struct request request;
	struct arena arena = { 0 };
	unsigned status = 0;
	enum parse_result result;

	*owed = (struct owed){ 0 };
	if (side->over || side->rest.len == 0)
		return false;
	parse_begin(&parse, &request);
	result = parse_head(&parse, &request, &limits, side->rest.at, side->rest.len, &arena, &status);
	owed->head = request.method == METHOD_HEAD;
	if (result == PARSE_DONE)       /* before its bytes are taken off, for it points into them */
		owe_parsed(side, &request, owed);
	if (result == PARSE_ERROR)
		*owed = (struct owed){ .head = owed->head, .last = true, .status = status };
	side->rest = (struct str){ side->rest.at + parse.scanned, side->rest.len - parse.scanned };
	if (result == PARSE_DONE && request.has_body)
		owe_body(side, &request, owed);
	side->over = owed->last;
	arena_free(&arena);
	return result != PARSE_MORE;
}

/* ---- what the client got ---- */

struct answer_head {
	unsigned status;
	bool close, keep_alive, chunked, length_known;
	uint64_t length;
};

static bool take_line(struct str *text, struct str *line)
{
	const char *end = memmem(text->at, text->len, "\r\n", 2);

	if (end == NULL)
		return false;
	*line = (struct str){ text->at, (size_t)(end - text->at) };
	*text = (struct str){ end + 2, text->len - line->len - 2 };
	return true;
}

static void read_field(struct str line, struct answer_head *head)
{
	const char *colon = memchr(line.at, ':', line.len);
	struct str name, value;

	FUZZ_CHECK(colon != NULL && colon > line.at);
	name = (struct str){ line.at, (size_t)(colon - line.at) };
	value = str_trim((struct str){ colon + 1, line.len - name.len - 1 });
	for (size_t i = 0; i < value.len; i++)
		FUZZ_CHECK((unsigned char)value.at[i] >= 0x20 && value.at[i] != 0x7f);
	if (str_equal_nocase(name, str_of("Connection"))) {
		head->close = str_equal(value, str_of("close"));
		head->keep_alive = str_equal(value, str_of("keep-alive"));
		FUZZ_CHECK(head->close || head->keep_alive);
	}
	if (str_equal_nocase(name, str_of("Transfer-Encoding")))
		head->chunked = str_equal(value, str_of("chunked"));
	if (str_equal_nocase(name, str_of("Content-Length"))) {
		FUZZ_CHECK(!head->length_known && str_to_u64(value, &head->length));
		head->length_known = true;
	}
}

static struct answer_head read_head(struct str *text)
{
	struct answer_head head = { 0 };
	struct str line;
	uint64_t status;

	FUZZ_CHECK(take_line(text, &line));
	FUZZ_CHECK(line.len > 13 && str_has_prefix(line, str_of("HTTP/1.1 ")) && line.at[12] == ' ');
	FUZZ_CHECK(str_to_u64((struct str){ line.at + 9, 3 }, &status) && status >= 200 && status < 600);
	head.status = (unsigned)status;
	for (;;) {
		FUZZ_CHECK(take_line(text, &line));
		if (line.len == 0)
			break;
		read_field(line, &head);
	}
	FUZZ_CHECK(!head.chunked || !head.length_known);
	return head;
}

/* False: it breaks off. */
static bool skip(struct str *text, uint64_t len)
{
	bool whole = len <= text->len;

	if (!whole)
		len = text->len;
	*text = (struct str){ text->at + len, text->len - (size_t)len };
	return whole;
}

static bool skip_chunks(struct str *text)
{
	struct str line;
	unsigned long len;

	do {
		if (!take_line(text, &line))
			return skip(text, text->len + 1);
		len = strtoul(line.at, NULL, 16);
		if (!skip(text, len) || !skip(text, 2))
			return false;
	} while (len > 0);
	return true;
}

static bool skip_body(struct str *text, const struct answer_head *head, const struct owed *owed)
{
	if (owed->head || head->status == 204 || head->status == 304)
		return true;
	if (head->chunked)
		return skip_chunks(text);
	return skip(text, head->length_known ? head->length : text->len);
}

/* True when an answer that is as it must be was there, and another may follow. */
static bool check_answer(struct str *text, const struct owed *owed)
{
	struct answer_head head = read_head(text);
	bool whole;

	FUZZ_CHECK(owed->status == 0 || head.status == owed->status);
	FUZZ_CHECK(!owed->last || head.close);
	whole = skip_body(text, &head, owed);
	FUZZ_CHECK(whole || owed->breaks);
	return whole && !head.close;
}

static void check_answers(const struct fake_client *client, struct str sent)
{
	struct str text = { client->text, client->len };
	struct client_side side = { .rest = sent };
	struct owed owed;
	bool open = true;

	while (open && next_owed(&side, &owed))
		open = check_answer(&text, &owed);
	FUZZ_CHECK(text.len == 0);      /* nothing is left, nothing follows the last one */
}

static void check_memory(void)
{
	FUZZ_CHECK(server.engine.slab.in_use == 0);
	FUZZ_CHECK(server.engine.states.in_use == 0);
	FUZZ_CHECK(server.engine.pool.in_use_bytes == 0);
	FUZZ_CHECK(server.engine.generation->pins == 1);
}

/* Those services only cost time here. */
static bool is_slow(const uint8_t *data, size_t size)
{
	return size > 0 && (memmem(data, size, "/slow", 5) != NULL || memmem(data, size, "/stalls", 7) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct fake_client client;
	struct happening happening;
	struct str sent;
	struct cuts cuts;

	if (is_slow(data, size))
		return 0;
	set_up();
	fake_fits = (struct fake_fits){ .recv_bytes = input_byte(&input), .send_bytes = input_byte(&input) };
	fake_fits.again_every = input_byte(&input) % 8;
	server.engine.transport = size > 0 && data[0] % 2 == 0 ? &transport_plain : &fake_transport;
	if (fake_fits.again_every == 1)         /* every call: nothing would ever move */
		fake_fits.again_every = 0;
	happening.what = input_byte(&input);
	happening.before = input_byte(&input);
	cuts = cuts_of(&input);
	sent = input_take(&input, input.len);
	converse(&client, sent, cuts, happening);
	check_answers(&client, sent);
	check_memory();
	free(client.text);
	return 0;
}
