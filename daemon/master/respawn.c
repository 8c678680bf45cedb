/* respawn.c - when a slot gets its next worker.
 *
 * Pure: no system call, no clock, no allocation. Called by slots.c.
 *
 * One that served is followed at once: what killed it was a request, a person or the kernel's want of memory,
 * and the slot shall serve again. One that dies as soon as it serves is followed after a pause that doubles:
 * something kills it by and by, and forking for that alone would take the machine from the others. But where
 * nobody serves, a pause is an outage, and it is never long: 100 ms after a worker that served, for the next
 * one can answer somebody, too; a second after one that could not even start, because what is missing then
 * (memory, a directory, a user) does not come back sooner for being asked ten times. */
#include "respawn.h"

enum { FIRST_MS = 100, DOUBLINGS = 8, SERVED_LONGEST_MS = 100, STARTED_LONGEST_MS = 1000 };

uint64_t respawn_longest_ms(bool came)
{
	return came ? SERVED_LONGEST_MS : STARTED_LONGEST_MS;
}

struct respawn respawn_decide(const struct respawn_view *view)
{
	unsigned doublings = view->failures < DOUBLINGS ? view->failures : DOUBLINGS;
	uint64_t after_ms = (uint64_t)FIRST_MS << doublings;
	uint64_t longest_ms = respawn_longest_ms(view->came);

	if (view->came && view->served_ms >= RESPAWN_SERVED_MS)
		return (struct respawn){ 0, 0 };
	if (!view->others && after_ms > longest_ms)
		after_ms = longest_ms;
	return (struct respawn){ after_ms, view->failures + 1 };
}
