/* Landlock (landlock(7)): what of the file system, and of other processes, this process reaches, for good. */
#ifndef BASE_LANDLOCK_H
#define BASE_LANDLOCK_H

#include "err.h"

/* The kernel's version of it, 1 or more; 0: it has none, or it is switched off, and `err` says which. */
unsigned landlock_version(struct err *err);

#ifdef __SANITIZE_ADDRESS__             /* of gcc; clang has a feature for it */
enum { LANDLOCK_LEAVES_PROC = true };
#elif defined(__has_feature)
enum { LANDLOCK_LEAVES_PROC = __has_feature(address_sanitizer) };
#else
enum { LANDLOCK_LEAVES_PROC = false };
#endif

/* Confines the process to reading files and directories below the `count` paths; one that is not there (any
 * more) is left out. Everything else that this kernel's version knows is refused: writing, making, removing,
 * renaming, running, device controls, binding and connecting TCP (4), abstract unix sockets and signals
 * beyond itself (6).  Descriptors that are open already stay what they are.  PR_SET_NO_NEW_PRIVS must be set.
 * A build with LeakSanitizer can read /proc as well: it looks for its threads and mappings there.
 * Bound to this process and the children it makes. False with `err`: nothing was confined. */
bool landlock_confine(const char *const *paths, unsigned count, struct err *err);

/* True when `path` cannot be opened for reading although its permissions allow that: this process is
 * confined, and not to something that `path` is below. */
bool landlock_refuses(const char *path);

#endif
