/* fake_protocol.c - see the header.  Called by the engine in tests. */
#include "fake_protocol.h"

#include "http/exchange.h"

#include <stdlib.h>

enum { AT_ONCE = 2, LINE_BYTES = 64 };

struct lines {
	struct conn *conn;
	struct one {
		bool used;
		char line[LINE_BYTES];
		struct exchange exchange;
	} ones[AT_ONCE];
	char in[LINE_BYTES];
	size_t len;
};

static void lines_open(struct conn *conn)
{
	struct lines *lines = slab_alloc(&conn_engine(conn)->states);

	*lines = (struct lines){ .conn = conn };
	conn->state = lines;
}

static void note(struct exchange *exchange)
{
	conn_wake(exchange->conn);
}

static void begin(struct lines *lines, struct one *one)
{
	struct exchange *exchange = &one->exchange;

	memcpy(one->line, lines->in, LINE_BYTES);
	one->used = true;
	exchange_begin(exchange, lines->conn);
	exchange->head = one->line;
	exchange->request.method = METHOD_GET;
	exchange->request.path = (struct span){ 0, (uint32_t)lines->len };
	exchange->on_answer = exchange->on_resume = note;
	lines->len = 0;
	if (exchange_start(exchange) == ANSWERED)
		exchange->answered = true;
}

static struct one *free_one(struct lines *lines)
{
	for (unsigned i = 0; i < AT_ONCE; i++)
		if (!lines->ones[i].used)
			return &lines->ones[i];
	return NULL;
}

static void answer_all(struct lines *lines)
{
	for (unsigned i = 0; i < AT_ONCE; i++) {
		struct one *one = &lines->ones[i];
		struct iovec parts[2] = { { (char *)one->exchange.response.memory.at,
					    one->exchange.response.memory.len },
					  { (char *)"\n", 1 } };
		size_t sent;

		if (!one->used || !one->exchange.answered)
			continue;
		conn_transport(lines->conn)->writev(lines->conn, parts, 2, false, &sent);
		exchange_end(&one->exchange);
		one->used = false;
	}
}

static enum served lines_ready(struct conn *conn)
{
	struct lines *lines = conn->state;
	struct one *one;
	size_t got;
	enum io io;

	answer_all(lines);
	while (conn->readable && lines->len < LINE_BYTES && (one = free_one(lines)) != NULL) {
		io = conn_transport(conn)->recv(conn, lines->in + lines->len, 1, &got);
		if (io != IO_OK)
			return io == IO_AGAIN ? SERVED_WAIT : SERVED_CLOSE;
		if (lines->in[lines->len] != '\n') {
			lines->len++;
			continue;
		}
		if (lines->len == 0)
			return SERVED_CLOSE;
		begin(lines, one);
		answer_all(lines);
	}
	return SERVED_WAIT;
}

static enum served lines_wait(struct conn *conn)
{
	(void)conn;
	return SERVED_WAIT;
}

static enum served lines_drain(struct conn *conn, bool close_idle)
{
	(void)conn;
	return close_idle ? SERVED_CLOSE : SERVED_WAIT;
}

static void lines_close(struct conn *conn)
{
	struct lines *lines = conn->state;

	for (unsigned i = 0; i < AT_ONCE; i++) {
		exchange_end(&lines->ones[i].exchange);
		arena_free(&lines->ones[i].exchange.arena);
	}
	slab_release(&conn_engine(conn)->states, lines);
	conn->state = NULL;
}

static enum doing lines_doing(const struct conn *conn)
{
	const struct lines *lines = conn->state;

	return lines->ones[0].used || lines->ones[1].used ? DOING_WAITING : DOING_IDLE;
}

const struct protocol protocol_lines = {
	.name = "lines",
	.state_bytes = sizeof(struct lines),
	.open = lines_open,
	.ready = lines_ready,
	.timeout = lines_wait,
	.adopt = lines_wait,
	.drain = lines_drain,
	.close = lines_close,
	.doing = lines_doing,
};
