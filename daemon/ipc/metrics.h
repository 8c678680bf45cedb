/* What a worker measures besides its counters: for each site the answers by the class of their status, their
 * bytes and how long they took, and how long the turns of its loop take. Every worker has a column of its
 * own on the board (board.h) and writes it by plain stores; whoever shows it adds columns up.
 *
 * Durations are kept in buckets: STEPS of them for each doubling, from METRICS_LEAST_NS on. */
#ifndef IPC_METRICS_H
#define IPC_METRICS_H

#include <stdint.h>

enum {
	METRICS_SITES = 32,             /* rows: one for each site, and METRICS_OTHER */
	METRICS_OTHER = 0,              /* no site, or one for which no row is left */
	METRICS_SITE_BYTES = 64,        /* of a site's name, its end included */
	METRICS_CLASSES = 5,            /* 1xx to 5xx */
	METRICS_STEPS = 4,              /* buckets for each doubling; a power of two */
	METRICS_DOUBLINGS = 20,
	METRICS_LEAST_SHIFT = 15,       /* 2^15 ns, about 33 us: what took less is in the first bucket */
	METRICS_BUCKETS = METRICS_STEPS * METRICS_DOUBLINGS + 2,        /* with those below and above */
};

/* Of the answers of a site. */
struct tally {
	uint64_t requests[METRICS_CLASSES];
	uint64_t bytes;                 /* of heads and bodies, sent */
	uint64_t duration_ns;           /* all of them together */
	uint64_t latency[METRICS_BUCKETS];
};

/* Of the loop's turns. */
struct turns {
	uint64_t count, busy_ns;
	uint64_t duration[METRICS_BUCKETS];
};

struct metrics_column {
	struct tally site[METRICS_SITES];
	struct turns turns;
};

/* The bucket that `ns` belongs to. */
static inline unsigned metrics_bucket(uint64_t ns)
{
	uint64_t steps = ns >> (METRICS_LEAST_SHIFT - 2);       /* below METRICS_STEPS: bucket 0 */
	unsigned doublings, bucket;

	if (steps < METRICS_STEPS)
		return 0;
	doublings = 61U - (unsigned)__builtin_clzll(steps);
	bucket = doublings * METRICS_STEPS + (unsigned)(steps >> doublings) - (METRICS_STEPS - 1);
	return bucket < METRICS_BUCKETS ? bucket : METRICS_BUCKETS - 1;
}

/* What is in the bucket took less than so long; UINT64_MAX for the last one. */
static inline uint64_t metrics_bound_ns(unsigned bucket)
{
	uint64_t octave = bucket / METRICS_STEPS, step = bucket % METRICS_STEPS;

	if (bucket >= METRICS_BUCKETS - 1)
		return UINT64_MAX;
	return ((uint64_t)METRICS_STEPS + step) << (METRICS_LEAST_SHIFT - 2 + octave);
}

/* An answer with this status is over, or was given up. */
static inline void tally_answer(struct tally *tally, unsigned status, uint64_t bytes, uint64_t duration_ns)
{
	unsigned class = status / 100 - 1;

	if (class < METRICS_CLASSES)
		tally->requests[class]++;
	tally->bytes += bytes;
	tally->duration_ns += duration_ns;
	tally->latency[metrics_bucket(duration_ns)]++;
}

/* Adds `more` to `sum`. */
void tally_add(struct tally *sum, const struct tally *more);
void turns_add(struct turns *sum, const struct turns *more);

/* The duration that a share of `permille` of all in the buckets stay below, about; 0 when there are none. */
uint64_t metrics_percentile_ns(const uint64_t buckets[METRICS_BUCKETS], unsigned permille);

#endif
