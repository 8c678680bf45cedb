/* registry.c - in place of service/registry.c in the test build (tests/aids/drover): every service, and
 * `trouble`, `escape` and `hostile`. */
#include "service/registry.h"

#include "aids/escape.h"
#include "aids/hostile.h"
#include "aids/trouble.h"
#include "service/files.h"
#include "service/health.h"
#include "service/redirect.h"
#include "service/respond.h"
#include "service/status.h"

const struct service *const services[] = { &service_files,
					   &service_redirect,
					   &service_respond,
					   &service_status,
					   &service_health,
					   &service_trouble,
					   &service_escape,
					   &service_hostile,
					   NULL };

const struct schema *const service_schemas[] = {
	&files_schema,  &redirect_schema, &respond_schema, &status_schema,
	&health_schema, &trouble_schema,  &escape_schema,  &hostile_schema, NULL
};
