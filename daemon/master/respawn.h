/* When the successor of a worker that died is forked: a decision, and nothing else. */
#ifndef MASTER_RESPAWN_H
#define MASTER_RESPAWN_H

#include <stdbool.h>
#include <stdint.h>

/* A worker that has served for so long did not die of being started. */
#define RESPAWN_SERVED_MS 250

/* Until it has served for so long, one whose slot fails is given nobody else's connections: who crashes in a
 * loop would take them along. */
#define RESPAWN_TRUSTED_MS 1000

struct respawn_view {
	bool came;                      /* it came to serve */
	uint64_t served_ms;             /* and served for so long */
	unsigned failures;              /* of the slot before this one, in a row */
	bool others;                    /* some other slot has a worker that serves */
};

struct respawn {
	uint64_t after_ms;
	unsigned failures;              /* of the slot from now on */
};

/* What to do about this death. */
struct respawn respawn_decide(const struct respawn_view *view);

/* The longest that a slot may be without a worker from now on, while nobody serves. */
uint64_t respawn_longest_ms(bool came);

#endif
