/* Lists of the workers' connections, one after the other: see control_connections.c. */
#ifndef MASTER_LISTING_H
#define MASTER_LISTING_H

#include "base/list.h"
#include "base/timer.h"

#include <stdint.h>

struct child;
struct listing_row;

struct listings {
	struct list waiting;            /* askers */
	struct list asking;             /* the one whose list is made; empty: it has left, or there is none */
	struct timer deadline;          /* armed while workers are waited for */
	uint64_t number;                /* of the list */
	struct listing_row *rows;       /* malloc'ed: a worker each */
	unsigned count;
};

/* It says that list `number` is written. */
void listing_child_listed(struct child *child, uint64_t number);
void listing_child_died(struct child *child);

#endif
