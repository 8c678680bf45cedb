/* Children that this image knows nothing of: it did not fork them, or the one before did not hand them on.
 *
 * After a roll-back the workers of the failed image; after an upgrade a checker that the kernel holds. They
 * have no channel to us (workers drain when it ends): they are waited for, killed when they stay too long,
 * and reaped. */
#ifndef MASTER_STRAYS_H
#define MASTER_STRAYS_H

#include <stdbool.h>
#include <sys/types.h>

struct master;

/* Looks for such children once: all that are not in master->children. After the children were restored. */
void strays_find(struct master *master);

/* Is the child somebody's: a worker, its keeper, a checker, a candidate, or a stray that was found? */
bool strays_know(const struct master *master, pid_t pid);

/* The service ends: they are told, it waits for them as for any worker, or kills them. */
void strays_stop(struct master *master);
bool strays_left(const struct master *master);
void strays_kill(struct master *master);

/* Gives back what the master holds of them; at the end. */
void strays_forget(struct master *master);

#endif
