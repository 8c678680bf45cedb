/* must(x): an invariant of a process that may die of it. What breaks it is a mistake of the program; going on
 * could hand one client's bytes to another. The process writes which one it was and aborts, and costs only
 * what it had in hand.
 *
 * Never about what comes from outside, and never in the master: it has no right to die. */
#ifndef BASE_MUST_H
#define BASE_MUST_H

#include <stddef.h>

#define must(x) ((x) ? (void)0 : must_failed(#x, __FILE__, __LINE__))

/* Where that is written, `bytes` of room; NULL: to stderr. */
void must_note(char *place, size_t bytes);

_Noreturn void must_failed(const char *what, const char *file, int line);

#endif
