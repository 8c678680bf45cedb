/* Writing texts one behind the other, where room was counted before.  Each returns the new end; nothing is
 * terminated. */
#ifndef BASE_PUT_H
#define BASE_PUT_H

#include "str.h"

static inline char *put(char *out, struct str text)
{
	if (text.len > 0)
		memcpy(out, text.at, text.len);
	return out + text.len;
}

/* Of a literal the length is known when it is compiled. */
static inline char *put_text(char *out, const char *text)
{
	return put(out, str_of(text));
}

/* In decimal, at most 20 digits. */
static inline char *put_number(char *out, uint64_t number)
{
	char digits[20];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + number % 10);
	while ((number /= 10) > 0);
	return put(out, (struct str){ digits + at, sizeof(digits) - at });
}

#endif
