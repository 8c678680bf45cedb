/* What the daemon is doing, as JSON. */
#ifndef SERVICE_STATUS_H
#define SERVICE_STATUS_H

#include "http/service.h"

extern const struct service service_status;
extern const struct schema status_schema;

#endif
