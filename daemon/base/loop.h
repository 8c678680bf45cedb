/* The event loop: one epoll instance, tagged sources, a ready list, timers, and work for the turn's end.
 *
 * A turn: wait; handle the batch of events; fire timers; serve everything that was on the ready list when the
 * turn began, once each; run the end-of-turn hooks.  The loop knows nothing of clients. */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include "clock.h"
#include "err.h"
#include "list.h"
#include "timer.h"

#include <stdint.h>
#include <sys/epoll.h>

struct loop;

/* Something of which there are very many, all of one kind: its source, timer and place on the ready list have
 * no handlers of their own, but those that the loop was told once (loop_lean). What is not lean has both
 * parts under the same names.
 *
 * Something with a descriptor.  `tag` changes when the source is removed, so that an event of the same batch
 * that was meant for what it used to be is recognised and dropped (epoll(7), "stale" events).  The memory of
 * a source must therefore stay readable until the turn ends. */
struct lean_source {
	int fd;
	uint16_t tag;
	bool added;
	bool is_lean : 1;               /* else it is that of a struct source */
	uint8_t mind : 7;               /* what its owner keeps in mind: nothing to the loop */
};

struct source {
	union {
		struct lean_source lean;
		struct {
			int fd;
			uint16_t tag;
			bool added;
			bool is_lean : 1;
			uint8_t mind : 7;
		};
	};
	void (*handle)(struct source *source, uint32_t events);
};

/* Something that still has work although no event will say so; served once a turn, round robin. */
struct ready {
	struct list link;
	void (*serve)(struct ready *ready);
};

struct lean_handlers {
	void (*handle)(struct lean_source *source, uint32_t events);
	void (*fire)(struct lean_timer *timer, uint64_t now_ns);
	void (*serve)(struct list *ready);      /* what was put there by loop_ready_lean */
};

/* Called at the end of every turn, in the order of registration. */
struct turn_end {
	struct list link;
	void (*run)(struct turn_end *hook);
};

struct loop {
	int epoll_fd;
	bool stopped;
	uint64_t now_ns;                /* CLOCK_MONOTONIC, read once a turn */
	uint64_t known_ns;              /* the same, read later, and little was done since; 0: it was not */
	/* where others see since when a turn works, 0 while it waits, and when the last one began; NULL:
	 * nobody does */
	uint64_t *busy_since_ns, *turn_ns;
	unsigned served;                /* off the ready lists in this turn */
	struct timers timers;
	struct list ready, ready_lean;
	struct list turn_ends;
	const struct lean_handlers *lean;       /* NULL: nothing is lean */
};

/* A loop with an epoll instance of its own: made after fork, never shared.  False with `err` on failure. */
bool loop_open(struct loop *loop, struct err *err);

/* Closes the epoll instance; sources and timers stay their owners'. */
void loop_close(struct loop *loop);

/* Runs turns until loop_stop; false with `err` when waiting itself fails, which is a bug. */
bool loop_run(struct loop *loop, struct err *err);

/* The turn under way is the last one. */
void loop_stop(struct loop *loop);

/* The handlers of all that is lean in this loop. */
void loop_lean(struct loop *loop, const struct lean_handlers *handlers);

/* Registers `source` (its fd and handle set by the caller) for `events`.  Returns 0 or an errno. */
int loop_add_lean(struct loop *loop, struct lean_source *source, uint32_t events);

static inline int loop_add(struct loop *loop, struct source *source, uint32_t events)
{
	return loop_add_lean(loop, &source->lean, events);
}

/* Changes the events of a registered source (not of one with EPOLLEXCLUSIVE).  Returns 0 or an errno. */
int loop_modify(struct loop *loop, struct source *source, uint32_t events);

/* EPOLL_CTL_DEL: needed for every descriptor whose open file description lives on elsewhere.  Harmless when
 * the source is not registered. */
void loop_remove_lean(struct loop *loop, struct lean_source *source);

static inline void loop_remove(struct loop *loop, struct source *source)
{
	loop_remove_lean(loop, &source->lean);
}

/* For a source whose descriptor is about to be closed and has no duplicate: the kernel drops the registration
 * with the descriptor, only stale events have to be kept from it. */
static inline void loop_forget_lean(struct lean_source *source)
{
	source->added = false;
	source->tag++;
}

static inline void loop_forget(struct source *source)
{
	loop_forget_lean(&source->lean);
}

/* Puts `ready` at the end of the ready list; harmless when it is there already. */
void loop_ready(struct loop *loop, struct ready *ready);
void loop_ready_lean(struct loop *loop, struct list *ready);

/* Takes it off; harmless when it is not there. */
void loop_unready(struct ready *ready);

/* Arms a timer `after_ns` from the beginning of this turn. */
void loop_timer(struct loop *loop, struct timer *timer, uint64_t after_ns);
void loop_timer_lean(struct loop *loop, struct lean_timer *timer, uint64_t after_ns);

/* The same from now on, for what was begun in a turn that may have taken long by now. */
void loop_timer_from_now(struct loop *loop, struct timer *timer, uint64_t after_ns);

/* What the time is now, after some work of this turn. */
static inline uint64_t loop_clock(struct loop *loop)
{
	loop->known_ns = clock_now_ns();
	return loop->known_ns;
}

/* Something is done that may take long: what was known of the time is not true any more. */
static inline void loop_works(struct loop *loop)
{
	loop->known_ns = 0;
}

/* What the time is at the end of a turn; the clock is read only if nobody did after the last work. */
static inline uint64_t loop_turn_end_ns(struct loop *loop)
{
	return loop->known_ns != 0 ? loop->known_ns : loop_clock(loop);
}

/* True when something is on the ready lists. */
static inline bool loop_has_ready(const struct loop *loop)
{
	return !list_empty(&loop->ready) || !list_empty(&loop->ready_lean);
}

/* Registers an end-of-turn hook for the life of the loop. */
void loop_at_turn_end(struct loop *loop, struct turn_end *hook);

#endif
