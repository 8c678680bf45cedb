/* Log files are opened anew, here and in every worker. */
#ifndef MASTER_REOPEN_H
#define MASTER_REOPEN_H

#include "base/err.h"
#include "base/list.h"
#include "base/timer.h"

#include <stdbool.h>
#include <stdint.h>

struct asker;
struct child;
struct master;

/* Log files are being opened anew: the workers have the descriptors and have to say so. */
struct reopening {
	uint64_t number;                /* of the one under way, or the last one */
	bool open, again;               /* again: asked for meanwhile, or during a reload */
	struct list askers, later;      /* as in struct transition */
	struct timer deadline;
	char failure[ERR_TEXT_BYTES];   /* of the first that could not; "": none */
};

/* Opens log files anew, here and in every worker.  `asker` (may be NULL) is answered when all have said so,
 * or when one could not. */
void reopen_ask(struct master *master, struct asker *asker);
void reopen_child_answered(struct child *child, uint64_t number, bool good);
/* It died, or cannot be reached: it does not write to any file any more. */
void reopen_child_gone(struct child *child);
/* A reload is over: one that waited for its end begins. */
void reopen_continue(struct master *master);
void reopen_stop(struct master *master);

#endif
