/* Listening sockets are let go, without whoever waits there being lost. */
#ifndef MASTER_RELEASE_H
#define MASTER_RELEASE_H

#include "base/clock.h"
#include "base/timer.h"

#include <stdbool.h>
#include <stdint.h>

struct child;
struct master;

/* How long handshakes that had begun may take to be completed when a socket is let go: a long round trip. */
#define RELEASE_SETTLE_NS (250 * CLOCK_MS)

/* Listening sockets being let go: see release.c. */
struct release {
	uint64_t number;                /* of the last one */
	bool all;                       /* the service stops; else what is not configured any more */
	bool told;                      /* workers were; until the sockets are closed here */
	struct timer timer;
	void (*done)(struct master *master);    /* NULL: none is under way */
};

/* Begins to let listening sockets go, all or those that are not configured any more: `done` is called when no
 * worker holds them, at most some seconds later. One that is under way is replaced by it. */
void release_begin(struct master *master, bool all, uint64_t settle_ns, void (*done)(struct master *master));
void release_child_done(struct child *child, uint64_t number);
/* It died: nobody waits for it. */
void release_child_died(struct child *child);
void release_cancel(struct master *master);

#endif
