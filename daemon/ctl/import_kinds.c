/* import_kinds.c - locations for files of certain endings, such as ~* \.(css|js)$, that say how long they may
 * be kept: drover says that by media type, in cache of each route.
 *
 * Called by import_headers.c and import_site.c. Pure but for the notes. */
#include "import.h"

#include <string.h>

/* The types that drover has for the endings which such locations are written for. */
static const struct {
	const char *ending, *type;
} kinds[] = {
	{ "avif", "image/avif" },       { "bmp", "image/bmp" },
	{ "css", "text/css" },          { "eot", "application/vnd.ms-fontobject" },
	{ "gif", "image/gif" },         { "htm", "text/html" },
	{ "html", "text/html" },        { "ico", "image/vnd.microsoft.icon" },
	{ "jpeg", "image/jpeg" },       { "jpg", "image/jpeg" },
	{ "js", "text/javascript" },    { "json", "application/json" },
	{ "map", "application/json" },  { "mjs", "text/javascript" },
	{ "mp3", "audio/mpeg" },        { "mp4", "video/mp4" },
	{ "otf", "font/otf" },          { "pdf", "application/pdf" },
	{ "png", "image/png" },         { "svg", "image/svg+xml" },
	{ "ttf", "font/ttf" },          { "txt", "text/plain" },
	{ "wasm", "application/wasm" }, { "webm", "video/webm" },
	{ "webp", "image/webp" },       { "woff", "font/woff" },
	{ "woff2", "font/woff2" },      { "xml", "text/xml" },
	{ "zip", "application/zip" },
};

static const char *type_of(struct str ending)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (str_equal(ending, str_of(kinds[i].ending)))
			return kinds[i].type;
	return NULL;
}

/* "jpe?g" is two endings. */
static bool take_ending(struct import *import, struct str ending, struct texts *types)
{
	const char *mark = memchr(ending.at, '?', ending.len), *type;

	if (mark != NULL && mark > ending.at) {
		size_t before = (size_t)(mark - ending.at);
		struct str with = str_of(import_printf(import, "%.*s%.*s", (int)before, ending.at,
						       (int)(ending.len - before - 1), mark + 1));
		struct str without = str_of(import_printf(import, "%.*s%.*s", (int)before - 1, ending.at,
							  (int)(ending.len - before - 1), mark + 1));

		return take_ending(import, with, types) && take_ending(import, without, types);
	}
	type = type_of(ending);
	if (type != NULL && !texts_has(types, type))
		texts_add(import, types, type);
	return type != NULL;
}

/* "\.(css|js)$", or one ending without brackets. */
static bool parse(struct import *import, const char *regex, struct texts *types)
{
	struct str text = str_of(regex), word;
	bool brackets;

	if (text.len < 4 || strncmp(regex, "\\.", 2) != 0 || regex[text.len - 1] != '$')
		return false;
	text = (struct str){ regex + 2, text.len - 3 };
	brackets = text.at[0] == '(' && text.at[text.len - 1] == ')';
	if (brackets)
		text = (struct str){ text.at + 1, text.len - 2 };
	if (brackets && text.len > 2 && strncmp(text.at, "?:", 2) == 0)
		str_take(&text, 2);
	while (text.len > 0) {
		const char *bar = memchr(text.at, '|', text.len);

		word = str_take(&text, bar != NULL ? (size_t)(bar - text.at) : text.len);
		if (bar != NULL)
			str_take(&text, 1);
		if (!take_ending(import, word, types))
			return false;
	}
	return types->count > 0;
}

static bool says_how_long(const struct directive *location)
{
	if (find_own(location, "expires") != NULL)
		return true;
	for (const struct directive *at = find_own(location, "add_header"); at != NULL; at = find_next(at))
		if (str_equal_nocase(str_of(arg(at, 0)), str_of("Cache-Control")))
			return true;
	return false;
}

bool kinds_of(struct import *import, const struct directive *location, struct texts *types)
{
	bool is_regex = location->arg_count == 2 &&
			(strcmp(arg(location, 0), "~") == 0 || strcmp(arg(location, 0), "~*") == 0);

	return is_regex && says_how_long(location) && parse(import, arg(location, 1), types);
}

/* What else is said there is said of no route. */
void kinds_note(struct import *import, const struct directive *location)
{
	import_note(import, NOTE_DIFFERS, location,
		    "goes by the media types of these endings: cache of each route");
	import_judge(import, location);
	for (const struct directive *at = location->children; at != NULL; at = at->next) {
		const struct row *row = import_row(at->name);
		bool known = is_named(at, "expires") || is_named(at, "access_log") ||
			     (is_named(at, "add_header") &&
			      str_equal_nocase(str_of(arg(at, 0)), str_of("Cache-Control")));

		if (row != NULL && row->verdict == TRANSLATED && !known)
			import_note(import, NOTE_MISSING, at,
				    "files of certain endings have no settings but cache");
	}
}
