/* check.c - rules between settings.  Called by read.c; fails by adding problems. */
#include "check.h"

#include "field.h"

#include "base/names.h"
#include "net/addr.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

enum { CHECK_MAX_LISTEN = 128 };        /* half of CHANNEL_MAX_LISTENERS: what a worker can be told of */

static const char *origin_of(const struct schema *schema, const void *instance, const char *name)
{
	const char *origin = setting_origin_of(schema, instance, name);

	return origin != NULL ? origin : "configuration:1:1";
}

static const struct schema *schema_of(const char *list)
{
	return setting_find(&config_schema, NULL, list)->of;
}

/* Entries that could not be read are NULL, and so are their values: those have their problem already. */
static bool parse_address(const struct listen_config *listen, struct addr *addr)
{
	struct err err;

	return listen != NULL && listen->address != NULL && addr_parse(listen->address, addr, &err);
}

/* A third one is told of the first alone. */
static void check_address(const struct config *config, unsigned index, struct problems *problems)
{
	const struct schema *schema = schema_of("listen");
	struct addr one, other;

	if (!parse_address(config_listen(config, index), &one))
		return;
	for (unsigned i = 0; i < index; i++) {
		if (!parse_address(config_listen(config, i), &other) || strcmp(one.text, other.text) != 0)
			continue;
		problems_add(problems, "%s: address \"%s\" is listed twice; first at %s",
			     origin_of(schema, config_listen(config, index), "address"), one.text,
			     origin_of(schema, config_listen(config, i), "address"));
		return;
	}
}

static void check_listen(const struct config *config, struct problems *problems)
{
	if (config->listen.count > CHECK_MAX_LISTEN)
		problems_add(problems, "%s: more than %d addresses",
			     origin_of(&config_schema, config, "listen"), CHECK_MAX_LISTEN);
	for (unsigned i = 0; i < config->listen.count && i < CHECK_MAX_LISTEN; i++)
		check_address(config, i, problems);
}

/* Settings that mean something to the other kind of address only. */
static void check_kind(struct listen_config *listen, struct problems *problems)
{
	const struct {
		const char *name;
		bool is_set, of_unix;
	} rules[] = {
		{ "v6only", listen->v6only, false },      { "defer_accept", listen->defer_accept, false },
		{ "freebind", listen->freebind, false },  { "device", listen->device != NULL, false },
		{ "mode", listen->mode != NULL, true },   { "owner", listen->owner != NULL, true },
		{ "group", listen->group != NULL, true },
	};
	bool is_unix = strncmp(listen->address, "unix:", 5) == 0;

	for (unsigned i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rules[i].is_set && rules[i].of_unix != is_unix)
			problems_add(problems, "%s: %s is for %s, and %s is none",
				     origin_of(schema_of("listen"), listen, rules[i].name), rules[i].name,
				     rules[i].of_unix ? "a unix socket" : "a TCP address", listen->address);
}

static bool has_unix(const struct strings *networks)
{
	bool found = false;

	for (unsigned i = 0; i < networks->count && !found; i++)
		found = strcmp(networks->at[i], "unix") == 0;
	return found;
}

/* A header that anybody may send says nothing; one that nobody may send lets nobody in. */
static void check_proxy(const struct listen_config *listen, struct problems *problems)
{
	const struct schema *schema = schema_of("listen");
	bool given = setting_origin_of(schema, listen, "proxy_from") != NULL;
	bool is_unix = strncmp(listen->address, "unix:", 5) == 0;

	if (listen->proxy_protocol &&
	    (!given || (listen->proxy_from.at != NULL && listen->proxy_from.count == 0)))
		problems_add(problems, "%s: proxy_protocol needs proxy_from: the proxies that are believed",
			     origin_of(schema, listen, "proxy_protocol"));
	else if (listen->proxy_protocol && listen->proxy_from.at != NULL &&
		 is_unix != has_unix(&listen->proxy_from) && (is_unix || listen->proxy_from.count == 1))
		problems_add(problems, "%s: nobody who can connect to %s is in proxy_from",
			     origin_of(schema, listen, "proxy_from"), listen->address);
	if (!listen->proxy_protocol && given)
		problems_add(problems, "%s: proxy_from without proxy_protocol",
			     origin_of(schema, listen, "proxy_from"));
}

static void check_one_listen(struct listen_config *listen, struct problems *problems)
{
	check_kind(listen, problems);
	check_proxy(listen, problems);
}

static const struct schema *route_schema(void)
{
	return setting_find(schema_of("sites"), NULL, "routes")->of;
}

static void out_of_memory(struct problems *problems)
{
	problems_add(problems, "configuration:1:1: out of memory");
}

/* What is known of the sites that were looked at so far. */
struct seen {
	struct arena arena;             /* holds the names */
	struct names hosts;             /* in lower case */
	const struct site_config *default_site; /* NULL: none yet */
};

static struct str lower_case(struct seen *seen, const char *host)
{
	char *name = arena_copy(&seen->arena, str_of(host));

	for (char *at = name; at != NULL && *at != '\0'; at++)
		*at = str_lower(*at);
	return str_of(name);
}

static void remember_hosts(const struct site_config *site, struct seen *seen, struct problems *problems)
{
	for (unsigned i = 0; i < site->hosts.count; i++) {
		struct str host = lower_case(seen, site->hosts.at[i]);

		if (host.at == NULL || names_add(&seen->hosts, host) == NAMES_NO_MEMORY) {
			out_of_memory(problems);
			return;
		}
	}
}

static bool has_host(const struct site_config *site, const char *host)
{
	for (unsigned i = 0; site != NULL && i < site->hosts.count; i++)
		if (str_equal_nocase(str_of(site->hosts.at[i]), str_of(host)))
			return true;
	return false;
}

/* The way back from a name that is known, walked for the problems that are shown only. */
static const char *place_of_host(const struct config *config, const char *host,
				 const struct problems *problems)
{
	for (unsigned i = 0; problems->kept < PROBLEMS_MAX_LINES && i < config->sites.count; i++)
		if (has_host(config_site(config, i), host))
			return origin_of(schema_of("sites"), config_site(config, i), "hosts");
	return "";
}

/* Two default sites: which one would answer? A list of hosts that is wrong does not make a site one. */
static void check_default(const struct site_config *site, struct seen *seen, struct problems *problems)
{
	const struct schema *schema = schema_of("sites");

	if (setting_origin_of(schema, site, "hosts") != NULL)
		return;
	if (seen->default_site != NULL)
		problems_add(problems,
			     "%s: this is a second site without hosts; only one can be the default, and there"
			     " is one at %s",
			     origin_of(schema, site, "routes"),
			     origin_of(schema, seen->default_site, "routes"));
	else
		seen->default_site = site;
}

/* [ ] could be meant for nobody or for everybody. One that is wrong has no memory. */
static bool is_empty(const struct strings *strings)
{
	return strings->at != NULL && strings->count == 0;
}

/* A host in two sites, the same. */
static void check_hosts(const struct config *config, const struct site_config *site, struct seen *seen,
			struct problems *problems)
{
	const struct schema *schema = schema_of("sites");

	if (is_empty(&site->hosts))
		problems_add(problems, "%s: hosts is empty; name some, or leave it out for the default site",
			     origin_of(schema, site, "hosts"));
	for (unsigned i = 0; i < site->hosts.count; i++)
		if (names_has(&seen->hosts, lower_case(seen, site->hosts.at[i])))
			problems_add(problems, "%s: host \"%s\" belongs to another site already, at %s",
				     origin_of(schema, site, "hosts"), site->hosts.at[i],
				     place_of_host(config, site->hosts.at[i], problems));
	remember_hosts(site, seen, problems);
}

/* "/a" and "/a/" are the same match. */
static struct str match_of(const struct route_config *route)
{
	struct str match = str_of(route->match);

	while (match.len > 0 && match.at[match.len - 1] == '/')
		match.len--;
	return match;
}

static bool has_match(const struct route_config *route)
{
	return route != NULL && route->match != NULL;
}

/* The name under which a route is known to be there: an exact one and a prefix may have the same match. */
static struct str name_of(const struct route_config *route, struct arena *arena)
{
	const char *name;

	if (!route->exact)
		return match_of(route);
	name = arena_printf(arena, "=%s", route->match);
	return str_of(name);
}

static bool same_match(const struct route_config *one, const struct route_config *other)
{
	if (one->exact || other->exact)
		return one->exact == other->exact && strcmp(one->match, other->match) == 0;
	return str_equal(match_of(one), match_of(other));
}

static const char *place_of_match(const struct site_config *site, const struct route_config *same,
				  const struct problems *problems)
{
	for (unsigned i = 0; problems->kept < PROBLEMS_MAX_LINES && i < site->routes.count; i++)
		if (has_match(config_route(site, i)) && same_match(config_route(site, i), same))
			return origin_of(route_schema(), config_route(site, i), "match");
	return "";
}

/* [ ] could be meant for nobody or for everybody. */
static void check_networks(const struct route_config *route, struct problems *problems)
{
	if (is_empty(&route->allow))
		problems_add(problems,
			     "%s: allow is empty; name who may use the route, or leave it out for everybody",
			     origin_of(route_schema(), route, "allow"));
	if (is_empty(&route->deny))
		problems_add(problems,
			     "%s: deny is empty; name who may not use the route, or leave it out for nobody",
			     origin_of(route_schema(), route, "deny"));
}

static void check_cache(const struct route_config *route, struct problems *problems)
{
	const struct schema *schema = setting_find(route_schema(), NULL, "cache")->of;

	for (unsigned i = 0; i < route->cache.count; i++) {
		const struct cache_config *cache = config_cache(route, i);

		/* one that is wrong is there all the same */
		if (cache != NULL && setting_origin_of(schema, cache, "cache_control") == NULL &&
		    setting_origin_of(schema, cache, "expires") == NULL)
			problems_add(problems, "%s: an entry of cache needs cache_control or expires",
				     origin_of(schema, cache, "types"));
	}
}

static size_t bytes_of(const struct strings *fields)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < fields->count; i++)
		bytes += strlen(fields->at[i]) + sizeof("\r\n");
	return bytes;
}

/* Twice in one list: which one counts? */
static void check_set_once(const struct schema *schema, const void *instance,
			   const struct headers_config *headers, struct problems *problems)
{
	struct str name, other, value;

	for (unsigned i = 0; i < headers->set.count; i++) {
		field_split(headers->set.at[i], &name, &value);
		for (unsigned j = 0; j < i; j++) {
			field_split(headers->set.at[j], &other, &value);
			if (!str_equal_nocase(name, other))
				continue;
			problems_add(problems, "%s: headers.set has %.*s twice; headers.add appends",
				     origin_of(schema, instance, "headers.set"), (int)name.len, name.at);
			return;
		}
	}
}

/* Clients refuse heads that are too long. */
static void check_headers(const struct site_config *site, const struct route_config *route,
			  struct problems *problems)
{
	size_t bytes = bytes_of(&site->headers.set) + bytes_of(&site->headers.add) +
		       bytes_of(&route->headers.set) + bytes_of(&route->headers.add);

	check_set_once(route_schema(), route, &route->headers, problems);
	if (bytes > FIELD_MOST_BYTES)
		problems_add(problems, "%s: the fields of the route and of its site have more than %d bytes",
			     origin_of(route_schema(), route, "match"), FIELD_MOST_BYTES);
}

static void check_route(const struct site_config *site, const struct route_config *route,
			struct problems *problems)
{
	check_networks(route, problems);
	check_cache(route, problems);
	check_headers(site, route, problems);
}

static void check_routes(const struct site_config *site, struct problems *problems)
{
	enum names_result result = NAMES_NEW;
	struct names matches = { 0 };
	struct arena arena = { 0 };

	for (unsigned i = 0; i < site->routes.count && result != NAMES_NO_MEMORY; i++) {
		struct route_config *route = config_route(site, i);
		struct str name;

		if (route != NULL)
			check_route(site, route, problems);
		if (!has_match(route))
			continue;
		name = name_of(route, &arena);
		result = name.at != NULL ? names_add(&matches, name) : NAMES_NO_MEMORY;
		if (result == NAMES_KNOWN)
			problems_add(problems, "%s: match \"%s\" is in this site already, at %s",
				     origin_of(route_schema(), route, "match"), route->match,
				     place_of_match(site, route, problems));
	}
	if (result == NAMES_NO_MEMORY)
		out_of_memory(problems);
	names_free(&matches);
	arena_free(&arena);
}

/* Whoever names a realm wants passwords to be asked for. A file that is wrong is there all the same. */
static void check_realms(const struct site_config *site, struct problems *problems)
{
	static const char text[] = "%s: auth.realm without auth.file: nobody would be asked for a password";
	const struct schema *sites = schema_of("sites"), *routes = setting_find(sites, NULL, "routes")->of;
	bool of_site = setting_origin_of(sites, site, "auth.file") != NULL, of_any = of_site;

	for (unsigned i = 0; i < site->routes.count; i++) {
		struct route_config *route = config_route(site, i);
		bool of_route = route != NULL && setting_origin_of(routes, route, "auth.file") != NULL;

		of_any |= of_route;
		if (route != NULL && route->auth_realm != NULL && !of_route && !of_site)
			problems_add(problems, text, origin_of(routes, route, "auth.realm"));
	}
	if (site->auth_realm != NULL && !of_any)
		problems_add(problems, text, origin_of(sites, site, "auth.realm"));
}

static bool has_status(const struct error_page_config *page, const char *status)
{
	for (unsigned i = 0; page != NULL && i < page->status.count; i++)
		if (strcmp(page->status.at[i], status) == 0)
			return true;
	return false;
}

/* Two pages for one status: which one would be sent? */
static void check_pages(const struct site_config *site, struct problems *problems)
{
	const struct schema *schema = setting_find(schema_of("sites"), NULL, "error_pages")->of;

	for (unsigned i = 0; i < site->error_pages.count; i++) {
		const struct error_page_config *page = config_error_page(site, i);

		for (unsigned j = 0; page != NULL && j < i; j++)
			for (unsigned k = 0; k < page->status.count; k++)
				if (has_status(config_error_page(site, j), page->status.at[k]))
					problems_add(problems, "%s: status \"%s\" has a page already, at %s",
						     origin_of(schema, page, "status"), page->status.at[k],
						     origin_of(schema, config_error_page(site, j), "status"));
	}
}

static void check_sites(const struct config *config, struct problems *problems)
{
	struct seen seen = { 0 };

	for (unsigned i = 0; i < config->sites.count; i++) {
		if (config_site(config, i) == NULL)
			continue;
		check_default(config_site(config, i), &seen, problems);
		check_hosts(config, config_site(config, i), &seen, problems);
		check_set_once(schema_of("sites"), config_site(config, i), &config_site(config, i)->headers,
			       problems);
		check_pages(config_site(config, i), problems);
		check_routes(config_site(config, i), problems);
		check_realms(config_site(config, i), problems);
	}
	names_free(&seen.hosts);
	arena_free(&seen.arena);
}

void config_check(const struct config *config, struct problems *problems)
{
	check_listen(config, problems);
	for (unsigned i = 0; i < config->listen.count; i++)
		if (config_listen(config, i) != NULL && config_listen(config, i)->address != NULL)
			check_one_listen(config_listen(config, i), problems);
	check_sites(config, problems);
	check_clients(config, problems);
	/* a user that is wrong is there all the same */
	if (setting_origin_of(&config_schema, config, "user") == NULL && config->group != NULL)
		problems_add(problems, "%s: group without user", origin_of(&config_schema, config, "group"));
}

/* ---- names of users and groups ----------------------------------------------------------------------- */

static bool find_group(const char *name, unsigned *gid, struct err *err)
{
	struct group *found;

	errno = 0;
	found = getgrnam(name);
	if (found == NULL)
		return err_set(err, "group \"%s\": %s", name, errno != 0 ? strerror(errno) : "no such group");
	*gid = found->gr_gid;
	return true;
}

static bool find_owner(const char *name, unsigned *uid, struct err *err)
{
	struct passwd *found;

	errno = 0;
	found = getpwnam(name);
	if (found == NULL)
		return err_set(err, "user \"%s\": %s", name, errno != 0 ? strerror(errno) : "no such user");
	*uid = found->pw_uid;
	return true;
}

/* A name becomes its number, as text; a number stays. */
static bool number_of(const char **name, bool (*find)(const char *name, unsigned *id, struct err *err),
		      struct arena *arena, struct err *err)
{
	uint64_t number;
	unsigned id = 0;

	if (*name == NULL || (str_to_u64(str_of(*name), &number) && number < UINT32_MAX))
		return true;
	if (!find(*name, &id, err))
		return false;
	if (arena == NULL)
		return true;
	*name = arena_printf(arena, "%u", id);
	return *name != NULL || err_set(err, "out of memory");
}

bool config_owners(const struct config *config, struct arena *arena, struct problems *problems)
{
	unsigned before = problems->count;
	struct err err;

	for (unsigned i = 0; i < config->listen.count; i++) {
		struct listen_config *listen = config_listen(config, i);

		if (!number_of(&listen->owner, find_owner, arena, &err))
			problems_add(problems, "%s: %s", origin_of(schema_of("listen"), listen, "owner"),
				     err.text);
		if (!number_of(&listen->group, find_group, arena, &err))
			problems_add(problems, "%s: %s", origin_of(schema_of("listen"), listen, "group"),
				     err.text);
	}
	return problems->count == before;
}

static bool identity_problem(const struct config *config, const char *setting, const char *text,
			     struct problems *problems)
{
	problems_add(problems, "%s: %s", origin_of(&config_schema, config, setting), text);
	return false;
}

bool config_identity(const struct config *config, struct config_identity *identity, struct problems *problems)
{
	const char *name = config->user != NULL ? config->user : "nobody";
	struct config_identity found = { .change = true };
	struct passwd *user;
	struct err err;

	if (geteuid() != 0 && config->user != NULL) {
		err_set(&err,
			"user \"%s\": workers can change their user only when drover is started as root;"
			" leave user and group out",
			name);
		return identity_problem(config, "user", err.text, problems);
	}
	if (geteuid() != 0) {
		*identity = (struct config_identity){ .uid = geteuid(), .gid = getegid() };
		return true;
	}
	errno = 0;
	user = getpwnam(name);
	if (user == NULL) {
		err_set(&err, "user \"%s\": %s", name, errno != 0 ? strerror(errno) : "no such user");
		return identity_problem(config, "user", err.text, problems);
	}
	found.uid = user->pw_uid;
	found.gid = user->pw_gid;
	snprintf(found.name, sizeof(found.name), "%s", name);
	if (config->group != NULL && !find_group(config->group, &found.gid, &err))
		return identity_problem(config, "group", err.text, problems);
	*identity = found;
	return true;
}
