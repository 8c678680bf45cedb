/* A task: what may block, done for an exchange by the helper thread of the requests.
 *
 * The pattern for whoever has such work (a listing reads a directory, a password is hashed):
 *
 *	struct hashing { struct task task; char password[64]; bool good; };
 *
 *	struct hashing *hashing = malloc(sizeof(*hashing));
 *	*hashing = (struct hashing){ .task = { work, done, release } };
 *	... copy into it everything that work() reads ...
 *	if (!task_submit(&hashing->task, exchange))
 *		return task_refused(exchange), ANSWERED;
 *	return ANSWER_LATER;
 *
 * The exchange may end while the task waits or is under way; exchange_end sees to that, and the task is
 * released when the thread has let go of it.  So a task has memory of its own (never the exchange's arena,
 * nor a generation's), and work() touches nothing else.  done() is called only while the exchange still
 * waits; what it does not take out of the task is released behind it.  Saying TASK_AGAIN puts the task behind
 * the others, for long work goes in steps.
 *
 * While it waits for a task, the exchange's timer is the task's: after 30 seconds it is dropped, and the
 * answer is 503.
 *
 * The threads are not the one that writes logs: a password must not wait for a disk that hangs, nor a log
 * line for a password.  Within a helper tasks take turns, whoever they belong to. */
#ifndef HTTP_TASK_H
#define HTTP_TASK_H

#include "exchange.h"

#include "base/offload.h"

#include <stdatomic.h>

enum task_after { TASK_OVER, TASK_AGAIN };

/* Whose threads: what computes, what waits for a disk of this machine, and what waits for others. None of
 * them holds up another. */
enum task_helper { TASK_COMMON, TASK_DISK, TASK_FAR };

struct task {
	void (*work)(struct task *task);        /* in the thread: no log, no loop, no exchange */
	/* On the loop: fills in a response and calls exchange_answer, or says AGAIN. */
	enum task_after (*done)(struct task *task, struct exchange *exchange);
	void (*release)(struct task *task);     /* on the loop, once: nobody has it any more */
	bool yields;                            /* anybody can ask for many: leaves a quarter to others */
	/* On the loop: the exchange waits no longer. NULL: its answer is 503; to be set where the head may be
	 * out. */
	void (*late)(struct task *task, struct exchange *exchange);
	enum task_helper helper;
	struct exchange *exchange;              /* NULL: nobody waits for it */
	struct offload_job job;
	uint64_t due_ns;                        /* then the exchange waits no longer */
	atomic_bool dropped;
};

/* Has `task` worked on for `exchange`, which has no other one; what stands above `exchange` is set, the
 * rest is zero. False when there are too many (counted as tasks_refused) or no thread can be made; then it
 * was released. */
bool task_submit(struct task *task, struct exchange *exchange);

/* In work(): nobody waits for it any more; what takes long may stop. */
static inline bool task_is_dropped(const struct task *task)
{
	return atomic_load_explicit(&task->dropped, memory_order_relaxed);
}

/* Called by exchange_end: nobody waits any more. NULL is ignored. */
void task_drop(struct task *task);

/* The answer of an exchange whose task was refused: 503 with Retry-After. */
void task_refused(struct exchange *exchange);

#endif
