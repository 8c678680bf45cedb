/* refusal.c - the protocol of those that a full server refuses, and of those whose client has as many
 * connections as it may: 503 or 429 with Retry-After, and the end.
 *
 * Called by the engine through protocol_http1.refusal. Reads into the stack and keeps nothing but the
 * connection, whose `served` says that it was answered. The answer follows the first bytes, whatever they
 * are: it has no content, and so is right for every method, and whoever sent half a head learns it early.
 * What comes behind is read and thrown away, because a reset would destroy the answer (RFC 9112, 9.6); but a
 * place is kept for two seconds at most. Fails by closing the one connection. */
#include "refusal.h"

#include "response.h"

#include "base/clock.h"
#include "config/generation.h"
#include "net/conn.h"

#include <stdio.h>

enum {
	SCRATCH_BYTES = 8 * 1024,
	READS_A_TURN = 8,
	ANSWER_BYTES = 256,
};

/* A client that connected because it has a request sends it at once, and this is enough to send a segment
 * twice. */
#define SILENCE_NS CLOCK_S
#define LINGER_NS (2 * CLOCK_S)

static void refusal_open(struct conn *conn)
{
	conn_timer(conn, SILENCE_NS);
}

static enum served answer(struct conn *conn)
{
	const struct engine *engine = conn_engine(conn);
	unsigned after_s = (unsigned)(engine->generation->config->retry_after_ns / CLOCK_S);
	char text[ANSWER_BYTES];
	struct iovec part = { text, 0 };
	size_t sent = 0;

	part.iov_len = (size_t)snprintf(text, sizeof(text),
					"HTTP/1.1 %s\r\n"
					"Server: drover\r\n"
					"Date: %s\r\n"
					"Content-Length: 0\r\n"
					"Retry-After: %u\r\n"
					"Connection: close\r\n\r\n",
					conn->limited ? "429 Too Many Requests" : "503 Service Unavailable",
					wall_clock(engine->loop)->date, after_s);
	/* the buffer of a new socket takes it whole */
	if (conn_transport(conn)->writev(conn, &part, 1, false, &sent) != IO_OK || sent != part.iov_len)
		return SERVED_CLOSE;
	conn->served = 1;
	conn_transport(conn)->shutdown(conn);
	conn_timer(conn, LINGER_NS);
	return SERVED_MORE;
}

static enum served refusal_ready(struct conn *conn)
{
	char scratch[SCRATCH_BYTES];
	size_t got;

	for (unsigned i = 0; i < READS_A_TURN && conn->readable; i++) {
		enum io io = conn_transport(conn)->recv(conn, scratch, sizeof(scratch), &got);

		if (io == IO_AGAIN)
			return SERVED_WAIT;
		if (io != IO_OK || (conn->served == 0 && answer(conn) == SERVED_CLOSE))
			return SERVED_CLOSE;
	}
	return conn->readable ? SERVED_MORE : SERVED_WAIT;
}

/* Who has sent nothing yet is told all the same, and finds it when its request has gone out. */
static enum served refusal_timeout(struct conn *conn)
{
	return conn->served > 0 || answer(conn) == SERVED_CLOSE ? SERVED_CLOSE : SERVED_WAIT;
}

static enum served refusal_stay(struct conn *conn)
{
	(void)conn;
	return SERVED_WAIT;
}

static enum served refusal_drain(struct conn *conn, bool close_idle)
{
	(void)conn, (void)close_idle;
	return SERVED_WAIT;             /* its time is short anyway */
}

static void refusal_close(struct conn *conn)
{
	(void)conn;
}

static enum doing refusal_doing(const struct conn *conn)
{
	(void)conn;
	return DOING_LEAVING;
}

const struct protocol protocol_refusal = {
	.name = "refusal",
	.open = refusal_open,
	.ready = refusal_ready,
	.timeout = refusal_timeout,
	.adopt = refusal_stay,
	.drain = refusal_drain,
	.moved = refusal_close,
	.close = refusal_close,
	.doing = refusal_doing,
};
