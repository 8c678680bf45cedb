/* status.c - the state of everything, for droverctl.  Called by control.c; fails by returning NULL. */
#include "control.h"
#include "degraded.h"
#include "departure.h"
#include "master.h"

#include <jansson.h>
#include <string.h>
#include <unistd.h>

static const char *const phase_names[] = { "idle", "checking", "preparing", "going" };

/* Who else holds the sockets of a listener. */
static const char *const keeper_names[] = {
	[KEEPER_NONE] = "nobody",
	[KEEPER_UNIT] = "socket unit",
	[KEEPER_STORE] = "fd store",
};

static json_t *child_json(const struct child *child)
{
	const struct master *master = child->master;
	const struct board_column *column = &master->board->column[child->column];
	json_t *counters = json_object();

	for (unsigned i = 0; i < master->setup->counters; i++)
		json_object_set_new(counters, master->setup->counter_names[i],
				    json_integer(status_number(column->counters[i])));
	return json_pack(
		"{s:i, s:i, s:s, s:I, s:I, s:o}", "slot", (int)child->slot, "pid", (int)child->pid, "state",
		child_state_names[child->state], "generation", (json_int_t)child->generation, "age_ms",
		(json_int_t)((master->loop.now_ns - child->started_ns) / CLOCK_MS), "counters", counters);
}

static json_t *workers_json(const struct master *master)
{
	json_t *workers = json_array();

	FOR_EACH_CHILD(master, child)
		json_array_append_new(workers, child_json(child));
	return workers;
}

static void set_text(json_t *object, const char *key, const char *text)
{
	if (text[0] != '\0')
		json_object_set_new(object, key, json_string(text));
}

/* Of the last worker that crashed or was killed. */
static json_t *death_json(const struct death *death)
{
	json_t *object = json_pack("{s:I, s:I, s:I, s:s}", "at", (json_int_t)death->at.tv_sec, "lived_ms",
				   (json_int_t)death->lived_ms, "lost", status_number(death->lost), "phase",
				   death->phase);

	if (death->signal != 0)
		set_text(object, "signal", obituary_signal(death->signal));
	else
		json_object_set_new(object, "status", json_integer(death->status));
	set_text(object, "client", death->client);
	set_text(object, "request", death->request);
	return object;
}

static json_t *slot_json(const struct slot *slot, unsigned index)
{
	json_t *object = json_pack("{s:i, s:i, s:b, s:i, s:b, s:I, s:I}", "slot", (int)index, "pid",
				   slot->serving != NULL ? (int)slot->serving->pid : 0, "drained",
				   (int)slot->held, "failures",
				   slot_is_failing(slot) ? (int)slot->failures : 0, "bad", (int)slot->bad,
				   "bad_ms", (json_int_t)(rescue_bad_ns(slot) / CLOCK_MS), "rescued",
				   status_number(rescue_count(slot)));

	if (slot->death != NULL)
		json_object_set_new(object, "last_death", death_json(slot->death));
	return object;
}

static json_t *slots_json(const struct master *master)
{
	json_t *slots = json_array();

	for (unsigned i = 0; i < master->slot_count; i++)
		json_array_append_new(slots, slot_json(&master->slots[i], i));
	return slots;
}

static json_t *listener_json(const struct listener *listener)
{
	struct listener_queue queue = sockets_queue(listener);

	return json_pack("{s:s, s:i, s:s, s:b, s:s, s:I, s:I}", "address", listener->addr.text, "sockets",
			 (int)listener->count, "keeper", keeper_names[listener->sockets[0].keeper], "shared",
			 (int)listener->shared, "accept", steer_mode(listener), "waiting",
			 (json_int_t)queue.waiting, "dropped", (json_int_t)queue.dropped);
}

static json_t *listeners_json(const struct master *master)
{
	json_t *listeners = json_array();

	for (const struct list *link = master->listeners.next; link != &master->listeners;
	     link = link->next) {
		const struct listener *listener = LIST_ENTRY(link, struct listener, link);

		if (listener->count > 0)        /* its first one is just being made */
			json_array_append_new(listeners, listener_json(listener));
	}
	return listeners;
}

static json_t *totals_json(const struct master *master)
{
	json_t *totals = json_object();

	for (unsigned i = 0; i < master->setup->counters; i++) {
		uint64_t sum = board_sum(master->board, i);

		if (i == COUNT_KERNEL_DROPPED)
			sum += sockets_dropped(master);
		json_object_set_new(totals, master->setup->counter_names[i],
				    json_integer(status_number(sum)));
	}
	return totals;
}

static json_t *reload_json(const struct master *master)
{
	return json_pack("{s:b, s:s, s:I, s:I, s:I}", "good", (int)master->last_reload_good, "text",
			 master->last_reload, "at", (json_int_t)master->last_reload_at.tv_sec, "succeeded",
			 (json_int_t)master->reloads_good, "failed", (json_int_t)master->reloads_bad);
}

/* Of those that leave just now. */
static json_t *handover_json(const struct master *master)
{
	unsigned workers;
	struct parting sum = departure_sum(master, &workers);
	json_t *object = json_pack("{s:i, s:I, s:I, s:I, s:I}", "workers", (int)workers, "connections",
				   status_number(sum.connections), "handed", status_number(sum.moved),
				   "finished", status_number(sum.finished), "cut", status_number(sum.cut));

	for (unsigned kind = 0; kind < PARTING_KINDS; kind++)
		json_object_set_new(object, master->setup->counter_names[COUNT_HANDED_IDLE + kind],
				    json_integer(status_number(sum.handed[kind])));
	return object;
}

/* Of the last one; there was none while both numbers are 0. */
static json_t *upgrade_json(const struct master *master)
{
	const struct upgrade *upgrade = &master->upgrade;

	return json_pack("{s:b, s:b, s:s, s:I, s:I, s:I}", "open", (int)upgrade_is_open(master), "good",
			 (int)upgrade->last_good, "text", upgrade->last, "at",
			 (json_int_t)upgrade->last_at.tv_sec, "succeeded", (json_int_t)upgrade->good,
			 "failed", (json_int_t)upgrade->bad);
}

/* What is wanted, and what is had. */
static json_t *accept_json(const struct master *master)
{
	struct accept_outcome outcome = steer_outcome(master);

	return json_pack("{s:s, s:s, s:s}", "wanted", outcome.wanted, "effective", outcome.effective, "why",
			 outcome.why);
}

/* For how long the whole service is out of service. */
static uint64_t drained_ms(const struct master *master)
{
	uint64_t since_ns = hold_since_ns(master), now_ns = master->loop.now_ns;

	return since_ns != 0 && since_ns < now_ns ? (now_ns - since_ns) / CLOCK_MS : 0;
}

static json_t *parts_json(const struct master *master)
{
	const struct generation *current = master->current.generation;

	return json_pack("{s:s, s:i, s:I, s:s, s:o, s:b, s:b, s:I, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o,"
			 " s:o}",
			 "version", DROVER_VERSION, "pid", (int)getpid(), "generation",
			 (json_int_t)(current != NULL ? current->number : 0), "phase",
			 phase_names[master->transition.phase], "accept", accept_json(master), "stopping",
			 (int)master->stopping, "drained", (int)(hold_since_ns(master) != 0), "drained_ms",
			 (json_int_t)drained_ms(master), "looking",
			 (int)timer_armed(&master->rescue.look), "slots", slots_json(master), "workers",
			 workers_json(master), "listeners", listeners_json(master), "totals",
			 totals_json(master), "handover", handover_json(master), "last_reload",
			 reload_json(master), "upgrade", upgrade_json(master), "sandbox",
			 degraded_json(current != NULL ? current->config : NULL));
}

struct json_t *status_json(const struct master *master)
{
	json_t *status = parts_json(master);

	json_object_set_new(status, "overrides", tuning_json(master));
	json_object_set_new(status, "confirm_ms", json_integer((json_int_t)tuning_left_ms(master)));
	return status;
}
