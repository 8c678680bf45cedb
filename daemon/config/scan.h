/* The pre-pass over a configuration's text: finds the first syntax error with line and column, which
 * libconfig cannot give, integers that libconfig would silently wrap, duplicate names, and nesting without
 * end; and records where every setting stands, in document order. */
#ifndef CONFIG_SCAN_H
#define CONFIG_SCAN_H

#include "base/arena.h"
#include "base/err.h"

enum {
	SCAN_MAX_DEPTH = 16,
	SCAN_MAX_NAMES = 200,           /* in one group: libconfig compares each with all before it */
};

/* Where one setting stands, from 1; a list's elements are settings too (their name's place is the
 * value's). */
struct scan_place {
	unsigned name_line, name_column;
	unsigned value_line, value_column;
};

/* The settings of a text, groups and lists before what they contain. */
struct scan {
	struct scan_place *places;      /* malloc'ed */
	unsigned count, room;
};

/* Scans `len` bytes of libconfig's grammar (its manual, "Configuration File Grammar").  On false `line` and
 * `column` are where the error is and `err` says what is wrong and what would be right. */
bool scan_text(const char *text, size_t len, struct scan *scan, unsigned *line, unsigned *column,
	       struct err *err);

void scan_release(struct scan *scan);

#endif
