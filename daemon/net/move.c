/* move.c - a live connection leaves an engine, or arrives in one. Called by worker/hand.c and worker/take.c.
 *
 * What a record says is checked here for what every connection has, by its protocol for the rest. Fails by
 * leaving the connection where it is: move_write says MOVING_NOT, move_read makes none. */
#include "move.h"

#include "clients.h"
#include "proxy.h"

#include "base/fd.h"

enum { NAME_BYTES = 16 };               /* of a protocol */

/* What every connection has. */
struct basis {
	struct str protocol, listener;
	uint64_t since_ns, due_ns;      /* CLOCK_MONOTONIC, the same everywhere; due 0: no timer */
	uint32_t served, promised_s;
	union peer peer, client;
};

/* The layout, for both directions. */
static void basis(struct record *record, struct basis *it)
{
	record_bytes(record, &it->protocol, NAME_BYTES);
	record_bytes(record, &it->listener, ADDR_TEXT_BYTES - 1);
	record_u64(record, &it->since_ns);
	record_u64(record, &it->due_ns);
	record_u32(record, &it->served);
	record_u32(record, &it->promised_s);
	record_raw(record, &it->peer, sizeof(it->peer));
	record_raw(record, &it->client, sizeof(it->client));
}

/* ---- the sender's side ------------------------------------------------------------------------------ */

enum moving move_write(const struct conn *conn, struct record *record, int *file_fd)
{
	struct basis it = {
		.protocol = str_of(conn->protocol->name),
		.listener = str_of(conn->listener->address),
		.since_ns = conn->since_ns,
		.due_ns = timer_armed(&conn->timer) ? conn->timer.due_ns : 0,
		.served = conn->served,
		.promised_s = conn->promised_s,
		.peer = conn->peer,
		.client = conn->client,
	};
	enum moving moving;

	*file_fd = -1;
	if (conn->closed || conn->frozen || !conn->transport->moves || conn->protocol->freeze == NULL)
		return MOVING_NOT;
	basis(record, &it);
	moving = conn->protocol->freeze(conn, record, file_fd);
	return record->bad ? MOVING_NOT : moving;
}

void move_freeze(struct conn *conn)
{
	struct engine *engine = conn->engine;

	if (!timer_armed(&conn->timer))
		conn->timer.due_ns = 0;
	conn->frozen = true;
	clients_leave(conn);            /* rather not counted for a moment than twice */
	conn_works(conn);               /* somebody else may have it soon */
	timer_cancel(&conn->timer);
	loop_remove(engine->loop, &conn->source);
	loop_unready(&conn->ready);
	list_remove(&conn->link);
	list_push_back(&engine->frozen, &conn->link);
}

/* Serving it waits for the next turn: by then the kernel has reported what it is ready for, for ADD does
 * so. */
void move_thaw(struct conn *conn)
{
	struct engine *engine = conn->engine;
	bool leaves = conn->protocol->doing(conn) == DOING_LEAVING;

	conn->frozen = conn->readable = conn->writable = false;
	clients_keep(conn);
	if (conn->timer.due_ns != 0)
		timer_arm(&engine->loop->timers, &conn->timer, conn->timer.due_ns);
	list_remove(&conn->link);
	list_push_back(leaves ? &engine->leaving : &engine->conns, &conn->link);
	if (conn->state == NULL && conn->protocol == engine->protocol)
		conn_idles(conn);
	conn_wake(conn);
	conn_watch(conn);
	if (engine->draining && !leaves && !conn->closed)       /* it was not told yet */
		conn_drain(conn, engine->close_idle);
}

void move_gone(struct conn *conn)
{
	conn->protocol->moved(conn);
	loop_remove(conn->engine->loop, &conn->source); /* closing does not: the other side has it open */
	conn_release(conn);
}

/* ---- the receiver's side ---------------------------------------------------------------------------- */

static bool is_peer(const union peer *peer)
{
	return peer->family == AF_INET || peer->family == AF_INET6 || peer->family == AF_UNIX;
}

static const struct protocol *find_protocol(const struct engine *engine, struct str name)
{
	if (str_equal(name, str_of(engine->protocol->name)))
		return engine->protocol;
	return str_equal(name, str_of(protocol_proxy.name)) ? &protocol_proxy : NULL;
}

/* One that came in at an address which is not served here goes by no listener's rules, as after a reload that
 * removed the address. */
static struct engine_listener *find_listener(struct engine *engine, struct str name)
{
	char address[ADDR_TEXT_BYTES];

	if (name.len == 0)
		return &engine->nowhere;
	memcpy(address, name.at, name.len);
	address[name.len] = '\0';
	return engine_listener_find(engine, address);
}

/* A frozen connection with what `it` says; takes `fd` over in any case. */
static struct conn *make(struct engine *engine, const struct basis *it, const struct protocol *protocol,
			 int fd)
{
	struct engine_listener *listener = find_listener(engine, it->listener);
	struct conn *conn;

	if (listener == NULL) {
		fd_close(&fd);
		engine_count(engine, COUNT_OUT_OF_MEMORY);
		return NULL;
	}
	conn = conn_new(engine, fd, &it->peer, listener);
	if (conn == NULL) {
		engine_listener_settle(listener);
		return NULL;
	}
	conn->protocol = protocol;
	conn->client = it->client;
	/* all of its bytes are copied from one to the other, or else a header's word:
	 * NOLINTNEXTLINE(bugprone-suspicious-memory-comparison,cert-exp42-c,cert-flp37-c) */
	conn->proxied = memcmp(&it->client, &it->peer, sizeof(it->peer)) != 0;
	conn->served = it->served;
	conn->promised_s = it->promised_s;
	if (it->since_ns < conn->since_ns)      /* the sender's turn may have begun after ours */
		conn->since_ns = it->since_ns;
	move_freeze(conn);
	conn->timer.due_ns = it->due_ns;
	return conn;
}

/* The sender, or whoever it is, says what cannot be. */
static struct conn *refuse(int fd, int file_fd)
{
	fd_close(&fd);
	fd_close(&file_fd);
	return NULL;
}

struct conn *move_read(struct engine *engine, struct record *record, int fd, int file_fd)
{
	struct basis it = { .protocol = { "", 0 } };
	const struct protocol *protocol;
	struct conn *conn;

	basis(record, &it);
	protocol = find_protocol(engine, it.protocol);
	if (record->bad || fd < 0 || protocol == NULL || protocol->thaw == NULL || !is_peer(&it.peer) ||
	    !is_peer(&it.client))
		return refuse(fd, file_fd);
	conn = make(engine, &it, protocol, fd);
	if (conn == NULL)
		return refuse(-1, file_fd);
	if (!protocol->thaw(conn, record, file_fd)) {
		conn_release(conn);
		return NULL;
	}
	if (record_done(record) && conn_register(conn))
		return conn;
	move_gone(conn);
	return NULL;
}

void move_begin(struct conn *conn)
{
	move_thaw(conn);
}
