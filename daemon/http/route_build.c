/* route_build.c - building the table of hosts and routes of a generation, in steps.
 *
 * Called by the worker and by the checker, as protocol.prepare. Fails with the place and the setting that
 * cannot be served. */
#include "error_page.h"
#include "mime.h"
#include "route_table.h"

#include "base/clock.h"
#include "base/hash.h"
#include "ipc/board.h"

/* What a step works on. */
struct build {
	struct generation *generation;
	const struct service *const *table;
	struct routes *routes;
};

/* ---- a route ---------------------------------------------------------------------------------------- */

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
		       config_site_name(site), config->match, route->service->name);
}

/* `*networks` stays NULL when the setting is absent. */
static bool build_networks(const struct strings *texts, const char *setting, struct arena *arena,
			   const struct cidr **networks, struct err *err)
{
	struct cidr *parsed;

	if (texts->at == NULL)
		return true;
	parsed = arena_alloc(arena, (texts->count + 1) * sizeof(*parsed));
	if (parsed == NULL)
		return out_of_memory(err);
	for (unsigned i = 0; i < texts->count; i++)
		if (!cidr_parse(texts->at[i], &parsed[i], err))
			return err_add(err, "%s", setting);
	*networks = parsed;
	return true;
}

/* Where the auth.file of a route was set: there, or at its site. */
static const char *auth_place(const struct route_config *config, const struct site_config *site)
{
	const struct schema *sites = setting_find(&config_schema, NULL, "sites")->of;
	const struct schema *routes = setting_find(sites, NULL, "routes")->of;
	const char *place = setting_origin_of(routes, config, "auth.file");

	return place != NULL ? place : setting_origin_of(sites, site, "auth.file");
}

/* A site's routes mostly have the same one, whose file is looked at once. */
static bool build_auth(struct build *build, struct route *route, const struct route_config *config,
		       const struct site_config *site, struct err *err)
{
	const char *place;

	if (auth_prepare(config, site, &build->generation->arena, &build->routes->auth, err)) {
		route->auth = build->routes->auth;
		return true;
	}
	place = auth_place(config, site);
	return err_add(err, "%s%ssite %s, route %s", place != NULL ? place : "", place != NULL ? ": " : "",
		       config_site_name(site), config->match);
}

static struct str match_of(const char *text)
{
	struct str match = str_of(text);

	while (match.len > 0 && match.at[match.len - 1] == '/')
		match.len--;
	return match;
}

/* The check of the configuration refuses two routes with the same match. */
static void place_route(struct site *site, const struct route *route)
{
	struct str key = route_key(route);

	*route_place(site, hash_of(key), key, route->exact) = route;
	if (key.len > site->longest)
		site->longest = key.len;
}

static bool build_route(struct build *build, const struct site_config *config, struct err *err)
{
	struct site *site = build->routes->site;
	const struct route_config *route_config = config_route(config, site->count);
	struct route *route = &site->routes[site->count];
	struct arena *arena = &build->generation->arena;

	*route = (struct route){
		.match = match_of(route_config->match),
		.exact = route_config->exact,
		.path = route_config->match,
		.allow_count = route_config->allow.count,
		.deny_count = route_config->deny.count,
		.service = build->table[route_config->service.index],
		.settings = route_config->service.settings,
	};
	if (!build_networks(&route_config->allow, "allow", arena, &route->allow, err) ||
	    !build_networks(&route_config->deny, "deny", arena, &route->deny, err) ||
	    !rules_build(&config->headers, route_config, arena, &route->rules, err))
		return false;
	if (!build_auth(build, route, route_config, config, err))
		return false;
	if (!check_service(route, route_config, config, err))
		return false;
	place_route(site, route);
	site->count++;
	return true;
}

/* ---- a site ------------------------------------------------------------------------------------------ */

static unsigned status_number(const char *text)
{
	return (unsigned)(text[0] - '0') * 100 + (unsigned)(text[1] - '0') * 10 + (unsigned)(text[2] - '0');
}

/* "404" is one status, "4xx" a hundred. */
static struct error_page page_of(const char *status, const char *file)
{
	bool is_class = status[1] == 'x';
	unsigned first = is_class ? (unsigned)(status[0] - '0') * 100 : status_number(status);

	return (struct error_page){ first, is_class ? first + 99 : first, file };
}

/* Pages for one status stand in front of those for a hundred. */
static void add_pages(struct site *site, const struct site_config *config, bool classes)
{
	for (unsigned i = 0; i < config->error_pages.count; i++) {
		const struct error_page_config *entry = config_error_page(config, i);

		for (unsigned j = 0; j < entry->status.count; j++)
			if ((entry->status.at[j][1] == 'x') == classes)
				site->pages[site->page_count++] = page_of(entry->status.at[j], entry->file);
	}
}

static bool check_pages(const struct site_config *config, struct err *err)
{
	const struct schema *sites = setting_find(&config_schema, NULL, "sites")->of;
	const struct schema *schema = setting_find(sites, NULL, "error_pages")->of;

	for (unsigned i = 0; i < config->error_pages.count; i++) {
		struct error_page_config *entry = config_error_page(config, i);
		const char *place = place_of(schema, entry, "file");

		if (!error_page_check(entry->file, place, err))
			return err_add(err, "%s%ssite %s, error_pages: file", place,
				       place[0] != '\0' ? ": " : "", config_site_name(config));
	}
	return true;
}

static bool build_pages(struct site *site, const struct site_config *config, struct arena *arena,
			struct err *err)
{
	unsigned count = 0;

	for (unsigned i = 0; i < config->error_pages.count; i++)
		count += config_error_page(config, i)->status.count;
	site->pages = arena_alloc(arena, (count + 1) * sizeof(*site->pages));
	if (site->pages == NULL)
		return out_of_memory(err);
	add_pages(site, config, false);
	add_pages(site, config, true);
	return check_pages(config, err);
}

static bool begin_site(struct build *build, const struct site_config *config, struct err *err)
{
	struct arena *arena = &build->generation->arena;
	struct site *site = arena_alloc(arena, sizeof(*site));
	size_t size = 2;

	if (site == NULL)
		return out_of_memory(err);
	if (build->generation->board != NULL)
		site->row = (uint8_t)board_site(build->generation->board, config_site_name(config));
	while (size < 2 * (size_t)config->routes.count)
		size *= 2;
	site->mask = size - 1;
	site->places = arena_alloc(arena, size * sizeof(struct route *));
	site->routes = arena_alloc(arena, (config->routes.count + 1) * sizeof(*site->routes));
	if (site->routes == NULL || site->places == NULL)
		return out_of_memory(err);
	if (!rules_build(&config->headers, NULL, arena, &site->rules, err) ||
	    !build_pages(site, config, arena, err))
		return false;
	build->routes->site = site;
	return true;
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
	host = route_host_place(build->routes, str_of(name));
	if (host->site == NULL)         /* the check of the configuration refuses a host in two sites */
		*host = (struct host){ str_of(name), site };
	return true;
}

/* Its routes are there: let the hosts find it. */
static bool finish_site(struct build *build, const struct site_config *config, struct err *err)
{
	struct site *site = build->routes->site;

	for (unsigned i = 0; i < config->hosts.count; i++)
		if (!add_host(build, config->hosts.at[i], site))
			return out_of_memory(err);
	if (config->hosts.at == NULL)
		build->routes->default_site = site;
	build->routes->site = NULL;
	build->routes->site_index++;
	return true;
}

/* ---- the whole --------------------------------------------------------------------------------------- */

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

static bool begin(struct generation *generation, const struct service *const *table, struct err *err)
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
	routes->services = table;
	if (!mime_prepare(generation, err))
		return false;
	generation->routes = routes;
	return true;
}

bool route_prepare_with(struct generation *generation, const struct service *const *table, uint64_t budget_ns,
			bool *done, struct err *err)
{
	uint64_t until = clock_now_ns() + budget_ns;
	struct build build = { .generation = generation, .table = table };

	if (generation->routes == NULL && !begin(generation, table, err))
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
