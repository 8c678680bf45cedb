/* A service whose worker turns against the others, for tests; see hostile.c.  No other build knows it. */
#ifndef AIDS_HOSTILE_H
#define AIDS_HOSTILE_H

#include "http/service.h"

extern const struct service service_hostile;
extern const struct schema hostile_schema;

#endif
