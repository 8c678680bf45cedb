/* route.c - looking things up in the table of hosts and routes of a generation.  Called by exchange.c; cannot
 * fail. */
#include "route_table.h"

#include "base/hash.h"

/* ---- hosts ------------------------------------------------------------------------------------------ */

struct host *route_host_place(const struct routes *routes, struct str name)
{
	size_t at = hash_fold(hash_of(name)) & routes->mask;

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
		site = route_host_place(routes, host)->site;
	while (site == NULL && host.len > 1) {
		const char *dot = memchr(host.at + 1, '.', host.len - 1);

		if (dot == NULL)
			break;
		host = (struct str){ dot, host.len - (size_t)(dot - host.at) };
		site = route_host_place(routes, host)->site;
	}
	return site != NULL ? site : routes->default_site;
}

const struct site *route_site(const struct generation *generation, struct str host)
{
	return site_find(generation->routes, host);
}

const struct site *route_default_site(const struct generation *generation)
{
	const struct routes *routes = generation->routes;

	return routes != NULL ? routes->default_site : NULL;
}

/* ---- routes ----------------------------------------------------------------------------------------- */

struct str route_key(const struct route *route)
{
	return route->exact ? str_of(route->path) : route->match;
}

const struct route **route_place(const struct site *site, uint64_t hash, struct str match, bool exact)
{
	size_t at = hash_fold(hash) & site->mask;

	while (site->places[at] != NULL &&
	       (site->places[at]->exact != exact || !str_equal(route_key(site->places[at]), match)))
		at = (at + 1) & site->mask;
	return &site->places[at];
}

/* One walk along the path, however many routes there are: at the end of each segment, what is behind is
 * looked up by the hash that grew with it. */
const struct route *route_find(const struct site *site, struct str path)
{
	const struct route *best = NULL, *found;
	uint64_t hash = HASH_BEGIN;
	size_t most;

	if (site == NULL)
		return NULL;
	most = path.len < site->longest ? path.len : site->longest;
	for (size_t i = 0; i <= most; i++) {
		struct str match = { path.at, i };

		if (i == path.len || path.at[i] == '/') {
			found = *route_place(site, hash, match, false);
			best = found != NULL ? found : best;
		}
		if (i < most)
			hash = hash_add(hash, path.at[i]);
	}
	found = most == path.len ? *route_place(site, hash, path, true) : NULL;
	return found != NULL ? found : best;
}

const struct service *route_service(const struct generation *generation, struct str name)
{
	const struct routes *routes = generation->routes;

	for (const struct service *const *at = routes->services; *at != NULL; at++)
		if (str_equal(str_of((*at)->name), name))
			return *at;
	return NULL;
}

static bool is_among(const struct cidr *networks, unsigned count, const union peer *client)
{
	struct sockaddr_storage address = { 0 };

	memcpy(&address, client, sizeof(*client));
	for (unsigned i = 0; i < count; i++)
		if (cidr_contains(&networks[i], &address))
			return true;
	return false;
}

bool route_allows(const struct route *route, const union peer *client)
{
	if (route->allow != NULL && !is_among(route->allow, route->allow_count, client))
		return false;
	return route->deny == NULL || !is_among(route->deny, route->deny_count, client);
}
