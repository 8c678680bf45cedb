/* What is wrong with a configuration, a line each: "file:line:column: what is wrong, what is allowed". */
#ifndef CONFIG_PROBLEMS_H
#define CONFIG_PROBLEMS_H

#include <stddef.h>

enum {
	PROBLEMS_MAX_BYTES = 32 * 1024,
	PROBLEMS_MAX_LINES = 100,       /* nobody mends more at once */
};

struct problems {
	char *text;                     /* malloc'ed, terminated; NULL: none */
	size_t len;
	unsigned count;                 /* of all of them */
	unsigned kept;                  /* within the bounds: lines of the text */
};

/* What is quoted may hold anything: a line feed would begin a line of its own, an escape would speak to the
 * terminal. Puts '?' in place of control bytes. */
void problems_blank(char *text);

void problems_add(struct problems *problems, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts them in the order of their places, and says behind them how many were not kept. Files stay in the
 * order in which they turned up. */
void problems_finish(struct problems *problems);

void problems_release(struct problems *problems);

#endif
