/* Which program this process is, and which one an upgrade executes.
 *
 * The path is the one that the process was started by: a package may have put another file there since. */
#ifndef MASTER_BINARY_H
#define MASTER_BINARY_H

#include "base/err.h"

#include <limits.h>

struct binary {
	char path[PATH_MAX];            /* absolute; "": unknown, there is no upgrade */
};

/* Looks the path up. After an upgrade or a roll-back it is what the state says: the kernel may know only that
 * a descriptor was executed. False with `err`. */
bool binary_find(struct binary *binary, struct err *err);

/* The file that runs, whatever has become of its name: the way back. O_PATH, CLOEXEC; -1 with `err`. */
int binary_open(struct err *err);

#endif
