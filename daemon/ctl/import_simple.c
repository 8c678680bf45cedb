/* import_simple.c - locations by a regular expression that is no more than a path's beginning: ~ ^/admin/.
 *
 * Called by import.c before anything is translated, so that what they guard is guarded. Pure but for the
 * notes. */
#include "import.h"

#include <string.h>

/* What may stand behind the beginning and says nothing more about it. */
static const char *const ends[] = { "", ".*", ".*$", "(.*)", "(.*)$", "(/|$)", "(/.*)?$", "($|/)" };

static bool is_end(const char *text)
{
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (strcmp(text, ends[i]) == 0)
			return true;
	return false;
}

/* "^/a\.b/.*" is "/a.b/"; NULL: it is more than a beginning. */
static const char *beginning_of(struct import *import, const char *regex)
{
	char *copy = import_alloc(import, strlen(regex) + 1), *out = copy;

	if (strncmp(regex, "^/", 2) != 0)
		return NULL;
	for (regex++; !is_end(regex); regex++) {
		if (*regex == '\\' && regex[1] != '\0' && strchr("./-_", regex[1]) != NULL)
			regex++;
		else if (strchr("*+?()[]{}|\\^$.", *regex) != NULL)
			return NULL;
		*out++ = *regex;
	}
	*out = '\0';
	return copy[1] != '\0' ? copy : NULL;
}

static void become_path(struct import *import, struct directive *at, const char *path)
{
	if (strcmp(at->args[0], "~*") == 0 && is_guarded(at))
		import_note(import, NOTE_MISSING, at,
			    "CAUTION: letters of either case: here it guards %s alone", path);
	at->args[0] = "^~";
	at->args[1] = path;
	at->was_regex = true;
}

/* What an expression guards of a directory: all of that is closed, rather than all of the site. */
static void close_directory(struct import *import, const struct directive *block, struct directive *at)
{
	const char *path = regex_directory(import, arg(at, at->arg_count - 1));
	struct directive *rule = import_alloc(import, sizeof(*rule));

	if (path[0] == '\0' || path[1] == '\0' || at->arg_count != 2 || has_location(block, path))
		return;
	become_path(import, at, path);
	import_note(import, NOTE_MISSING, at,
		    "CAUTION: there are no regular expressions: all of %s is closed (403)", path);
	*rule = (struct directive){ .name = "deny", .file = at->file, .line = at->line, .parent = at };
	rule->notes = import_no_notes(import);
	rule->args = import_alloc(import, 2 * sizeof(*rule->args));
	rule->args[0] = "all";
	rule->args[1] = NULL;
	rule->arg_count = 1;
	at->children = at->last_child = rule;
	at->names = name_bit(rule->name);
}

void import_simplify(struct import *import, struct directive *block)
{
	for (struct directive *at = block->children; at != NULL; at = at->next) {
		const char *path = NULL;

		import_simplify(import, at);
		if (is_named(at, "location") && at->arg_count == 2 && arg(at, 0)[0] == '~')
			path = beginning_of(import, arg(at, 1));
		if (path == NULL && is_guarding_regex(at))
			close_directory(import, block, at);
		if (path == NULL || has_location(block, path))
			continue;
		become_path(import, at, path);
		import_note(import, NOTE_DIFFERS, at,
			    "an expression that is a path's beginning: the longest match goes first");
	}
}
