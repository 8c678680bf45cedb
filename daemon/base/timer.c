/* timer.c - a hierarchical timing wheel (Varghese and Lauck, 1987).  Called by the loop; cannot fail.
 *
 * Level L has 64 slots of 64^L ticks each.  A timer sits in the lowest level whose span holds it, counted
 * from the current tick, and sinks a level each time the slot it is in comes up.  A bit per slot tells
 * which slots may be occupied, so the next one is found without walking.  A cancelled timer leaves its bit
 * set: the bit is dropped when somebody looks.
 */
#include "timer.h"

enum { SLOT_BITS = 6, SLOT_MASK = TIMER_SLOTS - 1 };

void timers_init(struct timers *timers, uint64_t now_ns)
{
	timers->tick = now_ns >> TIMER_TICK_SHIFT;
	for (unsigned level = 0; level < TIMER_LEVELS; level++) {
		timers->occupied[level] = 0;
		for (unsigned slot = 0; slot < TIMER_SLOTS; slot++) {
			list_init(&timers->slots[level][slot].own);
			list_init(&timers->slots[level][slot].lean);
		}
	}
	timers->fire_lean = NULL;
}

/* Never early: the first whole tick at or after `due_ns`, and never one that has passed. */
static uint64_t tick_of(const struct timers *timers, uint64_t due_ns)
{
	uint64_t tick = (due_ns >> TIMER_TICK_SHIFT) + 1;

	return tick > timers->tick ? tick : timers->tick + 1;
}

/* The slot for one that is due then; the caller puts it in. */
static struct timer_slot *place(struct timers *timers, uint64_t due_ns)
{
	uint64_t tick = tick_of(timers, due_ns);
	uint64_t furthest = timers->tick + (UINT64_C(1) << (SLOT_BITS * TIMER_LEVELS)) - 1;
	uint64_t differing, slot;
	unsigned level;

	if (tick > furthest)
		tick = furthest;        /* looked at again when it comes up */
	/* The highest group of six bits in which the two differ: below it the timer's slot lies ahead. */
	differing = tick ^ timers->tick;
	level = (63 - (unsigned)__builtin_clzll(differing)) / SLOT_BITS;
	if (level >= TIMER_LEVELS)      /* the carry out of the top level: its last slot is far enough */
		level = TIMER_LEVELS - 1;
	slot = tick >> (SLOT_BITS * level) & SLOT_MASK;
	timers->occupied[level] |= UINT64_C(1) << slot;
	return &timers->slots[level][slot];
}

void timer_arm(struct timers *timers, struct timer *timer, uint64_t due_ns)
{
	list_remove(&timer->link);
	timer->due_ns = due_ns;
	list_push_back(&place(timers, due_ns)->own, &timer->link);
}

void timer_arm_lean(struct timers *timers, struct lean_timer *timer, uint64_t due_ns)
{
	list_remove(&timer->link);
	timer->due_ns = due_ns;
	list_push_back(&place(timers, due_ns)->lean, &timer->link);
}

static bool is_empty(const struct timer_slot *slot)
{
	return list_empty(&slot->own) && list_empty(&slot->lean);
}

/* The tick at which the first occupied slot of `level` comes up; UINT64_MAX when none is. */
static uint64_t level_next(struct timers *timers, unsigned level)
{
	unsigned shift = SLOT_BITS * level;
	uint64_t turn = timers->tick >> shift;
	unsigned here = (unsigned)(turn & SLOT_MASK);

	while (timers->occupied[level] != 0) {
		uint64_t bits = timers->occupied[level];
		uint64_t ahead = bits >> here >> 1 << here << 1; /* two shifts: one by 64 is undefined */
		unsigned slot = (unsigned)__builtin_ctzll(ahead != 0 ? ahead : bits);

		if (is_empty(&timers->slots[level][slot])) {
			timers->occupied[level] &= ~(UINT64_C(1) << slot);
			continue;
		}
		turn += (slot - here - 1u) % TIMER_SLOTS + 1u;
		return turn << shift;
	}
	return UINT64_MAX;
}

static uint64_t next_tick(struct timers *timers)
{
	uint64_t first = UINT64_MAX;

	for (unsigned level = 0; level < TIMER_LEVELS; level++) {
		uint64_t tick = level_next(timers, level);

		if (tick < first)
			first = tick;
	}
	return first;
}

uint64_t timers_next_ns(struct timers *timers)
{
	uint64_t tick = next_tick(timers);

	return tick == UINT64_MAX ? UINT64_MAX : tick << TIMER_TICK_SHIFT;
}

/* What is due fires, the rest sinks. */
static void run_own(struct timers *timers, struct list *due, uint64_t now_ns)
{
	for (struct list *link = list_pop_front(due); link != NULL; link = list_pop_front(due)) {
		struct timer *timer = LIST_ENTRY(link, struct timer, link);

		if (timer->due_ns <= now_ns)
			timer->fire(timer, now_ns);
		else
			list_push_back(&place(timers, timer->due_ns)->own, link);
	}
}

static void run_lean(struct timers *timers, struct list *due, uint64_t now_ns)
{
	for (struct list *link = list_pop_front(due); link != NULL; link = list_pop_front(due)) {
		struct lean_timer *timer = LIST_ENTRY(link, struct lean_timer, link);

		if (timer->due_ns <= now_ns)
			timers->fire_lean(timer, now_ns);
		else
			list_push_back(&place(timers, timer->due_ns)->lean, link);
	}
}

/* Empties every slot that comes up at the current tick: fires what is due, lets the rest sink. */
static void run_tick(struct timers *timers, uint64_t now_ns)
{
	struct timer_slot due;

	list_init(&due.own);
	list_init(&due.lean);
	for (unsigned level = 0; level < TIMER_LEVELS; level++) {
		unsigned shift = SLOT_BITS * level;
		uint64_t slot = timers->tick >> shift & SLOT_MASK;

		if (level > 0 && (timers->tick & ((UINT64_C(1) << shift) - 1)) != 0)
			break;
		timers->occupied[level] &= ~(UINT64_C(1) << slot);
		list_move_all(&due.own, &timers->slots[level][slot].own);
		list_move_all(&due.lean, &timers->slots[level][slot].lean);
	}
	run_own(timers, &due.own, now_ns);
	run_lean(timers, &due.lean, now_ns);
}

void timers_run(struct timers *timers, uint64_t now_ns)
{
	uint64_t now_tick = now_ns >> TIMER_TICK_SHIFT;

	if (now_tick <= timers->tick)   /* whatever is armed is for a later one */
		return;
	for (uint64_t tick = next_tick(timers); tick <= now_tick; tick = next_tick(timers)) {
		timers->tick = tick;
		run_tick(timers, now_ns);
	}
	timers->tick = now_tick;
}
