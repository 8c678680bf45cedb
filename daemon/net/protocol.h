/* Who speaks on a connection: `http1`; later `http2` and `tunnel`; in tests one with interleaved exchanges.
 * A protocol keeps its state behind conn->state, NULL while the connection is idle and owns no buffer. */
#ifndef NET_PROTOCOL_H
#define NET_PROTOCOL_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct account;
struct conn;
struct engine;
struct generation;
struct record;

/* What a connection wants after it was served.  MORE: it still has work although no event will say so (its
 * budget was used up, or bytes are buffered): it goes to the ready list. */
enum served { SERVED_WAIT, SERVED_MORE, SERVED_CLOSE };

/* What a connection is doing.  IDLE: nothing is owed to the client.  LEAVING: its last answer was sent and
 * the end was announced; only the client's own end is waited for. */
enum doing { DOING_IDLE, DOING_HEAD, DOING_WAITING, DOING_SENDING, DOING_LEAVING, DOINGS };

/* What a connection is that moves to another worker (net/move.h).  PIPELINED: an answer is under way, and
 * further requests are there behind it. */
enum moving { MOVING_NOT, MOVING_IDLE, MOVING_HEAD, MOVING_BODY, MOVING_SENDING, MOVING_PIPELINED,
	      MOVING_LEAVING, MOVINGS };

struct protocol {
	const char *name;
	size_t state_bytes;             /* of what it keeps behind conn->state */
	/* Builds what this protocol needs of a generation (routes, the services' own state) in its arena, a
	 * step of at most `budget_ns` a call; `*done` says whether that was the last. False: it cannot be
	 * served, and `err` says why, with the setting's place where there is one. Runs with the worker's
	 * rights. */
	bool (*prepare)(struct generation *generation, uint64_t budget_ns, bool *done, struct err *err);
	void (*open)(struct conn *conn);                /* a new connection; arms its timer */
	enum served (*ready)(struct conn *conn);        /* readable or writable: work, within the budget */
	enum served (*timeout)(struct conn *conn);      /* its timer fired */
	enum served (*adopt)(struct conn *conn);        /* the engine's generation changed */
	/* The worker is leaving.  `close_idle`: an idle connection is closed (after one last look for bytes);
	 * otherwise its next answer says `Connection: close`. */
	enum served (*drain)(struct conn *conn, bool close_idle);
	/* Writes what a successor needs to go on with the connection to `record`, and sets *file_fd to a
	 * descriptor that goes along (it stays this connection's; -1: none). Changes nothing: the connection
	 * may go on here after all. MOVING_NOT: it cannot be moved as it is now (asked again when it was
	 * served) or has no room in the record. NULL: its connections are never moved. */
	enum moving (*freeze)(const struct conn *conn, struct record *record, int *file_fd);
	/* The successor's side, on a connection that is as after accept but is not served yet: takes over
	 * what freeze wrote, and `file_fd`, which is closed if it is not wanted. Touches neither the socket
	 * nor the loop, but for the connection's timer.  False: it cannot (a wrong record, no memory, a
	 * service that does not know the rest): nothing is left behind. */
	bool (*thaw)(struct conn *conn, struct record *record, int file_fd);
	/* It lives on elsewhere, or does not begin to live here: gives back what it holds, as close does, but
	 * the exchange has not ended: no log line, no reset. */
	void (*moved)(struct conn *conn);
	void (*close)(struct conn *conn); /* gives back what it holds; the engine closes the socket */
	enum doing (*doing)(const struct conn *conn);
	/* Fills in what it knows of the request under way; the client is filled in, the rest is zeroed. NULL:
	 * nothing. */
	void (*account)(const struct conn *conn, struct account *account);
	/* The engine's end, when no connection is left: gives back engine->shared. NULL: it has none. */
	void (*forget)(struct engine *engine);
	/* Who speaks instead on a connection for which there is no room: says so, and ends within seconds.
	 * NULL: nobody can; it waits to be accepted. */
	const struct protocol *refusal;
};

#endif
