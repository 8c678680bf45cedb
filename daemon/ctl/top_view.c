/* top_view.c - what the daemon says of itself, made rows for droverctl top. Whatever it says: numbers that
 * are none are 0, and names are ASCII. Fails by returning false when out of memory. */
#include "top.h"

#include "base/escape.h"

#include <stdlib.h>
#include <string.h>

const char *const top_state_names[TOP_STATES] = { "idle", "head", "waiting", "sending", "leaving" };

static const char *const lost_names[] = { "kernel_dropped", "refused", "lost_crashed", "drain_cut",
					  "lost_address_removed", "lost_stop", NULL };

static const char *const died_names[] = { "workers_crashed", "workers_killed", "workers_exited",
					  "workers_hung", NULL };

static uint64_t number(const json_t *object, const char *key)
{
	long long value = ctl_number(object, key);

	return value > 0 ? (uint64_t)value : 0;
}

static uint64_t value_at(const json_t *array, size_t index)
{
	long long value = json_integer_value(json_array_get(array, index));

	return value > 0 ? (uint64_t)value : 0;
}

/* ---- rows ---------------------------------------------------------------------------------------------- */

static void read_buckets(uint64_t buckets[METRICS_BUCKETS], const json_t *pairs)
{
	for (size_t i = 0; i + 1 < json_array_size(pairs); i += 2) {
		uint64_t bucket = value_at(pairs, i);

		if (bucket < METRICS_BUCKETS)
			buckets[bucket] = value_at(pairs, i + 1);
	}
}

static void read_tally(struct top_row *row, const json_t *object)
{
	const json_t *classes = json_object_get(object, "requests");

	for (size_t i = 0; i < METRICS_CLASSES; i++)
		row->requests += value_at(classes, i);
	row->errors = value_at(classes, METRICS_CLASSES - 1);
	row->bytes = number(object, "bytes");
	row->turns = number(object, "turns");
	row->busy_ns = number(object, "busy_ns");
	read_buckets(row->latency, json_object_get(object, "latency"));
	read_buckets(row->durations, json_object_get(object, "durations"));
}

/* As much of it as there is room for. */
static void copy_name(char name[TOP_NAME_BYTES], const char *text)
{
	size_t len = strnlen(text, (TOP_NAME_BYTES - 1) / ESCAPE_TEXT_MOST);

	*escape_text(name, (struct str){ text, len }) = '\0';
}

static struct top_row *add_row(struct top_look *look, const json_t *object)
{
	struct top_row *row = &look->rows[look->row_count];

	if (look->row_count == TOP_ROWS)
		return NULL;
	look->row_count++;
	*row = (struct top_row){ .slot = -1 };
	read_tally(row, object);
	return row;
}

static void add_slot(struct top_look *look, const json_t *object)
{
	struct top_row *row = add_row(look, object);

	if (row == NULL)
		return;
	row->slot = (long long)number(object, "slot");
	row->bad = true;
	copy_name(row->name, "none");
	look->slot_count++;
}

static void add_site(struct top_look *look, const json_t *object)
{
	struct top_row *row = add_row(look, object);
	const char *name = ctl_text(object, "site");

	if (row != NULL)
		copy_name(row->name, name[0] != '\0' ? name : "(other)");
}

static struct top_row *row_of_slot(const struct top_look *look, long long slot)
{
	for (size_t i = 0; i < look->slot_count; i++)
		if (look->rows[i].slot == slot)
			return &look->rows[i];
	return NULL;
}

/* What its workers have open; the one that serves says what state the slot is in. */
static void add_worker(struct top_look *look, const json_t *worker)
{
	struct top_row *row = row_of_slot(look, ctl_number(worker, "slot"));
	const json_t *counters = json_object_get(worker, "counters");
	const char *state = ctl_text(worker, "state");

	if (row == NULL)
		return;
	row->workers++;
	row->open += number(counters, "open");
	row->ready += number(counters, "ready");
	for (unsigned i = 0; i < TOP_STATES; i++) {
		char key[32];

		snprintf(key, sizeof(key), "connections_%s", top_state_names[i]);
		row->states[i] += number(counters, key);
	}
	if (row->bad || strcmp(state, "serving") == 0)
		copy_name(row->name, state);
	row->bad = row->bad && strcmp(state, "serving") != 0;
}

static void judge_slot(struct top_look *look, const json_t *slot)
{
	struct top_row *row = row_of_slot(look, ctl_number(slot, "slot"));

	if (row == NULL || !ctl_true(slot, "bad"))
		return;
	row->bad = true;
	copy_name(row->name, "hangs");
}

/* ---- a look -------------------------------------------------------------------------------------------- */

static uint64_t sum_of(const json_t *totals, const char *const *names)
{
	uint64_t sum = 0;

	for (; *names != NULL; names++)
		sum += number(totals, *names);
	return sum;
}

static void read_totals(struct top_look *look)
{
	const json_t *totals = json_object_get(look->status, "totals"), *listener;
	size_t index;

	look->requests = number(totals, "requests");
	look->bytes = number(totals, "bytes_sent");
	look->accepted = number(totals, "accepted");
	look->open = number(totals, "open");
	look->lost = sum_of(totals, lost_names);
	look->died = sum_of(totals, died_names);
	json_array_foreach(json_object_get(look->status, "listeners"), index, listener)
		look->waiting += number(listener, "waiting");
}

static void read_rows(struct top_look *look)
{
	const json_t *metrics = json_object_get(look->status, "metrics"), *object;
	size_t index;

	json_array_foreach(json_object_get(metrics, "slots"), index, object)
		add_slot(look, object);
	json_array_foreach(json_object_get(metrics, "sites"), index, object)
		add_site(look, object);
	json_array_foreach(json_object_get(look->status, "workers"), index, object)
		add_worker(look, object);
	json_array_foreach(json_object_get(look->status, "slots"), index, object)
		judge_slot(look, object);
	look->at_ns = number(metrics, "now_ns");
}

bool top_look(struct top_look *look, json_t *status)
{
	*look = (struct top_look){ .status = status };
	look->rows = calloc(TOP_ROWS, sizeof(*look->rows));
	if (look->rows == NULL)
		return false;
	read_totals(look);
	read_rows(look);
	return true;
}

void top_forget(struct top_look *look)
{
	free(look->rows);
	json_decref(look->status);
	*look = (struct top_look){ 0 };
}

/* ---- between two --------------------------------------------------------------------------------------- */

static const struct top_row *find(const struct top_look *look, const struct top_row *wanted)
{
	for (size_t i = 0; i < look->row_count; i++)
		if (look->rows[i].slot == wanted->slot &&
		    (wanted->slot >= 0 || strcmp(look->rows[i].name, wanted->name) == 0))
			return &look->rows[i];
	return NULL;
}

static void subtract(uint64_t *now, const uint64_t *before, size_t count)
{
	for (size_t i = 0; i < count; i++)
		now[i] -= before[i] <= now[i] ? before[i] : 0;
}

static void row_between(struct top_row *now, const struct top_row *before)
{
	subtract(&now->requests, &before->requests, 1);
	subtract(&now->errors, &before->errors, 1);
	subtract(&now->bytes, &before->bytes, 1);
	subtract(&now->turns, &before->turns, 1);
	subtract(&now->busy_ns, &before->busy_ns, 1);
	subtract(now->latency, before->latency, METRICS_BUCKETS);
	subtract(now->durations, before->durations, METRICS_BUCKETS);
}

void top_between(struct top_look *now, const struct top_look *before)
{
	for (size_t i = 0; i < now->row_count; i++) {
		const struct top_row *same = find(before, &now->rows[i]);

		if (same != NULL)
			row_between(&now->rows[i], same);
	}
	subtract(&now->requests, &before->requests, 1);
	subtract(&now->bytes, &before->bytes, 1);
	subtract(&now->accepted, &before->accepted, 1);
}

/* ---- for programs -------------------------------------------------------------------------------------- */

static json_t *rate(uint64_t count, uint64_t ns)
{
	return json_real(ns > 0 ? (double)count * 1e9 / (double)ns : 0);
}

static void set_number(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)(value & INT64_MAX)));
}

static json_t *row_json(const struct top_row *row, uint64_t ns)
{
	json_t *object = json_object(), *states;

	if (row->slot >= 0)
		set_number(object, "slot", (uint64_t)row->slot);
	json_object_set_new(object, row->slot >= 0 ? "state" : "site", json_string(row->name));
	json_object_set_new(object, "requests_per_s", rate(row->requests, ns));
	json_object_set_new(object, "errors_per_s", rate(row->errors, ns));
	json_object_set_new(object, "bytes_per_s", rate(row->bytes, ns));
	set_number(object, "p50_us", metrics_percentile_ns(row->latency, 500) / 1000);
	set_number(object, "p99_us", metrics_percentile_ns(row->latency, 990) / 1000);
	if (row->slot < 0)
		return object;
	json_object_set_new(object, "busy", json_real(ns > 0 ? (double)row->busy_ns / (double)ns : 0));
	set_number(object, "lag_us", metrics_percentile_ns(row->durations, 990) / 1000);
	set_number(object, "open", row->open);
	set_number(object, "ready", row->ready);
	states = json_object();
	for (unsigned i = 0; i < TOP_STATES; i++)
		set_number(states, top_state_names[i], row->states[i]);
	json_object_set_new(object, "connections", states);
	return object;
}

json_t *top_json(const struct top_look *view, uint64_t ns)
{
	json_t *slots = json_array(), *sites = json_array(), *object;

	for (size_t i = 0; i < view->row_count; i++)
		json_array_append_new(i < view->slot_count ? slots : sites, row_json(&view->rows[i], ns));
	object = json_pack("{s:b, s:I, s:o, s:o, s:o, s:o}", "ok", 1, "interval_ms",
			   (json_int_t)(ns / 1000000), "requests_per_s", rate(view->requests, ns),
			   "bytes_per_s", rate(view->bytes, ns), "slots", slots, "sites", sites);
	set_number(object, "open", view->open);
	set_number(object, "queue", view->waiting);
	set_number(object, "lost", view->lost);
	set_number(object, "workers_died", view->died);
	json_object_set(object, "generation", json_object_get(view->status, "generation"));
	json_object_set(object, "pid", json_object_get(view->status, "pid"));
	json_object_set(object, "last_reload", json_object_get(view->status, "last_reload"));
	json_object_set(object, "upgrade", json_object_get(view->status, "upgrade"));
	return object;
}
