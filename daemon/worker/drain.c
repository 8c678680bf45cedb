/* drain.c - a worker's end: hand over or finish what is in hand, stop accepting, leave. Called on DRAIN, on
 * RELEASE and when the channel ends.
 *
 * A worker that was replaced stops accepting at once and hands its connections over (hand.c). What it cannot
 * get rid of is served on as before; near the deadline an answer is its connection's last, and the deadline
 * closes what is idle. When the service stops, it accepts on until RELEASE, and closes idle connections only
 * when nothing else is left (or the deadline is near): a request that comes meanwhile is answered, and
 * nothing can answer one that crosses our FIN. */
#include "worker.h"

#include "base/clock.h"
#include "base/log.h"

#define LOOK_NS (20 * CLOCK_MS)
#define LAST_CALL_NS CLOCK_S

/* A look that is so late comes after a standstill, of this process or of all of the machine: clients may have
 * stood still, too, with their requests in hand, and get so long. Before the stop nobody looks, so it begins
 * as if after one, from which a client needs only to go on. */
#define STILL_NS (200 * CLOCK_MS)
#define AFTER_STILL_NS CLOCK_S
#define BEGIN_NS (250 * CLOCK_MS)

static void cut(struct timer *timer, uint64_t now_ns)
{
	struct worker *worker = LIST_ENTRY(timer, struct worker, cut);

	(void)now_ns;
	log_event(LEVEL_NOTICE, "drain_deadline", log_number("connections", worker->engine.count));
	accept_end(worker, EMPTY_NOT);  /* nobody is left to answer; the master counts what waits there */
	engine_cut(&worker->engine);
	drain_check(worker);
}

/* The master waits for this word of all workers where sockets outlive the service. */
static void tell_spent(struct worker *worker)
{
	struct err err;

	if (worker->spent || engine_owes(&worker->engine, worker->drain_began_ns))
		return;
	worker->spent = true;
	/* the channel's end is handled where it is read */
	channel_tell(worker->channel.fd, MESSAGE_SPENT, 0, &err);
}

static void close_idle(struct worker *worker)
{
	bool is_late = worker->loop.now_ns >= worker->last_call_ns;

	if (!is_late && (!list_empty(&worker->sockets) || engine_owes(&worker->engine, UINT64_MAX)))
		return;
	worker->closing_idle = true;
	engine_drain(&worker->engine, true);    /* and again while there are some that were just accepted */
}

static void note_standstill(struct worker *worker)
{
	uint64_t now_ns = worker->loop.now_ns;

	if (now_ns >= worker->look.due_ns + STILL_NS)
		worker->engine.fresh_until_ns = now_ns + AFTER_STILL_NS;
}

void drain_check(struct worker *worker)
{
	if (!worker->draining)
		return;
	if (worker->stops)
		note_standstill(worker);
	if (worker->stops && worker->engine.generation != NULL) {
		tell_spent(worker);
		close_idle(worker);
	}
	if (worker->engine.count + worker->engine.refusing == 0 && list_empty(&worker->sockets) &&
	    list_empty(&worker->heirs))
		loop_stop(&worker->loop);
}

static void tell_clients(struct worker *worker)
{
	if (worker->engine.generation != NULL)
		engine_drain(&worker->engine, false);
}

static void last_call(struct timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	tell_clients(LIST_ENTRY(timer, struct worker, last_call));
}

static void look(struct timer *timer, uint64_t now_ns)
{
	struct worker *worker = LIST_ENTRY(timer, struct worker, look);

	(void)now_ns;
	drain_check(worker);
	loop_timer(&worker->loop, &worker->look, LOOK_NS);
}

static void arm_deadline(struct worker *worker, uint64_t deadline_ns)
{
	uint64_t now_ns = worker->loop.now_ns, left_ns;

	worker->cut.fire = cut;
	if (!timer_armed(&worker->cut) || deadline_ns < worker->cut.due_ns)
		timer_arm(&worker->loop.timers, &worker->cut, deadline_ns);
	left_ns = worker->cut.due_ns > now_ns ? worker->cut.due_ns - now_ns : 0;
	worker->last_call_ns = now_ns + left_ns - (left_ns / 4 < LAST_CALL_NS ? left_ns / 4 : LAST_CALL_NS);
	worker->last_call.fire = last_call;
	timer_arm(&worker->loop.timers, &worker->last_call, worker->last_call_ns);
}

static void begin_stop(struct worker *worker)
{
	worker->stops = worker->engine.out_of_service = true;
	worker->drain_began_ns = worker->loop.now_ns;
	worker->engine.fresh_until_ns = worker->drain_began_ns + BEGIN_NS;
	worker->look.fire = look;
	loop_timer(&worker->loop, &worker->look, LOOK_NS);
}

/* A second DRAIN (the service stops during a replacement) only tightens the first. */
void drain_begin(struct worker *worker, const struct drain_note *note)
{
	worker->draining = true;
	take_end(worker);
	arm_deadline(worker, note->deadline_ns);
	if (!note->hand) {
		tell_clients(worker);
		hand_stop(worker);
	}
	if (note->close_idle && !worker->stops)
		begin_stop(worker);
	worker->keeps = note->keep_sockets;
	if (!worker->keeps)
		accept_end(worker, note->close_idle ? EMPTY_ALL : EMPTY_WOKEN);
	drain_check(worker);
}
