/* The channel between the master and one worker: a SEQPACKET pair of whole messages, some with descriptors.
 *
 * master -> worker			worker -> master
 *	CONFIG	g, the canonical text		READY	g: prepared, not yet accepting by it
 *	LOGS	g, error and access log		FAILED	g, why
 *	SOCKETS	g, listening sockets		ADOPTED	g: it counts now (a fresh worker: SERVING)
 *	PREPARE	g: build it, then vote
 *	GO	g
 *	ABORT	g
 *	REOPEN	n, log files opened anew	REOPENED n, whether it writes to them now
 *	COVER	the slots without a worker	RELEASED r: none of those sockets is held any more
 *	LEAVING	health checks shall fail	SPENT	all that it had when DRAIN came is done
 *	STAYING	and shall no more
 *	LOOK	at the sockets of all		WAITING	somebody waits at a socket of all, and it is full
 *	DRAIN
 *	RELEASE	r, listeners: let their sockets go
 *	HAND	h, an end: hand the connections over through it (see handover.h)
 *	TAKE	h, the other end: take over what comes through it
 *	COUNT	connections and generations	COUNTED	what it has of them
 *	LIST	n, a memfd: write the connections into it (see listed.h)
 *					LISTED	n: done
 *	WILL	of a worker that crashed, take over what is in it (see will.h)
 *					PARTED	its pair with that receiver has ended
 *					UNHEARD	that receiver has been silent for long
 *					CONFINED g, why: FAILED, and a fresh worker would not
 *
 * Only these change what a worker does; the channel's end makes it drain and leave. */
#ifndef IPC_CHANNEL_H
#define IPC_CHANNEL_H

#include "listed.h"

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum {
	CHANNEL_VERSION = 1,            /* of all messages: a worker outlives its master's binary */
	CHANNEL_MAX_FDS = 253,          /* SCM_MAX_FD of the kernel */
	CHANNEL_MAX_LISTENERS = 256,    /* twice what a configuration may have: old and new ones */
	CHANNEL_MAX_SLOTS = 1024,
};

/* New ones go to the end: inputs of the fuzz targets are made of these numbers. */
enum message_type {
	MESSAGE_CONFIG = 1,
	MESSAGE_LOGS,
	MESSAGE_SOCKETS,
	MESSAGE_PREPARE,
	MESSAGE_GO,
	MESSAGE_ABORT,
	MESSAGE_COVER,
	MESSAGE_DRAIN,
	MESSAGE_READY,
	MESSAGE_FAILED,
	MESSAGE_ADOPTED,
	MESSAGE_REOPEN,
	MESSAGE_REOPENED,
	MESSAGE_LEAVING,
	MESSAGE_RELEASE,
	MESSAGE_RELEASED,
	MESSAGE_SPENT,
	MESSAGE_WAITING,
	MESSAGE_LOOK,
	MESSAGE_HAND,
	MESSAGE_TAKE,
	MESSAGE_COUNT,
	MESSAGE_COUNTED,
	MESSAGE_PARTED,
	MESSAGE_UNHEARD,
	MESSAGE_WILL,
	MESSAGE_CONFINED,
	MESSAGE_LIST,
	MESSAGE_LISTED,
	MESSAGE_STAYING,
	MESSAGE_TYPES
};

/* Which slots nobody serves: a bit each. */
struct slot_set {
	uint64_t bits[CHANNEL_MAX_SLOTS / 64];
};

static inline bool slot_set_has(const struct slot_set *set, unsigned slot)
{
	return slot < CHANNEL_MAX_SLOTS && (set->bits[slot / 64] >> slot % 64 & 1) != 0;
}

static inline void slot_set_add(struct slot_set *set, unsigned slot)
{
	set->bits[slot / 64] |= UINT64_C(1) << slot % 64;
}

/* What a socket of a SOCKETS message is; the descriptors come in the same order. */
struct socket_note {
	uint32_t listener;              /* the master's number for the listener */
	uint32_t slot;                  /* whose it is, unless the listener's are everybody's */
};

struct listener_note {
	uint32_t listener;
	/* its sockets are everybody's: mode shared, or there are fewer than slots (a unix socket, sockets
	 * that systemd passed).  A fact of the generation, not of a socket: the number of slots changes */
	bool shared;
};

struct prepare_note {
	uint32_t slots;                 /* how many slots the generation has */
	uint32_t listener_count;
	struct listener_note listeners[CHANNEL_MAX_LISTENERS];
};

/* Which logs come with LOGS or REOPEN as descriptors, in this order; syslog and the journal have none. */
struct logs_note {
	uint64_t error_id, access_id;   /* config_log_id: an older generation may log elsewhere */
	bool error, access;
};

struct reopened_note {
	uint32_t good;                  /* 0: no */
};

struct drain_note {
	uint64_t deadline_ns;           /* CLOCK_MONOTONIC: what is not finished then is cut */
	bool close_idle;                /* the service stops: idle connections are closed at the end */
	bool keep_sockets;              /* accept on until RELEASE */
	bool hand;                      /* connections are handed over: a HAND follows, now or later */
};

/* The worker at the other end of a handover, whose number is the `generation` of a HAND or TAKE. */
struct hand_note {
	uint32_t slot, pid;
};

/* What a worker's connections are doing: enum doing of net/protocol.h, and those on their way to another
 * worker. */
enum count_state {
	COUNTED_IDLE,
	COUNTED_HEAD,
	COUNTED_WAITING,
	COUNTED_SENDING,
	COUNTED_LEAVING,
	COUNTED_MOVING,
	COUNTED_STATES
};

enum { COUNTED_GENERATIONS = 16 };      /* the newest ones; it has more only when many are pinned */

struct count_note {
	uint32_t connections[COUNTED_STATES];
	uint32_t generation_count;
	struct {
		uint64_t number;
		uint64_t pins;          /* exchanges that began under it; the current one has its own pin */
	} generations[COUNTED_GENERATIONS];
};

struct release_note {
	uint32_t listener_count;
	uint32_t listeners[CHANNEL_MAX_LISTENERS];
	bool all;                       /* whatever the list says */
	bool empty;                     /* accept what waits there first */
};

struct message {
	uint32_t type;
	uint32_t bytes;                 /* of the body */
	uint64_t generation;
	union {
		struct socket_note sockets[CHANNEL_MAX_FDS];
		struct prepare_note prepare;
		struct slot_set cover;
		struct drain_note drain;
		struct logs_note logs;
		struct reopened_note reopened;
		struct release_note release;
		struct hand_note hand;
		struct count_note count;
		struct list_note list;
		char text[ERR_TEXT_BYTES];
	} body;
};

/* Descriptors that came with a message. Whoever receives owns them; channel_drop closes what was not
 * taken. */
struct message_fds {
	int at[CHANNEL_MAX_FDS];
	unsigned count;
};

void channel_drop(struct message_fds *fds);

/* A pair of connected ends, CLOEXEC and non-blocking. */
bool channel_pair(int ends[2], struct err *err);

/* Sends one whole message; `fds` (may be NULL) stay the caller's. False with `err`: the other end is gone, or
 * has not read for so long that the buffer is full. */
bool channel_send(int fd, const struct message *message, const int *fds, unsigned count, struct err *err);

/* The same for a message without a body. */
bool channel_tell(int fd, enum message_type type, uint64_t generation, struct err *err);

/* Sends a message that is worth nothing beside an older one: only when the other side has read all there was.
 * One that does not read must not have its channel filled by hints. */
void channel_hint(int fd, enum message_type type);

enum channel_result { CHANNEL_MESSAGE, CHANNEL_EMPTY, CHANNEL_END };

/* Receives one message: CHANNEL_MESSAGE only for one of a known type whose body has the length that its type
 * says. Anything else (a truncated one, a wrong one) counts as the end: the other side is broken. A
 * receiver without free descriptors gets the message with none of those that came with it. */
enum channel_result channel_receive(int fd, struct message *message, struct message_fds *fds);

#endif
