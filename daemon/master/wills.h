/* What becomes of a worker's idle connections if it crashes. */
#ifndef MASTER_WILLS_H
#define MASTER_WILLS_H

#include "base/err.h"
#include "base/loop.h"

#include <stdbool.h>
#include <sys/types.h>

struct child;
struct json_t;
struct master;

/* What becomes of a worker's idle connections if it crashes: see wills.c. */
struct testament {
	struct list link;               /* in master->testaments */
	struct master *master;
	unsigned slot;                  /* of the worker */
	pid_t pid;
	bool heard;                     /* the word of whether there is a keeper */
	bool dead, crashed;             /* the worker */
	struct source end;              /* -1: somebody has read it all, or nobody will */
	pid_t heir;                     /* it reads; 0: nobody yet */
	struct timer look;              /* has it read all? */
	pid_t keeper_pid;               /* 0: there is none, or it is gone */
	struct source keeper;           /* its pidfd */
};

/* Makes the child's testament; returns the end that is the worker's, and the caller's to close. -1 with
 * `err`. */
int wills_make(struct child *child, struct err *err);
/* Watches it, when the child is forked or taken over. */
bool wills_watch(struct child *child, struct err *err);
/* The child is no more. `crashed`: and had connections. */
void wills_child_died(struct child *child, bool crashed);
/* To be called when somebody began to serve, or nobody will. */
void wills_arrange(struct master *master);
/* Is it a keeper that is waited for? */
bool wills_know(const struct master *master, pid_t pid);
/* Are there keepers still? */
bool wills_left(const struct master *master);
/* Ends them: the service stops at once. */
void wills_kill(struct master *master);
/* Frees what ended in this turn; all of it. */
void wills_sweep(struct master *master);
void wills_forget(struct master *master);
/* For the next image: a new reference or NULL; and in that image. */
struct json_t *wills_save(const struct child *child);
bool wills_load(struct child *child, const struct json_t *json, struct err *err);
/* The same of workers that are no more; in that image one by one, and watched when all are there. */
struct json_t *wills_save_dead(const struct master *master);
bool wills_load_dead(struct master *master, const struct json_t *json, struct err *err);
bool wills_resume(struct master *master, struct err *err);

#endif
