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

/* What the weights come to, as a number: which codings negotiate_next gives and which of two goes first
 * (equals are equal), and whether the identity is refused. With the same number every server's list gives
 * the same, whatever there is of it; with different numbers some list does not. 0: the identity alone, as
 * without the field. Always under NEGOTIATE_NUMBERS, and one of 52. */
unsigned negotiate_number(const struct codings *codings);

enum { NEGOTIATE_NUMBERS = 128 };

/* Weights that come to that number, of those that negotiate_number gives: as good as the request's own. */
struct codings negotiate_of_number(unsigned number);

enum { NEGOTIATE_REMEMBERED = 4, NEGOTIATE_VALUE_BYTES = 62 };

/* Which numbers the last few values came to: a browser sends the same one in each request. Begins zeroed;
 * clients cannot make it larger. */
struct negotiate_memo {
	unsigned latest;                /* the entry that was right last */
	struct {
		unsigned char len, number;      /* len 0: no entry */
		char value[NEGOTIATE_VALUE_BYTES];
	} entries[NEGOTIATE_REMEMBERED];
};

/* The number of a request's fields; what was asked for before costs one comparison. */
unsigned negotiate_remember(struct negotiate_memo *memo, const struct request *request, const char *head);

/* The coding of files whose names end with "." and `suffix`; CODING_IDENTITY when there is none. */
enum coding negotiate_by_suffix(const char *suffix);

#endif
