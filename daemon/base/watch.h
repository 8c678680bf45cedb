/* Names that are watched: who looked something up by a path is told when that path may lead to something
 * else, or what is there was written to (inotify(7)).
 *
 * A watcher is one inotify instance on a loop. A watch depends on every name that the kernel looks up on
 * the way of its path, symlinks and what they lead to included, and on the file or directory at the end;
 * directories are shared among watches. Events that were lost (IN_Q_OVERFLOW) count as all of them.
 *
 * To begin to watch a directory takes the kernel long where it has many of its names in memory (300 ms for
 * four millions), so a helper does that, and the loop goes on (watch_lay.h).
 *
 * Whoever goes by a watch calls watch_tell first: it tells of every change whose system call had returned
 * by then, and makes none itself while nothing has changed, for the kernel says by a signal (SIGIO) that
 * there is something to read. That signal is the watchers'.
 *
 * What is mounted or unmounted is told by the loop's next turn.
 *
 * Nobody can tell of: what is stored through a shared mapping (mmap(2)), until the last of its descriptors
 * and mappings is gone; a link made to a file that is watched already, and writes by that other name; what
 * changes by another spelling where a directory takes both for the same, of letters that are not ASCII. */
#ifndef BASE_WATCH_H
#define BASE_WATCH_H

#include "err.h"
#include "list.h"

#include <signal.h>

/* The directories that a watcher watches at most, as long as the kernel does not set a limit below that
 * (fs.inotify.max_user_watches, which all of a user's watchers share). */
enum { WATCH_DIRECTORIES = 4096 };

struct loop;
struct offload;
struct watcher;
struct watched_name;

/* Zeroed is one that watches nothing. */
struct watch {
	/* Something on its way has changed, or may have; or what could not be watched yet can be now. The
	 * watch has ended by then; called once for each watch_path, from watch_tell, from watch_path (for
	 * others) or from the loop. May end watches, and must not begin one. */
	void (*changed)(struct watch *watch);
	struct watched_name *name;      /* what it depends on */
	struct list link;
};

/* Opens what tells of mounts, for a process that will not be able to (Landlock): its first watcher uses
 * it. */
void watch_prepare(void);

/* A watcher on `loop`, of the thread that calls. `offload` (closed before the watcher) is where it waits for
 * the kernel, with one job; NULL: it does that itself. NULL with `err`: no memory, or none of the instances
 * that a user may have is left (EMFILE). */
struct watcher *watcher_open(struct loop *loop, struct offload *offload, struct err *err);

/* Ends every watch without a word; NULL is ignored. */
void watcher_close(struct watcher *watcher);

/* Watches what `path` (absolute) leads to now, be it that nothing is there. True: what is looked up by
 * that path from now on (open it after this) is what will be there until `changed`. Of a directory, entries
 * that come and go are changes, too. False: nobody would tell (a network file system, overlayfs, FUSE; a
 * directory that must not be read; a file with several names, or one that is mounted; a limit on watches;
 * ".." behind a name), or not yet (watch_waits), and the caller has to look for itself. `watch->changed` is
 * the caller's to set; a watch that watches already ends first. */
bool watch_path(struct watcher *watcher, struct watch *watch, const char *path);

/* True of one that was refused because a directory has to be laid first: `changed` is called when it is, if
 * the path can be watched then. */
bool watch_waits(const struct watch *watch);

/* Harmless on one that watches nothing. */
void watch_end(struct watch *watch);

/* Something may have changed: the signal's handler says so. */
extern volatile sig_atomic_t watch_signalled;

/* Tells of what there is, of all watchers. */
void watch_drain(void);

/* After this, whoever has not been told is up to date. */
static inline void watch_tell(void)
{
	if (__builtin_expect(watch_signalled != 0, 0))
		watch_drain();
}

#endif
