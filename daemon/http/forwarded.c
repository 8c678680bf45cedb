/* forwarded.c - the client behind proxies.  Called by exchange.c for requests of those that are believed.
 * Pure; fails by saying that a field is no list. */
#include "forwarded.h"

#include <arpa/inet.h>
#include <string.h>

/* ---- an address -------------------------------------------------------------------------------------- */

/* A made-up name in place of the number: "_" and letters, digits, ".", "_", "-" (RFC 7239, 6.3). */
static bool is_made_up(struct str text)
{
	if (text.len < 2 || text.at[0] != '_')
		return false;
	for (size_t i = 1; i < text.len; i++) {
		char c = str_lower(text.at[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '.' && c != '_' && c != '-')
			return false;
	}
	return true;
}

static bool read_port(struct str text, in_port_t *port)
{
	uint64_t number;

	if (is_made_up(text))
		return true;
	if (text.len > 5 || !str_to_u64(text, &number) || number > 65535)
		return false;
	*port = htons((uint16_t)number);
	return true;
}

static bool read_host(struct str text, int family, void *address)
{
	char host[INET6_ADDRSTRLEN];

	if (text.len >= sizeof(host) || memchr(text.at, '\0', text.len) != NULL)
		return false;
	memcpy(host, text.at, text.len);
	host[text.len] = '\0';
	return inet_pton(family, host, address) == 1;
}

/* "[2001:db8::1]" or "[2001:db8::1]:80". */
static bool read_bracketed(struct str text, union peer *peer)
{
	const char *end = memchr(text.at, ']', text.len);
	size_t host = end != NULL ? (size_t)(end - text.at) - 1 : 0;
	struct str rest = { text.at + host + 2, end != NULL ? text.len - host - 2 : 0 };

	peer->v6.sin6_family = AF_INET6;
	if (end == NULL || !read_host((struct str){ text.at + 1, host }, AF_INET6, &peer->v6.sin6_addr))
		return false;
	return rest.len == 0 || (rest.at[0] == ':' &&
				 read_port((struct str){ rest.at + 1, rest.len - 1 }, &peer->v6.sin6_port));
}

/* An address, with a port or without. */
static bool read_peer(struct str text, union peer *peer)
{
	const char *colon = text.len > 0 ? memchr(text.at, ':', text.len) : NULL;
	size_t host = colon != NULL ? (size_t)(colon - text.at) : text.len;

	*peer = (union peer){ .family = AF_UNIX };
	if (str_equal(text, str_of("unix:")))   /* as nginx calls them */
		return true;
	*peer = (union peer){ 0 };
	if (text.len > 0 && text.at[0] == '[')
		return read_bracketed(text, peer);
	peer->v4.sin_family = AF_INET;
	if (text.len > 0 && read_host((struct str){ text.at, host }, AF_INET, &peer->v4.sin_addr))
		return colon == NULL ||
		       read_port((struct str){ colon + 1, text.len - host - 1 }, &peer->v4.sin_port);
	*peer = (union peer){ 0 };
	peer->v6.sin6_family = AF_INET6;
	return text.len > 0 && read_host(text, AF_INET6, &peer->v6.sin6_addr);
}

/* The next hop towards the client. False: it is the client, or nobody knows. */
static bool take_hop(struct str text, const struct networks *from, struct forwarded *found)
{
	if (!read_peer(text, &found->client)) {
		found->client = (union peer){ .family = AF_UNSPEC };
		return false;
	}
	return networks_have(from, &found->client);
}

/* ---- X-Forwarded-For --------------------------------------------------------------------------------- */

/* A list over all field lines of one name, from its end. Quotes mean nothing in it. */
struct backwards {
	const struct request *request;
	const char *head;
	enum header_id id;
	unsigned left;                  /* field lines that were not looked at yet */
	struct str line;                /* what is left of the one under way */
};

static bool previous_line(struct backwards *list)
{
	while (list->left > 0) {
		const struct header *header = &list->request->headers[--list->left];

		if (header->id != list->id)
			continue;
		list->line = span_str(header->value, list->head);
		return true;
	}
	return false;
}

static bool previous_element(struct backwards *list, struct str *element)
{
	do {
		while (list->line.len > 0) {
			const char *comma = memrchr(list->line.at, ',', list->line.len);
			const char *begin = comma != NULL ? comma + 1 : list->line.at;
			size_t len = list->line.len - (size_t)(begin - list->line.at);

			*element = str_trim((struct str){ begin, len });
			list->line.len -= len + (comma != NULL);
			if (element->len > 0)
				return true;
		}
	} while (previous_line(list));
	return false;
}

static struct backwards list_of(const struct request *request, const char *head, enum header_id id)
{
	return (struct backwards){ request, head, id, request->header_count, { 0 } };
}

static unsigned count_of(const struct request *request, const char *head, enum header_id id)
{
	struct backwards list = list_of(request, head, id);
	struct str element;
	unsigned count = 0;

	while (count <= FORWARDED_MOST_HOPS && previous_element(&list, &element))
		count++;
	return count;
}

/* The proxies may have made a list of it too: then the elements stand in the same places. Else it is the word
 * of the last one. `hop`: the client's, counted from the end. */
static bool is_secure(const struct request *request, const char *head, unsigned hop)
{
	struct backwards list = list_of(request, head, HEADER_X_FORWARDED_PROTO);
	struct str element = { 0 };

	if (count_of(request, head, HEADER_X_FORWARDED_PROTO) !=
	    count_of(request, head, HEADER_X_FORWARDED_FOR))
		hop = 0;
	for (unsigned i = 0; i <= hop; i++)
		if (!previous_element(&list, &element))
			return false;
	return str_equal_nocase(element, str_of("https"));
}

static bool read_x(const struct request *request, const char *head, const struct networks *from,
		   struct forwarded *found)
{
	struct backwards list = list_of(request, head, HEADER_X_FORWARDED_FOR);
	struct str element;
	unsigned hops = 0;

	while (hops < FORWARDED_MOST_HOPS && previous_element(&list, &element)) {
		hops++;
		if (!take_hop(element, from, found))
			break;
	}
	found->secure = is_secure(request, head, hops > 0 ? hops - 1 : 0);
	return true;
}

/* ---- Forwarded --------------------------------------------------------------------------------------- */

/* An element: what one proxy says. */
struct hop {
	struct str node, proto;         /* at == NULL: not said */
};

/* The last elements of a field line, in a ring. */
struct hops {
	unsigned count;
	struct hop at[FORWARDED_MOST_HOPS];
};

static bool is_value_byte(char c)
{
	return c > ' ' && c != 127 && strchr("\",;=", c) == NULL;
}

/* Takes a value off `rest`. More than tokens are taken: many proxies forget to quote an IPv6 address. Of a
 * quoted string the inside; what is escaped in it is no address. */
static bool take_value(struct str *rest, struct str *value)
{
	bool quoted = rest->len > 0 && rest->at[0] == '"';
	size_t begin = quoted, end = begin;

	if (quoted)
		while (end < rest->len && rest->at[end] != '"')
			end += rest->at[end] == '\\' ? 2 : 1;
	else
		while (end < rest->len && is_value_byte(rest->at[end]))
			end++;
	if (quoted ? end >= rest->len : end == begin)
		return false;
	*value = (struct str){ rest->at + begin, end - begin };
	rest->at += end + quoted;
	rest->len -= end + quoted;
	return true;
}

static bool take_byte(struct str *rest, char wanted)
{
	if (rest->len == 0 || rest->at[0] != wanted)
		return false;
	rest->at++;
	rest->len--;
	return true;
}

/* "for=192.0.2.1"; each name at most once (RFC 7239, 4). */
static bool take_pair(struct str *rest, struct hop *hop)
{
	struct str name, value, *place = NULL;

	if (rest->len == 0 || rest->at[0] == '"' || !take_value(rest, &name) || !take_byte(rest, '=') ||
	    !take_value(rest, &value))
		return false;
	if (str_equal_nocase(name, str_of("for")))
		place = &hop->node;
	else if (str_equal_nocase(name, str_of("proto")))
		place = &hop->proto;
	if (place == NULL)
		return true;
	if (place->at != NULL)
		return false;
	*place = value;
	return true;
}

static void skip_blanks(struct str *rest)
{
	while (rest->len > 0 && (rest->at[0] == ' ' || rest->at[0] == '\t')) {
		rest->at++;
		rest->len--;
	}
}

/* Pairs with ";" between them; blanks there are not in the grammar, but do no harm. */
static bool take_element(struct str *rest, struct hop *hop)
{
	*hop = (struct hop){ 0 };
	for (;;) {
		if (!take_pair(rest, hop))
			return false;
		skip_blanks(rest);
		if (!take_byte(rest, ';'))
			return true;
		skip_blanks(rest);
		if (rest->len == 0 || rest->at[0] == ',')       /* so is one at the end */
			return true;
	}
}

static bool read_line(struct str line, struct hops *hops)
{
	hops->count = 0;
	for (;;) {
		skip_blanks(&line);
		if (line.len == 0)
			return true;
		if (take_byte(&line, ','))      /* empty elements too (RFC 9110, 5.6.1) */
			continue;
		if (!take_element(&line, &hops->at[hops->count++ % FORWARDED_MOST_HOPS]))
			return false;
		if (line.len > 0 && line.at[0] != ',')
			return false;
	}
}

/* False: the client was found, or who is asked has not said by whom he was. */
static bool take_rfc7239_hop(const struct hop *hop, const struct networks *from, struct forwarded *found)
{
	found->secure = str_equal_nocase(hop->proto, str_of("https"));
	return hop->node.at != NULL && take_hop(hop->node, from, found);
}

static bool read_rfc7239(const struct request *request, const char *head, const struct networks *from,
			 struct forwarded *found)
{
	struct backwards list = list_of(request, head, HEADER_FORWARDED);
	unsigned looked_at = 0;
	struct hops hops;

	while (looked_at < FORWARDED_MOST_HOPS && previous_line(&list)) {
		if (!read_line(list.line, &hops))
			return false;
		for (unsigned left = hops.count; left > 0 && looked_at < FORWARDED_MOST_HOPS; looked_at++)
			if (!take_rfc7239_hop(&hops.at[--left % FORWARDED_MOST_HOPS], from, found))
				return true;
	}
	return true;
}

bool forwarded_read(const struct request *request, const char *head, enum forwarded_header header,
		    const struct networks *from, struct forwarded *found)
{
	if (header == FORWARDED_X)
		return read_x(request, head, from, found);
	return header == FORWARDED_OFF || read_rfc7239(request, head, from, found);
}
