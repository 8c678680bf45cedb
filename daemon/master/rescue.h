/* Siblings accept what comes to a slot whose worker does not. */
#ifndef MASTER_RESCUE_H
#define MASTER_RESCUE_H

#include "hang.h"
#include "obituary.h"

#include "base/timer.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct master;
struct pollfd;
struct slot;

/* What rescue.c knows of a slot. */
struct slot_rescue {
	struct hang hang;
	pid_t pid;                      /* of the worker that it is about; 0: none */
	bool queued;                    /* at the last look somebody waited at its sockets */
	bool killed;                    /* it is ended because it hung for too long */
	bool told;                      /* that it hangs */
	struct obituary *doing;         /* malloc'ed: what it was doing at doing_ns; NULL: nobody knows */
	uint64_t doing_ns;
	uint64_t rescued_before;        /* by all workers, when it became bad */
};

/* Who accepts what a worker does not: see rescue.c; at which sockets somebody waits: arrivals.c. */
struct rescue {
	struct list watches, dropped;   /* of struct arrival; dropped: freed at the turn's end */
	unsigned count;                 /* of watches */
	struct pollfd *polled;          /* room for all of them */
	struct timer look;              /* armed while there is something to see */
	struct hang_common common;
	bool common_waits;
	uint64_t accepted;              /* by all, at the last look */
};

/* Somebody came, and until this moment nobody waited anywhere: begins to look, if it does not. */
void rescue_begin(struct master *master);
/* Looks now, and goes on looking if there is something to see. */
void rescue_look(struct master *master);
/* Who serves has changed: what was known of those that are gone is over. Called by slots_publish alone. */
void rescue_seats(struct master *master);
/* For how long the slot has been bad; 0: it is not. Connections that siblings accepted since then. */
uint64_t rescue_bad_ns(const struct slot *slot);
uint64_t rescue_count(const struct slot *slot);
/* Does the slot's worker hang, the others accept in its place, and is it ended some time? */
bool rescue_handles(const struct slot *slot);
void rescue_close(struct master *master);

#endif
