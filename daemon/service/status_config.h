/* The effective configuration as JSON: of the generation by which the request is answered, each setting with
 * where it comes from. */
#ifndef SERVICE_STATUS_CONFIG_H
#define SERVICE_STATUS_CONFIG_H

#include "status.h"

/* See struct service; a row of `leaves` in status.c. */
enum answer status_config_answer(struct exchange *exchange, const struct status_settings *settings);

#endif
