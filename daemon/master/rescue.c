/* rescue.c - nobody waits for a worker that does not come: its siblings accept what comes to its slot, until
 * it moves again.
 *
 *	a connection arrives at an armed socket (EPOLLONESHOT: one event)
 *	    -> looks, all sockets and slots at once, as long as there is something to see
 *	    -> a slot is bad: COVER to the others, its seat is no good for the steering program
 *	    -> it moves again, or is ended after timeouts.hang_kill -> one line in the log
 *	    -> nobody waits, nothing is bad: sockets are armed again, and there is no timer
 *
 * When nothing comes the master sleeps. Under load sockets stay disarmed from look to look, so that it costs
 * the same for any number of connections. A worker that hangs while nobody comes is found when somebody does,
 * or by the watchdog's tick. Called by arrivals.c, slots.c, watch.c and by its own timer; cannot fail. */
#include "arrivals.h"
#include "master.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	/* more than one connection from one look to the next: they go on, instead of an event for each */
	LIVELY = 2,
	SAID = 5,                       /* fields of a line, before what the worker was doing */
};

/* ---- what is looked at ------------------------------------------------------------------------------- */

static uint64_t stall_of(const struct master *master)
{
	return master->current.generation->config->stall_ns;
}

/* Workers that leave at a stop have deadlines of their own, and nobody takes their place. */
static bool is_on(const struct master *master)
{
	return master->current.generation != NULL && !stop_is_draining(master);
}

/* ---- slots ------------------------------------------------------------------------------------------- */

/* Of all workers: when two slots are bad at once, each has the sum. */
static uint64_t rescued_by_now(const struct master *master)
{
	return board_sum(master->board, COUNT_RESCUED);
}

uint64_t rescue_count(const struct slot *slot)
{
	return slot->rescue.hang.bad ? rescued_by_now(slot->master) - slot->rescue.rescued_before : 0;
}

uint64_t rescue_bad_ns(const struct slot *slot)
{
	const struct hang *hang = &slot->rescue.hang;
	uint64_t now_ns = slot->master->loop.now_ns;

	return hang->bad && hang->began_ns < now_ns ? now_ns - hang->began_ns : 0;
}

/* What was short and helped nobody is not worth a line, nor is a worker that was only slow to wake. */
static bool is_worth_a_line(const struct slot *slot, uint64_t for_ns)
{
	const struct slot_rescue *known = &slot->rescue;

	return known->hang.hung &&
	       (known->killed || for_ns >= CLOCK_S || (known->hang.certain && rescue_count(slot) > 0));
}

/* While it hangs: afterwards its epitaph is about something else. */
static void note_doing(struct slot *slot)
{
	struct slot_rescue *known = &slot->rescue;

	if (known->hang.hung && known->doing == NULL)
		known->doing = malloc(sizeof(*known->doing));
	else
		return;
	known->doing_ns = slot->master->loop.now_ns;
	if (known->doing != NULL)
		obituary_of(slot->serving, known->doing);
}

static void forget(struct slot *slot)
{
	free(slot->rescue.doing);
	slot->rescue = (struct slot_rescue){ 0 };
}

static void say_over(const struct slot *slot, uint64_t end_ns, const char *how)
{
	const struct slot_rescue *known = &slot->rescue;
	uint64_t for_ns = known->hang.began_ns < end_ns ? end_ns - known->hang.began_ns : 0;
	struct log_field fields[SAID + OBITUARY_FIELDS] = {
		log_number("slot", (uint64_t)(slot - slot->master->slots)),
		log_number("pid", (uint64_t)known->pid),
		log_number("for_ms", for_ns / CLOCK_MS),
		log_number("rescued", rescue_count(slot)),
		log_text("how", how),
	};

	if (!is_worth_a_line(slot, for_ns))
		return;
	if (known->doing != NULL) {
		known->doing->request_ms += (end_ns - known->doing_ns) / CLOCK_MS;
		obituary_fields(known->doing, fields, SAID);
	}
	log_fields(LEVEL_WARNING, "hang_over", fields);
}

/* What is short and helps nobody is not told either. */
static void tell_hang(struct slot *slot)
{
	if (slot->rescue.told || !slot->rescue.hang.bad || !is_worth_a_line(slot, rescue_bad_ns(slot)))
		return;
	slot->rescue.told = true;
	tell_stall(slot->serving);
}

static void tell_over(const struct slot *slot, uint64_t end_ns, const char *how)
{
	const struct slot_rescue *known = &slot->rescue;
	uint64_t for_ns = known->hang.began_ns < end_ns ? end_ns - known->hang.began_ns : 0;
	char text[NEWS_EVENT_BYTES];

	if (!known->told)
		return;
	snprintf(text, sizeof(text), "after %llu ms: %s; %llu connection%s rescued",
		 (unsigned long long)(for_ns / CLOCK_MS), how, (unsigned long long)rescue_count(slot),
		 rescue_count(slot) == 1 ? "" : "s");
	tell_event(slot->master, NEWS_RECOVERED, (uint32_t)(slot - slot->master->slots), true, text);
}

static bool is_left(const struct slot *slot)
{
	return slot->rescue.pid != 0 && (slot->serving == NULL || slot->serving->pid != slot->rescue.pid);
}

static void leave(struct slot *slot)
{
	struct slot_rescue *known = &slot->rescue;

	if (known->hang.bad && is_on(slot->master))
		say_over(slot, slot->master->loop.now_ns,
			 known->killed             ? "killed"
			 : slot->serving == NULL ? "its worker ended"
						 : "replaced");
	if (known->hang.bad && slot->serving != NULL && !known->killed) /* else the crash was told */
		tell_over(slot, slot->master->loop.now_ns, "replaced");
	forget(slot);
	slot->bad = false;
}

void rescue_seats(struct master *master)
{
	for (unsigned i = 0; i < CONFIG_MAX_WORKERS; i++)
		if (is_left(&master->slots[i]))
			leave(&master->slots[i]);
}

/* One that is being killed accepts nothing more. */
static struct hang_view view_of(const struct slot *slot)
{
	const struct child *child = slot->serving;
	const struct hot_line *line = &child->master->hot->line[child->column];

	return (struct hang_view){
		.now_ns = child->master->loop.now_ns,
		.queued = slot->rescue.queued,
		.stopped = child->state == CHILD_KILLED || watch_is_stopped(child),
		.holding = hot_read(&line->holding) != 0,
		.busy_since_ns = hot_read(&line->busy_since_ns),
		.turn_ns = hot_read(&line->turn_ns),
		.accepted = hot_read(&line->accepted),
	};
}

/* Nobody knows why it does not move: perhaps it has nothing to do. */
static void ask(const struct slot *slot)
{
	if (slot->rescue.hang.silent && slot->serving->state == CHILD_SERVING)
		channel_hint(slot->serving->channel.fd, MESSAGE_LOOK);
}

static void look_at_slot(struct slot *slot)
{
	struct slot_rescue *known = &slot->rescue;
	struct hang_view view = view_of(slot);
	bool bad = known->hang.bad;

	known->pid = slot->serving->pid;
	hang_look(&known->hang, &view, stall_of(slot->master));
	if (!bad && known->hang.bad)
		known->rescued_before = rescued_by_now(slot->master);
	note_doing(slot);
	tell_hang(slot);
	ask(slot);
	if (known->hang.moved_ns == view.now_ns)
		slots_catch_up(slot->serving);
	if (bad && !known->hang.bad) {
		known->hang.bad = true;          /* for the count */
		say_over(slot, known->hang.moved_ns, "it moves again");
		tell_over(slot, known->hang.moved_ns, "it moves again");
		forget(slot);
	}
	slot->bad = known->hang.bad;
}

/* Is there something new? A worker that has said READY and no more has no seat yet. */
static bool look_at_slots(struct master *master)
{
	bool changed = false;

	for (unsigned i = 0; i < master->slot_count; i++) {
		struct slot *slot = &master->slots[i];
		bool before = slot->bad;

		if (slot->serving == NULL || slot->serving->state == CHILD_DRAINING)
			continue;
		look_at_slot(slot);
		changed = changed || slot->bad != before;
	}
	return changed;
}

/* ---- what is done ------------------------------------------------------------------------------------ */

/* While a transition is open its own deadlines end who does not answer; and while an upgrade can be taken
 * back no worker is ended. */
static bool may_kill(const struct master *master)
{
	return master->transition.phase == PHASE_IDLE && !upgrade_is_open(master) && !guard_is_armed();
}

static void kill_hung(struct master *master)
{
	uint64_t limit_ns = master->current.generation->config->hang_kill_ns;

	for (unsigned i = 0; i < master->slot_count && may_kill(master); i++) {
		struct slot *slot = &master->slots[i];

		if (slot->serving == NULL || slot->serving->state != CHILD_SERVING ||
		    !hang_is_for(&slot->rescue.hang, limit_ns))
			continue;
		slot->rescue.killed = true;
		child_happens(slot->serving, EV_DEADLINE);
	}
}

bool rescue_handles(const struct slot *slot)
{
	const struct generation *current = slot->master->current.generation;
	const struct hang *hang = &slot->rescue.hang;

	return hang->bad && hang->hung && hang->moved_ns == 0 && current != NULL &&
	       current->config->hang_kill_ns != 0;
}

/* ---- looks ------------------------------------------------------------------------------------------- */

static uint64_t accepted_by_all(const struct master *master)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < master->slot_count; i++)
		if (master->slots[i].serving != NULL)
			sum += hot_read(&master->hot->line[master->slots[i].serving->column].accepted);
	return sum;
}

static bool is_lively(struct master *master)
{
	uint64_t accepted = accepted_by_all(master), before = master->rescue.accepted;

	master->rescue.accepted = accepted;
	return accepted - before >= LIVELY;
}

/* When a slot needs it; UINT64_MAX: none does. */
static uint64_t next_of_slots(const struct master *master)
{
	uint64_t next_ns = UINT64_MAX;

	for (unsigned i = 0; i < master->slot_count; i++) {
		uint64_t slot_ns = hang_next_ns(&master->slots[i].rescue.hang, stall_of(master));

		if (master->slots[i].serving != NULL && slot_ns < next_ns)
			next_ns = slot_ns;
	}
	return next_ns;
}

static void on_look(struct timer *timer, uint64_t now_ns)
{
	struct rescue *rescue = LIST_ENTRY(timer, struct rescue, look);

	(void)now_ns;
	rescue_look(LIST_ENTRY(rescue, struct master, rescue));
}

/* At the usual pace, but sooner when somebody will have waited for too long by then. */
static void look_later(struct master *master)
{
	const struct rescue *rescue = &master->rescue;
	uint64_t stall_ns = stall_of(master), now_ns = master->loop.now_ns;
	uint64_t next_ns = now_ns + hang_pace_ns(stall_ns), least_ns = now_ns + hang_least_ns(stall_ns);
	uint64_t slots_ns = next_of_slots(master);

	if (slots_ns < next_ns)
		next_ns = slots_ns;
	if (rescue->common_waits && rescue->common.told_ns == 0 &&
	    rescue->common.since_ns + stall_ns < next_ns)
		next_ns = rescue->common.since_ns + stall_ns;
	if (next_ns < least_ns)
		next_ns = least_ns;
	master->rescue.look.fire = on_look;
	timer_arm(&master->loop.timers, &master->rescue.look, next_ns);
}

void rescue_look(struct master *master)
{
	struct rescue *rescue = &master->rescue;

	timer_cancel(&rescue->look);
	if (!is_on(master))
		return;
	rescue->common_waits = arrivals_poll(master);
	if (look_at_slots(master))
		slots_publish(master);
	if (hang_common_look(&rescue->common, rescue->common_waits, master->loop.now_ns, stall_of(master)))
		spawn_tell_to_look(master, NULL);
	kill_hung(master);
	if (!is_lively(master))
		arrivals_arm(master);
	if (arrivals_are_polled(master) || next_of_slots(master) != UINT64_MAX)
		look_later(master);
}

void rescue_begin(struct master *master)
{
	if (!is_on(master) || timer_armed(&master->rescue.look))
		return;
	if (look_at_slots(master))              /* it hung before anybody came */
		slots_publish(master);
	hang_common_look(&master->rescue.common, false, master->loop.now_ns, stall_of(master));
	is_lively(master);
	look_later(master);
}

void rescue_close(struct master *master)
{
	for (unsigned i = 0; i < CONFIG_MAX_WORKERS; i++)
		forget(&master->slots[i]);
	arrivals_close(master);
}
