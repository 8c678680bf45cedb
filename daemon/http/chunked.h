/* The decoder of chunked bodies: strict (RFC 9112, 7.1), incremental, and the same for every split of the
 * bytes. */
#ifndef HTTP_CHUNKED_H
#define HTTP_CHUNKED_H

#include "base/record.h"

struct chunked_limits {
	uint64_t body_bytes;            /* content; over it: 413 */
	uint32_t extra_bytes;           /* of all extensions together: 413; of all trailer fields: 431 */
	uint32_t trailers;              /* trailer fields; over it: 431 */
};

/* The state between calls.  Begin with a zeroed one. */
struct chunked {
	unsigned state;
	unsigned digits;                /* of the size under way */
	uint64_t size;                  /* the size under way; then what is left of that chunk */
	uint64_t content;               /* announced so far */
	uint64_t extensions, trailer_bytes;
	uint32_t trailers;
};

/* DATA: `*data` lies in the bytes that were given, and is not empty. */
enum chunked_result { CHUNKED_MORE, CHUNKED_DATA, CHUNKED_DONE, CHUNKED_ERROR };

/* Takes bytes off `rest`: up to the next piece of content, the end of the body, or the end of what is there
 * (MORE). ERROR: `*status` is the answer (400, 413, 431); nobody knows where the next request would begin.
 * Extensions and trailer fields are checked and dropped (RFC 9112, 7.1.1 and 7.1.2). */
enum chunked_result chunked_next(struct chunked *chunked, const struct chunked_limits *limits,
				 struct str *rest, struct str *data, unsigned *status);

/* Writes or reads the state, for a body that is gone on with elsewhere. */
void chunked_record(struct chunked *chunked, struct record *record);

#endif
