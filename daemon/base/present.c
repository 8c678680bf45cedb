/* present.c - whether a file's bytes are in memory.
 *
 * Called by whoever sends files from a loop, and by its helper's threads. Where nobody knows, the answer is
 * that they are not, which costs a way through the helper. Two small tables, for all of a process: of
 * devices, and of windows of files that were seen in memory lately; what has no place in them is looked at
 * again. */
#include "present.h"

#include "hash.h"

#include <errno.h>
#include <linux/magic.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

enum {
	WINDOWS = 4096,
	DEVICES = 16,
	STRIDE_BYTES = 64 * 1024,       /* within a window one page in so much is looked at */
	SCRATCH_BYTES = 32 * 1024,      /* on the stack of a helper thread */
};

/* A number may be another file system's after an umount. */
#define DEVICE_NS (60 * CLOCK_S)

/* ---- devices ------------------------------------------------------------------------------------------- */

static struct device {
	dev_t device;
	enum place place;
	uint64_t until_ns;
} devices[DEVICES];

/* Its own place, or the one that was not noted for the longest time. */
static struct device *device_slot(dev_t device)
{
	struct device *oldest = &devices[0];

	for (unsigned i = 0; i < DEVICES; i++) {
		if (devices[i].device == device)
			return &devices[i];
		if (devices[i].until_ns < oldest->until_ns)
			oldest = &devices[i];
	}
	return oldest;
}

enum place present_place(dev_t device, uint64_t now_ns)
{
	const struct device *slot = device_slot(device);

	return slot->device == device && now_ns < slot->until_ns ? slot->place : PLACE_UNKNOWN;
}

static void note(dev_t device, enum place place, uint64_t now_ns)
{
	*device_slot(device) = (struct device){ device, place, now_ns + DEVICE_NS };
}

/* What the kernel answered when it was asked goes before what it should. */
void present_note(dev_t device, enum place place, uint64_t now_ns)
{
	if (place == PLACE_FAR || (place != PLACE_UNKNOWN && present_place(device, now_ns) == PLACE_UNKNOWN))
		note(device, place, now_ns);
}

/* Of statfs(2). What is not listed may be far. */
static const struct {
	unsigned long magic;
	enum place place;
} kinds[] = {
	{ TMPFS_MAGIC, PLACE_MEMORY },
	{ RAMFS_MAGIC, PLACE_MEMORY },
	{ HUGETLBFS_MAGIC, PLACE_MEMORY },
	{ SYSFS_MAGIC, PLACE_MEMORY },
	{ PROC_SUPER_MAGIC, PLACE_MEMORY },
	{ OVERLAYFS_SUPER_MAGIC, PLACE_BLIND },
	{ SQUASHFS_MAGIC, PLACE_BLIND },
	{ EROFS_SUPER_MAGIC_V1, PLACE_BLIND },
	{ EXT4_SUPER_MAGIC, PLACE_TOLD },
	{ XFS_SUPER_MAGIC, PLACE_TOLD },
	{ BTRFS_SUPER_MAGIC, PLACE_TOLD },
	{ F2FS_SUPER_MAGIC, PLACE_BLIND },
	{ ISOFS_SUPER_MAGIC, PLACE_BLIND },
	{ UDF_SUPER_MAGIC, PLACE_BLIND },
	{ MSDOS_SUPER_MAGIC, PLACE_BLIND },
	{ EXFAT_SUPER_MAGIC, PLACE_BLIND },
	{ REISERFS_SUPER_MAGIC, PLACE_BLIND },
	{ NILFS_SUPER_MAGIC, PLACE_BLIND },
	{ 0x2fc12fc1, PLACE_BLIND },            /* zfs */
	{ 0x5346544e, PLACE_BLIND },            /* ntfs */
	{ 0x3153464a, PLACE_BLIND },            /* jfs */
	{ 0xca451a4e, PLACE_BLIND },            /* bcachefs */
};

enum place present_look(int fd)
{
	struct statfs look;

	if (fstatfs(fd, &look) < 0)
		return PLACE_UNKNOWN;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].magic == (unsigned long)look.f_type)
			return kinds[i].place;
	return PLACE_FAR;
}

/* ---- windows ------------------------------------------------------------------------------------------- */

static struct window {
	uint64_t key, until_ns;
} windows[WINDOWS];

static uint64_t key_of(const struct stat *stat, off_t at)
{
	uint64_t window = (uint64_t)at / PRESENT_WINDOW_BYTES;

	return hash_u64(hash_u64(hash_u64(stat->st_dev) ^ stat->st_ino) ^ window);
}

static bool is_trusted(const struct stat *stat, off_t at, uint64_t now_ns)
{
	uint64_t key = key_of(stat, at);
	const struct window *slot = &windows[key % WINDOWS];

	return slot->key == key && now_ns < slot->until_ns;
}

static void trust(const struct stat *stat, off_t at, uint64_t now_ns)
{
	uint64_t key = key_of(stat, at);

	windows[key % WINDOWS] = (struct window){ key, now_ns + PRESENT_TRUST_NS };
}

off_t present_window_end(off_t at)
{
	return at - at % PRESENT_WINDOW_BYTES + PRESENT_WINDOW_BYTES;
}

void present_fetched(const struct stat *stat, off_t at, size_t len, uint64_t now_ns)
{
	off_t end = at + (off_t)len;

	for (; at < end; at = present_window_end(at))
		if (at % PRESENT_WINDOW_BYTES == 0)     /* else nobody has seen its beginning */
			trust(stat, at, now_ns);
}

/* ---- looking ------------------------------------------------------------------------------------------- */

static ssize_t read_now(int fd, void *bytes, size_t len, off_t at)
{
	struct iovec part = { bytes, len };
	ssize_t got;

	do
		got = preadv2(fd, &part, 1, at, RWF_NOWAIT);
	while (got < 0 && errno == EINTR);
	return got;
}

/* The kernel does not tell: here, or of this file. */
static bool is_blind(int error)
{
	return error == EOPNOTSUPP || error == ENOSYS;
}

/* Nobody knows what the kernel says of a device before it was asked. */
static ssize_t ask(int fd, dev_t device, void *bytes, size_t len, off_t at, uint64_t now_ns)
{
	enum place place = present_place(device, now_ns);
	ssize_t got = -1;

	if (place == PLACE_MEMORY)
		return pread(fd, bytes, len, at);
	errno = EAGAIN;
	if (place == PLACE_BLIND || place == PLACE_FAR)
		return -1;
	got = read_now(fd, bytes, len, at);
	if (place == PLACE_TOLD && got < 0 && is_blind(errno))
		note(device, PLACE_BLIND, now_ns);
	if (place == PLACE_UNKNOWN && (got >= 0 || errno == EAGAIN))
		note(device, PLACE_TOLD, now_ns);
	if (got < 0 && is_blind(errno))
		errno = EAGAIN;
	return got;
}

static bool is_there(int fd, const struct stat *stat, off_t at, uint64_t now_ns)
{
	char byte;

	return ask(fd, stat->st_dev, &byte, 1, at, now_ns) >= 0 || errno != EAGAIN;
}

/* A window, whole but for what is behind the file's end. */
static bool is_window_there(int fd, const struct stat *stat, off_t at, uint64_t now_ns)
{
	off_t end = present_window_end(at), from = end - PRESENT_WINDOW_BYTES;

	if (end > stat->st_size)
		end = stat->st_size;
	for (off_t look = from; look < end; look += STRIDE_BYTES)
		if (!is_there(fd, stat, look, now_ns))
			return false;
	return end <= from || is_there(fd, stat, end - 1, now_ns);
}

size_t present_ahead(int fd, const struct stat *stat, off_t at, size_t len, uint64_t now_ns)
{
	off_t from = at, end = at + (off_t)len;

	if (present_place(stat->st_dev, now_ns) == PLACE_MEMORY)
		return len;
	while (at < end) {
		if (!is_trusted(stat, at, now_ns)) {
			if (!is_window_there(fd, stat, at, now_ns))
				break;
			trust(stat, at, now_ns);
		}
		at = present_window_end(at);
	}
	return (size_t)((at < end ? at : end) - from);
}

ssize_t present_read(int fd, const struct stat *stat, void *bytes, size_t len, off_t at, uint64_t now_ns)
{
	ssize_t got = ask(fd, stat->st_dev, bytes, len, at, now_ns);

	if (got >= 0 || errno != EAGAIN || !is_trusted(stat, at, now_ns) ||
	    present_place(stat->st_dev, now_ns) == PLACE_FAR)
		return got;
	if ((off_t)len > present_window_end(at) - at)
		len = (size_t)(present_window_end(at) - at);
	return pread(fd, bytes, len, at);
}

/* ---- bringing ------------------------------------------------------------------------------------------ */

ssize_t present_fetch(int fd, off_t at, size_t len)
{
	char scratch[SCRATCH_BYTES];
	ssize_t got = 1;
	size_t done = 0;

	while (done < len && got > 0) {
		got = pread(fd, scratch, len - done < sizeof(scratch) ? len - done : sizeof(scratch),
			    at + (off_t)done);
		if (got > 0)
			done += (size_t)got;
	}
	return done > 0 || got == 0 ? (ssize_t)done : got;
}
