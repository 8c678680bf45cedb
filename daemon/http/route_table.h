/* The table itself, for route.c, which looks things up in it, and route_build.c, which makes it. */
#ifndef HTTP_ROUTE_TABLE_H
#define HTTP_ROUTE_TABLE_H

#include "route.h"

/* A host name in lower case; a wildcard "*.name" is kept as ".name", which no site's host can be. */
struct host {
	struct str name;                /* absent: the place is free */
	const struct site *site;
};

/* Hosts in a hash table with open addressing, at most half full.  Names come from the operator only, so
 * nobody can make them collide. */
struct routes {
	const struct service *const *services;  /* NULL-terminated */
	struct host *hosts;
	size_t mask;
	const struct site *default_site;
	unsigned site_index;            /* while it is built: what comes next */
	struct site *site;
	const struct auth *auth;        /* of the route before */
};

/* The place of the host `name`, or the free one where it would go. */
struct host *route_host_place(const struct routes *routes, struct str name);

/* What a route is found by. */
struct str route_key(const struct route *route);

/* The place of the route with this match, or the free one where it would go; `hash` is that of the match. */
const struct route **route_place(const struct site *site, uint64_t hash, struct str match, bool exact);

#endif
