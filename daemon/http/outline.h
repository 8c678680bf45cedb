/* What is shown of a request in a few bytes, where people ask for it (droverctl connections, slow): without
 * what nobody shall read (secret.h). As the client sent it: whoever shows it escapes it. */
#ifndef HTTP_OUTLINE_H
#define HTTP_OUTLINE_H

#include "exchange.h"

/* The host that it is for, at most `room` bytes; returns how many. 0: it is not known. */
size_t outline_host(const struct exchange *exchange, char *out, size_t room);

/* Method and target of one whose head has come, likewise. `room` is 16 or more. */
size_t outline_request(const struct exchange *exchange, char *out, size_t room);

#endif
