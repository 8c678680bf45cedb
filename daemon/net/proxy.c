/* proxy.c - reading the PROXY protocol's header (haproxy.org, proxy-protocol.txt, 2.1 and 2.2).
 *
 * Called by proxy_stage.c.  Pure; whatever is not exactly as specified is PROXY_BAD. */
#include "proxy.h"

#include "base/str.h"

#include <arpa/inet.h>
#include <string.h>

enum {
	V1_MOST_BYTES = 107,            /* of the line with its CRLF */
	V2_FIXED_BYTES = 16,
	V2_LOCAL = 0,
	V2_PROXY = 1,
};

static const struct str v1_begin = { "PROXY ", 6 };
static const struct str v2_begin = { "\r\n\r\n\0\r\nQUIT\n", 12 };

/* The first bytes of `text` and of `bytes` are the same, as far as both go. */
static bool may_begin(struct str text, struct str bytes)
{
	size_t len = bytes.len < text.len ? bytes.len : text.len;

	return memcmp(text.at, bytes.at, len) == 0;
}

/* ---- version 1 --------------------------------------------------------------------------------------- */

/* Takes the next word: up to exactly one space, or the end of the line. */
static struct str next_word(struct str *line)
{
	const char *space = line->len > 0 ? memchr(line->at, ' ', line->len) : NULL;
	size_t len = space != NULL ? (size_t)(space - line->at) : line->len;
	struct str word = { line->at, len };

	line->at += len + (space != NULL);
	line->len -= len + (space != NULL);
	return word;
}

/* inet_pton(3) refuses what is not canonical enough for us: leading zeros, missing numbers. */
static bool read_address(struct str word, int family, void *address)
{
	char text[INET6_ADDRSTRLEN];

	if (word.len >= sizeof(text) || memchr(word.at, '\0', word.len) != NULL)
		return false;
	memcpy(text, word.at, word.len);
	text[word.len] = '\0';
	return inet_pton(family, text, address) == 1;
}

static bool read_port(struct str word, in_port_t *port)
{
	uint64_t number;

	if (!str_to_u64(word, &number) || number > 65535 || (word.len > 1 && word.at[0] == '0'))
		return false;
	*port = htons((uint16_t)number);
	return true;
}

/* Behind "PROXY TCP4 " or "PROXY TCP6 ", without the CRLF; of the destination it only counts that it is
 * one. */
static bool read_v1_addresses(struct str line, int family, union peer *source)
{
	union peer found = { .family = (sa_family_t)family };
	void *address = family == AF_INET ? (void *)&found.v4.sin_addr : (void *)&found.v6.sin6_addr;
	in_port_t *port = family == AF_INET ? &found.v4.sin_port : &found.v6.sin6_port, other_port;
	struct in6_addr other;
	size_t spaces = 0;

	for (size_t i = 0; i < line.len; i++)
		spaces += line.at[i] == ' ';
	if (spaces != 3 || !read_address(next_word(&line), family, address) ||
	    !read_address(next_word(&line), family, &other) || !read_port(next_word(&line), port) ||
	    !read_port(next_word(&line), &other_port))
		return false;
	*source = found;
	return true;
}

static enum proxy_result read_v1_line(struct str line, struct proxy_header *header)
{
	struct str family = next_word(&line);

	if (str_equal(family, str_of("UNKNOWN")))
		return PROXY_DONE;      /* the rest of the line is to be ignored */
	header->has_source = true;
	if (str_equal(family, str_of("TCP4")) && read_v1_addresses(line, AF_INET, &header->source))
		return PROXY_DONE;
	if (str_equal(family, str_of("TCP6")) && read_v1_addresses(line, AF_INET6, &header->source))
		return PROXY_DONE;
	return PROXY_BAD;
}

static enum proxy_result parse_v1(struct str bytes, struct proxy_header *header)
{
	size_t most = bytes.len < V1_MOST_BYTES ? bytes.len : V1_MOST_BYTES;
	const char *end = memmem(bytes.at, most, "\r\n", 2);
	struct proxy_header found = { 0 };
	enum proxy_result result;

	if (end == NULL)
		return bytes.len < V1_MOST_BYTES ? PROXY_MORE : PROXY_BAD;
	found.len = (size_t)(end - bytes.at) + 2;
	result = read_v1_line((struct str){ bytes.at + v1_begin.len, found.len - v1_begin.len - 2 }, &found);
	if (result == PROXY_DONE)
		*header = found;
	return result;
}

/* ---- version 2 --------------------------------------------------------------------------------------- */

struct v2 {
	unsigned version, command, family, transport;
	size_t len;                     /* of what follows the fixed part */
	const char *addresses;
};

static struct v2 read_fixed(const char *bytes)
{
	const unsigned char *at = (const unsigned char *)bytes + v2_begin.len;

	return (struct v2){
		.version = at[0] >> 4, .command = at[0] & 15U, .family = at[1] >> 4, .transport = at[1] & 15U,
		.len = (size_t)at[2] << 8 | at[3], .addresses = bytes + V2_FIXED_BYTES,
	};
}

/* The address block of each family; 0: none. */
static const size_t address_bytes[] = { 0, 12, 36, 216 };

/* Values that are not assigned "must be rejected"; a block shorter than its addresses lies. Of LOCAL, all
 * but the length is to be ignored. */
static bool is_valid(const struct v2 *v2)
{
	if (v2->version != 2 || v2->len > PROXY_MOST_BYTES - V2_FIXED_BYTES)
		return false;
	if (v2->command == V2_LOCAL)
		return true;
	return v2->command == V2_PROXY && v2->family <= 3 && v2->transport <= 2 &&
	       (v2->transport == 0 || v2->len >= address_bytes[v2->family]);
}

/* Only TCP has an address for us; other combinations may count as unspecified. */
static bool read_source(const struct v2 *v2, union peer *source)
{
	*source = (union peer){ 0 };
	if (v2->command != V2_PROXY || v2->transport != 1)
		return false;
	if (v2->family == 1) {
		source->v4.sin_family = AF_INET;
		memcpy(&source->v4.sin_addr, v2->addresses, 4);
		memcpy(&source->v4.sin_port, v2->addresses + 8, 2);
	} else if (v2->family == 2) {
		source->v6.sin6_family = AF_INET6;
		memcpy(&source->v6.sin6_addr, v2->addresses, 16);
		memcpy(&source->v6.sin6_port, v2->addresses + 32, 2);
	}
	return v2->family == 1 || v2->family == 2;
}

static enum proxy_result parse_v2(struct str bytes, struct proxy_header *header)
{
	struct v2 v2;

	if (bytes.len < V2_FIXED_BYTES)
		return PROXY_MORE;
	v2 = read_fixed(bytes.at);
	if (!is_valid(&v2))
		return PROXY_BAD;
	if (bytes.len - V2_FIXED_BYTES < v2.len)
		return PROXY_MORE;
	header->len = V2_FIXED_BYTES + v2.len;
	header->has_source = read_source(&v2, &header->source);
	return PROXY_DONE;
}

enum proxy_result proxy_parse(const char *bytes, size_t len, struct proxy_header *header)
{
	struct str all = { bytes, len };

	if (may_begin(v1_begin, all))
		return parse_v1(all, header);
	return may_begin(v2_begin, all) ? parse_v2(all, header) : PROXY_BAD;
}
