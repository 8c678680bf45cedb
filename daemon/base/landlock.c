/* landlock.c - Landlock by its three raw system calls.  Called by workers right after they gave up their
 * rights, and by whoever says what this kernel has.
 *
 * A kernel's version says which rights it knows: what is newer is left out, right by right. The C library has
 * no wrappers, and headers are older than kernels, so the constants stand here (linux/landlock.h). Fails by
 * `err`; a process that could not be confined is unchanged. */
#include "landlock.h"

#include "fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_landlock_create_ruleset     /* the same on every architecture */
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

#define ASK_VERSION 1U                  /* LANDLOCK_CREATE_RULESET_VERSION */
#define RULE_PATH_BENEATH 1             /* LANDLOCK_RULE_PATH_BENEATH */

/* Rights on files: EXECUTE is bit 0, WRITE_FILE 1, then these two; REMOVE_DIR to MAKE_SYM are 4 to 12. */
#define READ_FILE (UINT64_C(1) << 2)
#define READ_DIR (UINT64_C(1) << 3)

/* struct landlock_ruleset_attr; a kernel that does not know its end takes a size without it. */
struct ruleset {
	uint64_t files, net, scoped;
};

/* struct landlock_path_beneath_attr */
struct beneath {
	uint64_t allowed;
	int32_t parent;
} __attribute__((packed));

/* What each version added. */
static const struct {
	unsigned version;
	struct ruleset rights;
} additions[] = {
	{ 1, { .files = 0x1fff } },     /* EXECUTE to MAKE_SYM */
	{ 2, { .files = 1 << 13 } },    /* REFER */
	{ 3, { .files = 1 << 14 } },    /* TRUNCATE */
	{ 4, { .net = 3 } },            /* BIND_TCP, CONNECT_TCP */
	{ 5, { .files = 1 << 15 } },    /* IOCTL_DEV */
	{ 6, { .scoped = 3 } },         /* ABSTRACT_UNIX_SOCKET, SIGNAL */
};

static struct ruleset rights_of(unsigned version)
{
	struct ruleset all = { 0 };

	for (size_t i = 0; i < sizeof(additions) / sizeof(additions[0]); i++) {
		if (additions[i].version > version)
			continue;
		all.files |= additions[i].rights.files;
		all.net |= additions[i].rights.net;
		all.scoped |= additions[i].rights.scoped;
	}
	return all;
}

static size_t bytes_of(unsigned version)
{
	return version >= 6   ? sizeof(struct ruleset)
	       : version >= 4 ? offsetof(struct ruleset, scoped)
			      : offsetof(struct ruleset, net);
}

static int create(const struct ruleset *rights, size_t bytes, unsigned flags)
{
	return (int)syscall(SYS_landlock_create_ruleset, rights, bytes, flags);
}

static bool why_not(int error, struct err *err)
{
	if (error == ENOSYS)
		return err_set(err, "the kernel has no Landlock");
	if (error == EOPNOTSUPP)
		return err_set(err, "the kernel's Landlock is switched off");
	if (error == EPERM)
		return err_set(err, "Landlock may not be used here");
	return err_sys(err, error, "landlock_create_ruleset");
}

unsigned landlock_version(struct err *err)
{
	int version = create(NULL, 0, ASK_VERSION);

	if (version > 0)
		return (unsigned)version;
	why_not(version == 0 ? ENOSYS : errno, err);
	return 0;
}

/* What a rule may name on a file is less than on a directory (EINVAL). */
static bool allow(int ruleset, const char *path, struct err *err)
{
	int fd AUTO_CLOSE = open(path, O_PATH | O_CLOEXEC);
	struct beneath rule = { .allowed = READ_FILE | READ_DIR, .parent = fd };
	struct stat info;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == EACCES || errno == ELOOP))
		return true;            /* out of reach in any case */
	if (fd < 0)
		return err_sys(err, errno, "open %s", path);
	if (fstat(fd, &info) < 0)
		return err_sys(err, errno, "fstat %s", path);
	if (!S_ISDIR(info.st_mode))
		rule.allowed = READ_FILE;
	return syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0) == 0 ||
	       err_sys(err, errno, "landlock_add_rule %s", path);
}

bool landlock_confine(const char *const *paths, unsigned count, struct err *err)
{
	unsigned version = landlock_version(err);
	struct ruleset rights = rights_of(version);
	int ruleset AUTO_CLOSE = -1;

	if (version == 0)
		return false;
	ruleset = create(&rights, bytes_of(version), 0);
	if (ruleset < 0)
		return why_not(errno, err);
	for (unsigned i = 0; i < count; i++)
		if (!allow(ruleset, paths[i], err))
			return false;
	if (LANDLOCK_LEAVES_PROC && !allow(ruleset, "/proc", err))
		return false;
	return syscall(SYS_landlock_restrict_self, ruleset, 0) == 0 ||
	       err_sys(err, errno, "landlock_restrict_self");
}

bool landlock_refuses(const char *path)
{
	int fd AUTO_CLOSE = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	return fd < 0 && errno == EACCES && faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == 0;
}
