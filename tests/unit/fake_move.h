/* Connections move between two engines of one loop, as a sender and a receiver would have them do. */
#ifndef FAKE_MOVE_H
#define FAKE_MOVE_H

#include "fake_server.h"

#include "net/move.h"

/* An engine beside the server's, on its loop and with its generation. */
struct fake_second {
	struct engine engine;
	uint64_t counters[COUNTERS];
};

void fake_second_open(struct fake_second *second, struct fake_server *server);

/* Ends all its connections and checks that nothing is left behind; before fake_server_close. */
void fake_second_close(struct fake_second *second);

/* The connection, duplicated, in `to`, where it is yet to be begun; NULL when it cannot be moved
 * (`*moving` is MOVING_NOT) or was not taken.  The first one is frozen; whoever calls says which of the
 * two goes on. */
struct conn *fake_copy(struct conn *conn, struct engine *to, enum moving *moving);

/* Moves it, if it can be moved; what was said must have been taken. */
enum moving fake_move(struct conn *conn, struct engine *to);

/* Moves all that can be; what `from` had of them. */
void fake_move_all(struct engine *from, struct engine *to);

/* The only connection of an engine. */
struct conn *fake_only(struct engine *engine);

/* Makes the boundaries in what the client got alike: no two answers with several parts have the same. */
void fake_mask_boundaries(struct fake_client *one);

#endif
