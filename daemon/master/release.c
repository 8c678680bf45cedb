/* release.c - letting listening sockets go so that nobody who reached them is lost: addresses that a reload
 * removed, and all of them at a stop.
 *
 *	no new handshakes (a filter) -> settle: those under way are completed, workers accept on
 *	    -> RELEASE to all workers: accept what waits, close -> RELEASED from all
 *	    -> closed here too, by `done`
 *
 * Sockets that outlive the process get no filter and are not emptied: what waits there is the next
 * process's. Called by reload.c, stop.c and spawn.c; cannot fail: a worker that does not answer is waited
 * for a bounded time, and what then still waits is counted as lost. */
#include "master.h"

#include "base/log.h"

#define ANSWER_NS (2 * CLOCK_S)

static void finish(struct master *master)
{
	void (*done)(struct master *master) = master->release.done;

	timer_cancel(&master->release.timer);
	master->release.done = NULL;
	done(master);
}

static void too_late(struct timer *timer, uint64_t now_ns)
{
	struct master *master = LIST_ENTRY(LIST_ENTRY(timer, struct release, timer), struct master, release);

	(void)now_ns;
	FOR_EACH_CHILD(master, child) {
		if (child->releasing)
			log_event(LEVEL_WARNING, "sockets_not_let_go", log_number("slot", child->slot),
				  log_number("pid", (uint64_t)child->pid));
	}
	finish(master);
}

static void check(struct master *master)
{
	if (!release_is_open(master) || !master->release.told)
		return;
	FOR_EACH_CHILD(master, child)
		if (child->releasing)
			return;
	finish(master);
}

void release_child_done(struct child *child, uint64_t number)
{
	if (number != child->master->release.number)
		return;         /* the answer to one that was replaced */
	child->releasing = false;
	check(child->master);
}

void release_child_died(struct child *child)
{
	child->releasing = false;
	check(child->master);
}

/* ---- telling the workers ----------------------------------------------------------------------------- */

/* At a stop; an address that is removed has no next process. */
static bool lives_on(const struct master *master)
{
	return master->release.all && master->outlive;
}

static void fill_in(const struct master *master, struct release_note *note)
{
	*note = (struct release_note){ .all = master->release.all, .empty = !lives_on(master) };
	for (const struct list *link = master->listeners.next; link != &master->listeners;
	     link = link->next) {
		const struct listener *listener = LIST_ENTRY(link, struct listener, link);

		if (!listener->keep && note->listener_count < CHANNEL_MAX_LISTENERS)
			note->listeners[note->listener_count++] = listener->id;
	}
}

static void shut_unix(struct listener *listener, int fd)
{
	if (addr_is_unix(&listener->addr))
		listener_shut(fd);
}

static void tell_all(struct timer *timer, uint64_t now_ns)
{
	struct release *release = LIST_ENTRY(timer, struct release, timer);
	struct master *master = LIST_ENTRY(release, struct master, release);
	struct message message = { .type = MESSAGE_RELEASE, .bytes = sizeof(struct release_note) };
	struct err err;

	(void)now_ns;
	if (!lives_on(master))
		sockets_for_each(master, release->all, shut_unix);
	release->told = true;
	release->timer.fire = too_late;
	loop_timer(&master->loop, &release->timer, ANSWER_NS);
	message.generation = release->number;
	fill_in(master, &message.body.release);
	FOR_EACH_CHILD(master, child) {
		if (child->state == CHILD_KILLED)
			continue;
		child->releasing = channel_send(child->channel.fd, &message, NULL, 0, &err);
		if (!child->releasing)
			child_unreachable(child, &err);
	}
	check(master);
}

static void refuse_new(struct listener *listener, int fd)
{
	struct err err;

	if (!addr_is_unix(&listener->addr) && !listener_refuse_new(fd, &err))
		log_event(LEVEL_WARNING, "listener_not_filtered", log_text("address", listener->addr.text),
			  log_text("error", err.text));
}

void release_begin(struct master *master, bool all, uint64_t settle_ns, void (*done)(struct master *master))
{
	struct release *release = &master->release;

	release->number++;
	release->all = all;
	release->told = false;
	release->done = done;
	if (!lives_on(master))
		sockets_for_each(master, all, refuse_new);
	release->timer.fire = tell_all;
	loop_timer(&master->loop, &release->timer, settle_ns);
}

void release_cancel(struct master *master)
{
	timer_cancel(&master->release.timer);
	master->release.done = NULL;
}
