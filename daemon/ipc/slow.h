/* The last slow requests of each slot: on the board, so that they are there after the worker is gone and
 * while it hangs. Written when an answer is over that took at least log.slow; several workers of a slot
 * (one of them drains) may write at once. What clients sent is in there: the master passes it on unread
 * (control_slow.c), droverctl escapes it. */
#ifndef IPC_SLOW_H
#define IPC_SLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SLOW_VERSION = 1,               /* of the file that droverctl gets */
	SLOW_SLOTS = 1024,              /* CHANNEL_MAX_SLOTS */
	SLOW_ENTRIES = 32,              /* of a slot */
	SLOW_CLIENT_BYTES = 56,
	SLOW_HOST_BYTES = 64,
	SLOW_REQUEST_BYTES = 128,
};

/* A request. Texts end before the first zero byte, or fill their place. */
struct slow_entry {
	uint64_t number;                /* of the ring, from 1 on; 0: none, or it is just being written */
	uint64_t at_ms;                 /* its answer was over then, of the clock on the wall */
	uint64_t duration_ns;           /* from the beginning of its head to the last byte of the answer */
	uint64_t waited_ns;             /* of it, until the answer was there; 0: that is not known */
	uint64_t bytes;                 /* of the answer, its head included */
	uint32_t status, pid, slot;     /* slot: for the reader, see slow_read */
	uint32_t cut;                   /* not 0: the answer was not sent to its end */
	char client[SLOW_CLIENT_BYTES], host[SLOW_HOST_BYTES], request[SLOW_REQUEST_BYTES];
};

struct slow_ring {
	uint64_t last;                  /* the newest one's number; 0: nobody has written here */
	struct slow_entry at[SLOW_ENTRIES];     /* each at its number modulo that */
};

/* In front of the entries in a file. */
struct slow_head {
	uint32_t version, entry_bytes, count, unused;
};

/* By a worker; `entry->number` is not looked at. */
void slow_put(struct slow_ring *ring, const struct slow_entry *entry);

/* Copies what is in the ring of `slot`, in no order, and returns how many there are. None of it was looked
 * at. */
size_t slow_read(const struct slow_ring *ring, uint32_t slot, struct slow_entry entries[SLOW_ENTRIES]);

/* Reads number `index` of a file that has `head`. Every text is terminated. False: there is none. */
bool slow_entry_at(int fd, const struct slow_head *head, unsigned index, struct slow_entry *entry);

/* Reads a head that makes sense; false for any other. */
bool slow_head_of(int fd, struct slow_head *head);

#endif
