/* How long the turns of a loop take: what an event that has come waits at most before it is looked at. */
#ifndef IPC_METER_H
#define IPC_METER_H

#include "metrics.h"

#include "base/loop.h"

struct meter {
	struct turn_end hook;
	struct loop *loop;
	struct turns *turns;
	uint64_t *ready;
};

/* From now on every turn of `loop` is counted in `turns`, and `*ready` says what is left of the ready lists
 * when it ends: how many had been on them when it began, 0 where nothing is left. To be called when all
 * other hooks of the loop are there: what they do is part of a turn. */
void meter_begin(struct meter *meter, struct loop *loop, struct turns *turns, uint64_t *ready);

#endif
