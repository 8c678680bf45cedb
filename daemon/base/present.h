/* What of a file can be had without waiting: whether its next bytes are in memory, as far as anybody can say.
 *
 * A loop asks before it reads or sends from a file, and has a helper thread bring what is not there
 * (base/offload.h).  Who can say depends on where the file is:
 *
 *	TOLD	the kernel tells, RWF_NOWAIT (preadv2(2)): ext4, xfs, btrfs
 *	MEMORY	it has no disk: tmpfs
 *	BLIND	local, but the kernel does not tell: overlayfs, squashfs; what was not read lately is not
 *	FAR	a network or another process is asked, even for what is in memory, or for a name, or at
 *		close(2): NFS, FUSE; nothing of it is for the loop
 *
 * What was found in memory is trusted to stay for PRESENT_TRUST_NS: it was used just now, so the kernel drops
 * others before.  All functions but present_look and present_fetch belong to one thread, and neither block
 * nor allocate. */
#ifndef BASE_PRESENT_H
#define BASE_PRESENT_H

#include "clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#define PRESENT_TRUST_NS (4 * CLOCK_S)

enum { PRESENT_WINDOW_BYTES = 128 * 1024 };     /* is looked at, and brought, as a whole */

enum place { PLACE_UNKNOWN, PLACE_MEMORY, PLACE_TOLD, PLACE_BLIND, PLACE_FAR };

/* Where the files of this device are, as far as that was noted in the last minute. */
enum place present_place(dev_t device, uint64_t now_ns);

/* May block, as statfs(2) of a network does: for a helper thread. PLACE_UNKNOWN when nobody can say. */
enum place present_look(int fd);

/* What present_look said of a file of that device. */
void present_note(dev_t device, enum place place, uint64_t now_ns);

/* How many of the bytes from `at`, `len` at most, can be had now. 0: not the first one; let a helper thread
 * fetch it. `stat` is the file's: its device and its number count, and its size. */
size_t present_ahead(int fd, const struct stat *stat, off_t at, size_t len, uint64_t now_ns);

/* Reads what can be had now. Like pread(2), but -1 with EAGAIN where the disk would have to be waited
 * for. */
ssize_t present_read(int fd, const struct stat *stat, void *bytes, size_t len, off_t at, uint64_t now_ns);

/* The end of the window that `at` is in: what a helper thread brings. */
off_t present_window_end(off_t at);

/* Brings the bytes of a file into memory: blocks, for a helper thread. How many were there, or -1 with
 * errno. */
ssize_t present_fetch(int fd, off_t at, size_t len);

/* They were fetched just now. */
void present_fetched(const struct stat *stat, off_t at, size_t len, uint64_t now_ns);

#endif
