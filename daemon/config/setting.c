/* setting.c - values of settings: from text, to text, within bounds.
 *
 * Called by the readers and printers of this folder.  Pure but for the arena; fails by returning false with
 * a text that says what is allowed. */
#include "setting.h"

#include "credential.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

struct unit {
	const char *name;
	uint64_t factor;
};

/* The largest first: printing takes the first that divides. */
static const struct unit sizes[] = {
	{ "g", 1 << 30 }, { "m", 1 << 20 }, { "k", 1 << 10 }, { "", 1 }, { NULL, 0 }
};
static const struct unit durations[] = {
	{ "d", 86400 * CLOCK_S }, { "h", 3600 * CLOCK_S }, { "m", 60 * CLOCK_S }, { "s", CLOCK_S },
	{ "ms", CLOCK_MS }, { NULL, 0 }
};

static bool parse_units(const struct unit *units, const char *text, uint64_t *value)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t number;

	if (!str_to_u64((struct str){ text, digits }, &number))
		return false;
	for (; units->name != NULL; units++)
		if (strcmp(units->name, text + digits) == 0)
			return !__builtin_mul_overflow(number, units->factor, value);
	if (number == 0 && text[digits] == '\0') {      /* zero needs no unit */
		*value = 0;
		return true;
	}
	return false;
}

bool setting_parse_size(const char *text, uint64_t *bytes)
{
	return parse_units(sizes, text, bytes);
}

bool setting_parse_duration(const char *text, uint64_t *ns)
{
	return parse_units(durations, strcmp(text, "off") == 0 ? "0" : text, ns);
}

static char *print_units(const struct unit *units, uint64_t value, struct arena *arena)
{
	while (units[1].name != NULL && (value == 0 || value % units->factor != 0))
		units++;
	return arena_printf(arena, "\"%llu%s\"", (unsigned long long)(value / units->factor), units->name);
}

/* ---- what is allowed ------------------------------------------------------------------------------- */

static const char *const type_words[] = {
	[SETTING_BOOL] = "true or false",
	[SETTING_INTEGER] = "a whole number",
	[SETTING_COUNT] = "\"auto\" or a whole number",
	[SETTING_SIZE] = "a size such as \"64k\" (k, m or g)",
	[SETTING_DURATION] = "a duration such as \"30s\" (ms, s, m, h or d)",
	[SETTING_STRING] = "a string",
	[SETTING_PATH] = "a path",
	[SETTING_STRINGS] = "an array of strings such as [ \"a\", \"b\" ]",
	[SETTING_LIST] = "a list of groups such as ( { ... }, { ... } )",
	[SETTING_SERVICE] = "a group { ... }",
};

void setting_allowed(const struct setting *row, char *text, size_t bytes)
{
	size_t len;

	if (row->type == SETTING_CHOICE) {
		text[0] = '\0';
		for (unsigned i = 0; row->choices[i] != NULL; i++) {
			len = strlen(text);
			snprintf(text + len, bytes - len, "%s\"%s\"",
				 i == 0                ? ""
				 : row->choices[i + 1] ? ", "
						       : " or ",
				 row->choices[i]);
		}
		return;
	}
	snprintf(text, bytes, "%s", type_words[row->type]);
	len = strlen(text);
	if (row->min != NULL && row->max != NULL)
		snprintf(text + len, bytes - len, ", from %s to %s", row->min, row->max);
}

static bool refuse(const struct setting *row, const char *what, struct err *err)
{
	bool has_example = row->type == SETTING_STRING && row->example != NULL;
	char allowed[256];

	setting_allowed(row, allowed, sizeof(allowed));
	return err_set(err, "%s: %s; allowed is %s%s%s", row->name, what, allowed,
		       has_example ? " such as " : "", has_example ? row->example : "");
}

/* ---- storing --------------------------------------------------------------------------------------- */

static bool limit_of(const struct setting *row, const char *text, uint64_t *value)
{
	if (text == NULL)
		return false;
	if (row->type == SETTING_SIZE)
		return setting_parse_size(text, value);
	if (row->type == SETTING_DURATION)
		return setting_parse_duration(text, value);
	return str_to_u64(str_of(text), value);
}

static bool in_range(const struct setting *row, uint64_t value, struct err *err)
{
	uint64_t limit;

	if (limit_of(row, row->min, &limit) && value < limit)
		return refuse(row, "too small", err);
	if (limit_of(row, row->max, &limit) && value > limit)
		return refuse(row, "too large", err);
	return true;
}

static bool store_number(const struct setting *row, const struct raw *raw, void *field, struct err *err)
{
	uint64_t value;

	if (row->type == SETTING_COUNT && raw->kind == RAW_STRING && strcmp(raw->text, "auto") == 0) {
		*(unsigned *)field = 0;
		return true;
	}
	if (raw->kind != RAW_NUMBER)
		return refuse(row, "not a whole number", err);
	if (raw->number < 0)
		return refuse(row, "too small", err);
	value = (uint64_t)raw->number;
	if (!in_range(row, value, err))
		return false;
	if (value > UINT32_MAX)
		return refuse(row, "too large", err);
	*(unsigned *)field = (unsigned)value;
	return true;
}

static bool store_units(const struct setting *row, const struct raw *raw, void *field, struct err *err)
{
	uint64_t value;

	if (raw->kind == RAW_NUMBER)
		return refuse(row, "a bare number", err);
	if (raw->kind != RAW_STRING || !limit_of(row, raw->text, &value))
		return refuse(row, "no number with a unit", err);
	if (!in_range(row, value, err))
		return false;
	*(uint64_t *)field = value;
	return true;
}

static bool store_choice(const struct setting *row, const struct raw *raw, void *field, struct err *err)
{
	if (raw->kind != RAW_STRING)
		return refuse(row, "not a string", err);
	for (unsigned i = 0; row->choices[i] != NULL; i++) {
		if (strcmp(row->choices[i], raw->text) == 0) {
			*(unsigned *)field = i;
			return true;
		}
	}
	return refuse(row, "unknown value", err);
}

static bool check_text(const struct setting *row, const char *text, struct err *err)
{
	if (text[0] == '\0')
		return refuse(row, "empty", err);
	if (strlen(text) > SETTING_MAX_STRING)
		return err_set(err, "%s: longer than %d bytes", row->name, SETTING_MAX_STRING);
	return row->check == NULL || row->check(text, err) || err_add(err, "%s", row->name);
}

static bool out_of_memory(struct err *err)
{
	return err_set(err, "out of memory");
}

static bool store_text(const struct setting *row, const struct raw *raw, const char *directory, void *field,
		       struct arena *arena, struct err *err)
{
	bool relative = row->type == SETTING_PATH && directory != NULL && raw->kind == RAW_STRING;
	char *copy;

	if (raw->kind != RAW_STRING)
		return refuse(row, "not a string", err);
	if (!check_text(row, raw->text, err))
		return false;
	/* "off", "stderr" and the like are words, not files, where the row names them */
	for (unsigned i = 0; row->choices != NULL && row->choices[i] != NULL; i++)
		if (strcmp(row->choices[i], raw->text) == 0)
			relative = false;
	if (row->credential && credential_is(raw->text))        /* this process has no directory of them */
		relative = false;
	if (relative && raw->text[0] != '/')
		copy = arena_printf(arena, "%s/%s", directory, raw->text);
	else
		copy = arena_copy(arena, str_of(raw->text));
	if (copy == NULL)
		return out_of_memory(err);
	*(const char **)field = copy;
	return true;
}

static bool store_strings(const struct setting *row, const struct raw *raw, void *field, struct arena *arena,
			  struct err *err)
{
	struct strings copy = { 0 };

	if (raw->kind != RAW_STRINGS)
		return refuse(row, "not an array of strings", err);
	if (row->required && raw->strings.count == 0)
		return refuse(row, "empty", err);
	copy.at = arena_alloc(arena, (raw->strings.count + 1) * sizeof(*copy.at));
	if (copy.at == NULL)
		return out_of_memory(err);
	for (; copy.count < raw->strings.count; copy.count++) {
		if (!check_text(row, raw->strings.at[copy.count], err))
			return false;
		copy.at[copy.count] = arena_copy(arena, str_of(raw->strings.at[copy.count]));
		if (copy.at[copy.count] == NULL)
			return out_of_memory(err);
	}
	*(struct strings *)field = copy;
	return true;
}

static bool store_bool(const struct setting *row, const struct raw *raw, void *field, struct err *err)
{
	if (raw->kind != RAW_BOOL)
		return refuse(row, "not a truth value", err);
	*(bool *)field = raw->truth;
	return true;
}

bool setting_store(const struct setting *row, const struct raw *raw, const char *directory, void *instance,
		   struct arena *arena, struct err *err)
{
	void *field = setting_field(row, instance);

	switch (row->type) {
	case SETTING_BOOL:
		return store_bool(row, raw, field, err);
	case SETTING_INTEGER:
	case SETTING_COUNT:
		return store_number(row, raw, field, err);
	case SETTING_SIZE:
	case SETTING_DURATION:
		return store_units(row, raw, field, err);
	case SETTING_CHOICE:
		return store_choice(row, raw, field, err);
	case SETTING_STRING:
	case SETTING_PATH:
		return store_text(row, raw, directory, field, arena, err);
	case SETTING_STRINGS:
		return store_strings(row, raw, field, arena, err);
	case SETTING_LIST:
	case SETTING_SERVICE:
		break;
	}
	return refuse(row, "a single value", err);
}

/* The words of `def`; false when out of memory. */
static bool default_strings(const struct setting *row, struct strings *strings, struct arena *arena)
{
	char *rest = arena_copy(arena, str_of(row->def));
	char *word;

	strings->at = arena_alloc(arena, (strlen(row->def) / 2 + 1) * sizeof(*strings->at));
	if (rest == NULL || strings->at == NULL)
		return false;
	while ((word = strsep(&rest, " ")) != NULL)
		strings->at[strings->count++] = word;
	return true;
}

/* A default is written as in the file, without quotes: what it means follows from the row's type.  False when
 * out of memory. */
static bool raw_default(const struct setting *row, struct raw *raw, struct arena *arena)
{
	uint64_t number = 0;

	*raw = (struct raw){ .kind = RAW_STRING, .text = row->def };
	if (row->type == SETTING_BOOL) {
		raw->kind = RAW_BOOL;
		raw->truth = strcmp(row->def, "true") == 0;
	}
	if ((row->type == SETTING_INTEGER || row->type == SETTING_COUNT) &&
	    str_to_u64(str_of(row->def), &number)) {
		raw->kind = RAW_NUMBER;
		raw->number = (long long)number;
	}
	if (row->type != SETTING_STRINGS)
		return true;
	raw->kind = RAW_STRINGS;
	return default_strings(row, &raw->strings, arena);
}

bool setting_store_defaults(const struct schema *schema, void *instance, struct arena *arena, struct err *err)
{
	for (unsigned i = 0; i < schema->count; i++) {
		const struct setting *row = &schema->settings[i];
		struct raw raw;

		if (row->def == NULL)
			continue;
		if (!raw_default(row, &raw, arena))
			return out_of_memory(err);
		if (!setting_store(row, &raw, NULL, instance, arena, err))
			return err_add(err, "default");
	}
	return true;
}

/* ---- printing and comparing ------------------------------------------------------------------------ */

/* Writes `text` in quotes at `at` and returns where it ends; room for four bytes per byte and two more. */
static char *put_quoted(char *at, const char *text)
{
	*at++ = '"';
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\') {
			*at++ = '\\';
			*at++ = (char)c;
		} else if (c < 0x20 || c == 0x7f) {
			at += sprintf(at, "\\x%02x", c);
		} else {
			*at++ = (char)c;
		}
	}
	*at++ = '"';
	*at = '\0';
	return at;
}

static char *quoted(const char *text, struct arena *arena)
{
	char *out = arena_alloc(arena, strlen(text) * 4 + 3);

	if (out != NULL)
		put_quoted(out, text);
	return out;
}

static char *quoted_strings(const struct strings *strings, struct arena *arena)
{
	size_t room = sizeof("[ ]");
	char *out, *at;

	for (unsigned i = 0; i < strings->count; i++)
		room += strlen(strings->at[i]) * 4 + sizeof(", \"\"");
	out = at = arena_alloc(arena, room);
	if (out == NULL)
		return NULL;
	*at++ = '[';
	for (unsigned i = 0; i < strings->count; i++) {
		at = stpcpy(at, i > 0 ? ", " : " ");
		at = put_quoted(at, strings->at[i]);
	}
	strcpy(at, " ]");       /* counted above */
	return out;
}

bool setting_absent(const struct setting *row, void *instance)
{
	void *field = setting_field(row, instance);

	if (row->type == SETTING_STRING || row->type == SETTING_PATH)
		return *(const char **)field == NULL;
	if (row->type == SETTING_SIZE || row->type == SETTING_DURATION)
		return row->def == NULL && *(uint64_t *)field == 0;
	return row->type == SETTING_STRINGS && ((struct strings *)field)->at == NULL;
}

const char *setting_text(const struct setting *row, void *instance, struct arena *arena)
{
	void *field = setting_field(row, instance);

	if (setting_absent(row, instance))
		return NULL;
	switch (row->type) {
	case SETTING_BOOL:
		return *(bool *)field ? "true" : "false";
	case SETTING_COUNT:
		if (*(unsigned *)field == 0)
			return "\"auto\"";
		return arena_printf(arena, "%u", *(unsigned *)field);
	case SETTING_INTEGER:
		return arena_printf(arena, "%u", *(unsigned *)field);
	case SETTING_SIZE:
		return print_units(sizes, *(uint64_t *)field, arena);
	case SETTING_DURATION:
		return print_units(durations, *(uint64_t *)field, arena);
	case SETTING_CHOICE:
		return quoted(row->choices[*(unsigned *)field], arena);
	case SETTING_STRING:
	case SETTING_PATH:
		return quoted(*(const char **)field, arena);
	case SETTING_STRINGS:
		return quoted_strings(field, arena);
	case SETTING_LIST:
	case SETTING_SERVICE:
		break;
	}
	return NULL;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_strings(const struct strings *a, const struct strings *b)
{
	if (a->count != b->count || (a->at == NULL) != (b->at == NULL))
		return false;
	for (unsigned i = 0; a->at != NULL && i < a->count; i++)
		if (strcmp(a->at[i], b->at[i]) != 0)
			return false;
	return true;
}

/* By value, not by text: a comparison that runs out of memory would see a difference that there is not. */
bool setting_same(const struct setting *row, void *a, void *b)
{
	const void *one = setting_field(row, a), *other = setting_field(row, b);

	switch (row->type) {
	case SETTING_BOOL:
		return *(const bool *)one == *(const bool *)other;
	case SETTING_INTEGER:
	case SETTING_COUNT:
	case SETTING_CHOICE:
		return *(const unsigned *)one == *(const unsigned *)other;
	case SETTING_SIZE:
	case SETTING_DURATION:
		return *(const uint64_t *)one == *(const uint64_t *)other;
	case SETTING_STRING:
	case SETTING_PATH:
		return same_text(*(const char *const *)one, *(const char *const *)other);
	case SETTING_STRINGS:
		return same_strings(one, other);
	case SETTING_LIST:
	case SETTING_SERVICE:
		break;
	}
	return true;
}

/* ---- instances and rows ---------------------------------------------------------------------------- */

static size_t origins_at(const struct schema *schema)
{
	return (schema->bytes + sizeof(char *) - 1) & ~(sizeof(char *) - 1);
}

void *setting_instance(const struct schema *schema, struct arena *arena)
{
	return arena_alloc(arena, origins_at(schema) + schema->count * sizeof(char *));
}

const char **setting_origin(const struct schema *schema, void *instance, unsigned index)
{
	return (const char **)(void *)((char *)instance + origins_at(schema)) + index;
}

const char *setting_origin_of(const struct schema *schema, const void *instance, const char *name)
{
	for (unsigned i = 0; i < schema->count; i++)
		if (strcmp(schema->settings[i].name, name) == 0)
			return *setting_origin(schema, (void *)(uintptr_t)instance, i);
	return NULL;
}

static bool in_group(const struct setting *row, const char *group)
{
	const char *dot = strchr(row->name, '.');

	if (group == NULL || dot == NULL)
		return group == NULL && dot == NULL;
	return str_equal((struct str){ row->name, (size_t)(dot - row->name) }, str_of(group));
}

const struct setting *setting_find(const struct schema *schema, const char *group, const char *name)
{
	for (unsigned i = 0; i < schema->count; i++) {
		const struct setting *row = &schema->settings[i];
		const char *dot = strchr(row->name, '.');

		if (in_group(row, group) && strcmp(dot != NULL ? dot + 1 : row->name, name) == 0)
			return row;
	}
	return NULL;
}

bool setting_is_group(const struct schema *schema, const char *name)
{
	for (unsigned i = 0; i < schema->count; i++)
		if (in_group(&schema->settings[i], name))
			return true;
	return false;
}
