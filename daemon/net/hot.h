/* The hot lines: memory that the kernel, the master and all workers share, and that the steering program
 * reads whenever a connection begins. Where there is no such program it is the same memory, and rescue reads
 * it.
 *
 * A worker writes its own line, the master the seats, the program what it directed; all by plain stores, and
 * a seat's count by an atomic addition. The line is the worker's and not the slot's, because a slot has two
 * workers for a moment when one follows another; the seat says whose turn it is. What a worker wrote is not
 * trusted: numbers, nothing else.
 *
 * steering.bpf.c includes this too: no type in the first part may depend on the machine. */
#ifndef NET_HOT_H
#define NET_HOT_H

#include <stdint.h>

enum {
	HOT_VERSION = 1,
	HOT_SLOTS = 1024,
	HOT_LINES = 2048,               /* as the board has columns: the same number is the same worker's */
};

/* 64 bytes, a line of the cache: no worker's stores disturb another. */
struct hot_line {
	uint64_t busy_since_ns;         /* CLOCK_MONOTONIC: it handles a batch of events since; 0: it waits */
	uint64_t turn_ns;               /* when it began to handle the last one */
	uint64_t holding;               /* not 0: it accepts nothing, at its limit or out of descriptors */
	uint64_t open;                  /* connections that it has */
	uint64_t taken;                 /* its seat's `directed` when its queues were empty last */
	uint64_t accepted;              /* connections that it accepted, from whatever socket */
	uint64_t unused[2];
};

struct hot_seat {
	uint32_t line;                  /* of the worker that serves */
	uint32_t good;                  /* 0: give it no new connection */
	uint64_t directed;              /* connections that the program chose it for */
	uint64_t directed_ns;           /* when the last of them began */
	uint64_t unused[5];
};

struct hot {
	uint32_t version;
	uint32_t slots;                 /* seats in use */
	uint64_t stall_ns;              /* busy for longer: give it no new connection */
	uint64_t unused[6];
	struct hot_seat seat[HOT_SLOTS];
	struct hot_line line[HOT_LINES];
};

#ifndef __bpf__

#include "base/err.h"

_Static_assert(sizeof(struct hot_line) == 64 && sizeof(struct hot_seat) == 64, "a line of the cache each");

/* Fresh hot lines in memory of their own, for when the kernel has none to give (see steering_memory); *fd
 * gets its descriptor. NULL with `err`. */
struct hot *hot_create(int *fd, struct err *err);

/* Those behind `fd`: a memfd, or a map of the kernel. NULL with `err`. */
struct hot *hot_map(int fd, struct err *err);

void hot_unmap(struct hot *hot);

/* Once: whose it is may change it meanwhile. */
static inline uint64_t hot_read(const uint64_t *value)
{
	return __atomic_load_n(value, __ATOMIC_RELAXED);
}

/* How many connections the program has directed to the seat. */
static inline uint64_t hot_directed(const struct hot_seat *seat)
{
	return hot_read(&seat->directed);
}

#endif
#endif
