/* beneath.c - opening below a root, with openat2(2) or without. Called by the files service; fails with
 * errno.
 *
 * systemd's RestrictSUIDSGID, which DynamicUser implies, answers openat2 with ENOSYS: its flags lie behind a
 * pointer that a seccomp filter cannot follow. The walk opens each directory with O_NOFOLLOW, so that no
 * segment can be swapped for a symlink unseen; a symlink's target is put in its place and the walk begins
 * anew from the root. */
#include "beneath.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

enum {
	OPEN_FLAGS = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,      /* a FIFO would wait for its writer */
	MOST_SYMLINKS = 40,             /* as the kernel (path_resolution(7)) */
	TRIES = 8,
};

/* A walk under way: what is resolved (no symlink in it), and what is still to be. */
struct walk {
	char done[PATH_MAX];
	char rest[PATH_MAX];
};

static int fail(int error)
{
	errno = error;
	return -1;
}

/* Takes the first segment off `rest`; false at the end. */
static bool next_segment(struct walk *walk, char segment[NAME_MAX + 1], int *error)
{
	const char *at = walk->rest + strspn(walk->rest, "/");
	size_t len = strcspn(at, "/");

	if (len == 0)
		return false;
	if (len > NAME_MAX) {
		*error = ENAMETOOLONG;
		return false;
	}
	memcpy(segment, at, len);
	segment[len] = '\0';
	memmove(walk->rest, at + len, strlen(at + len) + 1);
	return true;
}

/* `done` without its last segment; false above the root. */
static bool go_up(struct walk *walk)
{
	char *slash = strrchr(walk->done, '/');

	if (walk->done[0] == '\0')
		return false;
	*(slash != NULL ? slash : walk->done) = '\0';
	return true;
}

static bool go_down(struct walk *walk, const char *segment)
{
	size_t len = strlen(walk->done);
	int added = snprintf(walk->done + len, sizeof(walk->done) - len, "%s%s", len > 0 ? "/" : "", segment);

	return added >= 0 && (size_t)added < sizeof(walk->done) - len;
}

/* Puts a symlink's target in front of what is still to be resolved. */
static int follow(struct walk *walk, const char *target)
{
	char rest[PATH_MAX];
	int len;

	if (target[0] == '/')
		return fail(EXDEV);
	len = snprintf(rest, sizeof(rest), "%s/%s", target, walk->rest + strspn(walk->rest, "/"));
	if (len < 0 || (size_t)len >= sizeof(rest))
		return fail(ENAMETOOLONG);
	memcpy(walk->rest, rest, (size_t)len + 1);
	return 0;
}

/* Opens a path that must have no symlink in it. */
static int open_plain(int root, const char *path, int flags)
{
	int fd AUTO_CLOSE = -1, next;
	char segment[NAME_MAX + 1];
	size_t len;

	if (path[0] == '\0')
		return openat(root, ".", flags);
	for (; *path != '\0'; path += len + (path[len] == '/')) {
		len = strcspn(path, "/");
		memcpy(segment, path, len);     /* next_segment saw to its length */
		segment[len] = '\0';
		next = openat(fd >= 0 ? fd : root, segment, O_NOFOLLOW |
			      (path[len] == '/' ? O_PATH | O_DIRECTORY | O_CLOEXEC : flags));
		if (next < 0)
			return -1;
		fd_close(&fd);
		fd = next;
	}
	return fd_take(&fd);
}

/* The target of the symlink at `path`; 0, or -1 with errno (EINVAL: it is no symlink). */
static int read_link(int root, const char *path, char target[PATH_MAX])
{
	int fd AUTO_CLOSE = open_plain(root, path, O_PATH | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : readlinkat(fd, "", target, PATH_MAX - 1);

	if (fd < 0)
		return -1;
	if (len < 0)
		return fail(errno == ENOENT ? EINVAL
					    : errno); /* an empty path on something that is no symlink */
	target[len] = '\0';
	return 0;
}

/* Resolves every symlink on the way; -1 with errno, 0 when `walk->done` is the file. */
static int resolve(int root, struct walk *walk)
{
	char segment[NAME_MAX + 1], target[PATH_MAX];
	unsigned symlinks = 0;
	int error = 0;

	while (next_segment(walk, segment, &error)) {
		if (strcmp(segment, ".") == 0)
			continue;
		if (strcmp(segment, "..") == 0) {
			if (!go_up(walk))
				return fail(EXDEV);
			continue;
		}
		if (!go_down(walk, segment))
			return fail(ENAMETOOLONG);
		if (read_link(root, walk->done, target) < 0) {
			if (errno != EINVAL)
				return -1;
			continue;
		}
		if (++symlinks > MOST_SYMLINKS)
			return fail(ELOOP);
		go_up(walk);
		if (follow(walk, target) < 0)
			return -1;
	}
	return error == 0 ? 0 : fail(error);
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

int beneath_walk(int root, const char *path)
{
	struct walk walk = { "", "" };
	bool directory = path[0] != '\0' && path[strlen(path) - 1] == '/';
	int fd;

	if (strlen(path) >= sizeof(walk.rest))
		return fail(ENAMETOOLONG);
	if (path[0] == '/')
		return fail(EXDEV);
	if (is_plain(path)) {           /* as if there were no symlink, which is the usual case */
		fd = open_plain(root, path, OPEN_FLAGS);
		if (fd >= 0 || (errno != ELOOP && errno != ENOTDIR))
			return fd;
	}
	strcpy(walk.rest, path);        /* its length was just checked */
	if (resolve(root, &walk) < 0)
		return -1;
	fd = open_plain(root, walk.done, OPEN_FLAGS | (directory ? O_DIRECTORY : 0));
	return fd < 0 && errno == ELOOP ? fail(EAGAIN)
					: fd; /* a symlink came in between: the caller tries again */
}

int beneath_open(int root, const char *path)
{
	struct open_how how = { .flags = OPEN_FLAGS, .resolve = RESOLVE_BENEATH };
	static bool is_missing;         /* what the kernel said once holds for the life of the process */
	int fd = -1;

	for (int tries = 0; tries < TRIES; tries++) {
		if (!is_missing)
			fd = (int)syscall(SYS_openat2, root, path[0] != '\0' ? path : ".", &how, sizeof(how));
		is_missing |= fd < 0 && errno == ENOSYS;
		if (is_missing)
			fd = beneath_walk(root, path);
		/* EAGAIN: somebody renamed a directory while ".." of a symlink was followed (openat2(2)) */
		if (fd >= 0 || errno != EAGAIN)
			return fd;
	}
	return fd;
}
