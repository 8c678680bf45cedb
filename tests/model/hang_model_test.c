/* hang_model_test.c - every history of a slot, in steps of 5 ms up to a length: when somebody comes, how the
 * worker goes about it, when it hangs and whether it goes on, how the master looks.
 *
 * The worker here writes what a real one does (base/loop.c, worker/accept.c): a turn begins when it is woken,
 * and in it, first or last, it accepts all that waits. The master looks as rescue.c does: armed sockets begin
 * a series of looks, which ends when nobody waits and nothing is bad; or, under load, it just goes on. */
#include "master/hang.h"

#include "base/clock.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define STEP_NS (5 * CLOCK_MS)
#define STALL_NS (50 * CLOCK_MS)
#define BASE_NS (CLOCK_S)               /* when a history begins */
#define LATENCY_NS (15 * CLOCK_MS)      /* a worker that is woken may need so long to come, and then a step */

enum { STEPS = 60, FIRST_STEPS = 24, ARRIVALS = 3, NEVER = 1000 };

enum hang_kind {
	HANG_UNSEEN,                    /* it does not go on, and nobody can see why: a tracer, a dead disk */
	HANG_STOPPED,                   /* SIGSTOP */
};

struct script {
	unsigned arrivals[ARRIVALS];    /* steps; NEVER: it does not come */
	unsigned hangs, goes_on;        /* steps */
	enum hang_kind kind;
	unsigned turn_steps;            /* a turn takes so long */
	bool accepts_last;              /* in its turn */
	bool slow;                      /* it comes LATENCY_NS after it was woken */
	bool lively;                    /* the master goes on looking */
	unsigned phase;                 /* the first look of a lively master */
};

struct world {
	struct script script;
	uint64_t now_ns;
	/* the slot */
	unsigned waiting;
	uint64_t oldest_ns;             /* who waits came then, the first of them */
	/* the worker */
	struct hang_view line;          /* what it says */
	uint64_t turn_end_ns;           /* 0: it waits */
	uint64_t asked_ns;              /* the master wants it to move; 0: no */
	/* the master */
	struct hang hang;
	bool armed;
	uint64_t look_ns;               /* UINT64_MAX: it sleeps */
};

static struct world world;
static uint64_t bad_since_ns;           /* 0: it is not */
static unsigned long histories;

static const char *describe(void)
{
	static char text[256];
	const struct script *script = &world.script;

	snprintf(text, sizeof(text),
		 "arrivals %u %u %u hangs %u goes on %u kind %d turn %u last %d slow %d lively %d phase %u: "
		 "at %llu ms",
		 script->arrivals[0], script->arrivals[1], script->arrivals[2], script->hangs,
		 script->goes_on, (int)script->kind, script->turn_steps, script->accepts_last, script->slow,
		 script->lively, script->phase, (unsigned long long)((world.now_ns - BASE_NS) / CLOCK_MS));
	return text;
}

/* Not ck_assert: it writes down where it is, each time. */
static void expect(bool good)
{
	if (!good)
		ck_abort_msg("%s", describe());
}

static unsigned step_now(void)
{
	return (unsigned)((world.now_ns - BASE_NS) / STEP_NS);
}

static bool hangs_now(void)
{
	return step_now() >= world.script.hangs && step_now() < world.script.goes_on;
}

/* ---- the worker -------------------------------------------------------------------------------------- */

static void accept_all(void)
{
	world.line.accepted += world.waiting;
	world.waiting = 0;
}

static void end_turn(void)
{
	if (world.script.accepts_last)
		accept_all();
	world.turn_end_ns = 0;
	world.line.busy_since_ns = 0;
}

static void begin_turn(void)
{
	world.line.turn_ns = world.line.busy_since_ns = world.now_ns;
	world.turn_end_ns = world.now_ns + world.script.turn_steps * STEP_NS;
	world.asked_ns = 0;
	if (!world.script.accepts_last)
		accept_all();
	if (world.script.turn_steps == 0)
		end_turn();
}

static bool is_awake(void)
{
	uint64_t latency_ns = world.script.slow ? LATENCY_NS : 0;

	return (world.waiting > 0 && world.now_ns - world.oldest_ns >= latency_ns) ||
	       (world.asked_ns != 0 && world.now_ns - world.asked_ns >= latency_ns);
}

static void run_worker(void)
{
	if (hangs_now())
		return;
	if (world.turn_end_ns != 0 && world.now_ns >= world.turn_end_ns)
		end_turn();
	if (world.turn_end_ns == 0 && is_awake())
		begin_turn();
}

/* ---- the master -------------------------------------------------------------------------------------- */

static void look_later(void)
{
	uint64_t slot_ns = hang_next_ns(&world.hang, STALL_NS);

	world.look_ns = world.now_ns + hang_pace_ns(STALL_NS);
	if (slot_ns < world.look_ns)
		world.look_ns = slot_ns;
	if (world.look_ns < world.now_ns + hang_least_ns(STALL_NS))
		world.look_ns = world.now_ns + hang_least_ns(STALL_NS);
}

static void look(bool queued)
{
	struct hang_view view = world.line;
	bool before = world.hang.bad;

	view.now_ns = world.now_ns;
	view.queued = queued;
	view.stopped = hangs_now() && world.script.kind == HANG_STOPPED;
	hang_look(&world.hang, &view, STALL_NS);
	if (world.hang.bad && (!before || world.hang.silent) && world.asked_ns == 0)
		world.asked_ns = world.now_ns;          /* COVER, LOOK */
	if (world.hang.bad)
		world.waiting = 0;                      /* the others accept */
}

static void run_master(bool arrived)
{
	if (arrived && world.armed) {
		world.armed = false;
		look(false);
		look_later();
	} else if (world.now_ns >= world.look_ns) {
		look(world.waiting > 0);
		world.armed = !world.script.lively && world.waiting == 0;
		world.look_ns = UINT64_MAX;
		if (!world.armed || hang_next_ns(&world.hang, STALL_NS) != UINT64_MAX)
			look_later();
	}
}

/* ---- histories --------------------------------------------------------------------------------------- */

static bool arrive(void)
{
	bool arrived = false;

	for (unsigned i = 0; i < ARRIVALS; i++) {
		if (world.script.arrivals[i] != step_now())
			continue;
		if (world.waiting++ == 0)
			world.oldest_ns = world.now_ns;
		arrived = true;
	}
	if (world.hang.bad)
		world.waiting = 0;
	return arrived;
}

static void run(const struct script *script, void (*check)(void))
{
	world = (struct world){
		.script = *script, .now_ns = BASE_NS, .armed = !script->lively, .look_ns = UINT64_MAX
	};
	world.line.turn_ns = BASE_NS / 2;
	bad_since_ns = 0;
	if (script->lively) {
		world.look_ns = BASE_NS + script->phase * STEP_NS;
		world.hang.looked_ns = world.hang.since_ns = world.look_ns - hang_pace_ns(STALL_NS);
		world.hang.turn_ns = world.line.turn_ns;
	}
	histories++;
	for (unsigned step = 0; step < STEPS; step++) {
		bool arrived = arrive();

		run_master(arrived);
		run_worker();
		if (!world.hang.bad)
			bad_since_ns = 0;
		else if (bad_since_ns == 0)
			bad_since_ns = world.now_ns;
		check();
		world.now_ns += STEP_NS;
	}
}

static void with_ways(struct script *script, void (*check)(void))
{
	static const unsigned turns[] = { 0, 4, 9 };    /* up to just below the stall */

	for (unsigned way = 0; way < 8; way++) {
		script->accepts_last = way & 1;
		script->slow = way & 2;
		script->lively = way & 4;
		for (unsigned i = 0; i < 3; i++) {
			script->turn_steps = turns[i];
			for (script->phase = 0; script->phase <= (script->lively ? 6U : 0U);
			     script->phase += 2)
				run(script, check);
		}
	}
}

static void with_arrivals(struct script *script, void (*check)(void))
{
	unsigned *at = script->arrivals;

	for (at[0] = 0; at[0] < FIRST_STEPS; at[0] += 2)
		for (at[1] = at[0] + 1; at[1] <= FIRST_STEPS; at[1]++)
			for (at[2] = at[1] + 1; at[2] <= FIRST_STEPS; at[2] += 3)
				with_ways(script, check);
}

/* ---- rules ------------------------------------------------------------------------------------------- */

/* A look may be a step late here, and so may the end of somebody's turn. */
static void nobody_waits_for_long(void)
{
	uint64_t most_ns = STALL_NS + hang_least_ns(STALL_NS) + STEP_NS;

	expect(world.waiting == 0 || world.now_ns - world.oldest_ns <= most_ns);
}

START_TEST(whoever_comes_is_covered_soon)
{
	struct script script = { .goes_on = NEVER };

	script.kind = _i == 0 ? HANG_UNSEEN : HANG_STOPPED;
	for (script.hangs = 0; script.hangs < FIRST_STEPS; script.hangs++)
		with_arrivals(&script, nobody_waits_for_long);
	ck_assert_uint_gt(histories, 500000);
}
END_TEST

static void is_good(void)
{
	expect(!world.hang.bad);
}

/* Short turns: with a latency besides, longer ones are as long as a stall. */
static void is_good_if_quick(void)
{
	if (world.script.turn_steps == 0)
		is_good();
}

/* Also when nobody comes any more, and the first one has it hang. */
static void is_bad_soon(void)
{
	uint64_t most_ns = STALL_NS + hang_least_ns(STALL_NS) + STEP_NS;

	expect(world.hang.bad || world.turn_end_ns == 0 ||
	       world.now_ns - world.line.busy_since_ns <= most_ns);
}

START_TEST(one_turn_for_long_is_noticed_when_nobody_else_comes)
{
	struct script script = { .arrivals = { 2, NEVER, NEVER }, .hangs = NEVER, .goes_on = NEVER };

	script.turn_steps = NEVER;
	for (unsigned way = 0; way < 4; way++) {
		script.accepts_last = way & 1;
		script.slow = way & 2;
		run(&script, is_bad_soon);
		ck_assert(world.hang.bad);
	}
}
END_TEST

START_TEST(who_comes_is_never_bad)
{
	struct script script = { .hangs = NEVER, .goes_on = NEVER };

	with_arrivals(&script, is_good_if_quick);
	ck_assert_uint_gt(histories, 20000);
}
END_TEST

static uint64_t went_on_ns(void)
{
	return BASE_NS + world.script.goes_on * STEP_NS;
}

/* Four stalls of calm after it was seen to move, which it is asked to do. */
static void is_good_in_the_end(void)
{
	uint64_t latest_ns = went_on_ns() + 4 * STALL_NS + 4 * hang_pace_ns(STALL_NS);

	expect(!world.hang.bad || world.now_ns <= latest_ns);
}

static void after_a_hang(void)
{
	is_good_in_the_end();
	if (hangs_now())                /* the last move may be seen a look later */
		expect(world.hang.moved_ns <=
		       BASE_NS + world.script.hangs * STEP_NS + hang_pace_ns(STALL_NS));
	if (world.script.turn_steps == 0)       /* else a turn nearly as long as a stall may do */
		expect(!world.hang.bad || step_now() >= world.script.hangs);
}

START_TEST(who_goes_on_is_good_again)
{
	struct script script = { .kind = _i == 0 ? HANG_UNSEEN : HANG_STOPPED };

	for (script.hangs = 0; script.hangs < FIRST_STEPS; script.hangs += 3)
		for (script.goes_on = script.hangs + 1; script.goes_on < FIRST_STEPS; script.goes_on += 4)
			with_arrivals(&script, after_a_hang);
}
END_TEST

/* Twice as long as anything that a worker that goes on can be seen not to move for. */
static void is_not_ended(void)
{
	expect(!hang_is_for(&world.hang, 150 * CLOCK_MS));
}

START_TEST(who_moves_is_not_ended)
{
	struct script script = { .kind = HANG_UNSEEN };

	for (script.hangs = 0; script.hangs < FIRST_STEPS; script.hangs += 2) {
		script.goes_on = script.hangs + 12;
		with_arrivals(&script, is_not_ended);
	}
}
END_TEST

static void is_ended(void)
{
	uint64_t latest_ns = 100 * CLOCK_MS + 2 * hang_pace_ns(STALL_NS) + 2 * STEP_NS;
	bool ended = hang_is_for(&world.hang, 100 * CLOCK_MS);

	expect(ended || bad_since_ns == 0 || world.now_ns - bad_since_ns <= latest_ns);
	expect(!ended || world.now_ns - bad_since_ns >= 100 * CLOCK_MS);
}

START_TEST(who_hangs_for_long_is_ended)
{
	struct script script = { .goes_on = NEVER, .kind = _i == 0 ? HANG_UNSEEN : HANG_STOPPED };

	for (script.hangs = 0; script.hangs < 8; script.hangs += 2)
		with_arrivals(&script, is_ended);
}
END_TEST

/* ---- single looks ------------------------------------------------------------------------------------ */

static struct hang hang;
static struct hang_view view;

static bool look_after(uint64_t ms)
{
	view.now_ns += ms * CLOCK_MS;
	hang_look(&hang, &view, STALL_NS);
	return hang.bad;
}

static void first_look(void)
{
	hang = (struct hang){ 0 };
	view = (struct hang_view){ .now_ns = BASE_NS, .turn_ns = BASE_NS / 2 };
	ck_assert(!look_after(0));
}

START_TEST(one_turn_for_long_is_bad_although_nobody_waits)
{
	first_look();
	view.turn_ns = view.busy_since_ns = view.now_ns;
	ck_assert(!look_after(49));
	ck_assert(look_after(1));
	ck_assert(hang.hung && hang.certain);
	ck_assert_uint_eq(hang.began_ns, view.busy_since_ns);
}
END_TEST

START_TEST(who_is_at_its_limit_is_helped_and_not_ended)
{
	first_look();
	view.queued = view.holding = true;
	look_after(30);
	ck_assert(look_after(30));
	ck_assert(!hang.hung);
	view.turn_ns = view.now_ns;     /* it was asked */
	view.queued = false;
	for (unsigned i = 0; i < 100; i++) {
		ck_assert(look_after(30));
		view.turn_ns = view.now_ns;
	}
	ck_assert(!hang.hung);
	ck_assert(!hang_is_for(&hang, 1));
	view.holding = false;
	look_after(30);
	ck_assert(!look_after(200));
}
END_TEST

START_TEST(who_stalls_again_and_again_is_bad_all_the_time)
{
	first_look();
	for (unsigned i = 0; i < 20; i++) {
		view.turn_ns = view.busy_since_ns = view.now_ns + 10 * CLOCK_MS;
		for (unsigned k = 0; k < 6; k++)
			look_after(30);
		ck_assert(hang.bad);
		view.busy_since_ns = 0;
		look_after(30);
		ck_assert(hang.bad);
		ck_assert(!hang_is_for(&hang, 300 * CLOCK_MS));
	}
}
END_TEST

START_TEST(time_that_nobody_looked_counts_for_two_looks)
{
	first_look();
	view.stopped = true;
	ck_assert(look_after(30));
	look_after(3600 * 1000);
	ck_assert(!hang_is_for(&hang, 2 * hang_pace_ns(STALL_NS) + 1));
	ck_assert(hang_is_for(&hang, 2 * hang_pace_ns(STALL_NS)));
	ck_assert(!hang_is_for(&hang, 0));
}
END_TEST

START_TEST(the_end_of_a_turn_is_a_move)
{
	first_look();
	view.turn_ns = view.busy_since_ns = view.now_ns;
	ck_assert(look_after(60));
	view.busy_since_ns = 0;
	ck_assert(look_after(30));
	ck_assert_uint_eq(hang.moved_ns, view.now_ns);
	ck_assert(!hang.silent);
	ck_assert(!look_after(200));
}
END_TEST

/* The line of a worker that writes what it likes. */
START_TEST(lies_do_no_harm)
{
	static const uint64_t lies[] = { 0, 1, BASE_NS, UINT64_MAX / 2, UINT64_MAX };

	first_look();
	for (unsigned i = 0; i < 5 * 5 * 5 * 4; i++) {
		view.busy_since_ns = lies[i % 5];
		view.turn_ns = lies[i / 5 % 5];
		view.accepted = lies[i / 25 % 5];
		view.holding = i / 125 & 1;
		view.queued = i / 250 & 1;
		look_after(30);
		ck_assert(hang_next_ns(&hang, STALL_NS) == UINT64_MAX ||
			  hang_next_ns(&hang, STALL_NS) <= view.now_ns + STALL_NS + 10 * CLOCK_MS);
		ck_assert_uint_le(hang.stuck_ns, view.now_ns - BASE_NS);
	}
}
END_TEST

START_TEST(at_everybodys_sockets_others_are_told_after_a_stall_and_again)
{
	struct hang_common common = { 0 };
	uint64_t now_ns = BASE_NS;

	ck_assert(!hang_common_look(&common, false, now_ns, STALL_NS));
	ck_assert(!hang_common_look(&common, true, now_ns + STALL_NS - 1, STALL_NS));
	ck_assert(hang_common_look(&common, true, now_ns + STALL_NS, STALL_NS));
	ck_assert(!hang_common_look(&common, true, now_ns + 2 * STALL_NS - 1, STALL_NS));
	ck_assert(hang_common_look(&common, true, now_ns + 2 * STALL_NS, STALL_NS));
	ck_assert(!hang_common_look(&common, false, now_ns + 3 * STALL_NS, STALL_NS));
	ck_assert(!hang_common_look(&common, true, now_ns + 3 * STALL_NS + 1, STALL_NS));
}
END_TEST

START_TEST(looks_are_never_close)
{
	for (uint64_t stall_ms = 10; stall_ms <= 10000; stall_ms += 10) {
		uint64_t least_ns = hang_least_ns(stall_ms * CLOCK_MS),
			 pace_ns = hang_pace_ns(stall_ms * CLOCK_MS);

		ck_assert_uint_ge(least_ns, 10 * CLOCK_MS);
		ck_assert_uint_ge(least_ns, stall_ms * CLOCK_MS / 5);
		ck_assert_uint_ge(pace_ns, least_ns);
		ck_assert(pace_ns <= stall_ms * CLOCK_MS);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hang_model");
	TCase *model = tcase_create("model"), *looks = tcase_create("looks");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(model, 60);
	tcase_add_loop_test(model, whoever_comes_is_covered_soon, 0, 2);
	tcase_add_test(model, one_turn_for_long_is_noticed_when_nobody_else_comes);
	tcase_add_test(model, who_comes_is_never_bad);
	tcase_add_loop_test(model, who_goes_on_is_good_again, 0, 2);
	tcase_add_test(model, who_moves_is_not_ended);
	tcase_add_loop_test(model, who_hangs_for_long_is_ended, 0, 2);
	tcase_add_test(looks, one_turn_for_long_is_bad_although_nobody_waits);
	tcase_add_test(looks, who_is_at_its_limit_is_helped_and_not_ended);
	tcase_add_test(looks, who_stalls_again_and_again_is_bad_all_the_time);
	tcase_add_test(looks, time_that_nobody_looked_counts_for_two_looks);
	tcase_add_test(looks, the_end_of_a_turn_is_a_move);
	tcase_add_test(looks, lies_do_no_harm);
	tcase_add_test(looks, at_everybodys_sockets_others_are_told_after_a_stall_and_again);
	tcase_add_test(looks, looks_are_never_close);
	suite_add_tcase(suite, model);
	suite_add_tcase(suite, looks);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
