/* Routing: from host and path to what answers.  Built once per generation. */
#ifndef HTTP_ROUTE_H
#define HTTP_ROUTE_H

#include "auth.h"
#include "rules.h"
#include "service.h"

#include "config/generation.h"
#include "net/addr.h"
#include "net/conn.h"

/* One route with what was computed from its settings. */
struct route {
	struct str match;               /* without a trailing slash; the root is the empty slice */
	bool exact;                     /* of the whole path */
	const char *path;               /* the match as it was written: what an exact one compares */
	const struct service *service;
	const void *settings;
	unsigned allow_count, deny_count;
	const struct cidr *allow, *deny;        /* allow: NULL: everybody */
	const struct auth *auth;        /* NULL: everybody */
	const struct rules *rules;      /* its own and its site's; NULL: none */
};

/* What an error of a site looks like. */
struct error_page {
	unsigned first, last;           /* the statuses that it is for */
	const char *file;
};

struct site {
	unsigned count;
	struct route *routes;
	const struct route **places;    /* a hash table of them, at most half full */
	size_t mask;
	size_t longest;                 /* match of all, as it was written */
	const struct rules *rules;      /* for what has no route; NULL: none */
	unsigned page_count;
	struct error_page *pages;
	uint8_t row;                    /* of what is measured: see ipc/board.h */
};

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

/* The site for what comes from nobody knows where; NULL when there is none. */
const struct site *route_default_site(const struct generation *generation);

/* Its route for a resolved path: the exact one, else the longest match in whole segments; NULL when none
 * matches (or `site` is NULL). */
const struct route *route_find(const struct site *site, struct str path);

/* The service of this name, of those that the generation was built with; NULL when there is none. */
const struct service *route_service(const struct generation *generation, struct str name);

/* False when the client is in the route's deny list, or not in its allow list. */
bool route_allows(const struct route *route, const union peer *client);

#endif
