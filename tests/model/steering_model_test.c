/* steering_model_test.c - the choice of a slot, explored: every state of a few slots against a
 * specification that is written without looking at the code, and what many choices add up to. */
#include "net/steering_choice.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 5, HASHES = 64, NOW_NS = 2000000000, STALL_NS = 50000000 };

static struct hot hot;

/* Hashes as uniform as the kernel's are meant to be: a xorshift generator, the same at every run. */
static uint32_t next_hash(void)
{
	static uint64_t state = 88172645463325252;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32);
}

/* ---- every state of a few slots ---------------------------------------------------------------------- */

/* What a slot may be like, and what that means to who looks for a slot. */
static const struct kind {
	const char *name;
	struct hot_line line;
	uint32_t good;
	uint64_t directed, directed_ns;
	bool can_serve;
	unsigned load;
} kinds[] = {
	{ "idle", { 0 }, 1, 0, 0, true, 0 },
	{ "one open", { .open = 1 }, 1, 0, 0, true, 1 },
	{ "two directed", { .taken = 7 }, 1, 9, NOW_NS - STEERING_ON_ITS_WAY_NS, true, 2 },
	{ "two directed long ago", { .taken = 7 }, 1, 9, NOW_NS - STEERING_ON_ITS_WAY_NS - 1, true, 0 },
	{ "took more than there was", { .taken = 9 }, 1, 7, NOW_NS, true, 0 },
	{ "open beyond all bounds", { .open = UINT64_MAX }, 1, 1, NOW_NS, true, UINT32_MAX },
	{ "busy up to the limit", { .busy_since_ns = NOW_NS - STALL_NS }, 1, 0, 0, true, 0 },
	{ "busy in the future", { .busy_since_ns = NOW_NS + 1000, .open = 1 }, 1, 0, 0, true, 1 },
	{ "stalled", { .busy_since_ns = NOW_NS - STALL_NS - 1 }, 1, 0, 0, false, 0 },
	{ "holds", { .holding = 1 }, 1, 0, 0, false, 0 },
	{ "marked", { 0 }, 0, 0, 0, false, 0 },
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static const struct kind *state[MOST];
static unsigned slots;

/* The `number`-th state of `slots` slots. */
static void make_state(unsigned number)
{
	hot.slots = slots;
	hot.stall_ns = STALL_NS;
	for (unsigned i = 0; i < slots; i++, number /= KINDS) {
		state[i] = &kinds[number % KINDS];
		hot.seat[i] = (struct hot_seat){ .line = 1000 - i,
						 .good = state[i]->good,
						 .directed = state[i]->directed,
						 .directed_ns = state[i]->directed_ns };
		hot.line[1000 - i] = state[i]->line;
	}
}

static unsigned specified(unsigned first, unsigned second)
{
	if (state[first]->can_serve && state[second]->can_serve)
		return state[second]->load < state[first]->load ? second : first;
	if (state[first]->can_serve)
		return first;
	if (state[second]->can_serve)
		return second;
	for (unsigned step = 1; step < slots; step++)
		if (state[(first + step) % slots]->can_serve)
			return (first + step) % slots;
	return STEERING_NOBODY;
}

static void check_choice(uint32_t hash)
{
	unsigned first = steering_first_pick(hash, slots), second = steering_second_pick(hash, slots, first);
	unsigned chosen = steering_choose(&hot, hash, NOW_NS), meant = specified(first, second);

	if (chosen == meant)
		return;
	for (unsigned i = 0; i < slots; i++)
		fprintf(stderr, "slot %u: %s\n", i, state[i]->name);
	ck_abort_msg("of %u and %u, slot %u is chosen instead of %u", first, second, chosen, meant);
}

START_TEST(every_state_has_the_choice_that_is_specified)
{
	unsigned states = 1;

	slots = (unsigned)_i;
	for (unsigned i = 0; i < slots; i++)
		states *= KINDS;
	for (unsigned number = 0; number < states; number++) {
		make_state(number);
		for (unsigned i = 0; i < (slots < MOST ? HASHES : HASHES / 8); i++)
			check_choice(next_hash());
	}
}
END_TEST

static unsigned how_many_can_serve(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < slots; i++)
		count += state[i]->can_serve;
	return count;
}

START_TEST(no_bad_slot_is_chosen_and_nobody_only_where_all_are_bad)
{
	slots = 4;
	for (unsigned number = 0; number < KINDS * KINDS * KINDS * KINDS; number++) {
		make_state(number);
		for (unsigned i = 0; i < HASHES; i++) {
			unsigned chosen = steering_choose(&hot, next_hash(), NOW_NS);

			if (chosen == STEERING_NOBODY ? how_many_can_serve() > 0
						      : chosen >= slots || !state[chosen]->can_serve)
				ck_abort_msg("slot %u is chosen in state %u", chosen, number);
		}
	}
}
END_TEST

START_TEST(without_slots_nobody_is_chosen)
{
	hot.slots = 0;
	hot.seat[0].good = 1;
	ck_assert_uint_eq(steering_choose(&hot, 0, NOW_NS), STEERING_NOBODY);
}
END_TEST

START_TEST(more_slots_than_there_can_be_are_as_many_as_there_can_be)
{
	hot.slots = UINT32_MAX;
	hot.seat[HOT_SLOTS - 1].good = 1;
	for (unsigned i = 0; i < HASHES; i++)
		ck_assert_uint_eq(steering_choose(&hot, next_hash(), NOW_NS), HOT_SLOTS - 1);
}
END_TEST

/* ---- the picks --------------------------------------------------------------------------------------- */

static void check_picks(uint32_t hash, unsigned count)
{
	unsigned first = steering_first_pick(hash, count), second = steering_second_pick(hash, count, first);

	/* a passing assertion of check's is a system call */
	if (first >= count || second >= count || (count > 1 && first == second))
		ck_abort_msg("%u and %u of %u", first, second, count);
}

START_TEST(two_different_slots_are_picked)
{
	static const uint32_t corners[] = { 0, 1, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff };

	for (unsigned count = 1; count <= HOT_SLOTS; count++) {
		for (unsigned i = 0; i < sizeof(corners) / sizeof(corners[0]); i++)
			check_picks(corners[i], count);
		for (unsigned i = 0; i < 200; i++)
			check_picks(next_hash(), count);
	}
}
END_TEST

/* Within 10 % of its share: 10 times what chance alone moves it by, or more. */
static void check_share(unsigned got, unsigned of, unsigned among)
{
	unsigned share = of / among;

	ck_assert_msg(got > share - share / 10 && got < share + share / 10, "%u instead of %u", got, share);
}

START_TEST(every_pair_is_as_likely_as_any_other)
{
	enum { MOST_HERE = 8, TRIES = 10000 };
	static unsigned pairs[MOST_HERE][MOST_HERE];
	unsigned count = (unsigned)_i, all = count * (count - 1);

	for (unsigned i = 0; i < TRIES * all; i++) {
		uint32_t hash = next_hash();
		unsigned first = steering_first_pick(hash, count);

		pairs[first][steering_second_pick(hash, count, first)]++;
	}
	for (unsigned a = 0; a < count; a++)
		for (unsigned b = 0; b < count; b++)
			if (a != b)
				check_share(pairs[a][b], TRIES * all, all);
}
END_TEST

/* ---- what many choices add up to --------------------------------------------------------------------- */

static unsigned got[HOT_SLOTS];

static void all_well(unsigned count)
{
	hot.slots = count;
	hot.stall_ns = STALL_NS;
	for (unsigned i = 0; i < count; i++)
		hot.seat[i] = (struct hot_seat){ .line = i, .good = 1 };
	memset(got, 0, sizeof(got));
}

/* `counts`: connections stay, and are seen in the load; else each is over before the next. */
static void direct(unsigned connections, bool counts)
{
	for (unsigned i = 0; i < connections; i++) {
		unsigned chosen = steering_choose(&hot, next_hash(), NOW_NS);

		got[chosen]++;
		hot.seat[chosen].directed += counts;
	}
}

static unsigned most_of(unsigned count)
{
	unsigned most = 0;

	for (unsigned i = 0; i < count; i++)
		most = got[i] > most ? got[i] : most;
	return most;
}

static unsigned least_of(unsigned count)
{
	unsigned least = UINT32_MAX;

	for (unsigned i = 0; i < count; i++)
		least = got[i] < least ? got[i] : least;
	return least;
}

START_TEST(where_no_load_differs_all_have_the_same_share)
{
	unsigned count = (unsigned)_i;

	all_well(count);
	direct(10000 * count, false);
	for (unsigned i = 0; i < count; i++)
		check_share(got[i], 10000 * count, count);
}
END_TEST

START_TEST(the_share_of_a_bad_one_is_everybodys)
{
	unsigned count = (unsigned)_i;

	all_well(count);
	hot.seat[1].good = 0;
	direct(10000 * count, false);
	ck_assert_uint_eq(got[1], 0);
	for (unsigned i = 0; i < count; i++)
		if (i != 1)
			check_share(got[i], 10000 * count, count - 1);
}
END_TEST

/* Two choices: the fullest has ln ln n / ln 2 more than the average, whatever there was before (Berenbrink
 * and others, 2006). By one choice 100 each for 1,024 slots are 130 for the fullest. */
START_TEST(loads_stay_close_together)
{
	unsigned count = 1U << _i;

	all_well(count);
	direct(100 * count, true);
	ck_assert_uint_le(most_of(count), 100 + 4);
	ck_assert_uint_ge(least_of(count), 100 - 12);
}
END_TEST

START_TEST(who_starts_behind_catches_up_and_is_not_overrun)
{
	all_well(16);
	for (unsigned i = 0; i < 16; i++)
		hot.line[hot.seat[i].line].open = i == 3 ? 0 : 1000;
	direct(160, true);
	ck_assert_uint_le(got[3], 160 / 4);     /* it is among two of 16 in every eighth choice */
	ck_assert_uint_ge(got[3], 160 / 16);
	direct(16 * 2000, true);
	ck_assert_uint_ge(got[3], 2900);
	ck_assert_uint_le(got[3], 3100);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("steering");
	TCase *states = tcase_create("every state"), *picks = tcase_create("the picks");
	TCase *sums = tcase_create("many choices");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, states);
	tcase_set_timeout(states, 60);
	tcase_add_loop_test(states, every_state_has_the_choice_that_is_specified, 1, MOST + 1);
	tcase_add_test(states, no_bad_slot_is_chosen_and_nobody_only_where_all_are_bad);
	tcase_add_test(states, without_slots_nobody_is_chosen);
	tcase_add_test(states, more_slots_than_there_can_be_are_as_many_as_there_can_be);
	suite_add_tcase(suite, picks);
	tcase_set_timeout(picks, 60);
	tcase_add_test(picks, two_different_slots_are_picked);
	tcase_add_loop_test(picks, every_pair_is_as_likely_as_any_other, 2, 9);
	suite_add_tcase(suite, sums);
	tcase_set_timeout(sums, 60);
	tcase_add_loop_test(sums, where_no_load_differs_all_have_the_same_share, 1, 9);
	tcase_add_loop_test(sums, the_share_of_a_bad_one_is_everybodys, 2, 9);
	tcase_add_loop_test(sums, loads_stay_close_together, 1, 11);
	tcase_add_test(sums, who_starts_behind_catches_up_and_is_not_overrun);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
