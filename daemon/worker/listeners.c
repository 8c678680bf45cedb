/* listeners.c - what a worker knows of the addresses that its connections came in at.
 *
 * Called by accept.c, for the sockets that are held, and by adopt.c when another generation is served. */
#include "worker.h"

#include "config/listeners.h"

#include <errno.h>
#include <sys/socket.h>

static void set_rules(struct engine_listener *listener, const struct listener_rules *rules)
{
	generation_unpin(listener->kept);
	listener->kept = NULL;
	listener->rules = rules != NULL ? rules : &listener_without_rules;
}

/* Who waits in the queue of an address that was removed came by the rules of before: they stay until its
 * sockets are let go. */
static void follow(struct worker *worker, struct engine_listener *listener, struct generation *next)
{
	const struct listener_rules *rules = listeners_find(next, listener->address);

	if (rules == NULL && listener->sockets > 0 && listener->rules != &listener_without_rules) {
		if (listener->kept == NULL)
			listener->kept = generation_pin(worker->engine.generation);
		return;
	}
	set_rules(listener, rules);
}

void listeners_follow(struct worker *worker, struct generation *next)
{
	struct list *listeners = &worker->engine.listeners;

	for (struct list *link = listeners->next; link != listeners; link = link->next)
		follow(worker, LIST_ENTRY(link, struct engine_listener, link), next);
}

bool listeners_hold(struct worker *worker, struct held_socket *held)
{
	struct sockaddr_storage storage = { 0 };
	socklen_t len = sizeof(storage);
	struct engine_listener *listener;
	struct addr addr;

	if (getsockname(held->source.fd, (struct sockaddr *)&storage, &len) < 0)
		return false;
	addr_describe(&storage, len, &addr);
	listener = engine_listener_find(&worker->engine, addr.text);
	if (listener == NULL)
		return false;
	if (listener->sockets == 0 && worker->engine.generation != NULL)
		set_rules(listener, listeners_find(worker->engine.generation, addr.text));
	listener->sockets++;
	listener->number = held->note.listener;
	held->listener = listener;
	return true;
}

void listeners_release(struct held_socket *held)
{
	struct engine_listener *listener = held->listener;

	listener->sockets--;
	if (listener->sockets == 0 && listener->kept != NULL)
		set_rules(listener, NULL);
	engine_listener_settle(listener);
	held->listener = NULL;
}
