/* limits.c - a client's requests and bytes are held against what clients.* allows (net/quota.h).
 *
 * The stage is called by exchange.c, the rest by whoever sends an answer. Nothing here fails; a client that
 * has no place in the table has no limit.
 *
 * Bytes are paid for before they are sent, in pieces: each connection of a client has one under way, whose
 * time comes when those of all others that were paid before have been sent. So they take turns, over all
 * workers, and together never send more than the limit and one second's burst. What is paid and not sent,
 * because the connection ends, is lost: a piece at most. */
#include "limits.h"

#include "exchange.h"

#include "base/clock.h"
#include "base/put.h"

#include <string.h>

enum {
	PIECES_A_SECOND = 32,           /* what makes a rate smooth */
	LEAST_BYTES = 512,
	/* Refusals in a row on one connection: a person sees the site's page; a program that goes on is told
	 * so in a few bytes, and in the end by closing, so that what it has sent ahead is not parsed. */
	WITH_A_PAGE = 8,
	MOST_REFUSALS = 100,
	FIELD_BYTES = 40,
};

static bool has_place(const struct quota_places *places)
{
	return places->at[QUOTA_ADDRESS] != 0 || places->at[QUOTA_NETWORK] != 0;
}

/* Whose connection it is has its places already; false: it is for somebody else, or has none. */
static bool places_of_conn(struct exchange *exchange)
{
	union peer client = conn_client(exchange->conn);

	/* all of its bytes are copied from one to the other, or else a header's word:
	 * NOLINTNEXTLINE(bugprone-suspicious-memory-comparison,cert-exp42-c,cert-flp37-c) */
	if (memcmp(&exchange->client, &client, sizeof(client)) != 0)
		return false;
	memcpy(exchange->places.at, exchange->conn->counted_at, sizeof(exchange->places.at));
	return has_place(&exchange->places);
}

/* Where the exchange's client is in the table; looked up once. */
static const struct quota_places *places_of(struct exchange *exchange, const struct quota_rules *rules)
{
	struct engine *engine = exchange->engine;

	if (!exchange->placed && !places_of_conn(exchange) &&
	    !quota_find(engine->quota, rules, &exchange->client, engine->loop->now_ns, &exchange->places))
		engine_count(engine, COUNT_CLIENTS_UNTRACKED);
	exchange->placed = true;
	return &exchange->places;
}

/* ---- requests ---------------------------------------------------------------------------------------- */

/* In whole seconds (RFC 9110, 10.2.3), and not earlier than is true. */
static struct str retry_after(struct exchange *exchange, uint64_t wait_ns)
{
	char *field = arena_alloc(&exchange->arena, FIELD_BYTES), *end;

	if (field == NULL)
		return (struct str){ 0 };
	end = put_text(field, "Retry-After: ");
	end = put_number(end, (wait_ns + CLOCK_S - 1) / CLOCK_S);
	end = put_text(end, "\r\n");
	return (struct str){ field, (size_t)(end - field) };
}

/* How often in a row by now; without memory to know it, as often as it may be. */
static unsigned count_refusal(struct conn *conn)
{
	struct conn_side *side = conn_side_made(conn);

	if (side == NULL)
		return MOST_REFUSALS;
	if (side->refusals < MOST_REFUSALS)
		side->refusals++;
	return side->refusals;
}

static void forget_refusals(const struct conn *conn)
{
	if (conn->has_side)
		conn_side(conn)->refusals = 0;
}

static void refuse(struct exchange *exchange, uint64_t wait_ns)
{
	unsigned refusals = count_refusal(exchange->conn);

	if (refusals <= WITH_A_PAGE)
		exchange_error(exchange, 429);
	else
		exchange->response = (struct response){
			.status = 429, .is_error = true, .length_known = true, .file_fd = -1,
		};
	exchange->response.extra = retry_after(exchange, wait_ns);
	exchange->last = refusals == MOST_REFUSALS;
}

/* Apart, so that a request without a limit saves no registers for it. */
__attribute__((noinline)) static unsigned judge(struct exchange *exchange, const struct quota_rules *rules)
{
	struct engine *engine = exchange->engine;
	struct quota_excess excess;

	excess = quota_request(engine->quota, rules, places_of(exchange, rules), engine->loop->now_ns);
	/* in a turn that took long, what others have let through since then would be owed for as long */
	if (excess.wait_ns > 0)
		excess = quota_request(engine->quota, rules, &exchange->places, loop_clock(engine->loop));
	if (excess.wait_ns == 0) {
		forget_refusals(exchange->conn);
		return 0;
	}
	engine_count(engine, COUNT_LIMITED_REQUESTS);
	quota_say(engine->quota, rules, &exchange->places, &exchange->client, &excess);
	if (rules->dry_run)
		return 0;
	refuse(exchange, excess.wait_ns);
	return STAGE_ANSWERED;
}

unsigned limits_request(struct exchange *exchange)
{
	const struct quota_rules *rules = &exchange->generation->quota;

	if ((rules->limits[QUOTA_ADDRESS].request_ns | rules->limits[QUOTA_NETWORK].request_ns) == 0)
		return 0;
	return judge(exchange, rules);
}

/* ---- bytes ------------------------------------------------------------------------------------------- */

/* Of the lower limit a part of a second: large enough to be worth a call, small enough that others have their
 * turn. */
static uint64_t piece_of(const struct quota_rules *rules)
{
	uint64_t one = rules->limits[QUOTA_ADDRESS].bandwidth, all = rules->limits[QUOTA_NETWORK].bandwidth;
	uint64_t bytes = (one != 0 && (all == 0 || one < all) ? one : all) / PIECES_A_SECOND;

	if (bytes < LEAST_BYTES)
		return LEAST_BYTES;
	return bytes < PACE_MOST_BYTES ? bytes : PACE_MOST_BYTES;
}

static void pay(struct exchange *exchange, const struct quota_rules *rules, uint64_t wanted)
{
	struct engine *engine = exchange->engine;
	uint64_t now_ns = engine->loop->now_ns, piece = piece_of(rules);
	struct pace *pace = &exchange->pace;
	struct quota_excess excess;

	pace->paid = wanted < piece ? wanted : piece;
	excess = quota_sent(engine->quota, rules, places_of(exchange, rules), pace->paid, now_ns);
	if (excess.wait_ns == 0 || now_ns + excess.wait_ns <= loop_clock(engine->loop))
		return;         /* it is over already, if this turn took long */
	engine_count(engine, COUNT_LIMITED_BANDWIDTH);
	quota_say(engine->quota, rules, &exchange->places, &exchange->client, &excess);
	if (!rules->dry_run)
		pace->resume_ns = now_ns + excess.wait_ns;
}

static void go_on(struct timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	exchange_resume(LIST_ENTRY(timer, struct exchange, pace.timer));
}

/* Of who is exempt, or has found no room in the table, no answer is cut into pieces. */
size_t limits_pay(struct exchange *exchange, uint64_t wanted)
{
	const struct quota_rules *rules = exchange->engine->quota_rules;
	struct loop *loop = exchange->engine->loop;
	struct pace *pace = &exchange->pace;

	if (!has_place(places_of(exchange, rules)))
		return SIZE_MAX;
	if (pace->paid == 0)
		pay(exchange, rules, wanted);
	if (pace->resume_ns <= loop->now_ns)
		return pace->paid;
	pace->timer.fire = go_on;
	timer_arm(&loop->timers, &pace->timer, pace->resume_ns);
	return 0;
}
