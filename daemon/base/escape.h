/* Bytes that came from outside, written so that they stay inside of their quotes.
 *
 * Nobody writes a quote, a line end or a terminal's escape sequence into a log, nor an element into a
 * page. */
#ifndef BASE_ESCAPE_H
#define BASE_ESCAPE_H

#include "str.h"

/* Bytes that one byte may become. */
enum { ESCAPE_TEXT_MOST = 4, ESCAPE_JSON_MOST = 6, ESCAPE_HTML_MOST = 6, ESCAPE_URI_MOST = 3 };

/* For a log line: ASCII as it is, but a quote, a backslash, control characters and everything above 0x7e as
 * \xHH.  Writes at most ESCAPE_TEXT_MOST * len bytes; returns the end. */
char *escape_text(char *out, struct str text);

/* For the inside of a JSON string: always valid, whatever the bytes (RFC 8259, 7).  UTF-8 stays as it is but
 * for control characters, C1 included (\u009b would drive a terminal), what ends a line for some readers
 * (U+2028, U+2029) and what turns the direction of text around; a byte that is no UTF-8 becomes the
 * four characters \xHH.  Writes at most ESCAPE_JSON_MOST * len bytes; returns the end. */
char *escape_json(char *out, struct str text);

/* For text and quoted attributes in HTML, always valid UTF-8 without control characters: those below U+0020
 * become their pictures (U+2400 ...); C1, U+2028 and U+2029, what is no UTF-8 (a byte each), and what turns
 * the direction of text around (so that "exe.jpg" might be shown for a name that ends with "gpj.exe") becomes
 * U+FFFD.  Writes at most ESCAPE_HTML_MOST * len bytes; returns the end. */
char *escape_html(char *out, struct str text);

/* For one segment of a URI's path: all but unreserved characters (RFC 3986, 2.3) as %XX, so that nothing is
 * taken for a scheme, a query or the end of the segment.  Writes at most ESCAPE_URI_MOST * len bytes; returns
 * the end. */
char *escape_uri(char *out, struct str text);

#endif
