/* A request's head as the parser found it.  Slices are offsets into the bytes that were parsed, so that the
 * buffer may move while a head arrives in pieces. */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H

#include "base/str.h"

enum method { METHOD_OTHER, METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_PUT, METHOD_DELETE, METHOD_OPTIONS,
	      METHOD_PATCH, METHOD_TRACE, METHOD_CONNECT };

/* The fields that the daemon itself looks at. */
enum header_id {
	HEADER_OTHER,
	HEADER_HOST,
	HEADER_CONNECTION,
	HEADER_CONTENT_LENGTH,
	HEADER_TRANSFER_ENCODING,
	HEADER_EXPECT,
	HEADER_IF_MATCH,
	HEADER_IF_NONE_MATCH,
	HEADER_IF_MODIFIED_SINCE,
	HEADER_IF_UNMODIFIED_SINCE,
	HEADER_IF_RANGE,
	HEADER_RANGE,
	HEADER_ACCEPT,
	HEADER_ACCEPT_ENCODING,
	HEADER_AUTHORIZATION,
	HEADER_FORWARDED,
	HEADER_X_FORWARDED_FOR,
	HEADER_X_FORWARDED_PROTO,
	HEADER_KEEP_ALIVE,
	HEADER_REFERER,
	HEADER_USER_AGENT,
	HEADER_IDS
};

_Static_assert(HEADER_IDS <= 32, "request.seen has a bit for each");

/* `len` bytes at offset `at` of the head. */
struct span {
	uint32_t at, len;
};

struct header {
	struct span name, value;        /* the value without white space around it */
	enum header_id id;
};

struct request {
	enum method method;
	struct span method_name;
	struct span target;             /* as it was sent */
	/* Of the target (absolute form, CONNECT), else of Host; len 0: none. */
	struct span authority;
	/* Of the target, still percent-encoded; "*" for the asterisk form; for "http://host" the slash in
	 * front of the host; len 0 for CONNECT only. */
	struct span path;
	struct span query;              /* behind "?", without it; len 0: none */
	bool https;                     /* the target says that it is for https */
	unsigned minor;                 /* HTTP/1.minor, at most 1 */
	unsigned header_count;
	struct header *headers;         /* header_count, in the order they came */
	/* A bit for each id that is among them, and for each that is more than once: see request_saw. Who
	 * makes a request by hand may set all of both, and leave `first` alone: they only save looking. */
	uint32_t seen, again;
	bool host_is_plain;             /* Host was seen to be valid: it is of letters, digits, "-" and "." */
	bool keep_alive;                /* the client wants the connection to go on (RFC 9112, 9.3) */
	bool has_body;                  /* Content-Length over 0, or Transfer-Encoding */
	bool chunked;                   /* the body is; else it has body_bytes */
	uint64_t body_bytes;
	bool expects_continue;          /* Expect: 100-continue, in HTTP/1.1 */
	bool expects_other;             /* Expect has something else, in HTTP/1.1: 417 */
	uint16_t first[HEADER_IDS];     /* no header before this one has the id */
};

static inline struct str span_str(struct span span, const char *head)
{
	return (struct str){ head + span.at, span.len };
}

/* True when a field with this id came: most are not there, and need not be looked for. */
static inline bool request_saw(const struct request *request, enum header_id id)
{
	return (request->seen >> id & 1U) != 0;
}

static inline bool request_saw_again(const struct request *request, enum header_id id)
{
	return (request->again >> id & 1U) != 0;
}

/* The first field with this id at or behind `*index`, which is set behind it; false when there is none. */
static inline bool request_next(const struct request *request, enum header_id id, unsigned *index,
				struct header *header)
{
	unsigned i = *index > request->first[id] ? *index : request->first[id];

	if (!request_saw(request, id) || (i > request->first[id] && !request_saw_again(request, id)))
		return false;
	for (; i < request->header_count; i++) {
		if (request->headers[i].id == id) {
			*header = request->headers[i];
			*index = i + 1;
			return true;
		}
	}
	return false;
}

/* The one field with this id; false when there is none, or more: that would be a list. */
static inline bool request_only(const struct request *request, enum header_id id, struct header *header)
{
	struct header second;
	unsigned index = 0;

	return request_next(request, id, &index, header) && !request_next(request, id, &index, &second);
}

#endif
