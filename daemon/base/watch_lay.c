/* watch_lay.c - the helper that lays watches, and who waits for it.
 *
 * Called by watch*.c.  Fails by not telling those who wait: they go on looking for themselves. */
#include "watch_lay.h"

#include "watch_walk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

enum {
	MOST_LINKS = 40,                /* on a path, as for the kernel (path_resolution(7)) */
	MOST_TRIES = 4,                 /* for a wish: its path may change meanwhile, or watches be short */
	FREED = 8,                      /* idle watches that are ended for want of others, at once */
};

/* ---- in the helper thread ----------------------------------------------------------------------------- */

bool lay_is_told_of(const char *path)
{
	static const uint32_t local[] = {
		EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC,  BTRFS_SUPER_MAGIC, TMPFS_MAGIC,      RAMFS_MAGIC,
		F2FS_SUPER_MAGIC, EROFS_SUPER_MAGIC_V1, SQUASHFS_MAGIC, ISOFS_SUPER_MAGIC,
		0xca451a4e /* bcachefs */, 0x2fc12fc1 /* ZFS */,
	};
	struct statfs is;

	if (statfs(path, &is) < 0)
		return false;
	for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
		if ((uint32_t)is.f_type == local[i])
			return true;
	return false;
}

static bool is_of(const struct lay_result *result, const struct statx *is)
{
	return result->number == is->stx_ino && result->major == is->stx_dev_major &&
	       result->minor == is->stx_dev_minor;
}

static struct lay_result *find(struct lay_work *work, const struct statx *is)
{
	for (unsigned i = 0; i < work->count; i++)
		if (is_of(&work->results[i], is))
			return &work->results[i];
	return NULL;
}

/* False: the way ends here. */
static bool lay_directory(struct lay_work *work, const char *path, const struct statx *is)
{
	const struct lay_result *last = work->count == 0 ? NULL : &work->results[work->count - 1];
	struct lay_result *result = find(work, is);
	bool asked = last != NULL && last->major == is->stx_dev_major && last->minor == is->stx_dev_minor;

	if (result != NULL || work->count == LAY_MOST)
		return result != NULL && result->wd >= 0;
	result = &work->results[work->count];
	*result = (struct lay_result){ is->stx_ino, is->stx_dev_major, is->stx_dev_minor, -EACCES, false };
	work->count++;
	if (!asked && !lay_is_told_of(path))
		return false;
	result->wd = inotify_add_watch(work->inotify_fd, path, WATCH_NAMES | IN_MASK_ADD);
	if (result->wd < 0)
		result->wd = -errno;
	return result->wd >= 0;
}

/* `path` is a file, and is cut: what is written to it and those beside it is told, too. */
static void lay_files(struct lay_work *work, char *path)
{
	char *end = strrchr(path, '/');
	int wd;

	*(end == path ? end + 1 : end) = '\0';
	wd = inotify_add_watch(work->inotify_fd, path, WATCH_NAMES | WATCH_FILES | IN_MASK_ADD);
	for (unsigned i = 0; i < work->count; i++)
		if (wd >= 0 && work->results[i].wd == wd)
			work->results[i].files = true;
}

/* Puts what the symlink at `path` leads to in its place, with `rest` behind it. Returns where to go on; NULL:
 * nowhere. */
static char *follow(char *path, const char *rest)
{
	char target[PATH_MAX], whole[PATH_MAX];
	ssize_t len = readlink(path, target, sizeof(target) - 1);
	size_t above;

	if (len <= 0)
		return NULL;
	target[len] = '\0';
	above = target[0] == '/' ? 0 : (size_t)(strrchr(path, '/') + 1 - path);
	len = snprintf(whole, sizeof(whole), "%.*s%s/%s", (int)above, path, target, rest);
	if (len >= (ssize_t)sizeof(whole))
		return NULL;
	memcpy(path, whole, (size_t)len + 1);
	return path + above;
}

/* Lays what is at `path`, if that is a directory. Returns where to go on, NULL: nowhere. */
static char *lay_name(struct lay_work *work, char *path, char *end)
{
	struct statx is;
	char after = *end;

	*end = '\0';
	if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, LAY_STATX, &is) < 0)
		return NULL;
	if (S_ISLNK(is.stx_mode))
		return follow(path, after == '\0' ? "" : end + 1);
	if (!S_ISDIR(is.stx_mode)) {
		if (S_ISREG(is.stx_mode))
			lay_files(work, path);
		return NULL;
	}
	if (!lay_directory(work, path, &is))
		return NULL;
	*end = after;
	return end;
}

/* Every directory on the way. */
static void lay(struct offload_job *job)
{
	struct lay_work *work = LIST_ENTRY(job, struct lay_work, job);
	char path[PATH_MAX], top[] = "/", *at = path;

	strcpy(path, work->path);
	if (lay_name(work, top, top + 1) == NULL)
		return;
	for (unsigned links = 0; at != NULL && links <= MOST_LINKS;) {
		char *begin = at + strspn(at, "/"), *end = begin + strcspn(begin, "/");

		if (begin == end)
			return;
		at = lay_name(work, path, end);
		links += at != end ? 1 : 0;
	}
}

/* ---- wishes ------------------------------------------------------------------------------------------- */

static void on_hold_changed(struct watch *watch)
{
	(void)watch;
}

static void take_away_first(struct watch_lay *lay)
{
	struct lay_wish *wish = &lay->wishes[lay->first];

	free(wish->path);
	wish->path = NULL;
	lay->first = (lay->first + 1) % LAY_WISHES;
	lay->count--;
}

static void begin(struct ready *ready)
{
	struct watch_lay *lay = LIST_ENTRY(ready, struct watch_lay, begin);
	struct lay_work *work = lay->work;

	while (!lay->busy && lay->count > 0 && list_empty(&lay->wishes[lay->first].waiting))
		take_away_first(lay);           /* nobody waits any more */
	if (lay->busy || lay->count == 0)
		return;
	strcpy(work->path, lay->wishes[lay->first].path);
	work->count = 0;
	lay->busy = offload_submit(lay->offload, &work->job);
}

static struct lay_wish *new_wish(struct watch_lay *lay, const char *path)
{
	struct lay_wish *wish = &lay->wishes[(lay->first + lay->count) % LAY_WISHES];

	if (lay->count == LAY_WISHES || strlen(path) >= PATH_MAX)
		return NULL;
	wish->path = strdup(path);
	if (wish->path == NULL)
		return NULL;
	wish->tries = 0;
	lay->count++;
	return wish;
}

void lay_wish(struct watch_lay *lay, struct watch *watch, const char *path)
{
	struct lay_wish *wish = NULL;

	for (unsigned i = 0; i < lay->count && wish == NULL; i++) {
		wish = &lay->wishes[(lay->first + i) % LAY_WISHES];
		if (strcmp(wish->path, path) != 0)
			wish = NULL;
	}
	if (wish == NULL)
		wish = new_wish(lay, path);
	list_push_back(wish != NULL ? &wish->waiting : &lay->later, &watch->link);
	loop_ready(lay->loop, &lay->begin);
}

/* ---- what was laid ------------------------------------------------------------------------------------ */

bool lay_is_at(const struct watch_lay *lay, const char *path)
{
	size_t len = strlen(path);

	if (!lay_is_busy(lay) || strncmp(lay->work->path, path, len) != 0)
		return false;
	return path[len - 1] == '/' || lay->work->path[len] == '/' || lay->work->path[len] == '\0';
}

int lay_result(const struct watch_lay *lay, const struct statx *is)
{
	const struct lay_result *result = find(lay->work, is);

	return result == NULL ? LAY_UNKNOWN : result->wd;
}

/* They are the tree's from now on, be it that nobody needs them. True: for want of watches some that nobody
 * needs have been ended, so another try may do. */
static bool register_results(struct watch_lay *lay)
{
	bool full = false;
	unsigned freed = 0;

	for (unsigned i = 0; i < lay->work->count; i++) {
		const struct lay_result *result = &lay->work->results[i];
		struct watched_inode *inode = result->wd < 0 ? NULL : tree_inode(lay->tree, result->wd);

		full = full || result->wd == -ENOSPC;
		if (inode == NULL)
			continue;
		inode->files = inode->files || result->files;
		tree_use_inode(lay->tree, inode);       /* it was idle for no longer than now */
		tree_drop_inode(lay->tree, inode);
	}
	while (full && freed < FREED && tree_drop_idle(lay->tree))
		freed++;
	return freed > 0;
}

/* What the first wish was for is watched, if that can be; those who wait are told when it is. */
static void fulfil(struct watch_lay *lay, bool try_again)
{
	struct lay_wish *wish = &lay->wishes[lay->first];
	struct walk_way way = { .now_ns = lay->loop->now_ns, .laid = true };
	struct watched_name *name;

	wish->tries++;
	if (try_again && wish->tries < MOST_TRIES)
		return;
	name = walk_path(lay->tree, wish->path, &way);
	if (way.unlaid && wish->tries < MOST_TRIES)
		return;
	tree_unwatch(&wish->hold);
	if (name != NULL) {
		tree_watch(name, &wish->hold);
		tree_tell_all(lay->tree, &wish->waiting);
	}
	while (list_pop_front(&wish->waiting) != NULL)
		continue;
	take_away_first(lay);
}

static void done(struct offload_job *job)
{
	struct lay_work *work = LIST_ENTRY(job, struct lay_work, job);
	struct watch_lay *lay = work->lay;

	if (lay == NULL) {
		free(work);
		return;
	}
	watch_tell();
	lay->busy = false;
	fulfil(lay, register_results(lay));
	tree_trim_idle(lay->tree);
	tree_tell_all(lay->tree, &lay->later);
	tree_settle(lay->tree);
	loop_ready(lay->loop, &lay->begin);
}

/* ---- opening and closing ------------------------------------------------------------------------------ */

struct watch_lay *lay_open(struct watch_tree *tree, struct loop *loop, struct offload *offload)
{
	struct watch_lay *opened = calloc(1, sizeof(*opened));
	struct lay_work *work = calloc(1, sizeof(*work));

	if (opened == NULL || work == NULL) {
		free(opened);
		free(work);
		return NULL;
	}
	work->job = (struct offload_job){ .work = lay, .done = done };
	work->inotify_fd = tree->inotify_fd;
	work->lay = opened;
	*opened = (struct watch_lay){ .tree = tree, .loop = loop, .offload = offload, .work = work };
	opened->begin.serve = begin;
	list_init(&opened->later);
	for (unsigned i = 0; i < LAY_WISHES; i++) {
		list_init(&opened->wishes[i].waiting);
		opened->wishes[i].hold.changed = on_hold_changed;
	}
	return opened;
}

static void end_wish(struct lay_wish *wish)
{
	tree_unwatch(&wish->hold);
	while (list_pop_front(&wish->waiting) != NULL)
		continue;
	free(wish->path);
}

/* The work that a thread is still at is left to it, or to done(). */
void lay_close(struct watch_lay *lay)
{
	if (lay == NULL)
		return;
	loop_unready(&lay->begin);
	for (unsigned i = 0; i < LAY_WISHES; i++)
		end_wish(&lay->wishes[i]);
	while (list_pop_front(&lay->later) != NULL)
		continue;
	lay->work->lay = NULL;
	if (lay->work->job.state != JOB_ABANDONED && offload_cancel(lay->offload, &lay->work->job))
		free(lay->work);
	free(lay);
}
