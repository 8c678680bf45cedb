/* metrics.c - adding up what workers measured.  Called by whoever shows it; cannot fail. What is read was
 * written by somebody else: numbers, and nothing follows from them. */
#include "metrics.h"

static void buckets_add(uint64_t sum[METRICS_BUCKETS], const uint64_t more[METRICS_BUCKETS])
{
	for (unsigned i = 0; i < METRICS_BUCKETS; i++)
		sum[i] += more[i];
}

void tally_add(struct tally *sum, const struct tally *more)
{
	for (unsigned i = 0; i < METRICS_CLASSES; i++)
		sum->requests[i] += more->requests[i];
	sum->bytes += more->bytes;
	sum->duration_ns += more->duration_ns;
	buckets_add(sum->latency, more->latency);
}

void turns_add(struct turns *sum, const struct turns *more)
{
	sum->count += more->count;
	sum->busy_ns += more->busy_ns;
	buckets_add(sum->duration, more->duration);
}

/* Where in the bucket the share lies is not known: in proportion. */
static uint64_t within(unsigned bucket, uint64_t before, uint64_t in, uint64_t wanted)
{
	uint64_t from = bucket == 0 ? 0 : metrics_bound_ns(bucket - 1), to = metrics_bound_ns(bucket);

	if (to == UINT64_MAX)
		return from;
	return from + (uint64_t)((double)(to - from) * (double)(wanted - before) / (double)in);
}

uint64_t metrics_percentile_ns(const uint64_t buckets[METRICS_BUCKETS], unsigned permille)
{
	uint64_t all = 0, before = 0, wanted;

	for (unsigned i = 0; i < METRICS_BUCKETS; i++)
		all += buckets[i];
	wanted = all / 1000 * permille + all % 1000 * permille / 1000;
	for (unsigned i = 0; i < METRICS_BUCKETS; i++) {
		if (buckets[i] > 0 && before + buckets[i] >= wanted)
			return within(i, before, buckets[i], wanted);
		before += buckets[i];
	}
	return 0;
}
