/* The head of an HTTP/1.1 response, rendered. */
#ifndef HTTP_RESPONSE_H
#define HTTP_RESPONSE_H

#include "date.h"
#include "exchange.h"

/* How the body is delimited and what becomes of the connection. */
struct framing {
	bool body;                      /* bytes follow the head */
	bool chunked;
	bool keep_alive;
	bool old_client;                /* HTTP/1.0: wants to be told that the connection is kept */
	unsigned keep_alive_s;          /* how long, if it is; 0: not said */
};

/* Decides it for a filled response; `keep_alive`: nothing else speaks against keeping the connection. */
struct framing response_framing(const struct exchange *exchange, bool keep_alive);

/* How many bytes response_head may write. */
size_t response_head_room(const struct exchange *exchange);

/* Writes the head into `out`; returns its length. */
size_t response_head(const struct exchange *exchange, struct framing framing, char *out);

/* Writes what the head says of the connection, whole lines, perhaps none; returns the length, which is under
 * RESPONSE_CONNECTION_BYTES. In a head it begins the line "Connection: ", and nobody else does. */
size_t response_connection(struct framing framing, char *out);

enum { RESPONSE_CONNECTION_BYTES = 128 };

/* The wall clock as this turn of the loop sees it, looked at no more than once a second. */
struct wall {
	uint64_t until_ns;              /* of the loop's clock: when the second ends */
	time_t now;
	char date[DATE_BYTES];
};

const struct wall *wall_clock(const struct loop *loop);

#endif
