/* The express way: requests of an idle connection that ready answers serve, from the bytes that came to the
 * bytes that go without a state, a buffer of the pool or an allocation.
 *
 * It does what the general way (http1.c) does, only sooner, and what is unusual goes that way: from exactly
 * that request on, with all of its bytes. */
#ifndef HTTP_EXPRESS_H
#define HTTP_EXPRESS_H

#include "response.h"

#include "net/protocol.h"

/* Serves the idle connection, which is readable. */
enum served express_ready(struct conn *conn);

/* The general way has rendered the answer of `exchange`, whose generation is still pinned: keeps it if it may
 * be given again. */
void express_keep(struct exchange *exchange);

/* See struct protocol. */
void express_forget(struct engine *engine);

#endif
