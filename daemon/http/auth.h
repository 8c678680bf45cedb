/* Basic authentication (RFC 7617) of a site's or a route's clients.
 *
 * A password hash is meant to take long, so it is computed by the helper thread of the requests, one at a
 * time: others' tasks have their turn between two of them. Requests with the same credentials wait for the
 * same hash; what was found right is remembered (verified.h) until the file changes. */
#ifndef HTTP_AUTH_H
#define HTTP_AUTH_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct exchange;
struct route_config;
struct site_config;

/* Who may use a route. */
struct auth {
	const char *file;
	const char *realm;
	struct str challenge;           /* the header line of a 401 */
};

/* What the route's settings, or else the site's, ask for, with the file checked; may block. `*auth` says NULL
 * afterwards when they ask for nothing. It may point to what is needed already (that of the route before): if
 * it is the same, it stays. False with `err`, which begins with "auth.file". */
bool auth_prepare(const struct route_config *route, const struct site_config *site, struct arena *arena,
		  const struct auth **auth, struct err *err);

/* A stage of exchange.c: 0 also when the exchange's route asks for nothing; sets exchange->user. */
unsigned auth_stage(struct exchange *exchange);

/* Called by exchange_end: nobody waits any more. Harmless when nobody did. */
void auth_drop(struct exchange *exchange);

#endif
