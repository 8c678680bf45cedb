/* import_files.c - root, alias, index, try_files, autoindex: the files service of a location.
 *
 * Called by import_route.c and import_site.c. In nginx the path of a request is appended to the root, in
 * drover only what it has behind the route's match. */
#include "import.h"

#include <string.h>

static const char *without_slash(struct import *import, const char *text)
{
	size_t len = strlen(text);

	while (len > 1 && text[len - 1] == '/')
		len--;
	return arena_copy(&import->arena, (struct str){ text, len });
}

/* An absolute one; NULL: it has variables. */
static const char *absolute(struct import *import, const char *path)
{
	if (has_variable(path) || !is_writable(path) || strlen(path) > 1024)
		return NULL;
	return path[0] == '/' ? path : import_printf(import, "%s/%s", import->prefix, path);
}

static const char *join(struct import *import, const char *root, const char *path)
{
	root = without_slash(import, root);
	return import_printf(import, "%s%s", strcmp(root, "/") == 0 ? "" : root, path);
}

static const char *root_of(struct import *import, const struct directive *block)
{
	const struct directive *root = find_effective(block, "root");

	return absolute(import, root != NULL ? arg(root, 0) : "html");
}

const char *import_path(struct import *import, const struct directive *block, const char *path)
{
	const struct directive *alias = find_own(block, "alias");
	const char *root = root_of(import, block), *match;
	bool exact;

	if (alias == NULL)
		return root != NULL ? join(import, root, path) : NULL;
	root = absolute(import, arg(alias, 0));
	if (root == NULL || !location_path(block, &match, &exact) || strlen(match) > strlen(path))
		return NULL;
	return import_printf(import, "%s%s", root, path + strlen(match));
}

/* ---- where ------------------------------------------------------------------------------------------- */

/* The last name of an exact match is looked for in the root. */
static const char *directory_of(struct import *import, const char *match)
{
	return arena_copy(&import->arena, (struct str){ match, (size_t)(strrchr(match, '/') - match) });
}

static void write_place(FILE *out, const char *name, const char *path)
{
	fprintf(out, "                  files = { %s = ", name);
	write_quoted(out, path);
	putc(';', out);
}

/* False: it cannot be known; noted. */
static bool write_root(struct import *import, FILE *out, const struct directive *block, const char *match)
{
	const struct directive *alias = find_own(block, "alias"), *root = find_effective(block, "root");
	const char *path = alias != NULL ? absolute(import, arg(alias, 0)) : root_of(import, block);
	const char *unused;
	bool exact = false;

	if (path == NULL) {
		import_note(import, NOTE_MISSING, alias != NULL ? alias : root,
			    "there are no variables: a site for each name, with its root; until then 404");
		return false;
	}
	if (alias != NULL) {
		write_place(out, "alias", without_slash(import, path));
		return true;
	}
	if (is_named(block, "location"))
		location_path(block, &unused, &exact);
	path = without_slash(import, join(import, path, exact ? directory_of(import, match) : match));
	/* a path without a slash at its end may be a file: an alias is either */
	write_place(out, exact || match[strlen(match) - 1] == '/' ? "root" : "alias", path);
	return true;
}

/* ---- index ------------------------------------------------------------------------------------------- */

static bool has_dots(const char *path)
{
	for (; *path != '\0'; path += strcspn(path, "/")) {
		path += strspn(path, "/");
		if (path[0] == '.' && strspn(path, ".") <= 2 && strcspn(path, "/") == strspn(path, "."))
			return true;
	}
	return false;
}

static bool is_program(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot != NULL &&
	       (strcmp(dot, ".php") == 0 || strcmp(dot, ".pl") == 0 || strcmp(dot, ".cgi") == 0);
}

static void take_index(struct import *import, const struct directive *at, struct texts *names)
{
	for (unsigned i = 0; i < at->arg_count; i++) {
		const char *name = at->args[i];

		if (is_program(name))
			import_note(import, NOTE_DIFFERS, at, "%s is left out: it would be sent, and not run",
				    name);
		else if (name[0] == '/' || name[0] == '\0' || has_variable(name) || !is_writable(name) ||
			 has_dots(name) || name[strlen(name) - 1] == '/')
			import_note(import, NOTE_MISSING, at, "\"%s\" is no file in a directory", name);
		else if (!texts_has(names, name))
			texts_add(import, names, name);
	}
}

static void write_index(struct import *import, FILE *out, const struct directive *block)
{
	struct texts names = { 0 };

	for (const struct directive *at = find_effective(block, "index"); at != NULL; at = find_next(at))
		take_index(import, at, &names);
	if (names.count == 0 || (names.count == 1 && strcmp(names.at[0], "index.html") == 0))
		return;
	fputs(" index = ", out);
	write_strings(out, &names);
	putc(';', out);
}

/* ---- try_files --------------------------------------------------------------------------------------- */

static bool is_own_path(const char *text)
{
	return strcmp(text, "$uri") == 0 || strcmp(text, "$uri/") == 0 || strcmp(text, "$document_uri") == 0;
}

static bool is_gateway(const struct directive *block)
{
	static const char *const names[] = { "proxy_pass", "fastcgi_pass", "uwsgi_pass", "scgi_pass",
					     "grpc_pass" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (find_own(block, names[i]) != NULL)
			return true;
	return false;
}

/* A path of the site as one below this route's root; NULL when another location answers it, or another
 * root has it. */
static const char *path_here(struct import *import, const struct directive *block, const char *match,
			     const char *path)
{
	const struct directive *server = block, *other;
	size_t len = strlen(match);
	const char *ours = import_path(import, block, path), *theirs;

	while (len > 0 && match[len - 1] == '/')
		len--;
	while (!is_named(server, "server") && server->parent != NULL)
		server = server->parent;
	other = find_location(server, path);
	theirs = import_path(import, other != NULL ? other : server, path);
	if (path[0] != '/' || has_dots(path) || path[strlen(path) - 1] == '/' || !is_writable(path) ||
	    is_program(path) ||
	    (other != NULL && (is_gateway(other) || (other != block && is_guarded(other)))))
		return NULL;
	if (ours == NULL || theirs == NULL || strcmp(ours, theirs) != 0)
		return NULL;
	return strncmp(path, match, len) == 0 && path[len] == '/' ? path + len : NULL;
}

static void note_try(struct import *import, const struct directive *at, const char *what)
{
	import_note(
		import, NOTE_MISSING, at,
		"\"%s\": try has paths below the root, that answer where there is no file; until then 404",
		what);
}

/* $uri and $uri/ first, then files of the site, or =404. */
static void write_try(struct import *import, FILE *out, const struct directive *block, const char *match)
{
	const struct directive *at = find_own(block, "try_files");
	struct texts paths = { 0 };

	for (unsigned i = 0; at != NULL && i < at->arg_count; i++) {
		const char *word = at->args[i], *path = NULL;

		if (strcmp(word, "=404") == 0 || (is_own_path(word) && paths.count == 0))
			continue;
		if (!has_variable(word) && i > 0)
			path = path_here(import, block, match, word);
		if (path != NULL && !texts_has(&paths, path))
			texts_add(import, &paths, path);
		else if (path == NULL)
			note_try(import, at, word);
	}
	if (paths.count == 0)
		return;
	fputs(" try = ", out);
	write_strings(out, &paths);
	putc(';', out);
}

/* ---- all of it --------------------------------------------------------------------------------------- */

static void note_type(struct import *import, const struct directive *block)
{
	const struct directive *type = find_effective(block, "default_type");
	const struct directive *gzip = find_effective(block, "gzip"),
			       *charset = find_effective(block, "charset");

	if (type != NULL && strcmp(arg(type, 0), "application/octet-stream") != 0)
		import_note(import, NOTE_DIFFERS, type,
			    "a file of an extension that nobody knows is application/octet-stream; "
			    "mime.types adds some");
	if (is_on(gzip))
		import_note(import, NOTE_DIFFERS, gzip,
			    "drover does not compress as it serves; put a .gz, .br or .zst beside each file");
	if (charset != NULL && !str_equal_nocase(str_of(arg(charset, 0)), str_of("utf-8")) &&
	    strcmp(arg(charset, 0), "off") != 0)
		import_note(import, NOTE_MISSING, charset, "text is said to be in utf-8");
}

bool import_files(struct import *import, FILE *out, const struct directive *block, const char *match)
{
	const struct directive *links = find_effective(block, "disable_symlinks");

	if (!write_root(import, out, block, match))
		return false;
	write_index(import, out, block);
	write_try(import, out, block, match);
	if (is_on(find_effective(block, "autoindex")))
		fputs(" listing = true;", out);
	if (links != NULL && strcmp(arg(links, 0), "off") != 0)
		fputs(" symlinks = \"deny\";", out);
	note_type(import, block);
	fputs(" }", out);
	return true;
}
