/* str.c - operations on slices.  Pure; called from everywhere; cannot fail but by its answer. */
#include "str.h"

bool str_equal_nocase(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (str_lower(a.at[i]) != str_lower(b.at[i]))
			return false;
	return true;
}

bool str_has_prefix(struct str text, struct str prefix)
{
	return text.len >= prefix.len && memcmp(text.at, prefix.at, prefix.len) == 0;
}

bool str_has_prefix_nocase(struct str text, struct str prefix)
{
	return text.len >= prefix.len && str_equal_nocase((struct str){ text.at, prefix.len }, prefix);
}

bool str_is_token(struct str text)
{
	static const bool token_bytes[256] = {
		['!'] = true,         ['#' ... '\''] = true, ['*'] = true,         ['+'] = true,
		['-'] = true,         ['.'] = true,          ['0' ... '9'] = true, ['A' ... 'Z'] = true,
		['^' ... 'z'] = true, ['|'] = true,          ['~'] = true,
	};

	for (size_t i = 0; i < text.len; i++)
		if (!token_bytes[(unsigned char)text.at[i]])
			return false;
	return text.len > 0;
}

struct str str_trim(struct str text)
{
	while (text.len > 0 && (text.at[0] == ' ' || text.at[0] == '\t')) {
		text.at++;
		text.len--;
	}
	while (text.len > 0 && (text.at[text.len - 1] == ' ' || text.at[text.len - 1] == '\t'))
		text.len--;
	return text;
}

/* The length of the first element of `rest`: up to a comma that is not inside a quoted string. */
static size_t element_len(struct str rest)
{
	bool quoted = false;
	size_t i;

	for (i = 0; i < rest.len; i++) {
		if (quoted && rest.at[i] == '\\' && i + 1 < rest.len)
			i++;
		else if (rest.at[i] == '"')
			quoted = !quoted;
		else if (rest.at[i] == ',' && !quoted)
			break;
	}
	return i < rest.len ? i : rest.len;
}

bool str_next_element(struct str *rest, struct str *element)
{
	while (rest->len > 0) {
		size_t len = element_len(*rest);
		struct str found = str_trim((struct str){ rest->at, len });

		if (len < rest->len)    /* the comma too */
			len++;
		rest->at += len;
		rest->len -= len;
		if (found.len > 0) {
			*element = found;
			return true;
		}
	}
	return false;
}

bool str_skip_separator(struct str *rest)
{
	bool comma = false;

	while (rest->len > 0 && (rest->at[0] == ' ' || rest->at[0] == '\t' || rest->at[0] == ',')) {
		comma = comma || rest->at[0] == ',';
		str_take(rest, 1);
	}
	return comma || rest->len == 0;
}

bool str_to_u64(struct str text, uint64_t *value)
{
	uint64_t sum = 0;

	if (text.len == 0)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return false;
		if (__builtin_mul_overflow(sum, (uint64_t)10, &sum) ||
		    __builtin_add_overflow(sum, (uint64_t)(text.at[i] - '0'), &sum))
			return false;
	}
	*value = sum;
	return true;
}

static size_t min2(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Optimal string alignment (Damerau-Levenshtein without moved blocks), three rows at a time. */
size_t str_distance(const char *a, const char *b)
{
	enum { LONGEST = 64 };
	size_t rows[3][LONGEST + 1];
	size_t a_len = strlen(a), b_len = strlen(b);

	if (a_len > LONGEST || b_len > LONGEST)
		return SIZE_MAX;
	for (size_t j = 0; j <= b_len; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t *row = rows[i % 3], *above = rows[(i - 1) % 3], *above2 = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			row[j] = min2(min2(row[j - 1], above[j]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = min2(row[j], above2[j - 2] + 1);
		}
	}
	return rows[a_len % 3][b_len];
}
