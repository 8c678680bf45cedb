/* Out of service: a slot without a worker, or the whole service in the eyes of a load balancer. See
 * hold.c. */
#ifndef MASTER_HOLD_H
#define MASTER_HOLD_H

#include "base/list.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct asker;
struct child;
struct master;
struct slot;

#define HOLD_ALL UINT_MAX

struct hold {
	struct list askers;             /* for the end of a worker, or the beginning of one */
	struct list later;              /* for the end of what is under way */
	bool all;                       /* health routes answer 503 */
	uint64_t since_ns;
};

/* What is asked for, and what there is. */
struct hold_view {
	bool back;                      /* the slot shall come back */
	bool exists, held, serves;      /* the slot */
	bool others;                    /* another one serves */
};

enum hold_verdict {
	HOLD_DO,
	HOLD_IS_SO,                     /* it is so already, and nothing is on its way */
	HOLD_WAIT,                      /* it is so already, but for what is on its way */
	HOLD_NO_SLOT,
	HOLD_LAST,                      /* nobody would serve */
};

/* What to do about it: pure. */
enum hold_verdict hold_decide(const struct hold_view *view);

/* Takes asker->slot out of service or (asker->back) gives it back; HOLD_ALL: health routes answer 503, or 200
 * again. Waits for the end of a transition or of an upgrade. The asker is answered in any case. */
void hold_ask(struct master *master, struct asker *asker);
/* No transition is open any more. */
void hold_continue(struct master *master);
/* The child is about to be forgotten; its column is still its. */
void hold_child_gone(const struct child *child);
/* A worker has the seat of that slot; or could not have it, and is tried again. */
void hold_slot_serves(const struct slot *slot);
void hold_slot_fails(const struct slot *slot);
/* Slots above slot_count are gone, and what was wanted of them. */
void hold_trim(struct master *master);
/* Since when the balancer knows that the service is to leave; 0: it does not. */
uint64_t hold_since_ns(const struct master *master);
void hold_stop(struct master *master);

#endif
