/* The board: memory that all processes share. Each worker has a column of counters and an epitaph, which it
 * alone writes, by plain stores; the master writes who owns a column. What is read from it is not trusted:
 * numbers and epitaphs, nothing else. (What is read when a connection begins is elsewhere: net/hot.h.)
 *
 * The layout describes itself (a version, the counters' names), so that any process can show all of it. */
#ifndef IPC_BOARD_H
#define IPC_BOARD_H

#include "metrics.h"
#include "news.h"
#include "slow.h"

#include "base/epitaph.h"
#include "base/err.h"

#include <stdint.h>

enum {
	BOARD_VERSION = 8,
	BOARD_COLUMNS = 2048,           /* workers at once, draining ones included */
	BOARD_COUNTERS = 120,
	BOARD_WORDS = 2,                /* with a bit for each counter */
	BOARD_NAME_BYTES = 32,
	BOARD_RETIRED = 0,              /* the column that keeps what workers that are gone had counted */
	BOARD_SLOTS = 1024,             /* CHANNEL_MAX_SLOTS */
	BOARD_NO_SLOT = UINT32_MAX,
};

struct board_column {
	uint32_t pid;                   /* 0: free */
	uint32_t slot;
	uint64_t generation;
	uint64_t messages;              /* its owner's MESSAGE_TYPES: a newer master asks it for no others */
	uint64_t unused[5];
	uint64_t counters[BOARD_COUNTERS];
};

/* The same of one slot, so that what is shown of it goes on when another worker has it. */
struct board_past {
	uint64_t counters[BOARD_COUNTERS];
	struct tally all;               /* rows together */
	struct turns turns;
};

struct board {
	uint32_t version, columns, counters;
	uint32_t moves;                 /* see board_moves */
	uint64_t levels[BOARD_WORDS];   /* which counters are levels */
	char names[BOARD_COUNTERS][BOARD_NAME_BYTES];
	struct board_column column[BOARD_COLUMNS];
	struct epitaph epitaph[BOARD_COLUMNS];  /* of the column's owner */
	struct news news;               /* the master's */
	struct news_ring events;       /* the master's */
	char sites[METRICS_SITES][METRICS_SITE_BYTES];  /* whose rows these are; "": nobody's */
	struct metrics_column metrics[BOARD_COLUMNS];   /* sparse: what nobody wrote takes no memory */
	struct board_past past[BOARD_SLOTS];    /* sparse as well */
	struct slow_ring slow[SLOW_SLOTS];      /* by slot, whoever its worker is; sparse as well */
};

/* Which columns are owned, and whose the rows are: kept by the master for itself, because a worker can write
 * all of the board. */
struct board_owners {
	uint64_t taken[BOARD_COLUMNS / 64];
	unsigned sites;                 /* names: of the rows 1 to `sites` */
	char site[METRICS_SITES][METRICS_SITE_BYTES];
};

/* A fresh, shared board; NULL with `err`. `levels` has the bits of the counters that are levels rather than
 * sums: these are not kept for a worker that is gone. `fd` (may be NULL) gets a descriptor of its memory, for
 * board_resume. */
struct board *board_create(const char *const *names, unsigned counters, const uint64_t levels[BOARD_WORDS],
			   int *fd, struct err *err);

/* The board that the image before this one made, and its workers write on; that it is of this version is the
 * caller's to know. Names its counters anew: there may be more. NULL with `err`. */
struct board *board_resume(int fd, const char *const *names, unsigned counters,
			   const uint64_t levels[BOARD_WORDS], struct err *err);

void board_destroy(struct board *board);

/* A free column, now owned; 0 when all are taken. */
unsigned board_claim(struct board *board, struct board_owners *owners);

/* The column that says to be of process `pid`, as it is and now owned; 0 when there is none that is not owned
 * already. */
unsigned board_claim_of(const struct board *board, struct board_owners *owners, uint32_t pid);

/* Takes a column that is known to be somebody's; false: there is none of that number, or it is taken. */
bool board_take(struct board_owners *owners, unsigned column);

/* How often what a column had was moved to BOARD_RETIRED, twice; odd while that is done. Whoever adds columns
 * up has counted some twice, or not at all, if it is another one afterwards: adding up has to begin anew. (It
 * may be anything, and change all the time, if a worker is broken: not for ever.) */
static inline uint32_t board_moves(const struct board *board)
{
	return __atomic_load_n(&board->moves, __ATOMIC_ACQUIRE);
}

/* Adds the column's sums to BOARD_RETIRED and to the past of `slot` (BOARD_NO_SLOT: that is not known), and
 * frees it. */
void board_retire(struct board *board, struct board_owners *owners, unsigned column, unsigned slot);

/* The row of the site called `name` (its first host, see METRICS_SITE_BYTES); METRICS_OTHER when it has
 * none. */
unsigned board_site(const struct board *board, const char *name);

/* By the master, before a generation is prepared: a row for the site, unless it has one. False: none is left.
 * A row is the same site's for as long as the board lasts. */
bool board_site_add(struct board_owners *owners, const char *name);

/* Only the first `sites` names have a row: those behind them were added for a generation that was not served
 * after all. */
void board_sites_trim(struct board_owners *owners, unsigned sites);

/* Writes the names to the board, where workers look for them. */
void board_sites_publish(struct board *board, const struct board_owners *owners);

/* Adds up what was measured: in the row `site`, of all workers there are and were. */
void board_site_sum(const struct board *board, unsigned site, struct tally *sum);

/* The same in all rows, by the workers that `slot` has and had. */
void board_slot_sum(const struct board *board, unsigned slot, struct tally *sum, struct turns *turns);

/* The sum over all columns. */
uint64_t board_sum(const struct board *board, unsigned counter);

#endif
