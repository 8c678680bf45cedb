/* heir.c - a worker takes over the idle connections of one that crashed.
 *
 * Called on WILL, and at the end. Until nobody writes into the will any more, a bequest is taken each turn.
 * What there is no room for is closed and counted. What comes was sent by a process that crashed: it gives
 * descriptors and numbers, and both are checked. */
#include "worker.h"

#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct heir {
	struct list link;               /* in worker->heirs */
	struct worker *worker;
	struct source will;
	struct hand_note of;            /* who crashed */
	uint64_t survived, not ;
};

/* One at an address that is not served here any more goes by no listener's rules. */
static struct engine_listener *find_listener(const struct worker *worker, uint32_t number)
{
	for (struct list *link = worker->sockets.next; link != &worker->sockets; link = link->next) {
		const struct held_socket *held = LIST_ENTRY(link, struct held_socket, link);

		if (held->note.listener == number)
			return held->listener;
	}
	return NULL;
}

static bool survives(struct worker *worker, int fd, uint32_t mark)
{
	if (accept_spare(worker) > 0 && fd_is_unblocked(fd))
		return engine_survive(&worker->engine, fd, find_listener(worker, mark));
	fd_close(&fd);
	engine_count(&worker->engine, COUNT_SURVIVED_NOT);
	return false;
}

static void take(struct heir *heir, const struct bequest *bequest, const int *fds, unsigned count)
{
	struct worker *worker = heir->worker;

	for (unsigned i = 0; i < count; i++)
		if (survives(worker, fds[i], bequest->marks[i]))
			heir->survived++;
		else
			heir->not ++;
	worker->engine.counters[COUNT_SURVIVED_NOT] += bequest->count - count;
	heir->not += bequest->count - count;
}

static void release(struct heir *heir)
{
	loop_remove(&heir->worker->loop, &heir->will);
	fd_close(&heir->will.fd);
	list_remove(&heir->link);
	free(heir);                     /* it has one source, whose event of this turn was the last */
}

static void end(struct heir *heir)
{
	struct worker *worker = heir->worker;

	if (heir->survived + heir->not > 0)
		log_event(LEVEL_NOTICE, "connections_survived", log_number("from_slot", heir->of.slot),
			  log_number("from_pid", heir->of.pid), log_number("survived", heir->survived),
			  log_number("closed", heir->not ));
	release(heir);
	drain_check(worker);
}

static void on_will(struct source *source, uint32_t events)
{
	struct heir *heir = LIST_ENTRY(source, struct heir, will);
	struct bequest bequest;
	int fds[RIGHTS_MOST];
	unsigned count;
	enum will_result result = will_receive(source->fd, &bequest, fds, &count);

	(void)events;
	if (result == WILL_BEQUEST)
		take(heir, &bequest, fds, count);
	else if (result == WILL_END)
		end(heir);
}

void heir_begin(struct worker *worker, const struct hand_note *of, int fd)
{
	struct heir *heir = worker->serving ? calloc(1, sizeof(*heir)) : NULL;
	int error = ENOMEM;

	if (heir != NULL) {
		heir->will = (struct source){ .fd = fd, .handle = on_will };
		heir->worker = worker;
		heir->of = *of;
		list_push_back(&worker->heirs, &heir->link);
		error = loop_add(&worker->loop, &heir->will, EPOLLIN);
	} else {
		fd_close(&fd);
	}
	if (error == 0)
		return;
	log_event(LEVEL_WARNING, "survival_impossible", log_number("from_slot", of->slot),
		  log_number("from_pid", of->pid), log_text("error", strerror(error)));
	if (heir != NULL)
		release(heir);
}

void heirs_end(struct worker *worker)
{
	struct list *all = &worker->heirs;

	for (struct list *link = list_pop_front(all); link != NULL; link = list_pop_front(all))
		release(LIST_ENTRY(link, struct heir, link));
}
