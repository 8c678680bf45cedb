/* What a client gets for whom a worker has no room (limits.when_full). */
#ifndef HTTP_REFUSAL_H
#define HTTP_REFUSAL_H

#include "net/protocol.h"

extern const struct protocol protocol_refusal;

#endif
