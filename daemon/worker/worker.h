/* A worker: one loop, one engine, the sockets it was given, the channel that commands it. */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "base/log_writer.h"
#include "base/loop.h"
#include "config/canonical.h"
#include "ipc/board.h"
#include "ipc/handover.h"
#include "ipc/meter.h"
#include "ipc/will.h"
#include "net/conn.h"
#include "net/hot.h"

/* New exchanges are logged as `config` says (NULL: not at all), to `fd`, which is taken over (-1: none). */
typedef void (*access_log_opener)(struct engine *engine, const struct config *config, int fd);

/* What the master's fork leaves to a worker. */
struct worker_start {
	int channel;
	int will;                       /* the writing end of its own; -1: none */
	bool survive;                   /* with a keeper */
	bool seccomp;                   /* confined to the calls of confine.c */
	unsigned slot;
	struct board *board;
	struct hot *hot;
	struct quota *quota;
	unsigned column;                /* of the board, and its line: this worker's own */
	const struct protocol *protocol;
	const struct schema *const *services;
	access_log_opener access_log;
};

/* Of a socket that is this worker's alone (backlog.c). */
struct queue {
	uint64_t behind_since_ns;       /* it was judged, or found not empty first; 0: it was empty last */
	unsigned taken;                 /* connections since then */
	unsigned narrowed;              /* the backlog, while it is less than what is configured; else 0 */
};

/* A listening socket that this worker holds; accepting from it is another question. */
struct held_socket {
	struct source source;           /* its fd */
	struct list link;
	struct worker *worker;
	struct socket_note note;
	struct engine_listener *listener;
	uint64_t generation;            /* that it came with: an ABORT of it takes the socket back */
	bool exclusive;                 /* registered with EPOLLEXCLUSIVE */
	struct queue queue;
};

/* A generation being built: from CONFIG to GO or ABORT. */
struct preparing {
	struct generation *generation;  /* NULL: none */
	struct prepare_note note;
	struct canonical_load load;
	char *text;                     /* malloc'ed; until the load is done */
	bool loaded, voted;
	int error_log, access_log;      /* -1: none */
};

/* The connections of a batch that is not acknowledged, in the order of engine->frozen. */
struct hand_batch {
	unsigned count;
	uint8_t kinds[CHANNEL_MAX_FDS]; /* enum moving */
};

enum { HAND_LISTS = 2 };                /* where connections that may be moved are: engine->conns, leaving */

/* To whom a worker that drains hands its connections over. */
struct hand {
	struct source channel;          /* fd -1: nobody */
	struct hand_note peer;
	bool ended;                     /* nothing more is sent; acknowledgements may still come */
	struct handover_window window;
	struct hand_batch batches[HANDOVER_WINDOW];
	unsigned left[HAND_LISTS];      /* so many at the front of each list are still to be looked at */
	struct handover_message batch;
	struct ready step;
	struct timer again;             /* the channel did not take it */
	struct timer unheard;           /* armed while something is unacknowledged */
	bool refused;                   /* the receiver understands none of it */
	int next;                       /* a newer receiver's channel, once this one has ended; -1: none */
	struct hand_note next_peer;
};

/* One of those that hand over to this worker. */
struct take {
	struct source channel;
	struct list link;               /* in worker->takes or ended_takes */
	struct worker *worker;
	struct hand_note peer;
	uint64_t batches;               /* that came */
	uint64_t used, granted;         /* descriptors in all */
	bool turned_away;               /* something was declined; with more room it may be offered again */
};

/* Of a worker at its limit that refuses (refuse.c). */
struct refusals {
	bool full;                      /* none of its connections made room when it was last looked */
	bool waited;                    /* what is in its queues now, the others had time to take */
	uint64_t since_ns;              /* the beginning of the pause that `made` belongs to */
	unsigned made;
};

/* The connections are being listed; see listing.c. */
struct listing {
	struct ready step;
	struct list_note wanted;
	uint64_t number;
	int fd;                         /* -1: nobody wants to know */
	bool walked;
	struct slab_walk walk;
	struct listed_head *file;       /* malloc'ed: what is to be written, head and records */
	struct listing_place *places;   /* malloc'ed: a heap of its records, the least wanted first */
	size_t written;
};

struct worker {
	struct loop loop;
	struct engine engine;
	struct offload log_offload;     /* its own: neither waits for what holds up the other */
	struct offload offload;         /* for requests: what computes */
	struct offload disk, far;       /* what waits for a disk; for a network or another process */
	struct offload watching;        /* what waits for the kernel to watch a directory */
	struct log_writers log_writers;
	struct source channel;
	struct ready step;              /* preparing goes on */
	struct list sockets;            /* of struct held_socket */
	unsigned held_count;            /* of them */
	unsigned open_files;            /* RLIMIT_NOFILE */
	struct list released;           /* held sockets that are freed at the turn's end */
	struct turn_end sweep;
	struct meter meter;
	struct turn_end refused;        /* has system calls logged that are not on its list */
	struct list generations;
	struct preparing next;
	struct prepare_note note;       /* of the generation that is served */
	struct slot_set cover;
	struct timer pause;             /* accept is paused for want of descriptors or memory */
	uint64_t pause_untold_ns;       /* from when on the log is told so again */
	struct refusals refusals;
	uint64_t overload_told_ns;      /* when it was logged; 0: never */
	struct timer cut;               /* the drain's deadline */
	struct timer parting;           /* the channel has ended; is the master's process there still? */
	pid_t parent;
	bool taken_back;                /* it is, as far as was known */
	struct hot_line *line;          /* this worker's own */
	const struct hot_seat *seat;    /* its slot's */
	const struct hot *hot;          /* everybody's; NULL: it is alone */
	struct list heirs;              /* wills that it takes what is in from, see heir.c */
	struct timer look;              /* for the end of a drain, see drain.c */
	uint64_t drain_began_ns;
	uint64_t last_call_ns;          /* idle connections are closed then, whatever else there is */
	struct timer last_call;         /* from then on an answer is its connection's last */
	struct hand hand;
	struct listing listing;
	struct list takes, ended_takes; /* of struct take; an ended one is freed at the turn's end */
	unsigned take_count;            /* of takes */
	struct turn_end take_sweep;
	struct handover_message incoming;       /* of hand or of a take, while it is handled */
	unsigned slot;
	bool serving, paused, full, draining;
	bool limit_told;                /* that the limit of connections is reached was logged */
	bool stops;                     /* draining because the service stops */
	bool keeps;                     /* draining, and accepts on until RELEASE */
	bool closing_idle, spent;       /* steps of a drain */
	const struct schema *const *services;
	access_log_opener access_log;
};

/* Runs until the worker has drained; returns its exit status. Called right after fork, signals and privileges
 * settled; never returns early. */
int worker_run(const struct worker_start *start);

/* ---- accept.c ---- */

/* Takes over a socket that came in a SOCKETS message; registers nothing yet. False when out of memory, or it
 * is no socket (`fd` was closed): the generation must be refused, for nobody would accept from it. */
bool accept_hold(struct worker *worker, const struct socket_note *note, int fd, uint64_t generation);

/* A fresh worker is about to serve: what was directed to its slot before is not for it. */
void accept_begin(struct worker *worker);

/* Registers exactly the sockets that this worker must accept from now. */
void accept_apply(struct worker *worker);

/* Accepts what waits at sockets that are everybody's: whoever was woken for it cannot take it. */
void accept_look(struct worker *worker);

/* Gives back the sockets that came with an aborted generation. */
void accept_abort(struct worker *worker, uint64_t generation);

/* What is still accepted from a socket that is let go. */
enum emptying {
	EMPTY_NOT,
	EMPTY_WOKEN,                    /* where a wake-up may have been meant for this worker alone */
	EMPTY_ALL,
};

/* Closes all sockets. */
void accept_end(struct worker *worker, enum emptying emptying);

/* Closes the sockets of the listeners that the note names. */
void accept_release(struct worker *worker, const struct release_note *note);

/* Frees what was released in this turn: a stale event of its batch may have looked at it. */
void accept_sweep(struct turn_end *hook);

/* Connections were freed: accept may go on. */
void accept_room(struct worker *worker);

/* How many connections there is room for. */
unsigned accept_spare(const struct worker *worker);

/* ---- refuse.c ---- */

/* Is who waits now to be told to come again later, rather than left waiting? */
bool refuse_may(const struct worker *worker);

/* One was told. */
void refuse_count(struct worker *worker);

/* ---- backlog.c ---- */

/* So many connections were taken from the socket just now; `behind`: more wait. */
void backlog_look(struct worker *worker, struct held_socket *held, unsigned taken, bool behind);

/* The backlog is what is configured again. */
void backlog_forget(struct held_socket *held);

/* A generation is served: so are the slot's, whatever was before, or a worker before has left. */
void backlog_begin(struct worker *worker);

/* ---- listeners.c ---- */

/* Finds out the held socket's listener.  False: it has no address, or out of memory. */
bool listeners_hold(struct worker *worker, struct held_socket *held);

/* The socket is let go. */
void listeners_release(struct held_socket *held);

/* `next` is about to be served: every listener gets its rules by it. */
void listeners_follow(struct worker *worker, struct generation *next);

/* ---- adopt.c ---- */

void adopt_config(struct worker *worker, uint64_t generation, int memfd);
void adopt_logs(struct worker *worker, uint64_t generation, int error_log, int access_log);
void adopt_reopen(struct worker *worker, const struct message *message, struct message_fds *fds);
void adopt_prepare(struct worker *worker, const struct message *message);
void adopt_go(struct worker *worker, uint64_t generation);
void adopt_abort(struct worker *worker, uint64_t generation);
void adopt_step(struct ready *ready);

/* Says FAILED for a generation and forgets it. */
void adopt_refuse(struct worker *worker, uint64_t generation, const char *why);

/* ---- drain.c ---- */

/* Stops accepting (now or at RELEASE), cuts what is left at `deadline_ns`, leaves. The next answer of each
 * connection is its last, unless they are handed over. */
void drain_begin(struct worker *worker, const struct drain_note *note);

/* Takes the next step of a drain when it is time, and leaves when nothing is left. */
void drain_check(struct worker *worker);

/* ---- census.c ---- */

/* Says what the connections are doing, and which generations are still there. */
void census_tell(const struct worker *worker, uint64_t number);

/* ---- listing.c ---- */

void listing_init(struct worker *worker);

/* Writes the connections that are `wanted` into `fd`, which is taken over, and says so. What was under way
 * before is given up: whoever wanted it does not wait any more. */
void listing_begin(struct worker *worker, uint64_t number, const struct list_note *wanted, int fd);

/* LISTED. */
void listing_say(const struct worker *worker, uint64_t number);

/* Gives up what is there; the process ends. */
void listing_end(struct worker *worker);

/* ---- hand.c ---- */

void hand_init(struct worker *worker);

/* Hands the connections over through `channel`, which is taken over. One that is under way is ended first. */
void hand_begin(struct worker *worker, const struct hand_note *peer, int channel);

/* It cannot begin, for want of descriptors or memory: the master is told. */
void hand_impossible(struct worker *worker, const struct hand_note *peer, const char *why);

/* Hands nothing more over. What the other end may have taken by now stays frozen until it says so or ends. */
void hand_stop(struct worker *worker);

/* Gives up what is there; the process ends. */
void hand_close(struct worker *worker);

/* ---- keeper.c ---- */

/* From now on what is idle survives a crash, by the will whose writing end is `fd` (-1: there is none); with
 * `survive` a SIGKILL, too. After crash_catch. */
void keeper_begin(struct worker *worker, const struct worker_start *start);

/* ---- heir.c ---- */

/* Takes over the connections in the will `fd`, which is taken over itself. */
void heir_begin(struct worker *worker, const struct hand_note *of, int fd);

/* Gives up what is there; the process ends. */
void heirs_end(struct worker *worker);

/* ---- take.c ---- */

void take_init(struct worker *worker);

/* Takes over what comes through `channel`, which is taken over itself. */
void take_begin(struct worker *worker, const struct hand_note *peer, int channel);

/* Connections were freed, or more are allowed: the others may hand more over. */
void take_room(struct worker *worker);

/* Takes what has arrived, and nothing from then on: the rest stays where it is. */
void take_end(struct worker *worker);

#endif
