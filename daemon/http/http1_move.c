/* http1_move.c - a connection moves to another worker: what its successor has to know to go on.
 *
 * Called by the engine (net/move.c) through protocol_http1. One function describes each part of a record, for
 * both directions. The head of a request goes along as bytes and is parsed again, by the limits that it was
 * parsed by, so that it says the same. What the successor decides is decided by its own generation; an answer
 * under way has its own copies of all it needs. Fails by MOVING_NOT or false: the connection stays. */
#include "http1_state.h"
#include "route.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/put.h"
#include "ipc/metrics.h"

/* Bytes that lie in the buffers, and go along. */
struct luggage {
	struct str head;                /* of the request whose answer, or body, is under way */
	struct str rest;                /* what came behind it, or of a head */
	struct str out;                 /* what is not sent yet: from `out` */
	struct str memory;              /* and behind that */
};

/* ---- the layout --------------------------------------------------------------------------------------- */

static void record_buffer(struct record *record, struct str *bytes)
{
	record_bytes(record, bytes, POOL_LARGEST_BYTES);
}

static void record_head(struct http1 *http, struct luggage *luggage, struct record *record)
{
	record_u64(record, &http->exchange.started_ns);
	record_buffer(record, &luggage->rest);
}

/* A request that was read, or given up. */
static void record_request(struct http1 *http, struct luggage *luggage, struct record *record)
{
	struct exchange *exchange = &http->exchange;

	record_u32(record, &http->limits.request_line_bytes);
	record_u32(record, &http->limits.header_bytes);
	record_u32(record, &http->limits.headers);
	record_buffer(record, &luggage->head);
	record_buffer(record, &luggage->rest);
	record_u64(record, &exchange->started_ns);
	record_u64(record, &exchange->instance);
	record_u64(record, &exchange->number);
	record_bool(record, &exchange->understood);
}

static void record_body(struct http1 *http, struct luggage *luggage, struct record *record)
{
	record_request(http, luggage, record);
	record_u64(record, &http->until_ns);
	record_u64(record, &http->body_left);
	chunked_record(&http->chunked_in, record);
}

/* What the access log says of it, and where it is measured. */
static void record_logged(struct exchange *exchange, struct record *record)
{
	unsigned row = exchange->row;

	record_u64(record, &exchange->generation_number);
	record_raw(record, &exchange->client, sizeof(exchange->client));
	record_text(record, &exchange->user, &exchange->arena);
	record_u32(record, &exchange->response.status);
	record_u64(record, &exchange->sent_bytes);
	record_below(record, &row, METRICS_SITES);
	exchange->row = (uint8_t)row;
}

static void record_answer(struct http1 *http, struct luggage *luggage, struct record *record)
{
	record_request(http, luggage, record);
	record_logged(&http->exchange, record);
	record_bool(record, &http->failed);
	record_bool(record, &http->keep);
	record_buffer(record, &luggage->out);
	record_buffer(record, &luggage->memory);
	record_u64(record, &http->body_at);
	record_below(record, &http->body, BODY_STREAM + 1);
	record_bool(record, &http->chunked);
	record_bool(record, &http->stream_ended);
	record_bool(record, &http->exchange.response.length_known);
	record_raw(record, &http->file_at, sizeof(http->file_at));
	record_u64(record, &http->left);
	record_u64(record, &http->sent);
	record_u64(record, &http->taken_mark);
	record_bool(record, &http->full);
	record_u64(record, &http->min_rate);
	record_u64(record, &http->send_ns);
	record_u64(record, &http->exchange.pace.resume_ns);
	record_u64(record, &http->exchange.pace.paid);
}

/* ---- leaving ------------------------------------------------------------------------------------------ */

static struct str between(const char *buffer, size_t from, size_t to)
{
	return from < to ? (struct str){ buffer + from, to - from } : (struct str){ 0 };
}

/* Of a head that cannot be understood nobody knows where it ends. */
static void pack_request(const struct http1 *http, struct luggage *luggage)
{
	size_t at = (size_t)(http->exchange.head - http->in);
	bool ends = http->exchange.understood;

	luggage->head = between(http->in, at, ends ? at + http->parse.scanned : http->in_len);
	luggage->rest = between(http->in, ends ? http->in_at : http->in_len, http->in_len);
}

/* `http`, a copy, becomes what it will be where `out` begins with the first byte that is not sent, and has
 * the memory behind it. */
static void pack_answer(struct http1 *http, struct luggage *luggage)
{
	pack_request(http, luggage);
	luggage->out = between(http->out, http->out_at, http->out_len);
	luggage->memory = http->memory;
	if (http->body_at != SIZE_MAX)
		http->body_at -= http->out_at < http->body_at ? http->out_at : http->body_at;
	else if (http->body == BODY_MEMORY)
		http->body_at = luggage->out.len;
	if (http1_drawn(http))
		http->body = BODY_NONE;
}

/* Files that nobody watches, as error pages are, need no service. */
static bool needs_service(const struct http1 *http)
{
	return http->body == BODY_STREAM ||
	       (http->body == BODY_FILE && http->exchange.response.unchanged != NULL);
}

static bool freeze_source(const struct http1 *http, struct record *record)
{
	const struct exchange *exchange = &http->exchange;
	bool asks = needs_service(http);
	struct str name = str_of(asks && exchange->service != NULL ? exchange->service->name : NULL);

	if (asks && (name.at == NULL || exchange->response.freeze == NULL))
		return false;
	record_buffer(record, &name);
	return !asks || exchange->response.freeze(exchange, record);
}

static enum moving freeze_answer(struct http1 *http, struct record *record, int *file_fd)
{
	struct luggage luggage;

	pack_answer(http, &luggage);
	record_answer(http, &luggage, record);
	if (!freeze_source(http, record))
		return MOVING_NOT;
	*file_fd = http->body != BODY_NONE ? http->exchange.response.file_fd : -1;
	return http->keep && luggage.rest.len > 0 ? MOVING_PIPELINED : MOVING_SENDING;
}

static enum moving freeze_head(struct http1 *http, struct record *record, int *file_fd)
{
	struct luggage luggage = { .rest = between(http->in, http->in_at, http->in_len) };

	(void)file_fd;
	if (!http->begun)
		http->exchange.started_ns = conn_engine(http->conn)->loop->now_ns;
	record_head(http, &luggage, record);
	return MOVING_HEAD;
}

static enum moving freeze_body(struct http1 *http, struct record *record, int *file_fd)
{
	struct luggage luggage = { 0 };

	(void)file_fd;
	pack_request(http, &luggage);
	record_body(http, &luggage, record);
	return MOVING_BODY;
}

static enum moving freeze_linger(struct http1 *http, struct record *record, int *file_fd)
{
	(void)file_fd;
	record_u64(record, &http->until_ns);
	return MOVING_LEAVING;
}

/* While a service works on a request, only this process knows how far it is. */
static enum moving (*const freezers[STAGES])(struct http1 *, struct record *, int *) = {
	[STAGE_HEAD] = freeze_head,
	[STAGE_BODY] = freeze_body,
	[STAGE_SENDING] = freeze_answer,
	[STAGE_LINGER] = freeze_linger,
};

enum moving http1_freeze(const struct conn *conn, struct record *record, int *file_fd)
{
	const struct http1 *http = conn->state;
	unsigned stage = http != NULL ? http->stage : STAGES;
	struct http1 copy;

	record_below(record, &stage, STAGES + 1);
	if (http == NULL)
		return MOVING_IDLE;
	if (freezers[stage] == NULL)
		return MOVING_NOT;
	copy = *http;
	return freezers[stage](&copy, record, file_fd);
}

void http1_moved(struct conn *conn)
{
	if (conn->state != NULL)
		http1_free(conn->state);
}

/* ---- arriving ----------------------------------------------------------------------------------------- */

/* A buffer with two pieces in it; true with none when both are empty. */
static bool unpack(struct http1 *http, char **buffer, size_t *size, struct str first, struct str second)
{
	if (first.len + second.len == 0)
		return true;
	*buffer = pool_get(&conn_engine(http->conn)->pool, first.len + second.len, size);
	if (*buffer == NULL) {
		http1_no_memory(http);
		return false;
	}
	put(put(*buffer, first), second);
	return true;
}

static bool unpack_in(struct http1 *http, const struct luggage *luggage)
{
	if (!unpack(http, &http->in, &http->in_size, luggage->head, luggage->rest))
		return false;
	http->in_at = luggage->head.len;
	http->in_len = luggage->head.len + luggage->rest.len;
	http->exchange.head = http->in;
	return true;
}

/* The deadline of the head runs already: it is the connection's timer. */
static bool thaw_head(struct http1 *http, struct record *record, int *file_fd)
{
	struct luggage luggage = { 0 };
	uint64_t started_ns;

	(void)file_fd;
	record_head(http, &luggage, record);
	started_ns = http->exchange.started_ns;
	if (luggage.rest.len > 0) {
		http1_begin(http);
		http->exchange.started_ns = started_ns;
	}
	return unpack_in(http, &luggage);
}

/* The bytes and the limits are those of before: so is what they say. */
static bool parse_again(struct http1 *http, size_t len)
{
	struct exchange *exchange = &http->exchange;
	unsigned status = 0;
	enum parse_result result;

	result = parse_head(&http->parse, &exchange->request, &http->limits, http->in, len, &exchange->arena,
			    &status);
	return !exchange->understood || (result == PARSE_DONE && http->parse.scanned == len);
}

static bool unpack_request(struct http1 *http, const struct luggage *luggage)
{
	return luggage->head.len > 0 && unpack_in(http, luggage) && parse_again(http, luggage->head.len);
}

static bool thaw_body(struct http1 *http, struct record *record, int *file_fd)
{
	const struct request *request = &http->exchange.request;
	struct luggage luggage = { 0 };

	(void)file_fd;
	http1_begin(http);
	record_body(http, &luggage, record);
	return http->exchange.understood && unpack_request(http, &luggage) && request->has_body &&
	       http->body_left <= request->body_bytes;
}

static bool thaw_source(struct http1 *http, struct record *record)
{
	struct exchange *exchange = &http->exchange;
	struct str name = { 0 };
	const struct service *service;

	record_buffer(record, &name);
	if (http->body == BODY_FILE && exchange->response.file_fd < 0)
		return false;
	if (name.len == 0)
		return http->body != BODY_STREAM;
	service = route_service(exchange->generation, name);
	if (service == NULL || service->thaw == NULL || !service->thaw(exchange, record))
		return false;
	exchange->service = service;
	return true;
}

/* No worker says what would stop an answer for ever, or give it all it likes. */
static bool is_pace(const struct pace *pace, uint64_t now_ns)
{
	return pace->paid <= PACE_MOST_BYTES &&
	       (pace->resume_ns <= now_ns || pace->resume_ns - now_ns <= QUOTA_PAUSE_MOST_NS + CLOCK_S);
}

static bool thaw_answer(struct http1 *http, struct record *record, int *file_fd)
{
	struct luggage luggage = { 0 };

	http1_begin(http);
	record_answer(http, &luggage, record);
	http->exchange.response.file_fd = fd_take(file_fd);
	http->out_len = luggage.out.len + luggage.memory.len;
	if (!is_pace(&http->exchange.pace, conn_engine(http->conn)->loop->now_ns) ||
	    !unpack_request(http, &luggage) ||
	    !unpack(http, &http->out, &http->out_size, luggage.out, luggage.memory) ||
	    !thaw_source(http, record))
		return false;
	exchange_unpin(&http->exchange);
	return true;
}

static bool thaw_linger(struct http1 *http, struct record *record, int *file_fd)
{
	(void)file_fd;
	record_u64(record, &http->until_ns);
	return true;
}

static bool (*const thawers[STAGES])(struct http1 *, struct record *, int *) = {
	[STAGE_HEAD] = thaw_head,
	[STAGE_BODY] = thaw_body,
	[STAGE_SENDING] = thaw_answer,
	[STAGE_LINGER] = thaw_linger,
};

static bool thaw_state(struct conn *conn, unsigned stage, struct record *record, int *file_fd)
{
	struct http1 *http = thawers[stage] != NULL ? http1_new(conn) : NULL;

	if (http == NULL)
		return false;
	http->stage = stage;
	if (thawers[stage](http, record, file_fd) && !record->bad)
		return true;
	http1_free(http);
	return false;
}

bool http1_thaw(struct conn *conn, struct record *record, int file_fd)
{
	int fd AUTO_CLOSE = file_fd;
	unsigned stage = STAGES;

	record_below(record, &stage, STAGES + 1);
	if (stage == STAGES)
		return !record->bad;
	return thaw_state(conn, stage, record, &fd);
}
