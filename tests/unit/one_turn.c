/* one_turn.c - a single turn of a loop, with a deadline.  Called by unit tests; fails the test. */
#include "one_turn.h"

#include "base/clock.h"

#include <check.h>

static struct loop *turning;

static void stop_loop(struct turn_end *hook)
{
	(void)hook;
	loop_stop(turning);
}

static void give_up(struct timer *timer, uint64_t now_ns)
{
	(void)timer, (void)now_ns;
	ck_abort_msg("nothing happened for 10 seconds");
}

void one_turn(struct loop *loop)
{
	struct turn_end hook = { .run = stop_loop };
	struct timer guard = { .fire = give_up };
	struct err err;

	turning = loop;
	loop_at_turn_end(loop, &hook);
	loop->stopped = false;
	loop->now_ns = clock_now_ns();
	loop_timer(loop, &guard, 10 * CLOCK_S);
	ck_assert(loop_run(loop, &err));
	timer_cancel(&guard);
	list_remove(&hook.link);
}
