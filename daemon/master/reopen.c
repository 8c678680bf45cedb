/* reopen.c - log files are opened anew, in the master and in every worker (SIGUSR1, droverctl reopen).
 *
 *	ask -> open the files -> REOPEN to all -> REOPENED from all -> answer
 *
 * The master opens them, because it has the rights.  When one cannot be opened, all go on with what they
 * have. Lines that are on their way still go to the old file.  A reload opens the files too; so one that is
 * asked for during a reload waits for its end. */
#include "logs.h"
#include "master.h"

#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void start(struct master *master);

/* ---- the end ----------------------------------------------------------------------------------------- */

static void finish(struct master *master)
{
	struct reopening *reopening = &master->reopening;
	bool good = reopening->failure[0] == '\0';

	timer_cancel(&reopening->deadline);
	reopening->open = false;
	if (good)
		log_event(LEVEL_NOTICE, "reopened");
	else
		log_event(LEVEL_ERROR, "reopen_failed", log_text("error", reopening->failure));
	askers_answer(&reopening->askers,
		      &(struct outcome){ .good = good,
					 .text = good ? "log files are open anew" : reopening->failure });
	reload_continue(master);        /* an upgrade may wait for the end */
}

static void fail(struct reopening *reopening, const char *why)
{
	if (reopening->failure[0] == '\0')
		snprintf(reopening->failure, sizeof(reopening->failure), "%s", why);
}

static void finish_if_all(struct master *master)
{
	FOR_EACH_CHILD(master, child)
		if (child->reopening != 0)
			return;
	if (master->reopening.open)
		finish(master);
}

/* ---- what children say ------------------------------------------------------------------------------- */

void reopen_child_answered(struct child *child, uint64_t number, bool good)
{
	char why[128];

	if (child->reopening == 0 || child->reopening != number)
		return;
	child->reopening = 0;
	snprintf(why, sizeof(why), "slot %u: no file descriptors are left (limits.open_files)", child->slot);
	if (!good)
		fail(&child->master->reopening, why);
	finish_if_all(child->master);
}

void reopen_child_gone(struct child *child)
{
	if (child->reopening == 0)
		return;
	child->reopening = 0;
	finish_if_all(child->master);
}

static void too_late(struct timer *timer, uint64_t now_ns)
{
	struct master *master = LIST_ENTRY(timer, struct master, reopening.deadline);
	char why[128];

	(void)now_ns;
	FOR_EACH_CHILD(master, child) {
		if (child->reopening == 0)
			continue;
		child->reopening = 0;
		snprintf(why, sizeof(why), "slot %u: no answer within timeouts.prepare", child->slot);
		fail(&master->reopening, why);
	}
	finish(master);
}

/* ---- the beginning ----------------------------------------------------------------------------------- */

/* All that live: one that is starting has the old files in its messages, one that drains still writes. */
static void tell_all(struct master *master)
{
	struct err err;

	FOR_EACH_CHILD(master, child) {
		if (child->state == CHILD_KILLED || child->state == CHILD_GONE)
			continue;
		if (logs_send(child, MESSAGE_REOPEN, master->reopening.number, &master->current, &err)) {
			child->reopening = master->reopening.number;
			continue;
		}
		if (errno == EPIPE || errno == ECONNRESET)      /* it has just ended */
			continue;
		err_add(&err, "slot %u", child->slot);
		fail(&master->reopening, err.text);
	}
}

static void start(struct master *master)
{
	struct reopening *reopening = &master->reopening;
	struct err err;

	reopening->open = true;
	reopening->number++;
	reopening->failure[0] = '\0';
	reopening->deadline.fire = too_late;
	if (!logs_open(&master->current, false, &err)) {
		fail(reopening, err.text);
		finish(master);
		return;
	}
	logs_switch(master);
	loop_timer(&master->loop, &reopening->deadline, master->current.generation->config->prepare_ns);
	tell_all(master);
	finish_if_all(master);
}

void reopen_ask(struct master *master, struct asker *asker)
{
	struct reopening *reopening = &master->reopening;
	bool wait = reopening->open || master->transition.phase != PHASE_IDLE || upgrade_is_open(master);

	if (master_is_stopping(master)) {
		if (asker != NULL)
			asker->answer(asker, &outcome_stopping);
		return;
	}
	if (asker != NULL)
		list_push_back(wait ? &reopening->later : &reopening->askers, &asker->link);
	reopening->again |= wait;
	if (!wait)
		start(master);
}

void reopen_continue(struct master *master)
{
	struct reopening *reopening = &master->reopening;

	if (!reopening->again || reopening->open || master->transition.phase != PHASE_IDLE ||
	    master_is_stopping(master))
		return;
	reopening->again = false;
	list_move_all(&reopening->askers, &reopening->later);
	start(master);
}

void reopen_stop(struct master *master)
{
	struct reopening *reopening = &master->reopening;

	timer_cancel(&reopening->deadline);
	reopening->open = reopening->again = false;
	askers_answer(&reopening->askers, &outcome_stopping);
	askers_answer(&reopening->later, &outcome_stopping);
}
