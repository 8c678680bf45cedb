/* accept.c - which sockets a worker accepts from, and accepting.
 *
 * A worker holds every slot's sockets. It accepts from its own slot's, alone; from those that are everybody's
 * (mode shared, listeners with fewer sockets than slots, slots that are gone or have no worker) together with
 * the other workers, by EPOLLEXCLUSIVE; woken for one that it cannot take, it has the others told. Sockets
 * are level-triggered and emptied in bounded batches. When it must not take more, it unregisters them: what
 * waits stays in the backlog, and nothing spins.
 * At the limit of connections it closes idle ones first. */
#include "worker.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	ACCEPT_BATCH = 64,              /* connections per socket and turn */
	ACCEPT_LEAST = 8,               /* of these, however long the turn lasts already */
	ACCEPT_PAUSE_MS = 100,          /* after running out of descriptors, memory or idle connections */
	ACCEPT_END_BATCH = 65536,       /* a bound on emptying a queue at the end */
};

#define COMPLAINT_NS (10 * CLOCK_S)

/* A turn that lasts longer accepts no more: those that were accepted are served first, and a worker that is
 * slow is not taken for one that hangs. */
#define ACCEPT_TURN_NS (10 * CLOCK_MS)

enum want { WANT_NOT, WANT_ALONE, WANT_EXCLUSIVE };

/* What the served generation says of the socket's listener; NULL: it is not in there. */
static const struct listener_note *listed(const struct worker *worker, const struct held_socket *held)
{
	const struct prepare_note *note = &worker->note;

	for (unsigned i = 0; i < note->listener_count && i < CHANNEL_MAX_LISTENERS; i++)
		if (note->listeners[i].listener == held->note.listener)
			return &note->listeners[i];
	return NULL;
}

static enum want wanted(const struct worker *worker, const struct held_socket *held)
{
	const struct listener_note *listener = listed(worker, held);

	if (!worker->serving || (worker->draining && !worker->keeps) || worker->paused || worker->full)
		return WANT_NOT;
	if (listener == NULL)
		return WANT_NOT;
	if (held->generation > worker->engine.generation->number) /* does not listen before the commit */
		return WANT_NOT;
	if (listener->shared)
		return WANT_EXCLUSIVE;
	if (held->note.slot == worker->slot)
		return WANT_ALONE;
	if (held->note.slot >= worker->note.slots || slot_set_has(&worker->cover, held->note.slot))
		return WANT_EXCLUSIVE;
	return WANT_NOT;
}

/* EPOLLEXCLUSIVE cannot be changed by EPOLL_CTL_MOD (epoll_ctl(2)): DEL and ADD. */
static void apply_one(struct worker *worker, struct held_socket *held)
{
	enum want want = wanted(worker, held);
	bool exclusive = want == WANT_EXCLUSIVE;

	if (held->source.added && (want == WANT_NOT || held->exclusive != exclusive))
		loop_remove(&worker->loop, &held->source);
	if (want == WANT_NOT || held->source.added)
		return;
	held->exclusive = exclusive;
	if (loop_add(&worker->loop, &held->source, EPOLLIN | (exclusive ? EPOLLEXCLUSIVE : 0U)) != 0)
		log_event(LEVEL_ERROR, "listener_not_watched", log_number("socket_slot", held->note.slot));
}

static void apply_all(struct worker *worker)
{
	worker->line->holding = worker->paused || worker->full || worker->refusals.full;
	for (struct list *link = worker->sockets.next; link != &worker->sockets; link = link->next)
		apply_one(worker, LIST_ENTRY(link, struct held_socket, link));
}

/* The description lives on in the master: without the DEL this epoll would go on reporting it. */
static void release(struct worker *worker, struct held_socket *held)
{
	backlog_forget(held);
	loop_remove(&worker->loop, &held->source);
	list_remove(&held->link);
	fd_close(&held->source.fd);
	listeners_release(held);
	list_push_back(&worker->released, &held->link);
	worker->held_count--;
}

void accept_sweep(struct turn_end *hook)
{
	struct worker *worker = LIST_ENTRY(hook, struct worker, sweep);

	worker->line->open = worker->engine.count;
	for (struct list *link = list_pop_front(&worker->released); link != NULL;
	     link = list_pop_front(&worker->released))
		free(LIST_ENTRY(link, struct held_socket, link));
}

static void resume(struct timer *timer, uint64_t now_ns)
{
	struct worker *worker = LIST_ENTRY(timer, struct worker, pause);

	(void)now_ns;
	worker->paused = worker->full = false;
	worker->refusals.waited = true;
	apply_all(worker);
}

/* The one wake-up for who waits at a socket of all may have come here (EPOLLEXCLUSIVE, epoll_ctl(2)): the
 * others are told, once a pause. */
static void look_again_later(struct worker *worker, const struct held_socket *held)
{
	if (!timer_armed(&worker->pause)) {
		worker->pause.fire = resume;
		loop_timer(&worker->loop, &worker->pause, ACCEPT_PAUSE_MS * CLOCK_MS);
		if (held->exclusive)
			channel_hint(worker->channel.fd, MESSAGE_WAITING);
	}
	apply_all(worker);
}

/* Out of descriptors or memory: leave the rest in the backlog and look again a little later. */
static void pause_accept(struct worker *worker, const struct held_socket *held, int error)
{
	engine_count(&worker->engine, COUNT_ACCEPT_PAUSED);
	if (worker->loop.now_ns >= worker->pause_untold_ns) {
		worker->pause_untold_ns = worker->loop.now_ns + COMPLAINT_NS;
		log_event(LEVEL_WARNING, "accept_paused", log_text("error", strerror(error)),
			  log_number("connections", worker->engine.count));
	}
	worker->paused = true;
	look_again_later(worker, held);
}

/* As configured, but never so many that no descriptor is left for files and for the next reload. */
static unsigned most_connections(const struct worker *worker)
{
	const struct config *config = worker->engine.generation->config;
	unsigned configured = config->connections;
	unsigned kept = config_kept_files(config, worker->open_files) + worker->held_count;

	if (worker->open_files <= kept)
		return 1;
	return configured < worker->open_files - kept ? configured : worker->open_files - kept;
}

unsigned accept_spare(const struct worker *worker)
{
	unsigned most = most_connections(worker);

	return worker->engine.count < most ? most - worker->engine.count : 0;
}

/* Nothing is closed, and nothing is said, for somebody who is not there. */
static bool is_waiting(const struct held_socket *held)
{
	struct pollfd one = { .fd = held->source.fd, .events = POLLIN };

	return poll(&one, 1, 0) > 0;
}

/* Published at once: the others, and who steers, go by it. */
static void set_full(struct worker *worker, bool full)
{
	if (worker->refusals.full == full)
		return;
	worker->refusals.full = full;
	apply_all(worker);
}

enum room { ROOM, ROOM_TO_REFUSE, ROOM_NONE, ROOM_UNASKED };

/* At the limit of connections an idle one makes room; when there is none, who waits is refused where that is
 * wanted, or accept goes on when some connection has ended or become idle. */
static enum room room_for_another(struct worker *worker, const struct held_socket *held)
{
	if (worker->engine.count < most_connections(worker))
		return ROOM;
	if (!is_waiting(held))
		return ROOM_UNASKED;
	if (!worker->limit_told)
		log_event(LEVEL_WARNING, "connection_limit", log_number("connections", worker->engine.count));
	worker->limit_told = true;
	if (engine_shed(&worker->engine)) {
		set_full(worker, false);
		return ROOM;
	}
	set_full(worker, worker->engine.generation->config->when_full == FULL_REFUSE);
	if (refuse_may(worker))
		return ROOM_TO_REFUSE;
	engine_count(&worker->engine, COUNT_ACCEPT_PAUSED);
	worker->full = true;
	look_again_later(worker, held);
	return ROOM_NONE;
}

enum accepted { ACCEPTED, ACCEPT_AGAIN, ACCEPT_STOPPED };

/* A descriptor is taken before it is looked whether anybody waits (accept4 in the kernel). */
static enum accepted no_descriptor(struct worker *worker, const struct held_socket *held, int error)
{
	if (!is_waiting(held))
		return ACCEPT_AGAIN;
	if (engine_shed(&worker->engine))
		return ACCEPTED;        /* there is room for the next attempt */
	pause_accept(worker, held, error);
	return ACCEPT_STOPPED;
}

static enum accepted failed(struct worker *worker, const struct held_socket *held, int error)
{
	switch (error) {
	case EAGAIN:
	case EINVAL:                    /* it was shut, and is empty */
	case EBADF:
	case ENOTSOCK:                  /* never; but trying again would be for ever */
		return ACCEPT_AGAIN;
	case EMFILE:
	case ENFILE:
		return no_descriptor(worker, held, error);
	case ENOBUFS:
	case ENOMEM:
		pause_accept(worker, held, error);
		return ACCEPT_STOPPED;
	default:        /* ECONNABORTED and the network errors of accept(2): that one connection is gone */
		engine_count(&worker->engine, COUNT_ACCEPT_ERRORS);
		return ACCEPTED;
	}
}

/* Another slot's, whose worker does not come for it. */
static bool is_rescue(const struct worker *worker, const struct held_socket *held)
{
	const struct listener_note *listener;

	if (!held->exclusive || held->note.slot == worker->slot || held->note.slot >= worker->note.slots ||
	    !slot_set_has(&worker->cover, held->note.slot))
		return false;
	listener = listed(worker, held);
	return listener != NULL && !listener->shared;
}

/* Who is killed in accept4(2) has the connection already, and loses it: it counts from before on, until
 * the engine counts it. */
static int accept_counted(struct worker *worker, int fd, struct sockaddr_storage *peer)
{
	volatile uint64_t *open = &worker->engine.counters[COUNT_OPEN];
	socklen_t len = sizeof(*peer);

	++*open;
	peer->ss_family = AF_UNIX;      /* an unnamed unix peer leaves it untouched */
	fd = accept4(fd, (struct sockaddr *)peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	--*open;
	return fd;
}

static enum accepted accept_one(struct worker *worker, struct held_socket *held, enum room room)
{
	struct sockaddr_storage peer;
	int fd;

	if (!engine_has_room(&worker->engine))
		return failed(worker, held, ENOMEM);
	fd = accept_counted(worker, held->source.fd, &peer);
	if (fd < 0)
		return failed(worker, held, errno);
	if (room == ROOM)
		engine_accept(&worker->engine, fd, &peer, held->listener);
	else if (engine_refuse(&worker->engine, fd, &peer, held->listener))
		refuse_count(worker);
	worker->line->accepted++;
	if (is_rescue(worker, held))
		engine_count(&worker->engine, COUNT_RESCUED);
	return ACCEPTED;
}

/* The clock is looked at now and then: every connection that is accepted is served at once. */
static bool is_late(const struct worker *worker, unsigned taken)
{
	return taken > 0 && taken % ACCEPT_LEAST == 0 &&
	       clock_now_ns() - worker->loop.now_ns > ACCEPT_TURN_NS;
}

static enum accepted accept_next(struct worker *worker, struct held_socket *held)
{
	enum room room = room_for_another(worker, held);

	if (room == ROOM_UNASKED)
		return ACCEPT_AGAIN;
	return room == ROOM_NONE ? ACCEPT_STOPPED : accept_one(worker, held, room);
}

/* What was directed here before the queue was found empty has been taken, or has gone away again. Clients
 * that come as fast as they are taken make one long batch: what counts is its end. */
static void accept_batch(struct worker *worker, struct held_socket *held)
{
	enum accepted accepted = ACCEPTED;
	uint64_t directed = 0;
	unsigned taken;

	for (taken = 0; taken < ACCEPT_BATCH && accepted == ACCEPTED && !is_late(worker, taken); taken++) {
		directed = hot_directed(worker->seat);
		accepted = accept_next(worker, held);
	}
	worker->refusals.waited = false;
	if (!held->exclusive)
		backlog_look(worker, held, taken, accepted == ACCEPTED && is_waiting(held));
	if (accepted == ACCEPT_AGAIN && held->note.slot == worker->slot)
		worker->line->taken = directed;
}

static void on_acceptable(struct source *source, uint32_t events)
{
	struct held_socket *held = LIST_ENTRY(source, struct held_socket, source);
	struct worker *worker = held->worker;

	(void)events;
	epitaph_phase(worker->engine.epitaph, PHASE_ACCEPTING);
	accept_batch(worker, held);
	worker->line->open = worker->engine.count;
	epitaph_phase(worker->engine.epitaph, PHASE_LOOP);
}

void accept_begin(struct worker *worker)
{
	worker->line->taken = hot_directed(worker->seat);
}

void accept_look(struct worker *worker)
{
	for (struct list *link = worker->sockets.next; link != &worker->sockets; link = link->next) {
		struct held_socket *held = LIST_ENTRY(link, struct held_socket, link);

		if (held->source.added && held->exclusive)
			on_acceptable(&held->source, EPOLLIN);
	}
}

bool accept_hold(struct worker *worker, const struct socket_note *note, int fd, uint64_t generation)
{
	struct held_socket *held = calloc(1, sizeof(*held));

	if (held == NULL) {
		fd_close(&fd);
		return false;
	}
	held->source = (struct source){ .fd = fd, .handle = on_acceptable };
	held->worker = worker;
	held->note = *note;
	held->generation = generation;
	if (!listeners_hold(worker, held)) {
		fd_close(&fd);
		free(held);
		return false;
	}
	list_push_back(&worker->sockets, &held->link);
	worker->held_count++;
	return true;
}

/* Empties the queue of a socket that is about to go, beyond the limit of connections if need be: what is in
 * it was promised an answer. */
static void empty_queue(struct worker *worker, struct held_socket *held)
{
	for (unsigned i = 0; i < ACCEPT_END_BATCH; i++)
		if (accept_one(worker, held, ROOM) != ACCEPTED)
			return;
}

/* The registration goes first: the one wake-up for a connection of a socket that workers share may have come
 * here, and would be lost on the others (EPOLLEXCLUSIVE, epoll_ctl(2)); what comes from now on wakes them. */
static void let_go(struct worker *worker, struct held_socket *held, enum emptying emptying)
{
	bool woken = held->source.added && held->exclusive;
	bool listens = worker->serving && held->generation <= worker->engine.generation->number;

	loop_remove(&worker->loop, &held->source);
	if (listens && (emptying == EMPTY_ALL || (emptying == EMPTY_WOKEN && woken)))
		empty_queue(worker, held);
	release(worker, held);
}

void accept_apply(struct worker *worker)
{
	apply_all(worker);
}

static bool is_named(const struct release_note *note, uint32_t listener)
{
	bool found = note->all;

	for (unsigned i = 0; i < note->listener_count && i < CHANNEL_MAX_LISTENERS && !found; i++)
		found = note->listeners[i] == listener;
	return found;
}

void accept_release(struct worker *worker, const struct release_note *note)
{
	struct list *next;

	for (struct list *link = worker->sockets.next; link != &worker->sockets; link = next) {
		struct held_socket *held = LIST_ENTRY(link, struct held_socket, link);

		next = link->next;
		if (is_named(note, held->note.listener))
			let_go(worker, held, note->empty ? EMPTY_ALL : EMPTY_NOT);
	}
}

void accept_abort(struct worker *worker, uint64_t generation)
{
	struct list *next;

	for (struct list *link = worker->sockets.next; link != &worker->sockets; link = next) {
		struct held_socket *held = LIST_ENTRY(link, struct held_socket, link);

		next = link->next;
		if (held->generation == generation)
			release(worker, held);
	}
}

void accept_end(struct worker *worker, enum emptying emptying)
{
	while (!list_empty(&worker->sockets))
		let_go(worker, LIST_ENTRY(worker->sockets.next, struct held_socket, link), emptying);
	timer_cancel(&worker->pause);
}

void accept_room(struct worker *worker)
{
	unsigned most = worker->engine.generation != NULL ? most_connections(worker) : 0;

	if (worker->engine.count < most - most / 8)     /* with a distance, or the log would flicker */
		worker->limit_told = false;
	if ((!worker->full && !worker->refusals.full) || worker->engine.count >= most)
		return;
	worker->full = worker->refusals.full = false;
	apply_all(worker);
}
