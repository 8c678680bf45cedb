/* attempt_files.c - ways to files that are not served, and to changing those that are.  Called by
 * escape.c. */
#include "aids/attempt.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { PATH_BYTES = 512, PATHS = 4, CROSSINGS = 100 };

#define UPWARDS "../../../../../../../../../../../.."
#define SWAP_DEADLINE_NS (20 * CLOCK_S)

const char *attempt_path(const char *directory, const char *name)
{
	static char paths[PATHS][PATH_BYTES];
	static unsigned next;
	char *path = paths[next++ % PATHS];

	snprintf(path, PATH_BYTES, "%s/%s", directory, name);
	return path;
}

static long close_it(long fd)
{
	if (fd >= 0)
		close((int)fd);
	return fd;
}

static long read_one(int fd)
{
	char byte;
	long result = fd < 0 ? -1 : read(fd, &byte, 1);
	int error = errno;

	close_it(fd);
	errno = error;
	return result;
}

static long read_file(const char *path)
{
	return read_one(open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
}

/* ---- reading ---- */

static long passwd(const struct target *target)
{
	(void)target;
	return read_file("/etc/passwd");
}

static long shadow(const struct target *target)
{
	(void)target;
	return read_file("/etc/shadow");
}

static long list_etc(const struct target *target)
{
	(void)target;
	return close_it(open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static long secret(const struct target *target)
{
	return read_file(attempt_path(target->outside, "secret"));
}

static long upwards(const struct target *target)
{
	return read_file(attempt_path(target->root, UPWARDS "/etc/passwd"));
}

/* The test has put it there: it leads to outside/secret. */
static long symlink_out(const struct target *target)
{
	return read_file(attempt_path(target->root, "out"));
}

/* The test swaps it all the time, between index.html and outside/secret. */
static long symlink_swapped(const struct target *target)
{
	uint64_t end_ns = clock_now_ns() + SWAP_DEADLINE_NS;
	unsigned inside = 0, refused = 0;
	char byte = '\0';

	while (inside < CROSSINGS || refused < CROSSINGS) {
		int fd = open(attempt_path(target->root, "swap"), O_RDONLY | O_CLOEXEC);

		if (fd < 0 && errno != EACCES)
			return -1;
		refused += fd < 0;
		inside += fd >= 0 && read(fd, &byte, 1) == 1;
		close_it(fd);
		if (byte == 'S')
			return 0;
		if (clock_now_ns() > end_ns)
			return errno = ETIME, -1;
	}
	return errno = EACCES, -1;
}

static long proc_root(const struct target *target)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "/proc/self/root%s/secret", target->outside);
	return read_file(path);
}

static long proc_cwd(const struct target *target)
{
	(void)target;
	return read_file("/proc/self/cwd/" UPWARDS "/etc/passwd");
}

static long by_own_descriptor(const struct target *target, int flags, const char *rest)
{
	int fd = open(target->root, flags | O_DIRECTORY | O_CLOEXEC);
	char path[PATH_BYTES];
	long result;

	if (fd < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", fd, rest);
	result = read_file(path);
	close_it(fd);
	return result;
}

static long proc_fd_upwards(const struct target *target)
{
	return by_own_descriptor(target, O_RDONLY, UPWARDS "/etc/passwd");
}

static long proc_fd_path(const struct target *target)
{
	return by_own_descriptor(target, O_PATH, UPWARDS "/etc/passwd");
}

/* What names a file is not what reads it: it is opened again by its name in /proc. */
static long path_reopened(const struct target *target)
{
	int fd = open(attempt_path(target->outside, "secret"), O_PATH | O_CLOEXEC);
	char path[PATH_BYTES];
	long result;

	if (fd < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	result = read_file(path);
	close_it(fd);
	return result;
}

static long from_path_directory(const struct target *target)
{
	int fd = open(target->outside, O_PATH | O_DIRECTORY | O_CLOEXEC);
	long result = fd < 0 ? -1 : read_one(openat(fd, "secret", O_RDONLY | O_CLOEXEC));

	close_it(fd);
	return result;
}

static long resolve(const struct target *target, const char *name, uint64_t flags)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC, .resolve = flags };
	int root = open(target->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	long result =
		root < 0 ? -1 : read_one((int)syscall(SYS_openat2, root, name, &how, sizeof(how)));

	close_it(root);
	return result;
}

static long openat2_plain(const struct target *target)
{
	return resolve(target, UPWARDS "/etc/passwd", 0);
}

static long openat2_link(const struct target *target)
{
	return resolve(target, "out", 0);
}

static long openat2_beneath(const struct target *target)
{
	return resolve(target, UPWARDS "/etc/passwd", RESOLVE_BENEATH);
}

static long openat2_no_links(const struct target *target)
{
	return resolve(target, "out", RESOLVE_NO_SYMLINKS);
}

static long own_program(const struct target *target)
{
	(void)target;
	return read_file("/proc/self/exe");
}

static long by_handle(const struct target *target)
{
	char room[sizeof(struct file_handle) + MAX_HANDLE_SZ] __attribute__((aligned(8))) = { 0 };
	struct file_handle *handle = (struct file_handle *)room;
	int mount, fd;

	handle->handle_bytes = MAX_HANDLE_SZ;
	if (name_to_handle_at(AT_FDCWD, target->root, handle, &mount, 0) < 0 && errno == EPERM)
		return -1;              /* a file system without handles: the next call decides */
	fd = open(target->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	mount = open_by_handle_at(fd, handle, O_RDONLY | O_CLOEXEC);
	close_it(fd);
	return close_it(mount);
}

static long device_zero(const struct target *target)
{
	(void)target;
	return read_file("/dev/zero");
}

static long device_null(const struct target *target)
{
	(void)target;
	return close_it(open("/dev/null", O_WRONLY | O_CLOEXEC));
}

static long device_terminal(const struct target *target)
{
	(void)target;
	return close_it(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
}

static long settings_of_kernel(const struct target *target)
{
	(void)target;
	return read_file("/proc/sys/kernel/osrelease");
}

static long sysfs(const struct target *target)
{
	(void)target;
	return close_it(open("/sys", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

/* ---- what a path says of itself: no layer but the calls' own ---- */

static long look_outside(const struct target *target)
{
	struct stat info;

	return stat(attempt_path(target->outside, "secret"), &info);
}

static long watch_outside(const struct target *target)
{
	int fd = inotify_init1(IN_CLOEXEC);
	long result = fd < 0 ? -1 : inotify_add_watch(fd, target->outside, IN_CREATE);
	int error = errno;

	close_it(fd);
	errno = error;
	return result;
}

static long change_directory(const struct target *target)
{
	return chdir(target->outside);
}

/* ---- writing: where anybody may, and the worker's user owns the files ---- */

static long create_in(const char *directory)
{
	const char *path = attempt_path(directory, ATTEMPT_NEW);
	long fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd >= 0)
		unlink(path);
	return close_it(fd);
}

static long create_inside(const struct target *target)
{
	return create_in(target->root);
}

static long create_outside(const struct target *target)
{
	return create_in(target->outside);
}

static long create_in_memory(const struct target *target)
{
	(void)target;
	return create_in("/dev/shm");
}

static long create_nameless(const struct target *target)
{
	return close_it(open(target->root, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
}

static long write_inside(const struct target *target)
{
	return close_it(open(attempt_path(target->root, "mine"), O_WRONLY | O_CLOEXEC));
}

static long write_outside(const struct target *target)
{
	return close_it(open(attempt_path(target->outside, "mine"), O_RDWR | O_CLOEXEC));
}

static long empty_by_opening(const struct target *target)
{
	return close_it(open(attempt_path(target->root, "mine"), O_RDONLY | O_TRUNC | O_CLOEXEC));
}

static long cut(const struct target *target)
{
	return truncate(attempt_path(target->root, "mine"), 0);
}

static long rename_inside(const struct target *target)
{
	const char *from = attempt_path(target->root, "mine"), *to = attempt_path(target->root, "other");
	long result = rename(from, to);

	if (result == 0)
		rename(to, from);
	return result;
}

static long remove_inside(const struct target *target)
{
	return unlink(attempt_path(target->root, "doomed"));
}

static long make_directory(const struct target *target)
{
	const char *path = attempt_path(target->root, ATTEMPT_NEW);
	long result = mkdir(path, 0700);

	if (result == 0)
		rmdir(path);
	return result;
}

static long make_pipe(const struct target *target)
{
	const char *path = attempt_path(target->root, ATTEMPT_NEW);
	long result = mkfifo(path, 0600);

	if (result == 0)
		unlink(path);
	return result;
}

static long make_symlink(const struct target *target)
{
	const char *path = attempt_path(target->root, ATTEMPT_NEW);
	long result = symlink("/etc/passwd", path);

	if (result == 0)
		unlink(path);
	return result;
}

static long make_link(const struct target *target)
{
	const char *path = attempt_path(target->root, ATTEMPT_NEW);
	long result = link(attempt_path(target->outside, "mine"), path);

	if (result == 0)
		unlink(path);
	return result;
}

static long change_mode(const struct target *target)
{
	return chmod(attempt_path(target->root, "mine"), 0644);
}

static long change_owner(const struct target *target)
{
	return chown(attempt_path(target->root, "mine"), geteuid(), (gid_t)-1);
}

static long change_times(const struct target *target)
{
	return utimensat(AT_FDCWD, attempt_path(target->root, "mine"), NULL, 0);
}

static long change_attributes(const struct target *target)
{
	return setxattr(attempt_path(target->root, "mine"), "user.drover", "1", 1, 0) < 0 && errno != ENOTSUP
		       ? -1
		       : 0;
}

const struct attempt attempts_on_files[] = {
	{ "read_passwd", BY_LANDLOCK, passwd },
	{ "read_shadow", BY_FILES | BY_LANDLOCK, shadow },
	{ "list_etc", BY_LANDLOCK, list_etc },
	{ "read_outside", BY_LANDLOCK, secret },
	{ "read_upwards", BY_LANDLOCK, upwards },
	{ "read_by_symlink", BY_LANDLOCK, symlink_out },
	{ "read_by_swapped_symlink", BY_LANDLOCK, symlink_swapped },
	{ "read_by_proc_root", BY_LANDLOCK, proc_root },
	{ "read_by_proc_cwd", BY_LANDLOCK, proc_cwd },
	{ "read_by_proc_fd", BY_LANDLOCK, proc_fd_upwards },
	{ "read_by_proc_fd_of_path", BY_LANDLOCK, proc_fd_path },
	{ "reopen_path", BY_LANDLOCK, path_reopened },
	{ "read_from_path", BY_LANDLOCK, from_path_directory },
	{ "openat2_upwards", BY_LANDLOCK, openat2_plain },
	{ "openat2_symlink", BY_LANDLOCK, openat2_link },
	{ "openat2_beneath", BY_KERNEL, openat2_beneath },
	{ "openat2_no_symlinks", BY_KERNEL, openat2_no_links },
	{ "read_own_program", BY_LANDLOCK, own_program },
	{ "open_by_handle", BY_CAPS | BY_SECCOMP, by_handle },
	{ "read_zero", BY_LANDLOCK, device_zero },
	{ "write_null", BY_LANDLOCK, device_null },
	{ "open_terminal", BY_LANDLOCK, device_terminal },
	{ "read_sysctl", BY_LANDLOCK, settings_of_kernel },
	{ "list_sys", BY_LANDLOCK, sysfs },
	{ "stat_outside", 0, look_outside },
	{ "inotify_outside", BY_SECCOMP, watch_outside },
	{ "chdir", BY_SECCOMP | IN_CHILD, change_directory },
	{ "create_inside", BY_LANDLOCK, create_inside },
	{ "create_outside", BY_LANDLOCK, create_outside },
	{ "create_in_memory", BY_LANDLOCK, create_in_memory },
	{ "create_nameless", BY_LANDLOCK, create_nameless },
	{ "write_inside", BY_LANDLOCK, write_inside },
	{ "write_outside", BY_LANDLOCK, write_outside },
	{ "empty_by_opening", BY_LANDLOCK, empty_by_opening },
	{ "truncate", BY_LANDLOCK | BY_SECCOMP, cut },
	{ "rename", BY_LANDLOCK | BY_SECCOMP, rename_inside },
	{ "unlink", BY_LANDLOCK | BY_SECCOMP, remove_inside },
	{ "mkdir", BY_LANDLOCK | BY_SECCOMP, make_directory },
	{ "mkfifo", BY_LANDLOCK | BY_SECCOMP, make_pipe },
	{ "symlink", BY_LANDLOCK | BY_SECCOMP, make_symlink },
	{ "link", BY_LANDLOCK | BY_SECCOMP, make_link },
	{ "chmod", BY_SECCOMP, change_mode },
	{ "chown", BY_SECCOMP, change_owner },
	{ "utimensat", BY_SECCOMP, change_times },
	{ "setxattr", BY_SECCOMP, change_attributes },
	{ 0 },
};
