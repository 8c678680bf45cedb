/* The end of the service. */
#ifndef MASTER_STOP_H
#define MASTER_STOP_H

#include "base/timer.h"
#include "net/conn.h"

#include <stdbool.h>
#include <stdint.h>

struct child;
struct master;

/* The end of the service: see stop.c. */
struct stop {
	bool draining;                  /* the delay is over */
	bool settled;                   /* sockets that outlive the service may be let go */
	bool at_once;
	bool said;                      /* how it ended was logged */
	struct timer timer;
	uint64_t began_ns;
	uint64_t before[COUNTERS];      /* the sums of all workers when the drain began */
	uint64_t killed;                /* connections of workers that were killed or crashed */
};

/* Graceful (delay, drain, deadline) or at once. */
void master_stop(struct master *master, bool at_once);
/* Ends the loop when nothing is left to wait for. */
void master_check_end(struct master *master);
/* A worker that began to serve learns of it, if health routes are to fail: in the delay, or by droverctl
 * drain all. */
void stop_tell(struct child *child);
/* The same to all, whichever it is. */
void stop_tell_all(struct master *master);
void stop_child_spent(struct child *child);
/* A worker was killed, or crashed: while the service stops nobody follows, and what it had in hand is cut. */
void stop_lost(struct master *master, uint64_t connections);

#endif
