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
 * the same for any number of connections. Called by reload.c, resume.c, sockets.c, slots.c, watch.c and by
 * its own events. Cannot fail: a socket that cannot be watched is not, and that is said. */
#include "master.h"

#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* A listening socket in the master's epoll. It stays where it is while it is registered, and until the turn
 * ends; listen_socket moves. */
struct rescue_watch {
	struct source source;
	struct list link;               /* in rescue->watches or dropped */
	struct master *master;
	const struct listener *listener;
	unsigned index;                 /* of its sockets */
	bool armed;                     /* and nobody has come since */
	bool waiting;                   /* somebody did at the last look */
	bool shut;                      /* nobody comes any more, although it is always readable */
};

/* More than one connection from one look to the next: they go on, instead of an event for each. */
enum { LIVELY = 2 };

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

static struct rescue_watch *watch_of(struct list *link)
{
	return LIST_ENTRY(link, struct rescue_watch, link);
}

/* An armed one has nobody, and says when somebody comes; one that workers were told to let go is nobody's. */
static bool is_polled(const struct rescue_watch *watch)
{
	return !watch->armed && !watch->shut && (watch->listener->keep || !watch->master->release.told);
}

/* The slot whose worker accepts from it alone, or shall; NULL: it is everybody's. */
static struct slot *owner_of(const struct rescue_watch *watch)
{
	struct slot *slot = &watch->master->slots[watch->index];

	if (watch->listener->shared || watch->index >= watch->master->slot_count || slot->serving == NULL)
		return NULL;
	return slot;
}

static uint64_t look_at(const uint64_t *value)
{
	return __atomic_load_n(value, __ATOMIC_RELAXED);
}

/* ---- who waits --------------------------------------------------------------------------------------- */

/* Of a bad slot the others accept too: the one who was woken for it may not come either. */
static bool note_waiting(const struct rescue_watch *watch)
{
	struct slot *slot = owner_of(watch);

	if (slot != NULL)
		slot->rescue.queued = true;
	return slot == NULL || slot->bad;
}

static void note_polled(struct rescue_watch *watch, short events, bool *common)
{
	watch->shut = (events & (POLLRDHUP | POLLHUP | POLLNVAL)) != 0;
	watch->waiting = !watch->shut && (events & POLLIN) != 0;
	if (watch->waiting && note_waiting(watch))
		*common = true;
}

static unsigned fill_in(const struct master *master, struct pollfd *polled)
{
	const struct rescue *rescue = &master->rescue;
	unsigned count = 0;

	for (struct list *link = rescue->watches.next; link != &rescue->watches; link = link->next) {
		const struct rescue_watch *watch = watch_of(link);

		if (is_polled(watch))
			polled[count++] =
				(struct pollfd){ .fd = watch->source.fd, .events = POLLIN | POLLRDHUP };
	}
	return count;
}

/* Notes in each slot whether somebody waits there. True: somebody does at a socket that is everybody's. Those
 * that are armed had nobody. */
static bool poll_all(struct master *master)
{
	struct rescue *rescue = &master->rescue;
	unsigned count = fill_in(master, rescue->polled), next = 0;
	bool common = false;

	for (unsigned i = 0; i < master->slot_count; i++)
		master->slots[i].rescue.queued = false;
	if (count == 0 || poll(rescue->polled, count, 0) < 0)   /* ENOMEM: the next look comes */
		return false;
	for (struct list *link = rescue->watches.next; link != &rescue->watches; link = link->next) {
		struct rescue_watch *watch = watch_of(link);

		if (is_polled(watch))
			note_polled(watch, rescue->polled[next++].revents, &common);
	}
	return common;
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

static void say_over(const struct slot *slot, uint64_t end_ns, const char *how)
{
	const struct hang *hang = &slot->rescue.hang;
	uint64_t for_ns = hang->began_ns < end_ns ? end_ns - hang->began_ns : 0;

	if (!is_worth_a_line(slot, for_ns))
		return;
	log_event(LEVEL_WARNING, "hang_over", log_number("slot", (uint64_t)(slot - slot->master->slots)),
		  log_number("pid", (uint64_t)slot->rescue.pid), log_number("for_ms", for_ns / CLOCK_MS),
		  log_number("rescued", rescue_count(slot)), log_text("how", how));
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
	*known = (struct slot_rescue){ 0 };
	slot->bad = false;
}

void rescue_seats(struct master *master)
{
	for (unsigned i = 0; i < CONFIG_MAX_WORKERS; i++)
		if (is_left(&master->slots[i]))
			leave(&master->slots[i]);
}

/* One that is being killed accepts nothing more. Whether one is stopped need not be asked while it moves. */
static struct hang_view view_of(const struct slot *slot)
{
	const struct child *child = slot->serving;
	const struct hot_line *line = &child->master->hot->line[child->column];
	const struct slot_rescue *known = &slot->rescue;
	struct hang_view view = {
		.now_ns = child->master->loop.now_ns,
		.queued = known->queued,
		.holding = look_at(&line->holding) != 0,
		.busy_since_ns = look_at(&line->busy_since_ns),
		.turn_ns = look_at(&line->turn_ns),
		.accepted = look_at(&line->accepted),
	};

	view.stopped = child->state == CHILD_KILLED ||
		       ((known->hang.bad || view.turn_ns == known->hang.turn_ns) && watch_is_stopped(child));
	return view;
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
	ask(slot);
	if (known->hang.moved_ns == view.now_ns)
		slots_catch_up(slot->serving);
	if (bad && !known->hang.bad) {
		known->hang.bad = true;          /* for the count */
		say_over(slot, known->hang.moved_ns, "it moves again");
		known->hang = (struct hang){ 0 };
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
			sum += look_at(&master->hot->line[master->slots[i].serving->column].accepted);
	return sum;
}

static bool is_lively(struct master *master)
{
	uint64_t accepted = accepted_by_all(master), before = master->rescue.accepted;

	master->rescue.accepted = accepted;
	return accepted - before >= LIVELY;
}

static void say_unwatched(const struct rescue_watch *watch, int error)
{
	log_event(LEVEL_ERROR, "listener_not_rescued", log_text("address", watch->listener->addr.text),
		  log_number("socket_slot", watch->index), log_text("error", strerror(error)));
}

/* EPOLL_CTL_MOD looks too: who came meanwhile is an event (epoll_ctl(2)). */
static void arm(struct rescue_watch *watch)
{
	int error = loop_modify(&watch->master->loop, &watch->source, EPOLLIN | EPOLLONESHOT);

	watch->armed = error == 0;
	watch->shut = error != 0;
	if (error != 0)
		say_unwatched(watch, error);
}

/* Those that nobody waits at. */
static void arm_all(struct rescue *rescue)
{
	for (struct list *link = rescue->watches.next; link != &rescue->watches; link = link->next) {
		struct rescue_watch *watch = watch_of(link);

		if (is_polled(watch) && !watch->waiting)
			arm(watch);
	}
}

static bool is_anything_polled(struct rescue *rescue)
{
	for (struct list *link = rescue->watches.next; link != &rescue->watches; link = link->next)
		if (is_polled(watch_of(link)))
			return true;
	return false;
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
	timer_arm(&master->loop.timers, &master->rescue.look, next_ns);
}

static void look(struct master *master)
{
	struct rescue *rescue = &master->rescue;

	timer_cancel(&rescue->look);
	if (!is_on(master))
		return;
	rescue->common_waits = poll_all(master);
	if (look_at_slots(master))
		slots_publish(master);
	if (hang_common_look(&rescue->common, rescue->common_waits, master->loop.now_ns, stall_of(master)))
		spawn_tell_to_look(master, NULL);
	kill_hung(master);
	if (!is_lively(master))
		arm_all(rescue);
	if (is_anything_polled(rescue) || next_of_slots(master) != UINT64_MAX)
		look_later(master);
}

static void on_look(struct timer *timer, uint64_t now_ns)
{
	struct rescue *rescue = LIST_ENTRY(timer, struct rescue, look);

	(void)now_ns;
	look(LIST_ENTRY(rescue, struct master, rescue));
}

void rescue_look(struct master *master)
{
	look(master);
}

/* Until this moment nobody waited anywhere. */
static void begin_looks(struct master *master)
{
	for (unsigned i = 0; i < master->slot_count; i++)
		master->slots[i].rescue.queued = false;
	look_at_slots(master);
	hang_common_look(&master->rescue.common, false, master->loop.now_ns, stall_of(master));
	is_lively(master);
	look_later(master);
}

static void on_arrival(struct source *source, uint32_t events)
{
	struct rescue_watch *watch = LIST_ENTRY(source, struct rescue_watch, source);
	struct master *master = watch->master;

	(void)events;
	watch->armed = watch->waiting = false;
	if (is_on(master) && !timer_armed(&master->rescue.look))
		begin_looks(master);
}

/* ---- which sockets ----------------------------------------------------------------------------------- */

static bool make_room(struct rescue *rescue)
{
	struct pollfd *grown = reallocarray(rescue->polled, rescue->count + 1, sizeof(*grown));

	if (grown == NULL)
		return false;
	rescue->polled = grown;
	return true;
}

static void watch_one(struct master *master, struct listener *listener, unsigned index)
{
	struct rescue_watch *watch = calloc(1, sizeof(*watch)), unwatched = { .listener = listener };
	int error = ENOMEM;

	unwatched.index = index;
	if (watch != NULL && make_room(&master->rescue)) {
		*watch = unwatched;
		watch->master = master;
		watch->source = (struct source){ .fd = listener->sockets[index].fd, .handle = on_arrival };
		error = loop_add(&master->loop, &watch->source, EPOLLIN | EPOLLONESHOT);
	}
	if (error != 0) {
		say_unwatched(&unwatched, error);
		free(watch);
		return;
	}
	watch->armed = true;
	list_push_back(&master->rescue.watches, &watch->link);
	master->rescue.count++;
	listener->sockets[index].watch = watch;
}

void rescue_watch(struct master *master)
{
	master->rescue.look.fire = on_look;
	for (struct list *link = master->listeners.next; link != &master->listeners; link = link->next) {
		struct listener *listener = LIST_ENTRY(link, struct listener, link);

		for (unsigned i = 0; i < listener->count; i++)
			if (listener->sockets[i].listening && listener->sockets[i].watch == NULL)
				watch_one(master, listener, i);
	}
}

void rescue_unwatch(struct master *master, struct listen_socket *socket)
{
	struct rescue_watch *watch = socket->watch;

	if (watch == NULL)
		return;
	socket->watch = NULL;
	loop_remove(&master->loop, &watch->source);
	list_remove(&watch->link);
	list_push_back(&master->rescue.dropped, &watch->link);
	master->rescue.count--;
}

void rescue_sweep(struct rescue *rescue)
{
	for (struct list *link = list_pop_front(&rescue->dropped); link != NULL;
	     link = list_pop_front(&rescue->dropped))
		free(watch_of(link));
}

void rescue_close(struct rescue *rescue)
{
	rescue_sweep(rescue);
	free(rescue->polled);
}
