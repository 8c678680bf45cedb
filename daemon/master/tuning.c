/* tuning.c - settings that are changed while drover runs: what is wanted, what is committed, and the deadline
 * of what must be confirmed.
 *
 * The master copies names and values, and looks at neither: the checker does, with the configuration that
 * they belong to. Called by reload.c (a change is a transition), control_set.c and state.c. What cannot be is
 * refused before anything begins, or by the transition. */
#include "tuning.h"

#include "fields.h"
#include "master.h"

#include "base/clock.h"
#include "base/log.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIRM_MOST_MS (24 * 3600 * 1000)
enum { CONFIRM_LEAST_MS = 1000, AGAIN_SECONDS = 5 };

/* ---- what is wanted ---------------------------------------------------------------------------------- */

void change_free(struct change *change)
{
	if (change == NULL)
		return;
	json_decref(change->set);
	json_decref(change->unset);
	json_decref(change->saved);
	free(change);
}

static bool is_name(const json_t *name, const json_t *value)
{
	return json_is_string(name) && json_is_string(value);
}

static bool check_shape(const struct change *change, const json_t *request, struct err *err)
{
	const json_t *confirm = json_object_get(request, "confirm_ms"), *name;
	json_int_t ms = json_integer_value(confirm);
	const char *key;
	json_t *value;
	size_t index;

	json_object_foreach(change->set, key, value)
		if (!is_name(value, value))
			return err_set(err, "%.64s: a value is a string", key);
	json_object_foreach(change->saved, key, value)
		if (!is_name(value, value))
			return err_set(err, "%.64s: a value is a string", key);
	json_array_foreach(change->unset, index, name)
		if (!json_is_string(name))
			return err_set(err, "unset: a name is a string");
	if (confirm != NULL && (ms < CONFIRM_LEAST_MS || ms > CONFIRM_MOST_MS))
		return err_set(err, "confirm: allowed is a time from 1s to 1d");
	if (!change->all && json_object_size(change->set) == 0 && json_array_size(change->unset) == 0 &&
	    json_object_size(change->saved) == 0)
		return err_set(err, "there is nothing to set or to unset");
	return confirm == NULL || json_object_size(change->set) > 0 ||
	       err_set(err, "confirm: only what is set can be rolled back");
}

struct change *change_parse(const char *line, struct err *err)
{
	json_error_t error;
	json_t *request = json_loadb(line, strcspn(line, "\n"), JSON_REJECT_DUPLICATES, &error);
	const char *command = json_string_value(json_object_get(request, "command"));
	struct change *change = calloc(1, sizeof(*change));
	bool good;

	if (change != NULL && request != NULL) {
		change->set = json_incref(json_object_get(request, "set"));
		change->unset = json_incref(json_object_get(request, "unset"));
		change->saved = json_incref(json_object_get(request, "saved"));
		change->all = json_is_true(json_object_get(request, "all"));
		change->files = command != NULL && strcmp(command, "reload") == 0;
		change->replace = json_is_true(json_object_get(request, "replace"));
		change->confirm_ns = (uint64_t)json_integer_value(json_object_get(request, "confirm_ms")) *
				     CLOCK_MS;
	}
	good = change != NULL && request != NULL ? check_shape(change, request, err)
						 : err_set(err, "out of memory");
	json_decref(request);
	if (good)
		return change;
	change_free(change);
	return NULL;
}

/* ---- what a transition will have --------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void say(struct tuning *tuning, const char *format, ...)
{
	size_t len = strlen(tuning->what);
	va_list args;

	if (len > 0)
		len += (size_t)snprintf(tuning->what + len, sizeof(tuning->what) - len, ", ");
	if (len >= sizeof(tuning->what))
		return;
	va_start(args, format);
	vsnprintf(tuning->what + len, sizeof(tuning->what) - len, format, args);
	va_end(args);
}

void tuning_keep(struct master *master)
{
	struct tuning *tuning = &master->tuning;

	tuning->next = tuning->now;
	tuning->changes = tuning->alone = tuning->rolls_back = false;
	tuning->confirm_ns = 0;
	tuning->what[0] = '\0';
}

/* It was mistyped, or it is just so. */
static bool refuse_unset(const char *name, struct err *err)
{
	struct arena arena = { 0 };

	if (override_row(name, &arena, err) != NULL)
		err_set(err, "%.64s is not set: its value is the configuration's own", name);
	arena_free(&arena);
	return false;
}

static bool unset(struct tuning *tuning, const struct change *change, struct err *err)
{
	const json_t *name;
	json_t *value;
	const char *key;
	size_t index;

	if (change->all) {
		tuning->next.count = 0;
		say(tuning, "%s", "all overrides dropped");
	}
	json_array_foreach(change->unset, index, name) {
		if (!overrides_unset(&tuning->next, json_string_value(name)))
			return refuse_unset(json_string_value(name), err);
		say(tuning, "%s unset", json_string_value(name));
	}
	json_object_foreach(change->saved, key, value) {
		const struct override *one = overrides_find(&tuning->next, key);

		if (one != NULL && strcmp(one->value, json_string_value(value)) == 0) {
			overrides_unset(&tuning->next, key);
			say(tuning, "%s is from the file", key);
		}
	}
	return true;
}

static bool set(struct tuning *tuning, const struct change *change, struct err *err)
{
	const char *name;
	json_t *value;

	json_object_foreach(change->set, name, value) {
		if (!overrides_set(&tuning->next, name, json_string_value(value), change->confirm_ns > 0,
				   err))
			return false;
		say(tuning, "%s = %s", name, json_string_value(value));
	}
	if (change->confirm_ns > 0)
		say(tuning, "rolled back in %llu s unless confirmed",
		    (unsigned long long)(change->confirm_ns / CLOCK_S));
	return true;
}

static bool roll_back(struct tuning *tuning, struct err *err)
{
	char names[sizeof(tuning->what) - 32];

	if (timer_armed(&tuning->deadline))     /* and something else was set since, which has its time */
		return err_set(err, "what was unconfirmed was unset meanwhile");
	if (overrides_list(&tuning->now, true, names, sizeof(names)) == 0)
		return err_set(err, "nothing is unconfirmed");  /* it was unset while this waited */
	say(tuning, "%s was not confirmed: rolled back", names);
	overrides_roll_back(&tuning->next);
	tuning->rolls_back = true;
	return true;
}

bool tuning_prepare(struct master *master, const struct change *change, struct err *err)
{
	struct tuning *tuning = &master->tuning;

	tuning_keep(master);
	tuning->changes = true;
	tuning->alone = !change->files;
	tuning->confirm_ns = change->confirm_ns;
	if (!change->files && master->current.base < 0)
		return err_set(err,
			       "the text of the configuration is not at hand; droverctl reload reads it");
	if (change->confirm_ns > 0 && overrides_pending(&tuning->now))
		return err_set(err, "something else waits to be confirmed (droverctl status says what):"
				    " droverctl confirm keeps it, droverctl unset takes it back");
	if (change->roll_back)
		return roll_back(tuning, err);
	return unset(tuning, change, err) && set(tuning, change, err);
}

/* ---- the deadline ------------------------------------------------------------------------------------ */

static void rolled_back(struct asker *asker, const struct outcome *outcome)
{
	struct tuning *tuning = LIST_ENTRY(asker, struct tuning, asker);
	struct master *master = LIST_ENTRY(tuning, struct master, tuning);

	tuning->rolling = false;
	if (outcome->good || master_is_stopping(master) || !overrides_pending(&tuning->now) ||
	    timer_armed(&tuning->deadline))
		return;
	log_event(LEVEL_ERROR, "roll_back_failed", log_text("error", outcome->text),
		  log_number("again_s", AGAIN_SECONDS));
	tell_event(master, NEWS_SETTING, NEWS_NO_SLOT, false, "a roll-back failed; it is tried again");
	loop_timer(&master->loop, &tuning->deadline, AGAIN_SECONDS * CLOCK_S);
}

static void too_late(struct timer *timer, uint64_t now_ns)
{
	struct tuning *tuning = LIST_ENTRY(timer, struct tuning, deadline);

	(void)now_ns;
	if (tuning->rolling)            /* the one that still waits for its turn does it */
		return;
	tuning->rolling = true;
	tuning->back = (struct change){ .roll_back = true };
	tuning->asker = (struct asker){ .answer = rolled_back, .change = &tuning->back };
	reload_change(LIST_ENTRY(tuning, struct master, tuning), &tuning->asker);
}

void tuning_init(struct master *master)
{
	master->tuning.deadline.fire = too_late;
}

void tuning_resume(struct master *master)
{
	struct tuning *tuning = &master->tuning;

	if (!overrides_pending(&tuning->now))
		return;
	/* it was over, and the roll-back had not come to an end */
	timer_arm(&master->loop.timers, &tuning->deadline,
		  tuning->deadline.due_ns != 0 ? tuning->deadline.due_ns : master->loop.now_ns);
}

uint64_t tuning_left_ms(const struct master *master)
{
	const struct timer *deadline = &master->tuning.deadline;
	uint64_t now_ns = master->loop.now_ns;

	return timer_armed(deadline) && deadline->due_ns > now_ns ? (deadline->due_ns - now_ns) / CLOCK_MS
								  : 0;
}

bool tuning_confirm(struct master *master, char *text, size_t bytes, struct err *err)
{
	struct tuning *tuning = &master->tuning;
	char names[192];

	if (tuning->rolling && !timer_armed(&tuning->deadline))
		return err_set(err, "it is too late: what was not confirmed is being rolled back");
	if (guard_is_armed())
		return err_set(err, "an upgrade is under way, which may fail and would not remember it; "
				    "confirm again when it is over");
	if (overrides_list(&tuning->now, true, names, sizeof(names)) == 0)
		return err_set(err, "nothing waits to be confirmed");
	overrides_confirm(&tuning->now);
	overrides_confirm_same(&tuning->next, &tuning->now);    /* an open transition would bring it back */
	timer_cancel(&tuning->deadline);
	log_event(LEVEL_NOTICE, "settings_confirmed", log_text("settings", names));
	snprintf(text, bytes, "confirmed: %s", names);
	tell_event(master, NEWS_SETTING, NEWS_NO_SLOT, true, text);
	return true;
}

/* ---- the commit -------------------------------------------------------------------------------------- */

static void note(struct master *master, const char *sign, const char *text)
{
	char *notes = master->transition.notes;
	size_t len = strlen(notes);

	snprintf(notes + len, sizeof(master->transition.notes) - len, "%s%s%s", len > 0 ? "; " : "", sign,
		 text);
}

static void arm(struct master *master)
{
	struct tuning *tuning = &master->tuning;

	if (!overrides_pending(&tuning->now))
		timer_cancel(&tuning->deadline);
	else if (tuning->confirm_ns > 0)
		loop_timer(&master->loop, &tuning->deadline, tuning->confirm_ns);
}

static void say_changed(struct master *master)
{
	struct tuning *tuning = &master->tuning;

	log_event(tuning->rolls_back ? LEVEL_WARNING : LEVEL_NOTICE,
		  tuning->rolls_back ? "settings_rolled_back" : "settings_changed",
		  log_text("settings", tuning->what));
	tell_event(master, NEWS_SETTING, NEWS_NO_SLOT, !tuning->rolls_back, tuning->what);
	note(master, "", tuning->what);
}

void tuning_commit(struct master *master)
{
	struct tuning *tuning = &master->tuning;
	char names[192];

	if (tuning->changes)
		say_changed(master);
	else if (overrides_list(&tuning->next, false, names, sizeof(names)) > 0) {
		log_event(LEVEL_NOTICE, "overrides_kept", log_text("settings", names));
		note(master, "overrides kept: ", names);
	}
	tuning->now = tuning->next;
	arm(master);
	tuning->changes = false;
}

/* ---- JSON -------------------------------------------------------------------------------------------- */

json_t *tuning_json(const struct master *master)
{
	json_t *all = json_array();

	for (unsigned i = 0; i < master->tuning.now.count; i++) {
		const struct override *one = &master->tuning.now.at[i];

		json_array_append_new(all, json_pack("{s:s, s:s, s:b}", "name", one->name, "value",
						     one->value, "confirmed", (int)!one->unconfirmed));
	}
	return all;
}

static const struct field override_rows[] = {
	FIELD(FIELD_CHARS, override, name),
	FIELD(FIELD_CHARS, override, value),
	FIELD(FIELD_BOOL, override, unconfirmed),
	FIELD(FIELD_BOOL, override, had),
	FIELD(FIELD_CHARS, override, before),
	{ NULL, 0, 0, 0 },
};

json_t *tuning_save(const struct master *master)
{
	const struct overrides *now = &master->tuning.now;

	return fields_save_list(override_rows, now->at, now->count, sizeof(now->at[0]));
}

bool tuning_load(struct master *master, const json_t *json, struct err *err)
{
	struct overrides *now = &master->tuning.now;

	if (now->count == OVERRIDES_MOST)
		return err_set(err, "there are more than %d", OVERRIDES_MOST);
	return fields_load(override_rows, &now->at[now->count], json, err) && ++now->count > 0;
}
