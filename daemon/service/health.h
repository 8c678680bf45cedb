/* Whether a load balancer shall send clients here. */
#ifndef SERVICE_HEALTH_H
#define SERVICE_HEALTH_H

#include "http/service.h"

extern const struct service service_health;
extern const struct schema health_schema;

#endif
