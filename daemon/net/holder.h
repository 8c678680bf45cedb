/* Who holds an address that is in use: for the error message. */
#ifndef NET_HOLDER_H
#define NET_HOLDER_H

#include "addr.h"

enum { HOLDER_TEXT_BYTES = 128 };

/* "held by pid 812, apache2"; "held by user 33, in a process that cannot be seen from here"; or "held by
 * another program" when not even its socket can be seen. Looks through /proc for a bounded time (200 ms of
 * the processor). */
void holder_describe(const struct addr *addr, char text[HOLDER_TEXT_BYTES]);

#endif
