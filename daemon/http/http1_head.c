/* http1_head.c - the head of a request, as its bytes come.
 *
 * Called by http1.c in STAGE_HEAD. A head that cannot be understood is answered. Fails by STEP_CLOSE: out of
 * memory (counted), broken, or at the client's end. */
#include "http1_state.h"

#include <string.h>

static void note(struct exchange *exchange)
{
	conn_wake(exchange->conn);
}

void http1_begin(struct http1 *http)
{
	struct exchange *exchange = &http->exchange;
	const struct listener_rules *rules = http->conn->listener->rules;
	const struct config *config;

	exchange_begin(exchange, http->conn);
	exchange->on_answer = exchange->on_resume = note;
	parse_begin(&http->parse, &exchange->request);
	config = exchange->generation->config;
	http->limits = (struct parse_limits){
		.request_line_bytes = (uint32_t)config->request_line_bytes,
		.header_bytes = (uint32_t)config->header_bytes,
		.headers = config->headers,
	};
	http->head_ns = http1_own_or(rules->request_head_ns, config->request_head_ns);
	http->body_ns = http1_own_or(rules->body_ns, config->body_ns);
	http->keep_alive_ns = http1_own_or(rules->keep_alive_ns, config->keep_alive_ns);
	http->send_ns = http1_own_or(rules->send_ns, config->send_ns);
	http->min_rate = http1_own_or(rules->min_rate, config->min_rate);
	http->sent = 0;
	http->begun = true;
	http->failed = http->body_read = false;
}

static void understand(struct http1 *http)
{
	http->in_at += http->parse.scanned;
	engine_count(conn_engine(http->conn), COUNT_REQUESTS);
	http->exchange.understood = true;
}

static enum step take_request(struct http1 *http)
{
	understand(http);
	http->exchanges_left--;
	return http1_begin_body(http);
}

static void begin(struct http1 *http)
{
	if (http->conn->served > 0)     /* the first request's deadline counts from accept */
		conn_timer(http->conn, 0);
	http1_begin(http);
}

static enum step parse(struct http1 *http)
{
	struct exchange *exchange = &http->exchange;
	unsigned status = 0;
	enum parse_result result;

	if (!http->begun)
		begin(http);
	exchange->head = http->in + http->in_at;
	http1_say_request(http);        /* before anybody looks at it: it may be what ends us */
	result = parse_head(&http->parse, &exchange->request, &http->limits, exchange->head,
			    http->in_len - http->in_at, &exchange->arena, &status);
	if (result == PARSE_DONE)
		return take_request(http);
	return result == PARSE_ERROR ? http1_refuse(http, status, http->parse.wrong) : STEP_ON;
}

bool http1_copy_head(struct http1 *http, const struct request *request, size_t head_bytes)
{
	struct exchange *exchange = &http->exchange;
	size_t bytes = request->header_count * sizeof(*request->headers);

	begin(http);
	exchange->head = http->in + http->in_at;
	exchange->request = *request;
	exchange->request.headers = arena_alloc(&exchange->arena, bytes);
	if (exchange->request.headers == NULL)
		return http1_no_memory(http), false;
	if (bytes > 0)
		memcpy(exchange->request.headers, request->headers, bytes);
	http->parse.scanned = (uint32_t)head_bytes;
	http->parse.header_room = request->header_count;
	understand(http);
	return true;
}

enum step http1_take_head(struct http1 *http, const struct request *request, size_t head_bytes)
{
	return http1_copy_head(http, request, head_bytes) ? http1_begin_body(http) : STEP_CLOSE;
}

bool http1_take_bytes(struct http1 *http, struct str bytes)
{
	if (!http1_grow(http, bytes.len))
		return http1_no_memory(http), false;
	memcpy(http->in, bytes.at, bytes.len);
	http->in_len = bytes.len;
	return true;
}

bool http1_grow(struct http1 *http, size_t more_bytes)
{
	struct pool *pool = &conn_engine(http->conn)->pool;
	size_t size;
	char *larger = pool_get(pool, http->in_size + more_bytes, &size);

	if (larger == NULL)     /* the settings' limits end a head before the pool does */
		return false;
	if (http->in_len > 0)
		memcpy(larger, http->in, http->in_len);
	pool_put(pool, http->in, http->in_size);
	http->in = larger;
	http->in_size = size;
	return true;
}

/* Room behind in_len: moves the request to the front, or takes a larger buffer. */
static bool make_room(struct http1 *http)
{
	if (http->in_len < http->in_size)
		return true;
	if (http->in_at == 0)
		return http1_grow(http, 1);
	http->in_len -= http->in_at;
	memmove(http->in, http->in + http->in_at, http->in_len);
	http->in_at = 0;
	return true;
}

static enum step fill(struct http1 *http)
{
	struct conn *conn = http->conn;
	size_t got;
	enum io io;

	if (!conn->readable)
		return STEP_WAIT;
	if (http->in_at == http->in_len)
		http->in_at = http->in_len = 0;
	if (!make_room(http))
		return http1_no_memory(http);
	http->exchange.head = http->in + http->in_at;   /* it may be over before it is parsed on */
	io = conn_transport(conn)->recv(conn, http->in + http->in_len, http->in_size - http->in_len, &got);
	if (io != IO_OK)        /* a FIN: everything complete has been answered; what is not never will be */
		return io == IO_AGAIN ? STEP_WAIT : STEP_CLOSE;
	http->in_len += got;
	return STEP_ON;
}

enum step http1_head(struct http1 *http)
{
	size_t parsed = http->begun ? http->parse.scanned : 0;

	return http->in_at + parsed < http->in_len ? parse(http) : fill(http);
}
