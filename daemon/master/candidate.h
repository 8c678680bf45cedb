/* The candidate: the installed binary, tried in a child before anything is given up for it.
 *
 * It is executed with the command line of this process and CANDIDATE_OPTION behind it; it finds the state
 * that an upgrade would give it, sealed, as descriptor CANDIDATE_STATE_FD, and none of the descriptors that
 * the state speaks of. It has to read all of it, as the new image would, to check the versions and the
 * configuration in it, to try nothing and to change nothing. If it could take over it prints
 * "CANDIDATE_WORD VERSION" as its last line on stdout and exits with 0: a program that only exits with 0 is
 * no drover. Else it says why on stderr, as any program would that cannot even start. */
#ifndef MASTER_CANDIDATE_H
#define MASTER_CANDIDATE_H

#include "base/err.h"
#include "base/loop.h"

#include <sys/types.h>

#define CANDIDATE_OPTION "--candidate"
#define CANDIDATE_WORD "drover-candidate"
enum { CANDIDATE_STATE_FD = 3 };

struct master;

/* `version`: what it says that it is; NULL: it cannot take over, and `why` says so in one line. */
typedef void candidate_done(struct master *master, const char *version, const char *why);

struct candidate {
	pid_t pid;                      /* 0: none; else it has not been reaped */
	struct source exit;             /* its pidfd */
	struct timer deadline;
	int output;                     /* a memfd: its stdout and stderr, bounded */
	bool killed;
	candidate_done *done;           /* NULL: nobody waits for it any more */
};

/* Starts one on `state_fd`, a sealed memfd that stays the caller's. `done` is called once, later, within some
 * 12 seconds, whatever the child does. False with `err`: it could not be started, `done` will not be
 * called. */
bool candidate_start(struct master *master, int state_fd, candidate_done *done, struct err *err);

/* Nobody wants to know any more: ends it, `done` is not called. Harmless when there is none. */
void candidate_kill(struct master *master);

/* Gives back what the master holds of it; at the end. */
void candidate_forget(struct master *master);

#endif
