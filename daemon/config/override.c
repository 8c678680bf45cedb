/* override.c - the table of what was set while drover runs, and what it means.
 *
 * The table is kept by the master, which only copies text. overrides_apply runs in the checker, called by
 * read.c; it fails by adding problems. Pure but for the arena. */
#include "override.h"

#include "config.h"
#include "credential.h"
#include "suggest.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

const char override_origin[] = "droverctl set";

/* ---- the table --------------------------------------------------------------------------------------- */

static struct override *find(struct overrides *overrides, const char *name)
{
	for (unsigned i = 0; i < overrides->count; i++)
		if (strcmp(overrides->at[i].name, name) == 0)
			return &overrides->at[i];
	return NULL;
}

const struct override *overrides_find(const struct overrides *overrides, const char *name)
{
	return find((struct overrides *)(uintptr_t)overrides, name);
}

/* What a roll-back leads to is what was there when the first unconfirmed value came. */
static void remember(struct override *one)
{
	if (one->unconfirmed)
		return;
	one->unconfirmed = one->had = true;
	memcpy(one->before, one->value, sizeof(one->before));
}

bool overrides_set(struct overrides *overrides, const char *name, const char *value, bool unconfirmed,
		   struct err *err)
{
	struct override *one = find(overrides, name);

	if (strlen(name) >= OVERRIDE_NAME_BYTES)
		return err_set(err, "unknown setting \"%.40s...\"", name);
	if (strlen(value) >= OVERRIDE_VALUE_BYTES)
		return err_set(err, "%s: a value of more than %d bytes belongs into the file", name,
			       OVERRIDE_VALUE_BYTES - 1);
	if (one == NULL && overrides->count == OVERRIDES_MOST)
		return err_set(err, "more than %d settings cannot be set at a time", OVERRIDES_MOST);
	if (one == NULL) {
		one = &overrides->at[overrides->count++];
		*one = (struct override){ .unconfirmed = unconfirmed };
		snprintf(one->name, sizeof(one->name), "%s", name);
	} else if (unconfirmed) {
		remember(one);
	} else {
		one->unconfirmed = one->had = false;
	}
	snprintf(one->value, sizeof(one->value), "%s", value);
	return true;
}

bool overrides_unset(struct overrides *overrides, const char *name)
{
	struct override *one = find(overrides, name);
	unsigned index;

	if (one == NULL)
		return false;
	index = (unsigned)(one - overrides->at);
	memmove(one, one + 1, (overrides->count - index - 1) * sizeof(*one));
	overrides->count--;
	return true;
}

bool overrides_pending(const struct overrides *overrides)
{
	for (unsigned i = 0; i < overrides->count; i++)
		if (overrides->at[i].unconfirmed)
			return true;
	return false;
}

void overrides_confirm(struct overrides *overrides)
{
	for (unsigned i = 0; i < overrides->count; i++)
		overrides->at[i].unconfirmed = overrides->at[i].had = false;
}

void overrides_confirm_same(struct overrides *overrides, const struct overrides *like)
{
	for (unsigned i = 0; i < overrides->count; i++) {
		struct override *one = &overrides->at[i];
		const struct override *other = overrides_find(like, one->name);

		if (other != NULL && !other->unconfirmed && strcmp(one->value, other->value) == 0)
			one->unconfirmed = one->had = false;
	}
}

void overrides_roll_back(struct overrides *overrides)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < overrides->count; i++) {
		struct override one = overrides->at[i];

		if (one.unconfirmed && !one.had)
			continue;
		if (one.unconfirmed)
			memcpy(one.value, one.before, sizeof(one.value));
		one.unconfirmed = one.had = false;
		overrides->at[kept++] = one;
	}
	overrides->count = kept;
}

unsigned overrides_list(const struct overrides *overrides, bool pending, char *text, size_t bytes)
{
	unsigned count = 0;
	size_t len = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < overrides->count; i++) {
		const struct override *one = &overrides->at[i];

		if (pending && !one->unconfirmed)
			continue;
		snprintf(text + len, bytes - len, "%s%s = %s", count++ > 0 ? ", " : "", one->name,
			 one->value);
		len += strlen(text + len);
	}
	return count;
}

/* ---- names ------------------------------------------------------------------------------------------- */

static bool refuse_name(const char *name, struct err *err)
{
	const char *near = suggest_whole(&config_schema, name);

	if (near != NULL)
		return err_set(err, "unknown setting \"%.64s\"; did you mean \"%s\"?", name, near);
	return err_set(err, "unknown setting \"%.64s\"; droverctl settings lists those that can be set",
		       name);
}

static const struct setting *row_of(const char *name)
{
	for (unsigned i = 0; i < config_schema.count; i++)
		if (strcmp(config_schema.settings[i].name, name) == 0)
			return &config_schema.settings[i];
	return NULL;
}

const struct setting *override_row(const char *name, struct arena *arena, struct err *err)
{
	const struct setting *row = row_of(name);
	size_t len = strcspn(name, ".[");

	if (row == NULL && name[len] != '\0') { /* sites[0].hosts, listen.backlog */
		char *first = arena_copy(arena, (struct str){ name, len });

		row = first != NULL ? row_of(first) : NULL;
		if (row != NULL && row->type != SETTING_LIST)
			row = NULL;
	}
	if (row == NULL) {
		refuse_name(name, err);
	} else if (row->type == SETTING_LIST) {
		err_set(err, "%s is a list, which is not set by droverctl; change it in the file, look at"
			     " droverctl check, then droverctl reload", row->name);
		row = NULL;
	} else if (row->when == RESTART) {
		err_set(err, "%s cannot change while drover runs; change it in the file and restart drover",
			row->name);
		row = NULL;
	}
	return row;
}

/* ---- values ------------------------------------------------------------------------------------------ */

/* Takes a string in quotes, or a word, off `*at`; NULL: there is none any more, or no memory. */
static char *next_word(const char **at, struct arena *arena)
{
	const char *from = *at + strspn(*at, " \t,[]");
	char *word = arena_alloc(arena, strlen(from) + 1), *end = word;
	bool quoted = from[0] == '"';

	*at = from;
	if (word == NULL || from[0] == '\0')
		return NULL;
	for (from += quoted; *from != '\0' && (quoted ? *from != '"' : strchr(" \t,]", *from) == NULL);
	     from++) {
		if (quoted && from[0] == '\\' && from[1] != '\0')
			from++;
		*end++ = *from;
	}
	*end = '\0';
	*at = from + (quoted && *from == '"');
	return word;
}

static bool raw_words(const char *value, struct raw *raw, struct arena *arena)
{
	const char *word;

	*raw = (struct raw){ .kind = RAW_STRINGS };
	raw->strings.at = arena_alloc(arena, (strlen(value) + 1) * sizeof(char *));
	if (raw->strings.at == NULL)
		return false;
	while ((word = next_word(&value, arena)) != NULL)
		raw->strings.at[raw->strings.count++] = word;
	return true;
}

/* What was typed, with or without the quotes that the file wants; false when out of memory. */
static bool raw_of(const struct setting *row, const char *value, struct raw *raw, struct arena *arena)
{
	bool is_true = strcmp(value, "true") == 0;
	uint64_t number;

	*raw = (struct raw){ .kind = RAW_STRING, .text = value };
	if (row->type == SETTING_STRINGS)
		return raw_words(value, raw, arena);
	if (value[0] == '"') {
		raw->text = next_word(&value, arena);
		if (raw->text == NULL)
			return false;
		value = raw->text;
	}
	if (row->type == SETTING_BOOL && (is_true || strcmp(value, "false") == 0))
		*raw = (struct raw){ .kind = RAW_BOOL, .truth = is_true };
	if ((row->type == SETTING_INTEGER || row->type == SETTING_COUNT) &&
	    str_to_u64(str_of(value), &number) && number <= INT64_MAX)
		*raw = (struct raw){ .kind = RAW_NUMBER, .number = (long long)number };
	return true;
}

/* Neither absolute nor a word that the row knows: nobody can say what it is relative to. */
static bool is_relative(const struct setting *row, const struct raw *raw)
{
	if (row->type != SETTING_PATH || raw->kind != RAW_STRING || raw->text[0] == '/' ||
	    (row->credential && credential_is(raw->text)))
		return false;
	for (unsigned i = 0; row->choices != NULL && row->choices[i] != NULL; i++)
		if (strcmp(row->choices[i], raw->text) == 0)
			return false;
	return true;
}

static bool apply(const struct override *one, void *instance, bool outside, struct arena *arena,
		  struct err *err)
{
	const struct setting *row = override_row(one->name, arena, err);
	struct raw raw;

	if (row == NULL)
		return false;
	if (!raw_of(row, one->value, &raw, arena))
		return err_set(err, "out of memory");
	if (is_relative(row, &raw))
		return err_set(err, "%s: not an absolute path", row->name);
	if (row->credential && raw.kind == RAW_STRING && credential_is(raw.text)) {
		raw.text = credential_path(raw.text, !outside, arena, err);
		if (raw.text == NULL)
			return err_add(err, "%s", row->name);
	}
	if (!setting_store(row, &raw, "", instance, arena, err))
		return false;
	*setting_origin(&config_schema, instance, (unsigned)(row - config_schema.settings)) = override_origin;
	return true;
}

void overrides_apply(const struct overrides *overrides, void *instance, bool outside, struct arena *arena,
		     struct problems *problems)
{
	struct err err;

	for (unsigned i = 0; i < overrides->count; i++)
		if (!apply(&overrides->at[i], instance, outside, arena, &err))
			problems_add(problems, "%s: %s", override_origin, err.text);
}
