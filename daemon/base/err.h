/* Errors of the cold path are values that grow context on their way up; only the top speaks.
 *
 * The failing call says what it was doing, each caller adds what it wanted it for:
 *	"listen on [::]:80, slot 0: bind: Address already in use"
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>

enum { ERR_TEXT_BYTES = 1024 };

struct err {
	char text[ERR_TEXT_BYTES];      /* always terminated; a text that is too long is cut at its end */
};

/* Sets the text.  Returns false, so that a failing function can end with `return err_set(...)`. */
bool err_set(struct err *err, const char *format, ...) __attribute__((cold, format(printf, 2, 3)));

/* Sets the text to "FORMAT: strerror(error)".  Returns false. */
bool err_sys(struct err *err, int error, const char *format, ...) __attribute__((cold, format(printf, 3, 4)));

/* Puts "FORMAT: " in front of the text that is there.  Returns false. */
bool err_add(struct err *err, const char *format, ...) __attribute__((cold, format(printf, 2, 3)));

#endif
