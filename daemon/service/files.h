/* Files below a root: opened for each request, never outside of the root, never blocking. */
#ifndef SERVICE_FILES_H
#define SERVICE_FILES_H

#include "http/service.h"

extern const struct service service_files;
extern const struct schema files_schema;

#endif
