/* addr.c - addresses and networks, text to bytes and back.  Pure; fails by returning false. */
#include "addr.h"

#include "base/str.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static const struct str unix_prefix = { "unix:", 5 };

static bool refuse(const char *text, const char *why, struct err *err)
{
	return err_set(err, "\"%s\": %s; allowed are 127.0.0.1:80, [::1]:80, *:80 and unix:/path", text, why);
}

void addr_describe(const struct sockaddr_storage *storage, socklen_t len, struct addr *addr)
{
	const struct sockaddr_in *v4 = (const void *)storage;
	const struct sockaddr_in6 *v6 = (const void *)storage;
	const struct sockaddr_un *un = (const void *)storage;
	char host[INET6_ADDRSTRLEN];

	addr->storage = *storage;
	addr->len = len;
	if (storage->ss_family == AF_INET) {
		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		snprintf(addr->text, sizeof(addr->text), "%s:%u", host, ntohs(v4->sin_port));
	} else if (storage->ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
		snprintf(addr->text, sizeof(addr->text), "[%s]:%u", host, ntohs(v6->sin6_port));
	} else {
		bool named = len > offsetof(struct sockaddr_un, sun_path) && un->sun_path[0] == '/';

		snprintf(addr->text, sizeof(addr->text), "unix:%s", named ? un->sun_path : "");
	}
}

static bool parse_unix(const char *text, struct addr *addr, struct err *err)
{
	const char *path = text + unix_prefix.len;
	struct sockaddr_storage storage = { .ss_family = AF_UNIX };
	struct sockaddr_un *un = (void *)&storage;

	if (path[0] != '/')
		return refuse(text, "the path must be absolute", err);
	if (strlen(path) >= sizeof(un->sun_path))
		return err_set(err, "\"%s\": longer than the %zu bytes that a unix socket's path may have",
			       text, sizeof(un->sun_path) - 1);
	strcpy(un->sun_path, path);     /* its length was just checked */
	addr_describe(&storage, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1), addr);
	return true;
}

/* The host part without its brackets; false when they do not match. */
static bool host_of(struct str host, char *out, size_t bytes)
{
	if (str_equal(host, str_of("*")))
		host = str_of("::");
	else if (host.len >= 2 && host.at[0] == '[' && host.at[host.len - 1] == ']')
		host = (struct str){ host.at + 1, host.len - 2 };
	else if (memchr(host.at, ':', host.len) != NULL)        /* an IPv6 address wants its brackets */
		return false;
	return (size_t)snprintf(out, bytes, "%.*s", (int)host.len, host.at) < bytes;
}

bool addr_parse(const char *text, struct addr *addr, struct err *err)
{
	struct sockaddr_storage storage = { 0 };
	struct sockaddr_in *v4 = (void *)&storage;
	struct sockaddr_in6 *v6 = (void *)&storage;
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN];
	uint64_t port;

	if (str_has_prefix(str_of(text), unix_prefix))
		return parse_unix(text, addr, err);
	if (colon == NULL || !str_to_u64(str_of(colon + 1), &port) || port == 0 || port > 65535)
		return refuse(text, "no port from 1 to 65535", err);
	if (!host_of((struct str){ text, (size_t)(colon - text) }, host, sizeof(host)))
		return refuse(text, "no address", err);
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		addr_describe(&storage, sizeof(*v4), addr);
		return true;
	}
	memset(&storage, 0, sizeof(storage));
	if (inet_pton(AF_INET6, host, &v6->sin6_addr) != 1)
		return refuse(text, "no address (names are not looked up)", err);
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t)port);
	addr_describe(&storage, sizeof(*v6), addr);
	return true;
}

static bool is_wildcard(const struct addr *addr)
{
	const struct sockaddr_in *v4 = (const void *)&addr->storage;
	const struct sockaddr_in6 *v6 = (const void *)&addr->storage;

	if (addr->storage.ss_family == AF_INET)
		return v4->sin_addr.s_addr == htonl(INADDR_ANY);
	return addr->storage.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr);
}

/* sin_port and sin6_port lie at the same place. */
static uint16_t port_of(const struct addr *addr)
{
	return ((const struct sockaddr_in *)(const void *)&addr->storage)->sin_port;
}

bool addr_overlap(const struct addr *a, const struct addr *b)
{
	if (strcmp(a->text, b->text) == 0)
		return true;
	if (addr_is_unix(a) || addr_is_unix(b))
		return false;
	return port_of(a) == port_of(b) && (is_wildcard(a) || is_wildcard(b));
}

static bool host_bits_zero(const struct cidr *cidr, unsigned width)
{
	for (unsigned bit = cidr->bits; bit < width; bit++)
		if (cidr->bytes[bit / 8] & (0x80 >> bit % 8))
			return false;
	return true;
}

/* "::ffff:10.0.0.0/104" is 10.0.0.0/8: that is what cidr_contains takes such peers for. */
static void unmap(struct cidr *cidr)
{
	if (cidr->family != AF_INET6 || cidr->bits < 96 ||
	    !IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)(const void *)cidr->bytes))
		return;
	cidr->family = AF_INET;
	cidr->bits -= 96;
	memcpy(cidr->bytes, cidr->bytes + 12, 4);
	memset(cidr->bytes + 4, 0, 12);
}

bool cidr_parse(const char *text, struct cidr *cidr, struct err *err)
{
	const char *slash = strchr(text, '/');
	size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
	struct cidr found = { 0 };
	char host[INET6_ADDRSTRLEN] = "";
	uint64_t bits;
	unsigned width;

	if (len < sizeof(host))
		memcpy(host, text, len);
	if (inet_pton(AF_INET, host, found.bytes) == 1)
		found.family = AF_INET;
	else if (inet_pton(AF_INET6, host, found.bytes) == 1)
		found.family = AF_INET6;
	else
		return err_set(err, "\"%s\" is no address or network such as 10.0.0.0/8 or ::1", text);
	width = found.family == AF_INET ? 32 : 128;
	bits = width;
	if (slash != NULL && (!str_to_u64(str_of(slash + 1), &bits) || bits > width))
		return err_set(err, "\"%s\": the prefix length must be from 0 to %u", text, width);
	found.bits = (unsigned)bits;
	if (!host_bits_zero(&found, width))
		return err_set(err, "\"%s\": bits behind the prefix are set", text);
	unmap(&found);
	*cidr = found;
	return true;
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned rest = bits % 8;

	if (memcmp(a, b, bits / 8) != 0)
		return false;
	return rest == 0 || ((a[bits / 8] ^ b[bits / 8]) >> (8 - rest)) == 0;
}

bool cidr_covers(const struct cidr *outer, const struct cidr *inner)
{
	return outer->family == inner->family && outer->bits <= inner->bits &&
	       same_bits(outer->bytes, inner->bytes, outer->bits);
}

bool cidr_contains(const struct cidr *cidr, const struct sockaddr_storage *peer)
{
	const struct sockaddr_in *v4 = (const void *)peer;
	const struct sockaddr_in6 *v6 = (const void *)peer;
	const uint8_t *bytes;
	int family = peer->ss_family;

	if (family == AF_INET) {
		bytes = (const uint8_t *)&v4->sin_addr;
	} else if (family == AF_INET6) {
		bytes = v6->sin6_addr.s6_addr;
		if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
			bytes += 12;
			family = AF_INET;
		}
	} else {
		return false;
	}
	return family == cidr->family && same_bits(bytes, cidr->bytes, cidr->bits);
}

bool networks_have(const struct networks *networks, const union peer *peer)
{
	struct sockaddr_storage address = { 0 };

	if (peer->family != AF_INET && peer->family != AF_INET6)
		return peer->family == AF_UNIX && networks->local;
	memcpy(&address, peer, sizeof(*peer));
	for (unsigned i = 0; i < networks->count; i++)
		if (cidr_contains(&networks->at[i], &address))
			return true;
	return false;
}

void peer_describe(const union peer *peer, struct addr *addr)
{
	struct sockaddr_storage address = { 0 };

	memcpy(&address, peer, sizeof(*peer));
	addr_describe(&address, sizeof(sa_family_t), addr);     /* a unix peer has no path here */
}
