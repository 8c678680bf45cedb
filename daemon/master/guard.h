/* The guard of an upgrade: from one image to the next, and back when the next one fails.
 *
 *	old image	guard_leap		execve of the installed path, same process
 *	new image	guard_begin		first of all in main: any end of the process from here on
 *			guard_step		... is told with the step that it happened at
 *			guard_disarm		every slot is served by the new binary: no way back
 *	or		guard_roll_back		or a crash, a hang, an exit: the old binary is executed
 *						with the same state
 *	old image	guard_begin		as above, and plan.failure says why
 *
 * What makes the way back possible, and is for the new image to keep until guard_disarm:
 *  - the descriptors that the state lists stay open, have no FD_CLOEXEC and keep their numbers (workers and
 *    checkers close what is not theirs; what the new image opens is CLOEXEC, as always),
 *  - children of the old image are not reaped (waitid with WNOWAIT, or not watched), and nothing is done to
 *    them that cannot be taken back: they are retired afterwards, all of them, and serve on until then,
 *  - no other upgrade begins.
 * Children of the failed image find their channel closed, and drain; strays.c reaps them.
 *
 * Signals that end a process (SEGV, BUS, ABRT, ILL, FPE) and ALRM, which says that a step took too long, are
 * caught; so is exit(3). A forked child is not guarded: there they do what they always did. */
#ifndef MASTER_GUARD_H
#define MASTER_GUARD_H

#include "base/err.h"

#include <stdbool.h>

/* DROVER_UPGRADE=STATE:KEPT, two descriptors; for the old image that is back, STATE:failed:STEP: WHY. */
#define GUARD_VARIABLE "DROVER_UPGRADE"

/* How long a step may take, unless it is known better. */
enum { GUARD_STEP_SECONDS = 10 };

struct guard_plan {
	int state_fd;                   /* the memfd with the state */
	int kept_fd;                    /* the old binary; -1: this is the old one, back again */
	char **argv;
	const char *failure;            /* step and reason; NULL: nothing has failed */
};

/* Executes `path` in place with plan->state_fd, plan->kept_fd and plan->argv, whose descriptors it makes
 * inheritable; the caller has done so with those that the state lists. Returns only when that failed: `err`
 * says why, and every descriptor above stderr is CLOEXEC again. */
void guard_leap(const char *path, const struct guard_plan *plan, struct err *err);

/* First of all in main: is this an image in the middle of an upgrade? Fills in `plan` and arms the guard,
 * unless this is the old image again. False: an ordinary start; a variable that makes no sense is ignored,
 * and no child sees it. */
bool guard_begin(struct guard_plan *plan, char **argv);

/* Arms it: guard_begin's, and for tests. */
void guard_arm(const struct guard_plan *plan);

/* What is being done from now on, a word that stays (a literal), and how many seconds it may take. Harmless
 * when it is not armed. */
void guard_step(const char *step, unsigned seconds);

bool guard_is_armed(void);

/* The new image has taken over: signals do again what they did, the old binary and the state are closed,
 * every descriptor above stderr is CLOEXEC. Harmless when it is not armed. */
void guard_disarm(void);

/* Back to the old binary. Returns only when it is not armed (nothing was done) or when even that is
 * impossible; the caller then ends the process, which has nothing to go on with. */
void guard_roll_back(const char *why);

#endif
