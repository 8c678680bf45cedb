/* generations.c - which generations are still there, who has them, and why: droverctl generations.
 *
 * Workers count their connections when somebody asks, not before: COUNT to each, COUNTED from each. One that
 * does not answer within the deadline is shown as such; it is asked again only after it has answered, so that
 * nobody fills a hung worker's channel. Called by control.c and spawn.c. Fails by leaving out what there is
 * no memory for.
 */
#include "control.h"
#include "departure.h"
#include "master.h"

#include "base/log.h"

#include <jansson.h>
#include <stdio.h>

#define ANSWER_NS CLOCK_S

/* ---- asking ------------------------------------------------------------------------------------------ */

static bool has_connections(const struct child *child)
{
	return child->state == CHILD_SERVING || child->state == CHILD_DRAINING;
}

static void answer_all(struct master *master)
{
	timer_cancel(&master->census.deadline);
	askers_answer(&master->census.askers, &(struct outcome){ .good = true, .text = "" });
}

static void too_late(struct timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	answer_all(LIST_ENTRY(LIST_ENTRY(timer, struct census, deadline), struct master, census));
}

static void check(struct master *master)
{
	if (!timer_armed(&master->census.deadline))
		return;
	FOR_EACH_CHILD(master, child)
		if (has_connections(child) && child->counting)
			return;
	answer_all(master);
}

void generations_ask(struct master *master, struct asker *asker)
{
	struct err err;

	list_push_back(&master->census.askers, &asker->link);
	if (timer_armed(&master->census.deadline))
		return;
	FOR_EACH_CHILD(master, child)
		if (has_connections(child) && !child->counting)
			child->counting = channel_tell(child->channel.fd, MESSAGE_COUNT, 0, &err);
	master->census.deadline.fire = too_late;
	loop_timer(&master->loop, &master->census.deadline, ANSWER_NS);
	check(master);
}

void generations_child_counted(struct child *child, const struct count_note *note)
{
	if (!child->counting)
		return;         /* nobody has asked it */
	child->counting = false;
	child->counted = *note;
	check(child->master);
}

void generations_child_died(struct master *master)
{
	check(master);
}

/* ---- one worker -------------------------------------------------------------------------------------- */

static const char *const state_names[COUNTED_STATES] = {
	[COUNTED_IDLE] = "idle",       [COUNTED_HEAD] = "head",       [COUNTED_WAITING] = "waiting",
	[COUNTED_SENDING] = "sending", [COUNTED_LEAVING] = "leaving", [COUNTED_MOVING] = "moving",
};

static json_t *connections_json(const struct child *child)
{
	json_t *connections = json_object();

	for (unsigned i = 0; i < COUNTED_STATES; i++)
		json_object_set_new(connections, state_names[i],
				    json_integer(child->counted.connections[i]));
	return connections;
}

/* What keeps a worker that drains. */
static void describe_drain(const struct child *child, char *text, size_t bytes)
{
	const struct child *to = child->receiver;

	if (child->counting)
		snprintf(text, bytes, "does not answer");
	else if (!child->hands)
		snprintf(text, bytes, "drover stops");
	else if (to == NULL)
		snprintf(text, bytes, "nobody serves slot %u, where its connections are to go",
			 handover_slot(child));
	else if (child->unconnected)
		snprintf(text, bytes, "could not be connected with pid %d; tried again", (int)to->pid);
	else if (child->counted.connections[COUNTED_MOVING] > 0)
		snprintf(text, bytes, "hands over to pid %d", (int)to->pid);
	else
		snprintf(text, bytes, "what is left cannot be handed over to pid %d, or not yet",
			 (int)to->pid);
}

static void describe(const struct child *child, char *text, size_t bytes)
{
	text[0] = '\0';
	if (child->state == CHILD_DRAINING)
		describe_drain(child, text, bytes);
	else if (has_connections(child) && child->counting)
		snprintf(text, bytes, "does not answer");
}

static uint64_t between_ms(uint64_t from_ns, uint64_t to_ns)
{
	return to_ns > from_ns ? (to_ns - from_ns) / CLOCK_MS : 0;
}

/* How long it may drain yet. */
static uint64_t deadline_ms(const struct child *child)
{
	bool has_one = child->state == CHILD_DRAINING && timer_armed(&child->deadline);

	return has_one ? between_ms(child->master->loop.now_ns, child->deadline.due_ns) : 0;
}

static json_t *child_json(const struct child *child)
{
	struct parting parting = departure_of(child);
	uint64_t now_ns = child->master->loop.now_ns;
	char why[96];

	describe(child, why, sizeof(why));
	return json_pack("{s:i, s:i, s:s, s:I, s:b, s:o, s:I, s:I, s:I, s:s}", "slot", (int)child->slot,
			 "pid", (int)child->pid, "state", child_state_names[child->state], "age_ms",
			 (json_int_t)between_ms(child->started_ns, now_ns), "answers", (int)!child->counting,
			 "connections", connections_json(child), "handed", status_number(parting.moved),
			 "drains_ms",
			 (json_int_t)(child->left_ns != 0 ? between_ms(child->left_ns, now_ns) : 0),
			 "deadline_ms", (json_int_t)deadline_ms(child), "why", why);
}

/* ---- one generation ---------------------------------------------------------------------------------- */

enum { MOST_ROWS = 256 };

struct row {
	uint64_t number;
	uint64_t pins;                  /* what began under it and needs it still */
	unsigned workers;               /* that serve it, or did before they began to drain */
};

struct rows {
	struct row at[MOST_ROWS];
	unsigned count;
};

/* Sorted, the newest first.  NULL: no generation has this number (a worker can say anything), or there is no
 * room. */
static struct row *row_of(struct rows *rows, const struct master *master, uint64_t number)
{
	unsigned i = 0;

	if (number == 0 || number > master->generation_numbers)
		return NULL;
	while (i < rows->count && rows->at[i].number > number)
		i++;
	if (i < rows->count && rows->at[i].number == number)
		return &rows->at[i];
	if (rows->count == MOST_ROWS)
		return NULL;
	for (unsigned j = rows->count++; j > i; j--)
		rows->at[j] = rows->at[j - 1];
	rows->at[i] = (struct row){ .number = number };
	return &rows->at[i];
}

/* That it serves, or prepares when it is new. */
static uint64_t generation_of(const struct child *child)
{
	return child->generation != 0 ? child->generation : child->asked;
}

static void add_child(struct rows *rows, const struct child *child)
{
	const struct count_note *note = &child->counted;
	struct row *row = row_of(rows, child->master, generation_of(child));

	if (row != NULL)
		row->workers++;
	for (uint32_t i = 0; i < note->generation_count && i < COUNTED_GENERATIONS; i++) {
		row = row_of(rows, child->master, note->generations[i].number);
		if (row != NULL)
			row->pins += note->generations[i].pins;
	}
}

static json_t *workers_json(const struct master *master, uint64_t number)
{
	json_t *workers = json_array();

	FOR_EACH_CHILD(master, child)
		if (generation_of(child) == number)
			json_array_append_new(workers, child_json(child));
	return workers;
}

static json_t *age_json(const struct master *master, uint64_t number)
{
	const struct commit *commit = &master->commits[number % COMMITS_KNOWN];

	if (commit->number != number)
		return json_null();     /* so long ago that it was forgotten */
	return json_integer((json_int_t)between_ms(commit->at_ns, master->loop.now_ns));
}

static void describe_row(const struct row *row, bool is_current, char *text, size_t bytes)
{
	if (is_current)
		snprintf(text, bytes, "current");
	else if (row->workers > 0)
		snprintf(text, bytes, "%u worker%s of it", row->workers, row->workers == 1 ? "" : "s");
	else
		snprintf(text, bytes, "%llu request%s that began under it", (unsigned long long)row->pins,
			 row->pins == 1 ? "" : "s");
}

static json_t *row_json(const struct master *master, const struct row *row)
{
	bool is_current = row->number == master->current.generation->number;
	char why[64];

	describe_row(row, is_current, why, sizeof(why));
	return json_pack("{s:I, s:b, s:o, s:I, s:s, s:o}", "generation", (json_int_t)row->number, "current",
			 (int)is_current, "age_ms", age_json(master, row->number), "requests",
			 status_number(row->pins), "why", why, "workers", workers_json(master, row->number));
}

struct json_t *generations_json(const struct master *master)
{
	json_t *all = json_array();
	struct rows rows = { .count = 0 };

	if (master->current.generation == NULL)
		return all;
	FOR_EACH_CHILD(master, child)
		add_child(&rows, child);
	row_of(&rows, master, master->current.generation->number);
	for (unsigned i = 0; i < rows.count; i++)
		json_array_append_new(all, row_json(master, &rows.at[i]));
	return all;
}
