/* target.c - from the path of a request target to the path of a file, and what a valid host is.
 *
 * No system calls; memory comes from the caller's arena.  Called by the parser (hosts), by routing and by the
 * file service.  Fails with the status to answer, with NULL or with false, as the header says; outputs are
 * then untouched. */
#include "target.h"

#include <arpa/inet.h>

/* The byte that the escape at the beginning of `text` stands for; -1 when it is no valid escape. */
static int escaped_byte(struct str text)
{
	int high, low;

	if (text.len < 3)
		return -1;
	high = str_hex_value(text.at[1]);
	low = str_hex_value(text.at[2]);
	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Decodes `segment` to `out`, which has room for segment.len bytes.  False for an invalid escape, and for a
 * NUL or a slash, which no file name can have: they could only be meant to end or to split one. */
static bool decode(struct str segment, char *out, size_t *len)
{
	size_t used = 0;

	for (size_t i = 0; i < segment.len; i++) {
		int byte = (unsigned char)segment.at[i];

		if (byte == '%') {
			byte = escaped_byte((struct str){ segment.at + i, segment.len - i });
			i += 2;
		}
		if (byte <= 0 || byte == '/')
			return false;
		out[used++] = (char)byte;
	}
	*len = used;
	return true;
}

/* The path that is being built; it ends with a slash whenever a segment is about to be added.  It is never
 * longer than what it was made from. */
struct path {
	char *text;
	size_t len;
};

/* Takes the last segment off again; false when there is none. */
static bool drop_segment(struct path *path)
{
	if (path->len == 1)
		return false;
	path->len--;
	while (path->text[path->len - 1] != '/')
		path->len--;
	return true;
}

/* An escaped dot is a dot, because the file system would see one. */
static unsigned add_segment(struct path *path, struct str segment)
{
	struct str name = { path->text + path->len, 0 };

	if (!decode(segment, path->text + path->len, &name.len))
		return 400;
	if (name.len == 0 || str_equal(name, str_of(".")))
		return 0;
	if (str_equal(name, str_of("..")))
		return drop_segment(path) ? 0 : 400;
	path->len += name.len;
	return 0;
}

unsigned target_resolve(struct str path, struct arena *arena, struct str *resolved)
{
	struct path built = { NULL, 0 };
	unsigned status = 0;

	if (path.len == 0 || path.at[0] != '/')
		return 400;
	built.text = arena_alloc(arena, path.len + 1);
	if (built.text == NULL)
		return 500;
	while (path.len > 0 && status == 0) {           /* at a slash */
		const char *next = memchr(path.at + 1, '/', path.len - 1);
		size_t len = next != NULL ? (size_t)(next - path.at) : path.len;

		if (built.len == 0 || built.text[built.len - 1] != '/')
			built.text[built.len++] = '/';
		status = add_segment(&built, (struct str){ path.at + 1, len - 1 });
		path.at += len;
		path.len -= len;
	}
	if (status != 0)
		return status;
	built.text[built.len] = '\0';                   /* what was dropped may still stand behind it */
	*resolved = (struct str){ built.text, built.len };
	return 0;
}

bool target_is_hidden(struct str path, size_t from)
{
	static const char known[] = "/.well-known";
	size_t known_len = sizeof(known) - 1;

	if (from == 0 && str_has_prefix(path, str_of(known)) &&
	    (path.len == known_len || path.at[known_len] == '/'))
		from = known_len;
	for (size_t i = from; i + 1 < path.len; i++)
		if (path.at[i] == '/' && path.at[i + 1] == '.')
			return true;
	return false;
}

/* unreserved and sub-delims (RFC 3986, 2.3 and 2.2); the percent sign is looked at where it stands. */
static const bool host_bytes[256] = {
	['!'] = true, ['$'] = true, ['&' ... '.'] = true, ['0' ... '9'] = true, [';'] = true, ['='] = true,
	['A' ... 'Z'] = true, ['_'] = true, ['a' ... 'z'] = true, ['~'] = true,
};

static bool is_registered_name(struct str host)
{
	for (size_t i = 0; i < host.len; i++) {
		if (host.at[i] == '%' && escaped_byte((struct str){ host.at + i, host.len - i }) > 0)
			i += 2;
		else if (!host_bytes[(unsigned char)host.at[i]])
			return false;
	}
	return host.len > 0;
}

/* `host` begins with "[". */
static bool is_bracketed_address(struct str host)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (host.len < 2 || host.len - 2 >= sizeof(text) || host.at[host.len - 1] != ']')
		return false;
	memcpy(text, host.at + 1, host.len - 2);
	text[host.len - 2] = '\0';
	return strlen(text) == host.len - 2 && inet_pton(AF_INET6, text, &address) == 1;
}

/* What is behind the host: nothing, or a colon and a port, which may be empty (RFC 3986, 3.2.3). */
static bool is_port(struct str rest)
{
	uint64_t port = 0;

	if (rest.len == 0)
		return true;
	if (rest.at[0] != ':')
		return false;
	return rest.len == 1 ||
	       (str_to_u64((struct str){ rest.at + 1, rest.len - 1 }, &port) && port <= UINT16_MAX);
}

/* How much of `authority` is the host: up to the colon, or to the end of the brackets, which hold colons. */
static size_t host_len(struct str authority)
{
	bool bracketed = authority.len > 0 && authority.at[0] == '[';
	const char *end = memchr(authority.at, bracketed ? ']' : ':', authority.len);

	if (end == NULL)
		return authority.len;
	return (size_t)(end - authority.at) + (bracketed ? 1 : 0);
}

bool target_host(struct str authority, char *out, size_t bytes)
{
	struct str host = authority, rest;

	if (authority.len == 0)
		return false;
	host.len = host_len(authority);
	rest = (struct str){ authority.at + host.len, authority.len - host.len };
	if (!is_port(rest))
		return false;
	if (host.len > 0 && host.at[host.len - 1] == '.')
		host.len--;
	if (host.len >= bytes)
		return false;
	if (host.len > 0 && host.at[0] == '[' ? !is_bracketed_address(host) : !is_registered_name(host))
		return false;
	for (size_t i = 0; i < host.len; i++)
		out[i] = str_lower(host.at[i]);
	out[host.len] = '\0';
	return true;
}

bool target_is_authority(struct str authority)
{
	char host[TARGET_HOST_BYTES];

	return target_host(authority, host, sizeof(host));
}
