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

/* One of very many of a kind, which have one `fire` together: struct timers' fire_lean. */
struct lean_timer {
	struct list link;
	uint64_t due_ns;
};

struct timer {
	union {
		struct lean_timer lean;         /* by both names */
		struct {
			struct list link;
			uint64_t due_ns;
		};
	};
	void (*fire)(struct timer *timer, uint64_t now_ns);
};

/* What comes up at a time. */
struct timer_slot {
	struct list own, lean;          /* of struct timer; of struct lean_timer */
};

struct timers {
	uint64_t tick;                  /* all ticks up to and including this one have fired */
	uint64_t occupied[TIMER_LEVELS];/* a bit per slot that may have timers */
	struct timer_slot slots[TIMER_LEVELS][TIMER_SLOTS];
	void (*fire_lean)(struct lean_timer *timer, uint64_t now_ns);   /* NULL: there are none */
};

/* An empty wheel whose time begins at `now_ns`. */
void timers_init(struct timers *timers, uint64_t now_ns);

/* Arms `timer` (its `fire` set by the caller) for `due_ns`, moving it when it is armed already.  The timer
 * belongs to the caller and must stay in place until it has fired or was cancelled. */
void timer_arm(struct timers *timers, struct timer *timer, uint64_t due_ns);
void timer_arm_lean(struct timers *timers, struct lean_timer *timer, uint64_t due_ns);

/* Disarms; harmless on a timer that is zeroed, fired or cancelled. */
static inline void timer_cancel_lean(struct lean_timer *timer)
{
	list_remove(&timer->link);
}

static inline void timer_cancel(struct timer *timer)
{
	timer_cancel_lean(&timer->lean);
}

static inline bool timer_armed_lean(const struct lean_timer *timer)
{
	return list_linked(&timer->link);
}

static inline bool timer_armed(const struct timer *timer)
{
	return timer_armed_lean(&timer->lean);
}

/* Fires every timer that is due at `now_ns`.  A timer may arm or cancel any timer, itself included. */
void timers_run(struct timers *timers, uint64_t now_ns);

/* When timers_run has something to do next; UINT64_MAX when nothing is armed.  May be early for a timer far
 * ahead (at most once per level), never late. */
uint64_t timers_next_ns(struct timers *timers);

#endif
