/* What clients.* says of a request and of its answer: how many a client may make, and how fast it is sent. */
#ifndef HTTP_LIMITS_H
#define HTTP_LIMITS_H

#include "config/generation.h"
#include "net/conn.h"

struct exchange;

/* What an exchange that is sent owes to its client's bandwidth. */
struct pace {
	struct timer timer;             /* wakes whoever sends, at resume_ns */
	uint64_t resume_ns;             /* before that nothing is sent */
	uint64_t paid;                  /* bytes that may be sent then, for they were taken from its share */
};

enum { PACE_MOST_BYTES = 128 * 1024 };  /* that are ever paid at once */

/* The stage: 0, or STAGE_ANSWERED with 429 and Retry-After. */
unsigned limits_request(struct exchange *exchange);

/* The same as limits_room where there is a limit. */
size_t limits_pay(struct exchange *exchange, uint64_t wanted);

/* How many of `wanted` bytes of the answer may be sent now, by the limits of now, also if it began under
 * others. 0: none, and exchange_resume is called when it is time. SIZE_MAX: there is no limit. */
static inline size_t limits_room(struct exchange *exchange, const struct engine *engine, uint64_t wanted)
{
	const struct quota_rules *rules = engine->quota_rules;

	if ((rules->limits[QUOTA_ADDRESS].bandwidth | rules->limits[QUOTA_NETWORK].bandwidth) == 0)
		return SIZE_MAX;
	return limits_pay(exchange, wanted);
}

/* Whether any request, or any answer, has to be held against a limit. */
static inline bool limits_any(const struct engine *engine)
{
	const struct quota_limit *now = engine->quota_rules->limits;
	const struct quota_limit *new = engine->generation->quota.limits;

	return (now[QUOTA_ADDRESS].bandwidth | now[QUOTA_NETWORK].bandwidth | new[QUOTA_ADDRESS].request_ns |
		new[QUOTA_NETWORK].request_ns) != 0;
}

/* So many were sent. */
static inline void limits_sent(struct pace *pace, size_t bytes)
{
	pace->paid -= bytes < pace->paid ? bytes : pace->paid;
}

#endif
