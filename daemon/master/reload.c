/* reload.c - the transition from one generation to the next, as a two-phase commit (DESIGN, sections 4 and
 * 5).
 *
 *	ask -> checker -> logs, sockets, fresh workers -> PREPARE to all -> READY from all -> listen, commit
 *	    -> GO to all -> ADOPTED from all -> removed listeners closed, surplus workers retired -> answer
 *
 * Until the commit a failure anywhere calls the transition off: everything goes on as before, and whoever
 * asked is told which step failed and why. After the commit there is no way back: whoever dies is respawned
 * with the new generation, whoever is late is replaced. The start of the service is the same transition, from
 * nothing; a dry one is the same up to the commit, and is called off there whatever the votes.
 */
#include "arrivals.h"
#include "degraded.h"
#include "departure.h"
#include "logs.h"
#include "master.h"
#include "notify.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/privilege.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void start(struct master *master);
static void start_dry(struct master *master);
static void start_change(struct master *master);

/* ---- the end ----------------------------------------------------------------------------------------- */

static void record(struct master *master, const struct outcome *outcome)
{
	outcome_keep(outcome, master->last_reload);
	master->last_reload_good = outcome->good;
	master->last_reload_at = clock_wall();
	if (outcome->good)
		master->reloads_good++;
	else
		master->reloads_bad++;
}

/* An upgrade first, then reloads, then log files: who only asks can wait. */
void reload_continue(struct master *master)
{
	struct transition *transition = &master->transition;

	if (master_is_stopping(master) || transition->phase != PHASE_IDLE || upgrade_is_open(master) ||
	    upgrade_continue(master))
		return;
	if (transition->again) {
		list_move_all(&transition->askers, &transition->later);
		transition->again = false;
		transition->replace = transition->again_replace;
		transition->again_replace = false;
		start(master);
		return;
	}
	hold_continue(master);
	if (!list_empty(&transition->changes)) {
		start_change(master);
		return;
	}
	reopen_continue(master);
	if (!list_empty(&transition->checks))
		start_dry(master);
}

static void finish(struct master *master, const struct outcome *outcome)
{
	struct transition *transition = &master->transition;
	bool dry = transition->dry;
	bool again = outcome->text == NULL;     /* nobody is told: it begins anew */

	transition->phase = PHASE_IDLE;
	transition->dry = false;
	departure_check(master);
	FOR_EACH_CHILD(master, child)
		child->vote = VOTE_NONE;
	if (!dry && !again && !master->tuning.alone) {
		record(master, outcome);
		tell_reload(master, outcome, transition->number == 1);
	} else if (outcome->good && !dry && !again) {
		tell_news(master);
	}
	if (!dry && !again && !master_is_stopping(master) && !master_was_start(master) &&
	    !upgrade_is_open(master))
		notify_ready(master);
	askers_answer(&transition->askers, outcome);
	if (!outcome->good && master_was_start(master) && !master_is_stopping(master)) {
		snprintf(master->failure, sizeof(master->failure), "%s", outcome->text);
		master_stop(master, true);
	}
	rescue_look(master);            /* who hung meanwhile is ended before the next one asks it, too */
	reload_continue(master);
}

static void catch_up(struct child *child);

/* Before the commit: nothing has changed anywhere, and what was made for the transition goes. */
static void back_out(struct master *master, struct outcome *outcome)
{
	struct transition *transition = &master->transition;
	struct preflight *findings = transition->next.findings;
	struct err err;

	FOR_EACH_CHILD(master, child) {
		bool took_part = child->vote != VOTE_NONE && child->asked == transition->number;

		child->vote = VOTE_NONE;
		if (took_part && (child->state == CHILD_STARTING || child->state == CHILD_STANDBY)) {
			child_happens(child, EV_RETIRE);
		} else if (took_part && child->state == CHILD_SERVING) {
			timer_cancel(&child->deadline);
			child->asked = child->generation;
			if (!channel_tell(child->channel.fd, MESSAGE_ABORT, transition->number, &err))
				log_event(LEVEL_WARNING, "worker_unreachable",
					  log_number("slot", child->slot), log_text("error", err.text));
		}
	}
	sockets_abort(master);
	sites_take_back(master);
	transition->next.findings = NULL;
	verdict_release(&transition->next);
	/* it may have overtaken an older question */
	if (!master_was_start(master) && !master_is_stopping(master))
		FOR_EACH_CHILD(master, child)
			catch_up(child);
	outcome->findings = findings;
	finish(master, outcome);
	free(findings);
}

static void call_off(struct master *master, const char *step, const char *why)
{
	struct transition *transition = &master->transition;
	char text[PROBLEMS_MAX_BYTES + 64];     /* every line that the checker had to say */
	struct outcome outcome = { .wrong = transition->wrong, .text = text };

	if (master->tuning.alone && transition->wrong)
		snprintf(text, sizeof(text), "refused: %s", why);
	else
		snprintf(text, sizeof(text), "%s at %s: %s", transition->dry ? "would fail" : "failed", step,
			 why);
	if (transition->dry)
		log_event(LEVEL_INFO, "check_done", log_text("verdict", text));
	else if (master->tuning.alone)  /* whoever typed it is told: nothing for somebody to be woken by */
		log_event(LEVEL_NOTICE, "settings_refused", log_text("step", step), log_text("error", why));
	else if (!master_was_start(master))     /* a failed start is said to whoever typed it, by master.c */
		log_event(LEVEL_ERROR, "reload_failed", log_text("step", step), log_text("error", why));
	transition->confined = false;
	back_out(master, &outcome);
}

/* All have voted, and that is all that was asked. */
static void call_off_dry(struct master *master)
{
	char text[1024];
	struct outcome outcome = { .good = true, .text = text, .changes = dry_changes(master) };

	dry_describe(master, text, sizeof(text));
	log_event(LEVEL_INFO, "check_done", log_text("verdict", text));
	back_out(master, &outcome);
	json_decref(outcome.changes);
}

static void done(struct master *master)
{
	const struct transition *transition = &master->transition;
	uint64_t took_ms = (master->loop.now_ns - transition->started_ns) / CLOCK_MS;
	char text[512];
	bool first = master->current.generation->number == 1;

	sockets_sweep(master);
	slots_trim(master);
	slots_publish(master);
	for (unsigned i = 0; i < master->slot_count; i++)       /* who died meanwhile, or was never there */
		if (!timer_armed(&master->slots[i].respawn))
			slot_respawn(&master->slots[i], NULL);
	snprintf(text, sizeof(text), "generation %llu with %u worker%s after %llu ms%s%s",
		 (unsigned long long)transition->number, master->slot_count,
		 master->slot_count == 1 ? "" : "s", (unsigned long long)took_ms,
		 transition->notes[0] != '\0' ? "; " : "", transition->notes);
	log_event(LEVEL_NOTICE, first ? "serving" : "reload_done",
		  log_number("generation", transition->number), log_number("workers", master->slot_count),
		  log_number("took_ms", took_ms),
		  transition->notes[0] != '\0' ? log_text("notes", transition->notes)
					       : (struct log_field){ 0 });
	findings_log(master);
	finish(master, &(struct outcome){ .good = true, .text = text });
}

/* ---- votes ------------------------------------------------------------------------------------------- */

static void commit(struct master *master);
static void ask_more(struct master *master);

static void count_votes(struct master *master)
{
	struct transition *transition = &master->transition;
	unsigned counts[VOTES] = { 0 };

	if (transition->phase != PHASE_PREPARING && transition->phase != PHASE_GOING)
		return;
	FOR_EACH_CHILD(master, child)
		counts[child->vote]++;
	counts[VOTE_GONE] += transition->buried;
	switch (transition_verdict(counts, transition->phase == PHASE_GOING)) {
	case TRANSITION_WAIT:
		break;
	case TRANSITION_COMMIT:
		if (!plan_is_done(master))
			ask_more(master);
		else
			commit(master);
		break;
	case TRANSITION_NOBODY:
		call_off(master, "prepare", "every worker that was asked died");
		break;
	case TRANSITION_DONE:
		if (!release_is_open(master))   /* removed addresses are let go first */
			done(master);
		break;
	}
}

/* Whoever has voted has taken what it was sent. */
static void ask_more(struct master *master)
{
	struct err err;

	if (plan_ask(master, &err))
		count_votes(master);
	else
		call_off(master, "fork", err.text);
}

/* Feeds an event to the child's vote and acts on it. */
static void vote(struct child *child, enum vote_event event, const char *step, const char *why)
{
	struct master *master = child->master;
	struct vote_step next;

	if (child->vote == VOTE_NONE)
		return;
	next = transition_next(child->vote, event);
	child->vote = next.vote;
	switch (next.action) {
	case VOTE_ACT_COUNT:
		count_votes(master);
		break;
	case VOTE_ACT_CALL_OFF:
		call_off(master, step, why);
		break;
	case VOTE_ACT_REPLACE:
		upgrade_child_late(child);
		child_happens(child, EV_DEADLINE);
		count_votes(master);
		break;
	case VOTE_ACT_SEND_GO:
		child_go(child);
		break;
	case VOTE_ACT_BUG:
		log_event(LEVEL_ERROR, "bug_vote_event", log_number("slot", child->slot),
			  log_number("vote", child->vote), log_number("vote_event", event));
		break;
	default:
		break;
	}
}

/* ---- the commit -------------------------------------------------------------------------------------- */

/* Those that serve, were not asked (they began to serve meanwhile), are behind, and have no successor
 * coming. */
static void catch_up(struct child *child)
{
	const struct master *master = child->master;
	struct slot *slot = &child->master->slots[child->slot];
	struct err err;

	if (child->state != CHILD_SERVING || child->asked >= master->current.generation->number ||
	    child->slot >= master->slot_count || slot->serving != child || slot->next != NULL)
		return;
	if (child->born < master->fresh_since) { /* as another user, say: it cannot become what is wanted */
		slot->replace = true;
		slot_renew(slot);
		return;
	}
	if (!spawn_ask(child, &child->master->current, &err)) {
		log_event(LEVEL_ERROR, "worker_unreachable", log_number("slot", child->slot),
			  log_text("error", err.text));
		child_happens(child, EV_DEADLINE);
	}
}

static void mark_replacements(struct master *master)
{
	FOR_EACH_CHILD(master, child) {
		struct slot *slot = &master->slots[child->slot];

		/* should the fresh one die before it serves, the slot is tried again */
		if (child->vote == VOTE_STANDBY && slot->serving != NULL)
			slot->replace = true;
	}
}

/* The addresses that the reload removed have been let go by all workers. */
static void removed(struct master *master)
{
	if (master->transition.phase == PHASE_GOING)
		count_votes(master);
	else
		sockets_sweep(master);  /* a stop came between */
}

static void commit(struct master *master)
{
	struct transition *transition = &master->transition;
	struct verdict old = master->current;
	struct err err;

	if (transition->dry) {
		call_off_dry(master);
		return;
	}
	if (!sockets_commit(master, &err)) {
		call_off(master, "listen", err.text);
		return;
	}
	transition->phase = PHASE_GOING;
	if (transition->replaces)
		master->fresh_since = transition->number;
	master->current = transition->next;
	master->slot_count = master->current.slots;
	master->commits[transition->number % COMMITS_KNOWN] =
		(struct commit){ transition->number, master->loop.now_ns };
	transition->next = (struct verdict){ .text = -1, .base = -1, .error_log = -1, .access_log = -1 };
	tuning_commit(master);
	sockets_settle(master);
	arrivals_watch(master);
	logs_switch(master);
	privilege_show(master->current.generation->config->core_dumps);
	degraded_log(master->current.generation->config,
		     old.generation != NULL ? old.generation->config : NULL);
	steer_apply(master);
	tell_news(master);
	slots_publish_seats(master);    /* first: the program gives nobody who retires a connection */
	verdict_release(&old);
	mark_replacements(master);
	FOR_EACH_CHILD(master, child)
		if (child->vote == VOTE_READY || child->vote == VOTE_STANDBY)
			vote(child, VOTER_GO, "", "");
	FOR_EACH_CHILD(master, child)
		catch_up(child);
	if (sockets_leave(master))
		release_begin(master, false, RELEASE_SETTLE_NS, removed);
	count_votes(master);
}

/* ---- what children say ------------------------------------------------------------------------------- */

static bool is_voter(const struct child *child, uint64_t generation)
{
	return child->vote != VOTE_NONE && generation == child->master->transition.number;
}

void reload_child_ready(struct child *child, uint64_t generation)
{
	struct master *master = child->master;
	struct err err;

	if (generation != child->asked || child->state == CHILD_KILLED || child->state == CHILD_DRAINING)
		return;         /* for something that was called off or superseded */
	timer_cancel(&child->deadline);
	child_happens(child, EV_READY);
	if (is_voter(child, generation))
		vote(child, VOTED_READY, "", "");
	else if (master->current.generation != NULL && generation == master->current.generation->number)
		child_go(child);
	else if (master->current.generation == NULL || child->born < master->fresh_since ||
		 !spawn_ask(child, &master->current, &err))
		child_happens(child, EV_RETIRE);        /* and its exit respawns the slot */
}

void reload_child_failed(struct child *child, uint64_t generation, const char *why)
{
	char text[ERR_TEXT_BYTES];

	if (generation != child->asked || child->state == CHILD_KILLED)
		return;
	timer_cancel(&child->deadline);
	snprintf(text, sizeof(text), "slot %u: %s", child->slot, why);
	if (is_voter(child, generation)) {
		vote(child, VOTED_FAILED, "prepare", text);
		return;
	}
	log_event(LEVEL_ERROR, "worker_cannot_prepare", log_number("slot", child->slot),
		  log_text("error", why));
	if (child->state != CHILD_SERVING) {
		child_happens(child, EV_RETIRE);
		return;
	}
	/* it serves on by what it has until a fresh one follows */
	child->master->slots[child->slot].replace = child->master->slots[child->slot].serving == child;
	slot_respawn(&child->master->slots[child->slot], NULL);
}

/* What the workers' sandbox was made for is gone, though it has the same name: only fresh ones serve that. */
static void begin_anew(struct master *master)
{
	struct transition *transition = &master->transition;

	if (master->tuning.changes) {   /* again the same change, alone; if its caller has left, none */
		struct list *link = list_pop_front(&transition->askers);

		if (link != NULL) {
			LIST_ENTRY(link, struct asker, link)->change->replace = true;
			list_push_front(&transition->changes, link);
		}
	} else {
		list_move_all(&transition->later, &transition->askers);
		transition->again = true;
		transition->again_replace = true;
	}
	transition->confined = true;
	back_out(master, &(struct outcome){ .good = true });
}

void reload_child_confined(struct child *child, uint64_t generation, const char *why)
{
	struct transition *transition = &child->master->transition;

	/* what else a worker says, and when, the table knows: after the commit there is no beginning anew */
	if (!is_voter(child, generation) || child->vote != VOTE_ASKED ||
	    transition->phase != PHASE_PREPARING) {
		reload_child_failed(child, generation, why);
	} else if (transition->dry) {
		plan_say_confined(transition);
		reload_child_ready(child, generation);
	} else {
		begin_anew(child->master);
	}
}

void reload_child_adopted(struct child *child, uint64_t generation)
{
	if (generation != child->asked || child->state != CHILD_SERVING)
		return;
	timer_cancel(&child->deadline);
	child->generation = generation;
	child->master->board->column[child->column].generation = generation;
	if (child->served_ns == 0)
		child->served_ns = child->master->loop.now_ns;
	slot_take(child);
	slots_publish(child->master);
	if (is_voter(child, generation))
		vote(child, VOTED_ADOPTED, "", "");
	else
		catch_up(child);
}

void reload_child_died(struct child *child)
{
	struct transition *transition = &child->master->transition;
	char text[64];

	if (child->vote == VOTE_NONE)
		return;
	snprintf(text, sizeof(text), "slot %u: its worker died before it was ready", child->slot);
	if (child->vote == VOTE_ASKED || child->vote == VOTE_READY || child->vote == VOTE_GOING)
		snprintf(transition->notes, sizeof(transition->notes),
			 "the worker of slot %u died meanwhile and is respawned", child->slot);
	transition->buried++;   /* it is off the list of children already */
	vote(child, VOTER_DIED, "prepare", text);
}

void reload_child_left(struct child *child)
{
	vote(child, VOTER_DIED, "prepare", "");
}

void reload_child_late(struct child *child)
{
	uint64_t prepare_ms = child->master->transition.next.generation != NULL
		? child->master->transition.next.generation->config->prepare_ns / CLOCK_MS : 0;
	char text[128];

	snprintf(text, sizeof(text), "slot %u did not say READY within %llu ms (timeouts.prepare)",
		 child->slot, (unsigned long long)prepare_ms);
	if (child->vote != VOTE_NONE)
		vote(child, VOTER_LATE, "prepare", text);
	else
		child_happens(child, EV_DEADLINE);
}

/* ---- the beginning ----------------------------------------------------------------------------------- */

static void prepare(struct master *master)
{
	const char *step;
	struct err err;

	step = plan_carry_out(master, &err);
	if (step != NULL) {
		call_off(master, step, err.text);
		return;
	}
	master->transition.phase = PHASE_PREPARING;
	count_votes(master);
}

/* Takes `verdict` over. */
static void prepare_for(struct master *master, struct verdict *verdict)
{
	struct transition *transition = &master->transition;

	transition->next = *verdict;
	*verdict = (struct verdict){ .text = -1, .base = -1, .error_log = -1, .access_log = -1 };
	transition->next.generation->number = transition->number;
	if (!transition->dry)           /* a check uses up no rows */
		sites_assign(master, transition->next.generation->config);
	prepare(master);
}

/* No worker was asked about it yet, so nothing stale can be taken for an answer. */
static void give_back_number(struct master *master)
{
	if (master->transition.number == master->generation_numbers)
		master->generation_numbers--;
}

static void checked(struct master *master, struct verdict *verdict, struct problems *problems)
{
	struct transition *transition = &master->transition;

	if (transition->phase != PHASE_CHECKING)
		return;
	if (verdict == NULL) {
		transition->wrong = !master->checker.cut;
		if (master_was_start(master) && transition->wrong)
			master->exit_status = 2;
		if (problems->len > 0)          /* without the last line's end */
			problems->text[problems->len - 1] = '\0';
		give_back_number(master);
		call_off(master, "check", problems->text != NULL ? problems->text : "out of memory");
		return;
	}
	prepare_for(master, verdict);
}

/* Dry transitions have numbers of their own, above all others: workers take a socket that came with one for
 * uncommitted, no stale READY is taken for a vote, and the generations that people see have no gaps. */
#define DRY_NUMBERS (UINT64_C(1) << 63)

static void open_transition(struct master *master, uint64_t number)
{
	struct transition *transition = &master->transition;

	transition->phase = PHASE_CHECKING;
	transition->number = number;
	transition->started_ns = master->loop.now_ns;
	transition->notes[0] = '\0';
	transition->buried = 0;
	transition->sites = master->owners.sites;
	transition->wrong = false;
	transition->next = (struct verdict){ .text = -1, .base = -1, .error_log = -1, .access_log = -1 };
}

/* `from`: see struct checker. */
static void begin(struct master *master, uint64_t number, const struct config_input *input, int from)
{
	struct err err;

	open_transition(master, number);
	master->checker.done = checked;
	master->checker.input = *input;
	master->checker.input.overrides = &master->tuning.next;
	master->checker.from = from;
	if (!checker_start(master, &err)) {
		give_back_number(master);
		call_off(master, "check", err.text);
	}
}

static void start(struct master *master)
{
	if (!master_was_start(master))
		notify_reloading(master);
	tuning_keep(master);
	begin(master, ++master->generation_numbers, &master->setup->input, -1);
}

static void start_change(struct master *master)
{
	struct transition *transition = &master->transition;
	struct asker *asker = LIST_ENTRY(list_pop_front(&transition->changes), struct asker, link);
	struct err err;

	if (!tuning_prepare(master, asker->change, &err)) {
		asker->answer(asker, &(struct outcome){ .text = err.text });
		reload_continue(master);
		return;
	}
	list_push_back(&transition->askers, &asker->link);
	transition->replace = asker->change->replace;
	notify_reloading(master);
	begin(master, ++master->generation_numbers, &master->setup->input,
	      asker->change->files ? -1 : master->current.base);
}

static bool same_path(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* For all that ask about the same file at once. */
static void start_dry(struct master *master)
{
	struct transition *transition = &master->transition;
	const char *path = LIST_ENTRY(transition->checks.next, struct asker, link)->path;
	struct config_input input = { .path = transition->dry_path };
	struct list *next;

	if (path != NULL)               /* a copy: the asker may leave */
		snprintf(transition->dry_path, sizeof(transition->dry_path), "%s", path);
	for (struct list *link = transition->checks.next; link != &transition->checks; link = next) {
		next = link->next;
		if (!same_path(LIST_ENTRY(link, struct asker, link)->path, path))
			continue;
		list_remove(link);
		list_push_back(&transition->askers, link);
	}
	transition->dry = true;
	transition->replace = false;
	transition->confined = false;
	tuning_keep(master);
	begin(master, DRY_NUMBERS | ++master->dry_numbers, path != NULL ? &input : &master->setup->input, -1);
}

static void refuse(struct asker *asker)
{
	asker->answer(asker, &outcome_stopping);
}

void reload_check(struct master *master, struct asker *asker)
{
	if (master_is_stopping(master)) {
		refuse(asker);
		return;
	}
	list_push_back(&master->transition.checks, &asker->link);
	if (master->transition.phase == PHASE_IDLE && !upgrade_is_open(master))
		start_dry(master);
}

/* A reload does not wait for the votes of a dry transition, whose configuration may allow them ten minutes:
 * that one begins anew behind it. */
static void put_off(struct master *master)
{
	struct transition *transition = &master->transition;

	list_move_all(&transition->checks, &transition->askers);
	back_out(master, &(struct outcome){ .good = true });    /* nobody is left to be told */
}

void reload_ask(struct master *master, struct asker *asker, bool replace)
{
	struct transition *transition = &master->transition;

	if (master_is_stopping(master)) {
		if (asker != NULL)
			refuse(asker);
		return;
	}
	/* what is being read may be older than what this caller means */
	if (transition->phase != PHASE_IDLE || upgrade_is_open(master)) {
		transition->again = true;
		transition->again_replace |= replace;
		if (asker != NULL)
			list_push_back(&transition->later, &asker->link);
		if (transition->dry && transition->phase == PHASE_PREPARING)
			put_off(master);
		return;
	}
	if (asker != NULL)
		list_push_back(&transition->askers, &asker->link);
	transition->replace = replace;
	start(master);
}

void reload_change(struct master *master, struct asker *asker)
{
	struct transition *transition = &master->transition;

	if (master_is_stopping(master)) {
		refuse(asker);
		return;
	}
	list_push_back(&transition->changes, &asker->link);
	if (transition->phase == PHASE_IDLE && !upgrade_is_open(master))
		start_change(master);
	else if (transition->dry && transition->phase == PHASE_PREPARING)
		put_off(master);
}

void reload_renew(struct master *master, struct verdict *verdict, struct asker *asker)
{
	list_push_back(&master->transition.askers, &asker->link);
	master->transition.replace = true;
	tuning_keep(master);
	open_transition(master, ++master->generation_numbers);
	prepare_for(master, verdict);
}

void reload_stop(struct master *master)
{
	struct transition *transition = &master->transition;

	checker_kill(master);
	if (transition->phase == PHASE_CHECKING || transition->phase == PHASE_PREPARING)
		call_off(master, "stop", "drover is stopping");
	else if (transition->phase == PHASE_GOING && !release_is_open(master))
		sockets_sweep(master);  /* else removed() does */
	transition->phase = PHASE_IDLE;
	transition->dry = false;
	askers_answer(&transition->askers, &outcome_stopping);
	askers_answer(&transition->later, &outcome_stopping);
	askers_answer(&transition->changes, &outcome_stopping);
	askers_answer(&transition->checks, &outcome_stopping);
}
