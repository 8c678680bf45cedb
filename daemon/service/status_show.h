/* The families of metrics that are more than counters: what each one's samples are. */
#ifndef SERVICE_STATUS_SHOW_H
#define SERVICE_STATUS_SHOW_H

#include "status_sample.h"

enum { SHOW_SLOTS_A_PART = 16 };

/* What a family's function gets. */
struct shown {
	const struct view *view;
	const char *name;               /* the family's */
	unsigned part;                  /* of a family of slots: which SHOW_SLOTS_A_PART of them */
};

typedef void (*show_family)(const struct shown *shown, struct status_text *out);

void show_build(const struct shown *shown, struct status_text *out);
void show_accept_mode(const struct shown *shown, struct status_text *out);
void show_start(const struct shown *shown, struct status_text *out);
void show_generation(const struct shown *shown, struct status_text *out);
void show_stopping(const struct shown *shown, struct status_text *out);
void show_slots(const struct shown *shown, struct status_text *out);
void show_workers(const struct shown *shown, struct status_text *out);
void show_connections_limit(const struct shown *shown, struct status_text *out);
void show_reload_success(const struct shown *shown, struct status_text *out);
void show_reload_time(const struct shown *shown, struct status_text *out);
void show_reloads(const struct shown *shown, struct status_text *out);
void show_upgrade_success(const struct shown *shown, struct status_text *out);
void show_upgrade_time(const struct shown *shown, struct status_text *out);
void show_upgrades(const struct shown *shown, struct status_text *out);
void show_events(const struct shown *shown, struct status_text *out);
void show_event_times(const struct shown *shown, struct status_text *out);
void show_queues(const struct shown *shown, struct status_text *out);
void show_queue_drops(const struct shown *shown, struct status_text *out);
void show_site_responses(const struct shown *shown, struct status_text *out);
void show_site_sent(const struct shown *shown, struct status_text *out);
void show_site_duration(const struct shown *shown, struct status_text *out);

/* One slot's samples; `sample` has its label. */
typedef void (*show_slot)(const struct view_slot *slot, struct sample sample, struct status_text *out);

void show_slot_connections(const struct view_slot *slot, struct sample sample, struct status_text *out);
void show_slot_accepted(const struct view_slot *slot, struct sample sample, struct status_text *out);
void show_slot_sent(const struct view_slot *slot, struct sample sample, struct status_text *out);
void show_slot_rescued(const struct view_slot *slot, struct sample sample, struct status_text *out);
void show_slot_responses(const struct view_slot *slot, struct sample sample, struct status_text *out);
void show_slot_deaths(const struct view_slot *slot, struct sample sample, struct status_text *out);
void show_slot_stalls(const struct view_slot *slot, struct sample sample, struct status_text *out);
void show_slot_ready(const struct view_slot *slot, struct sample sample, struct status_text *out);
void show_slot_busy(const struct view_slot *slot, struct sample sample, struct status_text *out);
void show_slot_turn(const struct view_slot *slot, struct sample sample, struct status_text *out);

/* Calls it for each slot of the part. */
void show_each_slot(const struct shown *shown, struct status_text *out, show_slot slot);

#endif
