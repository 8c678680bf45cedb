/* The PROXY protocol, versions 1 and 2: what a proxy says of a connection before its first byte.
 *
 * Whoever can connect to a listener of that kind could say anything: only peers of listener_rules.proxy_from
 * are heard, everybody else is refused. */
#ifndef NET_PROXY_H
#define NET_PROXY_H

#include "addr.h"
#include "protocol.h"

#include <stdbool.h>
#include <stddef.h>

/* Longer headers are refused; the specification wants them to fit into the smallest segment (536). */
enum { PROXY_MOST_BYTES = 4096 };

enum proxy_result { PROXY_MORE, PROXY_DONE, PROXY_BAD };

struct proxy_header {
	size_t len;                     /* of the header: what is behind it is the protocol's */
	/* `source` is the client. Else the connection is the proxy's own (LOCAL, a health check), or its
	 * client has no address that counts here (UNKNOWN, a unix socket): the peer stands for it. */
	bool has_source;
	union peer source;
};

/* Looks at the first bytes of a connection. PROXY_MORE: they may be the beginning of a header; never for
 * PROXY_MOST_BYTES or more. PROXY_BAD: they are none, whatever follows. `header` is filled at PROXY_DONE
 * only. */
enum proxy_result proxy_parse(const char *bytes, size_t len, struct proxy_header *header);

/* Speaks on a connection until its header is there, then leaves it to the engine's protocol. */
extern const struct protocol protocol_proxy;

#endif
