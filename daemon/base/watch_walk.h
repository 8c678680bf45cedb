/* Looking a path up as the kernel does, and watching every name on its way.  Private to watch*.c. */
#ifndef BASE_WATCH_WALK_H
#define BASE_WATCH_WALK_H

#include "watch_tree.h"

struct walk_way {
	uint64_t now_ns;
	bool laid;                      /* what lay_result tells of may be gone by */
	bool unlaid;                    /* set: a directory on the way has to be laid first (watch_lay.h) */
};

/* The name on which it depends what `path` (absolute) leads to; nobody depends on it yet: it is released or
 * watched next. NULL: nobody would tell; or it changes just now. */
struct watched_name *walk_path(struct watch_tree *tree, const char *path, struct walk_way *way);

#endif
