/* Which program this process is, and which one an upgrade executes.
 *
 * The path is the one that the process was started by: a package may have put another file there since. The
 * descriptor is of the file that runs, whatever has become of its name: the way back. */
#ifndef MASTER_BINARY_H
#define MASTER_BINARY_H

#include "base/err.h"

#include <limits.h>

struct binary {
	char path[PATH_MAX];            /* absolute */
	int kept;                       /* O_PATH, CLOEXEC; -1: none */
};

/* Looks it up for the process as it is. After an upgrade or a roll-back the path is what the state says: the
 * kernel knows only that a descriptor was executed. False with `err`: an upgrade cannot be made. */
bool binary_find(struct binary *binary, struct err *err);

void binary_forget(struct binary *binary);

#endif
