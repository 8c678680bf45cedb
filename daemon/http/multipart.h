/* The content of a 206 with several ranges: multipart/byteranges (RFC 9110, 14.6). */
#ifndef HTTP_MULTIPART_H
#define HTTP_MULTIPART_H

#include "range.h"

#include "base/arena.h"

/* What surrounds the ranges' bytes. */
struct multipart {
	struct str boundary;
	struct str type;                /* of the whole representation */
	uint64_t length;                /* the same */
};

/* "bytes 0-499/1234", in the arena; absent when out of memory. */
struct str multipart_content_range(struct range range, uint64_t length, struct arena *arena);

/* What stands in front of the bytes of one of the ranges; absent when out of memory. */
struct str multipart_head(const struct multipart *multipart, struct range range, struct arena *arena);

/* What stands behind the last one; absent when out of memory. */
struct str multipart_tail(const struct multipart *multipart, struct arena *arena);

/* How long all of it is. */
uint64_t multipart_length(const struct multipart *multipart, const struct ranges *ranges);

#endif
