/* proxy_fuzz.c - the header of the PROXY protocol: the same for every split of its bytes, within its bound,
 * and written again it says the same.
 *
 * Input: the first bytes of a connection. */
#include "fuzz.h"

#include "net/proxy.h"

#include <arpa/inet.h>
#include <string.h>

enum { PREFIXES = 600 };                /* all of a header, unless it has much behind its addresses */

static bool same_peer(const union peer *a, const union peer *b)
{
	struct addr one, other;

	peer_describe(a, &one);
	peer_describe(b, &other);
	return strcmp(one.text, other.text) == 0;
}

static enum proxy_result parse_copy(const char *bytes, size_t len, struct proxy_header *header)
{
	char *copy = malloc(len);       /* so that a byte too much is seen */
	enum proxy_result result;

	FUZZ_CHECK(copy != NULL);
	memcpy(copy, bytes, len);
	result = proxy_parse(copy, len, header);
	free(copy);
	return result;
}

static void check_prefixes(const char *bytes, size_t size, enum proxy_result whole, size_t header_len)
{
	size_t most = size < PREFIXES ? size : PREFIXES;
	enum proxy_result before = PROXY_MORE;

	for (size_t len = 1; len <= most; len++) {
		struct proxy_header header = { 0 };
		enum proxy_result result = parse_copy(bytes, len, &header);

		FUZZ_CHECK(before == PROXY_MORE || result == before);
		FUZZ_CHECK(result != PROXY_DONE || (header.len == header_len && len >= header_len));
		FUZZ_CHECK(result != PROXY_BAD || whole == PROXY_BAD);
		before = result;
	}
	FUZZ_CHECK(most < size || before == whole);
}

static void check_again(const union peer *source)
{
	char text[200], host[INET6_ADDRSTRLEN];
	bool v4 = source->family == AF_INET;
	unsigned port = ntohs(v4 ? source->v4.sin_port : source->v6.sin6_port);
	struct proxy_header again = { 0 };
	size_t len;

	inet_ntop(source->family,
		  v4 ? (const void *)&source->v4.sin_addr : (const void *)&source->v6.sin6_addr, host,
		  sizeof(host));
	len = (size_t)snprintf(text, sizeof(text), "PROXY TCP%c %s %s %u 80\r\nGET", v4 ? '4' : '6', host,
			       host, port);
	FUZZ_CHECK(parse_copy(text, len, &again) == PROXY_DONE);
	FUZZ_CHECK(again.len == len - 3 && again.has_source && same_peer(&again.source, source));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header header = { 0 };
	enum proxy_result result;

	if (size == 0)
		return 0;
	result = proxy_parse((const char *)data, size, &header);
	FUZZ_CHECK(result != PROXY_MORE || size < PROXY_MOST_BYTES);
	check_prefixes((const char *)data, size, result, header.len);
	if (result != PROXY_DONE)
		return 0;
	FUZZ_CHECK(header.len <= size && header.len <= PROXY_MOST_BYTES);
	if (!header.has_source)
		return 0;
	FUZZ_CHECK(header.source.family == AF_INET || header.source.family == AF_INET6);
	check_again(&header.source);
	return 0;
}
