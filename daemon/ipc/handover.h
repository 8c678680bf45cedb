/* The handover channel: a SEQPACKET pair between two workers, made by the master for one handover. Clients'
 * bytes never pass the master.
 *
 * sender -> receiver			receiver -> sender
 *	BATCH	n, records and descriptors	CREDIT	how many descriptors it has room for, in all
 *					ACK	n, which of its records were declined
 *					REFUSE	it understands none of it: its own version is in the head
 *
 * The sender's rules: at most CHANNEL_MAX_FDS descriptors and HANDOVER_MAX_BYTES a batch, HANDOVER_WINDOW
 * batches unacknowledged, and never more descriptors in all than the credit says. It keeps its own copy of
 * each connection until the ACK of its batch. The receiver acknowledges each batch once, in order; only then
 * it touches a connection of it. Whoever is done closes its end: what was not acknowledged then is the
 * sender's still. */
#ifndef IPC_HANDOVER_H
#define IPC_HANDOVER_H

#include "channel.h"

#include "base/record.h"

enum {
	HANDOVER_VERSION = 4,           /* of the batches and of the records in them */
	HANDOVER_MAX_BYTES = 192 * 1024,        /* what is left of a kept file, too (file_cache.largest) */
	HANDOVER_WINDOW = 2,
	/* of one record: a batch always has room for one */
	HANDOVER_RECORD_BYTES = HANDOVER_MAX_BYTES - 256,
};

enum handover_type { HANDOVER_BATCH = 1, HANDOVER_CREDIT, HANDOVER_ACK, HANDOVER_REFUSE, HANDOVER_TYPES };

/* The first two are the same in every version. */
struct handover_head {
	uint32_t magic;
	uint16_t version, type;
	uint32_t count;                 /* of records in a BATCH */
	uint32_t bytes;                 /* of what follows the head */
	uint64_t number;                /* BATCH, ACK: from 1; CREDIT: descriptors in all */
};

/* The records of a BATCH that the receiver did not take: a bit each, in their order. */
struct handover_declined {
	uint64_t bits[4];               /* CHANNEL_MAX_FDS at most */
};

static inline bool handover_is_declined(const struct handover_declined *declined, unsigned record)
{
	return (declined->bits[record / 64] >> record % 64 & 1) != 0;
}

static inline void handover_decline(struct handover_declined *declined, unsigned record)
{
	declined->bits[record / 64] |= UINT64_C(1) << record % 64;
}

/* A message, to be sent or as it was received. So large that its owner has one and uses it again. */
struct handover_message {
	struct handover_head head;
	union {
		char bytes[HANDOVER_MAX_BYTES];
		struct handover_declined declined;
	} body;
	int fds[CHANNEL_MAX_FDS];
	unsigned fd_count;
	/* of the one that is read: where handover_next goes on */
	size_t at;
	unsigned next_record;
	unsigned next_fd;               /* in the end: how many were sent, arrived or not */
};

/* ---- a batch, written ---- */

void handover_batch(struct handover_message *message, uint64_t number);

/* Where the next record can be written, with the room that is left. */
struct record handover_room(struct handover_message *message);

/* Adds what was written there, with one descriptor or two (`file_fd` -1: one), which stay the caller's. False
 * when the record is bad or a descriptor too many: the batch is as before. */
bool handover_add(struct handover_message *message, const struct record *record, int fd, int file_fd);

/* ---- a batch, read ---- */

/* The next record and its descriptors, now the caller's. *fd is -1 when they did not all arrive (no room for
 * descriptors here): the record must be declined. False: there is none left, or the rest of the batch is
 * wrong: then `next_record` is below `head.count`, and those from there on must be declined. */
bool handover_next(struct handover_message *message, struct record *record, int *fd, int *file_fd);

/* Closes the descriptors that nobody took. */
void handover_drop(struct handover_message *message);

/* ---- on the wire ---- */

enum handover_sent { HANDOVER_SENT, HANDOVER_FULL, HANDOVER_TOO_MANY, HANDOVER_BROKEN };

/* Sends one whole message. FULL: EAGAIN, wait for writability. TOO_MANY: ETOOMANYREFS or ENOMEM, nothing
 * says when to try again (unix(7)). BROKEN: nobody is there; acknowledgements may still be. */
enum handover_sent handover_send(int fd, const struct handover_message *message);

/* An answer without records. */
enum handover_sent handover_answer(int fd, enum handover_type type, uint64_t number,
				   const struct handover_declined *declined);

enum handover_result { HANDOVER_MESSAGE, HANDOVER_EMPTY, HANDOVER_END, HANDOVER_UNKNOWN };

/* Receives one. Reads on past ECONNRESET, behind which messages may be: END means that nothing follows.
 * UNKNOWN: not understood, for it is of another version, or no message that can be; its descriptors were
 * closed. A receiver says REFUSE to that, a sender takes it for one and reads on to the end. */
enum handover_result handover_receive(int fd, struct handover_message *message);

/* ---- the sender's window: pure ---- */

struct handover_window {
	uint64_t sent, acked;           /* batches */
	uint64_t credit, used;          /* descriptors in all */
};

/* How many descriptors the next batch may have; 0: none can be sent now. */
unsigned handover_window_room(const struct handover_window *window);

void handover_window_sent(struct handover_window *window, unsigned fds);

/* False: the receiver says what cannot be (an ACK for what was not sent or out of order, a smaller credit).
 * It is broken then. */
bool handover_window_acked(struct handover_window *window, uint64_t number);
bool handover_window_credited(struct handover_window *window, uint64_t total);

#endif
