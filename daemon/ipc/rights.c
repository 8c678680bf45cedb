/* rights.c - sendmsg(2) and recvmsg(2) with SCM_RIGHTS. Called by channel.c and handover.c; fails as the
 * system calls do. */
#include "rights.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83        /* since Linux 6.16 */
#endif

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * RIGHTS_MOST)];
};

ssize_t rights_send(int fd, const void *bytes, size_t len, const int *fds, unsigned count)
{
	union control control;
	struct iovec part = { (void *)(uintptr_t)bytes, len };
	struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
	struct cmsghdr *rights;

	if (count > 0) {
		header.msg_control = control.bytes;
		header.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		rights = CMSG_FIRSTHDR(&header);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(rights), fds, sizeof(int) * count);
	}
	return sendmsg(fd, &header, MSG_NOSIGNAL);
}

/* close(2) of a connection whose sender asked for that waits until its client has read all: whoever sends us
 * one must not hold us up by it. */
static void do_not_linger(int fd)
{
	struct linger never = { 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &never, sizeof(never));
}

static void take(struct msghdr *header, int *fds, unsigned *count)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		*count = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(c), *count * sizeof(int));
		for (unsigned i = 0; i < *count; i++)
			do_not_linger(fds[i]);
	}
}

ssize_t rights_receive(int fd, void *bytes, size_t room, int *fds, unsigned *count, int *flags)
{
	union control control;
	struct iovec part = { bytes, room };
	struct msghdr header = {
		.msg_iov = &part, .msg_iovlen = 1,
		.msg_control = control.bytes, .msg_controllen = sizeof(control.bytes),
	};
	ssize_t len = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);

	*count = 0;
	*flags = header.msg_flags;
	if (len >= 0)
		take(&header, fds, count);
	return len;
}

void rights_refuse(int fd)
{
	int no = 0;

	setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof(no));
}

bool rights_short_of_memory(int error)
{
	return error == ENOMEM || error == ENOBUFS;
}
