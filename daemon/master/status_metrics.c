/* status_metrics.c - what is measured, by slot and by site, for droverctl top: numbers of the board, which
 * any worker may have written, and the names that the master gave its rows. Called by control.c; fails by
 * leaving out what there is no memory for. */
#include "control.h"
#include "master.h"

#include <jansson.h>
#include <string.h>

/* Of many buckets few are ever used: [number, count, ...]. */
static json_t *buckets_json(const uint64_t buckets[METRICS_BUCKETS])
{
	json_t *pairs = json_array();

	for (int i = 0; i < METRICS_BUCKETS; i++) {
		if (buckets[i] == 0)
			continue;
		json_array_append_new(pairs, json_integer(i));
		json_array_append_new(pairs, json_integer(status_number(buckets[i])));
	}
	return pairs;
}

static json_t *classes_json(const struct tally *tally)
{
	json_t *classes = json_array();

	for (unsigned i = 0; i < METRICS_CLASSES; i++)
		json_array_append_new(classes, json_integer(status_number(tally->requests[i])));
	return classes;
}

static json_t *tally_json(const struct tally *tally)
{
	return json_pack("{s:o, s:I, s:o}", "requests", classes_json(tally), "bytes",
			 status_number(tally->bytes), "latency", buckets_json(tally->latency));
}

static json_t *slot_json(const struct master *master, unsigned slot)
{
	struct tally tally;
	struct turns turns;
	json_t *object;

	board_slot_sum(master->board, slot, &tally, &turns);
	object = tally_json(&tally);
	json_object_set_new(object, "slot", json_integer(slot));
	json_object_set_new(object, "turns", json_integer(status_number(turns.count)));
	json_object_set_new(object, "busy_ns", json_integer(status_number(turns.busy_ns)));
	json_object_set_new(object, "durations", buckets_json(turns.duration));
	return object;
}

static json_t *site_json(const struct master *master, unsigned site, const char *name)
{
	struct tally tally;
	json_t *object;

	board_site_sum(master->board, site, &tally);
	object = tally_json(&tally);
	json_object_set_new(object, "site", json_string(name));
	return object;
}

struct json_t *status_metrics_json(const struct master *master)
{
	json_t *slots = json_array(), *sites = json_array();

	for (unsigned i = 0; i < master->slot_count; i++)
		json_array_append_new(slots, slot_json(master, i));
	json_array_append_new(sites, site_json(master, METRICS_OTHER, ""));
	for (unsigned i = METRICS_OTHER + 1; i <= master->owners.sites && i < METRICS_SITES; i++)
		json_array_append_new(sites, site_json(master, i, master->owners.site[i]));
	return json_pack("{s:I, s:o, s:o}", "now_ns", (json_int_t)master->loop.now_ns, "slots", slots,
			 "sites", sites);
}
