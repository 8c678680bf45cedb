/* What clients may take, from settings to the rules of net/quota.h. */
#ifndef CONFIG_CLIENTS_H
#define CONFIG_CLIENTS_H

#include "generation.h"

/* Makes generation->quota of its configuration; false when out of memory. */
bool clients_prepare(struct generation *generation, struct err *err);

#endif
