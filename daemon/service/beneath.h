/* Opening a file that must not lie outside of a directory. */
#ifndef SERVICE_BENEATH_H
#define SERVICE_BENEATH_H

#include <stdbool.h>
#include <sys/stat.h>

/* What a symlink below the root may do; those in the root's own path are the operator's. */
enum beneath_policy {
	BENEATH_DENY,                   /* nothing: ELOOP */
	BENEATH_INSIDE,                 /* lead to what lies below the root, whatever its text; else EXDEV */
	BENEATH_ALL,                    /* lead anywhere */
};

/* Opens `path` (relative, no leading slash; "" is the directory itself) for reading below `root` (O_PATH will
 * do). A symlink may be absolute, or go above the root and come back: what counts is whether the walk along
 * it arrives in the root again. No change of the tree meanwhile leads out. openat2(2) does it; where that is
 * missing or hidden by a seccomp filter, and for such symlinks, the path is walked segment by segment, with
 * the same result. Never blocks on a FIFO. May be called from any thread. Returns a descriptor, or -1 with
 * errno: EXDEV when the path leads out, ELOOP after too many symlinks. */
int beneath_open(int root, const char *path, enum beneath_policy policy);

/* The same without opening: false with errno when beneath_open would not get there. */
bool beneath_stat(int root, const char *path, enum beneath_policy policy, struct stat *stat);

/* The walk, whatever the kernel offers (for the tests, which compare the two). */
int beneath_walk(int root, const char *path, enum beneath_policy policy);

#endif
