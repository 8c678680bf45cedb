/* Another binary takes over, in place. */
#ifndef MASTER_UPGRADE_H
#define MASTER_UPGRADE_H

#include "asker.h"
#include "state.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct child;
struct master;

/* CHECKING: in the old image. RESUMING, REPLACING: in the one that follows, or that is back. */
enum upgrade_phase { UPGRADE_IDLE, UPGRADE_CHECKING, UPGRADE_RESUMING, UPGRADE_REPLACING };

/* Another binary takes over: see upgrade.c. */
struct upgrade {
	enum upgrade_phase phase;
	bool wanted;                    /* when what is under way has ended */
	struct list askers;
	struct asker replaced;          /* the new image's, for its transition */
	struct state state;             /* that the image before left, while there is a way back */
	uint64_t began_ns;
	uint64_t good, bad;
	bool last_good;
	struct timespec last_at;        /* zero: there was none */
	char last[ERR_TEXT_BYTES];      /* what came of it */
	char from[32];                  /* the version before */
};

/* Begins an upgrade, when nothing else is under way. `asker` (may be NULL) is answered in any case, though
 * perhaps by another image. */
void upgrade_ask(struct master *master, struct asker *asker);
/* Begins one that waits, if nothing is under way; true: it did. */
bool upgrade_continue(struct master *master);
/* In the new image, or in the old one that is back, when its state is there. */
void upgrade_go_on(struct master *master);
/* A worker was told to serve and does not say that it does: as long as there is a way back, it is taken. */
void upgrade_child_late(const struct child *child);
void upgrade_stop(struct master *master);

#endif
