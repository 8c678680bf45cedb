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

/* The same whatever the case of ASCII letters. */
bool str_has_prefix_nocase(struct str text, struct str prefix);

/* Takes `len` bytes off the beginning of `text`, which has as many. */
static inline struct str str_take(struct str *text, size_t len)
{
	struct str taken = { text->at, len };

	text->at += len;
	text->len -= len;
	return taken;
}

/* One tchar or more (RFC 9110, 5.6.2). */
bool str_is_token(struct str text);

/* Without spaces and tabs at both ends (OWS of RFC 9110, 5.6.3). */
struct str str_trim(struct str text);

/* Takes the next element of a comma-separated list off `rest`, trimmed; quoted strings keep their commas
 * (RFC 9110, 5.6.1).  Empty elements are passed over.  Returns false when the list is at its end. */
bool str_next_element(struct str *rest, struct str *element);

/* Takes what may stand between two elements of such a list off `rest`; true when the next one may begin:
 * there was a comma, or nothing follows. */
bool str_skip_separator(struct str *rest);

/* Reads digits only; false on an empty slice, any other byte, or a value over UINT64_MAX. */
bool str_to_u64(struct str text, uint64_t *value);

/* Lower case of an ASCII letter, whatever the locale. */
static inline char str_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* The value of a hexadecimal digit; -1 for any other byte. */
static inline int str_hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = str_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* How many single-letter edits lead from `a` to `b`, swapped neighbours counting as one, for "did you
 * mean"; SIZE_MAX when one of them is longer than 64 bytes. */
size_t str_distance(const char *a, const char *b);

#endif
