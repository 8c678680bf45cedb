/* HTTP dates (RFC 9110, 5.6.7). */
#ifndef HTTP_DATE_H
#define HTTP_DATE_H

#include "base/str.h"

#include <time.h>

enum { DATE_BYTES = 30 };               /* "Sun, 06 Nov 1994 08:49:37 GMT" and the terminator */

/* Writes the IMF-fixdate of `when`; years outside 1..9999 are clamped. */
void date_format(time_t when, char text[DATE_BYTES]);

/* Reads any of the three forms (IMF-fixdate, RFC 850, asctime), strictly, in any case-sensitive spelling that
 * the grammar allows; a two-digit year more than 50 years ahead of `now` is in the past century.  False when
 * the text is no valid date, also when the day of the week is another one.  The leap second 23:59:60 is the
 * first second of the next day. */
bool date_parse(struct str text, time_t now, time_t *when);

#endif
