/* proxy_stage.c - the protocol `proxy`: the first bytes of a connection on a listener with proxy_protocol.
 *
 * Called by the engine through protocol_proxy.  Works on the socket itself, beneath the transport: the header
 * comes before everything else, a TLS handshake too. Nothing is taken out of the socket before the header is
 * whole, so a connection that waits for it holds no memory. Fails by closing the one connection (counted). */
#include "clients.h"
#include "conn.h"
#include "proxy.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

#include <errno.h>

/* Told once a second, counted always: anybody can connect. */
static void refuse(struct conn *conn, const char *why)
{
	struct engine *engine = conn_engine(conn);
	union peer who = conn_peer(conn);
	struct addr peer;

	engine_count(engine, COUNT_PROXY_REFUSED);
	if (engine->refused_told_ns != 0 && engine->loop->now_ns - engine->refused_told_ns < CLOCK_S)
		return;
	engine->refused_told_ns = engine->loop->now_ns;
	peer_describe(&who, &peer);
	log_event(LEVEL_INFO, "proxy_refused", log_text("peer", peer.text),
		  log_text("listener", conn->listener->address), log_text("why", why));
}

static enum served refused(struct conn *conn, const char *why)
{
	refuse(conn, why);
	return SERVED_CLOSE;
}

/* The engine serves it next, and does nothing with one that is closed. */
static void proxy_open(struct conn *conn)
{
	const struct listener_rules *rules = conn->listener->rules;
	union peer peer = conn_peer(conn);

	if (networks_have(&rules->proxy_from, &peer)) {
		conn_timer(conn, rules->proxy_ns);
		return;
	}
	refuse(conn, "it is not in proxy_from");
	conn_close(conn);
}

/* From here on the connection is as one that was accepted just now, from whoever the header says. */
static enum served hand_over(struct conn *conn, const struct proxy_header *header)
{
	union peer peer = conn_peer(conn);

	if (header->has_source && !conn_name(conn, &peer, &header->source))
		return SERVED_CLOSE;
	conn->since_ns = conn_engine(conn)->loop->now_ns;
	conn_timer(conn, 0);
	if (!clients_admit(conn))
		return clients_refuse(conn) == SERVED_CLOSE ? SERVED_CLOSE : conn_protocol(conn)->ready(conn);
	conn->speaker = SPEAKER_OWN;
	conn_protocol(conn)->open(conn);
	return conn_protocol(conn)->ready(conn);
}

/* `bytes` were seen, the header among them. */
static enum served take_header(struct conn *conn, const struct proxy_header *header, char *bytes, size_t seen)
{
	if (recv(conn->source.fd, bytes, header->len, 0) != (ssize_t)header->len)
		return SERVED_CLOSE;
	if (seen == header->len && !conn->ended)
		conn->readable = false; /* as after a short read: the next byte is an event */
	return hand_over(conn, header);
}

static enum served proxy_ready(struct conn *conn)
{
	char bytes[PROXY_MOST_BYTES + 1];       /* so that it is seen whether anything follows */
	struct proxy_header header;
	ssize_t len;

	if (!conn->readable)
		return SERVED_WAIT;
	len = recv(conn->source.fd, bytes, sizeof(bytes), MSG_PEEK);
	if (len < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
		return SERVED_CLOSE;
	if (len == 0)                   /* a health check that only connects */
		return SERVED_CLOSE;
	switch (len < 0 ? PROXY_MORE : proxy_parse(bytes, (size_t)len, &header)) {
	case PROXY_DONE:
		return take_header(conn, &header, bytes, (size_t)len);
	case PROXY_BAD:
		return refused(conn, "its first bytes are no PROXY header");
	case PROXY_MORE:
		break;
	}
	if (conn->ended && len > 0)
		return refused(conn, "its PROXY header is not whole");
	conn->readable = false;         /* what was only seen is no event again, what follows is one */
	return SERVED_WAIT;
}

static enum served proxy_timeout(struct conn *conn)
{
	engine_count(conn_engine(conn), COUNT_TIMEOUTS);
	engine_count(conn_engine(conn), COUNT_TIMEOUT_PROXY);
	return refused(conn, "no PROXY header came in time");
}

static enum served proxy_adopt(struct conn *conn)
{
	(void)conn;
	return SERVED_WAIT;             /* its deadline stands */
}

/* One last look: a header with a request behind it is still answered. */
static enum served proxy_drain(struct conn *conn, bool close_idle)
{
	enum served served;

	if (!close_idle)
		return SERVED_WAIT;
	conn->readable = true;
	served = proxy_ready(conn);
	return conn->speaker == SPEAKER_PROXY ? SERVED_CLOSE : served;
}

/* Nothing was taken out of the socket, and its deadline is the connection's. */
static enum moving proxy_freeze(const struct conn *conn, struct record *record, int *file_fd)
{
	(void)conn, (void)record, (void)file_fd;
	return MOVING_IDLE;
}

static bool proxy_thaw(struct conn *conn, struct record *record, int file_fd)
{
	(void)conn, (void)record;
	fd_close(&file_fd);
	return true;
}

static void proxy_close(struct conn *conn)
{
	(void)conn;
}

static enum doing proxy_doing(const struct conn *conn)
{
	(void)conn;
	return DOING_IDLE;
}

const struct protocol protocol_proxy = {
	.name = "proxy",
	.open = proxy_open,
	.ready = proxy_ready,
	.timeout = proxy_timeout,
	.adopt = proxy_adopt,
	.drain = proxy_drain,
	.freeze = proxy_freeze,
	.thaw = proxy_thaw,
	.moved = proxy_close,
	.close = proxy_close,
	.doing = proxy_doing,
};
