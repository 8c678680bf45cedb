/* express.c - one read, the answers to all requests in it, one send.
 *
 * Called by http1.c for idle connections. Works in buffers of the worker: what is not finished when it
 * returns was given to the general way, with a state of its own. Fails by closing the one connection: out of
 * memory (counted), or broken.
 *
 * Nothing counts before it was sent: a request whose answer the socket did not take is either the one that
 * the general way goes on sending, or has not been looked at yet. */
#include "express.h"

#include "access_log.h"
#include "express_batch.h"
#include "http1_state.h"
#include "limits.h"

#include "base/clock.h"

#include <stdlib.h>

enum {
	REQUESTS_A_SERVE = 64,          /* cheap ones: the general way takes 16 */
	BYTES_A_SERVE = 512 * 1024,
};

/* What becomes of a request. */
enum way { WAY_EXPRESS, WAY_LAST, WAY_GENERAL };

/* ---- who may go ---------------------------------------------------------------------------------------- */

static struct express *express_of(struct engine *engine)
{
	struct express *express = engine->shared;

	if (express != NULL)
		return express;
	express = calloc(1, sizeof(*express));
	if (express == NULL)
		return NULL;
	ready_init(&express->ready);
	engine->shared = express;
	return express;
}

void express_forget(struct engine *engine)
{
	struct express *express = engine->shared;

	if (express == NULL)
		return;
	ready_free(&express->ready);
	arena_free(&express->arena);
	free(express);
	engine->shared = NULL;
}

static bool may_go(const struct conn *conn)
{
	const struct engine *engine = conn_engine(conn);

	return conn->writable && !conn->broken && !engine->draining && !limits_any(engine);
}

/* Its head alone decides the answer, and a ready one is for such requests. */
static bool is_usual(const struct request *request)
{
	return (request->method == METHOD_GET || request->method == METHOD_HEAD) && express_is_usual(request);
}

/* ---- a serve begins ------------------------------------------------------------------------------------ */

/* What all requests of this serve have in common. */
static void begin(struct express *express, struct conn *conn)
{
	struct engine *engine = conn_engine(conn);
	const struct config *config = engine->generation->config;
	struct exchange *exchange = &express->exchange;

	express->conn = conn;
	express->generation = engine->generation->number;
	express->limits = (struct parse_limits){
		.request_line_bytes = (uint32_t)config->request_line_bytes,
		.header_bytes = (uint32_t)config->header_bytes,
		.headers = config->headers,
	};
	batch_fields(express, http1_own_or(conn->listener->rules->keep_alive_ns, config->keep_alive_ns));
	express->date = wall_clock(engine->loop)->date;
	exchange->engine = engine;
	exchange->log_query = config->log_query;
	exchange->started_ns = engine->loop->now_ns;
	exchange->log = engine->access_log;
	express->requests_left = REQUESTS_A_SERVE;
	express->bytes_left = BYTES_A_SERVE;
}

/* ---- a request ----------------------------------------------------------------------------------------- */

/* Parses the request at `at`; the result stays in the batch's next place. */
static bool understands(struct express *express, size_t at)
{
	struct answered *next = &express->answered[express->count];
	struct exchange *exchange = &express->exchange;
	unsigned status;

	express->asked = &next->request;
	exchange->head = next->head = express->in + at;
	exchange_say(exchange, express->in_len - at);   /* as in http1_head.c: before it is parsed */
	parse_begin_with(&express->parse, &next->request, express->headers + express->headers_used,
			 EXPRESS_HEADERS - express->headers_used);
	express->understood = parse_usual(&express->parse, &next->request, &express->limits, next->head,
					  express->in_len - at) ||
			      parse_head(&express->parse, &next->request, &express->limits, next->head,
					 express->in_len - at, &express->arena, &status) == PARSE_DONE;
	return express->understood;
}

static enum way take(struct express *express, size_t at)
{
	struct answered *next = &express->answered[express->count];
	const struct ready_answer *answer;
	struct ready_key key;

	if (!understands(express, at) || !is_usual(&next->request))
		return WAY_GENERAL;
	key = express_key(express, &next->request, next->head);
	answer = ready_find(&express->ready, &key, express->generation, express->exchange.started_ns);
	if (answer == NULL)
		return WAY_GENERAL;
	next->head_bytes = express->parse.scanned;
	batch_add(express, &answer->terms);
	express->requests_left--;
	return next->request.keep_alive ? WAY_EXPRESS : WAY_LAST;
}

/* ---- the general way ----------------------------------------------------------------------------------- */

/* A state that has the bytes from `at` on. NULL: out of memory. */
static struct http1 *general(struct express *express, size_t at)
{
	struct http1 *http = http1_new(express->conn);

	if (http == NULL || !http1_take_bytes(http, (struct str){ express->in + at, express->in_len - at }))
		return NULL;
	return http;
}

/* The request at `at` is none for us; it is not parsed twice if it was understood. */
static enum served go_general(struct express *express, size_t at)
{
	struct http1 *http = general(express, at);

	if (http == NULL)
		return SERVED_CLOSE;
	if (express->understood &&
	    http1_take_head(http, express->asked, express->parse.scanned) == STEP_CLOSE)
		return SERVED_CLOSE;
	return http1_run(http);
}

/* The budget is used up. */
static enum served come_again(struct express *express, size_t at)
{
	if (at == express->in_len)
		return SERVED_MORE;
	return general(express, at) != NULL ? SERVED_MORE : SERVED_CLOSE;
}

/* What is left of the first answer of the batch, of which the socket has taken a part. */
static struct rest rest_of(const struct express *express, const struct answered *answered)
{
	size_t taken = express->taken, of_out = taken < answered->out_len ? taken : answered->out_len;
	size_t of_body = taken - of_out, at = answered->out_at + of_out;
	struct rest rest = {
		.out = { express->out + at, answered->out_len - of_out },
		.body_at = SIZE_MAX,
		.memory = answered->body,
		.lasting = answered->lasting,
		.status = answered->status,
		.row = answered->row,
		.sent = taken,
		.body_sent = of_body,
	};

	if (of_body > 0)
		str_take(&rest.memory, of_body);
	if (answered->body_at == SIZE_MAX)
		return rest;
	rest.body_at = answered->body_at > at ? answered->body_at - at : 0;
	rest.body_sent = at > answered->body_at ? at - answered->body_at : 0;
	return rest;
}

/* The socket does not take the whole batch. */
static enum served suspend(struct express *express, enum io io)
{
	const struct answered *first = &express->answered[express->first];
	struct http1 *http = general(express, (size_t)(first->head - express->in));
	struct rest rest = rest_of(express, first);
	bool taken = http != NULL && http1_take_answer(http, &first->request, first->head_bytes, &rest);

	batch_drop(express);
	if (!taken || io == IO_ERROR)
		return SERVED_CLOSE;
	return http1_run(http);
}

/* It was answered for the last time. A client that has sent nothing more, and knows that, is not waited
 * for. */
static enum served leave(struct express *express, size_t at)
{
	struct http1 *http;

	if (at == express->in_len && !express->conn->readable)
		return SERVED_CLOSE;
	http = http1_new(express->conn);
	if (http == NULL)
		return SERVED_CLOSE;
	http1_linger(http);
	return http1_run(http);
}

/* ---- a read -------------------------------------------------------------------------------------------- */

static bool has_budget(const struct express *express)
{
	return express->requests_left > 0 && express->bytes_left > 0;
}

/* Answers what has come. WAY_EXPRESS: all of it, or as much as the budget allows. Sets `*at` to where the
 * rest begins; false: `*served` is the end of it all. */
static bool answer_all(struct express *express, size_t *at, enum way *way, enum served *served)
{
	enum io io = IO_OK;

	*way = WAY_EXPRESS;
	for (*at = 0; io == IO_OK && *way == WAY_EXPRESS && *at < express->in_len && has_budget(express);) {
		*way = take(express, *at);
		if (*way != WAY_GENERAL)
			*at += express->parse.scanned;
		if (*way == WAY_EXPRESS && batch_is_full(express))
			io = batch_send(express);
	}
	if (io == IO_OK)
		io = batch_send(express);
	if (io == IO_OK)
		return true;
	*served = suspend(express, io);
	return false;
}

/* One read. True: it goes on with the next one. */
static bool pass(struct express *express, enum served *served)
{
	enum way way;
	size_t at;

	batch_begin(express);
	if (express->arena.blocks != NULL)
		arena_reset(&express->arena);
	if (!answer_all(express, &at, &way, served))
		return false;
	if (way == WAY_GENERAL)
		*served = go_general(express, at);
	else if (way == WAY_LAST)
		*served = leave(express, at);
	else if (!has_budget(express) && (at < express->in_len || express->conn->readable))
		*served = come_again(express, at);
	else
		return true;
	return false;
}

static enum served serve(struct express *express)
{
	struct conn *conn = express->conn;
	enum served served;
	bool worked = false;
	enum io io = IO_OK;

	while (conn->readable) {
		io = conn_transport(conn)->recv(conn, express->in, sizeof(express->in), &express->in_len);
		if (io != IO_OK)
			break;
		worked = true;
		if (!pass(express, &served))
			return served;
	}
	if (io == IO_EOF || io == IO_ERROR)
		return SERVED_CLOSE;
	http1_idles(conn, worked);
	return SERVED_WAIT;
}

enum served express_ready(struct conn *conn)
{
	struct express *express = express_of(conn_engine(conn));
	struct http1 *http;

	if (express != NULL && may_go(conn)) {
		conn_works(conn);
		begin(express, conn);
		return serve(express);
	}
	http = http1_new(conn);
	return http == NULL ? SERVED_CLOSE : http1_run(http);
}
