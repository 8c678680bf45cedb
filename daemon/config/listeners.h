/* What a generation says of each listener, ready for use by those who serve its connections. */
#ifndef CONFIG_LISTENERS_H
#define CONFIG_LISTENERS_H

#include "generation.h"

/* Makes generation->listeners of its configuration, once; false when out of memory. */
bool listeners_prepare(struct generation *generation, struct err *err);

/* The rules for the address in its canonical spelling; NULL when it is not configured. */
const struct listener_rules *listeners_find(const struct generation *generation, const char *address);

#endif
