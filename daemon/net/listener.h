/* Listening sockets, one at a time; who holds which is the master's business. All are CLOEXEC, non-blocking,
 * and TCP ones have SO_REUSEADDR and SO_REUSEPORT. */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include "addr.h"

#include <sys/types.h>

enum { LISTENER_DEVICE_BYTES = 16 };            /* IFNAMSIZ */

/* An owner or group that is not set: as the kernel made the path. */
#define LISTENER_AS_CREATED UINT32_MAX

struct listener_options {
	unsigned backlog;
	unsigned mode;                  /* of a unix socket's path */
	uint32_t owner, group;          /* of a unix socket's path, or LISTENER_AS_CREATED */
	char device[LISTENER_DEVICE_BYTES];     /* "": any */
	bool v6only, defer_accept, freebind;
	bool path_is_given;             /* a unix socket's path is a .socket unit's: its mode stays */
};

/* Which file a unix socket's path was when it was bound: another program may since have put its own there. */
struct listener_path {
	dev_t device;
	ino_t inode;                    /* 0: none */
	uid_t owner;
	gid_t group;
};

/* Finds out whether another program holds the address: a bind without SO_REUSEPORT, closed at once.  (With
 * SO_REUSEPORT a program of the same user would share the port silently.)  A unix socket's path is free when
 * there is none, or when nobody answers at it: such a stale one is left to listener_bind. The error names who
 * holds it, where that can be seen. */
bool listener_probe(const struct addr *addr, const struct listener_options *options, struct err *err);

/* The same, and for a unix socket whether its path could be made; leaves nothing behind. */
bool listener_may_bind(const struct addr *addr, const struct listener_options *options, struct err *err);

/* A bound socket that does not listen yet; `path` is filled in (zeroed for TCP). -1 with `err`. */
int listener_bind(const struct addr *addr, const struct listener_options *options, struct listener_path *path,
		  struct err *err);

/* Fills in `path` for a socket that was bound by somebody else, or before. */
bool listener_identify(const struct addr *addr, struct listener_path *path, struct err *err);

/* Does the path lead to another socket than the listening one `fd`, or to none?  Found out by connecting,
 * told apart by who called listen(2) (unix(7), SO_PEERCRED); false where that cannot be done. */
bool listener_is_elsewhere(int fd, const struct addr *addr);

/* listen(2) with the options; also for a socket that listens already (changed options). */
bool listener_start(int fd, const struct addr *addr, const struct listener_path *path,
		    const struct listener_options *options, struct err *err);

/* No new connection begins on a TCP socket any more; those whose handshake is under way are still completed
 * and queued. What clients send meanwhile to begin one is ignored, so that they try again a second later. */
bool listener_refuse_new(int fd, struct err *err);

/* The same for a unix socket, whose clients are refused at once. */
void listener_shut(int fd);

/* How many connections wait to be accepted, and how many the kernel had to drop since the socket was made. */
struct listener_queue {
	unsigned waiting;               /* 0 for a unix socket: it cannot be asked */
	unsigned dropped;
};

struct listener_queue listener_queue(int fd);

/* Removes a unix socket's path if it still is the file that was bound; nothing for others. */
void listener_unlink(const struct addr *addr, const struct listener_path *path);

#endif
