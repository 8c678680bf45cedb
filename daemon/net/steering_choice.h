/* Which slot gets a new connection: of two that the packet's hash picks the healthier and less loaded, if
 * both are bad the next good one in ring order, nobody if none is good.
 *
 * Pure, but for reading memory that others write to: compiled into the kernel's program (steering.bpf.c) and
 * into the tests that explore it. Every number in the hot lines may be a lie of a worker: one that is out of
 * range is cut to its range, and no lie leads anywhere but to another slot.
 *
 * Two picks and not a search for the least loaded: with so little knowledge the herd does not run to the one
 * that looks best, and the cost does not grow with the slots. */
#ifndef NET_STEERING_CHOICE_H
#define NET_STEERING_CHOICE_H

#include "net/hot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	STEERING_NOBODY = HOT_SLOTS,    /* no slot is good: let the kernel's hash choose */
	STEERING_MOST_LOAD = 1 << 29,   /* more than any worker has */
	STEERING_BAD = INT32_MAX,       /* more than any two loads */
	STEERING_ON_ITS_WAY_NS = 1000000000,    /* nobody waits longer for the rest of a handshake */
	/* odd, its bits well mixed (2^32 divided by the golden ratio): the second pick does not follow from
	 * the first, although there is one hash for both */
	STEERING_SPREAD = 0x9e3779b1U,
	/* the hot lines as an array of lines of the cache, which is what the kernel's program sees */
	STEERING_LINE_BYTES = sizeof(struct hot_line),
	STEERING_LINES = sizeof(struct hot) / STEERING_LINE_BYTES,
	STEERING_SEATS_AT = offsetof(struct hot, seat) / STEERING_LINE_BYTES,
	STEERING_LINES_AT = offsetof(struct hot, line) / STEERING_LINE_BYTES,
};

/* What is searched, and for how long by the clock a worker has to be busy until it counts as stalled. */
struct steering_search {
	void *hot;                      /* for steering_at */
	uint64_t now_ns;
	uint64_t stall_ns;
	uint32_t slots;                 /* 1 to HOT_SLOTS */
	uint32_t first;                 /* the first pick */
	uint32_t found;                 /* STEERING_NOBODY until there is one */
};

/* Two things are the kernel's own there; steering.bpf.c has defined them before it includes this.
 *
 * steering_at: the `number`-th line of the hot lines. The kernel looks it up in a map, element by element:
 * with an index of its own a program of somebody who has nothing but CAP_BPF takes the verifier 36 ms.
 *
 * STEERING_LOOP: calls `step(number, search)` for 0, 1 ... count - 1 until it returns other than 0. A
 * plain loop over 1,024 slots takes the verifier 198 ms, bpf_loop 0.4 ms. */
#ifndef __bpf__
static inline void *steering_at(void *hot, uint32_t number)
{
	return (char *)hot + (size_t)number * STEERING_LINE_BYTES;
}

#define STEERING_LOOP(count, step, search)                                             \
	do {                                                                           \
		for (uint32_t number = 0; number < (count); number++)                  \
			if (step(number, search) != 0)                                 \
				break;                                                 \
	} while (0)
#endif

/* 0 is never; a time in the future is one that this CPU's clock has not seen yet. */
static inline bool steering_is_longer(uint64_t since_ns, uint64_t now_ns, uint64_t limit_ns)
{
	return since_ns != 0 && since_ns < now_ns && now_ns - since_ns > limit_ns;
}

static inline bool steering_is_good(const struct steering_search *search, const struct hot_seat *seat,
				    const struct hot_line *line)
{
	uint64_t busy_since_ns = *(const volatile uint64_t *)&line->busy_since_ns;

	return seat->good != 0 && line->holding == 0 &&
	       !steering_is_longer(busy_since_ns, search->now_ns, search->stall_ns);
}

static inline uint64_t steering_cut(uint64_t load)
{
	return load < STEERING_MOST_LOAD ? load : STEERING_MOST_LOAD;
}

/* Those directed to it since its queues were seen empty. What never got so far, or was rescued, is forgiven
 * with the next empty queue, or when nobody was directed to it for a while: others with less to do would get
 * all, and it not even the one with which it looks. */
static inline uint64_t steering_on_their_way(const struct steering_search *search,
					     const struct hot_seat *seat, const struct hot_line *line)
{
	uint64_t directed = *(const volatile uint64_t *)&seat->directed;
	uint64_t taken = *(const volatile uint64_t *)&line->taken;
	uint64_t last_ns = *(const volatile uint64_t *)&seat->directed_ns;

	if (directed <= taken || steering_is_longer(last_ns, search->now_ns, STEERING_ON_ITS_WAY_NS))
		return 0;
	return directed - taken;
}

/* The less the better; STEERING_BAD: none for this one. */
static inline uint64_t steering_weigh(const struct steering_search *search, uint32_t slot)
{
	const struct hot_seat *seat = steering_at(search->hot, STEERING_SEATS_AT + slot);
	const struct hot_line *line;
	uint32_t number;

	if (!seat)
		return STEERING_BAD;
	number = *(const volatile uint32_t *)&seat->line & (HOT_LINES - 1);
	line = steering_at(search->hot, STEERING_LINES_AT + number);
	if (!line || !steering_is_good(search, seat, line))
		return STEERING_BAD;
	return steering_cut(line->open) + steering_cut(steering_on_their_way(search, seat, line));
}

/* One step round the ring, the `number`-th from the first pick's neighbour. */
static inline long steering_step(uint32_t number, void *context)
{
	struct steering_search *search = context;
	uint32_t slot = search->first + 1 + number;

	if (slot >= search->slots)
		slot -= search->slots;
	if (steering_weigh(search, slot) == STEERING_BAD)
		return 0;
	search->found = slot;
	return 1;
}

static inline uint32_t steering_first_pick(uint32_t hash, uint32_t slots)
{
	return (uint32_t)((uint64_t)hash * slots >> 32);
}

/* Any but `first`, all equally likely; the same when there is no other. */
static inline uint32_t steering_second_pick(uint32_t hash, uint32_t slots, uint32_t first)
{
	uint32_t pick = steering_first_pick(hash * STEERING_SPREAD, slots - 1);

	pick += pick >= first;
	return pick < slots ? pick : first;
}

/* Of a and b, or STEERING_NOBODY when both are bad. */
static inline uint32_t steering_better_of(const struct steering_search *search, uint32_t a, uint32_t b)
{
	uint64_t of_a = steering_weigh(search, a), of_b = steering_weigh(search, b);

	if (of_b < of_a)
		return b;
	return of_a == STEERING_BAD ? STEERING_NOBODY : a;
}

/* The slot for a connection whose packet has this hash, or STEERING_NOBODY. */
static inline uint32_t steering_choose(void *hot, uint32_t hash, uint64_t now_ns)
{
	const struct hot *head = steering_at(hot, 0);
	struct steering_search search = { .hot = hot, .now_ns = now_ns, .found = STEERING_NOBODY };
	uint32_t slots;

	if (!head)
		return STEERING_NOBODY;
	slots = *(const volatile uint32_t *)&head->slots;
	search.slots = slots < HOT_SLOTS ? slots : HOT_SLOTS;
	search.stall_ns = head->stall_ns;
	if (search.slots == 0)
		return STEERING_NOBODY;
	search.first = steering_first_pick(hash, search.slots);
	search.found = steering_better_of(&search, search.first,
					  steering_second_pick(hash, search.slots, search.first));
	if (search.found != STEERING_NOBODY)
		return search.found;
	STEERING_LOOP(search.slots - 1, steering_step, &search);
	return search.found;
}

#endif
