/* loop.c - the event loop.  Called by the master, the workers and the tools; single-threaded.
 *
 * Fails only when it is opened or when epoll_wait itself fails. */
#include "loop.h"

#include "clock.h"
#include "fd.h"

#include <errno.h>

enum {
	BATCH = 256,                    /* events a turn: bounds how long the ready list and timers wait */
	TAG_SHIFT = 48,                 /* user addresses have 47 bits (and 56 only where asked for) */
};

bool loop_open(struct loop *loop, struct err *err)
{
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

	if (epoll_fd < 0)
		return err_sys(err, errno, "epoll_create1");
	*loop = (struct loop){ .epoll_fd = epoll_fd, .now_ns = clock_now_ns() };
	timers_init(&loop->timers, loop->now_ns);
	list_init(&loop->ready);
	list_init(&loop->ready_lean);
	list_init(&loop->turn_ends);
	return true;
}

void loop_close(struct loop *loop)
{
	fd_close(&loop->epoll_fd);
}

void loop_lean(struct loop *loop, const struct lean_handlers *handlers)
{
	loop->lean = handlers;
	loop->timers.fire_lean = handlers->fire;
}

static struct epoll_event event_for(struct lean_source *source, uint32_t events)
{
	uint64_t data = (uint64_t)(uintptr_t)source | (uint64_t)source->tag << TAG_SHIFT;

	return (struct epoll_event){ .events = events, .data.u64 = data };
}

int loop_add_lean(struct loop *loop, struct lean_source *source, uint32_t events)
{
	struct epoll_event event = event_for(source, events);

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, source->fd, &event) < 0)
		return errno;
	source->added = true;
	return 0;
}

int loop_modify(struct loop *loop, struct source *source, uint32_t events)
{
	struct epoll_event event = event_for(&source->lean, events);

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event) < 0 ? errno : 0;
}

void loop_remove_lean(struct loop *loop, struct lean_source *source)
{
	if (source->added)
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	loop_forget_lean(source);
}

void loop_ready(struct loop *loop, struct ready *ready)
{
	if (!list_linked(&ready->link))
		list_push_back(&loop->ready, &ready->link);
}

void loop_ready_lean(struct loop *loop, struct list *ready)
{
	if (!list_linked(ready))
		list_push_back(&loop->ready_lean, ready);
}

void loop_unready(struct ready *ready)
{
	list_remove(&ready->link);
}

void loop_timer(struct loop *loop, struct timer *timer, uint64_t after_ns)
{
	timer_arm(&loop->timers, timer, loop->now_ns + after_ns);
}

void loop_timer_from_now(struct loop *loop, struct timer *timer, uint64_t after_ns)
{
	timer_arm(&loop->timers, timer, clock_now_ns() + after_ns);
}

void loop_timer_lean(struct loop *loop, struct lean_timer *timer, uint64_t after_ns)
{
	timer_arm_lean(&loop->timers, timer, loop->now_ns + after_ns);
}

void loop_at_turn_end(struct loop *loop, struct turn_end *hook)
{
	list_push_back(&loop->turn_ends, &hook->link);
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
}

/* Milliseconds until the next timer, rounded up: a wake-up that is too early would spin. */
static int wait_ms(struct loop *loop)
{
	uint64_t next = timers_next_ns(&loop->timers), ms;

	if (!list_empty(&loop->ready) || !list_empty(&loop->ready_lean))
		return 0;
	if (next == UINT64_MAX)
		return -1;
	if (next <= loop->now_ns)
		return 0;
	ms = (next - loop->now_ns + CLOCK_MS - 1) / CLOCK_MS;
	return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

static void handle(struct loop *loop, const struct epoll_event *event)
{
	uint64_t data = event->data.u64;
	void *at = (void *)(uintptr_t)(data & ((UINT64_C(1) << TAG_SHIFT) - 1));
	struct lean_source *lean = at;
	struct source *source = at;

	if (lean->tag != (uint16_t)(data >> TAG_SHIFT))
		return;
	loop_works(loop);
	if (lean->is_lean)
		loop->lean->handle(lean, event->events);
	else
		source->handle(source, event->events);
}

/* Once each, those that were ready before: what gets ready meanwhile waits for the next turn. */
static void serve_ready(struct loop *loop, struct list *turn)
{
	for (struct list *link = list_pop_front(turn); link != NULL; link = list_pop_front(turn)) {
		struct ready *ready = LIST_ENTRY(link, struct ready, link);

		loop_works(loop);
		loop->served++;
		ready->serve(ready);
	}
}

static void serve_lean(struct loop *loop, struct list *turn)
{
	for (struct list *link = list_pop_front(turn); link != NULL; link = list_pop_front(turn)) {
		loop_works(loop);
		loop->served++;
		loop->lean->serve(link);
	}
}

static void publish_busy(const struct loop *loop, uint64_t since_ns)
{
	if (loop->busy_since_ns != NULL)
		*loop->busy_since_ns = since_ns;
}

/* Timers fire when a tick is over, and not else. */
static void run_timers(struct loop *loop)
{
	uint64_t tick = loop->timers.tick;

	timers_run(&loop->timers, loop->now_ns);
	if (loop->timers.tick != tick)
		loop_works(loop);
}

/* A process that was stopped, or frozen with its container, is interrupted as if by a signal when it goes on
 * (signal(7)). By then deadlines are over, and what came in time is waiting: it goes first. */
static int wait_for(struct loop *loop, struct epoll_event *events)
{
	int count = epoll_wait(loop->epoll_fd, events, BATCH, wait_ms(loop));

	return count < 0 && errno == EINTR ? epoll_wait(loop->epoll_fd, events, BATCH, 0) : count;
}

static bool turn(struct loop *loop, struct err *err)
{
	struct epoll_event events[BATCH];
	struct list ready, lean;
	int count;

	publish_busy(loop, 0);
	count = wait_for(loop, events);
	if (count < 0 && errno != EINTR)
		return err_sys(err, errno, "epoll_wait");
	loop->now_ns = loop_clock(loop);
	loop->served = 0;
	publish_busy(loop, loop->now_ns);
	if (loop->turn_ns != NULL)
		*loop->turn_ns = loop->now_ns;
	list_init(&ready);
	list_init(&lean);
	list_move_all(&ready, &loop->ready);
	list_move_all(&lean, &loop->ready_lean);
	for (int i = 0; i < count; i++)
		handle(loop, &events[i]);
	run_timers(loop);
	serve_ready(loop, &ready);
	serve_lean(loop, &lean);
	for (struct list *link = loop->turn_ends.next; link != &loop->turn_ends; link = link->next) {
		struct turn_end *hook = LIST_ENTRY(link, struct turn_end, link);

		hook->run(hook);
	}
	return true;
}

bool loop_run(struct loop *loop, struct err *err)
{
	while (!loop->stopped)
		if (!turn(loop, err))
			return false;
	return true;
}
