/* status_show.c - the families that are more than counters.  Called by
 * status_metrics.c; cannot fail but by a text that has no more room. */
#include "status_show.h"

#include "config/generation.h"

#include <stdio.h>

/* ---- the service
 * -----------------------------------------------------------------------------------
 */

void show_build(const struct shown *shown, struct status_text *out)
{
	sample_number(out, (struct sample){ shown->name, "_info", "version", DROVER_VERSION, NULL }, 1);
}

void show_accept_mode(const struct shown *shown, struct status_text *out)
{
	const struct news *news = &shown->view->news;

	sample_number(out, (struct sample){ shown->name, "_info", "effective", news->accept_effective, NULL },
		      1);
}

void show_start(const struct shown *shown, struct status_text *out)
{
	sample_time(out, (struct sample){ .name = shown->name, .suffix = "" }, shown->view->news.started_ms);
}

static void show_one(const struct shown *shown, struct status_text *out, uint64_t number)
{
	sample_number(out, (struct sample){ .name = shown->name, .suffix = "" }, number);
}

void show_generation(const struct shown *shown, struct status_text *out)
{
	const struct generation *generation = shown->view->engine->generation;

	show_one(shown, out, generation != NULL ? generation->number : 0);
}

void show_stopping(const struct shown *shown, struct status_text *out)
{
	show_one(shown, out, shown->view->news.stopping != 0 || shown->view->engine->out_of_service);
}

void show_slots(const struct shown *shown, struct status_text *out)
{
	unsigned counts[VIEW_STATES] = { 0 };

	for (unsigned i = 0; i < shown->view->slot_count; i++)
		counts[shown->view->slots[i].state]++;
	for (unsigned i = 0; i < VIEW_STATES; i++)
		sample_number(out, (struct sample){ shown->name, "", "state", view_state_names[i], NULL },
			      counts[i]);
}

void show_workers(const struct shown *shown, struct status_text *out)
{
	show_one(shown, out, shown->view->worker_count);
}

void show_connections_limit(const struct shown *shown, struct status_text *out)
{
	const struct generation *generation = shown->view->engine->generation;

	show_one(shown, out, generation != NULL ? generation->config->connections : 0);
}

/* ---- reloads, upgrades, events ------------------------------------------------------------------- */

static void show_outcomes(const struct shown *shown, struct status_text *out,
			  const struct news_outcome *outcome)
{
	struct sample sample = { shown->name, "_total", "outcome", "succeeded", NULL };

	sample_number(out, sample, outcome->succeeded);
	sample.value = "failed";
	sample_number(out, sample, outcome->failed);
}

void show_reload_success(const struct shown *shown, struct status_text *out)
{
	show_one(shown, out, shown->view->news.reload.good != 0);
}

void show_reload_time(const struct shown *shown, struct status_text *out)
{
	sample_time(out, (struct sample){ .name = shown->name, .suffix = "" },
		    shown->view->news.reload.at_ms);
}

void show_reloads(const struct shown *shown, struct status_text *out)
{
	show_outcomes(shown, out, &shown->view->news.reload);
}

/* There may have been none: that is no failure. */
void show_upgrade_success(const struct shown *shown, struct status_text *out)
{
	const struct news_outcome *upgrade = &shown->view->news.upgrade;

	show_one(shown, out, upgrade->good != 0 || upgrade->at_ms == 0);
}

void show_upgrade_time(const struct shown *shown, struct status_text *out)
{
	sample_time(out, (struct sample){ .name = shown->name, .suffix = "" },
		    shown->view->news.upgrade.at_ms);
}

void show_upgrades(const struct shown *shown, struct status_text *out)
{
	show_outcomes(shown, out, &shown->view->news.upgrade);
}

void show_events(const struct shown *shown, struct status_text *out)
{
	const struct board *board = view_board(shown->view);

	sample_number(out, (struct sample){ .name = shown->name, .suffix = "_total" },
		      board != NULL ? board->events.last : 0);
}

void show_event_times(const struct shown *shown, struct status_text *out)
{
	const struct board *board = view_board(shown->view);
	uint64_t at_ms[NEWS_KINDS] = { 0 }, after = 0;
	struct news_event event;

	for (unsigned i = 0; i < NEWS_EVENTS && board != NULL && news_since(board, after, &event, 1) > 0;
	     i++) {
		after = event.id;
		at_ms[event.kind] = event.at_ms;
	}
	for (unsigned i = 0; i < NEWS_KINDS; i++)
		sample_time(out, (struct sample){ shown->name, "", "kind", news_event_names[i], NULL },
			    at_ms[i]);
}

/* ---- listening sockets, sites -------------------------------------------------------------------- */

void show_queues(const struct shown *shown, struct status_text *out)
{
	for (unsigned i = 0; i < shown->view->listener_count; i++) {
		const struct view_listener *listener = &shown->view->listeners[i];

		sample_number(out, (struct sample){ shown->name, "", "address", listener->address, NULL },
			      listener->waiting);
	}
}

void show_queue_drops(const struct shown *shown, struct status_text *out)
{
	for (unsigned i = 0; i < shown->view->listener_count; i++) {
		const struct view_listener *listener = &shown->view->listeners[i];

		sample_number(out,
			      (struct sample){ shown->name, "_total", "address", listener->address, NULL },
			      listener->dropped);
	}
}

static const char *const classes[METRICS_CLASSES] = {
	"class=\"1xx\"", "class=\"2xx\"", "class=\"3xx\"", "class=\"4xx\"", "class=\"5xx\"",
};

void show_site_responses(const struct shown *shown, struct status_text *out)
{
	for (unsigned i = 0; i < METRICS_SITES; i++) {
		const struct view_site *site = &shown->view->sites[i];

		for (unsigned class = 0; class < METRICS_CLASSES && site->used; class ++)
			sample_number(
				out,
				(struct sample){ shown->name, "_total", "site", site->name, classes[class] },
				site->requests[class]);
	}
}

void show_site_sent(const struct shown *shown, struct status_text *out)
{
	for (unsigned i = 0; i < METRICS_SITES; i++) {
		const struct view_site *site = &shown->view->sites[i];

		if (site->used)
			sample_number(out, (struct sample){ shown->name, "_total", "site", site->name, NULL },
				      site->bytes);
	}
}

void show_site_duration(const struct shown *shown, struct status_text *out)
{
	for (unsigned i = 0; i < METRICS_SITES; i++) {
		const struct view_site *site = &shown->view->sites[i];

		if (site->used)
			sample_histogram(out, (struct sample){ shown->name, "", "site", site->name, NULL },
					 site->latency, site->duration_ns);
	}
}

/* ---- slots
 * -----------------------------------------------------------------------------------------
 */

void show_each_slot(const struct shown *shown, struct status_text *out, show_slot slot)
{
	unsigned first = shown->part * SHOW_SLOTS_A_PART;
	char number[12];

	for (unsigned i = first; i < first + SHOW_SLOTS_A_PART && i < shown->view->slot_count; i++) {
		snprintf(number, sizeof(number), "%u", i);
		slot(&shown->view->slots[i], (struct sample){ shown->name, "", "slot", number, NULL }, out);
	}
}

void show_slot_connections(const struct view_slot *slot, struct sample sample, struct status_text *out)
{
	char state[32];

	sample.more = state;
	for (unsigned i = 0; i < DOINGS; i++) {
		snprintf(state, sizeof(state), "state=\"%s\"", view_doing_names[i]);
		sample_number(out, sample, view_doing(slot, (enum doing)i));
	}
}

static void slot_count(const struct view_slot *slot, struct sample sample, struct status_text *out,
		       enum counter counter)
{
	sample.suffix = "_total";
	sample_number(out, sample, slot->counters[counter]);
}

void show_slot_accepted(const struct view_slot *slot, struct sample sample, struct status_text *out)
{
	slot_count(slot, sample, out, COUNT_ACCEPTED);
}

void show_slot_sent(const struct view_slot *slot, struct sample sample, struct status_text *out)
{
	slot_count(slot, sample, out, COUNT_BYTES_SENT);
}

void show_slot_rescued(const struct view_slot *slot, struct sample sample, struct status_text *out)
{
	slot_count(slot, sample, out, COUNT_RESCUED);
}

void show_slot_responses(const struct view_slot *slot, struct sample sample, struct status_text *out)
{
	static const enum counter counters[] = { COUNT_STATUS_2XX, COUNT_STATUS_3XX, COUNT_STATUS_4XX,
						 COUNT_STATUS_5XX };

	for (unsigned i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		sample.more = classes[i + 1];
		slot_count(slot, sample, out, counters[i]);
	}
}

void show_slot_deaths(const struct view_slot *slot, struct sample sample, struct status_text *out)
{
	static const char *const reasons[] = {
		"reason=\"crashed\"", "reason=\"killed\"", "reason=\"exited\"", "reason=\"hung\"",
	};

	for (unsigned i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		sample.more = reasons[i];
		slot_count(slot, sample, out, COUNT_DIED_CRASHED + i);
	}
}

void show_slot_stalls(const struct view_slot *slot, struct sample sample, struct status_text *out)
{
	slot_count(slot, sample, out, COUNT_STALLED);
}

void show_slot_ready(const struct view_slot *slot, struct sample sample, struct status_text *out)
{
	sample_number(out, sample, view_ready(slot));
}

void show_slot_busy(const struct view_slot *slot, struct sample sample, struct status_text *out)
{
	sample.suffix = "_total";
	sample_seconds(out, sample, slot->busy_ns);
}

void show_slot_turn(const struct view_slot *slot, struct sample sample, struct status_text *out)
{
	sample_histogram(out, sample, slot->duration, slot->busy_ns);
}
