/* The layers of the workers' sandbox that a kernel or a build may lack. */
#ifndef CONFIG_LAYERS_H
#define CONFIG_LAYERS_H

#include "config.h"

#include "base/err.h"

struct layer {
	const char *name;               /* "seccomp": of the setting, behind "sandbox." */
	size_t at;                      /* of that setting, a bool, in struct config */
	bool (*is_there)(struct err *err);
	const char *remedy;
};

enum { LAYERS = 3 };

extern const struct layer layers[LAYERS];

/* Does the configuration ask for it?  NULL: there is none. */
bool layer_is_wanted(const struct layer *layer, const struct config *config);

/* Is it wanted, and cannot be had?  Then `err` says why. */
bool layer_is_missing(const struct layer *layer, const struct config *config, struct err *err);

#endif
