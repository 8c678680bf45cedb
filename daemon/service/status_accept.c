/* status_accept.c - reading Accept.  Called by status.c; pure. An element that does not follow the grammar
 * counts as not there. */
#include "status_accept.h"

#include "http/negotiate.h"

/* How precisely a range names a type: the most precise one counts. */
enum precision { PRECISE_NOT, PRECISE_ANY, PRECISE_KIND, PRECISE_TYPE, PRECISE_VERSION };

struct range {
	struct str type;
	struct str version;             /* absent: it has none */
	unsigned short weight;
};

/* What is meant by a token and the same in quotes is one; nothing that is looked for needs an escape. */
static struct str unquoted(struct str value)
{
	value = str_trim(value);
	if (value.len < 2 || value.at[0] != '"' || value.at[value.len - 1] != '"')
		return value;
	return (struct str){ value.at + 1, value.len - 2 };
}

/* Takes the next parameter off `rest`, "; name=value". */
static bool next_parameter(struct str *rest, struct str *name, struct str *value)
{
	const char *end, *equals;
	struct str one;

	while (rest->len > 0 && (rest->at[0] == ';' || rest->at[0] == ' ' || rest->at[0] == '\t'))
		str_take(rest, 1);
	if (rest->len == 0)
		return false;
	end = memchr(rest->at, ';', rest->len);
	one = str_take(rest, end != NULL ? (size_t)(end - rest->at) : rest->len);
	equals = memchr(one.at, '=', one.len);
	*name = str_trim((struct str){ one.at, equals != NULL ? (size_t)(equals - one.at) : one.len });
	*value = (struct str){ 0 };
	if (equals != NULL)
		*value = unquoted((struct str){ equals + 1, one.len - (size_t)(equals + 1 - one.at) });
	return true;
}

static bool read_range(struct str element, struct range *range)
{
	const char *semicolon = memchr(element.at, ';', element.len);
	size_t len = semicolon != NULL ? (size_t)(semicolon - element.at) : element.len;
	struct str name, value;

	*range = (struct range){ .weight = WEIGHT_MOST };
	range->type = str_trim(str_take(&element, len));
	while (next_parameter(&element, &name, &value)) {
		if (str_equal_nocase(name, str_of("q")) && !negotiate_weight(value, &range->weight))
			return false;
		if (str_equal_nocase(name, str_of("version")))
			range->version = value;
	}
	return true;
}

/* "text" of "text / *" without the blanks. */
static bool is_kind_of(struct str range, struct str type)
{
	return range.len > 2 && memcmp(range.at + range.len - 2, "/*", 2) == 0 &&
	       str_has_prefix_nocase(type, (struct str){ range.at, range.len - 1 });
}

static enum precision how_precise(const struct range *range, const struct status_offer *offer)
{
	struct str type = str_of(offer->type);

	if (str_equal(range->type, str_of("*/*")))
		return PRECISE_ANY;
	if (is_kind_of(range->type, type))
		return PRECISE_KIND;
	if (!str_equal_nocase(range->type, type))
		return PRECISE_NOT;
	if (range->version.at == NULL || offer->version == NULL)
		return PRECISE_TYPE;
	return str_equal(range->version, str_of(offer->version)) ? PRECISE_VERSION : PRECISE_NOT;
}

static unsigned short weight_of(const struct request *request, const char *head,
				const struct status_offer *offer)
{
	enum precision best = PRECISE_NOT, now;
	unsigned short weight = 0;
	struct str rest, element;
	struct header header;
	struct range range;
	unsigned index = 0;

	while (request_next(request, HEADER_ACCEPT, &index, &header)) {
		rest = span_str(header.value, head);
		while (str_next_element(&rest, &element)) {
			if (!read_range(element, &range))
				continue;
			now = how_precise(&range, offer);
			if (now > best) {
				best = now;
				weight = range.weight;
			}
		}
	}
	return weight;
}

unsigned status_accept(const struct request *request, const char *head, const struct status_offer *offers,
		       unsigned count)
{
	unsigned short most = 0, weight;
	unsigned best = 0;

	for (unsigned i = 0; i < count; i++) {
		weight = weight_of(request, head, &offers[i]);
		if (weight > most) {
			most = weight;
			best = i;
		}
	}
	return best;
}
