/* http1_body.c - the body of a request, which no service wants: what is between its head and the next one.
 *
 * Called by http1.c. It is read before the service starts: one that is malformed gets 400 and one that is too
 * large 413, however its bytes are cut, and a client that writes all before it reads is never blocked by an
 * answer. A client that pauses is not waited for: it may want the answer first. Fails by STEP_CLOSE: out of
 * memory (counted), or broken. */
#include "http1_state.h"

#include "base/clock.h"

#include <string.h>

/* Less room than this is not worth a call. */
enum { READ_BYTES = 1024 };

static const struct config *config_of(const struct http1 *http)
{
	return http->exchange.generation->config;
}

/* A client that waits for 100 gets the answer instead; whether the body then comes nobody knows, so that it
 * is the last one (RFC 9110, 10.1.1). */
enum step http1_begin_body(struct http1 *http)
{
	const struct request *request = &http->exchange.request;

	http->body_read = !request->has_body;
	if (request->has_body && request->body_bytes > config_of(http)->body_bytes)
		return http1_refuse(http, 413, WRONG_NOTHING);
	if (!request->has_body || request->expects_continue)
		return http1_start(http);
	http->chunked_in = (struct chunked){ 0 };
	http->body_left = request->body_bytes;
	http1_enter(http, STAGE_BODY);
	http->until_ns = conn_engine(http->conn)->loop->now_ns + http->body_ns;
	return STEP_ON;
}

enum step http1_end_body(struct http1 *http)
{
	http->body_read = false;
	return http1_start(http);
}

/* Room behind the head, which the exchange still needs. What is in front of the head belonged to earlier
 * requests. */
static bool make_room(struct http1 *http)
{
	memmove(http->in, http->exchange.head, http->parse.scanned);
	http->exchange.head = http->in;
	http->in_len = http->in_at = http->parse.scanned;
	if (http->in_size - http->in_len >= READ_BYTES)
		return true;
	if (!http1_grow(http, READ_BYTES))
		return false;
	http->exchange.head = http->in;
	return true;
}

/* Everything that came was taken: the next bytes go behind the head again. */
static enum step read_more(struct http1 *http)
{
	struct conn *conn = http->conn;
	size_t got;
	enum io io;

	if (!conn->readable)
		return STEP_WAIT;
	http->in_len = http->in_at = (size_t)(http->exchange.head - http->in) + http->parse.scanned;
	if (http->in_size - http->in_len < READ_BYTES && !make_room(http))
		return http1_no_memory(http);
	io = conn_transport(conn)->recv(conn, http->in + http->in_len, http->in_size - http->in_len, &got);
	if (io == IO_EOF)       /* an incomplete request, whose client may still listen (RFC 9112, 8) */
		return http1_refuse(http, 400, WRONG_BODY);
	if (io != IO_OK)
		return io == IO_AGAIN ? STEP_WAIT : STEP_CLOSE;
	http->in_len += got;
	http->bytes_left -= got < http->bytes_left ? got : http->bytes_left;
	return STEP_ON;
}

static enum step take_length(struct http1 *http)
{
	size_t there = http->in_len - http->in_at;
	size_t taken = there < http->body_left ? there : (size_t)http->body_left;

	http->in_at += taken;
	http->body_left -= taken;
	http->body_read = http->body_left == 0;
	return http->body_read ? http1_start(http) : STEP_ON;
}

static enum step take_chunks(struct http1 *http)
{
	const struct config *config = config_of(http);
	struct chunked_limits limits = { config->body_bytes, (uint32_t)config->header_bytes,
					 config->headers };
	struct str rest = { http->in + http->in_at, http->in_len - http->in_at }, data;
	enum chunked_result result;
	unsigned status = 0;

	do
		result = chunked_next(&http->chunked_in, &limits, &rest, &data, &status);
	while (result == CHUNKED_DATA);
	http->in_at = http->in_len - rest.len;
	if (result == CHUNKED_ERROR)
		return http1_refuse(http, status, WRONG_BODY);
	http->body_read = result == CHUNKED_DONE;
	return http->body_read ? http1_start(http) : STEP_ON;
}

enum step http1_body(struct http1 *http)
{
	if (http->in_at == http->in_len)
		return read_more(http);
	return http->exchange.request.chunked ? take_chunks(http) : take_length(http);
}
