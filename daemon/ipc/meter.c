/* meter.c - the duration of turns.  Called by the worker once, then by its loop; cannot fail. Reads the clock
 * only where nobody has done so since the last work of the turn: the answers of ready ones have. */
#include "meter.h"

static uint64_t left(const struct loop *loop)
{
	if (!loop_has_ready(loop))
		return 0;
	return loop->served > 0 ? loop->served : 1;
}

static void count(struct turn_end *hook)
{
	struct meter *meter = LIST_ENTRY(hook, struct meter, hook);
	uint64_t took_ns = loop_turn_end_ns(meter->loop) - meter->loop->now_ns;
	struct turns *turns = meter->turns;

	turns->count++;
	turns->busy_ns += took_ns;
	turns->duration[metrics_bucket(took_ns)]++;
	*meter->ready = left(meter->loop);
}

void meter_begin(struct meter *meter, struct loop *loop, struct turns *turns, uint64_t *ready)
{
	*meter = (struct meter){ .hook.run = count, .loop = loop, .turns = turns, .ready = ready };
	loop_at_turn_end(loop, &meter->hook);
}
