/* Connections go from workers that leave to those that follow. */
#ifndef MASTER_HANDOVER_H
#define MASTER_HANDOVER_H

#include "base/list.h"
#include "base/timer.h"
#include "ipc/channel.h"

#include <stdint.h>

struct child;
struct master;

/* Connections go from old workers to new ones: see handover.c. */
struct handover {
	uint64_t number;                /* of the last pair */
	struct timer retry;             /* one could not be made */
	struct list departures;         /* see departure.c */
};

/* Connects those that leave with those that follow; to be called when somebody began to serve or to leave. */
void handover_arrange(struct master *master);
/* The slot whose worker gets the connections of a child that leaves. */
unsigned handover_slot(const struct child *child);
/* The child says that its pair with a receiver has ended; that a receiver is silent. */
void handover_parted(struct child *child, const struct hand_note *with);
void handover_unheard(const struct child *child, const struct hand_note *of);
/* It is no more: nobody hands over to it. */
void handover_forget(const struct child *gone);

#endif
