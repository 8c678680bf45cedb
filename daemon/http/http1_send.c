/* http1_send.c - the way out: from a filled response to the transport, a transfer a call.
 *
 * Called by http1.c in STAGE_SENDING. Fails by STEP_CLOSE: out of memory, a broken connection, a file that
 * has become shorter than its Content-Length, a stream that broke off. MSG_MORE is said only when the file's
 * bytes follow in the next call, so nothing is ever left corked. */
#include "express.h"
#include "http1_state.h"
#include "response.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	PIECE_BYTES = 16 * 1024,        /* of a stream, or of a file where the transport cannot sendfile */
	CHUNK_HEAD_BYTES = 6,           /* "3fff\r\n" */
	CHUNK_TAIL_BYTES = 2,
	LAST_CHUNK_BYTES = 5,           /* "0\r\n\r\n" */
	UNCOPIED = 4,                   /* so many bytes of a file take as long as one that is copied */
	SPLICED_BYTES = 64 * 1024,      /* what sendfile(2) moves at a time: its pipe has 16 pages */
};

/* ---- the head --------------------------------------------------------------------------------------- */

/* A buffer of at least `room` bytes in place of the one that is there. */
static bool get_out(struct http1 *http, size_t room)
{
	struct pool *pool = &conn_engine(http->conn)->pool;

	http->out_len = http->out_at = 0;
	http->body_at = SIZE_MAX;
	if (http->out_size >= room)
		return true;
	pool_put(pool, http->out, http->out_size);
	http->out_size = 0;
	http->out = pool_get(pool, room, &http->out_size);
	if (http->out == NULL)
		http->out_size = 0;
	return http->out != NULL;
}

/* The body lies in a buffer that has a place for the head in front of it: then both are one piece. */
static bool adopt_buffer(struct http1 *http, struct framing framing)
{
	struct response *response = &http->exchange.response;
	size_t len;

	if (!framing.body || response->body != BODY_MEMORY || response->buffer == NULL ||
	    response_head_room(&http->exchange) > EXCHANGE_HEAD_BYTES)
		return false;
	pool_put(&conn_engine(http->conn)->pool, http->out, http->out_size);
	http->out = response->buffer;
	http->out_size = response->buffer_size;
	response->buffer = NULL;
	len = response_head(&http->exchange, framing, http->out);
	http->out_at = EXCHANGE_HEAD_BYTES - len;
	memmove(http->out + http->out_at, http->out, len);
	http->body_at = EXCHANGE_HEAD_BYTES;
	http->out_len = EXCHANGE_HEAD_BYTES + response->memory.len;
	return true;
}

static bool write_head(struct http1 *http, struct framing framing)
{
	if (adopt_buffer(http, framing))
		return true;
	if (!get_out(http, response_head_room(&http->exchange)))
		return false;
	http->out_len = response_head(&http->exchange, framing, http->out);
	return true;
}

static void begin_body(struct http1 *http, struct framing framing)
{
	const struct response *response = &http->exchange.response;
	bool in_out = http->body_at != SIZE_MAX;

	http->body = framing.body ? response->body : BODY_NONE;
	http->chunked = framing.chunked;
	http->stream_ended = false;
	http->memory = http->body == BODY_MEMORY && !in_out ? response->memory : (struct str){ 0 };
	http->file_at = response->offset;
	http->left = response->length_known ? response->length : UINT64_MAX;
}

/* A server that leaves still answers what came before it said so, also what is pipelined behind. */
static bool is_last(const struct http1 *http)
{
	bool may_be_more = http->in_at < http->in_len || http->conn->readable;

	return http->exchange.last || (http->exchange.engine->draining && !may_be_more);
}

enum step http1_answer(struct http1 *http)
{
	struct exchange *exchange = &http->exchange;
	const struct request *request = &exchange->request;
	bool keep = request->keep_alive && http->body_read && !http->failed && !is_last(http);
	struct framing framing = response_framing(exchange, keep);

	framing.keep_alive_s = (unsigned)(http->keep_alive_ns / CLOCK_S);
	if (!write_head(http, framing))
		return http1_no_memory(http);
	http->keep = framing.keep_alive;
	conn_promise(http->conn, framing.keep_alive_s);
	begin_body(http, framing);
	if (exchange->response.lasting != NULL)
		express_keep(exchange);
	http1_count_status(exchange->engine, exchange->response.status);
	exchange_unpin(exchange);
	http->answered_ns = exchange->engine->loop->now_ns;
	http1_enter(http, STAGE_SENDING);
	return STEP_ON;
}

/* The head is a copy: what is left of it, and perhaps of the body behind it, has to outlive the batch. */
static bool take_out(struct http1 *http, const struct rest *rest)
{
	if (rest->out.len == 0)
		return true;
	if (!get_out(http, rest->out.len))
		return false;
	memcpy(http->out, rest->out.at, rest->out.len);
	http->out_len = rest->out.len;
	return true;
}

bool http1_take_answer(struct http1 *http, const struct request *request, size_t head_bytes,
		       const struct rest *rest)
{
	struct exchange *exchange = &http->exchange;

	if (!http1_copy_head(http, request, head_bytes))
		return false;
	http->body_read = true;
	http->keep = request->keep_alive;
	exchange->response.status = rest->status;
	exchange->row = rest->row;
	exchange->sent_bytes = rest->body_sent;
	http->sent = rest->sent;
	http1_count_status(exchange->engine, rest->status);
	engine_count(exchange->engine, COUNT_READY_ANSWERS);
	exchange_unpin(exchange);
	http1_enter(http, STAGE_SENDING);
	if (!take_out(http, rest))
		return http1_no_memory(http), false;
	http->body_at = rest->body_at;
	http->body = BODY_MEMORY;
	http->memory = rest->memory;
	if (rest->lasting != NULL)
		exchange->response.lasting = lasting_pin(rest->lasting);
	return true;
}

/* ---- transfers -------------------------------------------------------------------------------------- */

static enum step after_io(enum io io)
{
	return io == IO_AGAIN ? STEP_WAIT : io == IO_OK ? STEP_ON : STEP_CLOSE;
}

static void account(struct http1 *http, size_t sent)
{
	http->sent += sent;
	limits_sent(&http->exchange.pace, sent);
	http->bytes_left -= sent < http->bytes_left ? sent : http->bytes_left;
	conn_engine(http->conn)->counters[COUNT_BYTES_SENT] += sent;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* `out` has been sent up to `to`. */
static void account_out(struct http1 *http, size_t to)
{
	size_t from = http->out_at > http->body_at ? http->out_at : http->body_at;

	if (to > from)
		http->exchange.sent_bytes += to - from;
	http->out_at = to;
}

/* What goes from the file to the client without our buffers. */
static uint64_t file_left(const struct http1 *http)
{
	return http->body == BODY_FILE && conn_transport(http->conn)->send_file != NULL ? http->left : 0;
}

/* Can the next bytes of the file, up to `*len`, be sent without waiting for a disk? */
static enum io file_present(struct http1 *http, size_t *len)
{
	struct exchange *exchange = &http->exchange;

	if (exchange->response.present == NULL)
		return IO_OK;
	return exchange->response.present(exchange, http->file_at, len);
}

/* The file's bytes follow in the next call: only then may what goes before them wait in the kernel. */
static bool file_follows(struct http1 *http)
{
	size_t len = 1;

	return file_present(http, &len) == IO_OK;
}

/* The rest of `out` and of a memory body, as far as there is room, in one call. */
static enum step send_buffers(struct http1 *http)
{
	size_t out_left = http->out_len - http->out_at, memory_left = http->memory.len, sent;
	uint64_t behind = file_left(http);
	size_t room = limits_room(&http->exchange, conn_engine(http->conn), out_left + memory_left + behind);
	bool more = behind > 0 && room > out_left + memory_left && file_follows(http);
	struct iovec parts[2];
	int count = 0;
	enum io io;

	if (room == 0)
		return STEP_WAIT;
	if (out_left > 0)
		parts[count++] = (struct iovec){ http->out + http->out_at, smaller(out_left, room) };
	if (memory_left > 0 && room > out_left)
		parts[count++] = (struct iovec){ (char *)http->memory.at,
						 smaller(memory_left, room - out_left) };
	io = conn_transport(http->conn)->writev(http->conn, parts, count, more, &sent);
	if (io != IO_OK)
		return after_io(io);
	account(http, sent);
	if (sent < out_left) {
		account_out(http, http->out_at + sent);
		return STEP_ON;
	}
	account_out(http, http->out_len);
	sent -= out_left;
	if (sent > 0)           /* else there may be no memory at all, and no pointer to add to */
		http->memory = (struct str){ http->memory.at + sent, http->memory.len - sent };
	if (http->body == BODY_MEMORY)
		http->exchange.sent_bytes += sent;
	return STEP_ON;
}

static enum step file_shrank(struct http1 *http)
{
	engine_count(conn_engine(http->conn), COUNT_FILE_SHRANK);
	return STEP_CLOSE;
}

/* What would end the answer must not do so when the file is another one by now. */
static enum step file_changed(struct http1 *http)
{
	engine_count(conn_engine(http->conn), COUNT_FILE_CHANGED);
	return STEP_CLOSE;
}

static bool is_changed(struct http1 *http, bool last)
{
	const struct response *response = &http->exchange.response;

	return response->unchanged != NULL && !response->unchanged(&http->exchange, last);
}

/* How much of the file the rest of the budget is good for, and a little more: a transfer that does not reach
 * the file's end ends where a page does, else the kernel needs a round more for this one and for the next. */
static size_t file_budget(const struct http1 *http)
{
	uint64_t len = (uint64_t)http->bytes_left * UNCOPIED;

	len += SPLICED_BYTES - ((uint64_t)http->file_at + len) % SPLICED_BYTES;
	return (size_t)(len < http->left ? len : http->left);
}

static void account_file(struct http1 *http, size_t sent)
{
	size_t bytes_left = http->bytes_left, share = (sent + UNCOPIED - 1) / UNCOPIED;

	account(http, sent);
	http->bytes_left = share < bytes_left ? bytes_left - share : 0;
	http->left -= sent;
	http->exchange.sent_bytes += sent;
}

static enum step send_file(struct http1 *http)
{
	size_t room = limits_room(&http->exchange, conn_engine(http->conn), http->left), sent;
	size_t len = smaller(file_budget(http), room);
	enum io io;

	if (room == 0)
		return STEP_WAIT;
	io = file_present(http, &len);
	if (io != IO_OK)
		return after_io(io);
	if (len == http->left && is_changed(http, true))
		return file_changed(http);
	io = conn_transport(http->conn)->send_file(http->conn, http->exchange.response.file_fd,
						   &http->file_at, len, &sent);
	if (io == IO_EOF)
		return file_shrank(http);
	if (io != IO_OK)
		return after_io(io);
	account_file(http, sent);
	return http->left > 0 && is_changed(http, false) ? file_changed(http) : STEP_ON;
}

/* For a transport that has to see the bytes. */
static enum step read_file(struct http1 *http)
{
	size_t len = http->left < PIECE_BYTES ? (size_t)http->left : PIECE_BYTES;
	enum io io = file_present(http, &len);
	ssize_t got;

	if (io != IO_OK)
		return after_io(io);
	if (!get_out(http, PIECE_BYTES))
		return http1_no_memory(http);
	got = pread(http->exchange.response.file_fd, http->out, len, http->file_at);
	if (got <= 0)
		return file_shrank(http);
	if (is_changed(http, (size_t)got == http->left))
		return file_changed(http);
	http->out_len = (size_t)got;
	http->file_at += got;
	http->left -= (size_t)got;
	http->exchange.sent_bytes += (size_t)got;
	return STEP_ON;
}

static enum step next_of_file(struct http1 *http)
{
	return conn_transport(http->conn)->send_file != NULL ? send_file(http) : read_file(http);
}

/* `got` bytes lie at out + CHUNK_HEAD_BYTES: puts size and CRLF around them. */
static void wrap_chunk(struct http1 *http, size_t got)
{
	char head[CHUNK_HEAD_BYTES + 1];

	snprintf(head, sizeof(head), "%04zx\r\n", got & 0xffff);
	memcpy(http->out, head, CHUNK_HEAD_BYTES);
	memcpy(http->out + CHUNK_HEAD_BYTES + got, "\r\n", CHUNK_TAIL_BYTES);
	http->out_len = CHUNK_HEAD_BYTES + got + CHUNK_TAIL_BYTES;
}

/* The stream is at its end: says so if it is chunked; one that is shorter than it promised is cut. */
static enum step end_stream(struct http1 *http)
{
	if (!http->chunked && http->left > 0 && http->exchange.response.length_known)
		return STEP_CLOSE;
	http->stream_ended = true;
	if (http->chunked) {
		memcpy(http->out, "0\r\n\r\n", LAST_CHUNK_BYTES);
		http->out_len = LAST_CHUNK_BYTES;
	}
	return STEP_ON;
}

static enum step pull_stream(struct http1 *http)
{
	size_t skip = http->chunked ? CHUNK_HEAD_BYTES : 0, got = 0;
	size_t room = PIECE_BYTES - CHUNK_HEAD_BYTES - CHUNK_TAIL_BYTES;
	enum io io;

	if (!get_out(http, PIECE_BYTES))
		return http1_no_memory(http);
	if (room > http->left)
		room = (size_t)http->left;
	io = room == 0 ? IO_EOF : http->exchange.response.pull(&http->exchange, http->out + skip, room, &got);
	if (io == IO_EOF)
		return end_stream(http);
	if (io != IO_OK)
		return after_io(io);
	http->exchange.sent_bytes += got;
	if (!http->chunked)
		http->out_len = got;
	else
		wrap_chunk(http, got);
	if (http->exchange.response.length_known)
		http->left -= got;
	return STEP_ON;
}

/* What follows when `out` and the memory are sent. */
static enum step (*const next_piece[])(struct http1 *) = {
	[BODY_FILE] = next_of_file,
	[BODY_STREAM] = pull_stream,
};

static bool buffers_sent(const struct http1 *http)
{
	return http->out_at == http->out_len && http->memory.len == 0;
}

bool http1_drawn(const struct http1 *http)
{
	if (http->body == BODY_FILE)
		return http->left == 0;
	return http->body != BODY_STREAM || http->stream_ended;
}

bool http1_sent(const struct http1 *http)
{
	return buffers_sent(http) && http1_drawn(http);
}

enum step http1_send(struct http1 *http)
{
	if (http->conn->broken)
		return STEP_CLOSE;
	if (!http->conn->writable)
		return STEP_WAIT;
	return buffers_sent(http) ? next_piece[http->body](http) : send_buffers(http);
}
