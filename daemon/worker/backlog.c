/* backlog.c - how many may wait for a worker that is overloaded.
 *
 * Where more connections come than a worker can take, its queue is full all the time, and everybody waits as
 * long as it is: longer than clients do, perhaps, and then each answer is for one that has given up. So a
 * socket whose queue was not empty for a second has its backlog cut to what is taken from it in
 * timeouts.queue. What comes beyond that is ignored by the kernel, at no cost to the worker, and tries again
 * a second later (SYN retransmission, tcp(7)): who comes in a burst that is over sooner would wait longer for
 * that than for its turn. When the queue was found empty, the backlog is what is configured again.
 *
 * Called by accept.c, for sockets that are this worker's alone, and by adopt.c. A socket is as it was when
 * its worker has let it go, or another one begins to serve. That listen(2) fails changes nothing. */
#include "worker.h"

#include "base/clock.h"
#include "base/log.h"

#include <sys/socket.h>

enum { LEAST = 64 };                    /* one batch: below that, a turn would find too few */

/* So long a queue is not empty before its backlog is cut, and before that is looked at again. */
#define PATIENCE_NS CLOCK_S
#define WINDOW_NS (100 * CLOCK_MS)
/* A window that took longer is none: the worker was stopped, and others took what came, or nobody did. */
#define LOST_NS (2 * CLOCK_S)
#define TELL_AGAIN_NS (10 * CLOCK_S)

static unsigned configured(const struct held_socket *held)
{
	return held->listener->rules->backlog;
}

static void widen(struct held_socket *held)
{
	if (configured(held) > 0)
		listen(held->source.fd, (int)configured(held));
	held->queue.narrowed = 0;
}

static void tell(struct worker *worker, const struct held_socket *held, uint64_t a_second)
{
	engine_count(&worker->engine, COUNT_OVERLOADED);
	if (worker->overload_told_ns != 0 && worker->loop.now_ns - worker->overload_told_ns < TELL_AGAIN_NS)
		return;
	worker->overload_told_ns = worker->loop.now_ns;
	log_event(LEVEL_NOTICE, "overloaded", log_text("address", held->listener->address),
		  log_number("accepted_a_second", a_second), log_number("backlog", held->queue.narrowed));
}

static void narrow(struct worker *worker, struct held_socket *held, uint64_t backlog, uint64_t a_second)
{
	bool is_new = held->queue.narrowed == 0;

	if (listen(held->source.fd, (int)backlog) < 0)
		return;
	held->queue.narrowed = (unsigned)backlog;
	if (is_new)
		tell(worker, held, a_second);
}

static bool is_about(uint64_t a, uint64_t b)
{
	return a >= b - b / 4 && a <= b + b / 4;
}

/* A window is over, and the queue was never empty in it. */
static void judge(struct worker *worker, struct held_socket *held, uint64_t window_ns)
{
	uint64_t queue_ns = worker->engine.generation->config->queue_ns, taken = held->queue.taken;
	uint64_t backlog = taken * (queue_ns / CLOCK_MS) / (window_ns / CLOCK_MS);

	if (queue_ns == 0 || backlog >= configured(held)) {
		backlog_forget(held);
		return;
	}
	if (backlog < LEAST)
		backlog = LEAST;
	if (!is_about(backlog, held->queue.narrowed))
		narrow(worker, held, backlog, taken * (CLOCK_S / CLOCK_MS) / (window_ns / CLOCK_MS));
}

void backlog_look(struct worker *worker, struct held_socket *held, unsigned taken, bool behind)
{
	struct queue *queue = &held->queue;
	uint64_t now_ns = worker->loop.now_ns, window_ns = now_ns - queue->behind_since_ns;

	if (!behind) {
		queue->behind_since_ns = 0;
		backlog_forget(held);
		return;
	}
	if (queue->behind_since_ns == 0 || window_ns > LOST_NS) {
		queue->behind_since_ns = now_ns;
		queue->taken = 0;
		return;
	}
	queue->taken += taken;
	if (window_ns < (queue->narrowed > 0 ? WINDOW_NS : PATIENCE_NS))
		return;
	judge(worker, held, window_ns);
	queue->behind_since_ns = now_ns;
	queue->taken = 0;
}

void backlog_forget(struct held_socket *held)
{
	if (held->queue.narrowed > 0)
		widen(held);
}

void backlog_begin(struct worker *worker)
{
	for (struct list *link = worker->sockets.next; link != &worker->sockets; link = link->next) {
		struct held_socket *held = LIST_ENTRY(link, struct held_socket, link);

		held->queue = (struct queue){ 0 };
		if (held->note.slot == worker->slot)
			widen(held);
	}
}
