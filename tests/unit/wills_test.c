/* wills_test.c - who gets the will of a worker that crashed, and whom the master takes for its keeper. */
#include "master/master.h"
#include "unit/one_turn.h"

#include "base/fd.h"
#include "ipc/will.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SLOTS = 3 };

static struct hot hot;
static struct config config;
static struct generation generation = { .number = 1, .pins = 1, .config = &config };
static const struct master_setup setup;
static struct master *master;

/* Workers, by slot: what the test has of them. */
static struct {
	struct child *child;
	int channel, will;              /* its ends */
} of[SLOTS];

static void add_child(unsigned slot)
{
	struct child *child = calloc(1, sizeof(*child));
	struct err err;
	int ends[2];

	child->master = master;
	child->slot = slot;
	child->column = slot + 1;
	child->pid = (pid_t)(100000000 + slot);         /* nobody's */
	child->state = CHILD_SERVING;
	ck_assert(channel_pair(ends, &err));
	child->channel.fd = ends[0];
	list_push_back(&master->children, &child->link);
	master->slots[slot].serving = child;
	of[slot].child = child;
	of[slot].channel = ends[1];
	of[slot].will = wills_make(child, &err);
	ck_assert_int_ge(of[slot].will, 0);
	ck_assert(wills_watch(child, &err));
}

static void say(unsigned slot, uint32_t keeper)
{
	struct will_word word = { keeper };

	ck_assert_int_gt(send(of[slot].will, &word, sizeof(word), 0), 0);
	one_turn(&master->loop);
}

static void free_child(unsigned slot)
{
	fd_close(&of[slot].child->channel.fd);
	list_remove(&of[slot].child->link);
	free(of[slot].child);
	of[slot].child = NULL;
	fd_close(&of[slot].channel);
}

static void die(unsigned slot, bool crashed)
{
	wills_child_died(of[slot].child, crashed);
	free_child(slot);
	master->slots[slot].serving = NULL;
	master->slots[slot].failures = 0;
	loop_timer(&master->loop, &master->slots[slot].respawn, CLOCK_S);
}

static void set_up(void)
{
	struct err err;

	memset(&hot, 0, sizeof(hot));
	master = calloc(1, sizeof(*master));
	master_init(master, &setup);
	master->hot = &hot;
	master->slot_count = SLOTS;
	master->current.generation = &generation;
	ck_assert(loop_open(&master->loop, &err));
	for (unsigned slot = 0; slot < SLOTS; slot++) {
		add_child(slot);
		say(slot, 0);
	}
}

static void tear_down(void)
{
	for (unsigned slot = 0; slot < SLOTS; slot++) {
		if (of[slot].child != NULL)
			free_child(slot);
		fd_close(&of[slot].will);
	}
	wills_forget(master);
	loop_close(&master->loop);
	free(master);
}

/* Was the worker told to take over what is in that slot's will? */
static bool inherits(unsigned heir, unsigned slot)
{
	static struct message message;
	struct message_fds fds;
	bool is_will;

	if (channel_receive(of[heir].channel, &message, &fds) != CHANNEL_MESSAGE)
		return false;
	is_will = message.type == MESSAGE_WILL && message.body.hand.slot == slot && fds.count == 1;
	channel_drop(&fds);
	return is_will;
}

static bool nobody_reads(unsigned slot)
{
	return send(of[slot].will, "x", 1, MSG_NOSIGNAL) < 0;
}

START_TEST(who_follows_in_the_slot_inherits_when_it_serves)
{
	die(0, true);
	wills_arrange(master);
	ck_assert(!inherits(1, 0) && !inherits(2, 0));
	ck_assert(!nobody_reads(0));
	fd_close(&of[0].will);
	add_child(0);
	wills_arrange(master);
	ck_assert(inherits(0, 0));
	ck_assert(!inherits(1, 0) && !inherits(2, 0));
}
END_TEST

START_TEST(it_is_given_once)
{
	die(0, true);
	fd_close(&of[0].will);
	add_child(0);
	wills_arrange(master);
	wills_arrange(master);
	ck_assert(inherits(0, 0));
	ck_assert(!inherits(0, 0));
}
END_TEST

START_TEST(when_the_heir_dies_before_it_has_read_all_the_next_goes_on)
{
	hot.line[2].open = 7;
	die(0, true);
	master->slots[0].failures = 1;
	wills_arrange(master);
	ck_assert(inherits(2, 0));
	die(2, true);
	wills_arrange(master);
	ck_assert(inherits(1, 0));
}
END_TEST

START_TEST(who_has_to_wait_for_a_successor_has_the_sibling_with_the_fewest)
{
	hot.line[2].open = 7;
	hot.line[3].open = 3;
	die(0, true);
	master->slots[0].failures = 1;
	wills_arrange(master);
	ck_assert(inherits(2, 0) && !inherits(1, 0));
}
END_TEST

START_TEST(a_slot_that_fails_inherits_only_where_there_is_no_other)
{
	hot.line[2].open = 7;
	master->slots[2].failures = 1;
	of[2].child->served_ns = master->loop.now_ns;
	die(0, true);
	master->slots[0].failures = 1;
	wills_arrange(master);
	ck_assert(inherits(1, 0) && !inherits(2, 0));
}
END_TEST

START_TEST(who_hangs_inherits_only_where_there_is_no_other)
{
	hot.line[2].open = 7;
	master->slots[0].bad = master->slots[2].bad = true;
	die(0, true);
	fd_close(&of[0].will);
	add_child(0);
	wills_arrange(master);
	ck_assert(inherits(1, 0) && !inherits(0, 0) && !inherits(2, 0));
	die(1, true);
	fd_close(&of[1].will);
	add_child(1);
	master->slots[1].bad = true;
	wills_arrange(master);
	ck_assert(inherits(1, 1));
}
END_TEST

START_TEST(one_that_knows_of_no_wills_inherits_nothing)
{
	wills_child_died(of[1].child, false);   /* as if the image before had forked it */
	wills_child_died(of[2].child, false);
	die(0, true);
	master->slots[0].failures = 1;
	wills_arrange(master);
	ck_assert(!inherits(1, 0) && !inherits(2, 0));
}
END_TEST

START_TEST(after_an_orderly_end_there_is_no_heir)
{
	die(0, false);
	master->slots[0].failures = 1;
	wills_arrange(master);
	ck_assert(nobody_reads(0));
	ck_assert(!inherits(1, 0) && !inherits(2, 0));
}
END_TEST

START_TEST(when_the_service_stops_there_is_no_heir)
{
	master->stop.draining = true;
	die(0, true);
	wills_arrange(master);
	ck_assert(nobody_reads(0));
}
END_TEST

START_TEST(what_has_ended_is_forgotten)
{
	die(0, false);
	wills_sweep(master);
	wills_sweep(master);
	die(1, true);
	master->slots[1].failures = 1;
	wills_arrange(master);
	wills_sweep(master);
	ck_assert_ptr_ne(master->testaments.next, master->testaments.prev);
	fd_close(&of[1].will);          /* nobody writes, and there is nothing to read */
	wills_arrange(master);
	wills_sweep(master);
	ck_assert_ptr_eq(master->testaments.next, master->testaments.prev);
	ck_assert(!wills_left(master));
}
END_TEST

/* A child of ours, as a keeper is; it ends with the test. */
static pid_t fork_keeper(void)
{
	pid_t pid = fork();

	if (pid == 0)
		for (;;)
			pause();
	return pid;
}

START_TEST(a_keeper_is_known_until_it_ends_and_reaped)
{
	pid_t pid = fork_keeper();

	fd_close(&of[0].will);
	die(0, false);
	add_child(0);
	say(0, (uint32_t)pid);
	ck_assert(wills_know(master, pid) && wills_left(master));
	kill(pid, SIGKILL);
	one_turn(&master->loop);
	ck_assert(!wills_know(master, pid) && !wills_left(master));
	ck_assert_int_lt(waitpid(pid, NULL, WNOHANG), 0);
}
END_TEST

START_TEST(the_heir_waits_for_the_word)
{
	fd_close(&of[0].will);
	die(0, false);
	add_child(0);
	die(0, true);
	master->slots[0].failures = 1;
	wills_arrange(master);
	ck_assert(!inherits(1, 0) && !inherits(2, 0));
	say(0, 0);
	ck_assert(inherits(1, 0) || inherits(2, 0));
}
END_TEST

START_TEST(nobody_else_is_taken_for_a_keeper)
{
	pid_t other = fork_keeper();

	of[1].child->pid = other;               /* a worker, which is reaped elsewhere */
	fd_close(&of[0].will);
	die(0, false);
	add_child(0);
	say(0, (uint32_t)other);
	ck_assert(!wills_know(master, other));
	kill(other, SIGKILL);
	ck_assert_int_eq(waitpid(other, NULL, 0), other);
}
END_TEST

/* The stop would wait for it. */
START_TEST(nor_is_one_that_is_no_child)
{
	fd_close(&of[0].will);
	die(0, false);
	add_child(0);
	say(0, (uint32_t)getppid());
	ck_assert(!wills_know(master, getppid()));
	ck_assert(!wills_left(master));
}
END_TEST

START_TEST(at_once_is_at_once_for_keepers_too)
{
	pid_t pid = fork_keeper();

	fd_close(&of[0].will);
	die(0, false);
	add_child(0);
	say(0, (uint32_t)pid);
	wills_kill(master);
	one_turn(&master->loop);
	ck_assert(!wills_left(master));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wills");
	TCase *all = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(all, set_up, tear_down);
	tcase_add_test(all, who_follows_in_the_slot_inherits_when_it_serves);
	tcase_add_test(all, it_is_given_once);
	tcase_add_test(all, when_the_heir_dies_before_it_has_read_all_the_next_goes_on);
	tcase_add_test(all, who_has_to_wait_for_a_successor_has_the_sibling_with_the_fewest);
	tcase_add_test(all, a_slot_that_fails_inherits_only_where_there_is_no_other);
	tcase_add_test(all, who_hangs_inherits_only_where_there_is_no_other);
	tcase_add_test(all, one_that_knows_of_no_wills_inherits_nothing);
	tcase_add_test(all, after_an_orderly_end_there_is_no_heir);
	tcase_add_test(all, when_the_service_stops_there_is_no_heir);
	tcase_add_test(all, what_has_ended_is_forgotten);
	tcase_add_test(all, a_keeper_is_known_until_it_ends_and_reaped);
	tcase_add_test(all, the_heir_waits_for_the_word);
	tcase_add_test(all, nobody_else_is_taken_for_a_keeper);
	tcase_add_test(all, nor_is_one_that_is_no_child);
	tcase_add_test(all, at_once_is_at_once_for_keepers_too);
	suite_add_tcase(suite, all);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
