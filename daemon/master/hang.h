/* Does the worker of a slot take what waits for it? Decided from looks that are some milliseconds apart, for
 * rescue.c. Pure: no system call, no clock, no allocation.
 *
 * A look that comes late makes the answer late, never wrong. What a worker says of itself is only ever
 * compared. */
#ifndef MASTER_HANG_H
#define MASTER_HANG_H

#include <stdbool.h>
#include <stdint.h>

/* What one look finds of the worker that serves in a slot. From `holding` on it is what the worker says, and
 * may be anything. */
struct hang_view {
	uint64_t now_ns;
	bool queued;                    /* somebody waits at its sockets */
	bool stopped;                   /* by a signal */
	bool holding;                   /* it must not accept: at its limit, or out of descriptors */
	uint64_t busy_since_ns, turn_ns, accepted;      /* as in struct hot_line */
};

/* What is remembered of the looks before; zeroed: there was none. */
struct hang {
	uint64_t looked_ns;
	uint64_t since_ns;              /* whoever waits came after this */
	uint64_t seen_ns;               /* somebody was seen waiting, and none accepted since; 0: no */
	uint64_t seen_turn_ns;          /* the worker's turn then */
	uint64_t busy_since_ns, turn_ns, accepted;      /* at the last look */
	bool bad;                       /* others accept what comes to the slot */
	bool hung;                      /* and not only because it is at a limit */
	bool certain;                   /* it was stopped, or in one turn for long */
	bool silent;                    /* it has not moved, and who knows why: ask it */
	uint64_t began_ns;              /* of what is bad */
	uint64_t moved_ns;              /* it seems to be good again since then; 0: it does not */
	uint64_t stuck_ns;              /* it was seen not to move for so long */
};

/* One more look. A slot is bad from when its worker is stopped, is in one turn for `stall_ns`, or has
 * accepted nothing for as long although somebody waits; until it has moved again for a while. */
void hang_look(struct hang *hang, const struct hang_view *view, uint64_t stall_ns);

/* Has it stood still for `limit_ns`? 0: never. Time counts only as far as it was looked at: neither a machine
 * nor a master that pauses makes others hang. */
bool hang_is_for(const struct hang *hang, uint64_t limit_ns);

/* When the next look may find something; UINT64_MAX: not before somebody comes, for nobody waits, the worker
 * does, and all is good. */
uint64_t hang_next_ns(const struct hang *hang, uint64_t stall_ns);

/* How far looks are apart while there is something to look at, and the least that they are. */
uint64_t hang_pace_ns(uint64_t stall_ns);
uint64_t hang_least_ns(uint64_t stall_ns);

/* Sockets that are everybody's: the one who was woken may not come (EPOLLEXCLUSIVE in epoll_ctl(2)). */
struct hang_common {
	uint64_t since_ns;              /* whoever waits came after this */
	uint64_t told_ns;               /* the others were last told to look; 0: not since */
};

/* One more look at them. True: somebody waits for long, the others are to be told, again after each
 * `stall_ns`. */
bool hang_common_look(struct hang_common *common, bool queued, uint64_t now_ns, uint64_t stall_ns);

#endif
