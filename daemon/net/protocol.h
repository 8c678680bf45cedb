/* Who speaks on a connection: `http1`; later `http2` and `tunnel`; in tests one with interleaved exchanges.
 * A protocol keeps its state behind conn->state, NULL while the connection is idle and owns no buffer. */
#ifndef NET_PROTOCOL_H
#define NET_PROTOCOL_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;
struct engine;
struct generation;

/* What a connection wants after it was served.  MORE: it still has work although no event will say so (its
 * budget was used up, or bytes are buffered): it goes to the ready list. */
enum served { SERVED_WAIT, SERVED_MORE, SERVED_CLOSE };

/* What a connection is doing.  IDLE: nothing is owed to the client.  LEAVING: its last answer was sent and
 * the end was announced; only the client's own end is waited for. */
enum doing { DOING_IDLE, DOING_HEAD, DOING_WAITING, DOING_SENDING, DOING_LEAVING };

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
	bool (*freeze)(struct conn *conn);              /* for handover; NULL: cannot be moved */
	void (*thaw)(struct conn *conn);
	void (*close)(struct conn *conn); /* gives back what it holds; the engine closes the socket */
	enum doing (*doing)(const struct conn *conn);
};

#endif
