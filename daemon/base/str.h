/* Slices of text that belongs to somebody else, and the few operations on them that the daemon needs. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* `len` bytes at `at`; not terminated.  An absent slice has at == NULL. */
struct str {
	const char *at;
	size_t len;
};

/* The slice of a literal or of a terminated string; NULL gives the absent slice. */
static inline struct str str_of(const char *text)
{
	return (struct str){ text, text != NULL ? strlen(text) : 0 };
}

static inline bool str_equal(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* Equal but for the case of ASCII letters, whatever the locale. */
bool str_equal_nocase(struct str a, struct str b);

bool str_has_prefix(struct str text, struct str prefix);

/* Without spaces and tabs at both ends (OWS of RFC 9110, 5.6.3). */
struct str str_trim(struct str text);

/* Takes the next element of a comma-separated list off `rest`, trimmed; quoted strings keep their commas
 * (RFC 9110, 5.6.1).  Empty elements are passed over.  Returns false when the list is at its end. */
bool str_next_element(struct str *rest, struct str *element);

/* Reads digits only; false on an empty slice, any other byte, or a value over UINT64_MAX. */
bool str_to_u64(struct str text, uint64_t *value);

/* Lower case of an ASCII letter, whatever the locale. */
static inline char str_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* How many single-letter edits lead from `a` to `b`, swapped neighbours counting as one, for "did you
 * mean"; SIZE_MAX when one of them is longer than 64 bytes. */
size_t str_distance(const char *a, const char *b);

#endif
