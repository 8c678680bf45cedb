/* The protocol http1: persistent connections, pipelining in order, one exchange at a time. */
#ifndef HTTP_HTTP1_H
#define HTTP_HTTP1_H

#include "net/protocol.h"

extern const struct protocol protocol_http1;

#endif
