/* plan.c - what an open transition needs before its votes are counted: log files, sockets, and in each slot a
 * worker that is asked, a fresh one, or nobody.
 *
 * Called by reload.c, which calls the transition off when a step fails; a dry one is planned here too. */
#include "control.h"
#include "logs.h"
#include "master.h"

#include "base/clock.h"
#include "config/diff.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>

enum { FDS_OF_CONFIG = 3 };             /* what a worker is sent beside sockets: the text, the logs */

/* ---- who votes --------------------------------------------------------------------------------------- */

/* Whoever is starting in the slot with an older generation is overtaken. One that may serve already, since it
 * was told to, retires with all others of its image when an upgrade has no way back any more. */
static void overtake(struct master *master, unsigned slot)
{
	struct child *before = master->slots[slot].next;

	timer_cancel(&master->slots[slot].respawn);
	master->slots[slot].next = NULL;
	if (before == NULL)
		return;
	if (guard_is_armed() && before->state == CHILD_SERVING)
		timer_cancel(&before->deadline);
	else
		child_happens(before, EV_RETIRE);
}

static bool call_fresh(struct master *master, unsigned slot, struct err *err)
{
	struct child *fresh = spawn_child(master, slot, &master->transition.next, err);

	if (fresh == NULL)
		return err_add(err, "slot %u", slot);
	fresh->vote = VOTE_CALLED;
	return true;
}

/* A channel that is broken is a worker that has died: it loses its vote when its end is seen. */
static bool ask(struct child *child, struct err *err)
{
	child->vote = VOTE_ASKED;
	return spawn_ask(child, &child->master->transition.next, err) || errno == EPIPE ||
	       errno == ECONNRESET || err_add(err, "slot %u", child->slot);
}

/* One that is being killed has no vote, and keeps the deadline of that. */
static bool has_nobody(const struct slot *slot)
{
	return slot->serving == NULL || slot->serving->state == CHILD_KILLED;
}

/* Adopt, replace, spawn, or nothing (a slot whose worker is just being respawned has no vote and blocks
 * nobody; but another binary has to show in every slot that it can serve), nor one that is out of service;
 * those above the new count are retired when all others have adopted. A dry one overtakes nobody: its
 * fresh ones take no seat. */
static bool plan_slot(struct master *master, unsigned slot, struct err *err)
{
	const struct transition *transition = &master->transition;
	bool nobody = has_nobody(&master->slots[slot]);

	if (slot < master->slot_count && master->slots[slot].held)
		return true;
	if (nobody && slot < master->slot_count && !upgrade_is_open(master))
		return true;
	if (!transition->dry)
		overtake(master, slot);
	return nobody || transition->replaces ? call_fresh(master, slot, err)
					      : ask(master->slots[slot].serving, err);
}

/* Each is sent every socket, and the kernel bounds how many of one user may be on their way (unix(7),
 * ETOOMANYREFS): what is sent at a time is half of that. */
static unsigned how_many_at_once(const struct master *master)
{
	struct rlimit most = { .rlim_cur = 0 };
	rlim_t at_once;

	getrlimit(RLIMIT_NOFILE, &most);
	at_once = most.rlim_cur / 2 / (sockets_count(master) + FDS_OF_CONFIG);
	return at_once == 0 ? 1 : at_once < CONFIG_MAX_WORKERS ? (unsigned)at_once : CONFIG_MAX_WORKERS;
}

bool plan_ask(struct master *master, struct err *err)
{
	struct transition *transition = &master->transition;

	for (unsigned left = how_many_at_once(master); left > 0 && !plan_is_done(master); left--)
		if (!plan_slot(master, transition->planned++, err))
			return findings_explain(transition->next.findings, err), false;
	return true;
}

bool plan_is_done(const struct master *master)
{
	return master->transition.planned >= master->transition.next.slots;
}

/* ---- who leaves -------------------------------------------------------------------------------------- */

/* The one that has drained for longest, and how many drain in the slot; NULL: none. */
static const struct child *oldest_draining(const struct master *master, unsigned slot, unsigned *count)
{
	const struct child *oldest = NULL;

	*count = 0;
	for (const struct list *link = master->children.prev; link != &master->children; link = link->prev) {
		const struct child *child = LIST_ENTRY(link, struct child, link);

		if (child->slot != slot || child->state != CHILD_DRAINING)
			continue;
		oldest = child;
		(*count)++;
	}
	return oldest;
}

/* Whoever leaves needs a place among those that drain: nobody is cut to make one. */
static bool may_leave(const struct master *master, unsigned slot, unsigned most, struct err *err)
{
	unsigned count;
	const struct child *oldest = oldest_draining(master, slot, &count);
	const struct board_column *column;

	if (count < most)
		return true;
	column = &master->board->column[oldest->column];
	return err_set(err,
		       "slot %u has %u draining worker%s already (limits.max_draining); the oldest, pid %d, "
		       "has drained for %llu s and has %llu connections left",
		       slot, count, count == 1 ? "" : "s", (int)oldest->pid,
		       (unsigned long long)((master->loop.now_ns - oldest->left_ns) / CLOCK_S),
		       (unsigned long long)column->counters[COUNT_OPEN]);
}

bool plan_has_room(const struct master *master, const struct verdict *next, bool replaces, struct err *err)
{
	unsigned most = next->generation->config->max_draining;

	for (unsigned slot = 0; slot < CONFIG_MAX_WORKERS; slot++) {
		bool leaves = replaces || slot >= next->slots;

		if (leaves && master->slots[slot].serving != NULL && !may_leave(master, slot, most, err))
			return false;
	}
	return true;
}

bool plan_may_leave(const struct master *master, unsigned slot, struct err *err)
{
	return may_leave(master, slot, master->current.generation->config->max_draining, err);
}

/* A new slot is in service. */
static bool somebody_stays(const struct master *master, const struct verdict *next, struct err *err)
{
	for (unsigned slot = 0; slot < next->slots; slot++)
		if (slot >= master->slot_count || !master->slots[slot].held)
			return true;
	return err_set(err, "the %u slot%s that it would leave %s out of service (droverctl resume SLOT)",
		       next->slots, next->slots == 1 ? "" : "s", next->slots == 1 ? "is" : "are");
}

/* ---- all of it --------------------------------------------------------------------------------------- */

void plan_say_confined(struct transition *transition)
{
	transition->replaces = true;
	snprintf(transition->why_replaced, sizeof(transition->why_replaced),
		 "a directory of sandbox.read is another one than it was");
}

static bool must_replace(struct master *master, const struct verdict *next, const struct config_diff *diff)
{
	struct transition *transition = &master->transition;
	bool other_user = next->identity.change != master->current.identity.change ||
			  next->identity.uid != master->current.identity.uid ||
			  next->identity.gid != master->current.identity.gid;

	snprintf(transition->why_replaced, sizeof(transition->why_replaced), "reload = \"replace\"");
	if (diff->replace || other_user)
		snprintf(transition->why_replaced, sizeof(transition->why_replaced), "%s changed",
			 diff->replace ? diff->why : "user");
	if (transition->confined)
		plan_say_confined(transition);
	if (diff->replace || other_user || transition->confined)
		snprintf(transition->notes, sizeof(transition->notes), "workers are replaced because %s",
			 transition->why_replaced);
	transition->confined = false;
	return diff->replace || other_user || transition->replace ||
	       next->generation->config->reload == RELOAD_REPLACE;
}

static bool find_changes(const struct master *master, struct config_diff *diff, struct err *err)
{
	const struct verdict *current = &master->current;

	*diff = (struct config_diff){ 0 };
	if (!master_was_start(master))
		*diff = config_compare(current->generation->config,
				       master->transition.next.generation->config);
	return diff->restart == NULL ||
	       err_set(err, "%s cannot change while drover runs; restart it for that", diff->restart);
}

const char *plan_carry_out(struct master *master, struct err *err)
{
	struct transition *transition = &master->transition;
	struct verdict *next = &transition->next;
	struct config_diff diff;

	if (!find_changes(master, &diff, err))
		return "check";
	transition->replaces = !master_was_start(master) && must_replace(master, next, &diff);
	if (!somebody_stays(master, next, err) || !plan_has_room(master, next, transition->replaces, err))
		return "drain";
	if (!logs_open(next, transition->dry, err))
		return "log";
	if (!sockets_prepare(master, next, err)) {
		findings_explain(next->findings, err);
		return "bind";
	}
	if (master_was_start(master) && !control_open(master, next->generation->config, err))
		return "control";
	transition->planned = 0;
	return plan_ask(master, err) ? NULL : "fork";
}
