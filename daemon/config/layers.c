/* layers.c - a row for each layer of the sandbox that may not be there.  Called by the master, which says so
 * once, and by -T. Asks the kernel, changes nothing, cannot fail. */
#include "layers.h"

#include "base/landlock.h"
#include "base/privilege.h"
#include "base/syscalls.h"

static bool landlock_is_there(struct err *err)
{
	return landlock_version(err) > 0;
}

const struct layer layers[LAYERS] = {
	{ "landlock", offsetof(struct config, landlock), landlock_is_there,
	  "Linux 5.13 or later with landlock among the security modules (lsm=), or "
	  "sandbox.landlock = false" },
	{ "seccomp", offsetof(struct config, seccomp), syscalls_are_confinable,
	  "a kernel with CONFIG_SECCOMP_FILTER and a drover built with libseccomp, or "
	  "sandbox.seccomp = false" },
	{ "sealed_code", offsetof(struct config, sealed_code), privilege_can_seal,
	  "Linux 6.3 or later, or sandbox.sealed_code = false" },
};

bool layer_is_wanted(const struct layer *layer, const struct config *config)
{
	return config != NULL && *(const bool *)((const char *)config + layer->at);
}

bool layer_is_missing(const struct layer *layer, const struct config *config, struct err *err)
{
	return layer_is_wanted(layer, config) && !layer->is_there(err);
}
