/* owed.c - what an engine owes to whom: which connections can be closed when it leaves, when there is no
 * room, and at the end. Called by the worker (engine_*) and by protocols (conn_is_spare).
 *
 * Walks lists of connections; nothing here fails. */
#include "conn.h"

#include "base/clock.h"

#include <string.h>

enum { SHED_LOOK = 32 };                /* connections that are compared for one that is shed */

/* How long a connection that was accepted may take to send something before it counts as idle: clients
 * connect because they have a request. */
#define FRESH_NS CLOCK_S

/* What became idle just now is likely to go on, and its next request may be on its way. */
#define PAUSE_NS (100 * CLOCK_MS)

static bool is_younger(const struct conn *conn, uint64_t age_ns)
{
	return conn_engine(conn)->loop->now_ns - conn->since_ns < age_ns;
}

static bool is_fresh(const struct conn *conn)
{
	const struct engine *engine = conn_engine(conn);
	bool all_are = engine->loop->now_ns < engine->fresh_until_ns;

	return conn->served == 0 && (all_are || is_younger(conn, FRESH_NS));
}

void conn_drain(struct conn *conn, bool close_idle)
{
	conn_enter(conn);
	conn_after(conn, conn_protocol(conn)->drain(conn, close_idle && !is_fresh(conn)));
	conn_leave(conn);
}

void engine_drain(struct engine *engine, bool close_idle)
{
	engine->draining = true;
	engine->close_idle |= close_idle;
	for (struct list *link = engine->conns.next, *next; link != &engine->conns; link = next) {
		struct conn *conn = LIST_ENTRY(link, struct conn, link);

		next = link->next;
		conn_drain(conn, close_idle);
	}
}

bool conn_is_spare(const struct conn *conn)
{
	return conn_engine(conn)->close_idle && !is_fresh(conn);
}

static bool owes(const struct list *conns, uint64_t until_ns)
{
	for (const struct list *link = conns->next; link != conns; link = link->next) {
		const struct conn *conn = LIST_ENTRY(link, struct conn, link);

		if (conn->since_ns <= until_ns &&
		    (conn_protocol(conn)->doing(conn) != DOING_IDLE || is_fresh(conn)))
			return true;
	}
	return false;
}

bool engine_owes(const struct engine *engine, uint64_t until_ns)
{
	return owes(&engine->conns, until_ns) || owes(&engine->frozen, until_ns);
}

static void count_doings(const struct list *conns, unsigned counts[DOINGS])
{
	for (const struct list *link = conns->next; link != conns; link = link->next) {
		const struct conn *conn = LIST_ENTRY(link, struct conn, link);

		counts[conn_protocol(conn)->doing(conn)]++;
	}
}

void engine_census(const struct engine *engine, unsigned counts[DOINGS])
{
	memset(counts, 0, DOINGS * sizeof(counts[0]));
	count_doings(&engine->conns, counts);
	count_doings(&engine->leaving, counts);
}

/* Those that were looked at go to the end, so that the next look is at others. The list is in no order
 * because keeping one would cost every request two cache misses; this costs only at the limit. */
static struct conn *longest_idle(struct engine *engine)
{
	struct conn *found = NULL;

	for (unsigned i = 0; i < SHED_LOOK && i < engine->count && !list_empty(&engine->conns); i++) {
		struct conn *conn = LIST_ENTRY(engine->conns.next, struct conn, link);

		list_remove(&conn->link);
		list_push_back(&engine->conns, &conn->link);
		if (conn_protocol(conn)->doing(conn) == DOING_IDLE && !is_fresh(conn) &&
		    !is_younger(conn, PAUSE_NS) && (found == NULL || conn->since_ns < found->since_ns))
			found = conn;
	}
	return found;
}

/* A last look for bytes: a request that came meanwhile is served, and the connection stays. */
static bool is_busy_now(struct conn *conn)
{
	uint32_t served = conn->served;

	conn_after(conn, conn_protocol(conn)->drain(conn, true));
	if (conn->closed)
		return false;
	return conn->served != served || (conn_protocol(conn)->doing(conn) != DOING_IDLE &&
					  conn_protocol(conn)->doing(conn) != DOING_LEAVING);
}

bool engine_shed(struct engine *engine)
{
	bool announced = !list_empty(&engine->leaving);
	struct conn *victim =
		announced ? LIST_ENTRY(engine->leaving.next, struct conn, link) : longest_idle(engine);

	if (victim == NULL || (!announced && is_busy_now(victim)))
		return false;
	if (!victim->closed)            /* else its client had gone just now */
		engine_count(engine, COUNT_SHED);
	conn_close(victim);
	return true;
}

static void count_cut(struct engine *engine, enum doing doing)
{
	static const enum counter counters[] = {
		[DOING_HEAD] = COUNT_CUT_HEAD,
		[DOING_WAITING] = COUNT_CUT_WAITING,
		[DOING_SENDING] = COUNT_CUT_SENDING,
	};

	if (doing == DOING_IDLE || doing == DOING_LEAVING)
		return;
	engine_count(engine, COUNT_DRAIN_CUT);
	engine_count(engine, counters[doing]);
}

static void cut_all(struct engine *engine, struct list *conns)
{
	while (!list_empty(conns)) {
		struct conn *conn = LIST_ENTRY(conns->next, struct conn, link);

		count_cut(engine, conn_protocol(conn)->doing(conn));
		conn_close(conn);
	}
}

void engine_cut(struct engine *engine)
{
	cut_all(engine, &engine->conns);
	cut_all(engine, &engine->leaving);
	cut_all(engine, &engine->frozen);
	cut_all(engine, &engine->refused);
}
