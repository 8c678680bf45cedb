/* What the status service shows, as numbers: all columns of the board added up, once for everybody who asks
 * at the same time.
 *
 * It is made in steps, because there may be thousands of columns. Every number was written by somebody else,
 * and nothing follows from it; texts end where there is room for no more. */
#ifndef SERVICE_STATUS_VIEW_H
#define SERVICE_STATUS_VIEW_H

#include "ipc/board.h"
#include "net/conn.h"

enum {
	VIEW_STEPS = 2,                 /* buckets for each doubling: every second of the board's bounds */
	VIEW_MERGED = METRICS_STEPS / VIEW_STEPS,
	VIEW_BUCKETS = VIEW_STEPS * METRICS_DOUBLINGS + 2,
	VIEW_LISTENERS = 64,            /* addresses; what comes behind them is not shown */
	VIEW_NOBODY = UINT16_MAX,
};

/* What belongs to no site that has a row; no host is called so. */
#define VIEW_OTHER "(other)"

enum view_state { VIEW_NONE, VIEW_BAD, VIEW_SERVING, VIEW_STATES };

extern const char *const view_state_names[VIEW_STATES];

struct view_worker {
	uint32_t pid;
	uint16_t next;                  /* of the same slot; VIEW_NOBODY: none */
	uint64_t generation;
};

struct view_slot {
	enum view_state state;
	uint16_t first;                 /* of its workers */
	uint64_t counters[COUNTERS];    /* of the workers that it has and had */
	uint64_t latency[VIEW_BUCKETS];
	uint64_t turns, busy_ns;
	uint64_t duration[VIEW_BUCKETS];        /* of turns */
};

struct view_site {
	bool used;
	char name[METRICS_SITE_BYTES];
	uint64_t requests[METRICS_CLASSES];
	uint64_t bytes, duration_ns;
	uint64_t latency[VIEW_BUCKETS];
};

struct view_listener {
	char address[ADDR_TEXT_BYTES];
	uint64_t waiting, dropped;
};

struct view {
	const struct engine *engine;
	struct news news;
	uint64_t now_ms, now_mono_ns;
	uint64_t counters[COUNTERS];    /* of all workers there are and were */
	uint64_t latency[METRICS_BUCKETS];      /* of all sites */
	unsigned slot_count, slot_room;
	struct view_slot *slots;        /* slot_count of them */
	struct view_site sites[METRICS_SITES];
	unsigned listener_count;
	struct view_listener listeners[VIEW_LISTENERS];
	unsigned worker_count;
	struct view_worker workers[BOARD_COLUMNS];
	unsigned column, socket;        /* the next ones to be looked at; for view_step alone */
	uint32_t moves;                 /* of the board, when the columns were begun */
	unsigned begun_anew;            /* how often, because it had others then */
	uint64_t begun_ns;              /* the first time */
	bool failed;                    /* out of memory */
};

/* The bound of a bucket, like metrics_bound_ns. */
static inline uint64_t view_bound_ns(unsigned bucket)
{
	return bucket < VIEW_BUCKETS - 1 ? metrics_bound_ns(bucket * VIEW_MERGED) : UINT64_MAX;
}

extern const char *const view_doing_names[DOINGS];

/* How many connections of the slot are doing that; how many of them had work left when a turn ended. */
uint64_t view_doing(const struct view_slot *slot, enum doing doing);
uint64_t view_ready(const struct view_slot *slot);

/* The board's buckets added up to fewer. */
void view_merge(uint64_t sum[VIEW_BUCKETS], const uint64_t fine[METRICS_BUCKETS]);

/* An empty one; NULL when out of memory. */
struct view *view_new(void);

void view_free(struct view *view);

/* Begins anew, by what `engine` sees. */
void view_begin(struct view *view, const struct engine *engine);

/* Looks on until `until_ns` of CLOCK_MONOTONIC, about. True when all was seen, or view->failed. */
bool view_step(struct view *view, uint64_t until_ns);

/* NULL: there is none, in tests. */
static inline const struct board *view_board(const struct view *view)
{
	return view->engine->board;
}

#endif
