/* resume.c - an image of the master takes over where the one before left off: the new binary's, or the old
 * one's that is back.
 *
 * Called by master.c at the start; by main.c for a candidate, which only tries. Fails with `err`: then the
 * guard leads back, and if this is the way back the service ends. */
#include "arrivals.h"
#include "control.h"
#include "departure.h"
#include "logs.h"
#include "master.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/privilege.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- taking over ------------------------------------------------------------------------------------- */

static bool take_text(struct master *master, struct err *err)
{
	struct str text = master->upgrade.state.text;

	master->current.text = fd_sealed("drover-config", text.at, text.len, err);
	return master->current.text >= 0;
}

static bool take_board(struct master *master, struct err *err)
{
	const struct master_setup *setup = master->setup;

	master->board = board_resume(master->board_fd, setup->counter_names, setup->counters, setup->levels,
				     err);
	if (master->board == NULL)
		return false;
	board_sites_publish(master->board, &master->owners);
	tell_resume(master);
	master->hot = hot_map(master->hot_fd, err);
	return master->hot != NULL;
}

bool resume_take(struct master *master, struct err *err)
{
	struct state *state = &master->upgrade.state;
	const char *from;

	guard_step("state", GUARD_STEP_SECONDS);
	master->upgrade.phase = UPGRADE_RESUMING;       /* who asks for something waits */
	if (!state_read(state, master->setup->plan->state_fd, master, err) ||
	    !state_take(state, guard_is_armed(), err) || !state_load(master, state, err))
		return false;
	from = json_string_value(json_object_get(state->json, "drover"));
	snprintf(master->upgrade.from, sizeof(master->upgrade.from), "%s", from != NULL ? from : "?");
	slots_tell_again(master);       /* one that failed may have told them something else */
	return take_text(master, err) && take_board(master, err);
}

/* ---- watching ---------------------------------------------------------------------------------------- */

static void arm(struct master *master, struct timer *timer)
{
	if (timer->due_ns != 0)
		timer_arm(&master->loop.timers, timer, timer->due_ns);
}

static bool watch_children(struct master *master, struct err *err)
{
	FOR_EACH_CHILD(master, child) {
		if (!spawn_watch(child, child->channel.fd, err))
			return err_add(err, "the worker of slot %u, pid %d", child->slot, (int)child->pid);
		arm(master, &child->deadline);
		departure_resume(child);
	}
	return true;
}

/* One that was due meanwhile fires at once. */
static void watch_slots(struct master *master)
{
	for (unsigned i = 0; i < master->slot_count; i++)
		slot_resume(&master->slots[i]);
}

bool resume_watch(struct master *master, struct err *err)
{
	if (!watch_children(master, err) || !wills_resume(master, err) || !control_resume(master, err))
		return false;
	watch_slots(master);
	tuning_resume(master);
	arrivals_watch(master);
	logs_switch(master);
	return true;
}

/* ---- trying ------------------------------------------------------------------------------------------ */

/* As a start or a reload would, by the rules of this binary and with the workers' rights. */
static bool check_config(const struct master *master, struct problems *problems)
{
	const struct config_identity *who = &master->current.identity;
	struct config_input input = { .path = "the running configuration",
				      .text = master->upgrade.state.text.at };
	struct generation *generation = generation_new(0, master->setup->services);
	struct err err = { "out of memory" };
	bool good = generation != NULL && read_config(&input, generation, problems);

	if (good && !privilege_drop(who->change, who->uid, who->gid, &err))
		good = false;
	else if (good)
		good = master->setup->check_system(generation, problems);
	if (!good && problems->count == 0)
		problems_add(problems, "%s", err.text);
	generation_unpin(generation);
	return good;
}

bool resume_try(const struct master_setup *setup, int state_fd, struct err *err)
{
	struct master *master = calloc(1, sizeof(*master));
	struct problems problems = { 0 };
	bool good;

	if (master == NULL)
		return err_set(err, "out of memory");
	master_init(master, setup);
	if (!state_read(&master->upgrade.state, state_fd, master, err))
		return false;
	state_leave_out_fds(&master->upgrade.state);
	if (!state_load(master, &master->upgrade.state, err))
		return false;
	good = check_config(master, &problems);
	if (!good)
		err_set(err, "%s", problems.text != NULL ? problems.text : "out of memory");
	problems_release(&problems);
	return good;
}
