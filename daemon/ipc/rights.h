/* Whole messages with descriptors over a SEQPACKET socket (unix(7), SCM_RIGHTS): what the two channels have
 * in common. */
#ifndef IPC_RIGHTS_H
#define IPC_RIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { RIGHTS_MOST = 253 };     /* SCM_MAX_FD of the kernel */

/* As sendmsg(2), without a signal; `fds` stay the caller's. */
ssize_t rights_send(int fd, const void *bytes, size_t len, const int *fds, unsigned count);

/* As recvmsg(2). `fds` has room for RIGHTS_MOST; those that came are the caller's, CLOEXEC. `*flags`:
 * MSG_TRUNC, MSG_CTRUNC (some had no room here, and are gone).
 * Closing them never waits (SO_LINGER is off). */
ssize_t rights_receive(int fd, void *bytes, size_t room, int *fds, unsigned *count, int *flags);

/* Nobody can send descriptors to this end, where the kernel has SO_PASSRIGHTS. */
void rights_refuse(int fd);

/* True for errno when the kernel has no memory for a moment: no reason to give the other end up. */
bool rights_short_of_memory(int error);

#endif
