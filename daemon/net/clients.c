/* clients.c - who has how many connections, as the engine sees it. Called by conn.c, move.c and
 * proxy_stage.c; by the worker when a generation is adopted. Fails by not counting (clients_untracked). */
#include "clients.h"

#include "base/clock.h"

#include <string.h>

enum { REFUSALS_A_PAUSE = 256 };        /* as those of a full worker: about a fortieth of a CPU */

#define PAUSE_NS (100 * CLOCK_MS)
#define COUNT_PAUSE_NS (20 * CLOCK_MS)

const struct quota_rules clients_without_rules = { .wanted = false };

static void set_places(struct conn *conn, const struct quota_places *places)
{
	conn->counted_at[QUOTA_ADDRESS] = places->at[QUOTA_ADDRESS];
	conn->counted_at[QUOTA_NETWORK] = places->at[QUOTA_NETWORK];
	conn->counted_epoch = places->epoch;
}

/* Before the header has come it is nobody's. */
static bool is_counted(const struct conn *conn)
{
	const struct engine *engine = conn_engine(conn);

	return engine->quota_rules->wanted && engine->quota != NULL && !conn->refused &&
	       conn->speaker == SPEAKER_OWN;
}

static void find(struct conn *conn, struct quota_places *places)
{
	struct engine *engine = conn_engine(conn);
	union peer client = conn_client(conn);

	if (!quota_find(engine->quota, engine->quota_rules, &client, engine->loop->now_ns, places))
		engine_count(engine, COUNT_CLIENTS_UNTRACKED);
}

bool clients_admit(struct conn *conn)
{
	struct engine *engine = conn_engine(conn);
	union peer client = conn_client(conn);
	struct quota_places places, asked;
	struct quota_excess excess;
	bool entered;

	if (!engine->quota_rules->wanted || engine->quota == NULL)
		return true;
	find(conn, &places);
	asked = places;
	entered = quota_enter(engine->quota, engine->quota_rules, &places, false, &excess);
	if (!entered) {
		engine_count(engine, COUNT_LIMITED_CONNECTIONS);
		quota_say(engine->quota, engine->quota_rules, &asked, &client, &excess);
	}
	if (!entered && !engine->quota_rules->dry_run)
		return false;
	set_places(conn, &places);
	return true;
}

static bool is_within_rate(struct engine *engine)
{
	uint64_t now_ns = engine->loop->now_ns;

	if (now_ns - engine->limited_since_ns >= PAUSE_NS) {
		engine->limited_since_ns = now_ns;
		engine->limited_made = 0;
	}
	return engine->limited_made < REFUSALS_A_PAUSE;
}

enum served clients_refuse(struct conn *conn)
{
	struct engine *engine = conn_engine(conn);

	if (engine->protocol->refusal == NULL || engine->refusing >= QUOTA_REFUSALS ||
	    !is_within_rate(engine))
		return SERVED_CLOSE;
	engine->limited_made++;
	conn->limited = true;
	conn_refuse(conn);
	return SERVED_WAIT;
}

void clients_keep(struct conn *conn)
{
	struct quota_places places;
	struct quota_excess excess;

	if (!is_counted(conn))
		return;
	find(conn, &places);
	quota_enter(conn_engine(conn)->quota, conn_engine(conn)->quota_rules, &places, true, &excess);
	set_places(conn, &places);
}

void clients_leave(struct conn *conn)
{
	struct quota_places places = clients_places(conn);

	if (places.at[QUOTA_ADDRESS] == 0 && places.at[QUOTA_NETWORK] == 0)
		return;
	quota_leave(conn_engine(conn)->quota, &places);
	set_places(conn, &(struct quota_places){ 0 });
}

/* Most places are still theirs: a quarter of the time that finding them anew takes. */
static bool add_again(struct conn *conn)
{
	const struct engine *engine = conn_engine(conn);
	struct quota_places before = clients_places(conn), places = before;
	uint8_t epoch = quota_epoch(engine->quota);
	struct quota_excess excess;

	if (before.at[QUOTA_ADDRESS] == 0 && before.at[QUOTA_NETWORK] == 0)
		return false;
	if (before.epoch == epoch)      /* it came, or was moved here, since */
		return true;
	places.epoch = epoch;
	quota_enter(engine->quota, engine->quota_rules, &places, true, &excess);
	set_places(conn, &places);
	return memcmp(places.at, before.at, sizeof(places.at)) == 0;
}

static void count_again(struct list *conns, bool same_places)
{
	for (struct list *link = conns->next; link != conns; link = link->next) {
		struct conn *conn = LIST_ENTRY(link, struct conn, link);

		if (same_places && add_again(conn))
			continue;
		clients_leave(conn);
		clients_keep(conn);
	}
}

/* In one go: it is rare, and a fraction of a microsecond each. The epoch is read first: if another one begins
 * meanwhile, that is seen later. */
static void count_all_again(struct engine *engine, bool same_places)
{
	engine->counted_ns = engine->loop->now_ns;
	engine->quota_epoch = quota_epoch(engine->quota);
	count_again(&engine->conns, same_places);
	count_again(&engine->leaving, same_places);
}

void clients_adopt(struct engine *engine, const struct quota_rules *rules)
{
	bool same = quota_same_places(engine->quota_rules, rules);

	engine->quota_rules = rules;
	if (!same)
		count_all_again(engine, false);
}

static void count_later(struct timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	count_all_again(LIST_ENTRY(timer, struct engine, counting), true);
}

/* Not in every turn, whatever somebody writes there. Without limits nothing is counted. */
void clients_look(struct engine *engine)
{
	if (!engine->quota_rules->wanted)
		return;
	if (quota_epoch(engine->quota) == engine->quota_epoch || timer_armed(&engine->counting))
		return;
	if (engine->loop->now_ns - engine->counted_ns >= COUNT_PAUSE_NS) {
		count_all_again(engine, true);
		return;
	}
	engine->counting.fire = count_later;
	loop_timer(engine->loop, &engine->counting, COUNT_PAUSE_NS);
}
