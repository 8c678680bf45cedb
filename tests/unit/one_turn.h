/* A turn of a loop for tests that have no server of their own. */
#ifndef UNIT_ONE_TURN_H
#define UNIT_ONE_TURN_H

#include "base/loop.h"

/* Waits for something to happen, at most 10 seconds, and handles it; nothing at all fails the test. */
void one_turn(struct loop *loop);

#endif
