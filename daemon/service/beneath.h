/* Opening a file that must not lie outside of a directory. */
#ifndef SERVICE_BENEATH_H
#define SERVICE_BENEATH_H

#include <stdbool.h>

/* Opens `path` (relative, no leading slash; "" is the directory itself) for reading below `root` (O_PATH will
 * do), following symlinks that stay below it: openat2(2) with RESOLVE_BENEATH. Where that call is missing or
 * a seccomp filter hides it, the path is walked segment by segment, with the same result. Never blocks on a
 * FIFO. Returns a descriptor, or -1 with errno: EXDEV when the path leads out, ELOOP after too many
 * symlinks. */
int beneath_open(int root, const char *path);

/* The walk, whatever the kernel offers (for the tests, which compare the two). */
int beneath_walk(int root, const char *path);

#endif
