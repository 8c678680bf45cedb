/* import_logs.c - where nginx logs to, and the types of files: what drover has once for all sites.
 *
 * Called by import_global.c; what is said for one site alone is noted. */
#include "import.h"

#include <stdlib.h>
#include <string.h>

/* ---- logs -------------------------------------------------------------------------------------------- */

/* The service of drover may write below its own directory alone. */
static const char *log_path(struct import *import, const struct directive *at, const char *path)
{
	static const char theirs[] = "/var/log/nginx/";

	if (strncmp(path, theirs, strlen(theirs)) != 0)
		return path;
	path = import_printf(import, "/var/log/drover/%s", path + strlen(theirs));
	import_note(import, NOTE_DIFFERS, at, "goes to %s, where the service may write", path);
	return path;
}

/* NULL: not to be had; noted. */
static const char *log_target(struct import *import, const struct directive *at)
{
	const char *to = arg(at, 0);

	if (strcmp(to, "stderr") == 0 || strcmp(to, "/dev/stderr") == 0 || strcmp(to, "/dev/stdout") == 0)
		return "stderr";
	if (strncmp(to, "syslog:server=unix:", 19) == 0)
		return "syslog";
	if (to[0] == '/' && !has_variable(to) && is_writable(to) && to[strlen(to) - 1] != '/')
		return log_path(import, at, to);
	if (strncmp(to, "syslog:", 7) != 0 && strncmp(to, "memory:", 7) != 0 && !has_variable(to) &&
	    is_writable(to) && to[strlen(to) - 1] != '/')
		return log_path(import, at, import_printf(import, "%s/%s", import->prefix, to));
	import_note(import, NOTE_MISSING, at,
		    "logs go to a file, to stderr, syslog or journal on this machine");
	return NULL;
}

/* nginx's default is "error"; drover's has what happens to workers, too. */
static const char *level_of(const char *word)
{
	static const struct {
		const char *theirs, *ours;
	} levels[] = { { "debug", "debug" },  { "info", "info" },   { "notice", "notice" },
		       { "warn", "warning" }, { "error", "error" }, { "crit", "error" },
		       { "alert", "error" },  { "emerg", "error" } };

	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (strcmp(levels[i].theirs, word) == 0)
			return levels[i].ours;
	return NULL;
}

static const struct directive *http_of(const struct import *import)
{
	return find_own(&import->root, "http");
}

/* The first of all servers that says so itself, when nobody says it for all. */
static const struct directive *find_log(struct import *import, const char *name)
{
	const struct directive *http = http_of(import), *found = find_own(&import->root, name);

	if (found == NULL && http != NULL)
		found = find_own(http, name);
	return found != NULL ? found : find_below(&import->root, name);
}

/* Requests all go to one log: what another says is noted. */
static void note_other_logs(struct import *import, const struct directive *block,
			    const struct directive *chosen)
{
	for (const struct directive *child = block->children; child != NULL; child = child->next) {
		bool off = strcmp(arg(child, 0), "off") == 0;

		if (child != chosen && is_named(child, chosen->name) &&
		    strcmp(arg(child, 0), arg(chosen, 0)) != 0)
			import_note(import, off ? NOTE_DIFFERS : NOTE_MISSING, child,
				    off ? "there is one log for all, which has these requests, too"
					: "there is one log for all sites; the json format says which site "
					  "it was");
		note_other_logs(import, child, chosen);
	}
}

static void write_error_log(struct import *import, FILE *out)
{
	const struct directive *log = find_log(import, "error_log");
	const char *target = log != NULL ? log_target(import, log) : NULL;

	if (log != NULL)
		note_other_logs(import, &import->root, log);
	if (target != NULL)
		write_setting(out, "        ", "error", target);
	if (log != NULL && level_of(arg(log, 1)) != NULL)
		write_setting(out, "        ", "level", level_of(arg(log, 1)));
}

/* A format of one's own becomes the one that has most of it. */
static const char *format_of(struct import *import, const struct directive *log)
{
	const struct directive *http = http_of(import);
	const char *name = log->arg_count > 1 && strchr(arg(log, 1), '=') == NULL ? arg(log, 1) : "combined";

	for (const struct directive *at = http != NULL ? find_own(http, "log_format") : NULL; at != NULL;
	     at = find_next(at)) {
		bool json = strcmp(arg(at, 1), "escape=json") == 0;

		if (strcmp(arg(at, 0), name) != 0)
			continue;
		import_note(import, NOTE_DIFFERS, at, "becomes %s: the formats are common, combined and json",
			    json ? "json" : "combined");
		return json ? "json" : "combined";
	}
	return "combined";
}

static void write_access_log(struct import *import, FILE *out)
{
	const struct directive *log = find_log(import, "access_log");
	const char *target;

	if (log == NULL)
		return;
	note_other_logs(import, &import->root, log);
	if (strcmp(arg(log, 0), "off") == 0)
		return;
	target = log_target(import, log);
	if (target == NULL)
		return;
	write_setting(out, "        ", "access", target);
	write_setting(out, "        ", "access_format", format_of(import, log));
}

void import_logs(struct import *import, FILE *out)
{
	char *text = NULL;
	size_t len = 0;
	FILE *inner = import_stream(&text, &len);

	write_error_log(import, inner);
	write_access_log(import, inner);
	fclose(inner);
	if (len > 0)
		fprintf(out, "log = {\n%s};\n", text);
	free(text);
}

/* ---- types ------------------------------------------------------------------------------------------- */

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

static bool is_type(const char *text)
{
	const char *slash = strchr(text, '/');
	size_t len = strlen(text);

	return slash != NULL && slash != text && slash[1] != '\0' && len < 100 && strspn(text, letters) > 0 &&
	       strspn(slash + 1, letters) > 0 &&
	       strspn(text, "/.+-_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == len &&
	       strchr(slash + 1, '/') == NULL;
}

static bool is_extension(const char *text)
{
	size_t len = strlen(text);

	return len > 0 && len < 32 && strspn(text, letters) == len;
}

/* Those of one type that no line before has. */
static void take_type(struct import *import, const struct directive *row, struct texts *seen,
		      struct texts *entries)
{
	struct texts own = { 0 };
	char *text = NULL;
	size_t len = 0;
	FILE *out;

	for (unsigned i = 0; i < row->arg_count; i++) {
		const char *name = import_lower(import, row->args[i]);

		if (!is_type(row->name) || !is_extension(name))
			import_note(import, NOTE_MISSING, row, "no type, or no extension that drover takes");
		else if (!texts_has(seen, name)) {
			texts_add(import, seen, name);
			texts_add(import, &own, name);
		}
	}
	if (own.count == 0)
		return;
	out = import_stream(&text, &len);
	fputs("        { extensions = ", out);
	write_strings(out, &own);
	fputs("; type = ", out);
	write_quoted(out, row->name);
	fputs("; }", out);
	import_keep(import, out, &text, entries);
}

static bool is_stock(const struct directive *types)
{
	const char *file = types->children != NULL ? types->children->file : types->file;
	const char *slash = strrchr(file, '/');

	return strcmp(slash != NULL ? slash + 1 : file, "mime.types") == 0;
}

void import_types(struct import *import, FILE *out)
{
	struct texts seen = { 0 }, entries = { 0 };
	const struct directive *http = http_of(import);

	for (const struct directive *types = http != NULL ? find_own(http, "types") : NULL; types != NULL;
	     types = find_next(types)) {
		if (is_stock(types)) {
			import_note(import, NOTE_UNNEEDED, types,
				    "drover knows the usual types; mime.types adds others");
			continue;
		}
		for (const struct directive *row = types->children; row != NULL; row = row->next)
			take_type(import, row, &seen, &entries);
	}
	if (entries.count == 0)
		return;
	fputs("mime = { types = (\n", out);
	write_blocks(out, &entries);
	fputs("); };\n", out);
}
