/* hold.c - taking a slot, or the service, out of service, and back (droverctl drain, droverctl resume).
 *
 *	drain SLOT -> its seat is no good, siblings accept from its sockets -> its worker hands over and ends
 *	    -> the slot stays empty: no crash, reload, replacement or upgrade gives it a worker
 *	resume SLOT -> a fresh worker, as after a crash
 *	drain all -> health routes answer 503, in these workers and all that follow; all else is as before
 *
 * A slot that is held is one flag, `held`: slots.c asks it before it gives a slot a worker, plan.c before it
 * asks one to vote. What a person wants of slots waits for the end of an open transition or upgrade, so that
 * neither meets a slot that changes under it. Called by control.c; by spawn.c and slots.c when a worker came
 * or went; cannot fail: who asks hears why not.
 */
#include "hold.h"

#include "departure.h"
#include "master.h"
#include "notify.h"
#include "tell.h"

#include "base/log.h"

#include <stdio.h>

enum { TEXT_BYTES = 256 };

/* Longer than a machine stands still: the master may be the first that goes on. */
#define HANGS_NS (3 * CLOCK_S)

/* ---- the decision ------------------------------------------------------------------------------------ */

enum hold_verdict hold_decide(const struct hold_view *view)
{
	if (!view->exists)
		return HOLD_NO_SLOT;
	if (view->back)
		return view->held ? HOLD_DO : view->serves ? HOLD_IS_SO : HOLD_WAIT;
	if (view->held)
		return HOLD_WAIT;
	return view->others ? HOLD_DO : HOLD_LAST;
}

/* ---- answers ----------------------------------------------------------------------------------------- */

static void answer(struct asker *asker, bool good, const char *text, const struct parting *parting)
{
	list_remove(&asker->link);
	asker->answer(asker, &(struct outcome){ .good = good, .text = text, .parting = parting });
}

/* All that wait for the slot to come back (or to leave). */
static void answer_all(struct master *master, unsigned slot, bool back, bool good, const char *text,
		       const struct parting *parting)
{
	struct list answered;
	struct list *next;

	list_init(&answered);
	for (struct list *link = master->hold.askers.next; link != &master->hold.askers; link = next) {
		struct asker *asker = LIST_ENTRY(link, struct asker, link);

		next = link->next;
		if (asker->slot != slot || asker->back != back)
			continue;
		list_remove(link);
		list_push_back(&answered, link);
	}
	while (!list_empty(&answered))
		answer(LIST_ENTRY(answered.next, struct asker, link), good, text, parting);
}

/* ---- a slot leaves ----------------------------------------------------------------------------------- */

/* The youngest of those that were told to leave the slot; NULL: none. */
static const struct child *leaver_of(const struct master *master, unsigned slot)
{
	for (const struct list *link = master->children.prev; link != &master->children; link = link->prev) {
		const struct child *child = LIST_ENTRY(link, struct child, link);

		if (child->slot == slot && child->left_ns != 0 && !child->trial)
			return child;
	}
	return NULL;
}

static void take_out(struct master *master, struct asker *asker)
{
	struct slot *slot = &master->slots[asker->slot];
	char text[TEXT_BYTES];
	struct err err;

	if (slot->serving != NULL && !plan_may_leave(master, asker->slot, &err)) {
		answer(asker, false, err.text, NULL);
		return;
	}
	answer_all(master, asker->slot, true, false, "it was taken out of service meanwhile", NULL);
	log_event(LEVEL_NOTICE, "slot_held", log_number("slot", asker->slot),
		  log_number("pid", slot->serving != NULL ? (uint64_t)slot->serving->pid : 0));
	slot_hold(slot);
	snprintf(text, sizeof(text), "slot %u is drained", asker->slot);
	tell_event(master, NEWS_DRAIN, asker->slot, true, text);
}

static void wait_for_leaver(struct master *master, struct asker *asker)
{
	char text[TEXT_BYTES];

	snprintf(text, sizeof(text), "slot %u is out of service", asker->slot);
	if (leaver_of(master, asker->slot) == NULL || asker->at_once)
		answer(asker, true, text, NULL);
	else
		list_push_back(&master->hold.askers, &asker->link);
}

static const char *plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

void hold_child_gone(const struct child *child)
{
	struct master *master = child->master;
	struct parting parting = departure_of(child);
	char text[TEXT_BYTES];

	if (leaver_of(master, child->slot) != child)
		return;
	parting.cut += parting.left;    /* it was killed, or crashed */
	parting.left = 0;
	snprintf(text, sizeof(text),
		 "slot %u is out of service%s; of %llu connection%s of its worker %llu %s handed over, %llu "
		 "finished, %llu %s cut",
		 child->slot, master->slots[child->slot].held ? "" : " no more",
		 (unsigned long long)parting.connections, plural(parting.connections),
		 (unsigned long long)parting.moved, parting.moved == 1 ? "was" : "were",
		 (unsigned long long)parting.finished, (unsigned long long)parting.cut,
		 parting.cut == 1 ? "was" : "were");
	answer_all(master, child->slot, false, true, text, &parting);
}

/* ---- and comes back ---------------------------------------------------------------------------------- */

static void give_back(struct master *master, const struct asker *asker)
{
	char text[TEXT_BYTES];

	log_event(LEVEL_NOTICE, "slot_resumed", log_number("slot", asker->slot));
	slot_unhold(&master->slots[asker->slot]);
	snprintf(text, sizeof(text), "slot %u is resumed", asker->slot);
	tell_event(master, NEWS_DRAIN, asker->slot, true, text);
}

static void wait_for_worker(struct master *master, struct asker *asker)
{
	if (asker->at_once)
		answer(asker, true, "a worker is on its way", NULL);
	else
		list_push_back(&master->hold.askers, &asker->link);
}

void hold_slot_serves(const struct slot *slot)
{
	unsigned index = (unsigned)(slot - slot->master->slots);
	char text[TEXT_BYTES];

	snprintf(text, sizeof(text), "slot %u serves: pid %d", index, (int)slot->serving->pid);
	answer_all(slot->master, index, true, true, text, NULL);
}

void hold_slot_fails(const struct slot *slot)
{
	unsigned index = (unsigned)(slot - slot->master->slots);
	char text[TEXT_BYTES];

	snprintf(text, sizeof(text),
		 "slot %u is in service, but its worker could not start; it is tried again, and the log says "
		 "why it failed",
		 index);
	answer_all(slot->master, index, true, false, text, NULL);
}

void hold_trim(struct master *master)
{
	char text[TEXT_BYTES];

	for (unsigned i = master->slot_count; i < CONFIG_MAX_WORKERS; i++) {
		master->slots[i].held = false;
		if (list_empty(&master->hold.askers))
			continue;
		snprintf(text, sizeof(text), "a reload has taken slot %u away", i);
		answer_all(master, i, true, false, text, NULL);
	}
}

/* ---- the whole service ------------------------------------------------------------------------------- */

static void hold_all(struct master *master, struct asker *asker)
{
	struct hold *hold = &master->hold;
	bool changed = hold->all == asker->back;

	hold->all = !asker->back;
	if (changed) {
		hold->since_ns = hold->all ? master->loop.now_ns : 0;
		log_event(LEVEL_NOTICE, hold->all ? "service_held" : "service_resumed");
		tell_event(master, NEWS_DRAIN, NEWS_NO_SLOT, true,
			   hold->all ? "health routes answer 503" : "health routes answer 200");
		stop_tell_all(master);
		notify_status(master);
	}
	answer(asker, true,
	       hold->all ? "health routes answer 503; all else is served as before"
			 : "health routes answer 200",
	       NULL);
}

uint64_t hold_since_ns(const struct master *master)
{
	return master->hold.all ? master->hold.since_ns : 0;
}

/* ---- asked ------------------------------------------------------------------------------------------- */

/* One that has not got on for a moment has a lot to do; for longer, it hangs. */
static bool serves(const struct slot *slot)
{
	return slot->serving != NULL && slot->serving->state == CHILD_SERVING &&
	       rescue_bad_ns(slot) < HANGS_NS;
}

static bool others_serve(const struct master *master, unsigned slot)
{
	for (unsigned i = 0; i < master->slot_count; i++)
		if (i != slot && serves(&master->slots[i]))
			return true;
	return false;
}

static void hold_slot(struct master *master, struct asker *asker)
{
	unsigned index = asker->slot;
	bool exists = index < master->slot_count;
	const struct slot *slot = exists ? &master->slots[index] : NULL;
	struct hold_view view = {
		.back = asker->back,
		.exists = exists,
		.held = exists && slot->held,
		.serves = exists && slot->serving != NULL,
		.others = others_serve(master, index),
	};
	enum hold_verdict verdict = hold_decide(&view);
	char text[TEXT_BYTES];

	if (verdict == HOLD_NO_SLOT) {
		snprintf(text, sizeof(text), "there is no slot %u: they are 0 to %u", index,
			 master->slot_count - 1);
		answer(asker, false, text, NULL);
	} else if (verdict == HOLD_LAST) {
		snprintf(text, sizeof(text),
			 "slot %u stays in service: no other one has a worker that serves (droverctl drain "
			 "all has a load balancer go elsewhere)",
			 index);
		answer(asker, false, text, NULL);
	} else if (verdict == HOLD_IS_SO) {
		snprintf(text, sizeof(text), "slot %u is in service", index);
		answer(asker, true, text, NULL);
	} else if (asker->back) {
		if (verdict == HOLD_DO)
			give_back(master, asker);
		wait_for_worker(master, asker);
	} else {
		if (verdict == HOLD_DO)
			take_out(master, asker);
		if (master->slots[index].held)
			wait_for_leaver(master, asker);
	}
}

/* A slot that changed under a transition would change who votes; and what one image has told the workers the
 * other one must know of. */
static bool must_wait(const struct master *master, const struct asker *asker)
{
	return upgrade_is_open(master) || guard_is_armed() ||
	       (asker->slot != HOLD_ALL && master->transition.phase != PHASE_IDLE);
}

void hold_ask(struct master *master, struct asker *asker)
{
	if (master_is_stopping(master))
		asker->answer(asker, &outcome_stopping);
	else if (must_wait(master, asker))
		list_push_back(&master->hold.later, &asker->link);
	else if (asker->slot == HOLD_ALL)
		hold_all(master, asker);
	else
		hold_slot(master, asker);
}

void hold_continue(struct master *master)
{
	struct list asked;

	list_init(&asked);
	list_move_all(&asked, &master->hold.later);
	for (struct list *link = list_pop_front(&asked); link != NULL; link = list_pop_front(&asked))
		hold_ask(master, LIST_ENTRY(link, struct asker, link));
}

void hold_stop(struct master *master)
{
	askers_answer(&master->hold.askers, &outcome_stopping);
	askers_answer(&master->hold.later, &outcome_stopping);
}
