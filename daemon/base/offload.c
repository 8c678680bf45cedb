/* offload.c - the helper's threads.  Called by whoever has work that may block.
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

/* A thread shares the table of descriptors, and while it does the kernel counts at every call of the loop
 * who uses one: so threads that have had nothing to do for so long end. */
#define REST_NS (5 * CLOCK_S)

struct helper {
	struct offload_shared *shared;
	struct offload_job *under_way;  /* under `lock` */
	pthread_t thread;               /* the loop's side alone uses it */
};

/* What all threads touch, under `lock`.  Freed by the last thread when some were abandoned. */
struct offload_shared {
	pthread_mutex_t lock;
	pthread_cond_t queued, progress;
	struct list queue, finished;
	unsigned queue_len, idle;       /* threads without a job, or about to look for one */
	unsigned abandoned;             /* threads that nobody waits for any more */
	int event_fd;
	bool closing;
	bool dismissed;                 /* closing, and the last thread frees this */
	unsigned count;                 /* of helpers; the loop's side alone uses it */
	struct helper helpers[OFFLOAD_THREADS_MOST];
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
	struct list *link = list_pop_front(&shared->queue);

	while (link == NULL && !shared->closing) {
		pthread_cond_wait(&shared->queued, &shared->lock);
		link = list_pop_front(&shared->queue);
	}
	if (link == NULL)
		return NULL;
	shared->queue_len--;
	return LIST_ENTRY(link, struct offload_job, link);
}

static void shared_free(struct offload_shared *shared)
{
	fd_close(&shared->event_fd);
	pthread_cond_destroy(&shared->queued);
	pthread_cond_destroy(&shared->progress);
	pthread_mutex_destroy(&shared->lock);
	free(shared);
}

/* False when it was abandoned meanwhile: its owner is gone, and so may be the job. */
static bool work_on(struct helper *helper, struct offload_job *job)
{
	struct offload_shared *shared = helper->shared;

	job->state = JOB_UNDER_WAY;
	helper->under_way = job;
	shared->idle--;
	pthread_mutex_unlock(&shared->lock);
	job->work(job);
	pthread_mutex_lock(&shared->lock);
	shared->idle++;
	if (helper->under_way == NULL)
		return false;
	helper->under_way = NULL;
	report(shared, job);
	return true;
}

static void *run(void *argument)
{
	struct helper *helper = argument;
	struct offload_shared *shared = helper->shared;
	struct offload_job *job;
	bool mine = true, last;

	pthread_setname_np(pthread_self(), "drover-offload");
	cpus_unbind();                  /* or it would take its time from the loop, on the loop's CPU */
	pthread_mutex_lock(&shared->lock);
	while (mine && (job = next_job(shared)) != NULL)
		mine = work_on(helper, job);
	last = (!mine || shared->dismissed) && --shared->abandoned == 0;
	pthread_mutex_unlock(&shared->lock);
	if (last)
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
	struct helper *helper = &shared->helpers[shared->count];
	pthread_attr_t attributes;
	sigset_t all, before;
	int error;

	helper->shared = shared;
	sigfillset(&all);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigdelset(&all, faults[i]);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&helper->thread, &attributes, run, helper);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	if (error != 0)
		return false;
	shared->count++;
	pthread_mutex_lock(&shared->lock);
	shared->idle++;
	pthread_mutex_unlock(&shared->lock);
	return true;
}

static void call_finished(struct offload *offload);

static void on_completion(struct source *source, uint32_t events)
{
	struct offload *offload = LIST_ENTRY(source, struct offload, completion);
	uint64_t count;
	ssize_t ignored = read(source->fd, &count, sizeof(count));

	(void)events;
	(void)ignored;
	if (offload->shared != NULL)    /* else all was done before */
		call_finished(offload);
}

/* It stays when threads do not. */
static bool make_completion(struct offload *offload)
{
	int fd AUTO_CLOSE = -1;

	if (offload->completion.fd >= 0)
		return true;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	offload->completion.fd = fd;
	if (fd < 0 || loop_add(offload->loop, &offload->completion, EPOLLIN) != 0) {
		offload->completion.fd = -1;
		return false;
	}
	fd_take(&fd);
	return true;
}

static bool start(struct offload *offload)
{
	struct offload_shared *shared = make_completion(offload) ? shared_new(offload->completion.fd) : NULL;

	if (shared == NULL)
		return false;
	if (make_thread(shared)) {
		offload->shared = shared;
		return true;
	}
	shared->event_fd = -1;          /* it stays for the next attempt */
	shared_free(shared);
	return false;
}

static void dismiss(struct offload_shared *shared)
{
	pthread_mutex_lock(&shared->lock);
	shared->closing = shared->dismissed = true;
	shared->abandoned = shared->count;
	shared->event_fd = -1;          /* it stays for those that come */
	for (unsigned i = 0; i < shared->count; i++)
		pthread_detach(shared->helpers[i].thread);
	pthread_cond_broadcast(&shared->queued);
	pthread_mutex_unlock(&shared->lock);
}

static void rest(struct timer *timer, uint64_t now_ns)
{
	struct offload *offload = LIST_ENTRY(timer, struct offload, rest);
	struct offload_shared *shared = offload->shared;

	(void)now_ns;
	if (offload->count > 0)
		return;                 /* armed again when that is done */
	offload->shared = NULL;
	dismiss(shared);
}

void offload_init(struct offload *offload, struct loop *loop, unsigned most)
{
	*offload = (struct offload){ .loop = loop, .most = most, .threads_most = 1, .rest.fire = rest };
	offload->completion = (struct source){ .fd = -1, .handle = on_completion };
}

void offload_widen(struct offload *offload, unsigned threads)
{
	offload->threads_most = threads < OFFLOAD_THREADS_MOST ? threads : OFFLOAD_THREADS_MOST;
}

/* ---- the loop's side --------------------------------------------------------------------------------- */

static void queue(struct offload_shared *shared, struct offload_job *job)
{
	job->cancelled = false;
	job->state = JOB_QUEUED;
	list_push_back(&shared->queue, &job->link);
	shared->queue_len++;
	pthread_cond_signal(&shared->queued);
}

bool offload_submit(struct offload *offload, struct offload_job *job)
{
	struct offload_shared *shared;
	bool idle, waits;

	if (offload->count >= offload->most || (offload->shared == NULL && !start(offload)))
		return false;
	shared = offload->shared;
	pthread_mutex_lock(&shared->lock);
	idle = job->state == JOB_IDLE;
	if (idle)
		queue(shared, job);
	waits = shared->queue_len > shared->idle;
	pthread_mutex_unlock(&shared->lock);
	if (idle && waits && shared->count < offload->threads_most)
		make_thread(shared);    /* else it waits for one of those that there are */
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
		shared->queue_len--;
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
	if (offload->count == 0)
		loop_timer(offload->loop, &offload->rest, REST_NS);
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
	shared->queue_len = 0;
}

/* Takes the job from a thread that is in the middle of it; false: it has none. */
static bool abandon(struct helper *helper)
{
	if (helper->under_way == NULL)
		return false;
	helper->under_way->state = JOB_ABANDONED;
	helper->under_way = NULL;
	helper->shared->abandoned++;
	pthread_detach(helper->thread);
	return true;
}

/* Joins the threads that have no job: they are where nothing blocks.  Returns how many are left. */
static unsigned end_threads(struct offload_shared *shared)
{
	pthread_t idle[OFFLOAD_THREADS_MOST];
	unsigned idle_count = 0, left;

	pthread_mutex_lock(&shared->lock);
	drop_jobs(shared);
	shared->closing = true;
	for (unsigned i = 0; i < shared->count; i++)
		if (!abandon(&shared->helpers[i]))
			idle[idle_count++] = shared->helpers[i].thread;
	left = shared->count - idle_count;
	shared->abandoned += left > 0 ? 1 : 0;          /* and us, until those are joined */
	pthread_cond_broadcast(&shared->queued);
	pthread_mutex_unlock(&shared->lock);
	for (unsigned i = 0; i < idle_count; i++)
		pthread_join(idle[i], NULL);
	return left;
}

/* An abandoned thread frees what they share, should it ever come back. */
static void let_go(struct offload_shared *shared, unsigned left)
{
	bool last = true;

	if (left > 0) {
		pthread_mutex_lock(&shared->lock);
		last = --shared->abandoned == 0;
		pthread_mutex_unlock(&shared->lock);
	}
	if (last)
		shared_free(shared);
}

unsigned offload_close(struct offload *offload, uint64_t deadline_ns)
{
	struct offload_shared *shared = offload->shared;
	unsigned threads_most = offload->threads_most, left;

	loop_remove(offload->loop, &offload->completion);
	if (shared == NULL) {
		fd_close(&offload->completion.fd);
		return 0;
	}
	offload_wait(offload, deadline_ns);
	left = offload->count;
	timer_cancel(&offload->rest);
	let_go(shared, end_threads(shared));
	offload_init(offload, offload->loop, offload->most);
	offload_widen(offload, threads_most);
	return left;
}

void offload_forget(struct offload *offload)
{
	timer_cancel(&offload->rest);
	fd_close(&offload->completion.fd);
	free(offload->shared);
	offload_init(offload, offload->loop, offload->most);
}
