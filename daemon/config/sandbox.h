/* What workers must be able to read, by the configuration and by what lies on the disk. */
#ifndef CONFIG_SANDBOX_H
#define CONFIG_SANDBOX_H

#include "generation.h"
#include "preflight.h"

/* With sandbox.landlock, makes sandbox.read of the checked `generation` the list that workers are confined
 * to: what is named there, and of each path that workers open (setting.opened) and that is below nothing
 * named, the directories that it is in, as written and as symlinks lead. The list has real paths, sorted,
 * none below another one; one that is not there is left out, so that a reload finds more when it is. An empty
 * list is set, too: one that is absent is of a drover that knew none.
 *
 * Asks the file system, with the rights of workers: in the checker and for `-t` and `-T` only. What the
 * operator should know is added to `found` (may be NULL). False: out of memory. */
bool sandbox_derive(struct generation *generation, struct preflight *found, struct err *err);

/* A directory in `new` that is below none in `old`; NULL: who is confined to `old` reaches all of it. */
const char *sandbox_beyond(const struct strings *old, const struct strings *new);

#endif
