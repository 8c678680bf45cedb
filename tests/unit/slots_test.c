/* slots_test.c - how long slots wait for their next worker, in the master's own structs and without a
 * process. */
#include "master/master.h"

#include "base/fd.h"

#include <check.h>
#include <stdlib.h>

enum { SLOTS = 3 };

static struct master *master;
static struct hot hot;
static struct config config = { .stall_ns = CLOCK_MS };
static struct generation generation = { .number = 1, .pins = 1, .config = &config };
static struct master_setup setup = { .counter_names = counter_names, .counters = COUNTERS };
static struct child children[SLOTS];
static int ends[SLOTS];                 /* the workers' ends of their channels */

static void set_child(unsigned slot)
{
	struct err err;
	int pair[2];

	ck_assert(channel_pair(pair, &err));
	ends[slot] = pair[1];
	children[slot] = (struct child){
		.master = master,
		.slot = slot,
		.state = CHILD_SERVING,
		.served_ns = master->loop.now_ns,
		.channel.fd = pair[0],
	};
}

static void set_stage(void)
{
	struct err err;

	master = calloc(1, sizeof(*master));
	master_init(master, &setup);
	master->hot = &hot;
	ck_assert(loop_open(&master->loop, &err));
	master->current.generation = &generation;
	master->slot_count = SLOTS;
	for (unsigned i = 0; i < SLOTS; i++)
		set_child(i);
}

static void clear_stage(void)
{
	for (unsigned i = 0; i < SLOTS; i++)
		timer_cancel(&master->slots[i].respawn);
	for (unsigned i = 0; i < SLOTS; i++) {
		fd_close(&children[i].channel.fd);
		fd_close(&ends[i]);
	}
	slots_forget(master);
	loop_close(&master->loop);
	free(master);
}

static void sits(unsigned slot)
{
	master->slots[slot].serving = &children[slot];
}

/* As spawn.c has it. */
static void dies(unsigned slot)
{
	master->slots[slot].serving = NULL;
	slot_respawn(&master->slots[slot], &children[slot]);
	slots_publish(master);
}

static uint64_t waits_ms(unsigned slot)
{
	const struct timer *timer = &master->slots[slot].respawn;

	ck_assert(timer_armed(timer));
	return (timer->due_ns - master->loop.now_ns) / CLOCK_MS;
}

static void seconds_pass(unsigned seconds)
{
	master->loop.now_ns += seconds * CLOCK_S;
}

START_TEST(a_slot_whose_worker_had_served_waits_for_nothing)
{
	sits(0);
	sits(1);
	master->slots[0].failures = 5;
	seconds_pass(1);
	dies(0);
	ck_assert_uint_eq(waits_ms(0), 0);
	ck_assert_uint_eq(master->slots[0].failures, 0);
}
END_TEST

START_TEST(one_whose_worker_had_not_waits_longer_each_time)
{
	sits(1);
	for (unsigned i = 0; i < 4; i++) {
		sits(0);
		dies(0);
		ck_assert_uint_eq(waits_ms(0), 100U << i);
		ck_assert_uint_eq(master->slots[0].failures, i + 1);
	}
}
END_TEST

START_TEST(when_the_last_one_dies_nobody_waits_for_long)
{
	sits(1);
	sits(0);
	master->slots[0].failures = 8;
	dies(0);
	ck_assert_uint_eq(waits_ms(0), 25600);
	master->slots[1].failures = 8;
	dies(1);
	ck_assert_uint_eq(waits_ms(0), 100);
	ck_assert_uint_eq(waits_ms(1), 100);
}
END_TEST

START_TEST(nor_one_that_could_not_be_started)
{
	sits(1);
	master->slots[2].failures = 8;
	slot_respawn(&master->slots[2], NULL);
	ck_assert_uint_eq(waits_ms(2), 25600);
	dies(1);
	ck_assert_uint_eq(waits_ms(2), 1000);
}
END_TEST

START_TEST(one_that_is_bad_does_not_count_as_serving)
{
	sits(0);
	sits(1);
	master->slots[1].bad = true;
	master->slots[0].failures = 8;
	dies(0);
	ck_assert_uint_eq(waits_ms(0), 100);
}
END_TEST

START_TEST(nor_one_that_becomes_bad)
{
	sits(0);
	sits(1);
	master->slots[0].failures = 8;
	dies(0);
	ck_assert_uint_eq(waits_ms(0), 25600);
	master->slots[1].bad = true;
	slots_publish(master);
	ck_assert_uint_eq(waits_ms(0), 100);
}
END_TEST

START_TEST(a_slot_fails_until_its_worker_has_served_for_a_second)
{
	sits(0);
	ck_assert(!slot_is_failing(&master->slots[0]));
	master->slots[0].failures = 1;
	ck_assert(slot_is_failing(&master->slots[0]));
	seconds_pass(1);
	ck_assert(!slot_is_failing(&master->slots[0]));
	master->slots[0].serving = NULL;
	ck_assert(slot_is_failing(&master->slots[0]));
}
END_TEST

START_TEST(a_replacement_is_no_failure)
{
	sits(0);
	master->slots[0].replace = true;
	slot_renew(&master->slots[0]);
	ck_assert_uint_eq(waits_ms(0), 0);
	ck_assert_uint_eq(master->slots[0].failures, 0);
}
END_TEST

START_TEST(nor_does_it_wait_when_the_slot_failed_long_ago)
{
	sits(0);
	master->slots[0].replace = true;
	master->slots[0].failures = 3;
	seconds_pass(1);
	slot_renew(&master->slots[0]);
	ck_assert_uint_eq(waits_ms(0), 0);
}
END_TEST

/* How many COVERs the worker was sent; the last one's content. */
static unsigned covers(unsigned slot, struct slot_set *cover)
{
	static struct message message;
	struct message_fds fds;
	unsigned count = 0;

	for (; channel_receive(ends[slot], &message, &fds) == CHANNEL_MESSAGE; count++)
		*cover = message.body.cover;
	return count;
}

START_TEST(workers_are_told_who_serves_nowhere_once)
{
	struct slot_set cover = { 0 };

	sits(0);
	slots_publish(master);
	slots_publish(master);
	ck_assert_uint_eq(covers(0, &cover), 1);
	ck_assert(!slot_set_has(&cover, 0) && slot_set_has(&cover, 1) && slot_set_has(&cover, 2));
	slots_tell_again(master);
	slots_publish(master);
	ck_assert_uint_eq(covers(0, &cover), 1);
	ck_assert(!slot_set_has(&cover, 0) && slot_set_has(&cover, 1) && slot_set_has(&cover, 2));
}
END_TEST

/* Its channel must not be filled while it does not read. */
START_TEST(who_is_bad_is_told_when_it_moves)
{
	struct slot_set cover = { 0 };

	sits(0);
	sits(1);
	master->slots[0].bad = true;
	slots_publish(master);
	ck_assert_uint_eq(covers(0, &cover) + covers(1, &cover), 2);
	sits(2);
	slots_publish(master);
	ck_assert_uint_eq(covers(0, &cover), 0);
	ck_assert_uint_eq(covers(1, &cover), 1);
	slots_catch_up(&children[0]);
	ck_assert_uint_eq(covers(0, &cover), 1);
	ck_assert(slot_set_has(&cover, 0) && !slot_set_has(&cover, 2));
}
END_TEST

START_TEST(the_program_chooses_among_the_slots_that_there_are)
{
	sits(0);
	slots_publish(master);
	ck_assert_uint_eq(hot.slots, SLOTS);
	master->slot_count = 1;
	slots_publish(master);
	ck_assert_uint_eq(hot.slots, 1);
	ck_assert_uint_eq(hot.stall_ns, config.stall_ns);
}
END_TEST

START_TEST(who_could_not_be_told_is_told_later)
{
	struct slot_set cover = { 0 };
	int end = ends[0];

	sits(0);
	ends[0] = children[0].channel.fd;
	children[0].channel.fd = -1;
	slots_publish(master);
	children[0].channel.fd = ends[0];
	ends[0] = end;
	ck_assert_uint_eq(covers(0, &cover), 0);
	slots_catch_up(&children[0]);
	slots_catch_up(&children[0]);
	ck_assert_uint_eq(covers(0, &cover), 1);
}
END_TEST

/* Everything that gives a slot a worker. */
START_TEST(a_slot_that_is_held_gets_nobody)
{
	sits(0);
	master->slots[1].held = true;
	slot_respawn(&master->slots[1], NULL);
	slot_renew(&master->slots[1]);
	ck_assert(!timer_armed(&master->slots[1].respawn));
	slot_unhold(&master->slots[1]);
	ck_assert_uint_eq(waits_ms(1), 0);
	ck_assert_uint_eq(master->slots[1].failures, 0);
}
END_TEST

START_TEST(its_connections_go_to_the_next_one_that_is_not)
{
	const struct child *child = &children[1];

	ck_assert_uint_eq(handover_slot(child), 1);
	master->slots[1].held = true;
	ck_assert_uint_eq(handover_slot(child), 2);
	master->slots[2].held = true;
	ck_assert_uint_eq(handover_slot(child), 0);
	master->slot_count = 1;
	ck_assert_uint_eq(handover_slot(child), 0);
}
END_TEST

int main(void)
{
	TCase *waits = tcase_create("waits");
	Suite *suite = suite_create("slots");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(waits, set_stage, clear_stage);
	tcase_add_test(waits, a_slot_whose_worker_had_served_waits_for_nothing);
	tcase_add_test(waits, one_whose_worker_had_not_waits_longer_each_time);
	tcase_add_test(waits, when_the_last_one_dies_nobody_waits_for_long);
	tcase_add_test(waits, nor_one_that_could_not_be_started);
	tcase_add_test(waits, one_that_is_bad_does_not_count_as_serving);
	tcase_add_test(waits, nor_one_that_becomes_bad);
	tcase_add_test(waits, a_slot_fails_until_its_worker_has_served_for_a_second);
	tcase_add_test(waits, a_replacement_is_no_failure);
	tcase_add_test(waits, nor_does_it_wait_when_the_slot_failed_long_ago);
	tcase_add_test(waits, workers_are_told_who_serves_nowhere_once);
	tcase_add_test(waits, who_is_bad_is_told_when_it_moves);
	tcase_add_test(waits, the_program_chooses_among_the_slots_that_there_are);
	tcase_add_test(waits, who_could_not_be_told_is_told_later);
	tcase_add_test(waits, a_slot_that_is_held_gets_nobody);
	tcase_add_test(waits, its_connections_go_to_the_next_one_that_is_not);
	suite_add_tcase(suite, waits);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
