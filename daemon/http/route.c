/* route.c - the table of hosts and routes of a generation: building it in steps, looking things up.
 *
 * route_prepare is called by the worker and by the checker, the rest by exchange.c. Building fails with the
 * place and the setting that cannot be served; looking up cannot fail. */
#include "route.h"

#include "base/clock.h"

#include <stdlib.h>

/* A site's routes, the longest match first. */
struct site {
	unsigned count;
	struct route *routes;
};

/* A host name in lower case; a wildcard "*.name" is kept as ".name", which no site's host can be. */
struct host {
	struct str name;                /* absent: the place is free */
	const struct site *site;
};

/* Hosts in a hash table with open addressing, at most half full.  Names come from the operator only, so
 * nobody can make them collide. */
struct routes {
	struct host *hosts;
	size_t mask;
	const struct site *default_site;
	unsigned site_index;            /* while it is built: what comes next */
	struct site *site;
	const struct auth *auth;        /* of the route before */
};

/* What a step works on. */
struct build {
	struct generation *generation;
	const struct service *const *table;
	struct routes *routes;
};

/* ---- hosts ------------------------------------------------------------------------------------------ */

/* FNV-1a. */
static size_t hash_of(struct str name)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < name.len; i++)
		hash = (hash ^ (unsigned char)name.at[i]) * UINT64_C(1099511628211);
	return (size_t)(hash ^ hash >> 32);
}

/* The place of `name`, or the free one where it would go. */
static struct host *host_place(const struct routes *routes, struct str name)
{
	size_t at = hash_of(name) & routes->mask;

	while (routes->hosts[at].name.at != NULL && !str_equal(routes->hosts[at].name, name))
		at = (at + 1) & routes->mask;
	return &routes->hosts[at];
}

/* Exact, then ".example.org" and ".org" of "www.example.org": the longest wildcard first. A client may well
 * say "Host: .org", which is no name that "*.org" stands for. */
static const struct site *site_find(const struct routes *routes, struct str host)
{
	const struct site *site = NULL;

	if (host.len > 0 && host.at[0] != '.')
		site = host_place(routes, host)->site;
	while (site == NULL && host.len > 1) {
		const char *dot = memchr(host.at + 1, '.', host.len - 1);

		if (dot == NULL)
			break;
		host = (struct str){ dot, host.len - (size_t)(dot - host.at) };
		site = host_place(routes, host)->site;
	}
	return site != NULL ? site : routes->default_site;
}

static bool add_host(struct build *build, const char *text, const struct site *site)
{
	struct host *host;
	char *name;

	if (text[0] == '*' && text[1] == '.')
		text++;
	name = arena_copy(&build->generation->arena, str_of(text));
	if (name == NULL)
		return false;
	for (char *at = name; *at != '\0'; at++)
		*at = str_lower(*at);
	host = host_place(build->routes, str_of(name));
	if (host->site == NULL)         /* the check of the configuration refuses a host in two sites */
		*host = (struct host){ str_of(name), site };
	return true;
}

/* ---- looking up ------------------------------------------------------------------------------------- */

static bool matches(const struct route *route, struct str path)
{
	size_t len = route->match.len;

	return str_has_prefix(path, route->match) && (path.len == len || path.at[len] == '/');
}

const struct site *route_site(const struct generation *generation, struct str host)
{
	return site_find(generation->routes, host);
}

const struct route *route_find(const struct site *site, struct str path)
{
	for (unsigned i = 0; site != NULL && i < site->count; i++)
		if (matches(&site->routes[i], path))
			return &site->routes[i];
	return NULL;
}

bool route_allows(const struct route *route, const union peer *client)
{
	struct sockaddr_storage address = { 0 };

	if (route->allow == NULL)
		return true;
	memcpy(&address, client, sizeof(*client));
	for (unsigned i = 0; i < route->allow_count; i++)
		if (cidr_contains(&route->allow[i], &address))
			return true;
	return false;
}

/* ---- building --------------------------------------------------------------------------------------- */

static bool out_of_memory(struct err *err)
{
	return err_set(err, "routes: out of memory");
}

/* Where row `name` of the service's settings was written; "" for a default. */
static const char *place_of(const struct schema *schema, void *settings, const char *name)
{
	const struct setting *row = name != NULL ? setting_find(schema, NULL, name) : NULL;
	const char *origin = NULL;

	if (row != NULL)
		origin = *setting_origin(schema, settings, (unsigned)(row - schema->settings));
	return origin != NULL ? origin : "";
}

static bool check_service(const struct route *route, const struct route_config *config,
			  const struct site_config *site, struct err *err)
{
	const char *setting = NULL, *place;

	if (route->service->check == NULL || route->service->check(route->settings, &setting, err))
		return true;
	place = place_of(route->service->settings, config->service.settings, setting);
	return err_add(err, "%s%ssite %s, route %s: %s", place, place[0] != '\0' ? ": " : "",
		       site->hosts.count > 0 ? site->hosts.at[0] : "(default)", config->match,
		       route->service->name);
}

static bool build_allow(struct route *route, const struct strings *allow, struct arena *arena,
			struct err *err)
{
	struct cidr *networks;

	if (allow->at == NULL)
		return true;
	networks = arena_alloc(arena, (allow->count + 1) * sizeof(*networks));
	if (networks == NULL)
		return out_of_memory(err);
	for (unsigned i = 0; i < allow->count; i++)
		if (!cidr_parse(allow->at[i], &networks[i], err))
			return err_add(err, "allow");
	route->allow = networks;
	route->allow_count = allow->count;
	return true;
}

/* A site's routes mostly have the same one, whose file is looked at once. */
static bool build_auth(struct build *build, struct route *route, const struct route_config *config,
		       const struct site_config *site, struct err *err)
{
	const struct schema *sites = setting_find(&config_schema, NULL, "sites")->of;
	const struct schema *routes = setting_find(sites, NULL, "routes")->of;
	const char *place = setting_origin_of(routes, config, "auth.file");

	if (place == NULL)
		place = setting_origin_of(sites, site, "auth.file");
	if (!auth_prepare(config, site, &build->generation->arena, &build->routes->auth, err))
		return err_add(err, "%s%ssite %s, route %s", place != NULL ? place : "",
			       place != NULL ? ": " : "",
			       site->hosts.count > 0 ? site->hosts.at[0] : "(default)", config->match);
	route->auth = build->routes->auth;
	return true;
}

static struct str match_of(const char *text)
{
	struct str match = str_of(text);

	while (match.len > 0 && match.at[match.len - 1] == '/')
		match.len--;
	return match;
}

static bool build_route(struct build *build, const struct site_config *config, struct err *err)
{
	struct site *site = build->routes->site;
	const struct route_config *route_config = config_route(config, site->count);
	struct route *route = &site->routes[site->count];

	*route = (struct route){
		.match = match_of(route_config->match),
		.service = build->table[route_config->service.index],
		.settings = route_config->service.settings,
	};
	if (!build_allow(route, &route_config->allow, &build->generation->arena, err))
		return false;
	if (!build_auth(build, route, route_config, config, err))
		return false;
	if (!check_service(route, route_config, config, err))
		return false;
	site->count++;
	return true;
}

static int longer_first(const void *a, const void *b)
{
	const struct route *one = a, *other = b;

	return (one->match.len < other->match.len) - (one->match.len > other->match.len);
}

static bool begin_site(struct build *build, const struct site_config *config, struct err *err)
{
	struct arena *arena = &build->generation->arena;
	struct site *site = arena_alloc(arena, sizeof(*site));

	if (site == NULL)
		return out_of_memory(err);
	site->routes = arena_alloc(arena, (config->routes.count + 1) * sizeof(*site->routes));
	if (site->routes == NULL)
		return out_of_memory(err);
	build->routes->site = site;
	return true;
}

/* Its routes are there: sort them and let the hosts find them. */
static bool finish_site(struct build *build, const struct site_config *config, struct err *err)
{
	struct site *site = build->routes->site;

	qsort(site->routes, site->count, sizeof(*site->routes), longer_first);
	for (unsigned i = 0; i < config->hosts.count; i++)
		if (!add_host(build, config->hosts.at[i], site))
			return out_of_memory(err);
	if (config->hosts.at == NULL)
		build->routes->default_site = site;
	build->routes->site = NULL;
	build->routes->site_index++;
	return true;
}

/* One small piece of work: the beginning of a site, one route, or its end. */
static bool build_step(struct build *build, struct err *err)
{
	const struct site_config *config = config_site(build->generation->config, build->routes->site_index);

	if (build->routes->site == NULL)
		return begin_site(build, config, err);
	if (build->routes->site->count < config->routes.count)
		return build_route(build, config, err);
	return finish_site(build, config, err);
}

static bool begin(struct generation *generation, struct err *err)
{
	struct routes *routes = arena_alloc(&generation->arena, sizeof(*routes));
	size_t hosts = 0, size = 8;

	for (unsigned i = 0; i < generation->config->sites.count; i++)
		hosts += config_site(generation->config, i)->hosts.count;
	while (size < 2 * hosts)
		size *= 2;
	if (routes == NULL)
		return out_of_memory(err);
	routes->hosts = arena_alloc(&generation->arena, size * sizeof(*routes->hosts));
	if (routes->hosts == NULL)
		return out_of_memory(err);
	routes->mask = size - 1;
	generation->routes = routes;
	return true;
}

bool route_prepare_with(struct generation *generation, const struct service *const *table, uint64_t budget_ns,
			bool *done, struct err *err)
{
	uint64_t until = clock_now_ns() + budget_ns;
	struct build build = { .generation = generation, .table = table };

	if (generation->routes == NULL && !begin(generation, err))
		return false;
	build.routes = generation->routes;
	while (build.routes->site_index < generation->config->sites.count) {
		if (!build_step(&build, err))
			return false;
		if (clock_now_ns() >= until)
			break;
	}
	*done = build.routes->site_index == generation->config->sites.count;
	return true;
}

bool route_prepare(struct generation *generation, uint64_t budget_ns, bool *done, struct err *err)
{
	return route_prepare_with(generation, services, budget_ns, done, err);
}
