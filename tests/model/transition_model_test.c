/* transition_model_test.c - every interleaving of what can happen to the voters of one transition.
 *
 * The model holds up to four voters, some that serve (asked) and some that are fresh (called), and does with
 * the two pure functions of transition.c what reload.c does with them: vote(), count_votes(), commit(),
 * call_off(), done(). What has really happened to a voter is kept apart from its vote. All of it is in the
 * state, so that visiting every state once covers every history. */
#include "master/transition.h"

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_VOTERS = 4, SEEN_ROOM = 1 << 17 };

enum phase { PREPARING, GOING, DONE, CALLED_OFF, JUDGED };

/* What the commit meets: a listen(2) that works, one that fails; or the transition is a dry one. */
enum kind { KIND_GOOD, KIND_LISTEN_FAILS, KIND_DRY, KINDS };

struct voter {
	uint8_t vote;
	uint8_t gos;                    /* how many GO were sent to it */
	bool fresh;                     /* called rather than asked */
	bool alive;
	bool armed;                     /* its deadline runs */
	bool said_ready, said_failed, missed, said_adopted;
	bool replaced;                  /* killed because it was late after the commit */
};

struct model {
	struct voter voters[MOST_VOTERS];
	uint8_t count;
	uint8_t phase;
	uint8_t commits, call_offs, dones, judgements;
	bool listen_fails;              /* the commit's own last step fails */
	bool dry;                       /* called off where it would be committed: that was the question */
	bool bug;                       /* the table had no answer */
	bool committed_too_early;       /* somebody alive had not voted */
	bool go_before_commit;
};

/* One event and what it led to. */
struct moment {
	const struct model *before, *after;
	unsigned who;
	enum vote_event event;
	bool stale; /* a deadline that was cancelled but had been fired already, a message that crossed */
};

typedef void (*rule)(const struct moment *moment);

/* ---- what reload.c does ------------------------ */

static void count_votes(struct model *model);

static void commit(struct model *model)
{
	if (model->dry) {
		model->phase = JUDGED;
		model->judgements++;
		return;
	}
	if (model->listen_fails) {
		model->phase = CALLED_OFF;
		model->call_offs++;
		return;
	}
	for (unsigned i = 0; i < model->count; i++)
		if (model->voters[i].alive && !model->voters[i].said_ready)
			model->committed_too_early = true;
	model->phase = GOING;
	model->commits++;
	for (unsigned i = 0; i < model->count; i++) {
		struct voter *voter = &model->voters[i];
		struct vote_step next;

		if (voter->vote != VOTE_READY && voter->vote != VOTE_STANDBY)
			continue;
		next = transition_next(voter->vote, VOTER_GO);
		voter->vote = (uint8_t)next.vote;
		model->bug |= next.action != VOTE_ACT_SEND_GO;
		if (next.action == VOTE_ACT_SEND_GO) {
			voter->gos++;
			voter->armed = true;
		}
	}
	count_votes(model);
}

static void call_off(struct model *model)
{
	model->phase = CALLED_OFF;
	model->call_offs++;
}

static void count_votes(struct model *model)
{
	unsigned counts[VOTES] = { 0 };

	if (model->phase != PREPARING && model->phase != GOING)
		return;
	for (unsigned i = 0; i < model->count; i++)
		counts[model->voters[i].vote]++;
	switch (transition_verdict(counts, model->phase == GOING)) {
	case TRANSITION_WAIT:
		break;
	case TRANSITION_COMMIT:
		if (model->phase == GOING)
			model->commits++;       /* a second one: the rules will say so */
		else
			commit(model);
		break;
	case TRANSITION_NOBODY:
		call_off(model);
		break;
	case TRANSITION_DONE:
		model->phase = DONE;
		model->dones++;
		break;
	}
}

static void act(struct model *model, struct voter *voter, enum vote_action action)
{
	switch (action) {
	case VOTE_ACT_COUNT:
		count_votes(model);
		break;
	case VOTE_ACT_CALL_OFF:
		call_off(model);
		break;
	case VOTE_ACT_REPLACE:
		voter->replaced = true;
		count_votes(model);
		break;
	case VOTE_ACT_SEND_GO:
		voter->gos++;
		model->go_before_commit |= model->phase == PREPARING;
		break;
	case VOTE_ACT_IGNORE:
		break;
	default:
		model->bug = true;
	}
}

/* What is true now, whatever the table makes of it. */
static void record(struct voter *voter, enum vote_event event)
{
	if (event == VOTER_DIED)
		voter->alive = false;
	if (event == VOTER_LATE && voter->armed)
		voter->missed = true;
	if (event == VOTED_READY)
		voter->said_ready = true;
	if (event == VOTED_FAILED)
		voter->said_failed = true;
	if (event == VOTED_ADOPTED && !voter->replaced)
		voter->said_adopted = true;
	voter->armed = false;
}

static void happens(struct model *model, unsigned who, enum vote_event event)
{
	struct voter *voter = &model->voters[who];
	struct vote_step next = transition_next(voter->vote, event);

	record(voter, event);
	voter->vote = (uint8_t)next.vote;
	act(model, voter, next.action);
}

/* ---- what can happen ------------------------ */

/* A replaced one is about to die, but what it said before may still be in the channel. */
static bool can_happen(const struct voter *voter, enum vote_event event)
{
	if (!voter->alive)
		return false;
	switch (event) {
	case VOTED_READY:
	case VOTED_FAILED:
		return voter->replaced || (!voter->said_ready && !voter->said_failed);
	case VOTED_ADOPTED:
		return voter->replaced || (voter->gos > 0 && !voter->said_adopted);
	case VOTER_LATE:        /* on time, or stale: it crossed the word that it waited for */
		return voter->armed || voter->said_ready;
	case VOTER_DIED:
		return true;
	default:
		return false;   /* GO is the commit's */
	}
}

static bool is_stale(const struct voter *voter, enum vote_event event)
{
	return voter->replaced ? event != VOTER_DIED : event == VOTER_LATE && !voter->armed;
}

static bool is_open(const struct model *model)
{
	return model->phase == PREPARING || model->phase == GOING;
}

/* ---- every state, once ------------------------ */

static struct model *seen;
static unsigned seen_count;

static uint64_t hash_of(const struct model *model)
{
	const uint8_t *bytes = (const void *)model;
	uint64_t hash = UINT64_C(1469598103934665603);

	for (size_t i = 0; i < sizeof(*model); i++)
		hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
	return hash;
}

/* True the first time. */
static bool remember(const struct model *model)
{
	for (size_t at = hash_of(model) % SEEN_ROOM;; at = (at + 1) % SEEN_ROOM) {
		if (seen[at].count == UINT8_MAX) {
			if (++seen_count > SEEN_ROOM / 2)
				ck_abort_msg("more states than there is room for");
			seen[at] = *model;
			return true;
		}
		if (memcmp(&seen[at], model, sizeof(*model)) == 0)
			return false;
	}
}

static void explore(const struct model *model, rule check)
{
	if (!remember(model))
		return;
	for (unsigned who = 0; who < model->count && is_open(model); who++) {
		for (unsigned event = 0; event < VOTE_EVENTS; event++) {
			struct model after = *model;
			struct moment moment = { model, &after, who, event,
						 is_stale(&model->voters[who], event) };

			if (!can_happen(&model->voters[who], event))
				continue;
			happens(&after, who, event);
			check(&moment);
			explore(&after, check);
		}
	}
}

/* `fresh` has a bit for each voter that is called rather than asked. */
static struct model begin(unsigned count, unsigned fresh, enum kind kind)
{
	struct model model;

	memset(&model, 0, sizeof(model));
	model.count = (uint8_t)count;
	model.listen_fails = kind == KIND_LISTEN_FAILS;
	model.dry = kind == KIND_DRY;
	for (unsigned i = 0; i < count; i++) {
		bool is_fresh = (fresh >> i & 1) != 0;

		model.voters[i] = (struct voter){ .vote = is_fresh ? VOTE_CALLED : VOTE_ASKED,
						  .fresh = is_fresh,
						  .alive = true,
						  .armed = true };
	}
	count_votes(&model);
	return model;
}

/* One to four voters, every mixture that is not a mere renaming of another, every kind of commit. */
static void explore_all(rule check)
{
	unsigned total = 0;

	seen = malloc(SEEN_ROOM * sizeof(*seen));
	ck_assert_ptr_nonnull(seen);
	for (unsigned count = 1; count <= MOST_VOTERS; count++) {
		for (unsigned fresh = 0; fresh <= count; fresh++) {
			for (unsigned kind = KIND_GOOD; kind < KINDS; kind++) {
				struct model model = begin(count, (1u << fresh) - 1, kind);

				memset(seen, 0xff, SEEN_ROOM * sizeof(*seen));
				seen_count = 0;
				explore(&model, check);
				total += seen_count;
			}
		}
	}
	free(seen);
	ck_assert_uint_gt(total, 1000);
}

static const char *text_of(const struct model *model)
{
	static char text[2][512];
	static unsigned turn;
	static const char *const votes[VOTES] = { "none",    "asked", "called",  "ready",
						  "standby", "going", "adopted", "gone" };
	char *out = text[++turn % 2];
	size_t len = 0;

	for (unsigned i = 0; i < model->count; i++)
		len += (size_t)snprintf(out + len, sizeof(text[0]) - len, " %s%s",
					votes[model->voters[i].vote], model->voters[i].alive ? "" : "(dead)");
	snprintf(out + len, sizeof(text[0]) - len, ", phase %d", model->phase);
	return out;
}

/* Only a broken rule costs a message: there are too many moments for an assertion each. */
static void must(const struct moment *m, bool good, const char *rule_text)
{
	static const char *const events[VOTE_EVENTS] = { "READY", "FAILED", "DIED", "LATE", "GO", "ADOPTED" };

	if (!good)
		ck_abort_msg("%s:%s; voter %u %s%s ->%s", rule_text, text_of(m->before), m->who,
			     m->stale ? "stale " : "", events[m->event], text_of(m->after));
}

static bool was_preparing(const struct moment *m)
{
	return m->before->phase == PREPARING;
}

/* Voters that are alive and have not stopped the transition themselves. */
static unsigned living(const struct model *model)
{
	unsigned alive = 0;

	for (unsigned i = 0; i < model->count; i++)
		alive += model->voters[i].alive;
	return alive;
}

/* ---- rules ------------------------ */

static void is_no_bug(const struct moment *m)
{
	must(m, !m->after->bug, "an event that can happen has a row");
}

START_TEST(no_event_that_can_happen_is_a_bug)
{
	explore_all(is_no_bug);
}
END_TEST

static void commit_waits_for_all(const struct moment *m)
{
	must(m, !m->after->committed_too_early, "a commit waits for the word or the death of everybody");
}

START_TEST(nothing_is_committed_while_somebody_has_neither_voted_nor_died)
{
	explore_all(commit_waits_for_all);
}
END_TEST

static void ends_once(const struct moment *m)
{
	must(m, m->after->commits <= 1 && m->after->call_offs <= 1, "committed once, called off once");
	must(m, m->after->commits + m->after->call_offs <= 1, "committed or called off, never both");
}

START_TEST(a_transition_is_committed_or_called_off_and_never_both)
{
	explore_all(ends_once);
}
END_TEST

static void go_once_to_the_prepared(const struct moment *m)
{
	bool at_commit = m->before->commits == 0 && m->after->commits == 1;

	must(m, !m->after->go_before_commit, "no GO before the commit");
	for (unsigned i = 0; i < m->after->count; i++) {
		const struct voter *voter = &m->after->voters[i];
		bool due = at_commit ? voter->alive && voter->said_ready : m->before->voters[i].gos == 1;

		must(m, voter->gos == (due ? 1 : 0), "GO once to each that is prepared, at the commit");
	}
}

START_TEST(go_is_sent_once_to_each_prepared_voter_at_the_commit)
{
	explore_all(go_once_to_the_prepared);
}
END_TEST

static void fresh_death_calls_off(const struct moment *m)
{
	if (was_preparing(m) && m->event == VOTER_DIED && m->before->voters[m->who].fresh)
		must(m, m->after->phase == CALLED_OFF, "the plan failed");
}

START_TEST(the_death_of_a_fresh_worker_before_the_commit_calls_off)
{
	explore_all(fresh_death_calls_off);
}
END_TEST

static void serving_death_is_no_vote(const struct moment *m)
{
	bool serving_died = m->event == VOTER_DIED && !m->before->voters[m->who].fresh;

	if (was_preparing(m) && serving_died && living(m->after) > 0 && !m->before->listen_fails)
		must(m, m->after->phase != CALLED_OFF, "a crash that has nothing to do with the reload");
}

START_TEST(the_death_of_a_serving_worker_never_calls_off_while_others_live)
{
	explore_all(serving_death_is_no_vote);
}
END_TEST

static void nobody_left_calls_off(const struct moment *m)
{
	if (was_preparing(m) && living(m->after) == 0)
		must(m, m->after->phase == CALLED_OFF, "nobody is left to take it on");
}

START_TEST(the_death_of_the_last_voter_before_the_commit_calls_off)
{
	explore_all(nobody_left_calls_off);
}
END_TEST

static void refusal_calls_off(const struct moment *m)
{
	if (was_preparing(m) && m->event == VOTED_FAILED)
		must(m, m->after->phase == CALLED_OFF, "one that cannot is enough");
}

START_TEST(one_refusal_calls_off)
{
	explore_all(refusal_calls_off);
}
END_TEST

static void lateness_calls_off(const struct moment *m)
{
	if (was_preparing(m) && m->event == VOTER_LATE && !m->stale)
		must(m, m->after->phase == CALLED_OFF, "one that is late is enough");
}

START_TEST(one_missed_deadline_before_the_commit_calls_off)
{
	explore_all(lateness_calls_off);
}
END_TEST

static enum phase phase_of_commit(const struct model *model)
{
	return model->dry ? JUDGED : model->listen_fails ? CALLED_OFF : GOING;
}

static void last_ready_commits(const struct moment *m)
{
	bool all_ready = true;

	for (unsigned i = 0; i < m->after->count; i++)
		all_ready &= !m->after->voters[i].alive || m->after->voters[i].said_ready;
	if (was_preparing(m) && m->event == VOTED_READY && all_ready)
		must(m, m->after->phase == phase_of_commit(m->after), "all have voted");
}

START_TEST(the_last_ready_commits_at_once)
{
	explore_all(last_ready_commits);
}
END_TEST

static void call_off_has_a_reason(const struct moment *m)
{
	bool all_voted = true;

	for (unsigned i = 0; i < m->after->count; i++)
		all_voted &= !m->after->voters[i].alive || m->after->voters[i].said_ready;
	if (m->after->phase == CALLED_OFF && m->event == VOTED_READY)
		must(m, m->after->listen_fails && all_voted, "a READY calls off only by the failed listen");
}

START_TEST(a_ready_never_calls_off_unless_listen_fails)
{
	explore_all(call_off_has_a_reason);
}
END_TEST

static void dry_changes_nothing(const struct moment *m)
{
	if (!m->after->dry)
		return;
	must(m, m->after->commits == 0 && m->after->dones == 0, "a dry one is never committed");
	must(m, m->after->judgements + m->after->call_offs <= 1, "it has one answer");
	for (unsigned i = 0; i < m->after->count; i++)
		must(m, m->after->voters[i].gos == 0 && !m->after->voters[i].replaced,
		     "nobody is sent GO, or killed for being late after it");
}

START_TEST(a_dry_transition_is_never_committed_and_sends_no_go)
{
	explore_all(dry_changes_nothing);
}
END_TEST

/* The same event on the same votes, were it a real one. */
static void dry_tells_the_truth(const struct moment *m)
{
	struct model real = *m->before;

	if (!m->before->dry)
		return;
	real.dry = false;
	happens(&real, m->who, m->event);
	must(m, (m->after->phase == JUDGED) == (real.commits > 0),
	     "good where a real one would be committed");
	must(m, (m->after->phase == CALLED_OFF) == (real.phase == CALLED_OFF),
	     "bad where a real one would be called off");
}

START_TEST(a_dry_transition_is_good_exactly_where_a_real_one_would_be_committed)
{
	explore_all(dry_tells_the_truth);
}
END_TEST

/* What is stale or crossed must change nothing but what is on record. */
static void stale_is_harmless(const struct moment *m)
{
	if (!m->stale)
		return;
	must(m, m->after->phase == m->before->phase, "what crossed decides nothing");
	must(m, m->after->voters[m->who].vote == m->before->voters[m->who].vote, "what crossed is no vote");
	must(m, m->after->voters[m->who].replaced == m->before->voters[m->who].replaced,
	     "nobody is killed for it");
}

START_TEST(a_word_or_a_deadline_that_crossed_changes_nothing)
{
	explore_all(stale_is_harmless);
}
END_TEST

static void late_after_commit_is_replaced(const struct moment *m)
{
	bool late = m->before->phase == GOING && m->event == VOTER_LATE && !m->stale;

	must(m, m->after->voters[m->who].replaced == (m->before->voters[m->who].replaced || late),
	     "replaced when it is late after the commit, and only then");
}

START_TEST(who_is_late_after_the_commit_is_replaced_and_nobody_else)
{
	explore_all(late_after_commit_is_replaced);
}
END_TEST

static bool is_settled(const struct voter *voter)
{
	return !voter->alive || voter->said_adopted || voter->replaced;
}

static void done_when_all_are_settled(const struct moment *m)
{
	bool all = true;

	for (unsigned i = 0; i < m->after->count; i++)
		all &= is_settled(&m->after->voters[i]);
	if (m->after->commits == 1)
		must(m, (m->after->phase == DONE) == all,
		     "done as soon as all have adopted, died or are replaced");
}

START_TEST(a_committed_transition_is_done_exactly_when_everybody_is_settled)
{
	explore_all(done_when_all_are_settled);
}
END_TEST

/* The vote that the facts alone demand, while the transition is open. */
static enum vote vote_of(const struct voter *voter)
{
	if (!voter->alive || voter->replaced)
		return VOTE_GONE;
	if (voter->said_adopted)
		return VOTE_ADOPTED;
	if (voter->gos > 0)
		return VOTE_GOING;
	if (voter->said_ready)
		return voter->fresh ? VOTE_STANDBY : VOTE_READY;
	return voter->fresh ? VOTE_CALLED : VOTE_ASKED;
}

static void votes_fit_the_facts(const struct moment *m)
{
	if (m->after->phase == CALLED_OFF)
		return;
	for (unsigned i = 0; i < m->after->count; i++)
		must(m, m->after->voters[i].vote == vote_of(&m->after->voters[i]),
		     "a vote is what was said and done");
}

START_TEST(a_vote_is_always_what_the_voter_said_and_what_was_done_to_it)
{
	explore_all(votes_fit_the_facts);
}
END_TEST

static void deadlines_end_it(const struct moment *m)
{
	struct model model = *m->after;

	for (unsigned round = 0; round < 2 * MOST_VOTERS && is_open(&model); round++) {
		unsigned who = 0;

		while (who < model.count && !(model.voters[who].alive && model.voters[who].armed))
			who++;
		must(m, who < model.count, "an open transition has a deadline that runs");
		happens(&model, who, VOTER_LATE);
	}
	must(m, !is_open(&model), "when all deadlines have fired, it has ended");
}

START_TEST(no_transition_hangs_when_everybody_stays_silent)
{
	explore_all(deadlines_end_it);
}
END_TEST

static void deaths_end_it(const struct moment *m)
{
	struct model model = *m->after;

	for (unsigned who = 0; who < model.count && is_open(&model); who++)
		if (model.voters[who].alive)
			happens(&model, who, VOTER_DIED);
	must(m, !is_open(&model), "when everybody is dead, it has ended");
	must(m, !model.bug, "and no death was a surprise");
}

START_TEST(no_transition_hangs_when_everybody_dies)
{
	explore_all(deaths_end_it);
}
END_TEST

static bool phase_seen[JUDGED + 1];

static void note_phase(const struct moment *m)
{
	phase_seen[m->after->phase] = true;
}

START_TEST(every_phase_is_reached)
{
	explore_all(note_phase);
	for (unsigned phase = PREPARING; phase <= JUDGED; phase++)
		ck_assert_msg(phase_seen[phase], "phase %u is never reached", phase);
}
END_TEST

/* ---- the functions themselves ------------------------ */

static void check_is_bug(enum vote vote, enum vote_event event)
{
	struct vote_step step = transition_next(vote, event);

	if (step.action != VOTE_ACT_BUG || step.vote != vote)
		ck_abort_msg("event %d for vote %d is no bug: vote %d, action %d", (int)event, (int)vote,
			     (int)step.vote, (int)step.action);
}

START_TEST(who_takes_no_part_has_no_vote)
{
	for (unsigned event = 0; event < VOTE_EVENTS; event++)
		check_is_bug(VOTE_NONE, event);
}
END_TEST

START_TEST(go_to_a_voter_that_is_not_ready_is_a_bug)
{
	static const enum vote others[] = { VOTE_ASKED, VOTE_CALLED, VOTE_GOING, VOTE_ADOPTED, VOTE_GONE };

	for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		check_is_bug(others[i], VOTER_GO);
}
END_TEST

START_TEST(a_voter_has_one_vote)
{
	static const enum vote voted[] = { VOTE_READY, VOTE_STANDBY, VOTE_GOING, VOTE_ADOPTED };

	for (unsigned i = 0; i < sizeof(voted) / sizeof(voted[0]); i++) {
		check_is_bug(voted[i], VOTED_READY);
		check_is_bug(voted[i], VOTED_FAILED);
	}
}
END_TEST

START_TEST(adopted_before_go_is_a_bug)
{
	static const enum vote before[] = { VOTE_ASKED, VOTE_CALLED, VOTE_READY, VOTE_STANDBY };

	for (unsigned i = 0; i < sizeof(before) / sizeof(before[0]); i++)
		check_is_bug(before[i], VOTED_ADOPTED);
}
END_TEST

START_TEST(adopted_twice_is_a_bug)
{
	check_is_bug(VOTE_ADOPTED, VOTED_ADOPTED);
}
END_TEST

/* It keeps a vote, though: call_off tells everybody who took part, by what his process is doing. */
START_TEST(a_vote_that_stopped_the_transition_is_gone)
{
	static const enum vote voters[] = { VOTE_ASKED, VOTE_CALLED };

	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(transition_next(voters[i], VOTED_FAILED).vote, VOTE_GONE);
		ck_assert_int_eq(transition_next(voters[i], VOTER_LATE).vote, VOTE_GONE);
	}
}
END_TEST

START_TEST(a_dead_voter_is_gone_whatever_it_had_said)
{
	for (unsigned vote = VOTE_ASKED; vote < VOTES; vote++)
		ck_assert_int_eq(transition_next(vote, VOTER_DIED).vote, VOTE_GONE);
}
END_TEST

/* Whoever dies changes who is waited for: not to look again would be to wait for the dead. */
START_TEST(every_death_is_counted_or_calls_off)
{
	for (unsigned vote = VOTE_ASKED; vote < VOTES; vote++) {
		bool fails_the_plan = vote == VOTE_CALLED || vote == VOTE_STANDBY;

		ck_assert_int_eq(transition_next(vote, VOTER_DIED).action,
				 fails_the_plan ? VOTE_ACT_CALL_OFF : VOTE_ACT_COUNT);
	}
}
END_TEST

START_TEST(what_one_that_is_gone_had_still_to_say_is_ignored)
{
	static const enum vote_event words[] = { VOTED_READY, VOTED_FAILED, VOTED_ADOPTED, VOTER_LATE };

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		ck_assert_int_eq(transition_next(VOTE_GONE, words[i]).action, VOTE_ACT_IGNORE);
}
END_TEST

START_TEST(a_deadline_that_crossed_its_answer_is_ignored)
{
	static const enum vote answered[] = { VOTE_READY, VOTE_STANDBY, VOTE_ADOPTED };

	for (unsigned i = 0; i < sizeof(answered) / sizeof(answered[0]); i++)
		ck_assert_int_eq(transition_next(answered[i], VOTER_LATE).action, VOTE_ACT_IGNORE);
}
END_TEST

START_TEST(without_any_voter_the_commit_waits_for_nobody)
{
	unsigned counts[VOTES] = { 0 };

	ck_assert_int_eq(transition_verdict(counts, false), TRANSITION_COMMIT);
}
END_TEST

START_TEST(a_committed_transition_without_voters_is_done)
{
	unsigned counts[VOTES] = { 0 };

	ck_assert_int_eq(transition_verdict(counts, true), TRANSITION_DONE);
}
END_TEST

START_TEST(those_that_take_no_part_do_not_count)
{
	unsigned counts[VOTES] = { [VOTE_NONE] = 3, [VOTE_GONE] = 1 };

	ck_assert_int_eq(transition_verdict(counts, false), TRANSITION_NOBODY);
}
END_TEST

/* Every vote held by nobody, one or two. */
static void counts_of(unsigned number, unsigned counts[VOTES])
{
	for (unsigned vote = 0; vote < VOTES; vote++, number /= 3)
		counts[vote] = number % 3;
}

START_TEST(before_the_commit_the_silent_are_waited_for)
{
	unsigned counts[VOTES];

	for (unsigned number = 0; number < 6561; number++) {    /* 3^VOTES */
		bool silent;

		counts_of(number, counts);
		silent = counts[VOTE_ASKED] + counts[VOTE_CALLED] > 0;
		if ((transition_verdict(counts, false) == TRANSITION_WAIT) != silent)
			ck_abort_msg("counts %u", number);
	}
}
END_TEST

START_TEST(after_the_commit_only_those_going_are_waited_for)
{
	unsigned counts[VOTES];

	for (unsigned number = 0; number < 6561; number++) {
		enum transition_verdict wanted;

		counts_of(number, counts);
		wanted = counts[VOTE_GOING] > 0 ? TRANSITION_WAIT : TRANSITION_DONE;
		if (transition_verdict(counts, true) != wanted)
			ck_abort_msg("counts %u", number);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("transition");
	TCase *tests = tcase_create("every interleaving"), *rest = tcase_create("the functions");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, no_event_that_can_happen_is_a_bug);
	tcase_add_test(tests, nothing_is_committed_while_somebody_has_neither_voted_nor_died);
	tcase_add_test(tests, a_transition_is_committed_or_called_off_and_never_both);
	tcase_add_test(tests, go_is_sent_once_to_each_prepared_voter_at_the_commit);
	tcase_add_test(tests, the_death_of_a_fresh_worker_before_the_commit_calls_off);
	tcase_add_test(tests, the_death_of_a_serving_worker_never_calls_off_while_others_live);
	tcase_add_test(tests, the_death_of_the_last_voter_before_the_commit_calls_off);
	tcase_add_test(tests, one_refusal_calls_off);
	tcase_add_test(tests, one_missed_deadline_before_the_commit_calls_off);
	tcase_add_test(tests, the_last_ready_commits_at_once);
	tcase_add_test(tests, a_ready_never_calls_off_unless_listen_fails);
	tcase_add_test(tests, a_dry_transition_is_never_committed_and_sends_no_go);
	tcase_add_test(tests, a_dry_transition_is_good_exactly_where_a_real_one_would_be_committed);
	tcase_add_test(tests, a_word_or_a_deadline_that_crossed_changes_nothing);
	tcase_add_test(tests, who_is_late_after_the_commit_is_replaced_and_nobody_else);
	tcase_add_test(tests, a_committed_transition_is_done_exactly_when_everybody_is_settled);
	tcase_add_test(tests, a_vote_is_always_what_the_voter_said_and_what_was_done_to_it);
	tcase_add_test(tests, no_transition_hangs_when_everybody_stays_silent);
	tcase_add_test(tests, no_transition_hangs_when_everybody_dies);
	tcase_add_test(tests, every_phase_is_reached);
	suite_add_tcase(suite, rest);
	tcase_add_test(rest, who_takes_no_part_has_no_vote);
	tcase_add_test(rest, go_to_a_voter_that_is_not_ready_is_a_bug);
	tcase_add_test(rest, a_voter_has_one_vote);
	tcase_add_test(rest, adopted_before_go_is_a_bug);
	tcase_add_test(rest, adopted_twice_is_a_bug);
	tcase_add_test(rest, a_vote_that_stopped_the_transition_is_gone);
	tcase_add_test(rest, a_dead_voter_is_gone_whatever_it_had_said);
	tcase_add_test(rest, every_death_is_counted_or_calls_off);
	tcase_add_test(rest, what_one_that_is_gone_had_still_to_say_is_ignored);
	tcase_add_test(rest, a_deadline_that_crossed_its_answer_is_ignored);
	tcase_add_test(rest, without_any_voter_the_commit_waits_for_nobody);
	tcase_add_test(rest, a_committed_transition_without_voters_is_done);
	tcase_add_test(rest, those_that_take_no_part_do_not_count);
	tcase_add_test(rest, before_the_commit_the_silent_are_waited_for);
	tcase_add_test(rest, after_the_commit_only_those_going_are_waited_for);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
