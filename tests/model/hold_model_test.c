/* hold_model_test.c - every history of slots that leave and come back, up to a length: workers die, follow
 * and leave in between, a transition opens and ends, the number of slots changes.
 *
 * The master's own hold.c, slots.c, handover.c and departure.c run; only processes are not there: a worker is
 * a child that was never forked, all of them with the same channel, which nobody answers. Each history is
 * played from its beginning; one that leads to a state that was seen is not continued. */
#include "base/fd.h"
#include "base/hash.h"
#include "base/log.h"
#include "master/departure.h"
#include "master/master.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 3, FEWER = 2, LONGEST = 5, MOST_ASKERS = 16, MOST_CHILDREN = 32, SEEN_ROOM = 1 << 16 };

enum kind { DRAIN, RESUME, DIES, COMES, LEAVES, OPENS, ENDS, SHRINKS, GROWS, KINDS };

enum { EVENTS = KINDS * SLOTS };

static const char *const kind_names[KINDS] = {
	"DRAIN", "RESUME", "DIES", "COMES", "LEAVES", "OPENS", "ENDS", "SHRINKS", "GROWS",
};

struct question {
	struct asker asker;
	unsigned answers;
	bool good;
};

static struct {
	struct question questions[MOST_ASKERS];
	unsigned asked, born;
	struct child children[MOST_CHILDREN];
} play;

static struct master *master;
static struct board *board;
static struct hot hot;
static struct config config = { .stall_ns = CLOCK_MS, .drain_ns = 1000 * CLOCK_S, .max_draining = 100 };
static struct generation generation = { .number = 1, .pins = 1, .config = &config };
static struct master_setup setup = { .counter_names = counter_names, .counters = COUNTERS,
				     .open = COUNT_OPEN, .levels = counter_levels };
static int ends[2];

/* ---- the stage ------------------------ */

static void on_answer(struct asker *asker, const struct outcome *outcome)
{
	struct question *question = LIST_ENTRY(asker, struct question, asker);

	question->answers++;
	question->good = outcome->good;
}

/* A worker that serves in the slot, as after its GO. */
static void comes(unsigned slot)
{
	struct child *child = &play.children[play.born++];

	*child = (struct child){ .master = master, .slot = slot, .state = CHILD_SERVING, .column = play.born,
				 .pid = (pid_t)play.born, .served_ns = 1, .channel.fd = ends[0] };
	child->exit.fd = -1;
	list_push_back(&master->children, &child->link);
	timer_cancel(&master->slots[slot].respawn);
	master->slots[slot].next = child;
	slot_take(child);
	slots_publish(master);
}

static void begin(void)
{
	struct err err;

	memset(&play, 0, sizeof(play));
	memset(&hot, 0, sizeof(hot));
	master = calloc(1, sizeof(*master));
	master_init(master, &setup);
	master->board = board;
	master->hot = &hot;
	ck_assert(loop_open(&master->loop, &err));
	master->loop.now_ns = CLOCK_S;
	master->current.generation = &generation;
	master->slot_count = SLOTS;
	for (unsigned i = 0; i < SLOTS; i++)
		comes(i);
}

static void end(void)
{
	for (unsigned i = 0; i < SLOTS; i++)
		timer_cancel(&master->slots[i].respawn);
	timer_cancel(&master->handover.retry);
	FOR_EACH_CHILD(master, child)
		timer_cancel(&child->deadline);
	departure_forget(master);
	loop_close(&master->loop);
	free(master);
}

/* What was told to the workers is thrown away. */
static void hear(void)
{
	static struct message message;
	struct message_fds fds;

	while (channel_receive(ends[1], &message, &fds) == CHANNEL_MESSAGE)
		channel_drop(&fds);
}

/* ---- what happens ------------------------ */

static void ask(unsigned slot, bool back)
{
	struct question *question = &play.questions[play.asked++];

	question->asker = (struct asker){ .answer = on_answer, .slot = slot, .back = back };
	hold_ask(master, &question->asker);
}

/* As let_go() of spawn.c. */
static void is_gone(struct child *child)
{
	struct slot *slot = &master->slots[child->slot];
	bool leaves = child->state == CHILD_DRAINING;

	child->state = CHILD_GONE;
	hold_child_gone(child);
	departure_end(child);
	list_remove(&child->link);
	timer_cancel(&child->deadline);
	handover_forget(child);
	if (slot->serving == child)
		slot->serving = NULL;
	if (!leaves)
		slot_respawn(slot, child);
	slots_publish(master);
}

static struct child *leaver_of(unsigned slot)
{
	FOR_EACH_CHILD(master, child)
		if (child->slot == slot && child->state == CHILD_DRAINING)
			return child;
	return NULL;
}

static void resize(unsigned count)
{
	unsigned before = master->slot_count;

	master->slot_count = count;
	slots_trim(master);
	slots_publish(master);
	for (unsigned i = before; i < count; i++)
		slot_respawn(&master->slots[i], NULL);
}

/* What plan.c refuses cannot happen. */
static bool somebody_stays(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (!master->slots[i].held)
			return true;
	return false;
}

static bool can_happen(unsigned event)
{
	unsigned slot = event % SLOTS;
	bool exists = slot < master->slot_count, open = master->transition.phase != PHASE_IDLE;

	switch ((enum kind)(event / SLOTS)) {
	case DRAIN:
	case RESUME:
		return play.asked < MOST_ASKERS;
	case DIES:
		return exists && master->slots[slot].serving != NULL;
	case COMES:
		return exists && timer_armed(&master->slots[slot].respawn) && play.born < MOST_CHILDREN;
	case LEAVES:
		return leaver_of(slot) != NULL;
	case OPENS:
		return slot == 0 && !open;
	case ENDS:
		return slot == 0 && open;
	case SHRINKS:
		return slot == 0 && open && master->slot_count == SLOTS && somebody_stays(FEWER);
	case GROWS:
		return slot == 0 && open && master->slot_count == FEWER;
	default:
		return false;
	}
}

static void happens(unsigned event)
{
	unsigned slot = event % SLOTS;
	enum kind kind = event / SLOTS;

	if (kind == DRAIN || kind == RESUME)
		ask(slot, kind == RESUME);
	else if (kind == DIES)
		is_gone(master->slots[slot].serving);
	else if (kind == COMES)
		comes(slot);
	else if (kind == LEAVES)
		is_gone(leaver_of(slot));
	else if (kind == OPENS)
		master->transition.phase = PHASE_PREPARING;
	else if (kind == SHRINKS || kind == GROWS)
		resize(kind == SHRINKS ? FEWER : SLOTS);
	if (kind == ENDS) {
		master->transition.phase = PHASE_IDLE;
		hold_continue(master);
	}
	hear();
}

/* ---- rules ------------------------ */

static char history[512];

static void must(bool good, const char *rule)
{
	if (!good)
		ck_abort_msg("%s: after%s", rule, history);
}

struct view {
	bool held[SLOTS], good[SLOTS];
	unsigned count, good_count;
	bool open;
};

static struct view look(void)
{
	struct view view = { .count = master->slot_count, .open = master->transition.phase != PHASE_IDLE };

	for (unsigned i = 0; i < SLOTS; i++) {
		view.held[i] = master->slots[i].held;
		view.good[i] = i < master->slot_count && slot_is_good(&master->slots[i]);
		view.good_count += view.good[i];
	}
	return view;
}

static void check_slot(unsigned i)
{
	const struct slot *slot = &master->slots[i];

	if (slot->held)
		must(slot->serving == NULL && slot->next == NULL && !timer_armed(&slot->respawn) &&
		     !hot.seat[i].good, "a slot that is held has nobody, and nobody comes");
	else
		must(slot->serving != NULL || slot->next != NULL || timer_armed(&slot->respawn),
		     "a slot that is in service has a worker, or one comes");
	if (slot->serving == NULL)
		must(slot_set_has(&master->uncovered, i),
		     "the others accept from the sockets of who is not there");
}

static void check(const struct view *before, unsigned event)
{
	struct view after = look();

	must(somebody_stays(master->slot_count), "some slot is in service");
	must(after.good_count > 0 || before->good_count == 0 || event / SLOTS == DIES ||
		     event / SLOTS == SHRINKS,
	     "nobody is asked to leave who is the last");
	for (unsigned i = 0; i < SLOTS; i++) {
		if (i < master->slot_count)
			check_slot(i);
		else
			must(!after.held[i], "a slot that is gone is not held");
		if (before->open && i < after.count && i < before->count)
			must(after.held[i] == before->held[i] || event / SLOTS == ENDS,
			     "no slot leaves or comes while a transition is open");
	}
	FOR_EACH_CHILD(master, child)
		if (child->state == CHILD_DRAINING)
			must(!master->slots[handover_slot(child)].held, "who leaves hands over to who stays");
	for (unsigned i = 0; i < play.asked; i++)
		must(play.questions[i].answers <= 1, "nobody is answered twice");
}

/* All that are waited for come and go. */
static void check_end(void)
{
	if (master->transition.phase != PHASE_IDLE)
		happens(ENDS * SLOTS);
	for (unsigned round = 0; round < 2 * MOST_CHILDREN; round++)
		for (unsigned i = 0; i < 2 * SLOTS; i++)
			if (can_happen(COMES * SLOTS + i))
				happens(COMES * SLOTS + i);
	for (unsigned i = 0; i < play.asked; i++)
		must(play.questions[i].answers == 1, "everybody is answered");
}

/* ---- all histories ------------------------ */

static uint64_t seen[SEEN_ROOM];
static unsigned seen_count, played;

static bool is_new(uint64_t state)
{
	for (unsigned i = (unsigned)(state % SEEN_ROOM); seen[i] != 0; i = (i + 1) % SEEN_ROOM)
		if (seen[i] == state)
			return false;
	ck_assert_uint_lt(++seen_count, SEEN_ROOM / 2);
	for (unsigned i = (unsigned)(state % SEEN_ROOM);; i = (i + 1) % SEEN_ROOM) {
		if (seen[i] == 0) {
			seen[i] = state;
			return true;
		}
	}
}

/* What decides how it goes on. */
static uint64_t state_of(void)
{
	char text[512];
	int len = snprintf(text, sizeof(text), "%u %d", master->slot_count, (int)master->transition.phase);

	for (unsigned i = 0; i < SLOTS; i++) {
		const struct slot *slot = &master->slots[i];
		unsigned leavers = 0;

		FOR_EACH_CHILD(master, child)
			leavers += child->slot == i && child->state == CHILD_DRAINING;
		len += snprintf(text + len, sizeof(text) - (size_t)len, " %d%d%d%u%u", slot->held,
				slot->serving != NULL, timer_armed(&slot->respawn), leavers,
				slot->failures > 0);
	}
	for (unsigned i = 0; i < play.asked; i++)
		if (play.questions[i].answers == 0)
			len += snprintf(text + len, sizeof(text) - (size_t)len, " %u%d",
					play.questions[i].asker.slot, play.questions[i].asker.back);
	return hash_of((struct str){ text, (size_t)len }) | 1;
}

/* False: the last event cannot happen there. */
static bool play_all(const uint8_t *events, unsigned count)
{
	size_t len = 0;
	bool can = true;

	begin();
	history[0] = '\0';
	for (unsigned i = 0; i < count && can; i++) {
		struct view before = look();

		can = can_happen(events[i]);
		if (!can)
			break;
		len += (size_t)snprintf(history + len, sizeof(history) - len, " %s %u",
					kind_names[events[i] / SLOTS], events[i] % SLOTS);
		happens(events[i]);
		check(&before, events[i]);
	}
	return can;
}

struct history {
	uint8_t events[LONGEST], count;
};

static struct history queue[SEEN_ROOM / 2];

/* The shortest first, so that each state is met with as much as possible before it. */
static void explore(void)
{
	unsigned queued = 1;

	for (unsigned at = 0; at < queued; at++) {
		for (unsigned event = 0; event < EVENTS && queue[at].count < LONGEST; event++) {
			struct history longer = queue[at];
			bool go_on;

			longer.events[longer.count++] = (uint8_t)event;
			go_on = play_all(longer.events, longer.count) && is_new(state_of());
			played++;
			if (go_on) {
				check_end();
				queue[queued++] = longer;
			}
			end();
		}
	}
}

START_TEST(whatever_happens_to_slots_the_service_goes_on)
{
	explore();
	ck_assert_uint_gt(seen_count, 500);     /* it went somewhere */
	printf("%u histories, %u states\n", played, seen_count);
}
END_TEST

/* How long a stop waits for a balancer that was told so long ago; UINT64_MAX: not at all. */
static uint64_t delay_after(uint64_t told_ns)
{
	uint64_t left_ns = UINT64_MAX;

	begin();
	config.drain_delay_ns = 10 * CLOCK_S;
	master->loop.now_ns = 100 * CLOCK_S;
	master->hold.all = true;
	master->hold.since_ns = master->loop.now_ns - told_ns;
	master_stop(master, false);
	if (!stop_is_draining(master))
		left_ns = master->stop.timer.due_ns - master->loop.now_ns;
	timer_cancel(&master->stop.timer);
	hear();
	end();
	return left_ns;
}

START_TEST(a_stop_waits_for_what_is_left_of_the_delay)
{
	ck_assert_uint_eq(delay_after(3 * CLOCK_S), 7 * CLOCK_S);
	ck_assert_uint_eq(delay_after(10 * CLOCK_S), UINT64_MAX);
	ck_assert_uint_eq(delay_after(90 * CLOCK_S), UINT64_MAX);
}
END_TEST

/* A busy machine, or one that hangs. */
START_TEST(a_worker_that_stalls_for_a_moment_serves)
{
	begin();
	for (unsigned slot = 1; slot < SLOTS; slot++)
		master->slots[slot].rescue.hang = (struct hang){ .bad = true, .began_ns = 1 };
	master->loop.now_ns = 3 * CLOCK_S;
	ask(0, false);
	ck_assert(master->slots[0].held);
	end();
	begin();
	for (unsigned slot = 1; slot < SLOTS; slot++)
		master->slots[slot].rescue.hang = (struct hang){ .bad = true, .began_ns = 1 };
	master->loop.now_ns = 4 * CLOCK_S;
	ask(0, false);
	ck_assert(!master->slots[0].held && !play.questions[0].good && play.questions[0].answers == 1);
	end();
}
END_TEST

START_TEST(the_decision_is_a_table)
{
	for (unsigned i = 0; i < 1 << 5; i++) {
		struct hold_view view = { .back = i & 1, .exists = i & 2, .held = i & 4, .serves = i & 8,
					  .others = i & 16 };
		enum hold_verdict wanted = HOLD_NO_SLOT;

		if (view.exists && view.back)
			wanted = view.held ? HOLD_DO : view.serves ? HOLD_IS_SO : HOLD_WAIT;
		else if (view.exists)
			wanted = view.held ? HOLD_WAIT : view.others ? HOLD_DO : HOLD_LAST;
		ck_assert_int_eq(hold_decide(&view), wanted);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hold");
	TCase *tests = tcase_create("hold");
	SRunner *runner;
	struct log_setup quiet = { .least = LEVEL_ERROR, .target = { LOG_STREAM, -1, NULL } };
	struct err err;
	int fd, failed;

	log_open(NULL, &quiet);         /* thousands of workers come and go */
	board = board_create(setup.counter_names, setup.counters, setup.levels, &fd, &err);
	if (board == NULL || !channel_pair(ends, &err))
		return 1;
	tcase_set_timeout(tests, 100);
	tcase_add_test(tests, whatever_happens_to_slots_the_service_goes_on);
	tcase_add_test(tests, the_decision_is_a_table);
	tcase_add_test(tests, a_stop_waits_for_what_is_left_of_the_delay);
	tcase_add_test(tests, a_worker_that_stalls_for_a_moment_serves);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
