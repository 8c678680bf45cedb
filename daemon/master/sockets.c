/* sockets.c - the listening sockets: passed by systemd or opened before PREPARE, listening from the commit
 * on, closed only when their address is not configured any more and every worker has emptied them.
 *
 * Called by reload.c and spawn.c. A step that fails leaves everything as it was. */
#include "arrivals.h"
#include "master.h"
#include "notify.h"

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

/* Is another one of our own sockets in the way of a probe?  Then only the bind itself can tell. */
static bool own_overlap(struct master *master, const struct listener *fresh)
{
	for (struct list *link = master->listeners.next; link != &master->listeners; link = link->next) {
		const struct listener *other = LIST_ENTRY(link, struct listener, link);

		if (other != fresh && addr_overlap(&other->addr, &fresh->addr))
			return true;
	}
	return false;
}

/* Why a listener goes. */
enum drop {
	DROP_ABORTED,                   /* it was made for a transition that was called off */
	DROP_REMOVED,                   /* the configuration has it no more */
	DROP_STOPPED,                   /* this process ends */
};

static bool is_kept_by(const struct listener *listener, enum keeper keeper)
{
	for (unsigned i = 0; i < listener->count; i++)
		if (listener->sockets[i].keeper == keeper)
			return true;
	return false;
}

/* A unit's is the unit's; the store's goes with its address. */
static bool ends_with_us(const struct listen_socket *socket, bool removed)
{
	return socket->keeper == KEEPER_NONE || (removed && socket->keeper == KEEPER_STORE);
}

/* systemd lets its duplicate of a stored one go a little later, and a hung worker may have one too; after
 * shutdown(2) nobody is queued there any more, and the address is free at once. */
static void drop_socket(struct master *master, const struct listener *listener, struct listen_socket *socket,
			enum drop why)
{
	arrivals_unwatch(master, socket);
	if (socket->keeper == KEEPER_UNIT && why != DROP_STOPPED) {
		if (why == DROP_REMOVED)        /* what comes there waits, for whom? */
			log_event(LEVEL_WARNING, "socket_unused", log_text("name", socket->name),
				  log_text("address", listener->addr.text),
				  log_text("why", "its listen entry was removed, but not its .socket unit"));
		inherit_return(master, fd_take(&socket->fd), socket->name);
		return;
	}
	master->board->column[BOARD_RETIRED].counters[COUNT_KERNEL_DROPPED] +=
		listener_queue(socket->fd).dropped;
	if (why == DROP_REMOVED)
		shutdown(socket->fd, SHUT_RDWR);
	fd_close(&socket->fd);
	free(socket->name);
}

/* Are the listener's sockets held by systemd after we have let them go?  A unit's always, those in the store
 * unless the address was `removed`: then nothing may be done to them that outlasts us. */
static bool live_on(const struct listener *listener, bool removed)
{
	return is_kept_by(listener, KEEPER_UNIT) || (!removed && is_kept_by(listener, KEEPER_STORE));
}

static void drop(struct master *master, struct listener *listener, enum drop why)
{
	if (listener->count > 0 && !live_on(listener, why == DROP_REMOVED))
		listener_unlink(&listener->addr, &listener->path);       /* the path goes with the socket */
	if (why == DROP_REMOVED)
		notify_forget_listener(master, listener);
	if (why == DROP_STOPPED && live_on(listener, false))
		steer_leave(listener);
	for (unsigned i = 0; i < listener->count; i++)
		drop_socket(master, listener, &listener->sockets[i], why);
	fd_close(&listener->array);
	list_remove(&listener->link);
	free(listener->sockets);
	free(listener);
}

static bool add(struct master *master, struct listener *listener, const struct listen_socket *socket,
		struct err *err)
{
	struct listen_socket *grown = reallocarray(listener->sockets, listener->count + 1, sizeof(*grown));

	if (grown == NULL)
		return err_set(err, "out of memory");
	listener->sockets = grown;
	grown[listener->count] = *socket;
	grown[listener->count++].serial = ++master->socket_serials;
	return true;
}

static bool add_fresh(struct master *master, struct listener *listener, struct err *err)
{
	int fd AUTO_CLOSE = listener_bind(&listener->addr, &listener->wanted, &listener->path, err);

	if (fd < 0)
		return err_add(err, "slot %u", listener->count);
	if (!add(master, listener, &(struct listen_socket){ .fd = fd }, err))
		return false;
	fd_take(&fd);
	return true;
}

/* What systemd passed for this address. */
static bool add_inherited(struct master *master, struct listener *listener, struct err *err)
{
	struct err gone;

	for (struct inherited *one = inherit_claim(master, &listener->addr); one != NULL;
	     one = inherit_claim(master, &listener->addr)) {
		struct listen_socket socket = {
			.fd = one->fd, .keeper = one->keeper, .name = one->name, .listening = true
		};

		if (!add(master, listener, &socket, err)) {
			inherit_free(one);
			return false;
		}
		free(one);
		listener->inherited = true;
		/* a path that went just now is nobody's to unlink */
		listener_identify(&listener->addr, &listener->path, &gone);
	}
	return true;
}

/* A unix socket is one for all; `shared` needs one, and more that are there already are served by all. */
static unsigned sockets_wanted(const struct listener *listener, const struct verdict *next)
{
	if (addr_is_unix(&listener->addr) || next->generation->config->accept == ACCEPT_SHARED ||
	    listener->fixed)
		return 1;
	return next->slots;
}

/* One socket per slot, as far as that goes: nobody can join another user's (SO_REUSEPORT in socket(7)). A
 * unit's are root's, and beside them there is never another; those of an earlier run may be somebody's. */
static bool fill(struct master *master, struct listener *listener, const struct verdict *next,
		 struct err *err)
{
	listener->fixed = is_kept_by(listener, KEEPER_UNIT);
	while (listener->count < sockets_wanted(listener, next)) {
		if (add_fresh(master, listener, err))
			continue;
		if (!listener->inherited || listener->count == 0)
			return false;
		listener->fixed = true;
		log_event(LEVEL_WARNING, "listener_cannot_grow", log_text("address", listener->addr.text),
			  log_number("sockets", listener->count), log_text("error", err->text));
	}
	return true;
}

static struct listener *new_listener(struct master *master, const struct addr *addr)
{
	struct listener *listener = calloc(1, sizeof(*listener));

	if (listener == NULL)
		return NULL;
	listener->addr = *addr;
	listener->fresh = true;
	listener->array = -1;
	listener->id = ++master->listener_ids;
	list_push_back(&master->listeners, &listener->link);
	return listener;
}

/* Sockets that systemd passed, or else the address must be free. */
static struct listener *make_listener(struct master *master, const struct addr *addr,
				      const struct listener_options *options, struct err *err)
{
	struct listener *listener = new_listener(master, addr);

	if (listener == NULL)
		return err_set(err, "out of memory"), NULL;
	if (!add_inherited(master, listener, err))
		return NULL;
	if (listener->count > 0 || own_overlap(master, listener) || listener_probe(addr, options, err))
		return listener;
	inherit_explain(master, addr, err);
	return NULL;
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
	if (listener == NULL && master->transition.dry && addr_is_unix(&addr) && !inherit_has(master, &addr))
		return listener_may_bind(&addr, &options, err); /* a path is there for everybody to see */
	if (listener == NULL)
		listener = make_listener(master, &addr, &options, err);
	if (listener == NULL)
		return false;
	options.path_is_given = is_kept_by(listener, KEEPER_UNIT);
	listener->keep = true;
	listener->wanted = options;
	return fill(master, listener, next, err);
}

bool sockets_prepare(struct master *master, const struct verdict *next, struct err *err)
{
	const struct config *config = next->generation->config;

	for (struct list *link = master->listeners.next; link != &master->listeners; link = link->next)
		LIST_ENTRY(link, struct listener, link)->keep = false;
	if (!inherit_check(master, config, err))
		return false;
	if (master->current.generation == NULL)         /* before anything is bound: it may be in the way */
		inherit_drop_stale(master, config);
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

static bool all_outlive(const struct master *master)
{
	for (struct list *link = master->listeners.next; link != &master->listeners; link = link->next)
		if (is_kept_by(LIST_ENTRY(link, struct listener, link), KEEPER_NONE))
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
		if (listener->keep)
			notify_store(master, listener);
	}
	master->outlive = all_outlive(master);
	return true;
}

/* Everybody accepts from sockets that are fewer than the slots. `next` may be the committed verdict, while a
 * transition has made sockets that do not listen yet. */
static bool is_shared(const struct master *master, const struct listener *listener,
		      const struct verdict *next)
{
	unsigned count = 0;

	for (unsigned i = 0; i < listener->count; i++)
		count += listener->sockets[i].listening || next != &master->current;
	return next->generation->config->accept == ACCEPT_SHARED || count < next->slots;
}

void sockets_settle(struct master *master)
{
	for (struct list *link = master->listeners.next; link != &master->listeners; link = link->next) {
		struct listener *listener = LIST_ENTRY(link, struct listener, link);
		bool shared = is_shared(master, listener, &master->current);

		if (shared && !listener->shared && listener->fixed)
			log_event(
				LEVEL_NOTICE, "listener_shared", log_text("address", listener->addr.text),
				log_number("sockets", listener->count),
				log_number("workers", master->slot_count),
				log_text("why", is_kept_by(listener, KEEPER_UNIT)
							? "systemd passed them, and none can be added"
							: "they are another user's, and none can be added"));
		listener->shared = shared;
	}
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
			drop(master, listener, DROP_ABORTED);
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

static unsigned count_lost(struct master *master, const struct listener *listener, bool removed)
{
	enum counter counter = removed ? COUNT_LOST_ADDRESS_REMOVED : COUNT_LOST_STOP;
	unsigned lost = 0;

	/* else what waits there is the next process's */
	for (unsigned i = 0; i < listener->count; i++)
		if (listener->sockets[i].listening && ends_with_us(&listener->sockets[i], removed))
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
		lost = count_lost(master, listener, true);
		log_event(lost > 0 ? LEVEL_WARNING : LEVEL_INFO, "listener_removed",
			  log_text("address", listener->addr.text), log_number("lost", lost));
		drop(master, listener, DROP_REMOVED);
	}
	master->release.told = false;   /* of what goes next, workers have not been told */
	master->outlive = all_outlive(master);
}

void sockets_close(struct master *master)
{
	while (!list_empty(&master->listeners)) {
		struct listener *listener = LIST_ENTRY(master->listeners.next, struct listener, link);

		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): drop() unlinks it */
		count_lost(master, listener, false);
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the same */
		drop(master, listener, DROP_STOPPED);
	}
}

struct listener_queue sockets_queue(const struct listener *listener)
{
	struct listener_queue sum = { 0 };

	for (unsigned i = 0; i < listener->count; i++) {
		struct listener_queue queue = listener_queue(listener->sockets[i].fd);

		sum.waiting += queue.waiting;
		sum.dropped += queue.dropped;
	}
	return sum;
}

unsigned sockets_count(const struct master *master)
{
	unsigned count = 0;

	for (const struct list *link = master->listeners.next; link != &master->listeners; link = link->next)
		count += LIST_ENTRY(link, struct listener, link)->count;
	return count;
}

uint64_t sockets_dropped(const struct master *master)
{
	uint64_t dropped = 0;

	for (const struct list *link = master->listeners.next; link != &master->listeners; link = link->next)
		dropped += sockets_queue(LIST_ENTRY(link, struct listener, link)).dropped;
	return dropped;
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
			if (ends_with_us(&listener->sockets[i], !all))
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
			.listener = listener->id,
			.slot = i,
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
	*note = (struct prepare_note){ .slots = verdict->slots };
	for (struct list *link = master->listeners.next; link != &master->listeners; link = link->next) {
		const struct listener *listener = LIST_ENTRY(link, struct listener, link);

		if (belongs(master, listener, verdict) && note->listener_count < CHANNEL_MAX_LISTENERS)
			note->listeners[note->listener_count++] = (struct listener_note){
				.listener = listener->id,
				.shared = is_shared(master, listener, verdict),
			};
	}
}
