/* Which of several media types a request wants most (Accept, RFC 9110, 12.5.1). */
#ifndef SERVICE_STATUS_ACCEPT_H
#define SERVICE_STATUS_ACCEPT_H

#include "http/request.h"

/* One that can be had. */
struct status_offer {
	const char *type;               /* "text/plain" */
	const char *version;            /* a range that has such a parameter must say this; NULL: anything */
};

/* The number of the offer that is wanted most; of equals, and when nothing is wanted, the first. */
unsigned status_accept(const struct request *request, const char *head, const struct status_offer *offers,
		       unsigned count);

#endif
