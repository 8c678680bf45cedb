/* handing_model_test.c - every history of workers that begin to serve, leave and die, up to a length: who
 * hands over to whom (master/handover.c, slots.c).
 *
 * The master's own code runs on a master without processes: its children are the ends of channels, and what
 * comes through them is what it decided. A history is played anew from its beginning for each of its ends. */
#include "base/fd.h"
#include "base/log.h"
#include "master/departure.h"
#include "master/master.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SLOTS = 2, LONGEST = 5, MOST_WORKERS = SLOTS + LONGEST };

/* FAILS: dies as soon as it served. */
enum event {
	SERVES_0, SERVES_1, DIES_0, DIES_1, FAILS_0, DRAINER_DIES, PARTS, SHRINKS, GROWS, STOPS, EVENTS,
};

static const char *const event_names[EVENTS] = {
	"SERVES_0",     "SERVES_1", "DIES_0",  "DIES_1", "FAILS_0",
	"DRAINER_DIES", "PARTS",    "SHRINKS", "GROWS",  "STOPS",
};

/* A worker as it hears of it. */
struct puppet {
	struct child *child;
	int end;
	bool dead;
	unsigned hands;                 /* HANDs that came */
	int hand, take;                 /* the newest pairs' ends; -1: none */
	uint64_t hand_number;
	uint32_t hand_pid;              /* of the receiver that the newest HAND named */
	bool drains, may_hand;
	bool parted;                    /* that pair has ended, and it said so */
};

struct play {
	struct puppet puppets[MOST_WORKERS];
	unsigned count;
	bool stopped;
	char history[128];
};

static struct master *master;
static struct board *board;
static struct hot hot;
static struct play play;
static struct config config = { .drain_ns = 30 * CLOCK_S, .prepare_ns = CLOCK_S };
static struct generation generation = { .number = 1, .pins = 1, .config = &config };
static struct master_setup setup = {
	.counter_names = counter_names, .counters = COUNTERS, .open = COUNT_OPEN, .levels = counter_levels,
};

static void must(bool good, const char *rule)
{
	if (!good)
		ck_abort_msg("%s: after%s", rule, play.history);
}

/* ---- the stage ------------------------ */

static void set_stage(void)
{
	struct err err;

	memset(&play, 0, sizeof(play));
	master = calloc(1, sizeof(*master));
	master_init(master, &setup);
	if (board == NULL)
		board = board_create(counter_names, COUNTERS, counter_levels, NULL, &err);
	master->board = board;
	master->hot = &hot;
	ck_assert(loop_open(&master->loop, &err));
	master->current.generation = &generation;
	master->slot_count = SLOTS;
}

static void on_nothing(struct source *source, uint32_t events)
{
	(void)source, (void)events;
}

/* As after its READY and GO: it says that it serves. */
static void serves(unsigned slot)
{
	struct puppet *puppet = &play.puppets[play.count];
	struct child *child = calloc(1, sizeof(*child));
	struct err err;
	int ends[2];

	if (!channel_pair(ends, &err))
		ck_abort_msg("%s", err.text);
	*puppet = (struct puppet){ .child = child, .end = ends[1], .hand = -1, .take = -1 };
	child->master = master;
	child->slot = slot;
	child->pid = (pid_t)(1000 + play.count++);
	child->column = board_claim(board, &master->owners);
	child->state = CHILD_SERVING;
	child->served_ns = master->loop.now_ns;
	child->channel = (struct source){ .fd = ends[0], .handle = on_nothing };
	child->exit.fd = -1;
	list_push_back(&master->children, &child->link);
	master->slots[slot].next = child;
	slot_take(child);
}

/* What spawn.c does when it was reaped. */
static void dies(struct puppet *puppet)
{
	struct child *child = puppet->child;
	struct slot *slot = &master->slots[child->slot];

	departure_end(child);
	timer_cancel(&child->deadline);
	fd_close(&child->channel.fd);
	board_retire(board, &master->owners, child->column, child->slot);
	list_remove(&child->link);
	handover_forget(child);
	if (slot->serving == child)
		slot->serving = NULL;
	puppet->dead = true;
}

static void clear_stage(void)
{
	for (unsigned i = 0; i < play.count; i++) {
		if (!play.puppets[i].dead)
			dies(&play.puppets[i]);
		free(play.puppets[i].child);
		close(play.puppets[i].end);
		fd_close(&play.puppets[i].hand);
		fd_close(&play.puppets[i].take);
	}
	for (unsigned i = 0; i < CONFIG_MAX_WORKERS; i++)
		timer_cancel(&master->slots[i].respawn);
	timer_cancel(&master->handover.retry);
	departure_forget(master);
	loop_close(&master->loop);
	free(master);
}

/* ---- events ------------------------ */

static struct puppet *puppet_of(const struct child *child)
{
	for (unsigned i = 0; i < play.count; i++)
		if (play.puppets[i].child == child)
			return &play.puppets[i];
	return NULL;
}

static struct puppet *oldest_drainer(void)
{
	for (unsigned i = 0; i < play.count; i++)
		if (!play.puppets[i].dead && play.puppets[i].child->state == CHILD_DRAINING)
			return &play.puppets[i];
	return NULL;
}

static void two_seconds_later(void)
{
	master->loop.now_ns += 2 * CLOCK_S;
	timers_run(&master->loop.timers, master->loop.now_ns);
}

/* Its pair ends although both live. */
static void parts(struct puppet *puppet)
{
	struct hand_note with = { .pid = puppet->hand_pid };

	puppet->parted = true;
	fd_close(&puppet->hand);
	handover_parted(puppet->child, &with);
	handover_parted(puppet->child, &with);
}

static bool can_happen(enum event event)
{
	if (event == SERVES_0 || event == SERVES_1)
		return !play.stopped && (unsigned)(event - SERVES_0) < master->slot_count;
	if (event == DIES_0 || event == DIES_1)
		return master->slots[event - DIES_0].serving != NULL;
	if (event == FAILS_0)
		return master->slots[0].serving != NULL;
	if (event == DRAINER_DIES)
		return oldest_drainer() != NULL;
	if (event == PARTS)
		return oldest_drainer() != NULL && oldest_drainer()->hands > 0 && !oldest_drainer()->parted;
	return !play.stopped;
}

static void fails(struct puppet *puppet)
{
	master->slots[puppet->child->slot].failures++;
	dies(puppet);
}

static void resize(unsigned count)
{
	master->slot_count = count;
	slots_trim(master);
}

static void stop(void)
{
	struct list *next;

	play.stopped = master->stopping = master->stop.draining = true;
	for (struct list *link = master->children.next; link != &master->children; link = next) {
		next = link->next;
		child_happens(LIST_ENTRY(link, struct child, link), EV_RETIRE);
	}
}

static void happens(enum event event)
{
	if (event == SERVES_0 || event == SERVES_1)
		serves(event - SERVES_0);
	else if (event == DIES_0 || event == DIES_1)
		dies(puppet_of(master->slots[event - DIES_0].serving));
	else if (event == FAILS_0)
		fails(puppet_of(master->slots[0].serving));
	else if (event == DRAINER_DIES)
		dies(oldest_drainer());
	else if (event == PARTS)
		parts(oldest_drainer());
	else if (event == STOPS)
		stop();
	else
		resize(event == SHRINKS ? 1 : SLOTS);
}

/* ---- what the workers hear ------------------------ */

static void take_end(int *end, struct message_fds *fds)
{
	must(fds->count == 1, "one end comes with it");
	fd_close(end);
	*end = fd_take(&fds->at[0]);
}

static void hear(struct puppet *puppet)
{
	static struct message message;
	struct message_fds fds;

	while (channel_receive(puppet->end, &message, &fds) == CHANNEL_MESSAGE) {
		if (message.type == MESSAGE_DRAIN) {
			puppet->drains = true;
			puppet->may_hand = message.body.drain.hand;
		} else if (message.type == MESSAGE_HAND) {
			must(puppet->drains && puppet->may_hand, "DRAIN, which allows it, comes before HAND");
			must(puppet->parted || puppet->hand_pid != message.body.hand.pid,
			     "a receiver is named once");
			puppet->parted = false;
			take_end(&puppet->hand, &fds);
			puppet->hands++;
			puppet->hand_number = message.generation;
			puppet->hand_pid = message.body.hand.pid;
		} else if (message.type == MESSAGE_TAKE) {
			must(!puppet->drains, "nobody takes over who leaves");
			take_end(&puppet->take, &fds);
		}
		channel_drop(&fds);
	}
}

static void hear_all(void)
{
	for (unsigned i = 0; i < play.count; i++)
		if (!play.puppets[i].dead)
			hear(&play.puppets[i]);
}

/* ---- rules ------------------------ */

static struct puppet *receiver_of(const struct puppet *puppet)
{
	const struct child *serving = master->slots[puppet->child->slot % master->slot_count].serving;

	return serving != NULL ? puppet_of(serving) : NULL;
}

static bool is_fresh_in_a_failing_slot(const struct puppet *puppet)
{
	return master->slots[puppet->child->slot].failures > 0 &&
	       master->loop.now_ns - puppet->child->served_ns < CLOCK_S;
}

static void check_one(const struct puppet *puppet)
{
	const struct puppet *receiver = receiver_of(puppet);
	bool drains = puppet->child->state == CHILD_DRAINING;

	must(puppet->drains == drains, "who leaves is told so, and nobody else");
	must(drains || puppet->hands == 0, "who stays hands nothing over");
	must(puppet->child->receiver == NULL || !puppet_of(puppet->child->receiver)->dead,
	     "the dead are forgotten, whose memory another worker may have next");
	if (!drains)
		return;
	must(puppet->may_hand == !play.stopped, "it may hand over unless the service stops");
	if (play.stopped || receiver == NULL)
		return;
	if (is_fresh_in_a_failing_slot(receiver))
		must(puppet->hand_pid != (uint32_t)receiver->child->pid,
		     "nothing is given to who may die like the one before");
	else
		must(puppet->hand_pid == (uint32_t)receiver->child->pid,
		     "its newest receiver is who serves its slot");
}

static void check_all(void)
{
	hear_all();
	for (unsigned i = 0; i < play.count; i++)
		if (!play.puppets[i].dead)
			check_one(&play.puppets[i]);
}

static void check_parted(void)
{
	for (unsigned i = 0; i < play.count; i++)
		must(!play.puppets[i].parted || play.puppets[i].dead || play.stopped ||
			     receiver_of(&play.puppets[i]) == NULL,
		     "a pair that has ended is followed by another one");
}

/* ---- every history ------------------------ */

static unsigned long histories;
static bool handed_to_another, handed_again;

static void note(void)
{
	for (unsigned i = 0; i < play.count; i++) {
		handed_to_another |= play.puppets[i].hands > 0 && play.puppets[i].child->slot == 1 &&
				     master->slot_count == 1;
		handed_again |= play.puppets[i].hands > 1;
	}
}

/* False: the last event cannot happen then. */
static bool play_history(const enum event *events, unsigned length)
{
	bool possible = true;

	set_stage();
	for (unsigned slot = 0; slot < SLOTS; slot++)
		serves(slot);
	for (unsigned i = 0; i < length && possible; i++) {
		possible = can_happen(events[i]);
		if (!possible)
			break;
		strcat(strcat(play.history, " "), event_names[events[i]]);
		hear_all();
		happens(events[i]);
	}
	if (possible) {
		check_all();
		two_seconds_later();
		check_all();
		check_parted();
		note();
		histories++;
	}
	clear_stage();
	return possible;
}

static void explore(enum event *events, unsigned length)
{
	for (unsigned event = 0; event < EVENTS; event++) {
		events[length] = event;
		if (play_history(events, length + 1) && length + 1 < LONGEST)
			explore(events, length + 1);
	}
}

START_TEST(who_leaves_is_always_connected_with_who_serves_its_slot)
{
	enum event events[LONGEST];

	explore(events, 0);
	ck_assert_uint_gt(histories, 5000);
	ck_assert(handed_to_another);   /* the exploration went where it matters */
	ck_assert(handed_again);
}
END_TEST

/* ---- the pair ------------------------ */

static void set_up(void)
{
	set_stage();
	serves(0);
	serves(0);
	hear_all();
}

START_TEST(the_two_ends_belong_together)
{
	char byte = 'x';

	ck_assert_int_eq(write(play.puppets[0].hand, &byte, 1), 1);
	byte = 0;
	ck_assert_int_eq(read(play.puppets[1].take, &byte, 1), 1);
	ck_assert_int_eq(byte, 'x');
}
END_TEST

START_TEST(nobody_else_holds_an_end)
{
	char byte;

	fd_close(&play.puppets[1].take);
	ck_assert_int_eq(read(play.puppets[0].hand, &byte, 1), 0);
}
END_TEST

static void no_more_descriptors(struct rlimit *before)
{
	struct rlimit none;

	getrlimit(RLIMIT_NOFILE, before);
	none = (struct rlimit){ 0, before->rlim_max };
	setrlimit(RLIMIT_NOFILE, &none);
}

/* Slot 1 shrinks away while no pair can be made. */
static void fail_once(struct rlimit *before)
{
	serves(1);
	hear_all();
	no_more_descriptors(before);
	resize(1);
}

START_TEST(a_pair_that_cannot_be_made_is_tried_again)
{
	struct rlimit before;

	fail_once(&before);
	setrlimit(RLIMIT_NOFILE, &before);
	hear_all();
	ck_assert_uint_eq(play.puppets[2].hands, 0);
	two_seconds_later();
	hear_all();
	ck_assert_uint_eq(play.puppets[2].hands, 1);
	ck_assert_uint_eq(play.puppets[2].hand_pid, (uint32_t)play.puppets[1].child->pid);
}
END_TEST

START_TEST(a_pair_that_cannot_be_made_does_not_disturb_others)
{
	struct rlimit before;

	fail_once(&before);
	setrlimit(RLIMIT_NOFILE, &before);
	two_seconds_later();
	hear_all();
	ck_assert_uint_eq(play.puppets[0].hands, 1);
}
END_TEST

START_TEST(a_pair_that_failed_is_not_tried_with_every_event)
{
	struct rlimit before;
	uint64_t due_ns;

	fail_once(&before);
	due_ns = master->handover.retry.due_ns;
	handover_arrange(master);
	setrlimit(RLIMIT_NOFILE, &before);
	handover_arrange(master);
	hear_all();
	ck_assert_uint_eq(play.puppets[2].hands, 0);
	ck_assert_uint_eq(master->handover.retry.due_ns, due_ns);
}
END_TEST

START_TEST(a_pair_that_has_ended_is_made_again_a_second_later)
{
	parts(&play.puppets[0]);
	handover_arrange(master);
	hear_all();
	ck_assert_uint_eq(play.puppets[0].hands, 1);
	two_seconds_later();
	hear_all();
	ck_assert_uint_eq(play.puppets[0].hands, 2);
}
END_TEST

START_TEST(the_end_of_an_older_pair_means_nothing)
{
	struct hand_note with = { .pid = play.puppets[0].hand_pid + 7 };

	handover_parted(play.puppets[0].child, &with);
	two_seconds_later();
	hear_all();
	ck_assert_uint_eq(play.puppets[0].hands, 1);
}
END_TEST

/* ---- a receiver that is silent ------------------------ */

static enum child_state state_after(uint64_t busy_ns, uint32_t pid)
{
	struct child *receiver = play.puppets[1].child;
	struct hand_note of = { .pid = pid };

	master->loop.now_ns = 100 * CLOCK_S;
	hot.line[receiver->column].busy_since_ns = busy_ns > 0 ? master->loop.now_ns - busy_ns : 0;
	handover_unheard(play.puppets[0].child, &of);
	return receiver->state;
}

START_TEST(a_receiver_that_hangs_is_killed)
{
	ck_assert_int_eq(state_after(6 * CLOCK_S, play.puppets[0].hand_pid), CHILD_KILLED);
}
END_TEST

START_TEST(a_receiver_that_lives_is_not_killed_whatever_is_said_of_it)
{
	ck_assert_int_eq(state_after(0, play.puppets[0].hand_pid), CHILD_SERVING);
	ck_assert_int_eq(state_after(4 * CLOCK_S, play.puppets[0].hand_pid), CHILD_SERVING);
	ck_assert_int_eq(state_after(6 * CLOCK_S, 1), CHILD_SERVING);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("handing");
	TCase *tests = tcase_create("every history"), *rest = tcase_create("the pair");
	SRunner *runner = srunner_create(suite);
	struct log_setup quiet = { .least = LEVEL_ERROR, .target = { LOG_STREAM, -1, NULL } };
	int failed;

	log_open(NULL, &quiet);         /* thousands of workers come and go */

	suite_add_tcase(suite, tests);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, who_leaves_is_always_connected_with_who_serves_its_slot);
	suite_add_tcase(suite, rest);
	tcase_add_checked_fixture(rest, set_up, clear_stage);
	tcase_add_test(rest, the_two_ends_belong_together);
	tcase_add_test(rest, nobody_else_holds_an_end);
	tcase_add_test(rest, a_pair_that_cannot_be_made_is_tried_again);
	tcase_add_test(rest, a_pair_that_cannot_be_made_does_not_disturb_others);
	tcase_add_test(rest, a_pair_that_failed_is_not_tried_with_every_event);
	tcase_add_test(rest, a_pair_that_has_ended_is_made_again_a_second_later);
	tcase_add_test(rest, the_end_of_an_older_pair_means_nothing);
	tcase_add_test(rest, a_receiver_that_hangs_is_killed);
	tcase_add_test(rest, a_receiver_that_lives_is_not_killed_whatever_is_said_of_it);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
