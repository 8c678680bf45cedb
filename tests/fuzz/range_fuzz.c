/* range_fuzz.c - Range fields: what is found lies inside, does not touch, is what a simple reading finds, and
 * makes a multipart of the length that was announced.
 *
 * Input: how long the representation is (a byte; its highest bit: a very long one), the field's value. */
#include "fuzz.h"

#include "http/multipart.h"

enum { MOST_BYTES = 127, LONGEST_NUMBER = 18 };

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* ---- a simple reading, for short representations and numbers of up to 18 digits ---- */

struct reading {
	bool bad, unsure;       /* unsure: a number has too many digits for this */
	unsigned specs;
	bool wanted[MOST_BYTES];
};

/* -1: no number */
static int64_t take_number(struct str *text, struct reading *reading)
{
	int64_t number = -1;
	unsigned digits = 0;

	for (; text->len > 0 && is_digit(text->at[0]); text->at++, text->len--) {
		if (++digits > LONGEST_NUMBER)
			reading->unsure = true;
		else
			number = (number < 0 ? 0 : number) * 10 + (text->at[0] - '0');
	}
	return number;
}

static void read_spec(struct str spec, int64_t length, struct reading *reading)
{
	int64_t first = take_number(&spec, reading), last;

	if (spec.len == 0 || spec.at[0] != '-') {
		reading->bad = true;
		return;
	}
	spec = (struct str){ spec.at + 1, spec.len - 1 };
	last = take_number(&spec, reading);
	reading->bad |= spec.len > 0 || (first < 0 && last < 0) || (first >= 0 && last >= 0 && last < first);
	if (first < 0) {
		reading->bad |= length == 0 && last > 0;
		first = last < length ? length - last : 0;
		last = -1;
	}
	for (int64_t at = first; at < length && (last < 0 || at <= last); at++)
		reading->wanted[at] = true;
}

static struct reading read_simply(struct str value, int64_t length)
{
	struct reading reading = { .bad = value.len < 7 };
	bool first = true;

	if (reading.bad || !str_equal_nocase((struct str){ value.at, 6 }, str_of("bytes="))) {
		reading.bad = true;
		return reading;
	}
	value = (struct str){ value.at + 6, value.len - 6 };
	reading.bad = value.at[0] == ' ' || value.at[0] == '\t';
	while (value.len > 0 || first) {
		const char *comma = memchr(value.at, ',', value.len);
		size_t len = comma != NULL ? (size_t)(comma - value.at) : value.len;
		struct str spec = str_trim((struct str){ value.at, len });

		first = false;
		if (spec.len > 0) {
			reading.specs++;
			read_spec(spec, length, &reading);
		}
		len += comma != NULL ? 1 : 0;
		value = (struct str){ value.at + len, value.len - len };
	}
	reading.bad |= reading.specs == 0;
	return reading;
}

static bool is_in(const struct ranges *ranges, uint64_t at)
{
	for (unsigned i = 0; i < ranges->count; i++)
		if (at >= ranges->at[i].first && at - ranges->at[i].first < ranges->at[i].len)
			return true;
	return false;
}

static void compare(struct str value, uint64_t length, enum range_result result, const struct ranges *ranges)
{
	struct reading reading = read_simply(value, (int64_t)length);

	if (reading.unsure)
		return;
	if (reading.bad || reading.specs > RANGE_SPECS_MOST) {
		FUZZ_CHECK(result == RANGE_IGNORED);
		return;
	}
	FUZZ_CHECK(result != RANGE_IGNORED);    /* so few bytes have no more ranges than are allowed */
	for (uint64_t at = 0; at < length; at++)
		FUZZ_CHECK(reading.wanted[at] == (result == RANGE_SOME && is_in(ranges, at)));
}

/* ---- what holds for any ---- */

static void check_ranges(const struct ranges *ranges, uint64_t length)
{
	FUZZ_CHECK(ranges->count > 0 && ranges->count <= RANGE_MOST);
	for (unsigned i = 0; i < ranges->count; i++) {
		struct range a = ranges->at[i];

		FUZZ_CHECK(a.len > 0 && a.first < length && a.len <= length - a.first);
		for (unsigned j = i + 1; j < ranges->count; j++) {
			struct range b = ranges->at[j];

			FUZZ_CHECK(a.first + a.len < b.first || b.first + b.len < a.first);
		}
	}
}

static void check_multipart(const struct ranges *ranges, uint64_t length)
{
	struct multipart multipart = { str_of("0123456789abcdef"), str_of("text/plain"), length };
	struct arena arena = { 0 };
	uint64_t sum = multipart_tail(&multipart, &arena).len;

	for (unsigned i = 0; i < ranges->count; i++)
		sum += multipart_head(&multipart, ranges->at[i], &arena).len + ranges->at[i].len;
	FUZZ_CHECK(multipart_length(&multipart, ranges) == sum);
	arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	uint8_t byte = input_byte(&input);
	uint64_t length = byte < 128 ? byte % MOST_BYTES : (uint64_t)INT64_MAX - byte + 128;
	struct str value = input_take(&input, input.len);
	struct ranges ranges;
	enum range_result result = range_parse(value, length, &ranges);

	if (result == RANGE_SOME) {
		check_ranges(&ranges, length);
		check_multipart(&ranges, length);
	}
	if (length <= MOST_BYTES)
		compare(value, length, result, &ranges);
	return 0;
}
