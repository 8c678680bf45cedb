/* watch_walk.c - what the names of a path are, as far as that is not known already.
 *
 * Called by watch.c.  A directory is watched before a name in it is looked at, so whatever is seen here and
 * changes later is told, be it that the path leads elsewhere before the walk has come to its end: the events
 * wait in inotify's queue. Fails where nobody would tell. */
#include "watch_walk.h"

#include "clock.h"
#include "watch_lay.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { MOST_LINKS = 40 };               /* on a path, as for the kernel (path_resolution(7)) */

/* Until a directory that could not be watched is tried again: what made it fail may be none of those things
 * that are told. */
#define REFUSED_NS (10 * CLOCK_S)

struct walk {
	struct watch_tree *tree;
	uint64_t now_ns;
	unsigned links;
	bool laid;                      /* what is on the way has just been laid */
	bool unlaid;                    /* what stopped it is only that something is not */
};

static struct watched_name *walk_from(struct walk *walk, struct watched_name *from, const char *path);

/* ---- directories -------------------------------------------------------------------------------------- */

/* By the loop itself: it may take long. */
static int watch_now(struct walk *walk, const char *path, bool asked)
{
	struct watch_tree *tree = walk->tree;
	int wd;

	if (!asked && !lay_is_told_of(path))
		return -EACCES;
	do
		wd = inotify_add_watch(tree->inotify_fd, path, WATCH_NAMES | IN_MASK_ADD);
	while (wd < 0 && errno == ENOSPC && tree_drop_idle(tree));
	return wd < 0 ? -errno : wd;
}

/* It is watched already, so that takes no time; which one is at `path` by now, the kernel says. */
static int watch_laid(const struct watch_tree *tree, const char *path, const struct statx *is)
{
	int wd = lay_result(tree->lay, is);

	if (wd < 0)
		return wd;
	wd = inotify_add_watch(tree->inotify_fd, path, WATCH_NAMES | IN_MASK_ADD);
	return wd < 0 ? -errno : wd;
}

/* The kernel's watch of the directory; negative: there can be none. */
static int watch_directory(struct walk *walk, struct watched_name *name, const char *path,
			   const struct statx *is, bool asked)
{
	struct watch_tree *tree = walk->tree;
	int wd;

	if (walk->now_ns < tree->full_until_ns && tree->idle_count == 0)
		return -1;
	if (tree->directories >= WATCH_DIRECTORIES && tree->idle_count == 0)
		return -1;
	if (tree->lay != NULL && !walk->laid) {
		walk->unlaid = true;
		return -1;
	}
	if (tree->directories >= WATCH_DIRECTORIES)
		tree_drop_idle(tree);
	wd = tree->lay == NULL ? watch_now(walk, path, asked) : watch_laid(tree, path, is);
	walk->unlaid = walk->unlaid || wd == LAY_UNKNOWN;
	if (wd == -ENOSPC)
		tree->full_until_ns = walk->now_ns + REFUSED_NS;
	if (wd == -EACCES)
		tree_refuse(tree, name, walk->now_ns + REFUSED_NS);
	return wd;
}

static bool add_directory(struct walk *walk, struct watched_name *name, const char *path,
			  const struct statx *is)
{
	dev_t device = makedev(is->stx_dev_major, is->stx_dev_minor);
	bool asked = name->in != NULL && name->in->device == device;
	int wd = watch_directory(walk, name, path, is, asked);
	struct watched_inode *inode = wd < 0 ? NULL : tree_inode(walk->tree, wd);
	struct watched_place *place = inode == NULL ? NULL : tree_add_place(walk->tree, name, inode);

	if (place == NULL)
		return false;
	name->kind = WATCHED_DIRECTORY;
	place->device = device;
	return true;
}

/* ---- symlinks ----------------------------------------------------------------------------------------- */

/* A place that is the directory where the symlink leads to. */
static bool add_place_behind(struct walk *walk, struct watched_name *name, struct watched_place *to)
{
	struct watched_place *place = tree_add_place(walk->tree, name, to->inode);

	if (place == NULL)
		return false;
	place->real = to->real;
	place->device = to->device;
	return true;
}

static bool follow(struct walk *walk, struct watched_name *name, const char *target)
{
	struct watched_link *link = tree_add_link(name);
	struct watched_name *from = target[0] == '/' ? walk->tree->top : name->in->real->name;
	struct watched_name *end = link == NULL ? NULL : walk_from(walk, from, target);

	if (end == NULL)
		return false;
	tree_watch(end, &link->target);
	return tree_below(end) == NULL || add_place_behind(walk, name, tree_below(end));
}

static bool add_link(struct walk *walk, struct watched_name *name, const char *path)
{
	char target[PATH_MAX];
	ssize_t len = readlink(path, target, sizeof(target));
	bool followed;

	if (len <= 0 || (size_t)len >= sizeof(target) || walk->links++ >= MOST_LINKS)
		return false;
	target[len] = '\0';
	followed = follow(walk, name, target);
	name->kind = WATCHED_LINK;
	return followed;
}

/* ---- names -------------------------------------------------------------------------------------------- */

/* A file that has other names may be written to by one that is not watched; what is mounted over a file is
 * reached by another one. */
static bool is_seen(const struct statx *is)
{
	if ((is->stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0)
		return false;
	return !S_ISREG(is->stx_mode) || is->stx_nlink <= 1;
}

/* What is written to the files of `inode` is told from now on, unless it is already; `path` is one of them,
 * and is cut. False: its directory is another one by now, or cannot be watched any more. */
static bool watch_files(struct walk *walk, struct watched_inode *inode, char *path)
{
	char *end = strrchr(path, '/');
	int wd;

	if (inode->files)
		return true;
	if (walk->tree->lay != NULL) {
		walk->unlaid = true;
		return false;
	}
	*(end == path ? end + 1 : end) = '\0';
	wd = inotify_add_watch(walk->tree->inotify_fd, path, WATCH_NAMES | WATCH_FILES);
	inode->files = wd == inode->wd;
	if (wd >= 0 && !inode->files && tree_inode_of(walk->tree, wd) == NULL)
		inotify_rm_watch(walk->tree->inotify_fd, wd);
	return inode->files;
}

/* What is there by that name; false: nobody would tell, or it has changed meanwhile. */
static bool look(struct walk *walk, struct watched_name *name)
{
	char room[PATH_MAX], *path = tree_path(name, room, sizeof(room));
	struct statx is;

	if (path == NULL)
		return false;
	if (lay_is_at(walk->tree->lay, path)) {
		walk->unlaid = true;
		return false;
	}
	if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, LAY_STATX, &is) < 0)
		return errno == ENOENT || errno == EACCES;      /* modes of directories are watched, too */
	if (S_ISDIR(is.stx_mode))
		return add_directory(walk, name, path, &is);
	if (S_ISLNK(is.stx_mode))
		return add_link(walk, name, path);
	return is_seen(&is) && (!S_ISREG(is.stx_mode) || watch_files(walk, name->in->inode, path));
}

/* Whether it is known what `name` is. */
static bool is_known(struct walk *walk, struct watched_name *name)
{
	if (name->kind != WATCHED_REFUSED)
		return true;
	if (walk->now_ns < tree_refused_until(walk->tree, name))
		return true;
	tree_forget(walk->tree, name);
	return false;
}

/* What `name` is, looked at if need be; NULL: nobody would tell, and nothing is left of it but the memory of
 * that. */
static struct watched_name *known(struct walk *walk, struct watched_name *name)
{
	if (look(walk, name))
		return name;
	tree_drop(walk->tree, name);
	return NULL;
}

/* The name `text` of `in`, or "/" where `in` is NULL. */
static struct watched_name *name_in(struct walk *walk, struct watched_place *in, struct str text)
{
	struct watched_name *name = in == NULL ? walk->tree->top : tree_find(walk->tree, in, text);

	if (name == NULL) {
		name = tree_add_name(walk->tree, in, text);
		return name == NULL ? NULL : known(walk, name);
	}
	if (!is_known(walk, name))
		return known(walk, name);
	return name->kind == WATCHED_REFUSED || name->kind == WATCHED_LINK_IN_WORK ? NULL : name;
}

/* The next name of `path`, which moves behind it; empty at the end. */
static struct str next_name(const char **path)
{
	const char *begin = *path + strspn(*path, "/");

	*path = begin + strcspn(begin, "/");
	return (struct str){ begin, (size_t)(*path - begin) };
}

static bool is_text(struct str name, const char *text)
{
	return name.len == strlen(text) && memcmp(name.at, text, name.len) == 0;
}

/* What becomes of `at`, a directory, by one more name of the path; `first`: it is where the path begins. */
static struct watched_name *step(struct walk *walk, struct watched_name *at, struct str name, bool first)
{
	struct watched_place *real = tree_below(at)->real;

	if (is_text(name, "."))
		return at;
	if (is_text(name, ".."))        /* behind a name, it would depend on two ways */
		return !first ? NULL : real->name->in == NULL ? at : real->name->in->name;
	if (name.len > NAME_MAX)
		return NULL;
	return name_in(walk, tree_below(at), name);
}

static struct watched_name *walk_from(struct walk *walk, struct watched_name *from, const char *path)
{
	struct watched_name *at = from;
	bool first = true;

	for (struct str name = next_name(&path); name.len > 0; name = next_name(&path)) {
		struct watched_name *next = tree_below(at) == NULL ? at : step(walk, at, name, first);

		if (next == NULL)
			tree_release(walk->tree, at);
		if (next == NULL || tree_below(at) == NULL)
			return next;
		first = first && (is_text(name, ".") || is_text(name, ".."));
		at = next;
	}
	return at;
}

struct watched_name *walk_path(struct watch_tree *tree, const char *path, struct walk_way *way)
{
	struct walk walk = { .tree = tree, .now_ns = way->now_ns, .laid = way->laid };
	struct watched_name *top = path[0] == '/' ? name_in(&walk, NULL, str_of("")) : NULL;
	struct watched_name *name = top == NULL ? NULL : walk_from(&walk, top, path);

	way->unlaid = name == NULL && walk.unlaid;
	return name;
}
