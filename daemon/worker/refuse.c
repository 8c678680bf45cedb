/* refuse.c - whether a worker at its limit of connections refuses who waits (limits.when_full).
 *
 * It does when every other worker that serves is full too: nobody is refused for whom there is room
 * elsewhere. Else it accepts nothing for a pause (accept.c), in which new connections are steered elsewhere
 * and the others take what waits here; it refuses what is left then: whoever seemed to have room had none.
 * Bounded in number and in rate: those that it has room for come first. Called by accept.c; nothing fails. */
#include "worker.h"

#include "base/clock.h"
#include "net/steering_choice.h"

enum { REFUSALS_A_PAUSE = 256 };        /* at about 10 us, a fortieth of a CPU */

#define PAUSE_NS (100 * CLOCK_MS)

/* They are where the steering program gives nobody to them either. */
static bool others_are_full(const struct worker *worker)
{
	const struct hot *hot = worker->hot;
	unsigned slots = hot != NULL && hot->slots < HOT_SLOTS ? hot->slots : 0;
	struct steering_search search = { .now_ns = worker->loop.now_ns };

	for (unsigned i = 0; i < slots; i++) {
		const struct hot_seat *seat = &hot->seat[i];

		search.stall_ns = hot->stall_ns;
		if (seat != worker->seat &&
		    steering_is_good(&search, seat, &hot->line[seat->line % HOT_LINES]))
			return false;
	}
	return true;
}

static bool is_within_rate(const struct worker *worker)
{
	return worker->refusals.made < REFUSALS_A_PAUSE ||
	       worker->loop.now_ns - worker->refusals.since_ns >= PAUSE_NS;
}

bool refuse_may(const struct worker *worker)
{
	const struct engine *engine = &worker->engine;

	return engine->generation->config->when_full == FULL_REFUSE && engine->protocol->refusal != NULL &&
	       engine->refusing < CONFIG_REFUSALS && is_within_rate(worker) &&
	       (worker->refusals.waited || others_are_full(worker));
}

void refuse_count(struct worker *worker)
{
	struct refusals *refusals = &worker->refusals;

	if (worker->loop.now_ns - refusals->since_ns >= PAUSE_NS) {
		refusals->since_ns = worker->loop.now_ns;
		refusals->made = 0;
	}
	refusals->made++;
}
