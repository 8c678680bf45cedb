/* stop.c - the end of the service.
 *
 *	TERM -> delay: health routes answer 503, all else is as before (timeouts.drain_delay, less the time
 *	    since a droverctl drain all)
 *	    -> DRAIN to all workers, the listening sockets are let go (release.c)
 *	    -> every worker has left, or was killed after the deadline (timeouts.drain) -> the end
 *
 * A second TERM, or INT, ends it at once from wherever it is. Called by master.c (signals), reload.c (a start
 * that failed) and spawn.c (what becomes of the workers); cannot fail. */
#include "master.h"
#include "notify.h"

#include "base/log.h"

#include <stdio.h>

/* Before the deadline, where sockets outlive the service: time to answer what was accepted last. */
#define NEAR_NS CLOCK_S

static void retire_all(struct master *master)
{
	struct list *next;

	for (struct list *link = master->children.next; link != &master->children; link = next) {
		next = link->next;
		child_happens(LIST_ENTRY(link, struct child, link), EV_RETIRE);
	}
}

static uint64_t drain_ns(const struct master *master)
{
	return master->current.generation != NULL ? master->current.generation->config->drain_ns : 0;
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t settle_ns(const struct master *master)
{
	return less(RELEASE_SETTLE_NS, drain_ns(master) / 2);
}

/* ---- what it came to --------------------------------------------------------------------------------- */

static uint64_t since_drain(const struct master *master, enum counter counter)
{
	uint64_t sum = board_sum(master->board, counter), before = master->stop.before[counter];

	return sum > before ? sum - before : 0;
}

static uint64_t answered(const struct master *master)
{
	return since_drain(master, COUNT_STATUS_2XX) + since_drain(master, COUNT_STATUS_3XX) +
	       since_drain(master, COUNT_STATUS_4XX) + since_drain(master, COUNT_STATUS_5XX);
}

/* Once, when all workers are gone: their sums are on the board. */
static void say_end(struct master *master)
{
	struct stop *stop = &master->stop;
	uint64_t cut = since_drain(master, COUNT_DRAIN_CUT), lost = since_drain(master, COUNT_LOST_STOP);
	uint64_t took_ms = (master->loop.now_ns - stop->began_ns) / CLOCK_MS;
	uint64_t all_cut = cut + stop->killed;
	bool is_cut = !stop->at_once && all_cut > 0;
	char text[128];

	stop->said = true;
	if (master->current.generation == NULL)         /* the start failed, and that is what is said */
		return;
	log_event(is_cut ? LEVEL_WARNING : LEVEL_NOTICE, "stopped", log_number("took_ms", took_ms),
		  log_number("answered", answered(master)), log_number("cut", cut),
		  log_number("cut_head", since_drain(master, COUNT_CUT_HEAD)),
		  log_number("cut_waiting", since_drain(master, COUNT_CUT_WAITING)),
		  log_number("cut_sending", since_drain(master, COUNT_CUT_SENDING)),
		  log_number("killed", stop->killed), log_number("lost", lost));
	snprintf(text, sizeof(text), "stopped after %llu ms; %llu connections cut",
		 (unsigned long long)took_ms, (unsigned long long)all_cut);
	notify_stopped(text);
	if (is_cut)
		master->exit_status = 3;
}

void stop_lost(struct master *master, uint64_t connections)
{
	if (stop_is_draining(master) && !master->stop.at_once)
		master->stop.killed += connections;
}

/* ---- the drain --------------------------------------------------------------------------------------- */

/* No worker has a socket any more, or those that have do not answer. */
static void released(struct master *master)
{
	sockets_close(master);
}

/* Sockets that outlive the service: its workers accept from them until what they had before is done, all of
 * them together, or some queue would have nobody until the last is. */
static bool all_are_spent(const struct master *master)
{
	FOR_EACH_CHILD(master, child) {
		if (child->state == CHILD_DRAINING && !child->spent)
			return false;
	}
	return true;
}

static void look_for_spent(struct master *master)
{
	if (master->outlive && master->stop.settled && !list_empty(&master->listeners) &&
	    !release_is_open(master) && all_are_spent(master))
		release_begin(master, true, 0, released);
}

void stop_child_spent(struct child *child)
{
	child->spent = true;
	if (stop_is_draining(child->master))
		look_for_spent(child->master);
}

void master_check_end(struct master *master)
{
	if (!stop_is_draining(master))
		return;
	if (!list_empty(&master->children)) {
		look_for_spent(master); /* the one that others waited for may just have died */
		return;
	}
	if (strays_left(master) || wills_left(master))  /* they drain, too; and keepers end */
		return;
	release_cancel(master);
	sockets_close(master);
	if (!master->stop.said)
		say_end(master);
	loop_stop(&master->loop);
}

static void deadline_is_near(struct timer *timer, uint64_t now_ns)
{
	struct master *master = LIST_ENTRY(LIST_ENTRY(timer, struct stop, timer), struct master, stop);

	(void)now_ns;
	if (!release_is_open(master))
		release_begin(master, true, 0, released);
}

/* Connections that are idle between two requests have had time for the next one. */
static void settled(struct timer *timer, uint64_t now_ns)
{
	struct master *master = LIST_ENTRY(LIST_ENTRY(timer, struct stop, timer), struct master, stop);
	uint64_t all_ns = drain_ns(master);

	(void)now_ns;
	master->stop.settled = true;
	timer->fire = deadline_is_near;
	loop_timer(&master->loop, timer, all_ns - less(all_ns / 2, NEAR_NS) - settle_ns(master));
	look_for_spent(master);
}

static void let_sockets_go(struct master *master)
{
	if (!master->outlive) {
		release_begin(master, true, settle_ns(master), released);
		return;
	}
	release_cancel(master);
	master->stop.timer.fire = settled;
	loop_timer(&master->loop, &master->stop.timer, settle_ns(master));
}

static void drain(struct master *master)
{
	struct stop *stop = &master->stop;

	stop->draining = true;
	timer_cancel(&stop->timer);
	for (unsigned i = 0; i < CONFIG_MAX_WORKERS; i++)
		timer_cancel(&master->slots[i].respawn);
	for (unsigned i = 0; i < COUNTERS; i++)
		stop->before[i] = board_sum(master->board, i);
}

static void begin_drain(struct timer *timer, uint64_t now_ns)
{
	struct master *master = LIST_ENTRY(LIST_ENTRY(timer, struct stop, timer), struct master, stop);

	(void)now_ns;
	drain(master);
	retire_all(master);
	strays_stop(master);
	let_sockets_go(master);
	master_check_end(master);
}

/* ---- the beginning ----------------------------------------------------------------------------------- */

static bool is_to_leave(const struct master *master)
{
	return master_is_stopping(master) || hold_since_ns(master) != 0;
}

/* One that drains knows it, if the service stops. */
static void tell(struct child *child, enum message_type type)
{
	struct err err;

	if (!stop_is_draining(child->master) && !channel_tell(child->channel.fd, type, 0, &err))
		log_event(LEVEL_WARNING, "worker_unreachable", log_number("slot", child->slot),
			  log_text("error", err.text));
}

void stop_tell(struct child *child)
{
	if (is_to_leave(child->master))
		tell(child, MESSAGE_LEAVING);
}

void stop_tell_all(struct master *master)
{
	enum message_type type = is_to_leave(master) ? MESSAGE_LEAVING : MESSAGE_STAYING;

	FOR_EACH_CHILD(master, child)
		if (child->state == CHILD_SERVING)
			tell(child, type);
}

static void begin(struct master *master, bool at_once)
{
	master->stopping = true;
	master->stop.began_ns = master->loop.now_ns;
	if (master->current.generation != NULL)         /* else the start failed, and that is what is said */
		log_event(LEVEL_NOTICE, "stopping", log_text("how", at_once ? "at once" : "gracefully"));
	notify_stopping(master);
	tell_news(master);
	tell_event(master, NEWS_STOP, NEWS_NO_SLOT, true, at_once ? "at once" : "gracefully");
	reload_stop(master);
	reopen_stop(master);
	upgrade_stop(master);
	hold_stop(master);
}

/* A balancer that was told before (droverctl drain all) has had that time. */
static uint64_t delay_left_ns(const struct master *master)
{
	const struct generation *current = master->current.generation;
	uint64_t delay_ns = current != NULL ? current->config->drain_delay_ns : 0;
	uint64_t since_ns = hold_since_ns(master), now_ns = master->loop.now_ns;
	uint64_t passed_ns = since_ns != 0 && since_ns < now_ns ? now_ns - since_ns : 0;

	return delay_ns - less(delay_ns, passed_ns);
}

static void end_at_once(struct master *master)
{
	if (!stop_is_draining(master))
		drain(master);
	master->stop.at_once = true;
	spawn_kill_all(master);
	strays_kill(master);
	wills_kill(master);
	candidate_kill(master);
	release_cancel(master);
	sockets_close(master);
	master_check_end(master);
}

void master_stop(struct master *master, bool at_once)
{
	uint64_t delay_ns = delay_left_ns(master);
	bool first = !master->stopping;

	if (first)
		begin(master, at_once);
	if (at_once) {
		end_at_once(master);
	} else if (first && delay_ns > 0) {
		stop_tell_all(master);
		master->stop.timer.fire = begin_drain;
		loop_timer(&master->loop, &master->stop.timer, delay_ns);
	} else if (first) {
		begin_drain(&master->stop.timer, master->loop.now_ns);
	}
}
