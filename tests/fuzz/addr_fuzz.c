/* addr_fuzz.c - addresses and networks: the canonical text of what is read is read as the same.
 *
 * Input: the text of an address to listen on, or of a network. */
#include "fuzz.h"

#include "net/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static void check_addr(const char *text)
{
	struct addr addr = { 0 }, again = { 0 };
	struct err err;

	if (!addr_parse(text, &addr, &err)) {
		FUZZ_CHECK(err.text[0] != '\0' && addr.len == 0);
		return;
	}
	FUZZ_CHECK(addr.len <= sizeof(addr.storage) && memchr(addr.text, '\0', sizeof(addr.text)) != NULL);
	FUZZ_CHECK(addr_parse(addr.text, &again, &err));
	FUZZ_CHECK(strcmp(addr.text, again.text) == 0 && addr.len == again.len);
	FUZZ_CHECK(memcmp(&addr.storage, &again.storage, addr.len) == 0);
	FUZZ_CHECK(addr_overlap(&addr, &again));
}

/* A peer with the network's address, one bit of it turned around (`bit` < 0: none). */
static struct sockaddr_storage peer_in(const struct cidr *cidr, int bit)
{
	struct sockaddr_storage storage = { .ss_family = (sa_family_t)cidr->family };
	struct cidr other = *cidr;

	if (bit >= 0)
		other.bytes[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
	if (cidr->family == AF_INET)
		memcpy(&((struct sockaddr_in *)&storage)->sin_addr, other.bytes, 4);
	else
		memcpy(&((struct sockaddr_in6 *)&storage)->sin6_addr, other.bytes, 16);
	return storage;
}

static void check_members(const struct cidr *cidr)
{
	int width = cidr->family == AF_INET ? 32 : 128;
	struct sockaddr_storage peer = peer_in(cidr, -1);

	FUZZ_CHECK(cidr_contains(cidr, &peer));
	for (int bit = 0; bit < width; bit++) {
		peer = peer_in(cidr, bit);
		if (bit < (int)cidr->bits)
			FUZZ_CHECK(!cidr_contains(cidr, &peer));
		/* turned around, a bit can make an IPv4 peer of it */
		else if (!IN6_IS_ADDR_V4MAPPED(&((struct sockaddr_in6 *)&peer)->sin6_addr))
			FUZZ_CHECK(cidr_contains(cidr, &peer));
	}
}

static void check_cidr(const char *text)
{
	char host[INET6_ADDRSTRLEN], canonical[INET6_ADDRSTRLEN + 8];
	struct cidr cidr = { 0 }, again = { 0 };
	struct err err;

	if (!cidr_parse(text, &cidr, &err)) {
		FUZZ_CHECK(err.text[0] != '\0' && cidr.family == 0);
		return;
	}
	inet_ntop(cidr.family, cidr.bytes, host, sizeof(host));
	snprintf(canonical, sizeof(canonical), "%s/%u", host, cidr.bits);
	FUZZ_CHECK(cidr_parse(canonical, &again, &err));
	FUZZ_CHECK(memcmp(&cidr, &again, sizeof(cidr)) == 0);
	check_members(&cidr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_copy((struct str){ (const char *)data, size });

	check_addr(text);
	check_cidr(text);
	free(text);
	return 0;
}
