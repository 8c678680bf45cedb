/* Which content coding a request wants (Accept-Encoding, RFC 9110, 12.5.3). */
#ifndef HTTP_NEGOTIATE_H
#define HTTP_NEGOTIATE_H

#include "request.h"

enum coding { CODING_IDENTITY, CODING_ZSTD, CODING_BR, CODING_GZIP, CODINGS };

/* A coding's name in Content-Encoding, and what the names of files in it end with; of CODING_IDENTITY "" and
 * "". */
extern const struct coding_name {
	const char *name, *suffix;
} coding_names[CODINGS];

enum {
	WEIGHT_MOST = 1000,             /* "q=1" */
	WEIGHT_UNSAID = 1,              /* of the identity, when nobody speaks of it: all others go before */
};

/* How much each coding is wanted, from 1 to WEIGHT_MOST; 0: it is refused, or nobody asked for it. */
struct codings {
	unsigned short weights[CODINGS];
};

/* Reads a qvalue (12.4.2): "0" or "1", which may have a point and up to three digits, of "1" only zeros.
 * False when it is none. */
bool negotiate_weight(struct str text, unsigned short *weight);

/* What the fields of the request say, all of them.  Without a field, or with an empty one, it is the identity
 * alone.  An element that does not follow the grammar counts as not there; of one coding, the first is
 * meant. */
struct codings negotiate_codings(const struct request *request, const char *head);

/* True when anything but the identity is wanted. */
bool negotiate_wants_any(const struct codings *codings);

/* The coding to try next: the most wanted of `preferred` (in the server's order, which decides between
 * equals) that is wanted at least as much as the identity.  It is taken out of `codings`.  CODING_IDENTITY
 * when there is none left. */
enum coding negotiate_next(struct codings *codings, const enum coding *preferred, unsigned count);

/* The coding of files whose names end with "." and `suffix`; CODING_IDENTITY when there is none. */
enum coding negotiate_by_suffix(const char *suffix);

#endif
