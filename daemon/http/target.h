/* From the path of a request target to the path of a file. */
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H

#include "base/arena.h"
#include "base/str.h"

/* Decodes `path` (begins with "/", RFC 3986 pchars and slashes, percent-encoded) once, resolves "." and ".."
 * segments (RFC 3986, 5.2.4) and folds repeated slashes.  The result is in the arena, terminated, begins with
 * "/" and ends with "/" exactly when the target names a directory ("/a/", "/a/.", "/a/b/..").
 *
 * Returns 0, or the status to answer with: 400 for an invalid escape, an encoded NUL or slash, or a ".." that
 * leads above the root; 500 when out of memory.  Any other byte may be in a name, as in a file's: what is no
 * UTF-8, or says "." in an overlong form of it, is not "." and means nothing. */
unsigned target_resolve(struct str path, struct arena *arena, struct str *resolved);

/* True when a segment of the resolved `path` at or behind the slash at `from` begins with a dot.
 * ".well-known" is for everybody as the first segment of the whole (RFC 8615, 3), what is in it is not. */
bool target_is_hidden(struct str path, size_t from);

/* Room for the longest host that the parser lets through, and its terminator. */
enum { TARGET_HOST_BYTES = 256 };

/* Lower-cases the host in `authority` into `out`, without port and without a trailing dot; false when it is
 * no valid host (RFC 3986, 3.2.2, without IPvFuture, of which there is none; not empty) or port (at most
 * 65535), or longer than `bytes` - 1.  IPv6 addresses keep brackets and spelling; escapes are not decoded. */
bool target_host(struct str authority, char *out, size_t bytes);

/* The same without the result. */
bool target_is_authority(struct str authority);

#endif
