/* files_look.c - whether what a name leads to is still the same.  Called by files_cache.c; cannot fail: that
 * nothing is there is something to compare, too. */
#include "files_look.h"

#include <errno.h>

struct files_look files_look_of(const struct stat *stat)
{
	struct files_look look = { .mode = stat->st_mode, .device = stat->st_dev, .inode = stat->st_ino };

	if (S_ISDIR(stat->st_mode))
		return look;
	look.size = stat->st_size;
	look.modified = stat->st_mtim;
	look.changed = stat->st_ctim;
	look.links = stat->st_nlink;
	return look;
}

struct files_look files_look_at(const char *path)
{
	struct stat now;

	return stat(path, &now) == 0 ? files_look_of(&now) : (struct files_look){ .error = errno };
}

struct files_look files_look_at_name(const char *path)
{
	struct stat now;

	return lstat(path, &now) == 0 ? files_look_of(&now) : (struct files_look){ .error = errno };
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool files_look_same(const struct files_look *a, const struct files_look *b)
{
	return a->error == b->error && a->mode == b->mode && a->device == b->device && a->inode == b->inode &&
	       a->size == b->size && a->links == b->links && same_time(a->modified, b->modified) &&
	       same_time(a->changed, b->changed);
}

struct stat files_look_stat(const struct files_look *look)
{
	return (struct stat){
		.st_dev = look->device,
		.st_ino = look->inode,
		.st_mode = look->mode,
		.st_nlink = look->links,
		.st_size = look->size,
		.st_mtim = look->modified,
		.st_ctim = look->changed,
	};
}
