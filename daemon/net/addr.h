/* Addresses to listen on, and networks for allow lists. */
#ifndef NET_ADDR_H
#define NET_ADDR_H

#include "base/err.h"

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

enum { ADDR_TEXT_BYTES = 128 };

/* A socket address and its one canonical spelling: "127.0.0.1:80", "[::1]:80" or "unix:/path". */
struct addr {
	struct sockaddr_storage storage;
	socklen_t len;
	char text[ADDR_TEXT_BYTES];
};

/* Whom a connection comes from, in as few bytes as it takes; a unix socket has family AF_UNIX only. */
union peer {
	sa_family_t family;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* An IPv4 or IPv6 network. */
struct cidr {
	int family;
	unsigned bits;
	uint8_t bytes[16];
};

/* Networks whom something is allowed or believed; `local` stands for the clients of unix sockets. */
struct networks {
	unsigned count;
	const struct cidr *at;
	bool local;
};

/* Reads "127.0.0.1:80", "[::]:80", "*:80" (the IPv6 wildcard) or "unix:/path".  No name is looked up.  On
 * false `addr` is untouched and `err` says what is allowed. */
bool addr_parse(const char *text, struct addr *addr, struct err *err);

/* Fills in the text of an address that the kernel gave (accept4, getsockname); an unnamed unix socket is
 * "unix:". */
void addr_describe(const struct sockaddr_storage *storage, socklen_t len, struct addr *addr);

static inline bool addr_is_unix(const struct addr *addr)
{
	return addr->storage.ss_family == AF_UNIX;
}

/* True when sockets bound to the two could stand in each other's way: the same port, and the same address or
 * one of them a wildcard. */
bool addr_overlap(const struct addr *a, const struct addr *b);

/* Reads "10.0.0.0/8", "::1" and the like; bits behind the prefix must be zero. */
bool cidr_parse(const char *text, struct cidr *cidr, struct err *err);

/* True when all of `inner` is in `outer`. */
bool cidr_covers(const struct cidr *outer, const struct cidr *inner);

/* True when the peer is in the network; an IPv4 peer of an IPv6 socket (::ffff:a.b.c.d) counts as IPv4. */
bool cidr_contains(const struct cidr *cidr, const struct sockaddr_storage *peer);

/* The peer's text, as addr_describe has it. */
void peer_describe(const union peer *peer, struct addr *addr);

/* True when one of the networks has the peer in it; false when there are none. */
bool networks_have(const struct networks *networks, const union peer *peer);

#endif
