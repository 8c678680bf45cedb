/* Names that are watched: who looked something up by a path is told when that path may lead to something
 * else, or what is there was written to (inotify(7)).
 *
 * A watcher is one inotify instance on a loop. A watch depends on every name that the kernel looks up on
 * the way of its path, symlinks and what they lead to included, and on the file or directory at the end;
 * directories are shared among watches. What happened before a batch of the loop's events is told before
 * any other event of that batch is handled (loop_first). Events that were lost (IN_Q_OVERFLOW) count as
 * all of them. */
#ifndef BASE_WATCH_H
#define BASE_WATCH_H

#include "err.h"
#include "list.h"

struct loop;
struct watcher;
struct watched_name;

/* Zeroed is one that watches nothing. */
struct watch {
	/* Something on its way has changed, or may have. The watch has ended by then; called from the
	 * loop, once for each watch_path. */
	void (*changed)(struct watch *watch);
	struct watched_name *name;      /* what it depends on */
	struct list link;
};

/* A watcher on `loop`. NULL with `err`: no memory, or none of the instances that a user may have is left
 * (EMFILE). */
struct watcher *watcher_open(struct loop *loop, struct err *err);

/* Ends every watch without a word; NULL is ignored. */
void watcher_close(struct watcher *watcher);

/* Watches what `path` (absolute) leads to now, be it that nothing is there. True: what is looked up by
 * that path from now on (open it after this) is what will be there until `changed`. False: nobody would
 * tell (a network file system, overlayfs, FUSE; a directory that must not be read; a limit on watches),
 * and the caller has to look for itself. `watch->changed` is the caller's to set; a watch that watches
 * already ends first. */
bool watch_path(struct watcher *watcher, struct watch *watch, const char *path);

/* Harmless on one that watches nothing. */
void watch_end(struct watch *watch);

#endif
