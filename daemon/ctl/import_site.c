/* import_site.c - servers become sites.
 *
 * Called by import.c. drover tells sites apart by the request's host alone, and not by the address it came
 * to; the one without hosts has all that no other has. */
#include "import.h"

#include <stdlib.h>
#include <string.h>

/* ---- names ------------------------------------------------------------------------------------------- */

static bool is_host_name(const char *name)
{
	size_t len = strlen(name);
	static const char good[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";

	return len > 0 && len < 254 && name[0] != '.' && name[len - 1] != '.' && strstr(name, "..") == NULL &&
	       strspn(name, good) == len;
}

static void add_host(struct import *import, const struct directive *at, const char *host, struct texts *hosts)
{
	if (texts_has(&import->hosts, host)) {
		if (!texts_has(hosts, host))
			import_note(import, NOTE_MISSING, at,
				    "%s has a site already, and the address does not count: an"
				    " instance of its own (--port)",
				    host);
		return;
	}
	texts_add(import, &import->hosts, host);
	texts_add(import, hosts, host);
}

static void take_name(struct import *import, const struct directive *at, const char *word,
		      struct texts *hosts)
{
	const char *name = import_lower(import, word);

	if (strcmp(name, "_") == 0 || name[0] == '\0')
		return;
	if (name[0] == '.' && is_host_name(name + 1)) {
		add_host(import, at, name + 1, hosts);
		add_host(import, at, import_printf(import, "*%s", name), hosts);
	} else if (is_host_name(name) || (strncmp(name, "*.", 2) == 0 && is_host_name(name + 2))) {
		add_host(import, at, name, hosts);
	} else {
		import_note(import, NOTE_MISSING, at,
			    "\"%s\" is no name such as example.org or *.example.org", word);
	}
}

static void take_names(struct import *import, const struct directive *server, struct texts *hosts)
{
	for (const struct directive *at = find_own(server, "server_name"); at != NULL; at = find_next(at))
		for (unsigned i = 0; i < at->arg_count; i++)
			take_name(import, at, at->args[i], hosts);
}

static bool is_default(const struct directive *server)
{
	for (const struct directive *at = find_own(server, "listen"); at != NULL; at = find_next(at))
		for (unsigned i = 1; i < at->arg_count; i++)
			if (strcmp(at->args[i], "default_server") == 0 || strcmp(at->args[i], "default") == 0)
				return true;
	return false;
}

/* ---- routes ------------------------------------------------------------------------------------------ */

/* What is said of a location that drover cannot tell by the path. */
static void note_location(struct import *import, const struct directive *location)
{
	const char *regex = arg(location, location->arg_count > 0 ? location->arg_count - 1 : 0);
	struct texts types = { 0 };

	if (kinds_of(import, location, &types))
		kinds_note(import, location);
	else if (regex[0] == '@')
		import_note(import, NOTE_MISSING, location, "there are no named locations");
	else if (is_of_dotfiles(regex) && is_guarded(location))
		import_note(import, NOTE_UNNEEDED, location,
			    "names that begin with a dot are 404 in any case, but for "
			    ".well-known at the top");
	else if (strstr(regex, "php") != NULL)
		import_note(import, NOTE_MISSING, location,
			    "CAUTION: there are no regular expressions, and drover would"
			    " send these programs as files: move them out of the root");
	else
		import_note(import, NOTE_MISSING, location,
			    "there are no regular expressions: routes of paths instead,"
			    " or cache for media types");
}

/* A page for errors is the site's. */
static void note_own_pages(struct import *import, const struct directive *location)
{
	for (const struct directive *at = find_own(location, "error_page"); at != NULL; at = find_next(at))
		import_note(import, NOTE_MISSING, at,
			    "pages for errors are the whole site's: see error_pages");
}

static void note_conditions(struct import *import, const struct directive *block)
{
	for (const struct directive *at = find_own(block, "if"); at != NULL; at = find_next(at))
		import_note(import, NOTE_MISSING, at, "there are no conditions");
}

struct routes {
	struct texts texts, matches;
	bool with_headers;
};

static void take_locations(struct import *import, const struct directive *block, struct routes *routes)
{
	for (const struct directive *at = find_own(block, "location"); at != NULL; at = find_next(at)) {
		const char *path;
		bool exact;

		take_locations(import, at, routes);
		if (!location_path(at, &path, &exact)) {
			note_location(import, at);
			continue;
		}
		note_own_pages(import, at);
		note_conditions(import, at);
		if (!exact && path[strlen(path) - 1] != '/' &&
		    has_location(block, import_printf(import, "%s/", path)))
			import_note(import, NOTE_MISSING, at, "%s/ is there, too, and is the same here",
				    path);
		else if (route_is_new(import, &routes->matches, at, path, exact))
			import_route(import, &routes->texts, at, routes->with_headers);
	}
}

static void take_rewrites(struct import *import, const struct directive *server, struct routes *routes)
{
	for (const struct directive *at = find_own(server, "rewrite"); at != NULL; at = find_next(at)) {
		struct rewrite rewrite;
		char *text = NULL;
		size_t len = 0;
		FILE *out;

		if (!rewrite_parse(import, at, &rewrite) ||
		    !route_is_new(import, &routes->matches, at, rewrite.match, rewrite.exact))
			continue;
		out = import_stream(&text, &len);
		route_begin(out, rewrite.match, rewrite.exact);
		rewrite_write(out, &rewrite);
		fputs(" }", out);
		import_keep(import, out, &text, &routes->texts);
	}
}

static bool any_below(const struct directive *block, const char *name)
{
	for (const struct directive *at = find_own(block, "location"); at != NULL; at = find_next(at))
		if (find_below(at, name) != NULL)
			return true;
	return false;
}

/* What a server returns itself goes before all locations. */
static void take_return(struct import *import, const struct directive *done, struct routes *routes)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = import_stream(&text, &len);

	route_begin(out, "/", false);
	if (!import_return(import, out, done, "/"))
		fputs("                  respond = { status = 404; }", out);
	fputs(" }", out);
	import_keep(import, out, &text, &routes->texts);
}

static void take_routes(struct import *import, const struct directive *server, const struct directive *done,
			struct routes *routes)
{
	if (done == NULL)
		done = find_own(server, "return");
	take_rewrites(import, server, routes);
	if (done != NULL && !texts_has(&routes->matches, "")) {
		take_return(import, done, routes);
		for (const struct directive *at = find_own(server, "location"); at != NULL;
		     at = find_next(at))
			import_note(import, NOTE_UNNEEDED, at,
				    "never reached: the server's return goes before it");
		return;
	}
	take_locations(import, server, routes);
	if (!texts_has(&routes->matches, ""))
		import_route(import, &routes->texts, server, routes->with_headers);
}

/* ---- a site ------------------------------------------------------------------------------------------ */

static void write_site(struct import *import, const struct directive *server, const struct texts *hosts,
		       const struct directive *done, struct texts *sites)
{
	struct routes routes = { .with_headers =
					 any_below(server, "add_header") || any_below(server, "etag") };
	char *text = NULL, *body = NULL;
	size_t len = 0, body_len = 0;
	FILE *inner = import_stream(&body, &body_len), *out;

	if (!routes.with_headers)
		import_headers(import, inner, "          ", server);
	import_pages(import, inner, server);
	take_routes(import, server, done, &routes);
	fputs("          routes = (\n", inner);
	write_blocks(inner, &routes.texts);
	fputs("          ); }", inner);
	fclose(inner);
	out = import_stream(&text, &len);
	fprintf(out, "        {\n");
	write_notes(out, "          ", server);
	if (hosts != NULL)
		write_list(out, "          ", "hosts", hosts);
	fputs(body, out);
	free(body);
	import_keep(import, out, &text, sites);
}

/* A site for one name of a server, in which $host is known. */
static void write_named(struct import *import, const struct directive *server, const char *host,
			const struct directive *done, struct texts *sites)
{
	struct texts one = { 0 };

	texts_add(import, &one, host);
	import->host = host[0] != '*' ? host : NULL;
	write_site(import, server, &one, done, sites);
	import->host = NULL;
}

/* if ($host = www.example.org) { return 301 ...; }, as certbot writes it: which name, and what. */
static const struct directive *condition_on_host(const struct directive *at, const char **host)
{
	size_t len;

	if (at->arg_count != 3 || strcmp(at->args[0], "($host") != 0 || strncmp(at->args[1], "=", 1) != 0)
		return NULL;
	*host = at->args[2];
	len = strlen(*host);
	return len > 1 && (*host)[len - 1] == ')' ? find_own(at, "return") : NULL;
}

/* Such names leave the list of the server's. */
static void take_conditions(struct import *import, const struct directive *server, struct texts *hosts,
			    struct texts *sites)
{
	for (const struct directive *at = find_own(server, "if"); at != NULL; at = find_next(at)) {
		const char *word;
		const struct directive *done = condition_on_host(at, &word);
		struct texts left = { 0 };
		const char *host = NULL;

		for (unsigned i = 0; i < hosts->count; i++) {
			bool same = done != NULL && strlen(hosts->at[i]) + 1 == strlen(word) &&
				    strncmp(hosts->at[i], word, strlen(hosts->at[i])) == 0;

			if (same)
				host = hosts->at[i];
			else
				texts_add(import, &left, hosts->at[i]);
		}
		if (host == NULL) {
			import_note(import, NOTE_MISSING, at, "there are no conditions");
			continue;
		}
		write_named(import, server, host, done, sites);
		*hosts = left;
	}
}

static bool names_host(const struct directive *block)
{
	for (const struct directive *at = block->children; at != NULL; at = at->next) {
		if (names_host(at))
			return true;
		for (unsigned i = 0; i < at->arg_count && (is_named(at, "return") || is_named(at, "rewrite"));
		     i++)
			if (strstr(at->args[i], "$host") != NULL || strstr(at->args[i], "$http_host") != NULL)
				return true;
	}
	return false;
}

static const char *first_name(const struct texts *hosts)
{
	for (unsigned i = 0; i < hosts->count; i++)
		if (hosts->at[i][0] != '*')
			return hosts->at[i];
	return NULL;
}

/* Do others have wildcards? They would go before the site without hosts. */
static bool has_wildcards(const struct directive *server)
{
	for (const struct directive *at = find_own(server->parent, "server"); at != NULL; at = find_next(at))
		for (const struct directive *name = find_own(at, "server_name"); at != server && name != NULL;
		     name = find_next(name))
			for (unsigned i = 0; i < name->arg_count; i++)
				if (name->args[i][0] == '*' || name->args[i][0] == '.')
					return true;
	return false;
}

/* The site without hosts has the names that no other has, and so its own. */
static void write_server(struct import *import, const struct directive *server, bool has_rest,
			 struct texts *sites)
{
	unsigned wrong = import->counts[NOTE_MISSING];
	struct texts hosts = { 0 }, all;

	take_names(import, server, &hosts);
	wrong = import->counts[NOTE_MISSING] - wrong;
	all = hosts;
	import_judge(import, server);
	take_conditions(import, server, &hosts, sites);
	import->host = first_name(&all);
	if (hosts.count > 0 && names_host(server))
		for (unsigned i = 0; i < hosts.count; i++)
			write_named(import, server, hosts.at[i], NULL, sites);
	else if (hosts.count > 0 && (!has_rest || has_wildcards(server)))
		write_site(import, server, &hosts, NULL, sites);
	else if (all.count == 0 && !has_rest && wrong == 0)
		import_note(import, NOTE_MISSING, server,
			    "it has no name of its own that drover could tell it by: an instance of its own"
			    " (--port)");
	import->host = first_name(&all);
	if (has_rest && names_host(server) && import->host != NULL)
		import_note(import, NOTE_DIFFERS, server,
			    "other names are sent to %s: a client's Host never becomes a"
			    " Location",
			    import->host);
	if (has_rest)
		write_site(import, server, NULL, NULL, sites);
	import->host = NULL;
}

/* ---- all of them --------------------------------------------------------------------------------------- */

/* A site answers at all addresses: one that the world did not get to stays out. */
static bool is_hidden(struct import *import, const struct directive *server)
{
	return listens_here(import, server) && listen_reach(import, server) < import->reach;
}

static void find_reach(struct import *import, const struct directive *block)
{
	for (const struct directive *at = find_own(block, "server"); at != NULL; at = find_next(at))
		if (listens_here(import, at) && listen_reach(import, at) > import->reach)
			import->reach = listen_reach(import, at);
}

/* The servers of a block; which of them has what no other has comes first. */
static const struct directive *find_default(struct import *import, const struct directive *block)
{
	const struct directive *first = NULL;

	for (const struct directive *at = find_own(block, "server"); at != NULL; at = find_next(at)) {
		if (!listens_here(import, at) || is_hidden(import, at))
			continue;
		if (is_default(at))
			return at;
		if (first == NULL)
			first = at;
	}
	return first;
}

static void write_servers(struct import *import, const struct directive *block, const struct directive *rest,
			  struct texts *sites)
{
	for (const struct directive *at = find_own(block, "server"); at != NULL; at = find_next(at)) {
		if (!listens_here(import, at)) {
			import_note(import, NOTE_UNNEEDED, at,
				    "it does not listen at the port that was asked for");
			continue;
		}
		if (is_hidden(import, at)) {
			import_note(import, NOTE_MISSING, at,
				    "fewer get to its addresses than to others, and a site "
				    "answers at all of them:"
				    " an instance of its own (--port), or allow");
			continue;
		}
		if (at != rest && is_default(at))
			import_note(import, NOTE_DIFFERS, at,
				    "unknown names get the site of line %u, whatever the address",
				    rest->line);
		write_server(import, at, at == rest, sites);
	}
}

bool import_sites(struct import *import, FILE *out)
{
	const struct directive *http = find_own(&import->root, "http");
	const struct directive *block = http != NULL ? http : &import->root,
			       *rest;
	struct texts sites = { 0 };

	find_reach(import, block);
	rest = find_default(import, block);
	if (rest == NULL)
		return false;
	write_servers(import, block, rest, &sites);
	fputs("sites = (\n", out);
	write_blocks(out, &sites);
	fputs(");\n", out);
	return true;
}
