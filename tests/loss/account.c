/* account.c - outcomes, and how long the good ones took.  Called by asker.c and client.c.  Cannot fail. */
#include "loss/account.h"

#include "base/clock.h"

enum { NS_PER_US = 1000, PERCENT = 100 };

#define SLOW_NS (200 * CLOCK_MS)
#define VERY_SLOW_NS CLOCK_S

static const char *const outcome_names[OUTCOMES] = {
	[GOOD] = "good",
	[REFUSED] = "refused",
	[RESET] = "reset",
	[UNANSWERED] = "unanswered",
	[TRUNCATED] = "truncated",
	[WRONG] = "wrong",
	[STALLED] = "stalled",
	[CROSSED] = "crossed",
	[BEHIND_CLOSE] = "behind_close",
	[IDLE_CLOSED] = "idle_closed",
	[EXPIRED] = "expired",
	[RESET_AFTER] = "reset_after",
	[UNASKED] = "unasked",
};

/* Linear up to BUCKETS_PER_OCTAVE microseconds, then as many buckets for each doubling. */
static unsigned bucket_of(uint64_t us)
{
	unsigned octave = 0, bucket;

	while (us >> octave >= 2 * BUCKETS_PER_OCTAVE)
		octave++;
	bucket = octave * BUCKETS_PER_OCTAVE + (unsigned)(us >> octave);
	return bucket < OCTAVES * BUCKETS_PER_OCTAVE ? bucket : OCTAVES * BUCKETS_PER_OCTAVE - 1;
}

/* The highest time that the bucket stands for. */
static double bucket_ms(unsigned bucket)
{
	unsigned octave = bucket < 2 * BUCKETS_PER_OCTAVE ? 0 : bucket / BUCKETS_PER_OCTAVE - 1;
	uint64_t us = (uint64_t)(bucket - octave * BUCKETS_PER_OCTAVE + 1) << octave;

	return (double)us * NS_PER_US / CLOCK_MS;
}

const char *account_name(enum outcome outcome)
{
	return outcome_names[outcome];
}

void account_good(struct account *account, uint64_t ns)
{
	account->outcomes[GOOD]++;
	account->buckets[bucket_of(ns / NS_PER_US)]++;
	account->slow += ns > SLOW_NS;
	account->very_slow += ns > VERY_SLOW_NS;
	if (ns > account->slowest_ns)
		account->slowest_ns = ns;
}

void account_add(struct account *account, const struct account *other)
{
	account->requests += other->requests;
	account->connections += other->connections;
	account->slow += other->slow;
	account->very_slow += other->very_slow;
	if (other->slowest_ns > account->slowest_ns)
		account->slowest_ns = other->slowest_ns;
	for (unsigned i = 0; i < OUTCOMES; i++)
		account->outcomes[i] += other->outcomes[i];
	for (unsigned i = 0; i < OCTAVES * BUCKETS_PER_OCTAVE; i++)
		account->buckets[i] += other->buckets[i];
}

bool account_balanced(const struct account *account)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < REQUEST_OUTCOMES; i++)
		sum += account->outcomes[i];
	return sum == account->requests;
}

static double percentile_ms(const struct account *account, unsigned percent)
{
	uint64_t seen = 0, wanted = account->outcomes[GOOD] * percent;
	double slowest_ms = (double)account->slowest_ns / CLOCK_MS;

	for (unsigned i = 0; i < OCTAVES * BUCKETS_PER_OCTAVE; i++) {
		seen += account->buckets[i];
		if (seen > 0 && seen * PERCENT >= wanted)
			return bucket_ms(i) < slowest_ms ? bucket_ms(i) : slowest_ms;
	}
	return 0;
}

json_t *account_json(const struct account *account)
{
	json_t *object = json_pack("{s:I, s:I}", "requests", (json_int_t)account->requests, "connections",
				   (json_int_t)account->connections);

	for (unsigned i = 0; i < OUTCOMES; i++)
		json_object_set_new(object, outcome_names[i], json_integer((json_int_t)account->outcomes[i]));
	json_object_set_new(object, "p50_ms", json_real(percentile_ms(account, 50)));
	json_object_set_new(object, "p99_ms", json_real(percentile_ms(account, 99)));
	json_object_set_new(object, "max_ms", json_real((double)account->slowest_ns / CLOCK_MS));
	json_object_set_new(object, "over_200ms", json_integer((json_int_t)account->slow));
	json_object_set_new(object, "over_1s", json_integer((json_int_t)account->very_slow));
	return object;
}
