/* slots.c - the seats: who sits in them, who follows, and what happens while nobody does.
 *
 * Called by spawn.c and reload.c; cannot fail: what does not work now is tried again later. */
#include "master.h"
#include "notify.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Five parts that may not include one another each have a place for every slot. */
_Static_assert((int)CONFIG_MAX_WORKERS == (int)HOT_SLOTS && (int)CONFIG_MAX_WORKERS == (int)BOARD_SLOTS &&
		       (int)CONFIG_MAX_WORKERS == (int)SLOW_SLOTS &&
		       (int)CONFIG_MAX_WORKERS == (int)CHANNEL_MAX_SLOTS,
	       "whatever is by slot has room for all of them");

static unsigned index_of(const struct slot *slot)
{
	return (unsigned)(slot - slot->master->slots);
}

static bool needs_worker(const struct slot *slot)
{
	const struct master *master = slot->master;

	return !slot->held && !stop_is_draining(master) && master->current.generation != NULL &&
	       slot->next == NULL && index_of(slot) < master->slot_count &&
	       (slot->serving == NULL || slot->replace);
}

static void respawn(struct timer *timer, uint64_t now_ns)
{
	struct slot *slot = LIST_ENTRY(timer, struct slot, respawn);
	struct err err;

	(void)now_ns;
	if (!needs_worker(slot) ||
	    spawn_child(slot->master, index_of(slot), &slot->master->current, &err) != NULL)
		return;
	log_event(LEVEL_ERROR, "respawn_failed", log_number("slot", index_of(slot)),
		  log_text("error", err.text));
	slot_respawn(slot, NULL);
}

bool slot_is_good(const struct slot *slot)
{
	return slot->serving != NULL && slot->serving->state == CHILD_SERVING && !slot->bad;
}

static bool somebody_serves(const struct master *master)
{
	for (unsigned i = 0; i < master->slot_count; i++)
		if (slot_is_good(&master->slots[i]))
			return true;
	return false;
}

static uint64_t served_ms(const struct child *child)
{
	return child->served_ns != 0 ? (child->master->loop.now_ns - child->served_ns) / CLOCK_MS : 0;
}

static void respawn_after(struct slot *slot, uint64_t after_ms)
{
	slot->respawn.fire = respawn;
	loop_timer(&slot->master->loop, &slot->respawn, after_ms * CLOCK_MS);
}

void slot_respawn(struct slot *slot, const struct child *dead)
{
	struct respawn_view view = {
		.came = dead != NULL && dead->served_ns != 0,
		.served_ms = dead != NULL ? served_ms(dead) : 0,
		.failures = slot->failures,
		.others = somebody_serves(slot->master),
	};
	struct respawn next = respawn_decide(&view);

	if (!needs_worker(slot))
		return;
	slot->failures = next.failures;
	slot->came = view.came;
	respawn_after(slot, next.after_ms);
	if (next.after_ms > 0)
		log_event(LEVEL_WARNING, "respawn_delayed", log_number("slot", index_of(slot)),
			  log_number("after_ms", next.after_ms), log_number("failures", slot->failures));
	hold_slot_fails(slot);
}

void slot_renew(struct slot *slot)
{
	if (slot_is_failing(slot))
		slot_respawn(slot, NULL);
	else if (needs_worker(slot))
		respawn_after(slot, 0);
}

bool slot_is_failing(const struct slot *slot)
{
	return slot->failures > 0 && (slot->serving == NULL || served_ms(slot->serving) < RESPAWN_TRUSTED_MS);
}

void slots_forget(struct master *master)
{
	for (unsigned i = 0; i < CONFIG_MAX_WORKERS; i++) {
		free(master->slots[i].death);
		master->slots[i].death = NULL;
	}
}

void slot_resume(struct slot *slot)
{
	slot->respawn.fire = respawn;
	if (slot->respawn.due_ns != 0)
		timer_arm(&slot->master->loop.timers, &slot->respawn, slot->respawn.due_ns);
}

static void tell_cover(struct child *child)
{
	struct message message = { .type = MESSAGE_COVER, .bytes = sizeof(struct slot_set) };
	struct err err;

	message.body.cover = child->master->uncovered;
	child->behind = !channel_send(child->channel.fd, &message, NULL, 0, &err);
	if (child->behind && errno != EPIPE && errno != ECONNRESET)
		log_event(LEVEL_WARNING, "worker_unreachable", log_number("slot", child->slot),
			  log_text("error", err.text));
}

void slot_take(struct child *child)
{
	struct slot *slot = &child->master->slots[child->slot];
	struct child *before = slot->serving;

	if (slot->next != child)
		return;
	slot->next = NULL;
	slot->serving = child;
	slot->replace = false;
	tell_served(slot);
	slots_publish_seats(child->master);
	tell_cover(child);              /* it may have changed between its GO and now */
	if (before != NULL && !guard_is_armed()) {      /* else it serves on until there is no way back */
		reload_child_left(before);
		child_happens(before, EV_RETIRE);
	}
	handover_arrange(child->master);
	hold_slot_serves(slot);
}

void slots_retire_old(struct master *master)
{
	FOR_EACH_CHILD(master, child) {
		if (child->state == CHILD_SERVING && master->slots[child->slot].serving != child)
			child_happens(child, EV_RETIRE);
	}
	handover_arrange(master);
}

static void empty_slot(struct slot *slot)
{
	struct child *next = slot->next, *serving = slot->serving;

	timer_cancel(&slot->respawn);
	slot->replace = slot->bereft = false;
	slot->failures = 0;
	slot->next = slot->serving = NULL;
	if (slot->held)                 /* the others accept from its sockets before it stops */
		slots_publish(slot->master);
	if (next != NULL)
		child_happens(next, EV_RETIRE);
	if (serving != NULL)
		child_happens(serving, EV_RETIRE);
}

void slot_hold(struct slot *slot)
{
	slot->held = true;
	empty_slot(slot);
	handover_arrange(slot->master);
}

void slot_unhold(struct slot *slot)
{
	slot->held = false;
	slot_renew(slot);
}

void slots_trim(struct master *master)
{
	hold_trim(master);
	for (unsigned i = master->slot_count; i < CONFIG_MAX_WORKERS; i++)
		empty_slot(&master->slots[i]);
	handover_arrange(master);
}

/* A seat never counts as good with another worker's line. */
static void publish_seat(const struct slot *slot, struct hot_seat *seat)
{
	bool good = index_of(slot) < slot->master->slot_count && slot_is_good(slot);
	uint32_t line = good ? slot->serving->column : 0;

	if (seat->good == good && seat->line == line)
		return;
	__atomic_store_n(&seat->good, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&seat->line, line, __ATOMIC_RELEASE);
	__atomic_store_n(&seat->good, good, __ATOMIC_RELEASE);
}

void slots_publish_seats(struct master *master)
{
	if (master->current.generation != NULL)
		master->hot->stall_ns = master->current.generation->config->stall_ns;
	for (unsigned i = 0; i < CONFIG_MAX_WORKERS; i++)
		publish_seat(&master->slots[i], &master->hot->seat[i]);
	master->hot->slots = master->slot_count;
}

void slots_catch_up(struct child *child)
{
	if (child->behind)
		tell_cover(child);
}

/* One that does not read its channel must not have it filled; it is told when it moves again. */
static void tell_all(struct master *master, const struct slot_set *before)
{
	for (unsigned i = 0; i < CONFIG_MAX_WORKERS; i++) {
		struct slot *slot = &master->slots[i];

		if (slot->serving == NULL)
			continue;
		if (slot->bad && slot_set_has(before, i))
			slot->serving->behind = true;
		else
			tell_cover(slot->serving);
	}
}

void slots_tell_again(struct master *master)
{
	memset(&master->uncovered, 0xff, sizeof(master->uncovered));
}

/* Nobody serves any more: no slot waits for long. */
static void hasten(struct master *master)
{
	if (somebody_serves(master))
		return;
	for (unsigned i = 0; i < master->slot_count; i++) {
		struct slot *slot = &master->slots[i];
		uint64_t longest_ms = respawn_longest_ms(slot->came);

		if (timer_armed(&slot->respawn) &&
		    slot->respawn.due_ns > master->loop.now_ns + longest_ms * CLOCK_MS)
			respawn_after(slot, longest_ms);
	}
}

void slots_publish(struct master *master)
{
	struct slot_set uncovered = { 0 }, before = master->uncovered;

	rescue_seats(master);
	slots_publish_seats(master);
	hasten(master);
	wills_arrange(master);
	for (unsigned i = 0; i < master->slot_count; i++)
		if (master->slots[i].serving == NULL || master->slots[i].bad)
			slot_set_add(&uncovered, i);
	if (stop_is_draining(master) || memcmp(&uncovered, &master->uncovered, sizeof(uncovered)) == 0)
		return;
	master->uncovered = uncovered;
	tell_all(master, &before);
	notify_status(master);
}
