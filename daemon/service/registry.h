/* The services that exist.  The index of a struct service_ref is an index into both tables. */
#ifndef SERVICE_REGISTRY_H
#define SERVICE_REGISTRY_H

#include "http/service.h"

extern const struct service *const services[];          /* NULL-terminated */
extern const struct schema *const service_schemas[];    /* NULL-terminated, in the same order */

#endif
