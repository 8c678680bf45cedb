/* Workers that leave: how far they are, and what became of their connections. */
#ifndef MASTER_DEPARTURE_H
#define MASTER_DEPARTURE_H

#include "net/conn.h"

#include <stdint.h>

struct child;
struct master;

/* The kinds of connections that are handed over, counted from COUNT_HANDED_IDLE on. */
enum { PARTING_KINDS = COUNT_HAND_DECLINED - COUNT_HANDED_IDLE };

/* What became of the connections of workers that leave, or has so far. */
struct parting {
	uint64_t connections;           /* that it had when it was told, and that came still */
	uint64_t left;                  /* that it still has */
	uint64_t moved;                 /* the sum of */
	uint64_t handed[PARTING_KINDS];
	uint64_t finished, cut;
};

/* The child is told to drain, for the first time. */
void departure_begin(struct child *child);
/* It had begun in the image before. */
void departure_resume(struct child *child);
/* It is gone; its column of the board is still its. */
void departure_end(struct child *child);
/* A transition is over: says so of those that are complete. */
void departure_check(struct master *master);
/* So far. */
struct parting departure_of(const struct child *child);
/* Of all that leave, and those that left together with them; and how many are still there. */
struct parting departure_sum(const struct master *master, unsigned *workers);
void departure_forget(struct master *master);

#endif
