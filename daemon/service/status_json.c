/* status_json.c - the view as JSON, part by part.  Called by status_desk.c; cannot fail but by a text that
 * has no more room. */
#include "status_json.h"

#include "config/generation.h"

enum { EVENTS_A_LOOK = 8 };

/* ---- pieces -------------------------------------------------------------------------------------- */

/* ,"key": */
static void key(struct status_text *out, const char *name)
{
	status_text_add(out, ",\"");
	status_text_add(out, name);
	status_text_add(out, "\":");
}

static void number(struct status_text *out, const char *name, uint64_t value)
{
	key(out, name);
	status_text_count(out, value);
}

static void quoted(struct status_text *out, const char *name, const char *value)
{
	key(out, name);
	status_text_quoted(out, value);
}

static void truth(struct status_text *out, const char *name, bool value)
{
	key(out, name);
	status_text_add(out, value ? "true" : "false");
}

static void buckets(struct status_text *out, const char *name, const uint64_t counts[VIEW_BUCKETS])
{
	key(out, name);
	for (unsigned i = 0; i < VIEW_BUCKETS; i++) {
		status_text_add(out, i == 0 ? "[" : ",");
		status_text_count(out, counts[i]);
	}
	status_text_add(out, "]");
}

/* {"name":value,...}: those `count` counters, or all when `some` is NULL. */
static void counters(struct status_text *out, const uint64_t values[COUNTERS], const enum counter *some,
		     unsigned count)
{
	key(out, "counters");
	for (unsigned i = 0; i < count; i++) {
		enum counter counter = some != NULL ? some[i] : (enum counter)i;

		status_text_add(out, i == 0 ? "{\"" : ",\"");
		status_text_add(out, counter_names[counter]);
		status_text_add(out, "\":");
		status_text_count(out, values[counter]);
	}
	status_text_add(out, "}");
}

/* ---- the service --------------------------------------------------------------------------------- */

static void outcome(struct status_text *out, const char *name, const struct news_outcome *outcome)
{
	key(out, name);
	status_text_add(out, "{\"at_ms\":");
	status_text_count(out, outcome->at_ms);
	truth(out, "good", outcome->good != 0);
	quoted(out, "text", outcome->text);
	number(out, "succeeded", outcome->succeeded);
	number(out, "failed", outcome->failed);
	status_text_add(out, "}");
}

static void whole_latency(struct status_text *out, const uint64_t fine[METRICS_BUCKETS])
{
	uint64_t sum[VIEW_BUCKETS];

	view_merge(sum, fine);
	buckets(out, "latency", sum);
}

static void bounds(struct status_text *out)
{
	key(out, "bounds_us");
	status_text_add(out, "[");
	for (unsigned i = 0; i < VIEW_BUCKETS - 1; i++) {
		status_text_micros(out, view_bound_ns(i));
		status_text_add(out, ",");
	}
	status_text_add(out, "null]");
}

static void percentiles(struct status_text *out, const uint64_t fine[METRICS_BUCKETS])
{
	static const struct {
		const char *name;
		unsigned permille;
	} shares[] = { { "p50", 500 }, { "p90", 900 }, { "p99", 990 }, { "p999", 999 } };

	key(out, "percentiles_us");
	for (unsigned i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
		status_text_add(out, i == 0 ? "{\"" : ",\"");
		status_text_add(out, shares[i].name);
		status_text_add(out, "\":");
		status_text_micros(out, metrics_percentile_ns(fine, shares[i].permille));
	}
	status_text_add(out, "}");
}

static void head(const struct view *view, struct status_text *out)
{
	const struct news *news = &view->news;
	const struct generation *generation = view->engine->generation;

	status_text_add(out, "{\"version\":");
	status_text_quoted(out, news->version[0] != '\0' ? news->version : DROVER_VERSION);
	number(out, "pid", news->pid);
	number(out, "now_ms", view->now_ms);
	number(out, "started_ms", news->started_ms);
	number(out, "slot", view->engine->slot);
	number(out, "generation", generation != NULL ? generation->number : 0);
	truth(out, "stopping", news->stopping != 0 || view->engine->out_of_service);
	key(out, "accept");
	status_text_add(out, "{\"wanted\":");
	status_text_quoted(out, news->accept_wanted);
	quoted(out, "effective", news->accept_effective);
	status_text_add(out, "}");
	outcome(out, "reload", &news->reload);
	outcome(out, "upgrade", &news->upgrade);
	counters(out, view->counters, NULL, COUNTERS);
	bounds(out);
	whole_latency(out, view->latency);
	percentiles(out, view->latency);
	status_text_add(out, ",\"slots\":[");
}

/* ---- slots --------------------------------------------------------------------------------------- */

static void workers(const struct view *view, const struct view_slot *slot, struct status_text *out)
{
	const char *before = "";

	key(out, "workers");
	status_text_add(out, "[");
	for (unsigned i = slot->first; i != VIEW_NOBODY; i = view->workers[i].next) {
		status_text_add(out, before);
		status_text_add(out, "{\"pid\":");
		status_text_number(out, view->workers[i].pid);
		number(out, "generation", view->workers[i].generation);
		status_text_add(out, "}");
		before = ",";
	}
	status_text_add(out, "]");
}

/* By what they are doing. */
static void connections(const struct view_slot *slot, struct status_text *out)
{
	key(out, "connections");
	for (unsigned i = 0; i < DOINGS; i++) {
		status_text_add(out, i == 0 ? "{\"" : ",\"");
		status_text_add(out, view_doing_names[i]);
		status_text_add(out, "\":");
		status_text_count(out, view_doing(slot, (enum doing)i));
	}
	status_text_add(out, "}");
}

static void turns(const struct view_slot *slot, struct status_text *out)
{
	key(out, "turns");
	status_text_add(out, "{\"count\":");
	status_text_count(out, slot->turns);
	number(out, "busy_ns", slot->busy_ns);
	buckets(out, "duration", slot->duration);
	status_text_add(out, "}");
}

static void slot_part(const struct view *view, unsigned index, struct status_text *out)
{
	static const enum counter some[] = {
		COUNT_ACCEPTED,      COUNT_OPEN,       COUNT_REQUESTS,   COUNT_BYTES_SENT,
		COUNT_RESCUED,       COUNT_STATUS_2XX, COUNT_STATUS_3XX, COUNT_STATUS_4XX,
		COUNT_STATUS_5XX,    COUNT_TIMEOUTS,   COUNT_PARSE_ERRORS, COUNT_ACCEPT_ERRORS,
		COUNT_OUT_OF_MEMORY, COUNT_SHED,       COUNT_REFUSED,    COUNT_DIED_CRASHED,
		COUNT_DIED_KILLED,   COUNT_DIED_EXITED, COUNT_DIED_HUNG, COUNT_STALLED,
	};
	const struct view_slot *slot = &view->slots[index];

	status_text_add(out, index == 0 ? "{\"slot\":" : ",{\"slot\":");
	status_text_number(out, index);
	workers(view, slot, out);
	quoted(out, "state", view_state_names[slot->state]);
	counters(out, slot->counters, some, sizeof(some) / sizeof(some[0]));
	connections(slot, out);
	number(out, "ready", view_ready(slot));
	turns(slot, out);
	buckets(out, "latency", slot->latency);
	status_text_add(out, "}");
}

/* ---- sites, listeners ---------------------------------------------------------------------------- */

static void site(const struct view_site *site, struct status_text *out)
{
	status_text_add(out, "{\"name\":");
	status_text_quoted(out, site->name);
	key(out, "requests");
	for (unsigned i = 0; i < METRICS_CLASSES; i++) {
		status_text_add(out, i == 0 ? "{\"" : ",\"");
		status_text_number(out, i + 1);
		status_text_add(out, "xx\":");
		status_text_count(out, site->requests[i]);
	}
	status_text_add(out, "}");
	number(out, "bytes", site->bytes);
	number(out, "duration_ns", site->duration_ns);
	buckets(out, "latency", site->latency);
	status_text_add(out, "}");
}

static void listener(const struct view_listener *listener, struct status_text *out)
{
	status_text_add(out, "{\"address\":");
	status_text_quoted(out, listener->address);
	number(out, "waiting", listener->waiting);
	number(out, "dropped", listener->dropped);
	status_text_add(out, "}");
}

static void sites_and_listeners(const struct view *view, struct status_text *out)
{
	const char *before = "],\"sites\":[";

	for (unsigned i = 0; i < METRICS_SITES; i++) {
		if (!view->sites[i].used)
			continue;
		status_text_add(out, before);
		site(&view->sites[i], out);
		before = ",";
	}
	status_text_add(out, "],\"listeners\":[");
	for (unsigned i = 0; i < view->listener_count; i++) {
		status_text_add(out, i == 0 ? "" : ",");
		listener(&view->listeners[i], out);
	}
	status_text_add(out, "],\"events\":[");
}

/* ---- events -------------------------------------------------------------------------------------- */

static void event_part(const struct news_event *event, struct status_text *out)
{
	status_text_add(out, "{\"id\":");
	status_text_count(out, event->id);
	number(out, "at_ms", event->at_ms);
	quoted(out, "kind", news_event_names[event->kind]);
	key(out, "slot");
	if (event->slot == NEWS_NO_SLOT)
		status_text_add(out, "null");
	else
		status_text_number(out, event->slot);
	truth(out, "good", event->good != 0);
	quoted(out, "text", event->text);
	status_text_add(out, "}");
}

uint64_t status_json_events(const struct board *board, uint64_t after, struct status_text *out)
{
	struct news_event events[EVENTS_A_LOOK];
	unsigned seen = 0;
	size_t count = 1;

	while (board != NULL && count > 0 && seen < NEWS_EVENTS) {
		count = news_since(board, after, events, EVENTS_A_LOOK);
		for (size_t i = 0; i < count; i++) {
			status_text_add(out, seen++ == 0 ? "" : ",");
			event_part(&events[i], out);
			after = events[i].id;
		}
	}
	status_text_add(out, "]}\n");
	return after;
}

/* ---- the whole ----------------------------------------------------------------------------------- */

static unsigned parts(const struct view *view)
{
	return 1 + view->slot_count + 2;  /* sites and listeners; events */
}

static void part(const struct view *view, unsigned index, struct status_text *out)
{
	if (index == 0)
		head(view, out);
	else if (index <= view->slot_count)
		slot_part(view, index - 1, out);
	else if (index == view->slot_count + 1)
		sites_and_listeners(view, out);
	else
		status_json_events(view_board(view), 0, out);
}

const struct status_writer status_json_whole = { parts, part };

static unsigned stream_parts(const struct view *view)
{
	return parts(view) - 1;
}

static void stream_part(const struct view *view, unsigned index, struct status_text *out)
{
	if (index == 0)
		status_text_add(out, "event: status\ndata: ");
	part(view, index, out);
}

const struct status_writer status_json_stream = { stream_parts, stream_part };
