/* The layers of the workers' sandbox that a kernel or a build may lack. */
#ifndef CONFIG_LAYERS_H
#define CONFIG_LAYERS_H

#include "config.h"

#include "base/err.h"

struct layer {
	const char *name;               /* "seccomp": of the setting, behind "sandbox." */
	size_t at;                      /* of that setting, a bool, in struct config */
	bool (*ask)(struct err *err);   /* the kernel: is it there? */
	const char *remedy;
};

enum layer_number { LAYER_LANDLOCK, LAYER_SECCOMP, LAYER_SEALED_CODE, LAYERS };

extern const struct layer layers[LAYERS];

/* Asks the kernel for all of them. The answers hold for this process, and for children that it makes then. */
void layers_look(void);

/* As it was found when this process, or the one that it comes from, first looked. False with `err`: why. */
bool layer_is_there(enum layer_number number, struct err *err);

/* Does the configuration ask for it?  NULL: there is none. */
bool layer_is_wanted(const struct layer *layer, const struct config *config);

/* Is it wanted, and cannot be had?  Then `err` says why. */
bool layer_is_missing(const struct layer *layer, const struct config *config, struct err *err);

#endif
