/* Timers in a hierarchical wheel: arm, cancel and fire are O(1), and an idle wheel needs no tick.
 *
 * A timer never fires early; it fires at most one tick (4 ms) and the loop's own delay late. */
#ifndef BASE_TIMER_H
#define BASE_TIMER_H

#include "list.h"

#include <stdint.h>

enum {
	TIMER_TICK_SHIFT = 22,          /* 2^22 ns = 4.2 ms */
	TIMER_LEVELS = 6,               /* 64^6 ticks: about nine years */
	TIMER_SLOTS = 64,
};

struct timer {
	struct list link;
	uint64_t due_ns;
	void (*fire)(struct timer *timer, uint64_t now_ns);
};

struct timers {
	uint64_t tick;                  /* all ticks up to and including this one have fired */
	uint64_t occupied[TIMER_LEVELS];/* a bit per slot that may have timers */
	struct list slots[TIMER_LEVELS][TIMER_SLOTS];
};

/* An empty wheel whose time begins at `now_ns`. */
void timers_init(struct timers *timers, uint64_t now_ns);

/* Arms `timer` (its `fire` set by the caller) for `due_ns`, moving it when it is armed already.  The timer
 * belongs to the caller and must stay in place until it has fired or was cancelled. */
void timer_arm(struct timers *timers, struct timer *timer, uint64_t due_ns);

/* Disarms; harmless on a timer that is zeroed, fired or cancelled. */
void timer_cancel(struct timer *timer);

static inline bool timer_armed(const struct timer *timer)
{
	return list_linked(&timer->link);
}

/* Fires every timer that is due at `now_ns`.  A timer may arm or cancel any timer, itself included. */
void timers_run(struct timers *timers, uint64_t now_ns);

/* When timers_run has something to do next; UINT64_MAX when nothing is armed.  May be early for a timer far
 * ahead (at most once per level), never late. */
uint64_t timers_next_ns(struct timers *timers);

#endif
