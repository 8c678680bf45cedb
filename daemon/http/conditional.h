/* Conditional requests (RFC 9110, 13): what a request says about the representation that it knows. */
#ifndef HTTP_CONDITIONAL_H
#define HTTP_CONDITIONAL_H

#include "request.h"

#include <time.h>

/* What the selected representation is told by (RFC 9110, 8.8). */
struct validators {
	struct str etag;                /* in its quotes, without "W/" */
	bool weak;                      /* it is sent with "W/" */
	time_t modified;                /* as Last-Modified says it */
	bool modified_strong;           /* no other version can have had the same */
};

/* Evaluates the preconditions of a GET or HEAD (RFC 9110, 13.2.2): 0 when it is to be answered, 304 or 412.
 * `head` is what the request's spans point into; `now` completes dates with a year of two digits. */
unsigned conditional_status(const struct request *request, const char *head,
			    const struct validators *validators, time_t now);

/* If-Range (13.1.5): true when it is absent, or names just this representation.  False: Range is void. */
bool conditional_if_range(const struct request *request, const char *head,
			  const struct validators *validators, time_t now);

#endif
