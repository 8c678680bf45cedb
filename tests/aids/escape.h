/* A service that tries to get out of its worker, for tests; see escape.c.  Only the test build knows it. */
#ifndef AIDS_ESCAPE_H
#define AIDS_ESCAPE_H

#include "http/service.h"

extern const struct service service_escape;
extern const struct schema escape_schema;

#endif
