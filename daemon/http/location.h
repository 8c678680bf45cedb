/* The value of Location: where a client is sent. Whatever comes from the request is encoded anew, so that
 * nothing in it can end the field, name another host, or be no ASCII. */
#ifndef HTTP_LOCATION_H
#define HTTP_LOCATION_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

/* `path` (resolved, see target.h, without a slash at its end) with a slash at its end, and `query` as it was
 * sent: "/a/b/?q". In the arena; NULL when out of memory. */
char *location_with_slash(struct str path, struct str query, struct arena *arena);

/* What the path has behind its first `skip` bytes, encoded: as it was sent where that is the same path as the
 * resolved one, else from that. In the arena; NULL when out of memory. */
char *location_rest(struct str sent, struct str resolved, size_t skip, struct arena *arena);

/* `to` (see location_check) with `rest` behind its path (from location_rest; empty or beginning with "/") and
 * `query` behind its query; "//host" gets the scheme of the request. In the arena; NULL: out of memory. */
char *location_redirect(const char *to, bool secure, struct str rest, struct str query, struct arena *arena);

/* True when `to` is "/path", "//host/path" or "https://host/path", in the characters of RFC 3986. */
bool location_check(const char *to, struct err *err);

#endif
