/* range.c - the Range field, by RFC 9110, 14.1 and 14.2.
 *
 * Pure; called by whoever can answer with a part. Cannot fail: what is malformed, of another unit, or too
 * much is IGNORED, as the RFC allows and every client has to expect. Numbers may have any number of
 * digits. */
#include "range.h"

/* ---- numbers ------------------------------------------------------------------------------------------- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The digits that `rest` begins with. */
static struct str take_digits(struct str *rest)
{
	size_t len = 0;

	while (len < rest->len && is_digit(rest->at[len]))
		len++;
	return str_take(rest, len);
}

static struct str without_zeros(struct str digits)
{
	while (digits.len > 1 && digits.at[0] == '0')
		str_take(&digits, 1);
	return digits;
}

/* Numbers compare by their digits, so that none is too large for that. */
static bool is_less(struct str a, struct str b)
{
	a = without_zeros(a);
	b = without_zeros(b);
	return a.len != b.len ? a.len < b.len : memcmp(a.at, b.at, a.len) < 0;
}

/* No representation is so long that what is cut off here matters. */
static uint64_t number_of(struct str digits)
{
	uint64_t number;

	return str_to_u64(digits, &number) ? number : UINT64_MAX;
}

/* ---- sets ---------------------------------------------------------------------------------------------- */

static bool touch(struct range a, struct range b)
{
	return a.first <= b.first + b.len && b.first <= a.first + a.len;
}

static struct range join(struct range a, struct range b)
{
	uint64_t a_end = a.first + a.len, b_end = b.first + b.len;
	uint64_t first = a.first < b.first ? a.first : b.first;

	return (struct range){ first, (a_end > b_end ? a_end : b_end) - first };
}

static void cut_out(struct ranges *ranges, unsigned index)
{
	ranges->count--;
	memmove(&ranges->at[index], &ranges->at[index + 1], (ranges->count - index) * sizeof(ranges->at[0]));
}

/* Adds one range; those that it touches become one with it, in the place of the first.  False: too many. */
static bool add(struct ranges *ranges, struct range range)
{
	unsigned place = ranges->count, i = 0;

	while (i < ranges->count) {
		if (!touch(ranges->at[i], range)) {
			i++;
			continue;
		}
		range = join(ranges->at[i], range);
		cut_out(ranges, i);
		place = i < place ? i : place;
		i = 0;                  /* it is larger now, and may touch others */
	}
	if (ranges->count == RANGE_MOST)
		return false;
	memmove(&ranges->at[place + 1], &ranges->at[place], (ranges->count - place) * sizeof(ranges->at[0]));
	ranges->at[place] = range;
	ranges->count++;
	return true;
}

/* ---- the field ----------------------------------------------------------------------------------------- */

/* What became of a range-spec: malformed, outside of the representation, or `range`. */
enum spec { SPEC_BAD, SPEC_OUTSIDE, SPEC_INSIDE };

/* "-500": the last so many bytes, all when there are fewer; of an empty representation that is all, too, but
 * no range could say so. */
static enum spec suffix(struct str digits, uint64_t length, struct range *range)
{
	uint64_t len = number_of(digits);

	if (digits.len == 0)
		return SPEC_BAD;
	if (len == 0)
		return SPEC_OUTSIDE;
	if (len > length)
		len = length;
	*range = (struct range){ length - len, len };
	return len > 0 ? SPEC_INSIDE : SPEC_BAD;
}

/* Takes one range-spec off `rest`. */
static enum spec take_spec(struct str *rest, uint64_t length, struct range *range)
{
	struct str first = take_digits(rest), last;
	uint64_t from, to;

	if (rest->len == 0 || rest->at[0] != '-')
		return SPEC_BAD;
	str_take(rest, 1);
	last = take_digits(rest);
	if (first.len == 0)
		return suffix(last, length, range);
	if (last.len > 0 && is_less(last, first))
		return SPEC_BAD;
	from = number_of(first);
	if (from >= length)
		return SPEC_OUTSIDE;
	to = last.len > 0 ? number_of(last) : UINT64_MAX;
	if (to >= length)
		to = length - 1;
	*range = (struct range){ from, to - from + 1 };
	return SPEC_INSIDE;
}

/* The unit is a token, in any case (14.1); what is behind the equals sign is the set. */
static bool take_unit(struct str *value)
{
	struct str unit = str_of("bytes=");

	if (!str_has_prefix_nocase(*value, unit))
		return false;
	str_take(value, unit.len);
	return true;
}

/* An empty element in front of the first is allowed, white space there is not. */
static bool begin_set(struct str *set)
{
	return set->len > 0 && (set->at[0] != ',' || str_skip_separator(set));
}

enum range_result range_parse(struct str value, uint64_t length, struct ranges *ranges)
{
	unsigned specs = 0;
	struct range range;
	enum spec spec;

	ranges->count = 0;
	if (!take_unit(&value) || !begin_set(&value))
		return RANGE_IGNORED;
	while (value.len > 0) {
		spec = take_spec(&value, length, &range);
		if (spec == SPEC_BAD || !str_skip_separator(&value) || ++specs > RANGE_SPECS_MOST)
			return RANGE_IGNORED;
		if (spec == SPEC_INSIDE && !add(ranges, range))
			return RANGE_IGNORED;
	}
	if (specs == 0)
		return RANGE_IGNORED;
	return ranges->count > 0 ? RANGE_SOME : RANGE_NONE;
}
