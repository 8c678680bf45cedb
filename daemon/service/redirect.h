/* The service redirect: sends its clients somewhere else. */
#ifndef SERVICE_REDIRECT_H
#define SERVICE_REDIRECT_H

#include "http/service.h"

extern const struct service service_redirect;
extern const struct schema redirect_schema;

#endif
