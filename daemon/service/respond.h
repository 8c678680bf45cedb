/* A fixed answer from the configuration. */
#ifndef SERVICE_RESPOND_H
#define SERVICE_RESPOND_H

#include "http/service.h"

extern const struct service service_respond;
extern const struct schema respond_schema;

#endif
