/* sockets.c - the listening sockets: opened before PREPARE, listening from the commit on, closed only when
 * their address is not configured any more and every worker has emptied them.
 *
 * Called by reload.c and spawn.c. A step that fails leaves everything as it was. */
#include "master.h"

#include "base/fd.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static struct listener *find(struct master *master, const char *text)
{
	for (struct list *link = master->listeners.next; link != &master->listeners; link = link->next) {
		struct listener *listener = LIST_ENTRY(link, struct listener, link);

		if (strcmp(listener->addr.text, text) == 0)
			return listener;
	}
	return NULL;
}

/* Is one of our own sockets in the way of a probe?  Then only the bind itself can tell. */
static bool own_overlap(struct master *master, const struct addr *addr)
{
	for (struct list *link = master->listeners.next; link != &master->listeners; link = link->next)
		if (addr_overlap(&LIST_ENTRY(link, struct listener, link)->addr, addr))
			return true;
	return false;
}

static void drop(struct listener *listener, bool lives_on)
{
	for (unsigned i = 0; i < listener->count; i++)
		fd_close(&listener->sockets[i].fd);
	if (!lives_on)
		listener_unlink(&listener->addr, &listener->path);
	list_remove(&listener->link);
	free(listener->sockets);
	free(listener);
}

static bool add_socket(struct master *master, struct listener *listener, struct err *err)
{
	int fd AUTO_CLOSE = listener_bind(&listener->addr, &listener->wanted, &listener->path, err);
	struct listen_socket *grown;

	if (fd < 0)
		return err_add(err, "slot %u", listener->count);
	grown = reallocarray(listener->sockets, listener->count + 1, sizeof(*grown));
	if (grown == NULL)
		return err_set(err, "out of memory");
	listener->sockets = grown;
	grown[listener->count++] =
		(struct listen_socket){ .serial = ++master->socket_serials, .fd = fd_take(&fd) };
	return true;
}

/* A unix socket is one for all; `shared` needs one, and more that are there already are served by all. */
static unsigned sockets_wanted(const struct listener *listener, const struct verdict *next)
{
	if (addr_is_unix(&listener->addr) || next->generation->config->accept == ACCEPT_SHARED)
		return 1;
	return next->slots;
}

static bool prepare_one(struct master *master, const struct verdict *next, const struct listen_config *config,
			struct err *err)
{
	struct listener_options options = config_listener_options(config);
	struct listener *listener;
	struct addr addr;

	if (!addr_parse(config->address, &addr, err))
		return false;
	listener = find(master, addr.text);
	if (listener == NULL && master->transition.dry && addr_is_unix(&addr))
		return listener_may_bind(&addr, &options, err);   /* a path is there for everybody to see */
	if (listener == NULL) {
		if (!own_overlap(master, &addr) && !listener_probe(&addr, &options, err))
			return false;
		listener = calloc(1, sizeof(*listener));
		if (listener == NULL)
			return err_set(err, "out of memory");
		listener->addr = addr;
		listener->fresh = true;
		listener->id = ++master->listener_ids;
		list_push_back(&master->listeners, &listener->link);
	}
	listener->keep = true;
	listener->wanted = options;
	while (listener->count < sockets_wanted(listener, next))
		if (!add_socket(master, listener, err))
			return false;
	return true;
}

bool sockets_prepare(struct master *master, const struct verdict *next, struct err *err)
{
	const struct config *config = next->generation->config;

	for (struct list *link = master->listeners.next; link != &master->listeners; link = link->next)
		LIST_ENTRY(link, struct listener, link)->keep = false;
	for (unsigned i = 0; i < config->listen.count; i++) {
		if (prepare_one(master, next, config_listen(config, i), err))
			continue;
		sockets_abort(master);
		return err_add(err, "listen on %s", config_listen(config, i)->address);
	}
	return true;
}

static bool start_all(struct listener *listener, struct err *err)
{
	for (unsigned i = 0; i < listener->count; i++)
		if (!listener_start(listener->sockets[i].fd, &listener->addr, &listener->path,
				    &listener->wanted, err))
			return false;
	return true;
}

bool sockets_commit(struct master *master, struct err *err)
{
	for (struct list *link = master->listeners.next; link != &master->listeners; link = link->next) {
		struct listener *listener = LIST_ENTRY(link, struct listener, link);

		if (listener->keep && !start_all(listener, err))
			return false;
	}
	for (struct list *link = master->listeners.next; link != &master->listeners; link = link->next) {
		struct listener *listener = LIST_ENTRY(link, struct listener, link);

		listener->fresh = false;
		if (listener->keep)
			listener->options = listener->wanted;
		for (unsigned i = 0; i < listener->count; i++)
			listener->sockets[i].listening = true;
	}
	return true;
}

/* Only after a transition that was called off: before it, every listener in the list was configured. */
void sockets_abort(struct master *master)
{
	struct list *next;
	struct err err;

	for (struct list *link = master->listeners.next; link != &master->listeners; link = next) {
		struct listener *listener = LIST_ENTRY(link, struct listener, link);

		next = link->next;
		if (listener->fresh) {
			drop(listener, false);
			continue;
		}
		listener->keep = true;
		while (listener->count > 0 && !listener->sockets[listener->count - 1].listening)
			fd_close(&listener->sockets[--listener->count].fd);
		/* a commit that failed half-way may have changed the backlog of those that serve */
		for (unsigned i = 0; i < listener->count; i++)
			listener_start(listener->sockets[i].fd, &listener->addr, &listener->path,
				       &listener->options, &err);
	}
}

/* What nobody accepted before the sockets go.  A unix socket cannot be asked: what is in its queue is taken
 * out, which is the same to its clients. */
static unsigned waiting_at(const struct listener *listener, int fd)
{
	unsigned count = 0;
	int lost;

	if (!addr_is_unix(&listener->addr))
		return listener_queue(fd).waiting;
	while (count < listener->options.backlog && (lost = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		count++;
		fd_close(&lost);
	}
	return count;
}

static unsigned count_lost(struct master *master, const struct listener *listener, enum counter counter)
{
	unsigned lost = 0;

	for (unsigned i = 0; i < listener->count; i++)
		if (listener->sockets[i].listening)
			lost += waiting_at(listener, listener->sockets[i].fd);
	master->board->column[BOARD_RETIRED].counters[counter] += lost;
	return lost;
}

void sockets_sweep(struct master *master)
{
	struct list *next;
	unsigned lost;

	for (struct list *link = master->listeners.next; link != &master->listeners; link = next) {
		struct listener *listener = LIST_ENTRY(link, struct listener, link);

		next = link->next;
		if (listener->keep)
			continue;
		lost = count_lost(master, listener, COUNT_LOST_ADDRESS_REMOVED);
		log_event(lost > 0 ? LEVEL_WARNING : LEVEL_INFO, "listener_removed",
			  log_text("address", listener->addr.text), log_number("lost", lost));
		drop(listener, false);
	}
}

void sockets_close(struct master *master)
{
	while (!list_empty(&master->listeners)) {
		struct listener *listener = LIST_ENTRY(master->listeners.next, struct listener, link);

		/* else what waits there is the next process's */
		if (!master->outlive) /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): drop() unlinks it */
			count_lost(master, listener, COUNT_LOST_STOP);
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the same */
		drop(listener, master->outlive);
	}
}

/* ---- letting go -------------------------------------------------------------------------------------- */

bool sockets_leave(const struct master *master)
{
	for (const struct list *link = master->listeners.next; link != &master->listeners; link = link->next)
		if (!LIST_ENTRY(link, struct listener, link)->keep)
			return true;
	return false;
}

void sockets_for_each(struct master *master, bool all, void (*act)(struct listener *listener, int fd))
{
	for (struct list *link = master->listeners.next; link != &master->listeners; link = link->next) {
		struct listener *listener = LIST_ENTRY(link, struct listener, link);

		for (unsigned i = 0; i < listener->count && (all || !listener->keep); i++)
			act(listener, listener->sockets[i].fd);
	}
}

/* ---- telling a worker -------------------------------------------------------------------------------- */

static bool is_configured(const struct listener *listener, const struct verdict *verdict)
{
	const struct config *config = verdict->generation->config;
	struct addr addr;
	struct err err;

	for (unsigned i = 0; i < config->listen.count; i++)
		if (addr_parse(config_listen(config, i)->address, &addr, &err) &&
		    strcmp(addr.text, listener->addr.text) == 0)
			return true;
	return false;
}

/* Does a worker that serves the verdict accept from the listener?  If the configuration has the address,
 * and as long as it is being let go.  (`keep` speaks of the newest configuration only: while a transition
 * is open, a worker may be respawned for the one before.) */
static bool belongs(const struct master *master, const struct listener *listener,
		    const struct verdict *verdict)
{
	if (!listener->keep)
		return !master->release.told;
	return is_configured(listener, verdict);
}

struct batch {
	struct child *child;
	bool committed; /* then only sockets that listen: a bound one in an epoll reports HUP for ever */
	struct message message;
	int fds[CHANNEL_MAX_FDS];
	unsigned count;
	uint64_t highest;
};

static bool flush(struct batch *batch, struct err *err)
{
	if (batch->count == 0)
		return true;
	batch->message.bytes = batch->count * (uint32_t)sizeof(struct socket_note);
	if (!channel_send(batch->child->channel.fd, &batch->message, batch->fds, batch->count, err))
		return false;
	batch->count = 0;
	return true;
}

static bool send_listener(struct batch *batch, const struct listener *listener, struct err *err)
{
	for (unsigned i = 0; i < listener->count; i++) {
		const struct listen_socket *one = &listener->sockets[i];

		if (one->serial <= batch->child->sockets_sent || (batch->committed && !one->listening))
			continue;
		if (batch->count == CHANNEL_MAX_FDS && !flush(batch, err))
			return false;
		batch->message.body.sockets[batch->count] = (struct socket_note){
			.listener = listener->id, .slot = i, .shared = addr_is_unix(&listener->addr),
		};
		batch->fds[batch->count++] = one->fd;
		if (one->serial > batch->highest)
			batch->highest = one->serial;
	}
	return true;
}

bool sockets_send(struct child *child, const struct verdict *verdict, struct err *err)
{
	struct batch batch = { .child = child, .highest = child->sockets_sent };
	struct list *listeners = &child->master->listeners;

	batch.committed = verdict == &child->master->current;
	batch.message.type = MESSAGE_SOCKETS;
	batch.message.generation = verdict->generation->number;
	for (struct list *link = listeners->next; link != listeners; link = link->next) {
		struct listener *listener = LIST_ENTRY(link, struct listener, link);

		if (belongs(child->master, listener, verdict) && !send_listener(&batch, listener, err))
			return false;
	}
	if (!flush(&batch, err))
		return false;
	child->sockets_sent = batch.highest;
	return true;
}

void sockets_note(struct master *master, const struct verdict *verdict, struct prepare_note *note)
{
	*note = (struct prepare_note){
		.slots = verdict->slots, .shared = verdict->generation->config->accept == ACCEPT_SHARED,
	};
	for (struct list *link = master->listeners.next; link != &master->listeners; link = link->next) {
		const struct listener *listener = LIST_ENTRY(link, struct listener, link);

		if (belongs(master, listener, verdict) && note->listener_count < CHANNEL_MAX_LISTENERS)
			note->listeners[note->listener_count++] = listener->id;
	}
}
