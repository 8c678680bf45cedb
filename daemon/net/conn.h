/* The connection engine: connections of one worker, from accept to close.
 *
 * A connection is registered once, edge-triggered, for both directions, and only when a transfer said AGAIN
 * before it was finished. What it is ready for is remembered in `readable` and `writable` (DESIGN invariant
 * 6): a new socket counts as both; EPOLLIN sets the first, EPOLLOUT the second; EAGAIN or a short transfer
 * clears it; after EPOLLRDHUP, HUP or ERR (`ended`) a short read clears nothing, for no event would announce
 * the FIN that is already there. A closed connection is freed at the end of the turn (invariant 7). */
#ifndef NET_CONN_H
#define NET_CONN_H

#include "addr.h"
#include "protocol.h"
#include "quota.h"
#include "transport.h"

#include "base/epitaph.h"
#include "base/loop.h"
#include "base/pool.h"
#include "base/slab.h"

/* What a generation says of one listener's connections; 0: what it says of all of them. */
struct listener_rules {
	const char *address;            /* in its canonical spelling */
	uint64_t request_head_ns, body_ns, keep_alive_ns, send_ns, min_rate;
	unsigned backlog;
	bool proxy;                     /* a connection begins with a PROXY header (proxy.h) */
	uint64_t proxy_ns;              /* how long that may take */
	struct networks proxy_from;     /* who may send one */
};

/* An address that connections came in at. It is known by its text, which a reload that moves or removes its
 * entry does not change: `rules` are always those of the generation that is served (listeners.c of the
 * worker), and none when that has no such address. */
struct engine_listener {
	struct list link;               /* in engine->listeners */
	struct engine *engine;
	unsigned sockets, conns;        /* that have it: without any, it is freed */
	uint32_t number;                /* not 0; the same in all workers, see conn_idles */
	const struct listener_rules *rules;     /* never NULL */
	struct generation *kept;        /* pinned: its address was removed, and its queue not emptied yet */
	char address[ADDR_TEXT_BYTES];
};

/* Who speaks on a connection: the engine's protocol, one that comes before it, or one in its place. */
enum speaker { SPEAKER_OWN, SPEAKER_PROXY, SPEAKER_REFUSAL };

enum {
	PROMISE_BITS = 17,              /* timeouts.keep_alive is a day at most */
	PROMISE_MOST_S = (1 << PROMISE_BITS) - 1,
};

enum { ACCOUNT_HOST_BYTES = 64, ACCOUNT_REQUEST_BYTES = 128 };

/* All that an idle connection has, in two lines of the processor's cache: what every request touches is in
 * the first. What few have is apart, see struct conn_side. */
struct conn {
	struct lean_source source;      /* its fd, -1 once closed; mind: see conn_recount */
	bool readable : 1, writable : 1;
	bool ended : 1;                 /* EPOLLRDHUP, HUP or ERR was seen: read on to the end */
	bool broken : 1;                /* HUP or ERR was seen: the peer will not take anything any more */
	bool closed : 1;                /* given up in this turn */
	bool frozen : 1;                /* on its way to another worker: nothing happens to it here */
	bool refused : 1;               /* there was no room for it: see engine_refuse */
	bool limited : 1;               /* refused, because its client has as many as it may (clients.h) */
	bool reset : 1; /* closing sends RST: nobody shall take half an answer for a whole one */
	bool has_side : 1;
	unsigned speaker : 2;           /* enum speaker: see conn_protocol */
	unsigned declined : 3;          /* how often another worker would not take it over */
	unsigned promised_s : PROMISE_BITS;     /* see conn_promise; 0: no word */
	uint32_t served;                /* exchanges that were finished on it */
	uint64_t since_ns;              /* when it was accepted, or became idle */
	void *state;                    /* the protocol's, in engine->states */
	struct engine_listener *listener;       /* where it came in; never NULL */
	uint8_t counted_epoch;          /* of counted_at: see clients_places */
	struct packed_peer client;      /* who connected, or whom a proxy says that it is for */

	struct lean_timer timer;
	struct list ready;
	struct list link;               /* in engine->conns, leaving, refused, frozen or closed */
	uint32_t counted_at[QUOTA_SCOPES];      /* as one of its client's; 0: it is not counted */
};

enum { CONN_BYTES = 128, CONN_HOT_BYTES = 64 };

_Static_assert(sizeof(struct conn) == CONN_BYTES, "an idle connection takes no more");
_Static_assert(offsetof(struct conn, timer) == CONN_HOT_BYTES, "what every request touches is one line");

/* What few connections have; by descriptor, in engine->sides. */
struct conn_side {
	union peer peer;                /* who connected: a proxy that says who its client is; or nobody */
	void *transport_state;          /* NULL at first; see transport.close */
	unsigned refusals;              /* how many requests in a row met a limit of its client */
};

/* Counters that the engine and its protocols move; a column of the board, or any array in a test. */
enum counter {
	COUNT_ACCEPTED,
	COUNT_OPEN,
	COUNT_REQUESTS,
	COUNT_BYTES_SENT,
	COUNT_ACCEPT_PAUSED,
	COUNT_ACCEPT_ERRORS,
	COUNT_PARSE_ERRORS,
	COUNT_TIMEOUTS,
	COUNT_DRAIN_CUT,
	COUNT_FILE_SHRANK,
	COUNT_FILE_CHANGED,
	COUNT_ACCESS_LOG_DROPPED,
	COUNT_ERROR_LOG_DROPPED,
	COUNT_STATUS_2XX,
	COUNT_STATUS_3XX,
	COUNT_STATUS_4XX,
	COUNT_STATUS_5XX,
	COUNT_OUT_OF_MEMORY,
	COUNT_SHED,
	COUNT_CUT_HEAD,                 /* what COUNT_DRAIN_CUT consists of */
	COUNT_CUT_WAITING,
	COUNT_CUT_SENDING,
	COUNT_LOST_STOP,                /* by the master: left in a queue when its socket was closed */
	COUNT_LOST_ADDRESS_REMOVED,
	COUNT_TASKS_REFUSED,
	COUNT_AUTH_HASHES,
	COUNT_AUTH_FAILED,
	COUNT_PROXY_REFUSED,
	COUNT_HANDED_IDLE,              /* handed over to another worker, by what they were: enum moving */
	COUNT_HANDED_HEAD,
	COUNT_HANDED_BODY,
	COUNT_HANDED_SENDING,
	COUNT_HANDED_PIPELINED,
	COUNT_HANDED_LEAVING,
	COUNT_HAND_DECLINED,            /* offered, and the other worker could not take it */
	COUNT_TAKEN_OVER,               /* from another worker */
	COUNT_REFUSED,                  /* told to come again later: limits.when_full */
	COUNT_LOST_CRASHED,             /* by the master: what a worker had that died; see COUNT_SURVIVED */
	COUNT_OVERLOADED,               /* the backlog was cut: see worker/backlog.c */
	COUNT_KERNEL_DROPPED,           /* by the master, of sockets that are gone: see engine->queues */
	COUNT_RESCUED,                  /* accepted in place of a slot's worker that does not */
	COUNT_SURVIVED,                 /* idle, of a worker that died, and served on by this one */
	COUNT_SURVIVED_NOT,             /* the same, closed: no room here, or its client had gone */
	COUNT_SYSCALLS_DENIED,          /* that are not on the worker's list: sandbox.seccomp */
	COUNT_LIMITED_CONNECTIONS,      /* clients.*: told 429 at the beginning (or would be: dry_run) */
	COUNT_LIMITED_REQUESTS,         /* told 429 */
	COUNT_LIMITED_BANDWIDTH,        /* answers that had to wait, each time */
	COUNT_CLIENTS_UNTRACKED,        /* without a limit, because the table was full */
	COUNT_READS_OFFLOADED,          /* pieces of files that a helper thread brought */
	COUNT_READS_FAILED,             /* the same that did not come: an answer was cut, or is 503 or 500 */
	COUNT_FILE_CACHE_HITS,          /* requests that the file cache knew the outcome of */
	COUNT_FILE_CACHE_MISSES,        /* those that it had to look for */
	COUNT_FILE_CACHE_EVICTED,       /* outcomes, or files of them, that made room for others */
	COUNT_READY_ANSWERS,            /* requests for which neither a service nor its cache was asked */
	COUNT_HEALTH_REFUSALS,          /* of health routes: 503, the service is to leave */
	COUNT_READY,                    /* a level: of the loop's ready lists, see ipc/meter.h */
	COUNT_DOING,                    /* levels, one for each enum doing: how many connections do that */
	COUNT_DOING_LAST = COUNT_DOING + DOINGS - 1,
	COUNT_TIMEOUT_SILENT,           /* part of COUNT_TIMEOUTS: of a new connection nothing came */
	COUNT_TIMEOUT_HEAD,             /* a head that was begun */
	COUNT_TIMEOUT_BODY,             /* of a request */
	COUNT_TIMEOUT_SEND,             /* nothing of an answer was taken */
	COUNT_TIMEOUT_RATE,             /* too little was: limits.min_rate */
	COUNT_TIMEOUT_PROXY,            /* no PROXY header */
	COUNT_TIMEOUT_IDLE,             /* no part of it: nothing was owed to the client */
	COUNT_TIMEOUT_LEAVING,          /* the same: it did not see the end */
	COUNT_WRONG_LINE,               /* part of COUNT_PARSE_ERRORS: a request line that is none */
	COUNT_WRONG_VERSION,            /* another one of HTTP */
	COUNT_WRONG_TARGET,             /* one that cannot be */
	COUNT_WRONG_LONG,               /* a request line beyond its limit */
	COUNT_WRONG_FIELD,              /* a field line that is none */
	COUNT_WRONG_LARGE,              /* fields beyond limits.header_bytes */
	COUNT_WRONG_MANY,               /* beyond limits.headers */
	COUNT_WRONG_HOST,               /* none, several, or one that cannot be */
	COUNT_WRONG_FRAMING,            /* where the body ends is not certain */
	COUNT_WRONG_BODY,               /* chunks or trailers that are none, or an end too soon */
	COUNT_DIED_CRASHED,             /* by the master, of the slot's workers: by a fault of its own */
	COUNT_DIED_KILLED,              /* by a signal from somebody else, or for want of memory */
	COUNT_DIED_EXITED,              /* it ended by itself, and nobody had told it to */
	COUNT_DIED_HUNG,                /* the master ended it, because it did not answer or get on */
	COUNT_STALLED,                  /* by the master: it did not get on, and others accepted for it */
	COUNTERS
};

enum { COUNTER_WORDS = 2 };

/* Their names, as in status answers: "accepted", "open" ... */
extern const char *const counter_names[COUNTERS];

/* Those that are levels, which go down again and are not kept for a worker that is gone: a bit each. */
extern const uint64_t counter_levels[COUNTER_WORDS];

static inline bool counter_is_level(enum counter counter)
{
	return (counter_levels[counter / 64] >> counter % 64 & 1) != 0;
}

/* What a service or a protocol keeps for an engine: closed with it, when no connection is left. */
struct engine_part {
	struct list link;               /* in engine->parts */
	void (*close)(struct engine_part *part);
};

/* What a connection is busy with, for people who ask. The texts are not terminated, and what a client sent
 * is in them as it was sent, but for secrets. */
struct account {
	union peer client;              /* for whom the request is */
	uint64_t begun_ns;              /* when it began; 0: none is under way */
	uint64_t sent;                  /* of its answer */
	size_t host_bytes, request_bytes;
	char host[ACCOUNT_HOST_BYTES];  /* that it names */
	char request[ACCOUNT_REQUEST_BYTES];    /* the beginning of its first line */
};

struct access_log;
struct files_cache;
struct hot;
struct log_writers;
struct metrics_column;
struct offload;
struct slow_ring;
struct status_desk;
struct watcher;

struct engine {
	struct loop *loop;
	const struct protocol *protocol;
	const struct transport *transport;      /* transport_plain unless a test says otherwise */
	struct generation *generation;  /* new exchanges go by this one */
	uint64_t *counters;             /* COUNTERS of them */
	struct epitaph *epitaph;        /* what it is doing: the owner's, or nobody's; never NULL */
	struct pool pool;
	struct slab slab;               /* of struct conn */
	struct slab states;             /* of the protocol's state, protocol->state_bytes each */
	struct list conns;              /* the open ones, in no order: see engine_shed */
	struct list leaving;            /* open until the client has seen the end; oldest first */
	struct list refused;            /* open until they have been told */
	struct list closed;
	struct list frozen;             /* in the order in which they were frozen; see move.h */
	struct list listeners;          /* of struct engine_listener */
	struct engine_listener nowhere; /* of connections that came otherwise */
	unsigned count;                 /* of conns, leaving and frozen */
	unsigned refusing;              /* of refused */
	uint16_t next_tag;              /* a recycled struct conn begins with another one */
	bool draining;                  /* each connection is closed when all that came on it is answered */
	bool close_idle;                /* and a connection that gets idle is closed */
	uint64_t fresh_until_ns;        /* until then who has sent nothing may, however old it is */
	uint64_t refused_told_ns;       /* when a connection without a good PROXY header was logged last */
	bool out_of_service;            /* the service is to leave: a health check shall say so */
	uint32_t *marks;                /* by descriptor, see conn_idles; NULL: nobody wants to know */
	unsigned marks_room;            /* of marks; the others are not marked */
	struct conn_side **sides;       /* by descriptor; of few it is not NULL */
	unsigned sides_room;
	struct quota *quota;            /* what clients take, of all workers; NULL: nobody is limited */
	const struct quota_rules *quota_rules;  /* of the generation; never NULL */
	uint8_t quota_epoch;            /* in which its connections are counted */
	uint64_t counted_ns;            /* when they were counted again last */
	struct timer counting;          /* for the next time, if that is too soon */
	uint64_t limited_since_ns;      /* the beginning of the time that limited_made belongs to */
	unsigned limited_made;          /* connections that were told of their client's limit */
	unsigned slot;
	uint64_t instance;              /* random: no other engine has it */
	uint64_t exchanges;             /* begun so far: with it, an exchange's own name */
	struct access_log *access_log;  /* NULL: none */
	struct list access_logs;        /* with those that exchanges under way still have */
	void *shared;                   /* the protocol's, of all its connections; NULL at first */
	struct log_writers *log_writers;        /* the owner's; NULL where nothing is logged */
	struct offload *offload;        /* the owner's, for requests (http/task.h); NULL: none */
	struct offload *disk, *far;     /* the same, for what waits for a disk, or for others */
	struct watcher *watcher;        /* the owner's, of files; NULL: nobody tells when they change */
	struct list parts;              /* of struct engine_part; the last that came is closed first */
	struct files_cache *files_cache;        /* of the files service; NULL: not yet */
	uint64_t slow_ns;               /* a request that takes so long is noted; log.slow */
	struct slow_ring *slow;         /* ipc/slow.h: the slot's; NULL in tests */
	struct metrics_column *metrics; /* ipc/metrics.h: the owner's; NULL in tests: nothing is measured */
	const void *board; /* for the status service: all columns, see ipc/board.h; NULL in tests */
	void (*closed_one)(
		struct engine *engine); /* after connections were freed: accept may go on; may be NULL */
	const struct hot *hot;          /* the same: who serves which slot (net/hot.h); NULL in tests */
	struct status_desk *status;     /* of the status service; NULL: not yet */
	/* Tells of at most `most` listening sockets, from the one with the number `from` on, how many
	 * connections wait there, and how many the kernel dropped: it counts them with the socket. False:
	 * there are no more. NULL: none. */
	bool (*queues)(const struct engine *engine, unsigned from, unsigned most,
		       void (*tell)(void *context, const char *address, uint64_t waiting, uint64_t dropped),
		       void *context);
	/* While connections are handed over, after one was served that waits now: it may be movable. NULL
	 * otherwise.  May freeze it. */
	void (*waits)(struct engine *engine, struct conn *conn);
	struct turn_end sweep;
};

extern const struct listener_rules listener_without_rules;

/* `counters` stays the caller's; registers the engine's end-of-turn hook with `loop`. Nothing can be accepted
 * before the first engine_adopt. */
void engine_init(struct engine *engine, struct loop *loop, const struct protocol *protocol,
		 uint64_t *counters);

/* New exchanges go by `generation`, whose pin for being current is the caller's; every connection is told.
 * Returns the one before (NULL: none), for the caller to unpin. */
struct generation *engine_adopt(struct engine *engine, struct generation *generation);

/* False when there is no memory for another connection: better not to accept it than to close it. */
bool engine_has_room(struct engine *engine);

/* The listener of this address, made if there is none; NULL when out of memory. Its user counts itself. */
struct engine_listener *engine_listener_find(struct engine *engine, const char *address);

/* Frees it unless somebody has it. */
void engine_listener_settle(struct engine_listener *listener);

/* Takes over the accepted, non-blocking socket `fd`, which came in at `listener` (NULL: otherwise), and
 * serves it at once. False when out of memory (`fd` was closed, counted). */
bool engine_accept(struct engine *engine, int fd, const struct sockaddr_storage *peer,
		   struct engine_listener *listener);

/* The same for a connection for which there is no room: protocol->refusal, which there must be, tells it so.
 * It is none of the engine's `count`. False when out of memory. */
bool engine_refuse(struct engine *engine, int fd, const struct sockaddr_storage *peer,
		   struct engine_listener *listener);

/* One of the engine's connections, on which nothing was sent yet, becomes such a refused one. */
void conn_refuse(struct conn *conn);

/* Takes over `fd`, an idle connection whose worker has crashed, as one that became idle just now. False: it
 * was closed, for its client has gone, or there is no memory. Counted either way. */
bool engine_survive(struct engine *engine, int fd, struct engine_listener *listener);

/* Every connection ends after what it has in hand; see protocol.drain. One that was accepted less than a
 * second ago, and has sent nothing, is not idle: its request may be on its way.  See
 * fresh_until_ns for a second that was none. */
void engine_drain(struct engine *engine, bool close_idle);

/* Makes room by closing one connection to which nothing is owed: the first of those whose end was
 * announced; else, of a bounded number that it looks at, the one that has been idle for the longest time,
 * after a last look for bytes.  One that was just accepted has a second to send something first, one that
 * just became idle a tenth of it.  False: none was found. */
bool engine_shed(struct engine *engine);

/* True while something is owed to a client whose connection was accepted (or was last idle) up to
 * `until_ns`: a request under way, or a connection that is younger than a second, whose request may be on
 * its way. */
bool engine_owes(const struct engine *engine, uint64_t until_ns);

/* How many connections are doing what; those that are frozen are not among them. */
void engine_census(const struct engine *engine, unsigned counts[DOINGS]);

/* Of a walk through all connections, which may take many turns: the next one, an open one of the engine's
 * `count`; one that came since the walk began may be passed over. NULL: it looked at `most` places in memory
 * and found none, or (walk->chunk is NULL) that was all. */
const struct conn *engine_next(const struct engine *engine, struct slab_walk *walk, unsigned most);

/* What is under way on it, for people. */
void conn_account(const struct conn *conn, struct account *account);

/* Closes everything that is left; what was not idle is counted as cut. So is what is frozen: whoever was to
 * take it over has not said that it did. */
void engine_cut(struct engine *engine);

/* Closes the parts and gives all memory back. Every connection must be closed; the loop must not
 * run again. */
void engine_free(struct engine *engine);

/* Serves `conn` now, then acts on what it wants: registers it, puts it on the ready list, or closes it. */
void conn_serve(struct conn *conn);

/* Acts on an answer of the protocol that came outside of conn_serve (a timer, a resumed exchange). */
void conn_after(struct conn *conn, enum served served);

/* Has it served in the next turn: for whoever has an answer for it outside of its own events. Unlike
 * conn_serve it is safe inside of a call from the protocol. */
void conn_wake(struct conn *conn);

/* Marks it closed: takes it off the loop, lets the protocol give back what it holds, closes the socket; the
 * memory follows at the turn's end. Harmless on a closed one. */
void conn_close(struct conn *conn);

/* True when a connection that is idle is to be closed: its server leaves, and a request is not to be
 * expected. */
bool conn_is_spare(const struct conn *conn);

/* Who speaks on it now. */
const struct protocol *conn_protocol(const struct conn *conn);

/* Called by the protocol: the end was announced to the client, see DOING_LEAVING. */
void conn_leaves(struct conn *conn);

/* Whose connection it is: it comes from `peer`, for `client`. False when out of memory. */
bool conn_name(struct conn *conn, const union peer *peer, const union peer *client);

/* Who connected. */
union peer conn_peer(const struct conn *conn);

/* What few connections have besides; NULL: this one has it not. */
struct conn_side *conn_side(const struct conn *conn);

/* The same, made and zeroed if it is not there; NULL when out of memory. */
struct conn_side *conn_side_made(struct conn *conn);

/* It is not there any more; what the transport has was given back. */
void conn_side_drop(struct conn *conn);

/* Counts it, in COUNT_DOING, as what it is doing now. */
void conn_recount(struct conn *conn);

/* It is none of those that are counted there any more. */
void conn_uncount(struct conn *conn);

/* Arms the connection's one timer; 0 disarms. */
void conn_timer(struct conn *conn, uint64_t after_ns);

/* ---- for move.c ---- */

/* A connection that counts as one of the engine's, but is in no list, not registered and ready for nothing.
 * NULL when out of memory (`fd` was closed, counted). */
struct conn *conn_new(struct engine *engine, int fd, const union peer *peer,
		      struct engine_listener *listener);

/* Registers it unless it is; what is ready already is reported in the next turn. It closes when that fails
 * (counted). */
void conn_watch(struct conn *conn);

/* The same, but one that cannot be stays open. False: it is counted as out of memory. */
bool conn_register(struct conn *conn);

/* Tells it of engine_drain. */
void conn_drain(struct conn *conn, bool close_idle);

/* The end of conn_close, what the protocol and the transport have is given back. */
void conn_release(struct conn *conn);

static inline struct engine *conn_engine(const struct conn *conn)
{
	return conn->listener->engine;
}

static inline const struct transport *conn_transport(const struct conn *conn)
{
	return conn_engine(conn)->transport;
}

/* For whom it is. */
static inline union peer conn_client(const struct conn *conn)
{
	return peer_unpack(&conn->client);
}

/* A proxy has said for whom it is. */
static inline bool conn_is_proxied(const struct conn *conn)
{
	return conn->has_side && conn_side(conn)->peer.family != AF_UNSPEC;
}

/* The last answer said for how long it may be idle. */
static inline void conn_promise(struct conn *conn, uint32_t seconds)
{
	conn->promised_s = (seconds < PROMISE_MOST_S ? seconds : PROMISE_MOST_S) & PROMISE_MOST_S;
}

/* What is done from here to conn_leave is done for this connection: it is in the epitaph if that ends the
 * process. */
static inline void conn_enter(const struct conn *conn)
{
	union peer client = conn_client(conn);

	epitaph_client(conn_engine(conn)->epitaph, &client, conn->since_ns);
}

static inline void conn_leave(const struct conn *conn)
{
	epitaph_leave(conn_engine(conn)->epitaph, conn->state != NULL && !conn->closed && !conn->frozen);
}

/* The connection is idle, and nothing but its descriptor is needed to serve it on: if this worker crashes, it
 * is served on by another one (ipc/will.h). For that, it is marked with its listener's number. Not one that a
 * proxy has said something of. */
static inline void conn_idles(const struct conn *conn)
{
	struct engine *engine = conn_engine(conn);
	unsigned fd = (unsigned)conn->source.fd;

	if (fd < engine->marks_room && engine->transport->moves && !conn_is_proxied(conn))
		engine->marks[fd] = conn->listener->number;
}

/* It is not any more: to be called before a byte is taken from it. */
static inline void conn_works(const struct conn *conn)
{
	const struct engine *engine = conn_engine(conn);
	unsigned fd = (unsigned)conn->source.fd;

	if (fd < engine->marks_room)
		engine->marks[fd] = 0;
}

static inline void engine_count(struct engine *engine, enum counter counter)
{
	engine->counters[counter]++;
}

#endif
