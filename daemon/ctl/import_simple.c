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

static bool has_location(const struct directive *block, const char *path)
{
	for (const struct directive *at = find_own(block, "location"); at != NULL; at = find_next(at)) {
		const char *own;
		bool exact;

		if (location_path(at, &own, &exact) && !exact && strcmp(own, path) == 0)
			return true;
	}
	return false;
}

void import_simplify(struct import *import, struct directive *block)
{
	for (struct directive *at = block->children; at != NULL; at = at->next) {
		const char *path = NULL;

		import_simplify(import, at);
		if (is_named(at, "location") && at->arg_count == 2 && arg(at, 0)[0] == '~')
			path = beginning_of(import, arg(at, 1));
		if (path == NULL || has_location(block, path))
			continue;
		at->args[0] = "^~";
		at->args[1] = path;
		import_note(import, NOTE_DIFFERS, at,
			    "an expression that is a path's beginning: the longest match goes first");
	}
}
