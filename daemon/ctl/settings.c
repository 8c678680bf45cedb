/* settings.c - droverctl settings and get: what can be tuned, what it is, and where that is from.  The
 * table is this program's own, with help; values are the daemon's. Fails as ctl_run does. */
#include "ctl.h"

#include "config/config.h"
#include "config/suggest.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_COLUMNS = 100 };

static const char *const when_words[] = {
	[LIVE] = "live", [REPLACE] = "replaces the workers", [RESTART] = "only at a restart",
};

static bool names_only;                 /* settings --names */

bool settings_option(int val, const char *value)
{
	(void)value;
	names_only |= val == 'n';
	return true;
}

/* ---- one ---------------------------------------------------------------------------------------------- */

static bool can_be_set(const struct setting *row)
{
	return row->type != SETTING_LIST && row->type != SETTING_SERVICE;
}

static const struct setting *find(const char *name)
{
	for (unsigned i = 0; i < config_schema.count; i++)
		if (can_be_set(&config_schema.settings[i]) &&
		    strcmp(config_schema.settings[i].name, name) == 0)
			return &config_schema.settings[i];
	return NULL;
}

static bool matches(const char *pattern, const char *name)
{
	if (pattern == NULL)
		return true;
	return strpbrk(pattern, "*?[") != NULL ? fnmatch(pattern, name, 0) == 0
					       : strstr(name, pattern) != NULL;
}

/* The first thing that the help says, without its end. */
static json_t *first_of_help(const struct setting *row)
{
	const char *help = row->help != NULL ? row->help : "", *end = strstr(help, ". ");
	size_t len = strcspn(help, ";");

	if (end != NULL && (size_t)(end - help) < len)
		len = (size_t)(end - help);
	return json_stringn(help, len);
}

/* What may be written; words that a path or a string knows are among it. */
static void allowed_text(const struct setting *row, char *text, size_t bytes)
{
	setting_allowed(row, text, bytes);
	for (unsigned i = 0; row->type != SETTING_CHOICE && row->choices != NULL && row->choices[i] != NULL;
	     i++) {
		size_t len = strlen(text);

		snprintf(text + len, bytes - len, " or \"%s\"", row->choices[i]);
	}
}

/* The daemon's entry with what the table knows; a new reference. */
static json_t *describe(const struct setting *row, const json_t *entry)
{
	char allowed[512];

	allowed_text(row, allowed, sizeof(allowed));
	return json_pack("{s:s, s:O, s:s?, s:s, s:s, s:O, s:o}", "name", row->name, "value",
			 json_object_get(entry, "value"), "default", row->def, "allowed", allowed, "when",
			 when_words[row->when], "origin", json_object_get(entry, "origin"), "help",
			 first_of_help(row));
}

/* ---- showing ------------------------------------------------------------------------------------------ */

void ctl_put_value(const char *text)
{
	size_t len = strlen(text);

	if (len < 2 || text[0] != '"' || strpbrk(text, "\\") != NULL)
		fputs(text, stdout);
	else
		printf("%.*s", (int)len - 2, text + 1);
}

static void put_wrapped(const char *text)
{
	int column = 8;

	fputs("       ", stdout);
	while (*text != '\0') {
		int len = (int)strcspn(text, " ");

		if (column + len > LINE_COLUMNS) {
			fputs("\n       ", stdout);
			column = 8;
		}
		column += printf(" %.*s", len, text);
		text += len + (int)strspn(text + len, " ");
	}
	putchar('\n');
}

static void show_setting(const json_t *setting)
{
	const char *origin = ctl_text(setting, "origin"), *def = ctl_text(setting, "default");
	const char *value = json_string_value(json_object_get(setting, "value"));
	char line[1024];

	printf("%s = ", ctl_text(setting, "name"));
	if (value != NULL)
		ctl_put_value(value);
	else
		fputs("(not set)", stdout);
	printf("%s%s\n", origin[0] != '\0' ? "    # " : "", origin);
	put_wrapped(ctl_text(setting, "help"));
	snprintf(line, sizeof(line), "%s; %s%s; %s", ctl_text(setting, "allowed"),
		 def[0] != '\0' ? "default " : "no default", def, ctl_text(setting, "when"));
	put_wrapped(line);
}

static void show_settings(const json_t *answer)
{
	const json_t *setting;
	size_t index;

	json_array_foreach(json_object_get(answer, "settings"), index, setting)
		show_setting(setting);
}

static void show_values(const json_t *answer)
{
	const json_t *setting;
	size_t index;

	json_array_foreach(json_object_get(answer, "settings"), index, setting) {
		ctl_put_value(ctl_text(setting, "value"));
		putchar('\n');
	}
}

/* ---- asking ------------------------------------------------------------------------------------------- */

json_t *ctl_settings(const struct ctl *ctl, int *status)
{
	struct err err;
	json_t *answer;

	if (ctl->socket[0] == '\0')
		return *status = ctl_wrong("no control socket is known; give one with --socket", ""), NULL;
	answer = control_ask(ctl->socket, json_pack("{s:s, s:b}", "command", "config", "settings", 1), 0,
			     &err);
	if (answer == NULL)
		return *status = ctl_unreachable(&err), NULL;
	if (ctl_true(answer, "ok"))
		return answer;
	*status = ctl_show(ctl, answer, NULL);
	json_decref(answer);
	return NULL;
}

static int print_names(const struct ctl *ctl)
{
	json_t *names = json_array();

	for (unsigned i = 0; i < config_schema.count; i++) {
		const struct setting *row = &config_schema.settings[i];

		if (!can_be_set(row) || !matches(ctl->arguments[0], row->name))
			continue;
		if (ctl->json)
			json_array_append_new(names, json_string(row->name));
		else
			puts(row->name);
	}
	if (ctl->json)
		json_decref(ctl_dump(json_pack("{s:b, s:O}", "ok", 1, "names", names)));
	json_decref(names);
	return STATUS_GOOD;
}

static int refuse_name(const struct ctl *ctl, const char *name)
{
	const char *near = suggest_whole(&config_schema, name);
	char text[256];

	if (near != NULL)
		snprintf(text, sizeof(text), "unknown setting \"%.64s\"; did you mean \"%s\"?", name, near);
	else
		snprintf(text, sizeof(text),
			 "there is no setting like \"%.64s\"; droverctl settings lists all", name);
	return ctl_refuse(ctl, text);
}

/* Of those that match, as the table has them. */
static json_t *described(const json_t *answer, const char *pattern, bool whole)
{
	json_t *all = json_array();
	const json_t *entry;
	size_t index;

	json_array_foreach(json_object_get(answer, "settings"), index, entry) {
		const char *name = ctl_text(entry, "name");
		const struct setting *row = find(name);

		if (row != NULL && (whole ? strcmp(pattern, name) == 0 : matches(pattern, name)))
			json_array_append_new(all, describe(row, entry));
	}
	return all;
}

static int show_those(struct ctl *ctl, bool whole, void (*show)(const json_t *answer))
{
	int status = STATUS_GOOD;
	json_t *answer = ctl_settings(ctl, &status), *some, *shown;

	if (answer == NULL)
		return status;
	some = described(answer, ctl->arguments[0], whole);
	json_decref(answer);
	if (json_array_size(some) == 0) {
		status = refuse_name(ctl, ctl->arguments[0] != NULL ? ctl->arguments[0] : "");
	} else {
		shown = json_pack("{s:b, s:O}", "ok", 1, "settings", some);
		status = ctl_show(ctl, shown, show);
		json_decref(shown);
	}
	json_decref(some);
	return status;
}

int settings_run(struct ctl *ctl)
{
	return names_only ? print_names(ctl) : show_those(ctl, false, show_settings);
}

int get_run(struct ctl *ctl)
{
	return show_those(ctl, true, show_values);
}
