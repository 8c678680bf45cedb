/* Range requests (RFC 9110, 14): which bytes a Range field asks for. */
#ifndef HTTP_RANGE_H
#define HTTP_RANGE_H

#include "base/str.h"

/* `len` bytes from `first` on; never empty. */
struct range {
	uint64_t first, len;
};

enum {
	RANGE_MOST = 200,               /* more in an answer, after coalescing, is abuse */
	RANGE_SPECS_MOST = 1000,        /* and more in a request, too */
};

struct ranges {
	unsigned count;
	struct range at[RANGE_MOST];
};

/* IGNORED: answer with the whole.  NONE: well-formed, but nothing of it is there (416).  SOME: `ranges`. */
enum range_result { RANGE_IGNORED, RANGE_NONE, RANGE_SOME };

/* Reads the field's value for a representation of `length` bytes.  Ranges that overlap or touch become one;
 * what is left stays in the order of the request. */
enum range_result range_parse(struct str value, uint64_t length, struct ranges *ranges);

#endif
