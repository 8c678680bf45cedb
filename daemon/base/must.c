/* must.c - the end of a process whose invariant is broken, and where epitaphs go that nobody reads.
 *
 * Called by must(); allocates nothing. */
#include "must.h"

#include "epitaph.h"

#include <stdio.h>
#include <stdlib.h>

struct epitaph epitaph_nowhere;

static struct {
	char *place;
	size_t bytes;
} note;

void must_note(char *place, size_t bytes)
{
	note.place = place;
	note.bytes = bytes;
}

void must_failed(const char *what, const char *file, int line)
{
	if (note.place != NULL)
		snprintf(note.place, note.bytes, "%s:%d: %s", file, line, what);
	else
		fprintf(stderr, "%s:%d: %s is broken\n", file, line, what);
	abort();
}
