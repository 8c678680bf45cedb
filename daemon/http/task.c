/* task.c - who has a task: its exchange, the helper thread, or nobody.
 *
 * Called by services and by exchange.c, on the loop. Fails by refusing a task, which its owner answers with
 * 503. */
#include "task.h"

#include "base/clock.h"

/* In all its steps; then the client shall know that it waits in vain. */
#define LONGEST_NS (30 * CLOCK_S)

/* How long a client is asked to wait for others' tasks. */
static const char retry_after[] = "Retry-After: 2\r\n";

static void done(struct offload_job *job);

static void work(struct offload_job *job)
{
	struct task *task = LIST_ENTRY(job, struct task, job);

	if (!task_is_dropped(task))
		task->work(task);
}

static void refuse(struct exchange *exchange)
{
	engine_count(exchange->engine, COUNT_TASKS_REFUSED);
	task_refused(exchange);
	exchange_answer(exchange);
}

/* A network file system whose server is gone may never come back. */
static void give_up(struct timer *timer, uint64_t now_ns)
{
	struct exchange *exchange = LIST_ENTRY(timer, struct exchange, timer);
	struct task *task = exchange->task;

	(void)now_ns;
	if (task->late != NULL)
		task->late(task, exchange);
	else
		refuse(exchange);
	task_drop(task);
}

/* Where there is no such helper, the common one does it. */
static struct offload *offload_of(const struct task *task, const struct engine *engine)
{
	struct offload *const offloads[] = {
		[TASK_COMMON] = engine->offload, [TASK_DISK] = engine->disk, [TASK_FAR] = engine->far,
	};

	return offloads[task->helper] != NULL ? offloads[task->helper] : engine->offload;
}

static bool submit(struct task *task, struct exchange *exchange)
{
	struct offload *offload = offload_of(task, exchange->engine);

	task->job.work = work;
	task->job.done = done;
	if (offload == NULL || !offload_submit(offload, &task->job))
		return false;
	task->exchange = exchange;
	exchange->task = task;
	exchange->timer.fire = give_up;
	timer_arm(&exchange->engine->loop->timers, &exchange->timer, task->due_ns);
	return true;
}

/* The exchange waits for it no longer, and has its timer back. */
static void part(struct task *task)
{
	timer_cancel(&task->exchange->timer);
	task->exchange->task = NULL;
	task->exchange = NULL;
}

/* What is done now is done for this exchange, though no event of its connection said so. */
static void enter(const struct exchange *exchange)
{
	const struct span *target = &exchange->request.target;

	if (exchange->conn == NULL)
		return;
	conn_enter(exchange->conn);
	epitaph_phase(exchange->engine->epitaph, PHASE_SERVICE);
	if (exchange->head != NULL)
		exchange_say(exchange, target->at + target->len + 1);   /* with what ends it */
}

static void leave(const struct conn *conn)
{
	if (conn != NULL)
		conn_leave(conn);
}

/* A dropped task has nobody to ask: it is over. */
static void done(struct offload_job *job)
{
	struct task *task = LIST_ENTRY(job, struct task, job);
	struct exchange *exchange = task->exchange;
	const struct conn *conn = exchange != NULL ? exchange->conn : NULL;
	enum task_after after = TASK_OVER;

	if (exchange != NULL) {
		part(task);
		enter(exchange);
		after = task->done(task, exchange);
		leave(conn);
	}
	if (after == TASK_AGAIN && submit(task, exchange))
		return;
	if (after == TASK_AGAIN)        /* cannot be: its own place was just given back */
		refuse(exchange);
	task->release(task);
}

/* Looked at when it begins only: what goes on has its place. */
static bool has_place(const struct task *task, const struct offload *offload)
{
	return !task->yields || (offload != NULL && offload->count < offload->most - (offload->most + 3) / 4);
}

bool task_submit(struct task *task, struct exchange *exchange)
{
	task->due_ns = exchange->engine->loop->now_ns + LONGEST_NS;
	if (has_place(task, offload_of(task, exchange->engine)) && submit(task, exchange))
		return true;
	engine_count(exchange->engine, COUNT_TASKS_REFUSED);
	task->release(task);
	return false;
}

void task_drop(struct task *task)
{
	struct exchange *exchange = task != NULL ? task->exchange : NULL;

	if (exchange == NULL)
		return;
	part(task);
	atomic_store_explicit(&task->dropped, true, memory_order_relaxed);
	if (offload_cancel(offload_of(task, exchange->engine), &task->job))
		task->release(task);
}

void task_refused(struct exchange *exchange)
{
	exchange_error(exchange, 503);
	exchange->response.extra = str_of(retry_after);
}
