/* The helper: what may block is done in a thread of it, and the loop goes on.
 *
 * One bounded queue for each process that asks for it, and one thread, or a few where offload_widen says so.
 * The first is made with the first job, another one when a job would have to wait, so they have the rights
 * that the process has by then (credentials are per thread: drop privileges before) and a process that never
 * submits has neither thread nor descriptor.  When there was no job for some seconds the threads end, and
 * are made anew for the next one.  They block every signal.  All functions belong to the loop's thread; only
 * `work` runs in another one.
 *
 * fork(2) copies the calling thread alone: a child calls offload_forget before anything else, and never
 * touches what it inherited. */
#ifndef BASE_OFFLOAD_H
#define BASE_OFFLOAD_H

#include "loop.h"

/* IDLE: nobody but its owner has it.  ABANDONED: the close did not wait for it any longer; the thread may
 * still be using its memory, which must never be freed. */
enum offload_state { JOB_IDLE, JOB_QUEUED, JOB_UNDER_WAY, JOB_FINISHED, JOB_ABANDONED };

/* Lives in whatever it is about; zeroed but for the two functions at first. */
struct offload_job {
	struct list link;
	void (*work)(struct offload_job *job);  /* in the helper thread: no allocation, no log, no loop */
	void (*done)(struct offload_job *job);  /* on the loop, some time after; may submit it again */
	enum offload_state state;
	bool cancelled;                 /* for done(): somebody cancelled it when it could not be stopped */
};

struct offload_shared;

enum { OFFLOAD_THREADS_MOST = 16 };

struct offload {
	struct loop *loop;
	struct source completion;       /* an eventfd; -1 until the first job */
	struct offload_shared *shared;  /* NULL until the first job */
	struct timer rest;              /* until the threads end, since there was no job */
	unsigned most, threads_most;
	unsigned count;                 /* queued, under way, or finished without done() */
};

/* At most `most` jobs at a time, by one thread.  Allocates nothing. */
void offload_init(struct offload *offload, struct loop *loop, unsigned most);

/* Up to `threads` (OFFLOAD_THREADS_MOST) of them: jobs begin in their order, and may be done in another. */
void offload_widen(struct offload *offload, unsigned threads);

/* Queues an idle job.  False, and nothing has happened, when there are `most` already or no thread can be
 * made: the caller counts that and lives without. */
bool offload_submit(struct offload *offload, struct offload_job *job);

/* True: it had not begun, or was idle, and is the caller's again; done() is not called.  False: it is under
 * way or finished; done() will be called with `cancelled` set, and until then its memory must stay. */
bool offload_cancel(struct offload *offload, struct offload_job *job);

/* Calls done() for what finishes, until nothing is left or CLOCK_MONOTONIC is at `deadline_ns`.  For the end
 * of a process, when its loop does not run any more. */
void offload_wait(struct offload *offload, uint64_t deadline_ns);

/* offload_wait, then ends the threads.  Returns how many jobs were not finished: those that had not begun are
 * idle, those that are under way ABANDONED; done() is not called for either. */
unsigned offload_close(struct offload *offload, uint64_t deadline_ns);

/* In a forked child: lets go of the copies, without touching a lock that the thread may have held. */
void offload_forget(struct offload *offload);

#endif
