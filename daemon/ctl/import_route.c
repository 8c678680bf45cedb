/* import_route.c - a location becomes a route.
 *
 * Called by import_site.c. What cannot be served as nginx does it is answered with an error rather than with
 * something else: a path that was behind a proxy, a password or a network is never open for want of it. */
#include "import.h"

#include "base/must.h"

#include <stdlib.h>
#include <string.h>

#define INDENT "                  "

/* Files that a location's name leaves to a program are files in drover. */
static const char *const passes[] = {
	"proxy_pass",           "fastcgi_pass",   "uwsgi_pass", "scgi_pass",  "grpc_pass", "memcached_pass",
	"content_by_lua_block", "content_by_lua", "perl",       "js_content", "empty_gif", NULL
};

bool has_pass(const struct directive *block)
{
	for (unsigned i = 0; passes[i] != NULL; i++)
		if (find_own(block, passes[i]) != NULL)
			return true;
	return false;
}

static void write_respond(FILE *out, unsigned status)
{
	fprintf(out, INDENT "respond = { status = %u; }", status);
}

/* An empty table of types: everything is of the default one. */
static void write_type(FILE *out, const struct directive *block)
{
	const struct directive *types = find_own(block, "types"),
			       *type = find_effective(block, "default_type");

	if (types != NULL && types->children == NULL && type != NULL && strlen(arg(type, 0)) < 100 &&
	    strspn(arg(type, 0), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/.+-") ==
		    strlen(arg(type, 0)) &&
	    arg(type, 0)[0] != '\0')
		fprintf(out, INDENT "headers = { set = [ \"Content-Type: %s\" ]; };\n", arg(type, 0));
}

/* A rewrite in a location that is for all of its paths. */
static bool write_rewrite(struct import *import, FILE *out, const struct directive *block, const char *match)
{
	for (const struct directive *at = find_own(block, "rewrite"); at != NULL; at = find_next(at)) {
		struct rewrite rewrite;
		size_t len;

		if (!rewrite_parse(import, at, &rewrite))
			continue;
		len = strlen(rewrite.match);
		if (strcmp(rewrite.match, match) == 0 ||
		    (!rewrite.rest && strncmp(rewrite.match, match, len) == 0) ||
		    (strcmp(rewrite.match, "/") == 0 && !rewrite.exact && match[1] == '\0')) {
			rewrite_write(out, &rewrite);
			return true;
		}
		if (strcmp(rewrite.match, "/") == 0 && rewrite.rest && strlen(rewrite.to) < 800) {
			rewrite.to = import_printf(import, "%s%s",
						   strcmp(rewrite.to, "/") == 0 ? "" : rewrite.to, match);
			rewrite_write(out, &rewrite);
			return true;
		}
		import_note(import, NOTE_MISSING, at,
			    "only a part of the location's paths: a route of its own");
	}
	return false;
}

/* The rewrite module's word comes before who may. True: that was all. */
static bool write_sent_away(struct import *import, FILE *out, const struct directive *block,
			    const char *match)
{
	const struct directive *done = find_own(block, "return");

	if (!is_named(block, "location"))
		return false;           /* of a server: import_site.c */
	if (find_own(block, "internal") != NULL)
		return false;           /* not even that */
	if (write_rewrite(import, out, block, match))
		return true;
	if (done == NULL)
		return false;
	if (!import_return(import, out, done, match))
		write_respond(out, 404);
	return true;
}

static void write_service(struct import *import, FILE *out, const struct directive *block, const char *match)
{
	if (find_own(block, "stub_status") != NULL) {
		fputs(INDENT "status = { }", out);
		import_note(import, NOTE_DIFFERS, find_own(block, "stub_status"),
			    "answers with drover's own counters");
	} else if (has_pass(block)) {
		write_respond(out, 501);
	} else if (!import_files(import, out, block, match)) {
		write_respond(out, 404);
	}
}

/* What is guarded in a way that cannot be told here is not open; what would open it
 * stands beside. */
static void write_closed(struct import *import, FILE *out, const struct directive *block, const char *match,
			 const struct directive *guard)
{
	char *text = NULL;
	size_t len = 0;
	FILE *inner = import_stream(&text, &len);

	import_note(import, NOTE_MISSING, guard,
		    "CAUTION: who may come in cannot be told here:"
		    " all that it may be about is closed (403)");
	write_service(import, inner, block, match);
	must(fclose(inner) == 0);
	fprintf(out, INDENT "# closed for line %u of the source; open: %s\n", guard->line,
		text + strspn(text, " "));
	free(text);
	write_respond(out, 403);
}

static void write_rest(struct import *import, FILE *out, const struct directive *block, const char *match)
{
	const struct directive *internal = find_own(block, "internal"),
			       *guard = find_guard(import, block, match);

	if (internal != NULL) {
		import_note(import, NOTE_DIFFERS, internal, "nobody comes here from outside: 404");
		write_respond(out, 404);
	} else if (!import_access(import, out, INDENT, block)) {
		write_respond(out, 403);
	} else if (guard != NULL && !has_pass(block)) {
		write_closed(import, out, block, match, guard);
	} else {
		write_service(import, out, block, match);
	}
}

static void note_match(struct import *import, const struct directive *block, const char *match, bool exact)
{
	size_t len = strlen(match);

	if (exact || match[len - 1] == '/')
		return;
	if (guards_more(block) && strrchr(match, '/')[1] != '.')
		import_note(import, NOTE_MISSING, block,
			    "CAUTION: whole segments are compared: it guards %s and "
			    "%s/..., and not %s...",
			    match, match, match);
	else
		import_note(import, NOTE_DIFFERS, block,
			    "whole segments are compared: %s and %s/..., and not %s...", match, match, match);
}

/* No empty, "." and ".." segments: no request has them. */
static bool is_good_match(const char *match)
{
	if (!is_writable(match) || strlen(match) >= 512)
		return false;
	for (const char *slash = match; slash != NULL; slash = strchr(slash + 1, '/')) {
		size_t len = strcspn(slash + 1, "/"), dots = strspn(slash + 1, ".");

		if ((len == 0 && slash[1] != '\0') || (len > 0 && len <= 2 && dots == len))
			return false;
	}
	return true;
}

/* "/a" and "/a/" are one match, but for exact ones. */
static const char *name_of(struct import *import, const char *match, bool exact)
{
	size_t len = strlen(match);

	while (!exact && len > 0 && match[len - 1] == '/')
		len--;
	return import_printf(import, "%s%.*s", exact ? "=" : "", (int)len, match);
}

bool route_is_new(struct import *import, struct texts *matches, const struct directive *at, const char *match,
		  bool exact)
{
	const char *name = name_of(import, match, exact);

	if (!is_good_match(match)) {
		import_note(import, NOTE_MISSING, at, "%s is never the path of a request", match);
		return false;
	}
	if (texts_has(matches, name)) {
		import_note(import, NOTE_MISSING, at,
			    "%s is there already: a match with a slash at its end is the same", match);
		return false;
	}
	texts_add(import, matches, name);
	return true;
}

void route_begin(FILE *out, const char *match, bool exact)
{
	fputs("                { match = ", out);
	write_quoted(out, match);
	fputs(exact ? "; exact = true;\n" : ";\n", out);
}

void import_route(struct import *import, struct texts *routes, const struct directive *block,
		  bool with_headers)
{
	const char *match = "/";
	char *body = NULL, *text = NULL;
	size_t body_len = 0, len = 0;
	bool exact = false;
	FILE *inner = import_stream(&body, &body_len), *out;

	if (is_named(block, "location")) {
		location_path(block, &match, &exact);
		note_match(import, block, match, exact);
		import_judge(import, block);
	}
	if (with_headers)
		import_headers(import, inner, INDENT, block);
	else
		write_type(inner, block);
	if (!has_pass(block) && find_own(block, "internal") == NULL)
		import_cache(import, inner, INDENT, block);
	if (!write_sent_away(import, inner, block, match))
		write_rest(import, inner, block, match);
	fclose(inner);
	out = import_stream(&text, &len);
	route_begin(out, match, exact);
	if (is_named(block, "location"))
		write_notes(out, INDENT, block);
	fprintf(out, "%s }", body);
	free(body);
	import_keep(import, out, &text, routes);
}
