/* One seat's process.  A child is STARTING until it says READY, STANDBY (prepared, not accepting) until
 * GO, SERVING until it is told to retire, DRAINING until its last connection has moved or ended, KILLED
 * between the first signal and the reaping. */
#ifndef MASTER_CHILD_H
#define MASTER_CHILD_H

enum child_state {
	CHILD_GONE,
	CHILD_STARTING,
	CHILD_STANDBY,
	CHILD_SERVING,
	CHILD_DRAINING,
	CHILD_KILLED,
	CHILD_STATES
};

/* READY: it said so. GO: the master sent it. EXITED: it was reaped. DEADLINE: what it is doing takes too
 * long. RETIRE: it is not wanted any more. */
enum child_event { EV_READY, EV_GO, EV_EXITED, EV_DEADLINE, EV_RETIRE, CHILD_EVENTS };

enum child_action {
	ACT_NONE, /* no such row in the table */
	ACT_BUG, /* cannot happen: log it, carry on */
	ACT_IGNORE,
	ACT_COUNT_READY, /* tell the transition, or send GO when none waits for it */
	ACT_START, /* it serves: send GO */
	ACT_SEND_DRAIN,
	ACT_KILL, /* SIGKILL, and again a second later */
	ACT_ABORT, /* SIGABRT, SIGKILL a second later */
	ACT_RESPAWN_NOW, /* it had served: at once, with back-off when it did not serve for long */
	ACT_RESPAWN_LATER, /* it never served: with back-off */
	ACT_SETTLE, /* it was killed on purpose: respawn if its seat is still wanted */
	ACT_FORGET,
};

struct step {
	enum child_state state;
	enum child_action action;
};

/* The state after `event`, and the one thing to do about it.  Total: every pair has an answer. */
struct step child_next(enum child_state state, enum child_event event);

/* "starting", "standby" ... */
extern const char *const child_state_names[CHILD_STATES];

#endif
