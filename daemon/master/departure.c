/* departure.c - what becomes of the connections of workers that leave: counted, shown and said.
 *
 * One line for each worker that has drained, and one when all those that left for the same generation are
 * gone. What a worker counted is on the board: numbers, nothing that is trusted. Called by spawn.c, notify.c
 * and generations.c; out of memory costs a line of the log.
 */
#include "departure.h"
#include "master.h"
#include "notify.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static const uint64_t *counters_of(const struct child *child)
{
	return child->master->board->column[child->column].counters;
}

static uint64_t came_to(const struct child *child)
{
	return counters_of(child)[COUNT_ACCEPTED] + counters_of(child)[COUNT_TAKEN_OVER];
}

struct parting departure_of(const struct child *child)
{
	const uint64_t *counters = counters_of(child);
	struct parting parting = {
		.connections = child->had + less(came_to(child), child->came),
		.left = counters[COUNT_OPEN],
		.cut = counters[COUNT_DRAIN_CUT],
	};

	for (unsigned kind = 0; kind < PARTING_KINDS; kind++) {
		parting.handed[kind] = counters[COUNT_HANDED_IDLE + kind];
		parting.moved += parting.handed[kind];
	}
	parting.finished = less(parting.connections, parting.moved + parting.left + parting.cut);
	return parting;
}

static void add(struct parting *sum, const struct parting *more)
{
	sum->connections += more->connections;
	sum->left += more->left;
	sum->moved += more->moved;
	sum->finished += more->finished;
	sum->cut += more->cut;
	for (unsigned kind = 0; kind < PARTING_KINDS; kind++)
		sum->handed[kind] += more->handed[kind];
}

/* ---- who leaves together ----------------------------------------------------------------------------- */

/* Workers that leave for one generation, until the last is gone. */
struct departure {
	struct list link;               /* in handover->departures */
	uint64_t generation, began_ns;
	unsigned workers, there;        /* in all; that are still there */
	struct parting gone;            /* what became of the others' connections */
};

static struct departure *find(const struct master *master, uint64_t generation)
{
	const struct list *all = &master->handover.departures;

	for (struct list *link = all->next; link != all; link = link->next)
		if (LIST_ENTRY(link, struct departure, link)->generation == generation)
			return LIST_ENTRY(link, struct departure, link);
	return NULL;
}

static struct departure *find_or_make(struct master *master, uint64_t generation)
{
	struct departure *departure = find(master, generation);

	if (departure != NULL)
		return departure;
	departure = calloc(1, sizeof(*departure));
	if (departure == NULL)
		return NULL;
	departure->generation = generation;
	departure->began_ns = master->loop.now_ns;
	list_push_back(&master->handover.departures, &departure->link);
	return departure;
}

/* False: out of memory, and nothing will be said of it. */
static bool join(struct child *child)
{
	struct departure *departure = find_or_make(child->master, child->left_for);

	if (departure == NULL) {
		child->left_for = 0;
		return false;
	}
	if (child->left_ns < departure->began_ns)
		departure->began_ns = child->left_ns;   /* in the image before this one */
	departure->workers++;
	departure->there++;
	return true;
}

void departure_begin(struct child *child)
{
	struct master *master = child->master;

	child->left_ns = master->loop.now_ns;
	child->had = counters_of(child)[COUNT_OPEN];
	child->came = came_to(child);
	if (!child->hands)
		return;         /* the service stops: stop.c has a line of its own */
	child->left_for = master->current.generation->number;
	if (join(child))
		notify_leaving(master);
}

void departure_resume(struct child *child)
{
	if (child->state == CHILD_DRAINING && child->hands)
		join(child);
}

/* ---- what is said ------------------------------------------------------------------------------------ */

enum { MOST_FIELDS = 16 };

static void say(enum log_level level, const char *event, const struct master *master,
		const struct log_field head[3], const struct parting *parting)
{
	struct log_field fields[MOST_FIELDS] = { head[0], head[1], head[2] };
	unsigned count = 3;

	for (unsigned kind = 0; kind < PARTING_KINDS; kind++)
		fields[count++] = log_number(master->setup->counter_names[COUNT_HANDED_IDLE + kind],
					     parting->handed[kind]);
	fields[count++] = log_number("finished", parting->finished);
	fields[count++] = log_number("cut", parting->cut);
	log_fields(level, event, fields);
}

static uint64_t since_ms(const struct master *master, uint64_t then_ns)
{
	return less(master->loop.now_ns, then_ns) / CLOCK_MS;
}

static void say_all_gone(const struct master *master, const struct departure *departure)
{
	struct log_field head[] = { log_number("generation", departure->generation),
				    log_number("workers", departure->workers),
				    log_number("took_ms", since_ms(master, departure->began_ns)) };

	say(LEVEL_NOTICE, "handover_done", master, head, &departure->gone);
}

/* While the workers of a generation still take their seats, others will leave for it. */
static bool is_over(const struct master *master, const struct departure *departure)
{
	const struct transition *transition = &master->transition;

	return departure->there == 0 &&
	       (transition->phase != PHASE_GOING || transition->number != departure->generation);
}

void departure_check(struct master *master)
{
	struct list *all = &master->handover.departures, *next;

	for (struct list *link = all->next; link != all; link = next) {
		struct departure *departure = LIST_ENTRY(link, struct departure, link);

		next = link->next;
		if (!is_over(master, departure))
			continue;
		say_all_gone(master, departure);
		list_remove(link);
		free(departure);
	}
}

void departure_end(struct child *child)
{
	struct master *master = child->master;
	struct departure *departure = find(master, child->left_for);
	struct parting parting = departure_of(child);
	struct log_field head[] = { log_number("slot", child->slot),
				    log_number("pid", (uint64_t)child->pid),
				    log_number("took_ms", since_ms(master, child->left_ns)) };

	if (child->left_for == 0)
		return;
	child->left_for = 0;
	parting.cut += parting.left;    /* it was killed, or crashed */
	parting.left = 0;
	say(LEVEL_INFO, "worker_drained", master, head, &parting);
	if (departure == NULL)
		return;
	add(&departure->gone, &parting);
	departure->there--;
	departure_check(master);
	notify_status(master);
}

struct parting departure_sum(const struct master *master, unsigned *workers)
{
	const struct list *all = &master->handover.departures;
	struct parting sum = { 0 };

	*workers = 0;
	for (const struct list *link = all->next; link != all; link = link->next)
		add(&sum, &LIST_ENTRY(link, struct departure, link)->gone);
	FOR_EACH_CHILD(master, child) {
		struct parting parting = departure_of(child);

		if (child->left_for == 0)
			continue;
		add(&sum, &parting);
		(*workers)++;
	}
	return sum;
}

void departure_forget(struct master *master)
{
	struct list *all = &master->handover.departures;

	for (struct list *link = list_pop_front(all); link != NULL; link = list_pop_front(all))
		free(LIST_ENTRY(link, struct departure, link));
}
