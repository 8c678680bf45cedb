/* transition.c - who has voted, and what follows.
 *
 * Pure: no system calls, no clock, no allocation.  Called by reload.c only. */
#include "transition.h"

static const struct vote_step steps[VOTES][VOTE_EVENTS] = {
	[VOTE_ASKED] = {                                /* serves the old generation */
		[VOTED_READY]   = { VOTE_READY,   VOTE_ACT_COUNT },
		[VOTED_FAILED]  = { VOTE_GONE,    VOTE_ACT_CALL_OFF },
		[VOTER_DIED]    = { VOTE_GONE,    VOTE_ACT_COUNT },     /* no vote */
		[VOTER_LATE]    = { VOTE_GONE,    VOTE_ACT_CALL_OFF },
	},
	[VOTE_CALLED] = {                               /* a fresh process of the plan */
		[VOTED_READY]   = { VOTE_STANDBY, VOTE_ACT_COUNT },
		[VOTED_FAILED]  = { VOTE_GONE,    VOTE_ACT_CALL_OFF },
		[VOTER_DIED]    = { VOTE_GONE,    VOTE_ACT_CALL_OFF },
		[VOTER_LATE]    = { VOTE_GONE,    VOTE_ACT_CALL_OFF },
	},
	[VOTE_READY] = {
		[VOTER_GO]      = { VOTE_GOING,   VOTE_ACT_SEND_GO },
		[VOTER_DIED]    = { VOTE_GONE,    VOTE_ACT_COUNT },
		[VOTER_LATE]    = { VOTE_READY,   VOTE_ACT_IGNORE },    /* the deadline crossed its READY */
	},
	[VOTE_STANDBY] = {
		[VOTER_GO]      = { VOTE_GOING,   VOTE_ACT_SEND_GO },
		[VOTER_DIED]    = { VOTE_GONE,    VOTE_ACT_CALL_OFF },
		[VOTER_LATE]    = { VOTE_STANDBY, VOTE_ACT_IGNORE },
	},
	[VOTE_GOING] = {                                /* committed: no way back */
		[VOTED_ADOPTED] = { VOTE_ADOPTED, VOTE_ACT_COUNT },
		[VOTER_DIED]    = { VOTE_GONE,    VOTE_ACT_COUNT },     /* respawned with the new one */
		[VOTER_LATE]    = { VOTE_GONE,    VOTE_ACT_REPLACE },
	},
	[VOTE_ADOPTED] = {
		[VOTER_DIED]    = { VOTE_GONE,    VOTE_ACT_COUNT },
		[VOTER_LATE]    = { VOTE_ADOPTED, VOTE_ACT_IGNORE },
	},
	[VOTE_GONE] = {
		[VOTED_READY]   = { VOTE_GONE,    VOTE_ACT_IGNORE },
		[VOTED_FAILED]  = { VOTE_GONE,    VOTE_ACT_IGNORE },
		[VOTED_ADOPTED] = { VOTE_GONE,    VOTE_ACT_IGNORE },    /* late, and killed for it */
		[VOTER_DIED]    = { VOTE_GONE,    VOTE_ACT_COUNT },
		[VOTER_LATE]    = { VOTE_GONE,    VOTE_ACT_IGNORE },
	},
};

struct vote_step transition_next(enum vote vote, enum vote_event event)
{
	struct vote_step step = steps[vote][event];

	if (step.action == VOTE_ACT_NONE)
		return (struct vote_step){ vote, VOTE_ACT_BUG };
	return step;
}

enum transition_verdict transition_verdict(const unsigned counts[VOTES], int committed)
{
	if (committed)
		return counts[VOTE_GOING] > 0 ? TRANSITION_WAIT : TRANSITION_DONE;
	if (counts[VOTE_ASKED] > 0 || counts[VOTE_CALLED] > 0)
		return TRANSITION_WAIT;
	if (counts[VOTE_READY] + counts[VOTE_STANDBY] > 0 || counts[VOTE_GONE] == 0)
		return TRANSITION_COMMIT;       /* without any worker at all there is nobody to wait for */
	return TRANSITION_NOBODY;
}
