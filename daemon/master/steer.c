/* steer.c - who chooses the slot of a new connection: puts the slots' sockets where the programs of
 * net/steering.h find them, attaches these and detaches them.
 *
 *	listen(2) -> each slot's socket into the listener's array -> attach, once -> seats become good
 *
 * Called by reload.c and upgrade.c when a configuration is in force, by master.c at the start. It comes after
 * the last READY, so it cannot fail: a listener that cannot be steered is left to the kernel's hash, which
 * serves as well, and the log says why. */
#include "master.h"

#include "base/cpus.h"
#include "base/fd.h"
#include "base/log.h"
#include "net/steering.h"

#include <stdio.h>
#include <string.h>

/* Sockets of an earlier process may be in its array for a moment after it has gone: the kernel frees that
 * when it finds time. */
enum { AGAIN_MS = 25, MOST_TRIES = 40 };

/* ---- the hot lines ----------------------------------------------------------------------------------- */

bool steer_open(struct master *master, struct err *err)
{
	struct err why;

	master->hot_fd = steering_memory(&why);
	if (master->hot_fd >= 0)
		master->hot = hot_map(master->hot_fd, &why);
	if (master->hot != NULL)
		return true;
	fd_close(&master->hot_fd);
	err_add(&why, "not to be had since the start");
	snprintf(master->steer.impossible, sizeof(master->steer.impossible), "%s", why.text);
	master->hot = hot_create(&master->hot_fd, err);
	return master->hot != NULL;
}

bool steer_try(struct err *err)
{
	int hot AUTO_CLOSE = steering_memory(err);
	struct steering steering;

	if (hot < 0 || !steering_load(&steering, hot, -1, err))
		return false;
	steering_close(&steering);
	return true;
}

/* ---- a listener -------------------------------------------------------------------------------------- */

/* The others are made by an open transition. */
static unsigned listening(const struct listener *listener)
{
	unsigned count = 0;

	while (count < listener->count && listener->sockets[count].listening)
		count++;
	return count;
}

static void say_failure(const struct listener *listener, const char *event, const char *why)
{
	log_event(LEVEL_WARNING, event, log_text("address", listener->addr.text), log_text("error", why));
}

/* What an image before has attached is nobody's any more, whatever its state says. */
static void leave_to_hash(struct listener *listener, const char *why)
{
	struct err err;

	if ((listener->steered != STEERED_NOT || !listener->steered_here) &&
	    !steering_detach(listener->sockets[0].fd, &err))
		say_failure(listener, "steering_not_detached", err.text);
	listener->steered = STEERED_NOT;
	listener->steered_here = true;
	snprintf(listener->unsteered, sizeof(listener->unsteered), "%s", why);
}

static void count_as_steered(struct listener *listener, enum steered how)
{
	listener->steered = how;
	listener->steered_here = true;
	listener->unsteered[0] = '\0';
}

static unsigned seats_of(const struct listener *listener)
{
	unsigned count = listening(listener);

	return count < HOT_SLOTS ? count : HOT_SLOTS;
}

/* Those that no slot has any more stay: no seat is good that leads to them. */
static bool seat_all(struct listener *listener, struct err *err)
{
	unsigned count = seats_of(listener);

	for (; listener->seated < count; listener->seated++)
		if (!steering_seat(listener->array, listener->seated, listener->sockets[listener->seated].fd,
				   err))
			return false;
	return true;
}

static bool attach(const struct master *master, struct listener *listener, struct err *err)
{
	struct steering steering;
	bool good;

	if (!steering_load(&steering, master->hot_fd, listener->array, err))
		return false;
	fd_close(&listener->array);     /* the same one, or there was none */
	listener->array = steering.array;
	steering.array = -1;
	good = seat_all(listener, err) && steering_attach(steering.program, listener->sockets[0].fd, err);
	steering_close(&steering);
	return good;
}

/* A program that the image before has attached chooses by the same lines and has all of the sockets: without
 * one of our own it is as good. */
static bool has_old_program(const struct listener *listener)
{
	return listener->steered == STEERED_DIRECTED && !listener->steered_here &&
	       listener->seated >= seats_of(listener);
}

static bool may_try_again(const struct master *master, const struct listener *listener)
{
	return listener->inherited && listener->array >= 0 && listener->seated < seats_of(listener) &&
	       master->steer.tries < MOST_TRIES;
}

static void direct(const struct master *master, struct listener *listener)
{
	bool is_attached = listener->steered == STEERED_DIRECTED && listener->steered_here;
	struct err err;

	if (master->steer.impossible[0] != '\0') {
		leave_to_hash(listener, master->steer.impossible);
	} else if (is_attached ? seat_all(listener, &err) : attach(master, listener, &err)) {
		count_as_steered(listener, STEERED_DIRECTED);
	} else if (has_old_program(listener)) {
		say_failure(listener, "steering_kept", err.text);
	} else {
		listener->seats_wanted = may_try_again(master, listener);
		if (!listener->seats_wanted)
			say_failure(listener, "listener_not_steered", err.text);
		leave_to_hash(listener, err.text);
	}
}

/* It chooses among as many slots as there are now. */
static void choose_by_cpu(const struct master *master, struct listener *listener)
{
	unsigned cpus[CPUS_MAX], count = cpus_list(cpus);
	struct err err;

	if (steering_attach_cpu(listener->sockets[0].fd, cpus, count, master->slot_count, &err)) {
		count_as_steered(listener, STEERED_CPU);
		return;
	}
	say_failure(listener, "listener_not_steered", err.text);
	leave_to_hash(listener, err.text);
}

static enum accept_mode wanted_mode(const struct master *master)
{
	return master->current.generation->config->accept;
}

static void steer(const struct master *master, struct listener *listener)
{
	enum accept_mode mode = wanted_mode(master);

	listener->seats_wanted = false;
	if (addr_is_unix(&listener->addr))
		return;
	if (listener->shared && mode != ACCEPT_SHARED)
		leave_to_hash(listener, "it has fewer sockets than there are workers, who share them");
	else if (mode == ACCEPT_DIRECTED)
		direct(master, listener);
	else if (mode == ACCEPT_CPU)
		choose_by_cpu(master, listener);
	else
		leave_to_hash(listener, "");
}

void steer_leave(struct listener *listener)
{
	if (!addr_is_unix(&listener->addr) && listener->count > 0)
		leave_to_hash(listener, "");
}

void steer_restored(struct master *master, struct listener *listener, unsigned index)
{
	struct err err;

	if (listener->array >= 0 && index < listener->seated &&
	    !steering_seat(listener->array, index, listener->sockets[index].fd, &err))
		say_failure(listener, "listener_not_steered", err.text);
	if (listener->steered == STEERED_NOT)
		return;
	listener->steered_here = false;
	steer(master, listener);
}

/* ---- what came of it --------------------------------------------------------------------------------- */

const char *steer_mode(const struct listener *listener)
{
	if (listener->shared || addr_is_unix(&listener->addr))
		return config_accept_names[ACCEPT_SHARED];
	if (listener->steered == STEERED_DIRECTED)
		return config_accept_names[ACCEPT_DIRECTED];
	if (listener->steered == STEERED_CPU)
		return config_accept_names[ACCEPT_CPU];
	return config_accept_names[ACCEPT_REUSEPORT];
}

/* The worst that came of one; addresses that all workers share anyway count when there are no others. */
struct accept_outcome steer_outcome(const struct master *master)
{
	struct accept_outcome outcome = { "", "", "" };
	const char *as_wanted = NULL, *other = NULL;

	if (master->current.generation == NULL)
		return outcome;
	outcome.wanted = outcome.effective = config_accept_names[wanted_mode(master)];
	for (const struct list *link = master->listeners.next; link != &master->listeners;
	     link = link->next) {
		const struct listener *listener = LIST_ENTRY(link, struct listener, link);
		const char *mode = steer_mode(listener);

		if (!listener->keep || listener->fresh)
			continue;
		if (strcmp(mode, outcome.wanted) == 0)
			as_wanted = mode;
		else if (other == NULL || strcmp(other, config_accept_names[ACCEPT_SHARED]) == 0)
			other = mode, outcome.why = listener->unsteered;
	}
	if (other == NULL || (as_wanted != NULL && strcmp(other, config_accept_names[ACCEPT_SHARED]) == 0))
		return outcome.why = "", outcome;
	outcome.effective = other;
	if (outcome.why[0] == '\0')
		outcome.why = "all workers share a unix socket";
	return outcome;
}

/* Once, and when it has changed; the other modes are always to be had. */
static void say_mode(struct master *master)
{
	struct accept_outcome outcome = steer_outcome(master);
	char text[sizeof(master->steer.said)];

	snprintf(text, sizeof(text), "%s %s %s", outcome.wanted, outcome.effective, outcome.why);
	if (strcmp(text, master->steer.said) == 0)
		return;
	memcpy(master->steer.said, text, sizeof(text));
	if (wanted_mode(master) == ACCEPT_DIRECTED || wanted_mode(master) == ACCEPT_CPU)
		log_event(LEVEL_INFO, "accept_mode", log_text("wanted", outcome.wanted),
			  log_text("effective", outcome.effective),
			  outcome.why[0] != '\0' ? log_text("why", outcome.why) : (struct log_field){ 0 });
}

/* ---- all of them ------------------------------------------------------------------------------------- */

static bool all_are_seated(const struct master *master)
{
	for (const struct list *link = master->listeners.next; link != &master->listeners; link = link->next)
		if (LIST_ENTRY(link, struct listener, link)->seats_wanted)
			return false;
	return true;
}

static void finish(struct master *master);

static void try_again(struct timer *timer, uint64_t now_ns)
{
	struct master *master = LIST_ENTRY(LIST_ENTRY(timer, struct steer, again), struct master, steer);

	(void)now_ns;
	if (master_is_stopping(master))
		return;
	master->steer.tries++;
	for (struct list *link = master->listeners.next; link != &master->listeners; link = link->next) {
		struct listener *listener = LIST_ENTRY(link, struct listener, link);

		if (listener->seats_wanted)
			steer(master, listener);
	}
	finish(master);
}

static void finish(struct master *master)
{
	if (all_are_seated(master)) {
		say_mode(master);
		tell_news(master);
		return;
	}
	master->steer.again.fire = try_again;
	loop_timer(&master->loop, &master->steer.again, AGAIN_MS * CLOCK_MS);
}

void steer_apply(struct master *master)
{
	timer_cancel(&master->steer.again);
	master->steer.tries = 0;
	for (struct list *link = master->listeners.next; link != &master->listeners; link = link->next) {
		struct listener *listener = LIST_ENTRY(link, struct listener, link);

		if (listener->keep)
			steer(master, listener);
	}
	finish(master);
}
