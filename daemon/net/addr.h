/* Addresses to listen on, and networks for allow lists. */
#ifndef NET_ADDR_H
#define NET_ADDR_H

#include "base/err.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
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

/* The same in still fewer, where there are very many: without the flow label, which the kernel tells nobody
 * who has not asked for it (ipv6(7), IPV6_FLOWINFO_SEND). */
struct packed_peer {
	uint8_t family;
	uint8_t port[2];
	uint8_t rest[4];                /* IPv4: the address; IPv6: the scope */
	uint8_t v6[16];
};

static inline struct packed_peer peer_pack(const union peer *peer)
{
	struct packed_peer packed = { .family = (uint8_t)peer->family };

	memcpy(packed.port, &peer->v4.sin_port, sizeof(packed.port));   /* in its place in both */
	if (peer->family == AF_INET) {
		memcpy(packed.rest, &peer->v4.sin_addr, sizeof(packed.rest));
	} else if (peer->family == AF_INET6) {
		memcpy(packed.rest, &peer->v6.sin6_scope_id, sizeof(packed.rest));
		memcpy(packed.v6, &peer->v6.sin6_addr, sizeof(packed.v6));
	}
	return packed;
}

static inline union peer peer_unpack(const struct packed_peer *packed)
{
	union peer peer;

	memset(&peer, 0, sizeof(peer)); /* whole peers are compared */
	peer.family = packed->family;
	memcpy(&peer.v4.sin_port, packed->port, sizeof(packed->port));
	if (peer.family == AF_INET) {
		memcpy(&peer.v4.sin_addr, packed->rest, sizeof(packed->rest));
	} else if (peer.family == AF_INET6) {
		memcpy(&peer.v6.sin6_scope_id, packed->rest, sizeof(packed->rest));
		memcpy(&peer.v6.sin6_addr, packed->v6, sizeof(packed->v6));
	}
	return peer;
}

_Static_assert(offsetof(union peer, v4.sin_port) == offsetof(union peer, v6.sin6_port), "one port");

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
