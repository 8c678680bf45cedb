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
		.protocol = str_of(conn_protocol(conn)->name),
		.listener = str_of(conn->listener->address),
		.since_ns = conn->since_ns,
		.due_ns = timer_armed_lean(&conn->timer) ? conn->timer.due_ns : 0,
		.served = conn->served,
		.promised_s = conn->promised_s,
		.peer = conn_peer(conn),
		.client = conn_client(conn),
	};
	enum moving moving;

	*file_fd = -1;
	if (conn->closed || conn->frozen || !conn_transport(conn)->moves ||
	    conn_protocol(conn)->freeze == NULL)
		return MOVING_NOT;
	basis(record, &it);
	moving = conn_protocol(conn)->freeze(conn, record, file_fd);
	return record->bad ? MOVING_NOT : moving;
}

void move_freeze(struct conn *conn)
{
	struct engine *engine = conn_engine(conn);

	if (!timer_armed_lean(&conn->timer))
		conn->timer.due_ns = 0;
	conn->frozen = true;
	conn_uncount(conn);
	clients_leave(conn);            /* rather not counted for a moment than twice */
	conn_works(conn);               /* somebody else may have it soon */
	timer_cancel_lean(&conn->timer);
	loop_remove_lean(engine->loop, &conn->source);
	list_remove(&conn->ready);
	list_remove(&conn->link);
	list_push_back(&engine->frozen, &conn->link);
}

/* Serving it waits for the next turn: by then the kernel has reported what it is ready for, for ADD does
 * so. */
void move_thaw(struct conn *conn)
{
	struct engine *engine = conn_engine(conn);
	bool leaves = conn_protocol(conn)->doing(conn) == DOING_LEAVING;

	conn->frozen = conn->readable = conn->writable = false;
	clients_keep(conn);
	if (conn->timer.due_ns != 0)
		timer_arm_lean(&engine->loop->timers, &conn->timer, conn->timer.due_ns);
	list_remove(&conn->link);
	list_push_back(leaves ? &engine->leaving : &engine->conns, &conn->link);
	conn_recount(conn);
	if (conn->state == NULL && conn->speaker == SPEAKER_OWN)
		conn_idles(conn);
	conn_wake(conn);
	conn_watch(conn);
	if (engine->draining && !leaves && !conn->closed)       /* it was not told yet */
		conn_drain(conn, engine->close_idle);
}

void move_gone(struct conn *conn)
{
	conn_protocol(conn)->moved(conn);
	/* closing does not: the other side has it open */
	loop_remove_lean(conn_engine(conn)->loop, &conn->source);
	conn_release(conn);
}

/* ---- the receiver's side ---------------------------------------------------------------------------- */

static bool is_peer(const union peer *peer)
{
	return peer->family == AF_INET || peer->family == AF_INET6 || peer->family == AF_UNIX;
}

/* False: nobody here. */
static bool find_speaker(const struct engine *engine, struct str name, enum speaker *speaker)
{
	*speaker = str_equal(name, str_of(engine->protocol->name)) ? SPEAKER_OWN : SPEAKER_PROXY;
	if (*speaker == SPEAKER_OWN)
		return engine->protocol->thaw != NULL;
	return str_equal(name, str_of(protocol_proxy.name));
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
static struct conn *make(struct engine *engine, const struct basis *it, enum speaker speaker, int fd)
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
	conn->speaker = speaker;
	if (!conn_name(conn, &it->peer, &it->client)) {
		conn_release(conn);
		return NULL;
	}
	conn->served = it->served;
	conn_promise(conn, it->promised_s);
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
	enum speaker speaker;
	struct conn *conn;

	basis(record, &it);
	if (record->bad || fd < 0 || !find_speaker(engine, it.protocol, &speaker) || !is_peer(&it.peer) ||
	    !is_peer(&it.client))
		return refuse(fd, file_fd);
	conn = make(engine, &it, speaker, fd);
	if (conn == NULL)
		return refuse(-1, file_fd);
	if (!conn_protocol(conn)->thaw(conn, record, file_fd)) {
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
