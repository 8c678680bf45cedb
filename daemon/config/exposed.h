/* What a configuration shows to everybody that is not for everybody. */
#ifndef CONFIG_EXPOSED_H
#define CONFIG_EXPOSED_H

#include "generation.h"
#include "preflight.h"

/* True, and the finding is filled in, when somebody out there may read a status route: it has neither
 * allow nor auth, and there is an address that is not this machine's own. */
bool exposed_status(const struct generation *generation, struct finding *finding);

#endif
