/* At which listening sockets somebody waits: see arrivals.c. */
#ifndef MASTER_ARRIVALS_H
#define MASTER_ARRIVALS_H

#include <stdbool.h>

struct listen_socket;
struct master;

/* Watches all sockets that listen and are not watched yet. */
void arrivals_watch(struct master *master);
/* The socket is about to be let go, or passed on. */
void arrivals_unwatch(struct master *master, struct listen_socket *socket);
/* Notes in each slot whether somebody waits there. True: somebody does at a socket that is everybody's. Those
 * that are armed had nobody. */
bool arrivals_poll(struct master *master);
/* Arms those that nobody waits at. */
void arrivals_arm(struct master *master);
/* Are there any that say nothing by themselves? */
bool arrivals_are_polled(const struct master *master);
/* Frees what was let go in this turn; and at the end, everything. */
void arrivals_sweep(struct master *master);
void arrivals_close(struct master *master);

#endif
