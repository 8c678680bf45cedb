/* timer_test.c - the timing wheel under a time of our own, against a plain model. */
#include "base/timer.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define TICK (UINT64_C(1) << TIMER_TICK_SHIFT)
#define SECOND UINT64_C(1000000000)
#define YEAR (365 * 86400 * SECOND)

enum { MANY = 10000 };

static struct timers wheel;

struct probe {
	struct timer timer;
	unsigned fired;
	uint64_t fired_at;
	uint64_t again_after;           /* arms itself once more: 0: not */
	struct timer *victim;           /* cancelled when it fires */
};

static void on_fire(struct timer *timer, uint64_t now_ns)
{
	struct probe *probe = LIST_ENTRY(timer, struct probe, timer);

	probe->fired++;
	probe->fired_at = now_ns;
	if (probe->victim != NULL)
		timer_cancel(probe->victim);
	if (probe->again_after > 0)
		timer_arm(&wheel, timer, now_ns + probe->again_after);
}

static void arm(struct probe *probe, uint64_t due_ns)
{
	probe->timer.fire = on_fire;
	timer_arm(&wheel, &probe->timer, due_ns);
}

/* Sleeps as the loop does: from wake-up to wake-up, until nothing is armed.  Returns how many there were. */
static unsigned run_out(unsigned most)
{
	unsigned wakes = 0;

	while (timers_next_ns(&wheel) != UINT64_MAX && wakes <= most) {
		timers_run(&wheel, timers_next_ns(&wheel));
		wakes++;
	}
	return wakes;
}

static uint64_t random_state = 88172645463325252;

static uint64_t random_number(void)      /* xorshift64: the same numbers on every run */
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

START_TEST(an_empty_wheel_has_nothing_to_do)
{
	timers_init(&wheel, 12345 * SECOND);
	ck_assert_uint_eq(timers_next_ns(&wheel), UINT64_MAX);
}
END_TEST

START_TEST(running_an_empty_wheel_is_harmless)
{
	timers_init(&wheel, 0);
	timers_run(&wheel, 20 * YEAR);
	ck_assert_uint_eq(timers_next_ns(&wheel), UINT64_MAX);
}
END_TEST

START_TEST(a_timer_fires_once)
{
	struct probe probe = { 0 };

	timers_init(&wheel, 0);
	arm(&probe, SECOND);
	timers_run(&wheel, 2 * SECOND);
	timers_run(&wheel, 3 * SECOND);
	ck_assert_uint_eq(probe.fired, 1);
}
END_TEST

START_TEST(a_timer_is_not_armed_any_more_once_it_has_fired)
{
	struct probe probe = { 0 };

	timers_init(&wheel, 0);
	arm(&probe, SECOND);
	timers_run(&wheel, 2 * SECOND);
	ck_assert(!timer_armed(&probe.timer));
}
END_TEST

START_TEST(a_timer_never_fires_early)
{
	struct probe probe = { 0 };

	timers_init(&wheel, 7);
	arm(&probe, SECOND);
	for (uint64_t now = 7; now < SECOND; now += TICK / 3)
		timers_run(&wheel, now);
	timers_run(&wheel, SECOND - 1);
	ck_assert_uint_eq(probe.fired, 0);
}
END_TEST

/* Every distance around the edges of slots and levels, from starts that are not aligned. */
static void check_distance(uint64_t start, uint64_t distance)
{
	struct probe probe = { 0 };

	timers_init(&wheel, start);
	arm(&probe, start + distance);
	run_out(TIMER_LEVELS);
	if (probe.fired != 1 || probe.fired_at < start + distance || probe.fired_at > start + distance + TICK)
		ck_abort_msg("start %llu distance %llu: fired %u times, at %llu", (unsigned long long)start,
			     (unsigned long long)distance, probe.fired, (unsigned long long)probe.fired_at);
}

START_TEST(a_timer_fires_at_most_a_tick_late_and_wakes_once_a_level)
{
	static const uint64_t starts[] = {
		0, 1, TICK - 1, 63 * TICK, 64 * TICK - 1, 4095 * TICK + 5, 5 * SECOND, YEAR
	};

	for (unsigned level = 0; level < TIMER_LEVELS; level++)
		for (unsigned i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
			for (unsigned slots = 1; slots <= 63; slots++)
				for (int edge = -1; edge <= 1; edge++)
					check_distance(starts[i],
						       ((TICK * slots) << (6 * level)) + (uint64_t)edge);
}
END_TEST

START_TEST(a_timer_that_is_due_already_fires_with_the_next_tick)
{
	struct probe probe = { 0 };

	timers_init(&wheel, 10 * SECOND);
	arm(&probe, SECOND);
	timers_run(&wheel, 10 * SECOND + TICK);
	ck_assert_uint_eq(probe.fired, 1);
}
END_TEST

START_TEST(a_timer_beyond_the_wheel_still_fires_in_time)
{
	struct probe probe = { 0 };
	uint64_t due = 40 * YEAR;

	timers_init(&wheel, 3);
	arm(&probe, due);
	run_out(100);
	ck_assert_uint_eq(probe.fired, 1);
	ck_assert_uint_ge(probe.fired_at, due);
	ck_assert_uint_le(probe.fired_at, due + TICK);
}
END_TEST

START_TEST(a_cancelled_timer_does_not_fire)
{
	struct probe probe = { 0 };

	timers_init(&wheel, 0);
	arm(&probe, SECOND);
	timer_cancel(&probe.timer);
	timers_run(&wheel, 2 * SECOND);
	ck_assert_uint_eq(probe.fired, 0);
}
END_TEST

START_TEST(a_cancelled_timer_leaves_nothing_to_wake_up_for)
{
	struct probe probe = { 0 };

	timers_init(&wheel, 0);
	arm(&probe, 100 * SECOND);
	timer_cancel(&probe.timer);
	ck_assert_uint_eq(timers_next_ns(&wheel), UINT64_MAX);
}
END_TEST

START_TEST(cancelling_a_zeroed_timer_is_harmless)
{
	struct probe probe = { 0 };

	timer_cancel(&probe.timer);
	ck_assert(!timer_armed(&probe.timer));
}
END_TEST

START_TEST(cancelling_twice_is_harmless)
{
	struct probe probe = { 0 };

	timers_init(&wheel, 0);
	arm(&probe, SECOND);
	timer_cancel(&probe.timer);
	timer_cancel(&probe.timer);
	ck_assert(!timer_armed(&probe.timer));
}
END_TEST

START_TEST(arming_again_moves_a_timer_back)
{
	struct probe probe = { 0 };

	timers_init(&wheel, 0);
	arm(&probe, SECOND);
	arm(&probe, 5 * SECOND);
	timers_run(&wheel, 4 * SECOND);
	ck_assert_uint_eq(probe.fired, 0);
}
END_TEST

START_TEST(arming_again_moves_a_timer_forward)
{
	struct probe probe = { 0 };

	timers_init(&wheel, 0);
	arm(&probe, 500 * SECOND);
	arm(&probe, SECOND);
	timers_run(&wheel, SECOND + TICK);
	ck_assert_uint_eq(probe.fired, 1);
}
END_TEST

START_TEST(a_timer_may_arm_itself_while_it_fires)
{
	struct probe probe = { .again_after = SECOND };

	timers_init(&wheel, 0);
	arm(&probe, SECOND);
	for (unsigned i = 0; i < 10 * TIMER_LEVELS && probe.fired < 10; i++)
		timers_run(&wheel, timers_next_ns(&wheel));
	ck_assert_uint_eq(probe.fired, 10);
}
END_TEST

START_TEST(a_timer_that_arms_itself_for_now_does_not_run_for_ever)
{
	struct probe probe = { .again_after = 1 };

	timers_init(&wheel, 0);
	arm(&probe, SECOND);
	timers_run(&wheel, 2 * SECOND);
	ck_assert_uint_le(probe.fired, 2 * SECOND / TICK + 1);
	ck_assert(timer_armed(&probe.timer));
}
END_TEST

START_TEST(a_timer_may_cancel_another_of_the_same_tick)
{
	struct probe first = { 0 }, second = { 0 };

	timers_init(&wheel, 0);
	arm(&first, SECOND);
	arm(&second, SECOND);
	first.victim = &second.timer;
	timers_run(&wheel, 2 * SECOND);
	ck_assert_uint_eq(first.fired, 1);
	ck_assert_uint_eq(second.fired, 0);
}
END_TEST

START_TEST(the_next_wake_up_is_never_later_than_the_first_timer_needs)
{
	struct probe near = { 0 }, far = { 0 };

	timers_init(&wheel, 0);
	arm(&far, 3600 * SECOND);
	arm(&near, SECOND);
	ck_assert_uint_le(timers_next_ns(&wheel), SECOND + TICK);
}
END_TEST

/* ---- against a model ------------------------ */

struct modelled {
	struct timer timer;
	uint64_t due;
	unsigned order;                 /* when it fired among all */
	bool expected, fired;
};

static struct modelled many[MANY];
static uint64_t model_now, model_before;
static unsigned fired_count;

static void on_fire_modelled(struct timer *timer, uint64_t now_ns)
{
	struct modelled *one = LIST_ENTRY(timer, struct modelled, timer);

	if (!one->expected || one->due > now_ns)
		ck_abort_msg("fired although cancelled, a second time, or early");
	if (one->due + TICK < model_before)
		ck_abort_msg("due at %llu, before the run that ended at %llu", (unsigned long long)one->due,
			     (unsigned long long)model_before);
	one->expected = false;
	one->fired = true;
	one->order = fired_count++;
}

static uint64_t random_delay(void)
{
	return random_number() % (TICK << random_number() % 36);
}

static void fire_lean_modelled(struct lean_timer *timer, uint64_t now_ns)
{
	on_fire_modelled(LIST_ENTRY(timer, struct timer, lean), now_ns);
}

/* Every other one is lean, and forgets what it could do by itself. */
static void arm_one(struct modelled *one)
{
	wheel.fire_lean = fire_lean_modelled;
	if ((one - many) % 2 == 0) {
		timer_arm(&wheel, &one->timer, one->due);
		return;
	}
	one->timer.fire = NULL;
	timer_arm_lean(&wheel, &one->timer.lean, one->due);
}

static void arm_many(void)
{
	for (unsigned i = 0; i < MANY; i++) {
		many[i] = (struct modelled){ .timer = { .fire = on_fire_modelled }, .expected = true };
		many[i].due = model_now + random_delay();
		arm_one(&many[i]);
	}
}

static void disturb(struct modelled *one)
{
	if (!one->expected)
		return;
	if (random_number() % 2 == 0) {
		timer_cancel(&one->timer);
		one->expected = false;
	} else {
		one->due = model_now + random_delay();
		arm_one(one);
	}
}

/* Nothing that was due a tick ago may still be waiting. */
static void check_none_is_late(void)
{
	for (unsigned i = 0; i < MANY; i++)
		if (many[i].expected && many[i].due + TICK < model_now)
			ck_abort_msg("timer %u is late at %llu", i, (unsigned long long)model_now);
}

static void advance(uint64_t now)
{
	model_before = model_now;
	model_now = now;
	timers_run(&wheel, now);
}

START_TEST(ten_thousand_timers_do_what_a_sorted_list_would)
{
	random_state += (uint64_t)_i * 7919;
	model_now = random_number() % YEAR;
	timers_init(&wheel, model_now);
	arm_many();
	for (unsigned step = 0; step < 400; step++) {
		advance(model_now + random_number() % (TICK << random_number() % 30));
		for (unsigned i = 0; i < 10; i++)
			disturb(&many[random_number() % MANY]);
		check_none_is_late();
	}
	for (unsigned wakes = 0; wakes < MANY * TIMER_LEVELS && timers_next_ns(&wheel) != UINT64_MAX; wakes++)
		advance(timers_next_ns(&wheel));
	for (unsigned i = 0; i < MANY; i++)
		ck_assert_msg(!many[i].expected, "timer %u never fired", i);
}
END_TEST

static int by_due(const void *a, const void *b)
{
	const struct modelled *const *x = a, *const *y = b;

	return ((*x)->due > (*y)->due) - ((*x)->due < (*y)->due);
}

START_TEST(ten_thousand_timers_fire_in_the_order_of_their_ticks)
{
	static struct modelled *sorted[MANY];

	model_now = 0;
	timers_init(&wheel, 0);
	arm_many();
	for (unsigned i = 0; i < MANY; i++)
		sorted[i] = &many[i];
	qsort(sorted, MANY, sizeof(*sorted), by_due);   /* NOLINT(bugprone-sizeof-expression): of pointers */
	run_out(MANY * TIMER_LEVELS);
	for (unsigned i = 1; i < MANY; i++)
		if (sorted[i]->due >> TIMER_TICK_SHIFT != sorted[i - 1]->due >> TIMER_TICK_SHIFT &&
		    sorted[i]->order < sorted[i - 1]->order)
			ck_abort_msg("%u fired before %u", i, i - 1);
}
END_TEST

START_TEST(a_timer_costs_at_most_one_wake_up_a_level)
{
	model_now = 12345678;
	timers_init(&wheel, model_now);
	arm_many();
	ck_assert_uint_le(run_out(MANY * TIMER_LEVELS + 1), MANY * TIMER_LEVELS);
	ck_assert_uint_eq(fired_count, MANY);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("timer");
	TCase *tests = tcase_create("timer"), *model = tcase_create("model");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_test(tests, an_empty_wheel_has_nothing_to_do);
	tcase_add_test(tests, running_an_empty_wheel_is_harmless);
	tcase_add_test(tests, a_timer_fires_once);
	tcase_add_test(tests, a_timer_is_not_armed_any_more_once_it_has_fired);
	tcase_add_test(tests, a_timer_never_fires_early);
	tcase_add_test(tests, a_timer_fires_at_most_a_tick_late_and_wakes_once_a_level);
	tcase_add_test(tests, a_timer_that_is_due_already_fires_with_the_next_tick);
	tcase_add_test(tests, a_timer_beyond_the_wheel_still_fires_in_time);
	tcase_add_test(tests, a_cancelled_timer_does_not_fire);
	tcase_add_test(tests, a_cancelled_timer_leaves_nothing_to_wake_up_for);
	tcase_add_test(tests, cancelling_a_zeroed_timer_is_harmless);
	tcase_add_test(tests, cancelling_twice_is_harmless);
	tcase_add_test(tests, arming_again_moves_a_timer_back);
	tcase_add_test(tests, arming_again_moves_a_timer_forward);
	tcase_add_test(tests, a_timer_may_arm_itself_while_it_fires);
	tcase_add_test(tests, a_timer_that_arms_itself_for_now_does_not_run_for_ever);
	tcase_add_test(tests, a_timer_may_cancel_another_of_the_same_tick);
	tcase_add_test(tests, the_next_wake_up_is_never_later_than_the_first_timer_needs);
	suite_add_tcase(suite, model);
	tcase_set_timeout(model, 60);
	tcase_add_loop_test(model, ten_thousand_timers_do_what_a_sorted_list_would, 0, 10);
	tcase_add_test(model, ten_thousand_timers_fire_in_the_order_of_their_ticks);
	tcase_add_test(model, a_timer_costs_at_most_one_wake_up_a_level);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
