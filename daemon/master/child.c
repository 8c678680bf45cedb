/* child.c - what a worker process is doing, and what to do when something happens to it.
 *
 * Pure: no system calls, no clock, no allocation.  The callers feed events in and carry the returned action
 * out.  Called by spawn.c and reload.c only.  An event that cannot happen in a state yields ACT_BUG, which
 * the master logs and otherwise ignores; it never stops serving because of it.
 */
#include "child.h"

static const struct step steps[CHILD_STATES][CHILD_EVENTS] = {
	[CHILD_STARTING] = {                            /* preparing its generation */
		[EV_READY]    = { CHILD_STANDBY,  ACT_COUNT_READY },
		[EV_EXITED]   = { CHILD_GONE,     ACT_RESPAWN_LATER },
		[EV_DEADLINE] = { CHILD_KILLED,   ACT_KILL },
		[EV_RETIRE]   = { CHILD_KILLED,   ACT_KILL },
	},
	[CHILD_STANDBY] = {                             /* prepared; has accepted nothing yet */
		[EV_READY]    = { CHILD_STANDBY,  ACT_COUNT_READY },    /* for a newer generation */
		[EV_GO]       = { CHILD_SERVING,  ACT_START },
		[EV_EXITED]   = { CHILD_GONE,     ACT_RESPAWN_LATER },  /* and the open transition fails */
		[EV_DEADLINE] = { CHILD_KILLED,   ACT_KILL },           /* asked anew, and silent */
		[EV_RETIRE]   = { CHILD_KILLED,   ACT_KILL },
	},
	[CHILD_SERVING] = {
		[EV_READY]    = { CHILD_SERVING,  ACT_COUNT_READY },    /* for the next generation */
		[EV_EXITED]   = { CHILD_GONE,     ACT_RESPAWN_NOW },
		[EV_DEADLINE] = { CHILD_KILLED,   ACT_ABORT },  /* hung: SIGABRT leaves a trace in the log */
		[EV_GO]       = { CHILD_SERVING,  ACT_START },
		[EV_RETIRE]   = { CHILD_DRAINING, ACT_SEND_DRAIN },
	},
	[CHILD_DRAINING] = {
		[EV_READY]    = { CHILD_DRAINING, ACT_IGNORE }, /* crossed the DRAIN on its way */
		[EV_EXITED]   = { CHILD_GONE,     ACT_FORGET },
		[EV_DEADLINE] = { CHILD_KILLED,   ACT_KILL },
		[EV_RETIRE]   = { CHILD_DRAINING, ACT_SEND_DRAIN },     /* TERM meanwhile: tighter */
	},
	[CHILD_KILLED] = {
		[EV_EXITED]   = { CHILD_GONE,     ACT_SETTLE },
		[EV_DEADLINE] = { CHILD_KILLED,   ACT_KILL },   /* a stopped process never takes SIGABRT */
		[EV_READY]    = { CHILD_KILLED,   ACT_IGNORE }, /* crossed the signal on its way */
		[EV_RETIRE]   = { CHILD_KILLED,   ACT_IGNORE },
	},
};

const char *const child_state_names[CHILD_STATES] = {
	"gone", "starting", "standby", "serving", "draining", "killed",
};

struct step child_next(enum child_state state, enum child_event event)
{
	struct step step = steps[state][event];

	if (step.action == ACT_NONE)    /* zero: the table has no such row */
		return (struct step){ state, ACT_BUG };
	return step;
}
