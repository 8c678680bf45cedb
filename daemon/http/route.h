/* Routing: from host and path to what answers.  Built once per generation. */
#ifndef HTTP_ROUTE_H
#define HTTP_ROUTE_H

#include "auth.h"
#include "service.h"

#include "config/generation.h"
#include "net/addr.h"
#include "net/conn.h"

/* One route with what was computed from its settings. */
struct route {
	struct str match;               /* without a trailing slash; the root is the empty slice */
	const struct service *service;
	const void *settings;
	unsigned allow_count;
	const struct cidr *allow;
	const struct auth *auth;        /* NULL: everybody */
};

struct site;

/* The services that exist, in the order of their schemas; NULL-terminated.  Defined in service/registry.c. */
extern const struct service *const services[];

/* protocol.prepare for every HTTP protocol; see net/protocol.h. On false everything stays as far as it got:
 * the generation is to be dropped. */
bool route_prepare(struct generation *generation, uint64_t budget_ns, bool *done, struct err *err);

/* The same for any table of services; its order is that of generation->services. */
bool route_prepare_with(struct generation *generation, const struct service *const *table, uint64_t budget_ns,
			bool *done, struct err *err);

/* The site for a host (lower case, without port; empty: none): exact, then the longest wildcard, then the
 * default site; NULL when there is none. */
const struct site *route_site(const struct generation *generation, struct str host);

/* Its route for a resolved path: the longest match in whole segments; NULL when none matches (or `site` is
 * NULL). */
const struct route *route_find(const struct site *site, struct str path);

/* False when the route has an allow list that the client is not in. */
bool route_allows(const struct route *route, const union peer *client);

#endif
