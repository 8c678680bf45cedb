/* import_write.c - values as the syntax of drover.conf(5) has them, and notes as comments.
 *
 * Called by the other parts of the import. Whatever stood in the source, what comes out is a string or a
 * comment of one line. */
#include "import.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_STRING = 4096 };            /* less than any setting may have */

bool is_writable(const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return false;
	return len > 0 && len < MOST_STRING;
}

void write_quoted(FILE *out, const char *text)
{
	putc('"', out);
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '\n')
			fputs("\\n", out);
		else if (c == '\t')
			fputs("\\t", out);
		else if (c < ' ' || c == 0x7f)
			fprintf(out, "\\x%02x", c);
		else if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else
			putc(c, out);
	}
	putc('"', out);
}

void write_strings(FILE *out, const struct texts *list)
{
	fputs("[ ", out);
	for (unsigned i = 0; i < list->count; i++) {
		if (i > 0)
			fputs(", ", out);
		write_quoted(out, list->at[i]);
	}
	fputs(list->count > 0 ? " ]" : "]", out);
}

void write_blocks(FILE *out, const struct texts *blocks)
{
	for (unsigned i = 0; i < blocks->count; i++)
		fprintf(out, "%s%s", blocks->at[i], i + 1 < blocks->count ? ",\n" : "\n");
}

void write_setting(FILE *out, const char *indent, const char *name, const char *text)
{
	fprintf(out, "%s%s = ", indent, name);
	write_quoted(out, text);
	fputs(";\n", out);
}

void write_setting_within(FILE *out, const char *name, const char *text)
{
	fprintf(out, " %s = ", name);
	write_quoted(out, text);
	putc(';', out);
}

void write_list(FILE *out, const char *indent, const char *name, const struct texts *list)
{
	fprintf(out, "%s%s = ", indent, name);
	write_strings(out, list);
	fputs(";\n", out);
}

static void write_comment(FILE *out, const char *indent, const struct note *note)
{
	const char *name = strrchr(note->at->file, '/');
	const char *pieces[] = { note->at->name, ": ", note->text };

	fprintf(out, "%s# %s:%u: ", indent, name != NULL ? name + 1 : note->at->file, note->at->line);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
		for (const char *at = pieces[i]; *at != '\0'; at++)
			putc((unsigned char)*at < ' ' || *at == 0x7f ? '?' : *at, out);
	putc('\n', out);
}

/* A location is a route, and what is said of it stands there. */
static bool is_route(const struct directive *at)
{
	const char *path;
	bool exact;

	return is_named(at, "location") && location_path(at, &path, &exact);
}

/* What drover has no need of is in the report alone. */
static void write_note(FILE *out, const char *indent, struct note *note)
{
	if (note->kind == NOTE_UNNEEDED)
		return;
	write_comment(out, indent, note);
	note->written = true;
}

void write_notes(FILE *out, const char *indent, const struct directive *block)
{
	struct note *of = is_route(block) ? block->notes->of : NULL, *in = block->notes->in;

	while (of != NULL || in != NULL) {
		if (in == NULL || (of != NULL && of->number < in->number)) {
			write_note(out, indent, of);
			of = of->next_of;
		} else {
			if (!is_route(in->at))
				write_note(out, indent, in);
			in = in->next_in;
		}
	}
}

void write_other_notes(FILE *out, struct import *import)
{
	for (struct note *note = import->notes; note != NULL; note = note->next)
		if (!note->written)
			write_note(out, "", note);
}

/* ---- durations and sizes ---- */

/* "1h30m", "90", "500ms": in milliseconds; false when it is none. */
static bool read_duration(const char *text, unsigned long long *ms)
{
	static const struct {
		const char *name;
		unsigned long long ms;
	} units[] = { { "ms", 1 },         { "s", 1000 },        { "m", 60000 },
		      { "h", 3600000 },    { "d", 86400000 },    { "w", 604800000 },
		      { "M", 2592000000 }, { "y", 31536000000 }, { "", 1000 } };

	for (*ms = 0; *text != '\0'; text += strspn(text, " ")) {
		char *end;
		unsigned long long number = strtoull(text, &end, 10);
		size_t unit = 0;

		if (*text < '0' || *text > '9' || number > 1000000000)
			return false;
		while (strncmp(end, units[unit].name, strlen(units[unit].name)) != 0)
			unit++;
		*ms += number * units[unit].ms;
		text = end + strlen(units[unit].name);
		if (units[unit].name[0] == '\0' && *text != '\0')
			return false;
	}
	return true;
}

static const char *duration_text(struct import *import, unsigned long long ms)
{
	static const struct {
		const char *name;
		unsigned long long ms;
	} units[] = { { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 } };
	size_t unit = 0;

	while (ms % units[unit].ms != 0 || ms < units[unit].ms)
		if (units[++unit].ms == 1)
			break;
	return import_printf(import, "%llu%s", ms / units[unit].ms, units[unit].name);
}

/* "8k", "1m", "512": in bytes. */
static bool read_size(const char *text, unsigned long long *bytes)
{
	static const char units[] = "kmg";
	char *end;
	const char *unit;

	*bytes = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *bytes > 1000000000000)
		return false;
	unit = *end != '\0' ? strchr(units, str_lower(*end)) : NULL;
	if (unit != NULL)
		*bytes <<= 10 * (unit - units + 1);
	return end[unit != NULL] == '\0' && *bytes <= 1ULL << 50;
}

static const char *size_text(struct import *import, unsigned long long bytes)
{
	static const char *const units[] = { "", "k", "m", "g" };
	size_t unit = 0;

	while (bytes > 0 && bytes % 1024 == 0 && unit < 3) {
		bytes /= 1024;
		unit++;
	}
	return import_printf(import, "%llu%s", bytes, units[unit]);
}

/* A kind of value, which nginx writes in one way and drover in another. */
struct kind {
	const char *name;
	bool (*read)(const char *text, unsigned long long *value);
	const char *(*text)(struct import *import, unsigned long long value);
};

static const char *translate(struct import *import, const struct directive *at, const char *text,
			     const unsigned long long bounds[2], const struct kind *kind)
{
	unsigned long long value, good;

	if (text[0] == '\0' || !kind->read(text, &value)) {
		import_note(import, NOTE_MISSING, at, "\"%s\" was not understood as a %s", text, kind->name);
		return NULL;
	}
	good = value < bounds[0] ? bounds[0] : value > bounds[1] ? bounds[1] : value;
	if (good != value)
		import_note(import, NOTE_DIFFERS, at, "%s is out of bounds here; %s is the nearest", text,
			    kind->text(import, good));
	return kind->text(import, good);
}

const char *import_duration(struct import *import, const struct directive *at, const char *text,
			    const unsigned long long bounds[2])
{
	static const struct kind time = { "time", read_duration, duration_text };

	return translate(import, at, text, bounds, &time);
}

const char *import_size(struct import *import, const struct directive *at, const char *text,
			const unsigned long long bounds[2])
{
	static const struct kind size = { "size", read_size, size_text };

	return translate(import, at, text, bounds, &size);
}
