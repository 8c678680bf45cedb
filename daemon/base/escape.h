/* Bytes that came from outside, written so that they stay inside of their quotes.
 *
 * Nobody writes a quote, a line end or a terminal's escape sequence into a log. */
#ifndef BASE_ESCAPE_H
#define BASE_ESCAPE_H

#include "str.h"

enum { ESCAPE_TEXT_MOST = 4, ESCAPE_JSON_MOST = 6 };    /* bytes that one byte may become */

/* For a log line: ASCII as it is, but a quote, a backslash, control characters and everything above 0x7e as
 * \xHH.  Writes at most ESCAPE_TEXT_MOST * len bytes; returns the end. */
char *escape_text(char *out, struct str text);

/* For the inside of a JSON string: always valid, whatever the bytes (RFC 8259, 7).  UTF-8 stays as it is but
 * for control characters, C1 included (\u009b would drive a terminal); a byte that is no UTF-8 becomes the
 * four characters \xHH.  Writes at most ESCAPE_JSON_MOST * len bytes; returns the end. */
char *escape_json(char *out, struct str text);

#endif
