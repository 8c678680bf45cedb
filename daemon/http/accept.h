/* Accept: which media type a client would rather have (RFC 9110, 12.5.1). */
#ifndef HTTP_ACCEPT_H
#define HTTP_ACCEPT_H

#include "request.h"

/* How much a type is wanted: 0 (not at all) to 1000, and by how precise a range: 0 none, 1 every type, 2 its
 * main type, 3 itself.  The most precise range counts. */
struct acceptance {
	unsigned weight, precision;
};

/* Takes one field value into account.  Elements that are no media range, or have no valid weight, say
 * nothing.  Parameters other than q are passed over: what clients add to a type here is a charset. */
void accept_weigh(struct str value, struct str type, struct acceptance *acceptance);

/* True when `type` is rather wanted than `usual`: its weight is higher, or equal by a more precise range.
 * False when there is no Accept. */
bool accept_prefers(const struct request *request, const char *head, struct str type, struct str usual);

#endif
