/* import_pages.c - error_page: files that are sent as the bodies of errors, which a site has in drover.
 *
 * Called by import_site.c. What changes the status, or answers with something else than a file, is noted. */
#include "import.h"

#include <string.h>

static bool is_error(const char *word)
{
	return strlen(word) == 3 && (word[0] == '4' || word[0] == '5') && strspn(word, "0123456789") == 3;
}

/* The file that is behind a path of the site; NULL: noted. */
static const char *page_of(struct import *import, const struct directive *at, const struct directive *server)
{
	const char *path = arg(at, at->arg_count - 1), *file = NULL;
	const struct directive *location = find_location(server, path);
	bool keeps_status = at->arg_count > 1 && at->args[at->arg_count - 2][0] != '=';

	if (keeps_status && path[0] == '/' && !has_variable(path) && is_writable(path) &&
	    path[strlen(path) - 1] != '/')
		file = import_path(import, location != NULL ? location : server, path);
	if (file != NULL && location != NULL && find_own(location, "proxy_pass") != NULL)
		file = NULL;
	if (file == NULL)
		import_note(import, NOTE_MISSING, at,
			    "a page for errors is a file; the status stays what it is");
	return file;
}

static void take_page(struct import *import, const struct directive *at, const struct directive *server,
		      struct texts *seen, struct texts *pages)
{
	const char *file = page_of(import, at, server);
	struct texts status = { 0 };
	char *text = NULL;
	size_t len = 0;
	FILE *out;

	for (unsigned i = 0; file != NULL && i + 1 < at->arg_count; i++) {
		if (!is_error(at->args[i])) {
			import_note(import, NOTE_MISSING, at, "%s: pages are for 400 to 599, which stay that",
				    at->args[i]);
		} else if (!texts_has(seen, at->args[i])) {
			texts_add(import, seen, at->args[i]);
			texts_add(import, &status, at->args[i]);
		}
	}
	if (status.count == 0)
		return;
	out = import_stream(&text, &len);
	fputs("                { status = ", out);
	write_strings(out, &status);
	fputs("; file = ", out);
	write_quoted(out, file);
	fputs("; }", out);
	import_keep(import, out, &text, pages);
}

void import_pages(struct import *import, FILE *out, const struct directive *server)
{
	struct texts seen = { 0 }, pages = { 0 };

	for (const struct directive *at = find_effective(server, "error_page"); at != NULL;
	     at = find_next(at))
		take_page(import, at, server, &seen, &pages);
	if (pages.count == 0)
		return;
	fputs("          error_pages = (\n", out);
	write_blocks(out, &pages);
	fputs("          );\n", out);
}
