/* beneath.c - opening below a root, with openat2(2) or without. Called by the files service and by listings;
 * fails with errno.
 *
 * systemd's RestrictSUIDSGID, which DynamicUser implies, answers openat2 with ENOSYS: its flags lie behind a
 * pointer that a seccomp filter cannot follow. And openat2 refuses every absolute symlink, also one that
 * leads back below the root. The walk does both: it opens each segment with O_NOFOLLOW, so that none can be
 * swapped for a symlink unseen, and puts a symlink's target in its place. A target may lead out of the root;
 * the walk then goes on outside, with nothing but O_PATH, until it meets the root's own directory (the same
 * device and inode) and goes on from the root's descriptor. What has not met it by the end is not below. */
#include "beneath.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

enum {
	OPEN_FLAGS = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,      /* a FIFO would wait for its writer */
	LOOK_FLAGS = O_PATH | O_CLOEXEC,
	MOST_SYMLINKS = 40,             /* as the kernel (path_resolution(7)) */
	MOST_STEPS = 4096,              /* no symlink shall keep the loop busy: "a/../a/../a ..." */
	TRIES = 16,
};

/* A walk under way: what is resolved (no symlink in it), and what is still to be. */
struct walk {
	int root;
	int base;                       /* where `done` begins outside of the root; -1: at the root, inside */
	int at;                         /* where `done` ends; -1: it is empty */
	int link;                       /* the symlink that was followed last; -1: none */
	struct stat root_stat;
	enum beneath_policy policy;
	unsigned symlinks, steps;
	char done[PATH_MAX];
	char rest[PATH_MAX];
};

static int fail(int error)
{
	errno = error;
	return -1;
}

static void walk_end(struct walk *walk)
{
	fd_close(&walk->base);
	fd_close(&walk->at);
	fd_close(&walk->link);
}

static bool is_inside(const struct walk *walk)
{
	return walk->base < 0;
}

/* Where the walk stands. */
static int here(const struct walk *walk)
{
	if (walk->at >= 0)
		return walk->at;
	return walk->base >= 0 ? walk->base : walk->root;
}

/* Takes the first segment off `rest`, which is empty or begins with a slash then; 1, 0 at the end, or -1. */
static int next_segment(struct walk *walk, char segment[NAME_MAX + 1])
{
	const char *from = walk->rest + strspn(walk->rest, "/");
	size_t len = strcspn(from, "/");

	if (len == 0)
		return 0;
	if (len > NAME_MAX)
		return fail(ENAMETOOLONG);
	memcpy(segment, from, len);
	segment[len] = '\0';
	memmove(walk->rest, from + len, strlen(from + len) + 1);
	return 1;
}

/* Opens a path that must have no symlink in it, of segments that are not too long. */
static int open_plain(int root, const char *path, int flags)
{
	int fd AUTO_CLOSE = -1, next;
	char segment[NAME_MAX + 1];
	size_t len;
	bool more;

	if (path[0] == '\0')
		return openat(root, ".", flags);
	for (; *path != '\0'; path += len + (path[len] == '/')) {
		len = strcspn(path, "/");
		memcpy(segment, path, len);
		segment[len] = '\0';
		more = path[len] == '/' && path[len + 1] != '\0';
		next = openat(fd >= 0 ? fd : root, segment,
			      O_NOFOLLOW | (more ? LOOK_FLAGS : flags) |
				      (path[len] == '/' ? O_DIRECTORY : 0));
		if (next < 0)
			return -1;
		fd_close(&fd);
		fd = next;
	}
	return fd_take(&fd);
}

/* Stands at `fd`, which it takes over, outside of the root or at it. */
static int stand_at(struct walk *walk, int fd)
{
	struct stat stat;

	if (fd < 0)
		return -1;
	fd_close(&walk->at);
	fd_close(&walk->base);
	walk->done[0] = '\0';
	if (fstat(fd, &stat) == 0 && stat.st_dev == walk->root_stat.st_dev &&
	    stat.st_ino == walk->root_stat.st_ino)
		fd_close(&fd);
	walk->base = fd;
	return 0;
}

/* "..": above the root, or above where the outside began, there is nothing to take off. */
static int go_up(struct walk *walk)
{
	char *slash = strrchr(walk->done, '/');
	int start = is_inside(walk) ? walk->root : walk->base;

	if (walk->done[0] == '\0')
		return stand_at(walk, openat(start, "..", LOOK_FLAGS | O_DIRECTORY));
	*(slash != NULL ? slash : walk->done) = '\0';
	for (const char *c = walk->done; *c != '\0'; c++)
		walk->steps += *c == '/';
	fd_close(&walk->at);
	if (walk->done[0] == '\0')
		return 0;
	walk->at = open_plain(start, walk->done, LOOK_FLAGS | O_DIRECTORY);
	if (walk->at < 0)               /* it was there a moment ago */
		return fail(errno == ELOOP || errno == ENOTDIR ? EAGAIN : errno);
	return 0;
}

/* `fd`, which it takes over, is `segment` of where the walk stands, a directory. */
static int go_down(struct walk *walk, const char *segment, int fd, const struct stat *stat)
{
	size_t len = strlen(walk->done);
	int added;

	if (!is_inside(walk) && stat->st_dev == walk->root_stat.st_dev &&
	    stat->st_ino == walk->root_stat.st_ino)
		return stand_at(walk, fd);
	fd_close(&walk->at);
	walk->at = fd;
	added = snprintf(walk->done + len, sizeof(walk->done) - len, "%s%s", len > 0 ? "/" : "", segment);
	return added >= 0 && (size_t)added < sizeof(walk->done) - len ? 0 : fail(ENAMETOOLONG);
}

/* Puts the target of the symlink `fd`, which it takes over, in front of what is still to be resolved. */
static int follow(struct walk *walk, int fd)
{
	char rest[PATH_MAX];
	ssize_t len = readlinkat(fd, "", rest, sizeof(rest) - 1);
	size_t more = strlen(walk->rest) + 1;

	fd_close(&walk->link);
	walk->link = fd;
	if (len < 0)
		return -1;
	if (walk->policy == BENEATH_DENY || ++walk->symlinks > MOST_SYMLINKS)
		return fail(ELOOP);
	if ((size_t)len + more > sizeof(rest))
		return fail(ENAMETOOLONG);
	memcpy(rest + len, walk->rest, more);
	memcpy(walk->rest, rest, (size_t)len + more);
	return rest[0] == '/' ? stand_at(walk, open("/", LOOK_FLAGS | O_DIRECTORY)) : 0;
}

/* One segment.  0, -1 with errno, or 1 when it was the last one and is no directory (nor a symlink). */
static int step(struct walk *walk, const char *segment)
{
	int fd AUTO_CLOSE = -1;
	struct stat stat;

	if (++walk->steps > MOST_STEPS)
		return fail(ELOOP);
	if (strcmp(segment, ".") == 0)
		return 0;
	if (strcmp(segment, "..") == 0)
		return go_up(walk);
	fd = openat(here(walk), segment, O_NOFOLLOW | LOOK_FLAGS);
	if (fd < 0 || fstat(fd, &stat) < 0)
		return -1;
	if (S_ISLNK(stat.st_mode))
		return follow(walk, fd_take(&fd));
	if (S_ISDIR(stat.st_mode))
		return go_down(walk, segment, fd_take(&fd), &stat);
	return walk->rest[0] == '\0' ? 1 : fail(ENOTDIR);
}

/* A deployment swaps a symlink and may remove what it led to at once: then what it leads to now counts. */
static bool was_swapped(const struct walk *walk)
{
	struct stat stat;

	return walk->link >= 0 && fstat(walk->link, &stat) == 0 && stat.st_nlink == 0;
}

/* What is outside is nobody's business, nor is whether it exists. */
static int fail_outside(const struct walk *walk)
{
	bool is_ours = errno == ENOMEM || errno == EMFILE || errno == ENFILE || errno == EAGAIN;

	return is_inside(walk) || is_ours ? -1 : fail(EXDEV);
}

/* Resolves every symlink on the way and opens what is at the end. */
static int resolve(struct walk *walk, int flags)
{
	char segment[NAME_MAX + 1];
	int found = 0, more, fd;

	while ((more = next_segment(walk, segment)) > 0) {
		found = step(walk, segment);
		if (found != 0)
			break;
	}
	if (more < 0 || found < 0)
		return fail_outside(walk);
	if (!is_inside(walk))
		return fail(EXDEV);
	fd = openat(here(walk), found > 0 ? segment : ".", O_NOFOLLOW | flags);
	if (fd < 0 && errno == ELOOP)   /* a symlink came in between */
		return fail(EAGAIN);
	return fd;
}

/* Without empty, "." and ".." segments, and none too long: what requests look like (target.h). */
static bool is_plain(const char *path)
{
	for (size_t len; *path != '\0'; path += len + (path[len] == '/')) {
		len = strcspn(path, "/");
		if (len == 0 || len > NAME_MAX ||
		    (path[0] == '.' && (len == 1 || (len == 2 && path[1] == '.'))))
			return false;
	}
	return true;
}

static int walk_symlinks(int root, const char *path, enum beneath_policy policy, int flags)
{
	struct walk walk = { .root = root, .base = -1, .at = -1, .link = -1, .policy = policy };
	int fd;

	if (fstat(root, &walk.root_stat) < 0)
		return -1;
	strcpy(walk.rest, path);        /* its length was checked */
	fd = resolve(&walk, flags);
	if (fd < 0 && errno == ENOENT && was_swapped(&walk))
		errno = EAGAIN;         /* the caller tries again */
	walk_end(&walk);
	return fd;
}

static int walk_once(int root, const char *path, enum beneath_policy policy, int flags)
{
	int fd;

	if (strlen(path) >= PATH_MAX)
		return fail(ENAMETOOLONG);
	if (path[0] == '/')
		return fail(EXDEV);
	/* as if there were no symlink, which is the usual case; O_PATH opens a symlink itself */
	if (is_plain(path) && (flags & O_PATH) == 0) {
		fd = open_plain(root, path, flags);
		if (fd >= 0 || (errno != ELOOP && errno != ENOTDIR))
			return fd;
	}
	return walk_symlinks(root, path, policy, flags);
}

static int walk_tries(int root, const char *path, enum beneath_policy policy, int flags)
{
	int fd = -1;

	for (int tries = 0; tries < TRIES; tries++) {
		fd = walk_once(root, path, policy, flags);
		if (fd >= 0 || errno != EAGAIN)
			return fd;
	}
	return fd;                      /* a tree that never rests, or a lease of another process */
}

int beneath_walk(int root, const char *path, enum beneath_policy policy)
{
	return walk_tries(root, path, policy, OPEN_FLAGS);
}

/* False when the kernel cannot say, or did not look far enough. */
static bool try_openat2(int root, const char *path, enum beneath_policy policy, int flags, int *fd)
{
	struct open_how how = { .flags = (unsigned)flags,
				.resolve = RESOLVE_BENEATH |
					   (policy == BENEATH_DENY ? RESOLVE_NO_SYMLINKS : 0) };
	static atomic_bool is_missing;  /* what the kernel said once holds for the life of the process */

	if (atomic_load_explicit(&is_missing, memory_order_relaxed))
		return false;
	*fd = (int)syscall(SYS_openat2, root, path[0] != '\0' ? path : ".", &how, sizeof(how));
	if (*fd >= 0)
		return true;
	if (errno == ENOSYS)
		atomic_store_explicit(&is_missing, true, memory_order_relaxed);
	/* EPERM: another kind of filter. EAGAIN: somebody, anywhere, renamed a directory while ".." of a
	 * symlink was followed (openat2(2)). */
	return errno != ENOSYS && errno != EPERM && errno != EAGAIN &&
	       (errno != EXDEV || policy == BENEATH_DENY || path[0] == '/');
}

static int open_with(int root, const char *path, enum beneath_policy policy, int flags)
{
	int fd = -1;

	if (policy == BENEATH_ALL)
		return path[0] == '/' ? fail(EXDEV) : openat(root, path[0] != '\0' ? path : ".", flags);
	if (try_openat2(root, path, policy, flags, &fd))
		return fd;
	return walk_tries(root, path, policy, flags);
}

int beneath_open(int root, const char *path, enum beneath_policy policy)
{
	return open_with(root, path, policy, OPEN_FLAGS);
}

bool beneath_stat(int root, const char *path, enum beneath_policy policy, struct stat *stat)
{
	int fd AUTO_CLOSE = open_with(root, path, policy, LOOK_FLAGS);

	return fd >= 0 && fstat(fd, stat) == 0;
}
