/* What a generation says of each listener, and of proxies in front of them, ready for use by those who serve
 * the connections. */
#ifndef CONFIG_LISTENERS_H
#define CONFIG_LISTENERS_H

#include "generation.h"

/* Makes generation->listeners, ->forwarded_from and ->quota of its configuration, once; false when out of
 * memory. */
bool listeners_prepare(struct generation *generation, struct err *err);

/* The rules for the address in its canonical spelling; NULL when it is not configured. */
const struct listener_rules *listeners_find(const struct generation *generation, const char *address);

/* From CIDRs and "unix", which were checked when they were read; false when out of memory. */
bool listeners_networks(const struct strings *texts, struct arena *arena, struct networks *networks,
			struct err *err);

#endif
