/* A service that is in trouble on request, for tests; see trouble.c.  Only the test build knows it. */
#ifndef AIDS_TROUBLE_H
#define AIDS_TROUBLE_H

#include "http/service.h"

extern const struct service service_trouble;
extern const struct schema trouble_schema;

#endif
