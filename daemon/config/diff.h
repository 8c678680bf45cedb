/* What a new configuration changes, in terms of what it takes. */
#ifndef CONFIG_DIFF_H
#define CONFIG_DIFF_H

#include "config.h"

struct config_diff {
	bool replace;                   /* something that only fresh workers can take on */
	const char *restart;            /* the name of a setting that a reload cannot change; NULL: none */
	char why[64];                   /* the first setting that makes it a replacement */
};

struct config_diff config_compare(const struct config *old, const struct config *new);

#endif
