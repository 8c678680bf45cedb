/* layers.c - a row for each layer of the sandbox that may not be there.  Called by the master, which says so
 * once, by its children, which go on without, and by -T. Asks the kernel, changes nothing, cannot fail.
 *
 * The kernel is asked once, by the master: what fails in a worker later is a layer that failed there, and not
 * one that nobody has. */
#include "layers.h"

#include "base/landlock.h"
#include "base/privilege.h"
#include "base/syscalls.h"

static bool ask_landlock(struct err *err)
{
	return landlock_version(err) > 0;
}

const struct layer layers[LAYERS] = {
	[LAYER_LANDLOCK] = { "landlock", offsetof(struct config, landlock), ask_landlock,
	  "Linux 5.13 or later with landlock among the security modules (lsm=), or "
	  "sandbox.landlock = false" },
	[LAYER_SECCOMP] = { "seccomp", offsetof(struct config, seccomp), syscalls_are_confinable,
	  "a kernel with CONFIG_SECCOMP_FILTER and a drover built with libseccomp, or "
	  "sandbox.seccomp = false" },
	[LAYER_SEALED_CODE] = { "sealed_code", offsetof(struct config, sealed_code), privilege_can_seal,
	  "Linux 6.3 or later, or sandbox.sealed_code = false" },
};

static struct {
	bool asked, is_there;
	struct err why_not;
} found[LAYERS];

void layers_look(void)
{
	for (unsigned i = 0; i < LAYERS; i++) {
		found[i].is_there = layers[i].ask(&found[i].why_not);
		found[i].asked = true;
	}
}

bool layer_is_there(enum layer_number number, struct err *err)
{
	if (!found[number].asked)
		layers_look();
	if (!found[number].is_there)
		*err = found[number].why_not;
	return found[number].is_there;
}

bool layer_is_wanted(const struct layer *layer, const struct config *config)
{
	return config != NULL && *(const bool *)((const char *)config + layer->at);
}

bool layer_is_missing(const struct layer *layer, const struct config *config, struct err *err)
{
	return layer_is_wanted(layer, config) && !layer_is_there((enum layer_number)(layer - layers), err);
}
