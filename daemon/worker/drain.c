/* drain.c - a worker's end: stop accepting, finish what is in hand, leave. Called on DRAIN and when the
 * channel ends. */
#include "worker.h"

#include "base/log.h"

static void cut(struct timer *timer, uint64_t now_ns)
{
	struct worker *worker = LIST_ENTRY(timer, struct worker, cut);

	(void)now_ns;
	log_event(LEVEL_NOTICE, "drain_deadline", log_number("connections", worker->engine.count));
	engine_cut(&worker->engine);
	drain_check(worker);
}

void drain_check(struct worker *worker)
{
	if (worker->draining && worker->engine.count == 0)
		loop_stop(&worker->loop);
}

/* A second DRAIN (the service stops during a replacement) only tightens the first. */
void drain_begin(struct worker *worker, const struct drain_note *note)
{
	bool first = !worker->draining;

	if (first && worker->serving)
		accept_end(worker, note->close_idle);
	worker->draining = true;
	accept_end(worker, false);
	worker->cut.fire = cut;
	if (!timer_armed(&worker->cut) || note->deadline_ns < worker->cut.due_ns)
		timer_arm(&worker->loop.timers, &worker->cut, note->deadline_ns);
	if (worker->engine.generation != NULL)
		engine_drain(&worker->engine, note->close_idle);
	drain_check(worker);
}
