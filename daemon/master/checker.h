/* What a user wrote is read in a child, the checker, which may hang or crash instead of the master. */
#ifndef MASTER_CHECKER_H
#define MASTER_CHECKER_H

#include "base/loop.h"
#include "base/timer.h"
#include "config/check.h"
#include "config/preflight.h"
#include "config/read.h"

#include <stdbool.h>
#include <sys/types.h>

struct master;

/* A configuration that passed the checker. */
struct verdict {
	struct generation *generation;
	int text;                       /* the sealed memfd */
	int base;                       /* the same without the overrides: what a change of them reads */
	struct config_identity identity;
	unsigned slots;
	int error_log, access_log;      /* -1: what it is has no descriptor */
	struct preflight *findings;     /* malloc'ed; NULL: none */
};

/* Checkers that were killed, have not ended, and are not waited for any more: the kernel holds them. */
enum { CHECKER_MOST_STUCK = 4 };

struct stuck_checker {
	struct source exit;             /* its pidfd */
	struct master *master;          /* NULL: a free place */
};

struct checker {
	struct config_input input;      /* what it reads */
	int from;                       /* a verdict's base, which it reads instead; -1: the input */
	pid_t pid;
	struct source exit;
	struct timer deadline;
	int text, base;                 /* the memfds it writes to */
	struct checker_result *result;  /* shared memory */
	bool cut;                       /* it was killed: nobody knows whether the configuration is wrong */
	struct stuck_checker stuck[CHECKER_MOST_STUCK]; /* earlier ones */
	void (*done)(struct master *master, struct verdict *verdict, struct problems *problems);
};

/* Forks the checker for what master->checker.input says; its `done` is called later, with a verdict or with
 * problems. */
bool checker_start(struct master *master, struct err *err);
/* Ends one that runs; `done` is called when it is gone, if that is before checker_forget. */
void checker_kill(struct master *master);
/* Gives back what the master holds of it; at the end. */
void checker_forget(struct master *master);
void verdict_release(struct verdict *verdict);

#endif
