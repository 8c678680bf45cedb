/* fd.c - descriptors.  Called from everywhere on the cold path; failures come back as false, -1 or NULL. */
#include "fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

void fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);     /* close(2): the descriptor is gone even on EINTR */
	*fd = -1;
	errno = saved;
}

void fd_array_close(struct fd_array *fds)
{
	for (unsigned i = 0; i < fds->count; i++)
		fd_close(&fds->at[i]);
	free(fds->at);
	*fds = (struct fd_array){ 0 };
}

bool fd_array_push(struct fd_array *fds, int fd)
{
	if (fds->count == fds->room) {
		unsigned room = fds->room == 0 ? 8 : fds->room * 2;
		int *grown = reallocarray(fds->at, room, sizeof(*grown));

		if (grown == NULL) {
			fd_close(&fd);
			return false;
		}
		fds->at = grown;
		fds->room = room;
	}
	fds->at[fds->count++] = fd;
	return true;
}

static int ascending(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

void fd_close_others(int *keep, size_t count)
{
	unsigned from = 0;

	qsort(keep, count, sizeof(*keep), ascending);
	for (size_t i = 0; i < count; i++) {
		if ((unsigned)keep[i] > from)
			close_range(from, (unsigned)keep[i] - 1, 0);
		from = (unsigned)keep[i] + 1;
	}
	close_range(from, ~0U, 0);
}

void fd_cloexec_all(void)
{
	close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
}

bool fd_write_all(int fd, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

char *fd_read_all(int fd, size_t limit, size_t *len, struct err *err)
{
	struct stat info;
	char *text;
	size_t have = 0;

	if (fstat(fd, &info) < 0)
		return err_sys(err, errno, "fstat"), NULL;
	if (info.st_size < 0 || (size_t)info.st_size > limit)
		return err_set(err, "longer than %zu bytes", limit), NULL;
	text = malloc((size_t)info.st_size + 1);
	if (text == NULL)
		return err_sys(err, ENOMEM, "read"), NULL;
	while (have < (size_t)info.st_size) {
		ssize_t n = pread(fd, text + have, (size_t)info.st_size - have, (off_t)have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err_sys(err, errno, "read");
			free(text);
			return NULL;
		}
		if (n == 0)     /* it shrank meanwhile: what is there is what counts */
			break;
		have += (size_t)n;
	}
	text[have] = '\0';
	*len = have;
	return text;
}

int fd_memory(const char *name, size_t bytes)
{
	int fd AUTO_CLOSE = memfd_create(name, MFD_CLOEXEC);

	return fd < 0 || ftruncate(fd, (off_t)bytes) < 0 ? -1 : fd_take(&fd);
}

int fd_sealed(const char *name, const char *bytes, size_t len, struct err *err)
{
	int fd AUTO_CLOSE = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return err_sys(err, errno, "memfd_create"), -1;
	if (!fd_write_all(fd, bytes, len))
		return err_sys(err, errno, "write %zu bytes to a memfd", len), -1;
	if (!fd_seal(fd))
		return err_sys(err, errno, "seal a memfd"), -1;
	return fd_take(&fd);
}

bool fd_is_unblocked(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_NONBLOCK) != 0;
}

bool fd_seal(int fd)
{
	return fcntl(fd, F_ADD_SEALS, SEALS) == 0;
}

bool fd_is_sealed(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & SEALS) == SEALS;
}
