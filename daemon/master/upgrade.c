/* upgrade.c - another binary takes this process over, in place: the same pid, the same children, the same
 * sockets.
 *
 *	ask -> the candidate shows in a child that it could (candidate.c)
 *	    -> the state to a memfd, its descriptors inheritable (state.c) -> execve (guard.c)
 *	new image: the state (resume.c) -> a fresh worker in each slot, beside the one that serves
 *	    -> all of them serve: no way back any more -> those of before retire and hand over -> answer
 *
 * What fails before the execve leaves all as it was; what fails behind it leads back to the old binary, with
 * the same state, whose workers have served on. Whoever asked is told in either case. An upgrade waits for an
 * open transition and for a reopening, and those that come meanwhile wait for it.
 *
 * Called by master.c, control.c, reload.c and reopen.c. */
#include "logs.h"
#include "master.h"
#include "notify.h"

#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t took_ms(const struct master *master)
{
	return (master->loop.now_ns - master->upgrade.began_ns) / CLOCK_MS;
}

/* ---- the end ----------------------------------------------------------------------------------------- */

/* Whatever waited for it is for the caller to begin. */
static void finish(struct master *master, const struct outcome *outcome)
{
	struct upgrade *upgrade = &master->upgrade;

	upgrade->phase = UPGRADE_IDLE;
	upgrade->last_good = outcome->good;
	upgrade->last_at = clock_wall();
	outcome_keep(outcome, upgrade->last);
	*(outcome->good ? &upgrade->good : &upgrade->bad) += 1;
	tell_news(master);
	tell_event(master, NEWS_UPGRADE, NEWS_NO_SLOT, outcome->good, outcome->text);
	if (!master_is_stopping(master))
		notify_ready(master);
	askers_answer(&upgrade->askers, outcome);
}

static void fail(struct master *master, const char *why)
{
	log_event(LEVEL_ERROR, "upgrade_failed", log_text("version", DROVER_VERSION),
		  log_number("took_ms", took_ms(master)), log_text("error", why));
	finish(master, &(struct outcome){ .text = why });
	reload_continue(master);
}

static void fail_at(struct master *master, const char *step, const char *why)
{
	struct err text;

	err_set(&text, "failed at %s: %s", step, why);
	fail(master, text.text);
}

/* ---- the old image ----------------------------------------------------------------------------------- */

/* Returns only when it did not come about, with the step. The helper thread ends with this image, so what it
 * has is written first. */
static const char *execute(struct master *master, struct err *err)
{
	int kept AUTO_CLOSE = binary_open(err), state AUTO_CLOSE = -1;
	struct guard_plan plan;

	if (kept >= 0)
		state = state_save(master, true, err);
	if (state < 0)
		return "state";
	plan = (struct guard_plan){ .state_fd = state, .kept_fd = kept, .argv = master->setup->argv };
	logs_end(master);
	guard_leap(master->binary.path, &plan, err);
	logs_start(master);
	logs_switch(master);
	return "exec";
}

static void leap(struct master *master)
{
	struct err err;
	const char *step = execute(master, &err);

	fd_cloexec_all();
	fail_at(master, step, err.text);
}

static void on_candidate(struct master *master, const char *version, const char *why)
{
	if (version == NULL) {
		fail_at(master, "check", why);
		return;
	}
	log_event(LEVEL_NOTICE, "upgrade_begins", log_text("from", DROVER_VERSION), log_text("to", version),
		  log_text("binary", master->binary.path), log_number("took_ms", took_ms(master)));
	leap(master);
}

static void begin(struct master *master)
{
	struct err err;
	int fd AUTO_CLOSE = -1;

	master->upgrade.wanted = false;
	master->upgrade.phase = UPGRADE_CHECKING;
	master->upgrade.began_ns = master->loop.now_ns;
	notify_upgrading(master);
	if (!plan_has_room(master, &master->current, true, &err)) {
		fail_at(master, "drain", err.text);
		return;
	}
	fd = state_save(master, false, &err);
	if (fd < 0)
		fail_at(master, "state", err.text);
	else if (!candidate_start(master, fd, on_candidate, &err))
		fail_at(master, "check", err.text);
}

bool upgrade_continue(struct master *master)
{
	if (!master->upgrade.wanted || upgrade_is_open(master) || master_is_stopping(master) ||
	    master->transition.phase != PHASE_IDLE || master->reopening.open)
		return false;
	begin(master);
	return true;
}

void upgrade_ask(struct master *master, struct asker *asker)
{
	static const struct outcome busy = { .text = "refused: an upgrade is under way" };
	const struct outcome *refused = master_is_stopping(master) ? &outcome_stopping : &busy;
	struct upgrade *upgrade = &master->upgrade;

	if (upgrade->phase == UPGRADE_RESUMING && asker != NULL) {      /* it asked the image before */
		list_push_back(&upgrade->askers, &asker->link);
		return;
	}
	if (master_is_stopping(master) || upgrade_is_open(master) || upgrade->wanted) {
		log_event(LEVEL_NOTICE, "upgrade_refused", log_text("error", refused->text));
		if (asker != NULL)
			asker->answer(asker, refused);
		return;
	}
	if (asker != NULL)
		list_push_back(&upgrade->askers, &asker->link);
	upgrade->wanted = true;
	upgrade_continue(master);
}

void upgrade_stop(struct master *master)
{
	candidate_kill(master);
	master->upgrade.wanted = false;
	if (master->upgrade.phase == UPGRADE_CHECKING)
		master->upgrade.phase = UPGRADE_IDLE;
	if (!guard_is_armed())          /* else on_replaced hears of the end of its transition */
		askers_answer(&master->upgrade.askers, &outcome_stopping);
}

/* ---- the new image ----------------------------------------------------------------------------------- */

/* Does not return, unless the old binary cannot be executed any more: then nothing is left to go on with. */
static void roll_back(struct master *master, const char *why)
{
	logs_end(master);
	guard_roll_back(why);
	snprintf(master->failure, sizeof(master->failure), "%s; and the way back is closed", why);
	master->exit_status = 1;
	loop_stop(&master->loop);
}

/* Its worker, which may serve already although it does not say so, would be killed: it drains instead when it
 * finds its channel closed. */
void upgrade_child_late(const struct child *child)
{
	char why[128];

	if (!guard_is_armed())
		return;
	snprintf(why, sizeof(why), "slot %u did not say that it serves within timeouts.prepare", child->slot);
	roll_back(child->master, why);
}

/* Where a worker that this image has started is not there any more; -1: nowhere. */
static int slot_left(const struct master *master)
{
	for (unsigned i = 0; i < master->slot_count; i++) {
		const struct child *serving = master->slots[i].serving;

		if (!master->slots[i].held &&
		    (serving == NULL || serving->born < master->current.generation->number))
			return (int)i;
	}
	return -1;
}

static void no_way_back(struct master *master)
{
	guard_disarm();
	master_hear(master->signals.fd);
	state_settle(&master->upgrade.state);
	state_release(&master->upgrade.state);
	strays_find(master);            /* what ended meanwhile and was not reaped is one, too */
	slots_retire_old(master);
}

static void done(struct master *master)
{
	const char *from = master->upgrade.from;
	char text[256];

	no_way_back(master);
	snprintf(text, sizeof(text),
		 "drover %s has taken over from %s after %llu ms; generation %llu with %u worker%s",
		 DROVER_VERSION, from, (unsigned long long)took_ms(master),
		 (unsigned long long)master->current.generation->number, master->slot_count,
		 master->slot_count == 1 ? "" : "s");
	log_event(LEVEL_NOTICE, "upgrade_done", log_text("from", from), log_text("to", DROVER_VERSION),
		  log_number("took_ms", took_ms(master)), log_number("workers", master->slot_count));
	finish(master, &(struct outcome){ .good = true, .text = text });
}

static void on_replaced(struct asker *asker, const struct outcome *outcome)
{
	struct upgrade *upgrade = LIST_ENTRY(asker, struct upgrade, replaced);
	struct master *master = LIST_ENTRY(upgrade, struct master, upgrade);
	int left = outcome->good ? slot_left(master) : -1;
	char why[128];

	if (master_is_stopping(master)) {       /* whoever wants the end gets it from either image */
		no_way_back(master);
		finish(master, &outcome_stopping);
	} else if (!outcome->good) {
		roll_back(master, outcome->text);
	} else if (left >= 0) {
		snprintf(why, sizeof(why), "slot %d: its worker died as soon as it served", left);
		roll_back(master, why);
	} else {
		done(master);
	}
}

/* That they serve they have told the image that is gone. */
static void seat_all(struct master *master)
{
	for (unsigned i = 0; i < master->slot_count; i++) {
		struct child *next = master->slots[i].next;

		if (next != NULL && next->state == CHILD_SERVING)
			reload_child_adopted(next, next->asked);
	}
}

/* The old image again. */
static void come_back(struct master *master, const struct guard_plan *plan)
{
	int state_fd = plan->state_fd;
	char text[ERR_TEXT_BYTES];

	fd_close(&state_fd);
	steer_apply(master);
	slots_publish(master);
	seat_all(master);
	no_way_back(master);
	snprintf(text, sizeof(text), "failed at %s; drover " DROVER_VERSION " serves on", plan->failure);
	fail(master, text);
}

/* The guard's patience with it: two deadlines of the votes, and what else there is to do. */
static unsigned replace_seconds(const struct master *master)
{
	return (unsigned)(2 * master->current.generation->config->prepare_ns / CLOCK_S) + GUARD_STEP_SECONDS;
}

/* The same configuration again, of the image before. */
static bool copy_current(const struct master *master, struct verdict *copy, struct err *err)
{
	const struct verdict *current = &master->current;

	*copy = (struct verdict){ .text = -1, .base = -1, .error_log = -1, .access_log = -1 };
	copy->identity = current->identity;
	copy->slots = current->slots;
	copy->text = fcntl(current->text, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (copy->text < 0)
		return err_sys(err, errno, "the configuration");
	if (current->base >= 0)
		copy->base = fcntl(current->base, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	copy->generation = state_config(&master->upgrade.state, master->setup, err);
	return copy->generation != NULL;
}

void upgrade_go_on(struct master *master)
{
	const struct guard_plan *plan = master->setup->plan;
	struct upgrade *upgrade = &master->upgrade;
	struct verdict same;
	struct err err;

	upgrade->phase = UPGRADE_REPLACING;
	if (plan->failure != NULL) {
		come_back(master, plan);
		return;
	}
	slots_publish(master);
	guard_step("replace", replace_seconds(master));
	upgrade->replaced.answer = on_replaced;
	if (copy_current(master, &same, &err))
		reload_renew(master, &same, &upgrade->replaced);
	else
		roll_back(master, err.text);
	verdict_release(&same);
}
