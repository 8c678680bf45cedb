/* Watches that are laid by a helper thread.  Private to watch*.c.
 *
 * To begin the first watch of a directory takes the kernel as long as to look at all names of it that it has
 * in memory, and meanwhile it holds a lock of the inotify instance. So while somebody lays, the loop adds and
 * removes no watch: it reads what is told, and goes by what it knows. Whoever wants to watch a path whose
 * directories are not laid yet makes a *wish*. When they are, the loop walks the path as it would have
 * without a helper; what it asks of the kernel then, which watch that is, takes no time. So nothing is
 * promised that the loop itself has not verified, and an event of a watch that it does not know yet is of no
 * concern: what it looks at, it looks at later. */
#ifndef BASE_WATCH_LAY_H
#define BASE_WATCH_LAY_H

#include "offload.h"
#include "watch_tree.h"

#include <limits.h>
#include <sys/inotify.h>
#include <sys/stat.h>

/* What is asked of a directory; and of one whose files are watched, too (closing tells of what was stored
 * through a mapping). */
#define WATCH_NAMES                                                                                 \
	(IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | \
	 IN_ONLYDIR | IN_DONT_FOLLOW)
#define WATCH_FILES (IN_MODIFY | IN_CLOSE_WRITE)

#define LAY_STATX (STATX_TYPE | STATX_NLINK | STATX_INO)

enum {
	LAY_MOST = 64,                  /* directories on one way */
	LAY_WISHES = 16,
	LAY_UNKNOWN = INT_MIN,          /* a result: it was not on the way */
};

struct lay_result {
	uint64_t number;                /* of the inode */
	uint32_t major, minor;
	int wd;                         /* or -errno */
	bool files;
};

/* What the helper works on. */
struct lay_work {
	struct offload_job job;
	struct watch_lay *lay;          /* NULL: it is gone */
	int inotify_fd;
	char path[PATH_MAX];
	unsigned count;
	struct lay_result results[LAY_MOST];
};

struct lay_wish {
	char *path;
	unsigned tries;
	struct list waiting;            /* struct watch, by link */
	struct watch hold;              /* keeps what was laid until somebody comes for it */
};

struct watch_lay {
	struct watch_tree *tree;
	struct loop *loop;
	struct offload *offload;
	struct lay_work *work;
	struct ready begin;             /* a turn's own work comes first */
	struct lay_wish wishes[LAY_WISHES];     /* a ring */
	unsigned first, count;
	struct list later;              /* struct watch: there was no room for a wish */
	bool busy;                      /* the helper has `work` */
};

static inline bool lay_is_busy(const struct watch_lay *lay)
{
	return lay != NULL && lay->busy;
}

/* NULL: no memory. */
struct watch_lay *lay_open(struct watch_tree *tree, struct loop *loop, struct offload *offload);

/* Nobody is told; NULL is ignored. */
void lay_close(struct watch_lay *lay);

/* `watch` waits until `path` can be watched: it is told then, by tree_settle. It may never be. */
void lay_wish(struct watch_lay *lay, struct watch *watch, const char *path);

/* True when `path` may be what the helper is at: to look at it might take as long. */
bool lay_is_at(const struct watch_lay *lay, const char *path);

/* What has become of a directory: a watch, -errno, or LAY_UNKNOWN. */
int lay_result(const struct watch_lay *lay, const struct statx *is);

/* True when `path` is on a file system whose files change through this kernel alone. */
bool lay_is_told_of(const char *path);

#endif
