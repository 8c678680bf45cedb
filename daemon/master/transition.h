/* The votes of one transition: what each worker that was asked has said so far.
 *
 * A worker that served when the transition began is ASKED, a fresh process of the plan is CALLED. The two
 * differ in what a death means: a serving worker that dies has no vote any more (a crash that has nothing to
 * do with the reload must not stop it), a fresh one that dies is the plan failing. */
#ifndef MASTER_TRANSITION_H
#define MASTER_TRANSITION_H

enum vote {
	VOTE_NONE,                      /* takes no part */
	VOTE_ASKED, VOTE_CALLED,        /* PREPARE was sent */
	VOTE_READY, VOTE_STANDBY,       /* it said READY */
	VOTE_GOING,                     /* GO was sent */
	VOTE_ADOPTED,                   /* it said so */
	VOTE_GONE,                      /* it died, or its vote stopped the transition */
	VOTES
};

enum vote_event { VOTED_READY, VOTED_FAILED, VOTER_DIED, VOTER_LATE, VOTER_GO, VOTED_ADOPTED, VOTE_EVENTS };

enum vote_action {
	VOTE_ACT_NONE,                  /* no such row */
	VOTE_ACT_BUG,
	VOTE_ACT_IGNORE,
	VOTE_ACT_COUNT,                 /* look whether all have said what is waited for */
	VOTE_ACT_CALL_OFF,              /* the transition fails here */
	VOTE_ACT_SEND_GO,
	VOTE_ACT_REPLACE,               /* it missed the deadline after the commit: kill and respawn it */
};

struct vote_step {
	enum vote vote;
	enum vote_action action;
};

/* The vote after `event`, and what to do.  Total. */
struct vote_step transition_next(enum vote vote, enum vote_event event);

/* What a transition waits for, from how many voters are in which state. */
enum transition_verdict {
	TRANSITION_WAIT,
	TRANSITION_COMMIT,              /* all that can vote have said READY */
	TRANSITION_NOBODY,              /* there were voters, and none is left */
	TRANSITION_DONE,                /* after the commit: all have adopted or are gone */
};

enum transition_verdict transition_verdict(const unsigned counts[VOTES], int committed);

#endif
