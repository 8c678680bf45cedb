/* registry.c - the one place that knows every service: a new one is a file and a line in each table. */
#include "registry.h"

#include "files.h"
#include "health.h"
#include "redirect.h"
#include "respond.h"
#include "status.h"

const struct service *const services[] = { &service_files, &service_redirect, &service_respond,
					   &service_status, &service_health, NULL };

const struct schema *const service_schemas[] = { &files_schema, &redirect_schema, &respond_schema,
						 &status_schema, &health_schema, NULL };
