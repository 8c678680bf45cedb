/* tell.c - what the master tells on the board.
 *
 * Called where things happen: reload.c, upgrade.c, steer.c, stop.c, spawn.c, slots.c, rescue.c. Cannot
 * fail. */
#include "tell.h"

#include "master.h"
#include "steer.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint64_t wall_ms(struct timespec at)
{
	return (uint64_t)at.tv_sec * 1000 + (uint64_t)at.tv_nsec / CLOCK_MS;
}

void tell_begin(struct master *master)
{
	master->tell = (struct tell){ .started_ms = wall_ms(clock_wall()) };
}

/* Numbers that a failed image has used are left out, or who has seen its events would miss the next ones.
 * What the board says counts only as far as it may be true. */
void tell_resume(struct master *master)
{
	uint64_t last = __atomic_load_n(&master->board->events.last, __ATOMIC_RELAXED);

	if (last > master->tell.event && last - master->tell.event <= NEWS_EVENTS)
		master->tell.event = last;
}

/* ---- news -------------------------------------------------------------------------------------------- */

/* Paths may be any bytes. */
static void copy_plain(char *to, size_t room, const char *text)
{
	snprintf(to, room, "%s", text);
	for (char *c = to; *c != '\0'; c++) {
		if (*c == '\n')
			*c = ' ';
		else if (*c < ' ' || *c > '~')
			*c = '?';
	}
}

static struct news_outcome last_reload(const struct master *master)
{
	struct news_outcome outcome = {
		.succeeded = master->reloads_good, .failed = master->reloads_bad,
		.good = master->last_reload_good,
	};

	if (master->reloads_good + master->reloads_bad > 0)
		outcome.at_ms = wall_ms(master->last_reload_at);
	copy_plain(outcome.text, sizeof(outcome.text), master->last_reload);
	return outcome;
}

static struct news_outcome last_upgrade(const struct upgrade *upgrade)
{
	struct news_outcome outcome = {
		.succeeded = upgrade->good, .failed = upgrade->bad, .good = upgrade->last_good,
	};

	if (upgrade->good + upgrade->bad > 0)
		outcome.at_ms = wall_ms(upgrade->last_at);
	copy_plain(outcome.text, sizeof(outcome.text), upgrade->last);
	return outcome;
}

void tell_news(struct master *master)
{
	struct accept_outcome accept = steer_outcome(master);
	struct news news = {
		.pid = (uint32_t)getpid(),
		.slots = master->slot_count,
		.stopping = master_is_stopping(master),
		.started_ms = master->tell.started_ms,
		.generation = master_was_start(master) ? 0 : master->current.generation->number,
		.version = DROVER_VERSION,
		.reload = last_reload(master),
		.upgrade = last_upgrade(&master->upgrade),
	};

	snprintf(news.accept_wanted, sizeof(news.accept_wanted), "%s", accept.wanted);
	snprintf(news.accept_effective, sizeof(news.accept_effective), "%s", accept.effective);
	news_publish(master->board, &news);
}

/* ---- events ------------------------------------------------------------------------------------------ */

void tell_event(struct master *master, enum news_kind kind, uint32_t slot, bool good, const char *text)
{
	char plain[NEWS_EVENT_BYTES];

	copy_plain(plain, sizeof(plain), text);
	news_add(master->board, ++master->tell.event, kind, slot, good, plain);
}

void tell_reload(struct master *master, const struct outcome *outcome, bool is_start)
{
	char text[NEWS_EVENT_BYTES];

	tell_news(master);
	if (upgrade_is_open(master))
		return;
	snprintf(text, sizeof(text), "%s%s", is_start ? "drover " DROVER_VERSION ", " : "", outcome->text);
	tell_event(master, is_start ? NEWS_START : NEWS_RELOAD, NEWS_NO_SLOT, outcome->good, text);
}

static const char *why_of(const struct child *child)
{
	return child->state == CHILD_KILLED     ? ", for it did not answer"
	       : child->state == CHILD_DRAINING ? ", while it drained"
						: "";
}

/* The signals that a program's own mistakes raise. */
static bool is_fault(int number)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS };

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		if (faults[i] == number)
			return true;
	return false;
}

static enum counter death_of(const struct child *child, const siginfo_t *info)
{
	if (info->si_code == CLD_EXITED)
		return COUNT_DIED_EXITED;
	if (child->state == CHILD_KILLED && (info->si_status == SIGABRT || info->si_status == SIGKILL))
		return COUNT_DIED_HUNG;
	return is_fault(info->si_status) ? COUNT_DIED_CRASHED : COUNT_DIED_KILLED;
}

/* In its own column, which is its slot's: the slot keeps it. */
static void count(const struct child *child, enum counter counter)
{
	child->master->board->column[child->column].counters[counter]++;
}

void tell_stall(const struct child *child)
{
	count(child, COUNT_STALLED);
	tell_event(child->master, NEWS_HANG, child->slot, false,
		   "its worker does not get on; its siblings accept in its place");
}

void tell_crash(const struct child *child, const siginfo_t *info, uint64_t open)
{
	char text[NEWS_EVENT_BYTES];
	bool by_itself = info->si_code == CLD_EXITED;

	if (by_itself)
		snprintf(text, sizeof(text),
			 "worker %d exited with status %d%s; it had %llu connection%s open",
			 (int)child->pid, info->si_status, why_of(child), (unsigned long long)open,
			 open == 1 ? "" : "s");
	else
		snprintf(text, sizeof(text), "worker %d ended by SIG%s%s; it had %llu connection%s open",
			 (int)child->pid, obituary_signal(info->si_status), why_of(child),
			 (unsigned long long)open, open == 1 ? "" : "s");
	tell_event(child->master, NEWS_CRASH, child->slot, false, text);
	count(child, death_of(child, info));
	if (child->master->slots[child->slot].serving == child)
		child->master->slots[child->slot].bereft = true;
}

void tell_served(struct slot *slot)
{
	char text[NEWS_EVENT_BYTES];

	if (!slot->bereft)
		return;
	slot->bereft = false;
	snprintf(text, sizeof(text), "worker %d serves in its place", (int)slot->serving->pid);
	tell_event(slot->master, NEWS_RESPAWN, slot->serving->slot, true, text);
}
