/* offload.c - the helper thread.  Called by whoever has work that may block: the log writers so far.
 *
 * Fails by refusing a job.  The eventfd is written only when the list of finished jobs was empty: a loop that
 * is behind is woken once. */
#include "offload.h"

#include "clock.h"
#include "cpus.h"
#include "fd.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>

enum {
	STACK_BYTES = 256 * 1024,       /* work() writes and sends; this is plenty */
	TELL_TRIES = 8,
};

/* What both threads touch, under `lock`.  Freed by the thread itself when it was abandoned. */
struct offload_shared {
	pthread_mutex_t lock;
	pthread_cond_t queued, progress;
	struct list queue, finished;
	struct offload_job *under_way;
	pthread_t thread;               /* the loop's side alone uses it */
	int event_fd;
	bool closing, abandoned;
};

/* ---- the helper thread ------------------------------------------------------------------------------- */

static void report(struct offload_shared *shared, struct offload_job *job)
{
	bool was_empty = list_empty(&shared->finished);
	uint64_t one = 1;

	job->state = JOB_FINISHED;
	list_push_back(&shared->finished, &job->link);
	pthread_cond_signal(&shared->progress);
	for (int tries = 0; was_empty && tries < TELL_TRIES; tries++)   /* eventfd(2) knows no failure here */
		if (write(shared->event_fd, &one, sizeof(one)) == (ssize_t)sizeof(one))
			return;
}

/* The next job, or NULL when there will be none. */
static struct offload_job *next_job(struct offload_shared *shared)
{
	struct list *link = NULL;

	while (!shared->abandoned) {
		link = list_pop_front(&shared->queue);
		if (link != NULL || shared->closing)
			break;
		pthread_cond_wait(&shared->queued, &shared->lock);
	}
	return link != NULL ? LIST_ENTRY(link, struct offload_job, link) : NULL;
}

static void shared_free(struct offload_shared *shared)
{
	fd_close(&shared->event_fd);
	pthread_cond_destroy(&shared->queued);
	pthread_cond_destroy(&shared->progress);
	pthread_mutex_destroy(&shared->lock);
	free(shared);
}

static void *run(void *argument)
{
	struct offload_shared *shared = argument;
	struct offload_job *job;
	bool abandoned;

	pthread_setname_np(pthread_self(), "drover-offload");
	cpus_unbind();                  /* or it would take its time from the loop, on the loop's CPU */
	pthread_mutex_lock(&shared->lock);
	for (job = next_job(shared); job != NULL; job = next_job(shared)) {
		job->state = JOB_UNDER_WAY;
		shared->under_way = job;
		pthread_mutex_unlock(&shared->lock);
		job->work(job);
		pthread_mutex_lock(&shared->lock);
		shared->under_way = NULL;
		if (!shared->abandoned)         /* else its owner is gone, and so may be the job */
			report(shared, job);
	}
	abandoned = shared->abandoned;
	pthread_mutex_unlock(&shared->lock);
	if (abandoned)
		shared_free(shared);
	return NULL;
}

/* ---- making it --------------------------------------------------------------------------------------- */

static struct offload_shared *shared_new(int event_fd)
{
	struct offload_shared *shared = calloc(1, sizeof(*shared));
	pthread_condattr_t attributes;

	if (shared == NULL)
		return NULL;
	pthread_mutex_init(&shared->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&shared->queued, &attributes);
	pthread_cond_init(&shared->progress, &attributes);
	pthread_condattr_destroy(&attributes);
	list_init(&shared->queue);
	list_init(&shared->finished);
	shared->event_fd = event_fd;
	return shared;
}

/* What the thread itself does wrong: a blocked one would end the process without its handler. */
static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS };

/* A new thread inherits the mask of the one that makes it (pthread_create(3)). */
static bool make_thread(struct offload_shared *shared)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	int error;

	sigfillset(&all);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigdelset(&all, faults[i]);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&shared->thread, &attributes, run, shared);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return error == 0;
}

static void call_finished(struct offload *offload);

static void on_completion(struct source *source, uint32_t events)
{
	struct offload *offload = LIST_ENTRY(source, struct offload, completion);
	uint64_t count;
	ssize_t ignored = read(source->fd, &count, sizeof(count));

	(void)events;
	(void)ignored;
	call_finished(offload);
}

static bool start(struct offload *offload)
{
	int fd AUTO_CLOSE = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct offload_shared *shared = fd >= 0 ? shared_new(fd) : NULL;

	if (shared == NULL)
		return false;
	offload->completion.fd = fd_take(&fd);
	if (loop_add(offload->loop, &offload->completion, EPOLLIN) == 0 && make_thread(shared)) {
		offload->shared = shared;
		return true;
	}
	loop_remove(offload->loop, &offload->completion);
	offload->completion.fd = -1;
	shared_free(shared);
	return false;
}

void offload_init(struct offload *offload, struct loop *loop, unsigned most)
{
	*offload = (struct offload){ .loop = loop, .most = most };
	offload->completion = (struct source){ .fd = -1, .handle = on_completion };
}

/* ---- the loop's side --------------------------------------------------------------------------------- */

bool offload_submit(struct offload *offload, struct offload_job *job)
{
	struct offload_shared *shared;
	bool idle;

	if (offload->count >= offload->most || (offload->shared == NULL && !start(offload)))
		return false;
	shared = offload->shared;
	pthread_mutex_lock(&shared->lock);
	idle = job->state == JOB_IDLE;
	if (idle) {
		job->cancelled = false;
		job->state = JOB_QUEUED;
		list_push_back(&shared->queue, &job->link);
		pthread_cond_signal(&shared->queued);
	}
	pthread_mutex_unlock(&shared->lock);
	offload->count += idle ? 1 : 0;
	return idle;
}

bool offload_cancel(struct offload *offload, struct offload_job *job)
{
	struct offload_shared *shared = offload->shared;
	bool mine;

	if (shared == NULL)
		return true;
	pthread_mutex_lock(&shared->lock);
	if (job->state == JOB_QUEUED) {
		list_remove(&job->link);
		job->state = JOB_IDLE;
		offload->count--;
	}
	mine = job->state == JOB_IDLE;
	job->cancelled = !mine;
	pthread_mutex_unlock(&shared->lock);
	return mine;
}

/* Calls done() for all that is finished now; what finishes meanwhile has its turn later. */
static void call_finished(struct offload *offload)
{
	struct list turn;

	list_init(&turn);
	pthread_mutex_lock(&offload->shared->lock);
	list_move_all(&turn, &offload->shared->finished);
	pthread_mutex_unlock(&offload->shared->lock);
	for (struct list *link = list_pop_front(&turn); link != NULL; link = list_pop_front(&turn)) {
		struct offload_job *job = LIST_ENTRY(link, struct offload_job, link);

		offload->count--;
		job->state = JOB_IDLE;
		job->done(job);
	}
}

/* True when a job is finished; false at the deadline. */
static bool wait_for_one(struct offload_shared *shared, uint64_t deadline_ns)
{
	struct timespec until = { (time_t)(deadline_ns / CLOCK_S), (long)(deadline_ns % CLOCK_S) };
	bool finished;
	int error = 0;

	pthread_mutex_lock(&shared->lock);
	while (list_empty(&shared->finished) && error == 0)
		error = pthread_cond_timedwait(&shared->progress, &shared->lock, &until);
	finished = !list_empty(&shared->finished);
	pthread_mutex_unlock(&shared->lock);
	return finished;
}

void offload_wait(struct offload *offload, uint64_t deadline_ns)
{
	while (offload->count > 0 && wait_for_one(offload->shared, deadline_ns))
		call_finished(offload);
}

/* Nobody waits for them any longer. */
static void drop_jobs(struct offload_shared *shared)
{
	struct list *const lists[] = { &shared->queue, &shared->finished };

	for (unsigned i = 0; i < 2; i++)
		for (struct list *link = list_pop_front(lists[i]); link != NULL;
		     link = list_pop_front(lists[i]))
			LIST_ENTRY(link, struct offload_job, link)->state = JOB_IDLE;
	shared->abandoned = shared->under_way != NULL;
	if (shared->abandoned)
		shared->under_way->state = JOB_ABANDONED;
}

unsigned offload_close(struct offload *offload, uint64_t deadline_ns)
{
	struct offload_shared *shared = offload->shared;
	pthread_t thread;
	unsigned left;
	bool abandoned;

	if (shared == NULL)
		return 0;
	offload_wait(offload, deadline_ns);
	left = offload->count;
	pthread_mutex_lock(&shared->lock);
	drop_jobs(shared);
	shared->closing = true;
	pthread_cond_signal(&shared->queued);
	abandoned = shared->abandoned;
	thread = shared->thread;
	pthread_mutex_unlock(&shared->lock);
	loop_remove(offload->loop, &offload->completion);
	if (abandoned)                  /* it frees what they share, should it ever come back */
		pthread_detach(thread);
	else                            /* it is between two jobs, where nothing blocks */
		pthread_join(thread, NULL);
	if (!abandoned)
		shared_free(shared);
	offload_init(offload, offload->loop, offload->most);
	return left;
}

void offload_forget(struct offload *offload)
{
	fd_close(&offload->completion.fd);
	free(offload->shared);
	offload_init(offload, offload->loop, offload->most);
}
