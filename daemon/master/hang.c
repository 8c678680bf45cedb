/* hang.c - does the worker of a slot take what waits for it?
 *
 * Pure; called by rescue.c. How long somebody has waited is not known exactly, but since when at most: since
 * the look at which nobody did, or before which the worker accepted. So nobody waits for longer than the
 * stall and a look; and a worker that was woken this very moment has time to come, because somebody has to
 * be seen waiting twice. */
#include "hang.h"

#include "base/clock.h"

#define LEAST_NS (10 * CLOCK_MS)        /* between two looks; the wheel of timers turns every 4 ms */
#define MOST_NS (200 * CLOCK_MS)

enum { CALM_STALLS = 4 };               /* a worker that stalls with each request is bad all the time */

static uint64_t lesser(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t greater(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

uint64_t hang_least_ns(uint64_t stall_ns)
{
	return greater(LEAST_NS, stall_ns / 5);
}

/* The rest of the stall, two fifths, is what a worker has to come when it is woken. */
uint64_t hang_pace_ns(uint64_t stall_ns)
{
	return greater(hang_least_ns(stall_ns), lesser(stall_ns * 3 / 5, MOST_NS));
}

/* ---- the queue --------------------------------------------------------------------------------------- */

static void note_queue(struct hang *hang, const struct hang_view *view)
{
	bool first = hang->looked_ns == 0;

	if (!view->queued || first)
		hang->since_ns = view->now_ns;
	else if (view->accepted != hang->accepted)      /* it was empty at some time since the last look */
		hang->since_ns = greater(hang->since_ns, hang->looked_ns);
	if (!view->queued || first || view->accepted != hang->accepted)
		hang->seen_ns = 0;
	if (view->queued && hang->seen_ns == 0) {
		hang->seen_ns = view->now_ns;
		hang->seen_turn_ns = view->turn_ns;
	}
}

/* One whose turns go on is at work, and the next one may be the one that accepts; but not for ever. */
static bool waits_long(const struct hang *hang, const struct hang_view *view, uint64_t stall_ns)
{
	uint64_t least_ns = hang_least_ns(stall_ns);
	uint64_t patience_ns = stall_ns + (view->turn_ns != hang->seen_turn_ns ? least_ns : 0);

	return view->queued && view->now_ns - hang->since_ns >= patience_ns &&
	       view->now_ns - hang->seen_ns >= least_ns;
}

/* ---- the verdict ------------------------------------------------------------------------------------- */

/* The end of a turn counts: a worker that has nothing to do does not begin another one. */
static bool has_moved(const struct hang *hang, const struct hang_view *view)
{
	return hang->looked_ns != 0 && (view->turn_ns != hang->turn_ns || view->accepted != hang->accepted ||
					view->busy_since_ns != hang->busy_since_ns);
}

static bool is_busy(const struct hang_view *view, uint64_t stall_ns)
{
	return view->busy_since_ns != 0 && view->busy_since_ns < view->now_ns &&
	       view->now_ns - view->busy_since_ns >= stall_ns;
}

static void begin(struct hang *hang, const struct hang_view *view, bool is_long, bool busy)
{
	hang->bad = true;
	hang->hung = hang->certain = false;
	hang->stuck_ns = 0;
	hang->began_ns = is_long ? hang->since_ns : view->now_ns;
	if (busy)
		hang->began_ns = lesser(hang->began_ns, view->busy_since_ns);
}

/* A look that comes late is one after a pause of the master, or of the machine: then nobody could move. */
static void stay_bad(struct hang *hang, const struct hang_view *view, bool hung, uint64_t stall_ns)
{
	if (!hung || has_moved(hang, view))
		hang->stuck_ns = 0;
	else
		hang->stuck_ns += lesser(view->now_ns - hang->looked_ns, 2 * hang_pace_ns(stall_ns));
}

static void get_better(struct hang *hang, const struct hang_view *view, uint64_t stall_ns)
{
	hang->stuck_ns = 0;
	if (hang->moved_ns == 0)
		hang->moved_ns = view->now_ns;
	if (view->now_ns - hang->moved_ns >= CALM_STALLS * stall_ns)
		hang->bad = false;
}

static void judge(struct hang *hang, const struct hang_view *view, uint64_t stall_ns)
{
	bool busy = is_busy(view, stall_ns), is_long = waits_long(hang, view, stall_ns);
	bool certain = view->stopped || busy;
	bool silent = hang->bad && hang->moved_ns == 0 && !has_moved(hang, view);
	bool hung = certain || silent || (is_long && !view->holding);
	bool crowded = view->holding && (is_long || hang->bad);

	hang->silent = silent && !certain;
	if (!hung && !crowded) {
		if (hang->bad)
			get_better(hang, view, stall_ns);
		return;
	}
	if (hang->bad)
		stay_bad(hang, view, hung, stall_ns);
	else
		begin(hang, view, is_long, busy);
	hang->moved_ns = 0;
	hang->hung = hang->hung || hung;
	hang->certain = hang->certain || certain;
}

void hang_look(struct hang *hang, const struct hang_view *view, uint64_t stall_ns)
{
	note_queue(hang, view);
	judge(hang, view, stall_ns);
	hang->looked_ns = view->now_ns;
	hang->turn_ns = view->turn_ns;
	hang->busy_since_ns = view->busy_since_ns;
	hang->accepted = view->accepted;
}

bool hang_is_for(const struct hang *hang, uint64_t limit_ns)
{
	return limit_ns != 0 && hang->bad && hang->stuck_ns >= limit_ns;
}

uint64_t hang_next_ns(const struct hang *hang, uint64_t stall_ns)
{
	uint64_t next_ns = UINT64_MAX;

	if (hang->bad)
		return hang->looked_ns + hang_pace_ns(stall_ns);
	if (hang->seen_ns != 0)
		next_ns = greater(hang->since_ns + stall_ns, hang->seen_ns + hang_least_ns(stall_ns));
	if (hang->busy_since_ns != 0)
		next_ns = lesser(next_ns, lesser(hang->busy_since_ns, hang->looked_ns) + stall_ns);
	return next_ns;
}

/* ---- everybody's sockets ----------------------------------------------------------------------------- */

bool hang_common_look(struct hang_common *common, bool queued, uint64_t now_ns, uint64_t stall_ns)
{
	if (!queued) {
		*common = (struct hang_common){ .since_ns = now_ns };
		return false;
	}
	if (now_ns - common->since_ns < stall_ns || now_ns - common->told_ns < stall_ns)
		return false;
	common->told_ns = now_ns;
	return true;
}
