/* Whom a request comes from, by the word of the proxies in front of us: X-Forwarded-For with
 * X-Forwarded-Proto, or Forwarded (RFC 7239). */
#ifndef HTTP_FORWARDED_H
#define HTTP_FORWARDED_H

#include "request.h"

#include "config/config.h"
#include "net/addr.h"

enum { FORWARDED_MOST_HOPS = 64 };      /* further ones are not looked at */

struct forwarded {
	/* AF_UNSPEC: somebody, but the proxy did not say who ("unknown", a made-up name, nonsense). */
	union peer client;
	bool secure;                    /* it spoke https */
};

/* `found` is who connected, and is one of `from`. Every proxy adds whom it was asked by at the end; so, from
 * the end, each address that is one of `from` was told by the one before, and the first that is not is the
 * client. When all are, it is the first of the list.
 *
 * False: the field is no list of what it should be, as far as it was looked at: whatever is behind the
 * mistake may have been put there by anybody. */
bool forwarded_read(const struct request *request, const char *head, enum forwarded_header header,
		    const struct networks *from, struct forwarded *found);

#endif
