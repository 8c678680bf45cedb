/* accept.c - weighing media types.  Pure; called by services.  Nothing fails: what cannot be understood says
 * nothing. */
#include "accept.h"

#include "negotiate.h"

enum { ANY_TYPE = 1, MAIN_TYPE, WHOLE_TYPE };

/* Takes what is in front of `separator` off `rest`, trimmed; quoted strings keep theirs (RFC 9110, 5.6.4). */
static struct str take(struct str *rest, char separator)
{
	struct str taken = { rest->at, 0 };
	bool quoted = false;

	for (; taken.len < rest->len && (quoted || rest->at[taken.len] != separator); taken.len++) {
		if (quoted && rest->at[taken.len] == '\\' && taken.len + 1 < rest->len)
			taken.len++;
		else if (rest->at[taken.len] == '"')
			quoted = !quoted;
	}
	rest->at += taken.len;
	rest->len -= taken.len;
	if (rest->len > 0)
		*rest = (struct str){ rest->at + 1, rest->len - 1 };
	return str_trim(taken);
}

/* The weight among the parameters; false when it is no valid one. */
static bool weight_of(struct str parameters, unsigned short *weight)
{
	*weight = WEIGHT_MOST;
	while (parameters.len > 0) {
		struct str value = take(&parameters, ';'), name = take(&value, '=');

		if (str_equal_nocase(name, str_of("q")))
			return negotiate_weight(value, weight);
	}
	return true;
}

/* 0: the range does not hold `type`. */
static unsigned precision_of(struct str range, struct str type)
{
	size_t main_len = (size_t)((const char *)memchr(type.at, '/', type.len) - type.at) + 1;

	if (str_equal(range, str_of("*/*")))
		return ANY_TYPE;
	if (str_equal_nocase(range, type))
		return WHOLE_TYPE;
	return range.len == main_len + 1 && range.at[main_len] == '*' &&
			       str_equal_nocase((struct str){ range.at, main_len },
						(struct str){ type.at, main_len })
		       ? MAIN_TYPE
		       : 0;
}

void accept_weigh(struct str value, struct str type, struct acceptance *acceptance)
{
	struct str element;

	while (str_next_element(&value, &element)) {
		struct str range = take(&element, ';');
		unsigned precision = precision_of(range, type);
		unsigned short weight;

		if (precision > acceptance->precision && weight_of(element, &weight))
			*acceptance = (struct acceptance){ weight, precision };
	}
}

bool accept_prefers(const struct request *request, const char *head, struct str type, struct str usual)
{
	struct acceptance wanted = { 0, 0 }, other = { 0, 0 };
	struct header header;
	unsigned index = 0;

	while (request_next(request, HEADER_ACCEPT, &index, &header)) {
		accept_weigh(span_str(header.value, head), type, &wanted);
		accept_weigh(span_str(header.value, head), usual, &other);
	}
	return wanted.weight > other.weight ||
	       (wanted.weight > 0 && wanted.weight == other.weight && wanted.precision > other.precision);
}
