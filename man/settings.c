/* settings.c - prints the table of settings as the body of drover.conf(5).
 *
 * A program of the build, linked with the daemon's objects: what it lists is what the daemon takes. Its
 * output goes where the marker line of drover.conf.5.in stands. Fails only with its standard output. */
#include "config/config.h"
#include "service/registry.h"

#include <ctype.h>
#include <stdio.h>

enum { LINE_COLUMNS = 72, NAME_BYTES = 256 };

static const char *const when_words[] = {
	[LIVE] = "live", [REPLACE] = "replace", [RESTART] = "restart",
};

/* ---- mdoc -------------------------------------------------------------------------------------------- */

/* Text inside a quoted macro argument, or a word of prose; returns how many columns it took. */
static size_t put_escaped(const char *text, size_t len)
{
	size_t columns = len;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\\')
			columns += (size_t)printf("\\e") - 1;
		else if (text[i] == '"')
			columns += (size_t)printf("\\(dq") - 1;
		else
			putchar(text[i]);
	}
	return columns;
}

static void put_macro(const char *macro, const char *text)
{
	printf(".%s \"", macro);
	put_escaped(text, strlen(text));
	fputs("\"\n", stdout);
}

/* One paragraph, filled; every sentence begins a line, as mdoc(7) wants it. */
static void put_prose(const char *text)
{
	size_t column = 0;
	bool first = true;

	while (*text != '\0') {
		size_t len = strcspn(text, " ");
		bool ends = text[len] == '\0' || (text[len - 1] == '.' && isupper((unsigned char)text[len + 1]));

		if (column > 0 && column + len > LINE_COLUMNS) {
			putchar('\n');
			column = 0;
		}
		if (column > 0)
			putchar(' ');
		else if (*text == '.' || *text == '\'')
			fputs("\\&", stdout);
		if (first)
			putchar(toupper((unsigned char)*text));
		column += put_escaped(text + first, len - first) + 1;
		if (ends)
			fputs(text[len] == '\0' && text[len - 1] != '.' ? ".\n" : "\n", stdout);
		if (ends)
			column = 0;
		first = false;
		text += len + strspn(text + len, " ");
	}
}

/* ---- one setting ------------------------------------------------------------------------------------- */

/* What may be written; the words that a path or a string knows are choices too. */
static void put_allowed(const struct setting *row)
{
	char text[512] = "Value: ";
	size_t len = strlen(text);

	setting_allowed(row, text + len, sizeof(text) - len);
	for (unsigned i = 0; row->type != SETTING_CHOICE && row->choices != NULL && row->choices[i] != NULL; i++) {
		len = strlen(text);
		snprintf(text + len, sizeof(text) - len, " or \"%s\"", row->choices[i]);
	}
	put_prose(text);
}

static bool is_bare(const struct setting *row)
{
	uint64_t number;

	if (row->type == SETTING_COUNT)
		return str_to_u64(str_of(row->def), &number);
	return row->type == SETTING_BOOL || row->type == SETTING_INTEGER;
}

/* The default as it would be written in the file. */
static void default_text(const struct setting *row, char *text, size_t bytes)
{
	const char *quote = is_bare(row) ? "" : "\"", *def = row->def;
	size_t at;

	if (row->type != SETTING_STRINGS) {
		snprintf(text, bytes, "%s%s%s", quote, def, quote);
		return;
	}
	at = (size_t)snprintf(text, bytes, "[");
	while (*def != '\0' && at < bytes) {
		size_t len = strcspn(def, " ");

		at += (size_t)snprintf(text + at, bytes - at, "%s \"%.*s\"", def != row->def ? "," : "",
				       (int)len, def);
		def += len + (def[len] != '\0');
	}
	if (at < bytes)
		snprintf(text + at, bytes - at, " ]");
}

static void put_default(const struct setting *row)
{
	char text[512];

	default_text(row, text, sizeof(text));
	fputs("Default:\n.Li \"", stdout);     /* .Ql would put quotes around quotes */
	put_escaped(text, strlen(text));
	fputs("\" .\n", stdout);
}

/* As it stands in a file: a name with a dot inside of its group. */
static void put_example(const struct setting *row)
{
	const char *dot = strchr(row->name, '.');
	char value[512] = "", text[1024];

	if (row->example != NULL)
		snprintf(value, sizeof(value), "%s", row->example);
	else if (row->def != NULL)
		default_text(row, value, sizeof(value));
	if (value[0] == '\0')
		return;
	if (dot != NULL)
		snprintf(text, sizeof(text), "%.*s = { %s = %s; };", (int)(dot - row->name), row->name, dot + 1, value);
	else
		snprintf(text, sizeof(text), "%s = %s;", row->name, value);
	fputs("Example:\n", stdout);
	put_macro("Dl", text);
}

static void put_setting(const struct setting *row, const char *name)
{
	put_macro("It Va", name);
	put_prose(row->help);
	fputs(".Pp\n", stdout);
	put_allowed(row);
	if (row->def != NULL)
		put_default(row);
	if (row->required && row->instead != NULL)
		printf("Required, unless there is\n.Va %s .\n", row->instead);
	else if (row->required)
		fputs("Required.\n", stdout);
	if (row->type != SETTING_LIST)
		printf("Counts:\n.Em %s .\n", when_words[row->when]);
	put_example(row);
}

/* ---- the tables -------------------------------------------------------------------------------------- */

static void put_schema(const struct schema *schema, const char *prefix);

/* What stands in a route in place of the row: a group of each service. */
static void put_services(const char *prefix)
{
	char name[NAME_BYTES];

	for (unsigned i = 0; service_schemas[i] != NULL; i++) {
		snprintf(name, sizeof(name), "%s%s", prefix, service_schemas[i]->name);
		put_macro("It Va", name);
		put_prose(service_schemas[i]->help);
		fputs("A route has exactly one service.\n", stdout);
		if (service_schemas[i]->count == 0)
			fputs("It has no settings: write an empty group,\n.Ql { } .\n", stdout);
		snprintf(name, sizeof(name), "%s%s.", prefix, service_schemas[i]->name);
		put_schema(service_schemas[i], name);
	}
}

static void put_schema(const struct schema *schema, const char *prefix)
{
	char name[NAME_BYTES];

	for (unsigned i = 0; i < schema->count; i++) {
		const struct setting *row = &schema->settings[i];

		if (row->type == SETTING_SERVICE) {
			put_services(prefix);
			continue;
		}
		snprintf(name, sizeof(name), "%s%s", prefix, row->name);
		put_setting(row, name);
		if (row->type != SETTING_LIST)
			continue;
		snprintf(name, sizeof(name), "%s%s[].", prefix, row->name);
		put_schema(row->of, name);
	}
}

int main(void)
{
	fputs(".Bl -tag -width Ds\n", stdout);
	put_schema(&config_schema, "");
	fputs(".El\n", stdout);
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
