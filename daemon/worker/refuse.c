/* refuse.c - whether a worker at its limit of connections refuses who waits (limits.when_full).
 *
 * It does when every other worker that serves is full too: nobody is refused for whom there is room
 * elsewhere. Else it accepts nothing for a pause (accept.c), in which new connections are steered elsewhere
 * and the others take what waits here; it refuses what is left then: whoever seemed to have room had none.
 * Bounded in number and in rate: those that it has room for come first. Called by accept.c; nothing fails. */
#include "worker.h"

#include "base/clock.h"

enum { REFUSALS_A_PAUSE = 256 };        /* at about 10 us, a fortieth of a CPU */

#define PAUSE_NS (100 * CLOCK_MS)

static bool has_room(const struct hot *hot, const struct hot_seat *seat, uint64_t now_ns)
{
	const struct hot_line *line = &hot->line[seat->line % HOT_LINES];
	uint64_t busy_ns = line->busy_since_ns;

	return seat->good != 0 && line->holding == 0 && (busy_ns == 0 || busy_ns + hot->stall_ns >= now_ns);
}

static bool others_are_full(const struct worker *worker)
{
	const struct hot *hot = worker->hot;
	unsigned slots = hot != NULL && hot->slots < HOT_SLOTS ? hot->slots : 0;

	for (unsigned i = 0; i < slots; i++)
		if (&hot->seat[i] != worker->seat && has_room(hot, &hot->seat[i], worker->loop.now_ns))
			return false;
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
