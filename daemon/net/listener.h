/* Listening sockets, one at a time; who holds which is the master's business. All are CLOEXEC, non-blocking,
 * and TCP ones have SO_REUSEADDR and SO_REUSEPORT. */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include "addr.h"

struct listener_options {
	unsigned backlog;
	unsigned mode;                  /* of a unix socket's path */
	bool v6only, defer_accept;
};

/* Finds out whether another program holds the address: a bind without SO_REUSEPORT, closed at once.  (With
 * SO_REUSEPORT a program of the same user would share the port silently.)  A unix socket's path is free when
 * there is none, or when nobody answers at it: such a stale one is left to listener_bind. */
bool listener_probe(const struct addr *addr, bool v6only, struct err *err);

/* The same, and for a unix socket whether its path could be made; leaves nothing behind. */
bool listener_may_bind(const struct addr *addr, bool v6only, struct err *err);

/* A bound socket that does not listen yet; -1 with `err`. */
int listener_bind(const struct addr *addr, bool v6only, struct err *err);

/* listen(2) with the options; also for a socket that listens already (a changed backlog). */
bool listener_start(int fd, const struct addr *addr, const struct listener_options *options, struct err *err);

/* Removes a unix socket's path; nothing for others. */
void listener_unlink(const struct addr *addr);

#endif
