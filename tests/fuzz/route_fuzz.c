/* route_fuzz.c - the route finder against the rule in a few lines: exact host, then the longest wildcard,
 * then the default site; the exact route, then the longest match in whole segments.
 *
 * Input, a line each: "@HOST,HOST" opens a site ("@": the default), "/MATCH" is a route of it, "=/MATCH" an exact
 * one, "+FIELD" and "-FIELD" are set and removed by the site, "?HOST /PATH" asks. The configuration goes the user's way, so that what it lets through is found wanting too. */
#include "fuzz.h"

#include "config/field.h"
#include "config/read.h"
#include "http/route.h"
#include "http/target.h"
#include "service/registry.h"

static void put_quoted(FILE *out, struct str text)
{
	fputc('"', out);
	for (size_t i = 0; i < text.len; i++)
		fprintf(out, "\\x%02x", (unsigned char)text.at[i]);
	fputc('"', out);
}

static void put_hosts(FILE *out, struct str hosts)
{
	struct input input = { (const uint8_t *)hosts.at, hosts.len };
	bool first = true;

	if (hosts.len > 0)
		fputs("hosts = [ ", out);
	for (; input.len > 0; first = false) {
		fputs(first ? "" : ", ", out);
		put_quoted(out, input_until(&input, ','));
	}
	if (hosts.len > 0)
		fputs(" ]; ", out);
}

/* The lines up to the next site that begin with `mark`, as an array called `name`. */
static void put_fields(FILE *out, struct input input, char mark, const char *name)
{
	bool first = true;

	fprintf(out, "%s = [ ", name);
	while (input.len > 0) {
		struct str line = input_until(&input, '\n');

		if (line.len > 0 && line.at[0] == '@')
			break;
		if (line.len == 0 || line.at[0] != mark)
			continue;
		fputs(first ? "" : ", ", out);
		put_quoted(out, (struct str){ line.at + 1, line.len - 1 });
		first = false;
	}
	fputs(" ]; ", out);
}

static void put_headers(FILE *out, struct input input)
{
	fputs("headers = { ", out);
	put_fields(out, input, '+', "set");
	put_fields(out, input, '-', "remove");
	fputs("}; ", out);
}

/* The configuration that the lines describe; malloc'ed. */
static char *config_text(struct input input)
{
	unsigned sites = 0, routes = 0;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	fputs("listen = ( { address = \"*:1\"; } );\nsites = ( ", out);
	while (input.len > 0) {
		struct str line = input_until(&input, '\n');

		if (line.len > 0 && line.at[0] == '@') {
			fputs(sites++ > 0 ? " ); }, { " : "{ ", out);
			put_hosts(out, (struct str){ line.at + 1, line.len - 1 });
			put_headers(out, input);
			fputs("routes = ( ", out);
			routes = 0;
		} else if (line.len > 0 && (line.at[0] == '/' || line.at[0] == '=') && sites > 0) {
			bool exact = line.at[0] == '=';

			fputs(routes++ > 0 ? ", { match = " : "{ match = ", out);
			put_quoted(out, (struct str){ line.at + exact, line.len - exact });
			fprintf(out, "; exact = %s; expires = \"1h\"; respond = { }; }",
				exact ? "true" : "false");
		}
	}
	fputs(sites > 0 ? " ); } );\n" : ");\n", out);
	fclose(out);
	return text;
}

/* ---- the rule ---- */

/* How well a site's host fits: 0 not at all, more for a longer wildcard, the most for the name itself. */
static size_t fit(struct str pattern, struct str host)
{
	if (!str_has_prefix(pattern, str_of("*.")))
		return str_equal_nocase(pattern, host) ? SIZE_MAX : 0;
	pattern = (struct str){ pattern.at + 1, pattern.len - 1 };
	if (host.len <= pattern.len)
		return 0;
	host = (struct str){ host.at + host.len - pattern.len, pattern.len };
	return str_equal_nocase(pattern, host) ? pattern.len : 0;
}

static const struct site_config *site_by_rule(const struct config *config, struct str host)
{
	const struct site_config *best = NULL;
	size_t best_fit = 0;

	for (unsigned i = 0; i < config->sites.count; i++) {
		const struct site_config *site = config_site(config, i);

		if (site->hosts.count == 0 && best == NULL)
			best = site;
		for (unsigned j = 0; j < site->hosts.count; j++) {
			size_t one = fit(str_of(site->hosts.at[j]), host);

			if (one > best_fit) {
				best_fit = one;
				best = site;
			}
		}
	}
	return best;
}

/* "/a" and "/a/" are the same match. */
static struct str match_of(const struct route_config *route)
{
	struct str match = str_of(route->match);

	while (match.len > 0 && match.at[match.len - 1] == '/')
		match.len--;
	return match;
}

static bool matches(const struct route_config *route, struct str path)
{
	struct str match = match_of(route);

	if (route->exact)
		return str_equal(str_of(route->match), path);
	return str_has_prefix(path, match) && (path.len == match.len || path.at[match.len] == '/');
}

static const struct route_config *route_by_rule(const struct config *config, struct str host, struct str path)
{
	const struct site_config *site = site_by_rule(config, host);
	const struct route_config *best = NULL;

	for (unsigned i = 0; site != NULL && i < site->routes.count; i++) {
		const struct route_config *route = config_route(site, i);

		if (matches(route, path) && (best == NULL || route->exact ||
					     (!best->exact && match_of(route).len > match_of(best).len)))
			best = route;
	}
	return best;
}

/* ---- what an answer has ---- */

/* How many lines of the head have this name. */
static unsigned lines_with(struct str head, struct str name)
{
	struct input input = { (const uint8_t *)head.at, head.len };
	unsigned count = 0;

	while (input.len > 0) {
		struct str line = input_until(&input, '\n');
		struct str found = { line.at, name.len };

		count += line.len > name.len && line.at[name.len] == ':' && str_equal_nocase(found, name);
	}
	return count;
}

/* The head stays one, has what was set once and nothing of what was removed. */
static void check_rules(const struct site_config *site, const struct rules *rules)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nServer: drover\r\nDate: x\r\nETag: y\r\n\r\n";
	struct rules_answer answer = { .status = 200,
				       .content_type = str_of("a/b"),
				       .media_type = str_of("a/b") };
	char *out = malloc(sizeof(head) + rules_room(rules));
	struct str result = { out, 0 }, name, value;

	memcpy(out, head, sizeof(head));
	result.len = rules_apply(rules, &answer, out, sizeof(head) - 1);
	FUZZ_CHECK(result.len <= sizeof(head) - 1 + rules_room(rules));
	FUZZ_CHECK(str_has_prefix(result, str_of("HTTP/1.1 200 OK\r\n")) &&
		   lines_with(result, str_of("Date")) == 1);
	FUZZ_CHECK(memmem(out, result.len, "\r\n\r\n", 4) == out + result.len - 4);
	for (unsigned i = 0; i < site->headers.set.count; i++) {
		field_split(site->headers.set.at[i], &name, &value);
		FUZZ_CHECK(lines_with(result, name) == 1);
	}
	for (unsigned i = 0; i < site->headers.remove.count; i++) {
		struct str removed = str_of(site->headers.remove.at[i]);
		bool is_set = false;

		for (unsigned j = 0; j < site->headers.set.count; j++) {
			field_split(site->headers.set.at[j], &name, &value);
			is_set |= str_equal_nocase(name, removed);
		}
		FUZZ_CHECK(is_set || lines_with(result, removed) == 0);
	}
	free(out);
}

/* ---- asking ---- */

static void ask(const struct generation *generation, struct str line)
{
	struct input input = { (const uint8_t *)line.at, line.len };
	struct str authority = input_until(&input, ' '), path;
	const struct route_config *expected;
	const struct route *found;
	char host[TARGET_HOST_BYTES] = "";
	struct arena arena = { 0 };

	if ((authority.len == 0 || target_host(authority, host, sizeof(host))) &&
	    target_resolve(input_take(&input, input.len), &arena, &path) == 0) {
		found = route_find(route_site(generation, str_of(host)), path);
		expected = route_by_rule(generation->config, str_of(host), path);
		FUZZ_CHECK((found == NULL) == (expected == NULL));
		FUZZ_CHECK(found == NULL || found->settings == expected->service.settings);
		if (found != NULL)
			check_rules(site_by_rule(generation->config, str_of(host)), found->rules);
	}
	arena_free(&arena);
}

static void ask_all(struct generation *generation, struct input input)
{
	bool done = false;
	struct err err;

	while (!done)           /* in the smallest steps */
		FUZZ_CHECK(route_prepare(generation, 0, &done, &err));
	while (input.len > 0) {
		struct str line = input_until(&input, '\n');

		if (line.len > 0 && line.at[0] == '?')
			ask(generation, (struct str){ line.at + 1, line.len - 1 });
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct generation *generation = generation_new(1, service_schemas);
	struct problems problems = { 0 };
	char *text = config_text(input);

	if (read_config(&(struct config_input){ .path = "main.conf", .text = text }, generation, &problems))
		ask_all(generation, input);
	problems_release(&problems);
	generation_unpin(generation);
	free(text);
	return 0;
}
