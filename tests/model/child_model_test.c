/* child_model_test.c - every history of a worker process, up to a length, against what has really happened to
 * it.
 *
 * The environment is a process that exists until it was reaped, may say READY whenever it exists (also when
 * it was told to drain or was killed: the message crossed), and is sent GO only when it is prepared. The
 * facts are kept apart from the table: they change by what was said and by the actions that the table asked
 * for. */
#include "master/child.h"

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 7 };

struct facts {
	enum child_state state;         /* what the table says */
	bool exists;                    /* forked and not reaped */
	bool prepared;                  /* a READY was counted and no GO has answered it */
	bool was_prepared, started, draining, signalled;
};

/* One event: what was before, what the table said, what is after. */
struct moment {
	struct facts before, after;
	enum child_event event;
	struct step step;
	const char *history;
};

typedef void (*rule)(const struct moment *moment);

static const char *const event_names[CHILD_EVENTS] = { "READY", "GO", "EXITED", "DEADLINE", "RETIRE" };

static const struct facts newborn = { .state = CHILD_STARTING, .exists = true };

static unsigned long moments_seen;

static bool can_happen(const struct facts *facts, enum child_event event)
{
	if (!facts->exists)
		return false;
	return event != EV_GO || facts->prepared;
}

static void apply(struct facts *facts, enum child_event event, struct step step)
{
	facts->state = step.state;
	if (event == EV_EXITED)
		facts->exists = false;
	if (step.action == ACT_COUNT_READY)
		facts->prepared = facts->was_prepared = true;
	if (step.action == ACT_START)
		facts->started = true;
	if (step.action == ACT_SEND_DRAIN)
		facts->draining = true;
	if (step.action == ACT_KILL || step.action == ACT_ABORT)
		facts->signalled = true;
	if (event == EV_GO || facts->draining || facts->signalled)
		facts->prepared = false;
}

static void explore(const struct facts *facts, const char *history, unsigned depth, rule check)
{
	for (unsigned event = 0; event < CHILD_EVENTS && depth < LONGEST; event++) {
		char longer[256];
		struct moment moment = {
			.before = *facts, .after = *facts, .event = event, .history = longer
		};

		if (!can_happen(facts, event))
			continue;
		snprintf(longer, sizeof(longer), "%s %s", history, event_names[event]);
		moment.step = child_next(facts->state, event);
		apply(&moment.after, event, moment.step);
		moments_seen++;
		check(&moment);
		explore(&moment.after, longer, depth + 1, check);
	}
}

static void explore_all(rule check)
{
	moments_seen = 0;
	explore(&newborn, "", 0, check);
	ck_assert_uint_gt(moments_seen, 1000);  /* the exploration itself went somewhere */
}

/* Only a broken rule costs a message: there are too many moments for an assertion each. */
static void must(const struct moment *moment, bool good, const char *rule_text)
{
	if (!good)
		ck_abort_msg("%s: after%s: %s -> %s, action %d", rule_text, moment->history,
			     child_state_names[moment->before.state], child_state_names[moment->step.state],
			     (int)moment->step.action);
}

/* ---- rules ------------------------ */

static void is_no_bug(const struct moment *m)
{
	must(m, m->step.action != ACT_BUG && m->step.action != ACT_NONE,
	     "an event that can happen has a row");
}

START_TEST(no_event_that_can_happen_is_a_bug)
{
	explore_all(is_no_bug);
}
END_TEST

/* The state that the facts alone demand. */
static enum child_state state_of(const struct facts *facts)
{
	if (!facts->exists)
		return CHILD_GONE;
	if (facts->signalled)
		return CHILD_KILLED;
	if (facts->draining)
		return CHILD_DRAINING;
	if (facts->started)
		return CHILD_SERVING;
	return facts->was_prepared ? CHILD_STANDBY : CHILD_STARTING;
}

static void state_fits_the_facts(const struct moment *m)
{
	must(m, m->after.state == state_of(&m->after), "the state is what was really done to the process");
}

START_TEST(the_state_is_always_what_was_done_to_the_process)
{
	explore_all(state_fits_the_facts);
}
END_TEST

static void gone_means_reaped(const struct moment *m)
{
	must(m, (m->step.state == CHILD_GONE) == (m->event == EV_EXITED),
	     "gone by EXITED and by nothing else");
}

START_TEST(nothing_but_the_reaping_makes_a_child_gone)
{
	explore_all(gone_means_reaped);
}
END_TEST

static void start_comes_by_go(const struct moment *m)
{
	bool may_start = m->before.state == CHILD_STANDBY || m->before.state == CHILD_SERVING;

	must(m, (m->step.action == ACT_START) == (m->event == EV_GO), "GO starts, nothing else does");
	must(m, m->step.action != ACT_START || may_start, "only a prepared child is started");
}

START_TEST(only_go_starts_a_child_and_only_one_that_is_prepared)
{
	explore_all(start_comes_by_go);
}
END_TEST

static void serving_is_entered_by_go(const struct moment *m)
{
	if (m->step.state == CHILD_SERVING && m->before.state != CHILD_SERVING)
		must(m, m->event == EV_GO && m->before.state == CHILD_STANDBY,
		     "serving begins by GO in standby");
}

START_TEST(serving_is_entered_by_go_from_standby_only)
{
	explore_all(serving_is_entered_by_go);
}
END_TEST

static void serving_is_never_retired_by_a_signal(const struct moment *m)
{
	bool has_clients = m->before.state == CHILD_SERVING || m->before.state == CHILD_DRAINING;

	if (m->event == EV_RETIRE && has_clients)
		must(m, m->step.action == ACT_SEND_DRAIN && m->step.state == CHILD_DRAINING,
		     "a child with clients drains");
}

START_TEST(a_child_with_clients_that_retires_is_told_to_drain)
{
	explore_all(serving_is_never_retired_by_a_signal);
}
END_TEST

static void without_clients_retirement_is_a_kill(const struct moment *m)
{
	bool never_served = m->before.state == CHILD_STARTING || m->before.state == CHILD_STANDBY;

	if (m->event == EV_RETIRE && never_served)
		must(m, m->step.action == ACT_KILL, "a child without clients has nothing to drain");
}

START_TEST(a_child_without_clients_that_retires_is_killed)
{
	explore_all(without_clients_retirement_is_a_kill);
}
END_TEST

static void killed_is_retired_already(const struct moment *m)
{
	if (m->event == EV_RETIRE && m->before.signalled)
		must(m, m->step.action == ACT_IGNORE, "a killed child is retired already");
}

START_TEST(retiring_a_killed_child_is_ignored)
{
	explore_all(killed_is_retired_already);
}
END_TEST

static void every_exit_has_its_consequence(const struct moment *m)
{
	const struct facts *was = &m->before;
	enum child_action wanted = was->signalled ? ACT_SETTLE
				 : was->draining  ? ACT_FORGET
				 : was->started   ? ACT_RESPAWN_NOW
						  : ACT_RESPAWN_LATER;

	if (m->event == EV_EXITED)
		must(m, m->step.action == wanted, "killed: settle; drained: forget; served: now; else later");
}

START_TEST(who_served_is_respawned_at_once_who_drained_never_the_others_later)
{
	explore_all(every_exit_has_its_consequence);
}
END_TEST

static void consequences_need_an_exit(const struct moment *m)
{
	bool is_consequence = m->step.action == ACT_RESPAWN_NOW || m->step.action == ACT_RESPAWN_LATER ||
			      m->step.action == ACT_SETTLE || m->step.action == ACT_FORGET;

	must(m, !is_consequence || m->event == EV_EXITED, "no respawn while the process exists");
}

START_TEST(nobody_is_respawned_while_the_process_exists)
{
	explore_all(consequences_need_an_exit);
}
END_TEST

static void deadline_is_a_signal(const struct moment *m)
{
	if (m->event == EV_DEADLINE)
		must(m, m->step.action == (m->before.state == CHILD_SERVING ? ACT_ABORT : ACT_KILL),
		     "a deadline kills; a serving child leaves a trace first");
}

START_TEST(a_deadline_aborts_a_serving_child_and_kills_any_other)
{
	explore_all(deadline_is_a_signal);
}
END_TEST

static void aborted_once(const struct moment *m)
{
	must(m, m->step.action != ACT_ABORT || !m->before.signalled, "a second signal is SIGKILL");
}

START_TEST(a_child_that_was_signalled_gets_sigkill_next)
{
	explore_all(aborted_once);
}
END_TEST

static void ready_counts_while_it_can_serve(const struct moment *m)
{
	bool on_its_way_out = m->before.draining || m->before.signalled;

	if (m->event == EV_READY)
		must(m, m->step.action == (on_its_way_out ? ACT_IGNORE : ACT_COUNT_READY),
		     "READY counts unless the child is leaving");
}

START_TEST(ready_is_counted_from_those_that_stay_and_ignored_from_those_that_leave)
{
	explore_all(ready_counts_while_it_can_serve);
}
END_TEST

static void ready_moves_nobody_but_a_starting_one(const struct moment *m)
{
	if (m->event == EV_READY && m->before.state != CHILD_STARTING)
		must(m, m->step.state == m->before.state, "READY changes the state of a starting child only");
}

START_TEST(ready_changes_the_state_of_a_starting_child_only)
{
	explore_all(ready_moves_nobody_but_a_starting_one);
}
END_TEST

static void the_way_out_is_one_way(const struct moment *m)
{
	static const unsigned rank[CHILD_STATES] = {
		[CHILD_STARTING] = 0, [CHILD_STANDBY] = 1, [CHILD_SERVING] = 2, [CHILD_DRAINING] = 3,
		[CHILD_KILLED] = 4, [CHILD_GONE] = 5,
	};

	must(m, rank[m->step.state] >= rank[m->before.state], "a life has no way back");
}

START_TEST(a_life_never_goes_back)
{
	explore_all(the_way_out_is_one_way);
}
END_TEST

static void can_be_ended(const struct moment *m)
{
	enum child_state state = m->after.state;

	if (!m->after.exists)
		return;
	for (unsigned i = 0; i < 2 && state != CHILD_KILLED; i++)
		state = child_next(state, EV_DEADLINE).state;
	must(m, state == CHILD_KILLED, "a deadline leads to the kill");
	must(m, child_next(state, EV_EXITED).state == CHILD_GONE, "the kill leads to the reaping");
}

START_TEST(every_living_child_can_be_ended)
{
	explore_all(can_be_ended);
}
END_TEST

/* ---- what cannot happen ------------------------ */

static void check_is_bug(enum child_state state, enum child_event event)
{
	struct step step = child_next(state, event);

	if (step.action != ACT_BUG || step.state != state)
		ck_abort_msg("%s in %s is no bug: %s, action %d", event_names[event],
			     child_state_names[state], child_state_names[step.state], (int)step.action);
}

START_TEST(gone_is_final)
{
	for (unsigned event = 0; event < CHILD_EVENTS; event++)
		check_is_bug(CHILD_GONE, event);
}
END_TEST

START_TEST(go_to_a_child_that_is_not_prepared_is_a_bug)
{
	check_is_bug(CHILD_STARTING, EV_GO);
}
END_TEST

START_TEST(go_to_a_child_that_leaves_is_a_bug)
{
	check_is_bug(CHILD_DRAINING, EV_GO);
	check_is_bug(CHILD_KILLED, EV_GO);
}
END_TEST

static bool seen[CHILD_STATES];

static void note_state(const struct moment *m)
{
	seen[m->after.state] = true;
}

START_TEST(every_state_is_reached)
{
	explore_all(note_state);
	seen[CHILD_STARTING] = true;
	for (unsigned state = 0; state < CHILD_STATES; state++)
		ck_assert_msg(seen[state], "%s is never reached", child_state_names[state]);
}
END_TEST

START_TEST(every_state_has_a_name_of_its_own)
{
	for (unsigned a = 0; a < CHILD_STATES; a++)
		for (unsigned b = 0; b < a; b++)
			ck_assert_str_ne(child_state_names[a], child_state_names[b]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("child");
	TCase *tests = tcase_create("every history"), *rest = tcase_create("the rest");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, no_event_that_can_happen_is_a_bug);
	tcase_add_test(tests, the_state_is_always_what_was_done_to_the_process);
	tcase_add_test(tests, nothing_but_the_reaping_makes_a_child_gone);
	tcase_add_test(tests, only_go_starts_a_child_and_only_one_that_is_prepared);
	tcase_add_test(tests, serving_is_entered_by_go_from_standby_only);
	tcase_add_test(tests, a_child_with_clients_that_retires_is_told_to_drain);
	tcase_add_test(tests, a_child_without_clients_that_retires_is_killed);
	tcase_add_test(tests, retiring_a_killed_child_is_ignored);
	tcase_add_test(tests, who_served_is_respawned_at_once_who_drained_never_the_others_later);
	tcase_add_test(tests, nobody_is_respawned_while_the_process_exists);
	tcase_add_test(tests, a_deadline_aborts_a_serving_child_and_kills_any_other);
	tcase_add_test(tests, a_child_that_was_signalled_gets_sigkill_next);
	tcase_add_test(tests, ready_is_counted_from_those_that_stay_and_ignored_from_those_that_leave);
	tcase_add_test(tests, ready_changes_the_state_of_a_starting_child_only);
	tcase_add_test(tests, a_life_never_goes_back);
	tcase_add_test(tests, every_living_child_can_be_ended);
	tcase_add_test(tests, every_state_is_reached);
	suite_add_tcase(suite, rest);
	tcase_add_test(rest, gone_is_final);
	tcase_add_test(rest, go_to_a_child_that_is_not_prepared_is_a_bug);
	tcase_add_test(rest, go_to_a_child_that_leaves_is_a_bug);
	tcase_add_test(rest, every_state_has_a_name_of_its_own);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
