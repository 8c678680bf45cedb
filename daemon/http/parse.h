/* The parser of request heads: strict (RFC 9112), incremental, and the same for every split of the bytes.
 *
 * Bytes are looked at in order and once: first each byte of a line (is it allowed, is the line too long),
 * then, at the line's end, what the line says. So the first thing that is wrong decides the answer, however
 * the bytes came. */
#ifndef HTTP_PARSE_H
#define HTTP_PARSE_H

#include "request.h"

#include "base/arena.h"

/* What is wrong about a request, for people who count: in the order of COUNT_WRONG_LINE and on. */
enum parse_wrong {
	WRONG_NOTHING,                  /* about the request: there is no memory for it */
	WRONG_LINE,
	WRONG_VERSION,
	WRONG_TARGET,
	WRONG_LONG,
	WRONG_FIELD,
	WRONG_LARGE,
	WRONG_MANY,
	WRONG_HOST,
	WRONG_FRAMING,
	WRONG_BODY,
};

/* A status that refuses a request, and what is wrong about that, in one number. */
enum { WRONG_SHIFT = 16, WRONG_STATUS = (1 << WRONG_SHIFT) - 1 };

static inline unsigned parse_refusal(unsigned status, enum parse_wrong wrong)
{
	return status | (unsigned)wrong << WRONG_SHIFT;
}

struct parse_limits {
	uint32_t request_line_bytes;    /* the request line without its CRLF; over it: 414 */
	uint32_t header_bytes;          /* all field lines with their CRLFs; over it: 431 */
	uint32_t headers;               /* field lines; over it: 431 */
};

/* The state between calls.  Begin with parse_begin. */
struct parse {
	uint32_t scanned;               /* bytes of the head looked at so far */
	uint32_t line;                  /* where the line under way begins */
	uint32_t headers_at;            /* where the first field line begins; 0: still in the request line */
	uint32_t header_room;           /* of request->headers */
	bool cr;                        /* the last byte looked at was a CR */
	uint8_t wrong;                  /* enum parse_wrong; after PARSE_ERROR */
};

enum parse_result { PARSE_MORE, PARSE_DONE, PARSE_ERROR };

/* Starts a new head: zeroes both. */
void parse_begin(struct parse *parse, struct request *request);

/* The same, with a place for the first `room` headers (at least one), so that most requests need nothing of
 * the arena. It must be there as long as request->headers is needed. */
void parse_begin_with(struct parse *parse, struct request *request, struct header *headers, uint32_t room);

/* Looks at head[parse->scanned .. len-1]. `head` holds the request from its first byte, as in the calls
 * before (it may have moved). At most four empty lines in front of the request line are passed over (RFC
 * 9112, 2.2) and are part of the head. Headers are allocated in `arena` (growing, at most limits->headers).
 *
 * PARSE_MORE: all bytes were taken, the head is not complete. PARSE_DONE: `request` is filled; parse->scanned
 * is the length of the head: what is behind it is not part of it. PARSE_ERROR: `*status` is the answer that
 * RFC 9110 and 9112 ask for (400, 414, 431, 501, 505, or 500 when out of memory); `request` is undefined but
 * for method, once its word had ended, and method_name, target and minor where the request line had been
 * read, be it only to be refused (else their len is 0); the connection must be closed after the answer. */
enum parse_result parse_head(struct parse *parse, struct request *request, const struct parse_limits *limits,
			     const char *head, size_t len, struct arena *arena, unsigned *status);

/* Tries what costs least: true when the head is there to its end, has nothing unusual and is all right; then
 * all is as after PARSE_DONE. False says nothing about it: parse_head has to go on, as if this had not been
 * called. Headers have to have a place already (parse_begin_with), or it is always false. */
bool parse_usual(struct parse *parse, struct request *request, const struct parse_limits *limits,
		 const char *head, size_t len);

#endif
