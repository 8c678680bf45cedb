/* File descriptors: closing them on every path, and the few wrappers that several parts share. */
#ifndef BASE_FD_H
#define BASE_FD_H

#include "err.h"

#include <stddef.h>
#include <unistd.h>

/* Closes `*fd` if it is open (>= 0) and sets it to -1.  Keeps errno. */
void fd_close(int *fd);

/* A local `int fd AUTO_CLOSE = -1;` is closed when its block ends, unless it was taken. */
#define AUTO_CLOSE __attribute__((cleanup(fd_close)))

/* Returns `*fd` and leaves -1 behind: the caller owns it now. */
static inline int fd_take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* A growing array of descriptors that it owns. */
struct fd_array {
	int *at;
	unsigned count, room;
};

/* Closes all and gives the memory back; the array is empty and usable. */
void fd_array_close(struct fd_array *fds);

#define AUTO_CLOSE_ALL __attribute__((cleanup(fd_array_close)))

/* Takes `fd` over; on false (out of memory) `fd` was closed. */
bool fd_array_push(struct fd_array *fds, int fd);

/* Closes every descriptor of the process except `keep[0..count-1]`, which is sorted here, ascending. */
void fd_close_others(int *keep, size_t count);

/* Makes every descriptor above stderr close-on-exec again, as all are unless an upgrade passes them on. */
void fd_cloexec_all(void);

/* Writes all of `len` bytes, whatever it takes; for regular files, memfds and pipes that a parent reads.
 * Returns false with errno set. */
bool fd_write_all(int fd, const void *bytes, size_t len);

/* Reads the whole of a file from its start, at most `limit` bytes, into a terminated buffer that the caller
 * frees.  NULL on failure (`err` says why), also when the file is longer than `limit`. */
char *fd_read_all(int fd, size_t limit, size_t *len, struct err *err);

/* A memfd of so many zero bytes, for processes to share; -1 with errno. */
int fd_memory(const char *name, size_t bytes);

/* A memfd with this content, sealed against every change (memfd_create(2), F_ADD_SEALS); -1 on failure. */
int fd_sealed(const char *name, const char *bytes, size_t len, struct err *err);

/* Does it not block (O_NONBLOCK)?  A worker may not change that: flags are those of all who hold it. */
bool fd_is_unblocked(int fd);

/* Seals a memfd against every change; false with errno. */
bool fd_seal(int fd);

/* True when nobody can change what `fd` (a memfd) holds. */
bool fd_is_sealed(int fd);

#endif
