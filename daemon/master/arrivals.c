/* arrivals.c - at which listening sockets does somebody wait? Each is in the master's epoll: armed, it is one
 * event when somebody comes (EPOLLONESHOT); from then on it is polled at every look, until it is armed again.
 *
 * Called by rescue.c; by reload.c, resume.c and sockets.c where sockets come and go. Cannot fail: a socket
 * that cannot be watched is not, and that is said. */
#include "arrivals.h"
#include "master.h"
#include "steer.h"

#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* A listening socket in the master's epoll. It stays where it is while it is registered, and until the turn
 * ends; listen_socket moves. */
struct arrival {
	struct source source;
	struct list link;               /* in rescue->watches or dropped */
	struct master *master;
	struct listener *listener;
	unsigned index;                 /* of its sockets */
	bool armed;                     /* and nobody has come since */
	bool waiting;                   /* somebody did at the last look */
	bool shut;                      /* nobody comes any more, although it is always readable */
};

static struct arrival *arrival_of(struct list *link)
{
	return LIST_ENTRY(link, struct arrival, link);
}

/* An armed one has nobody, and says when somebody comes; one that workers were told to let go is nobody's. */
static bool is_polled(const struct arrival *watch)
{
	return !watch->armed && !watch->shut && (watch->listener->keep || !watch->master->release.told);
}

/* The slot whose worker accepts from it alone, or shall; NULL: it is everybody's. */
static struct slot *owner_of(const struct arrival *watch)
{
	struct master *master = watch->master;
	bool shared = watch->listener->shared || watch->index >= master->slot_count;

	return shared || master->slots[watch->index].serving == NULL ? NULL : &master->slots[watch->index];
}

/* ---- who waits --------------------------------------------------------------------------------------- */

/* Of a bad slot the others accept too: the one who was woken for it may not come either. */
static bool note_waiting(const struct arrival *watch)
{
	struct slot *slot = owner_of(watch);

	if (slot != NULL)
		slot->rescue.queued = true;
	return slot == NULL || slot->bad;
}

/* Whoever holds a socket can shut it for all (shutdown(2)) where no filter of system calls forbids it. A unix
 * socket cannot be opened again. */
static bool listens_again(const struct arrival *watch)
{
	struct listener *listener = watch->listener;
	struct err err = { "it was shut" };
	bool good = !addr_is_unix(&listener->addr) &&
		    listener_start(watch->source.fd, &listener->addr, &listener->path, &listener->options,
				   &err);

	log_event(LEVEL_ERROR, good ? "listener_restored" : "listener_shut",
		  log_text("address", listener->addr.text), log_number("socket_slot", watch->index),
		  good ? (struct log_field){ 0 } : log_text("error", err.text));
	if (good)
		steer_restored(watch->master, listener, watch->index);
	return good;
}

static void note_polled(struct arrival *watch, short events, bool *common)
{
	watch->shut = (events & (POLLRDHUP | POLLHUP | POLLNVAL)) != 0;
	if (watch->shut && watch->listener->keep && listens_again(watch))
		watch->shut = false;
	watch->waiting = !watch->shut && (events & POLLIN) != 0;
	if (watch->waiting && note_waiting(watch))
		*common = true;
}

static unsigned fill_in(const struct master *master, struct pollfd *polled)
{
	const struct rescue *rescue = &master->rescue;
	unsigned count = 0;

	for (struct list *link = rescue->watches.next; link != &rescue->watches; link = link->next) {
		const struct arrival *watch = arrival_of(link);

		if (is_polled(watch))
			polled[count++] =
				(struct pollfd){ .fd = watch->source.fd, .events = POLLIN | POLLRDHUP };
	}
	return count;
}

bool arrivals_poll(struct master *master)
{
	struct rescue *rescue = &master->rescue;
	unsigned count = fill_in(master, rescue->polled), next = 0;
	bool common = false;

	for (unsigned i = 0; i < master->slot_count; i++)
		master->slots[i].rescue.queued = false;
	if (count == 0 || poll(rescue->polled, count, 0) < 0)   /* ENOMEM: the next look comes */
		return false;
	for (struct list *link = rescue->watches.next; link != &rescue->watches; link = link->next) {
		struct arrival *watch = arrival_of(link);

		if (is_polled(watch))
			note_polled(watch, rescue->polled[next++].revents, &common);
	}
	return common;
}

/* ---- arming ------------------------------------------------------------------------------------------ */

static void say_unwatched(const struct arrival *watch, int error)
{
	log_event(LEVEL_ERROR, "listener_not_rescued", log_text("address", watch->listener->addr.text),
		  log_number("socket_slot", watch->index), log_text("error", strerror(error)));
}

/* EPOLL_CTL_MOD looks too: who came meanwhile is an event (epoll_ctl(2)). */
static void arm(struct arrival *watch)
{
	int error = loop_modify(&watch->master->loop, &watch->source, EPOLLIN | EPOLLONESHOT);

	watch->armed = error == 0;
	watch->shut = error != 0;
	if (error != 0)
		say_unwatched(watch, error);
}

void arrivals_arm(struct master *master)
{
	struct rescue *rescue = &master->rescue;

	for (struct list *link = rescue->watches.next; link != &rescue->watches; link = link->next) {
		struct arrival *watch = arrival_of(link);

		if (is_polled(watch) && !watch->waiting)
			arm(watch);
	}
}

bool arrivals_are_polled(const struct master *master)
{
	const struct rescue *rescue = &master->rescue;

	for (struct list *link = rescue->watches.next; link != &rescue->watches; link = link->next)
		if (is_polled(arrival_of(link)))
			return true;
	return false;
}

/* ---- which sockets ----------------------------------------------------------------------------------- */

static void on_arrival(struct source *source, uint32_t events)
{
	struct arrival *watch = LIST_ENTRY(source, struct arrival, source);

	(void)events;
	watch->armed = watch->waiting = false;
	rescue_begin(watch->master);
}

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
	struct arrival *watch = calloc(1, sizeof(*watch)), unwatched = { .listener = listener };
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

void arrivals_watch(struct master *master)
{
	for (struct list *link = master->listeners.next; link != &master->listeners; link = link->next) {
		struct listener *listener = LIST_ENTRY(link, struct listener, link);

		for (unsigned i = 0; i < listener->count; i++)
			if (listener->sockets[i].listening && listener->sockets[i].watch == NULL)
				watch_one(master, listener, i);
	}
}

void arrivals_unwatch(struct master *master, struct listen_socket *socket)
{
	struct arrival *watch = socket->watch;

	if (watch == NULL)
		return;
	socket->watch = NULL;
	loop_remove(&master->loop, &watch->source);
	list_remove(&watch->link);
	list_push_back(&master->rescue.dropped, &watch->link);
	master->rescue.count--;
}

void arrivals_sweep(struct master *master)
{
	struct rescue *rescue = &master->rescue;

	for (struct list *link = list_pop_front(&rescue->dropped); link != NULL;
	     link = list_pop_front(&rescue->dropped))
		free(arrival_of(link));
}

void arrivals_close(struct master *master)
{
	arrivals_sweep(master);
	free(master->rescue.polled);
	master->rescue.polled = NULL;
}
