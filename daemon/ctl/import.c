/* import.c - `droverctl import FILE`: a configuration of nginx as one of drover, and what is missing of it.
 *
 * Talks to no daemon. Nothing but the output file is written, and that only when it was not there. Exits with
 * 0: all is translated, 1: something is not (the output is there), 2: there is nothing to read, or it is no
 * nginx configuration. */
#include "import.h"

#include "ctl.h"

#include "base/fd.h"
#include "base/hash.h"
#include "base/must.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *output_path, *prefix = "/usr/share/nginx";
static unsigned port;
static bool strict, print_directives;

/* ---- memory and notes -------------------------------------------------------------------------------- */

void *import_alloc(struct import *import, size_t bytes)
{
	void *at = arena_alloc(&import->arena, bytes);

	must(at != NULL);
	return at;
}

const char *import_printf(struct import *import, const char *format, ...)
{
	char *text = NULL;
	const char *copy;
	va_list list;

	va_start(list, format);
	must(vasprintf(&text, format, list) >= 0);
	va_end(list);
	copy = arena_copy(&import->arena, str_of(text));
	must(copy != NULL);
	free(text);
	return copy;
}

const char *import_lower(struct import *import, const char *text)
{
	char *copy = arena_copy(&import->arena, str_of(text));

	must(copy != NULL);
	for (char *at = copy; *at != '\0'; at++)
		*at = str_lower(*at);
	return copy;
}

/* Where the text is, or would be. */
static unsigned *place_of(const struct texts *list, const char *text)
{
	size_t mask = 2 * (size_t)list->room - 1, at = hash_fold(hash_of(str_of(text))) & mask;

	while (list->places[at] != 0 && strcmp(list->at[list->places[at] - 1], text) != 0)
		at = (at + 1) & mask;
	return &list->places[at];
}

static void grow(struct import *import, struct texts *list)
{
	const char **old = list->at;

	list->room = list->room == 0 ? 8 : 2 * list->room;
	list->at = import_alloc(import, list->room * sizeof(*list->at));
	list->places = import_alloc(import, 2 * list->room * sizeof(*list->places));
	memset(list->places, 0, 2 * list->room * sizeof(*list->places));
	for (unsigned i = 0; i < list->count; i++) {
		list->at[i] = old[i];
		*place_of(list, old[i]) = i + 1;
	}
}

/* The last one is followed by NULL. */
void texts_add(struct import *import, struct texts *list, const char *text)
{
	must(text != NULL);
	if (list->count + 1 >= list->room)
		grow(import, list);
	list->at[list->count++] = text;
	list->at[list->count] = NULL;
	*place_of(list, text) = list->count;
}

bool texts_has(const struct texts *list, const char *text)
{
	return list->count > 0 && *place_of(list, text) != 0;
}

FILE *import_stream(char **text, size_t *len)
{
	FILE *out = open_memstream(text, len);

	must(out != NULL);
	return out;
}

void import_keep(struct import *import, FILE *out, char **text, struct texts *list)
{
	must(fclose(out) == 0);
	texts_add(import, list, arena_copy(&import->arena, str_of(*text)));
	free(*text);
	*text = NULL;
}

struct directive_notes *import_no_notes(struct import *import)
{
	struct directive_notes *notes = import_alloc(import, sizeof(*notes));

	*notes = (struct directive_notes){ 0 };
	return notes;
}

static void keep_note(struct import *import, struct note *note)
{
	struct directive_notes *own = note->at->notes,
			       *around = note->at->parent != NULL ? note->at->parent->notes : NULL;

	*(import->last_note != NULL ? &import->last_note->next : &import->notes) = note;
	import->last_note = note;
	*(own->last_of != NULL ? &own->last_of->next_of : &own->of) = note;
	own->last_of = note;
	if (around == NULL)
		return;
	*(around->last_in != NULL ? &around->last_in->next_in : &around->in) = note;
	around->last_in = note;
}

void import_note(struct import *import, enum note_kind kind, const struct directive *at, const char *format,
		 ...)
{
	struct note *note;
	char *text = NULL;
	va_list list;

	va_start(list, format);
	must(vasprintf(&text, format, list) >= 0);
	va_end(list);
	for (note = at->notes->of; note != NULL; note = note->next_of)
		if (strcmp(note->text, text) == 0)
			break;
	if (note == NULL) {
		note = import_alloc(import, sizeof(*note));
		*note = (struct note){ .kind = kind,
				       .at = at,
				       .text = arena_copy(&import->arena, str_of(text)),
				       .number = import->note_count++ };
		must(note->text != NULL);
		keep_note(import, note);
		import->counts[kind]++;
	}
	free(text);
}

void import_release(struct import *import)
{
	arena_free(&import->arena);
}

/* ---- all of it --------------------------------------------------------------------------------------- */

static const char head[] =
	"# Made of an nginx configuration by `droverctl import`. Check it with `drover -t -c FILE`.\n"
	"#\n"
	"# Without a line here: names that begin with a dot are 404, symlinks are followed as long as they "
	"lead\n"
	"# below the root, and compressed siblings (.zst, .br, .gz) are sent. See drover-nginx(7).\n\n";

/* Notes are made while the settings are: those that have no block in the output stand in front of all. */
static void write_all(struct import *import, FILE *out, const char *settings)
{
	fputs(head, out);
	write_other_notes(out, import);
	fputs(settings, out);
}

char *import_translate(struct import *import)
{
	const struct directive *http = find_own(&import->root, "http");
	const struct directive *events = find_own(&import->root, "events");
	char *settings = NULL, *text = NULL;
	size_t settings_len = 0, len = 0;
	FILE *out = import_stream(&settings, &settings_len);
	bool good;

	import_simplify(import, &import->root);
	import_judge(import, &import->root);
	if (events != NULL)
		import_judge(import, events);
	if (http != NULL)
		import_judge(import, http);
	if (http != NULL && find_next(http) != NULL)
		import_note(import, NOTE_MISSING, find_next(http), "a second http block");
	import_global(import, out);
	putc('\n', out);
	import_listen(import, out);
	putc('\n', out);
	good = import_sites(import, out);
	must(fclose(out) == 0);
	out = import_stream(&text, &len);
	if (good)
		write_all(import, out, settings);
	must(fclose(out) == 0);
	free(settings);
	if (good)
		return text;
	free(text);
	return NULL;
}

/* ---- the report -------------------------------------------------------------------------------------- */

static const char *const kind_names[] = { "missing", "differs", "unneeded" };

static void write_plain(FILE *out, const char *text)
{
	for (; *text != '\0'; text++)
		putc((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text, out);
}

static void print_kind(FILE *out, const struct import *import, enum note_kind kind, const char *title)
{
	if (import->counts[kind] == 0)
		return;
	fprintf(out, "%s (%u):\n", title, import->counts[kind]);
	for (const struct note *note = import->notes; note != NULL; note = note->next) {
		if (note->kind != kind)
			continue;
		fprintf(out, "  %s:%u: ", note->at->file, note->at->line);
		write_plain(out, note->at->name);
		fputs(": ", out);
		write_plain(out, note->text);
		putc('\n', out);
	}
}

/* In one piece: stderr has no buffer. */
static void print_report(const struct import *import)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = import_stream(&text, &len);

	print_kind(out, import, NOTE_UNNEEDED, "not needed");
	print_kind(out, import, NOTE_DIFFERS, "a little different");
	print_kind(out, import, NOTE_MISSING, "NOT TRANSLATED");
	must(fclose(out) == 0);
	fputs(text, stderr);
	free(text);
}

static bool is_complete(const struct import *import)
{
	return import->counts[NOTE_MISSING] == 0 && (!strict || import->counts[NOTE_DIFFERS] == 0);
}

/* Bytes that are no UTF-8 are no JSON. */
static json_t *text_of(const char *text)
{
	json_t *value = json_string(text);

	return value != NULL ? value : json_string("?");
}

static void print_json(const struct import *import, const char *text)
{
	json_t *report = json_array(), *answer;

	for (const struct note *note = import->notes; note != NULL; note = note->next)
		json_array_append_new(report, json_pack("{s:o, s:i, s:o, s:s, s:o}", "file",
							text_of(note->at->file), "line", (int)note->at->line,
							"directive", text_of(note->at->name), "kind",
							kind_names[note->kind], "text", text_of(note->text)));
	answer = json_pack("{s:b, s:o, s:i, s:i, s:i, s:o}", "ok", (int)is_complete(import), "config",
			   text_of(text), "missing", (int)import->counts[NOTE_MISSING], "differs",
			   (int)import->counts[NOTE_DIFFERS], "unneeded", (int)import->counts[NOTE_UNNEEDED],
			   "report", report);
	json_dumpf(answer, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(answer);
}

/* ---- the command ------------------------------------------------------------------------------------- */

static int fail(const struct ctl *ctl, const char *text)
{
	json_t *answer;

	if (!ctl->json) {
		fprintf(stderr, "droverctl: ");
		write_plain(stderr, text);
		putc('\n', stderr);
		return STATUS_USAGE;
	}
	answer = json_pack("{s:b, s:o}", "ok", 0, "text", text_of(text));
	json_dumpf(answer, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(answer);
	return STATUS_USAGE;
}

/* What is there stays there. */
static bool write_output(const char *text, struct err *err)
{
	int fd AUTO_CLOSE = open(output_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0 && errno == EEXIST)
		return err_set(err, "%s is there already, and is left as it is; name another file",
			       output_path);
	return (fd >= 0 && fd_write_all(fd, text, strlen(text))) || err_sys(err, errno, "%s", output_path);
}

static int give_out(const struct ctl *ctl, const struct import *import, const char *text)
{
	struct err err;

	if (output_path != NULL && !write_output(text, &err))
		return fail(ctl, err.text);
	if (ctl->json) {
		print_json(import, text);
	} else {
		if (output_path == NULL)
			fputs(text, stdout);
		fflush(stdout);
		print_report(import);
	}
	return is_complete(import) ? STATUS_GOOD : STATUS_REFUSED;
}

static int run_directives(void)
{
	static const char *const verdicts[] = { "translated", "unneeded", "missing" };

	for (const struct row *row = import_rows; row->name != NULL; row++)
		printf("%s\t%s\t%s\t%s\n", row->name, verdicts[row->verdict], row->setting, row->text);
	return STATUS_GOOD;
}

int import_run(struct ctl *ctl)
{
	struct import import = { .prefix = prefix, .port = port };
	struct err err;
	char *text;
	int status;

	if (print_directives)
		return run_directives();
	if (ctl->argument_count == 0)
		return ctl_wrong("expected an nginx configuration behind ", "import");
	if (!import_read(&import, ctl->arguments[0], &err)) {
		import_release(&import);
		return fail(ctl, err.text);
	}
	text = import_translate(&import);
	if (text != NULL)
		status = give_out(ctl, &import, text);
	else
		status = fail(ctl, "there is no server in it (that listens at the port that was asked for)");
	free(text);
	import_release(&import);
	return status;
}

const struct option import_options[] = {
	{ "output", required_argument, NULL, 'o' }, { "prefix", required_argument, NULL, 'p' },
	{ "port", required_argument, NULL, 'P' },   { "strict", no_argument, NULL, 'S' },
	{ "directives", no_argument, NULL, 'd' },   { NULL, 0, NULL, 0 },
};

bool import_option(int val, const char *value)
{
	char *end;

	if (val == 'o')
		output_path = value;
	if (val == 'p')
		prefix = value;
	strict |= val == 'S';
	print_directives |= val == 'd';
	if (val == 'p' && (value[0] != '/' || !is_writable(value)))
		return ctl_wrong("the prefix is an absolute path, and not ", value), false;
	if (val != 'P')
		return true;
	port = (unsigned)strtoul(value, &end, 10);
	return (*end == '\0' && port > 0 && port < 65536) || (ctl_wrong("no port: ", value), false);
}
