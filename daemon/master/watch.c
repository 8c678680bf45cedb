/* watch.c - the watchdog of systemd: the master pings only while every slot makes progress.
 *
 * Called by master.c and by its own timer; cannot fail. A slot without a worker counts as progress, for its
 * respawn is under way and the others accept from its sockets: a worker that crashes in a loop must not take
 * the service down. What the board says is only ever compared, never an index, a length or a time to wait
 * for. */
#include "master.h"
#include "notify.h"

#include "base/log.h"

#include <sys/wait.h>

/* Looks in a watchdog's period: a look that comes late, or finds something for a moment, costs nothing. */
enum { LOOKS = 4 };

static const char *const verdict_names[] = {
	[WATCH_STOPPED] = "its worker is stopped",
	[WATCH_BUSY] = "its worker does not get through one batch of events",
	[WATCH_QUEUE] = "connections wait and its worker accepts none",
};

enum watch_verdict watch_judge(const struct watch_view *view, uint64_t limit_ns)
{
	if (view->handled)
		return WATCH_GOOD;
	if (view->stopped)
		return WATCH_STOPPED;
	if (view->busy_ns > limit_ns)
		return WATCH_BUSY;
	/* one that is there at this very moment proves nothing: it may have come just now */
	if (view->queued && view->queued_before && !view->accepted && !view->holding)
		return WATCH_QUEUE;
	return WATCH_GOOD;
}

/* ---- looking ----------------------------------------------------------------------------------------- */

static const struct hot_line *line_of(const struct child *child)
{
	return &child->master->hot->line[child->column];
}

static bool has_accepted(const struct slot *slot)
{
	const struct child *child = slot->serving;

	return slot->watched.pid != child->pid ||
	       slot->watched.accepted != hot_read(&line_of(child)->accepted);
}

static bool nobody_accepted(const struct master *master)
{
	for (unsigned i = 0; i < master->slot_count; i++)
		if (master->slots[i].serving != NULL && has_accepted(&master->slots[i]))
			return false;
	return true;
}

bool watch_is_stopped(const struct child *child)
{
	siginfo_t info = { 0 };

	return waitid(P_PIDFD, (id_t)child->exit.fd, &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid != 0;
}

static uint64_t busy_ns(const struct child *child)
{
	uint64_t since_ns = hot_read(&line_of(child)->busy_since_ns);
	uint64_t now_ns = child->master->loop.now_ns;

	return since_ns != 0 && since_ns < now_ns ? now_ns - since_ns : 0;
}

bool watch_hangs(const struct child *child, uint64_t limit_ns)
{
	return watch_is_stopped(child) || busy_ns(child) > limit_ns;
}

static struct watch_view view_of(struct slot *slot, bool queued)
{
	const struct child *child = slot->serving;
	struct watch_view view = {
		.stopped = watch_is_stopped(child),
		.busy_ns = busy_ns(child),
		.queued = queued,
		.queued_before = slot->watched.pid == child->pid && slot->watched.queued,
		.accepted = has_accepted(slot),
		.handled = rescue_handles(slot),
		.holding = hot_read(&line_of(child)->holding) != 0,
	};

	slot->watched = (struct watched){
		.pid = child->pid,
		.queued = queued,
		.accepted = hot_read(&line_of(child)->accepted),
	};
	return view;
}

/* ---- the ping ---------------------------------------------------------------------------------------- */

static bool makes_progress(struct slot *slot, unsigned index, bool queued)
{
	struct watch_view view = view_of(slot, queued);
	enum watch_verdict verdict = watch_judge(&view, slot->master->watchdog_ns / 2);

	if (verdict == WATCH_GOOD)
		return true;
	log_event(LEVEL_ERROR, "watchdog_withheld", log_number("slot", index),
		  log_number("pid", (uint64_t)slot->serving->pid), log_text("why", verdict_names[verdict]),
		  log_number("busy_ms", view.busy_ns / CLOCK_MS));
	return false;
}

/* While a transition is open, who accepts from which socket is changing; it has deadlines of its own. */
static bool all_make_progress(struct master *master)
{
	bool look = master->transition.phase == PHASE_IDLE;
	bool common = look && master->rescue.common_waits && nobody_accepted(master);
	bool good = true;

	for (unsigned i = 0; i < master->slot_count; i++) {
		struct slot *slot = &master->slots[i];

		if (slot->serving != NULL && slot->serving->state == CHILD_SERVING &&
		    !makes_progress(slot, i, common || (look && slot->rescue.queued)))
			good = false;
	}
	return good;
}

static void on_tick(struct timer *timer, uint64_t now_ns)
{
	struct master *master = LIST_ENTRY(timer, struct master, watchdog);

	(void)now_ns;
	rescue_look(master);
	if (all_make_progress(master))
		notify_alive();
	loop_timer(&master->loop, timer, master->watchdog_ns / LOOKS);
}

void watch_start(struct master *master)
{
	master->watchdog_ns = notify_watchdog_ns();
	master->watchdog.fire = on_tick;
	if (master->watchdog_ns != 0)
		loop_timer(&master->loop, &master->watchdog, master->watchdog_ns / LOOKS);
}
