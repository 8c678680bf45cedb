/* What log lines and epitaphs do not show of a request: who somebody claims to be in a target or a Referer
 * (http://user:password@host/, RFC 9110, 4.2.4), and with log.query = false the query, which may be a
 * token. */
#ifndef HTTP_SECRET_H
#define HTTP_SECRET_H

#include "base/str.h"

#include <stdbool.h>

/* Whether secret_target would leave something out: almost never. */
bool secret_is_in(struct str target, bool query);

/* Copies a target or a URI to `out`, at most `room` bytes (8 or more): "-" in place of what is in front of
 * an "@" in its authority, "?-" in place of its query unless `query`, "#-" in place of a fragment
 * likewise. Returns what was written. */
struct str secret_target(struct str target, bool query, char *out, size_t room);

/* What secret_line does with any line. */
size_t secret_line_of_any(struct str head, bool query, char *out, size_t room);

/* The same for what has come of a request's head, up to the end of its first line, in at most `room`
 * bytes. Of a target that has not come to its end nothing is shown that may turn out to be a secret. Every
 * request comes by here, and nearly all have nothing to hide. */
static inline size_t secret_line(struct str head, bool query, char *out, size_t room)
{
	static const char usual[] = "GET /";
	size_t len = head.len < room ? head.len : room;
	const char *end;

	if (!query || head.len < sizeof(usual) - 1 || memcmp(head.at, usual, sizeof(usual) - 1) != 0)
		return secret_line_of_any(head, query, out, room);
	end = memchr(head.at, '\n', len);
	len = end != NULL ? (size_t)(end - head.at) : len;
	memcpy(out, head.at, len);
	return len;
}

#endif
