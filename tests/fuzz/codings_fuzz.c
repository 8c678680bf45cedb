/* codings_fuzz.c - Accept-Encoding: weights stay in bounds, several fields mean the same as their list, and
 * capitals mean nothing.
 *
 * Input: a field's value a line. */
#include "fuzz.h"

#include "base/arena.h"
#include "http/negotiate.h"

#include <ctype.h>

enum { MOST_FIELDS = 16 };

static struct codings codings_of(struct str text, char separator)
{
	struct header headers[MOST_FIELDS] = { 0 };
	struct request request = { .headers = headers, .seen = UINT32_MAX, .again = UINT32_MAX };
	struct input input = { (const uint8_t *)text.at, text.len };

	while (input.len > 0 && request.header_count < MOST_FIELDS) {
		struct str line = input_until(&input, separator);
		struct str value = str_trim(line);

		headers[request.header_count++] = (struct header){
			.value = { (uint32_t)(value.at - text.at), (uint32_t)value.len },
			.id = HEADER_ACCEPT_ENCODING,
		};
	}
	return negotiate_codings(&request, text.at);
}

static void check_order(struct codings codings)
{
	static const enum coding preferred[] = { CODING_GZIP, CODING_ZSTD, CODING_BR };
	unsigned short last = WEIGHT_MOST, before[CODINGS];
	unsigned rounds = 0;
	enum coding coding;

	memcpy(before, codings.weights, sizeof(before));
	while ((coding = negotiate_next(&codings, preferred, 3)) != CODING_IDENTITY) {
		FUZZ_CHECK(before[coding] > 0 && before[coding] <= last);
		FUZZ_CHECK(before[coding] >= before[CODING_IDENTITY]);
		last = before[coding];
		FUZZ_CHECK(++rounds < CODINGS);
	}
}

/* What has the same number is given the same. */
static void check_number(struct codings codings)
{
	static const enum coding preferred[] = { CODING_BR, CODING_GZIP, CODING_ZSTD };
	unsigned number = negotiate_number(&codings);
	struct codings same = negotiate_of_number(number);

	FUZZ_CHECK(number < NEGOTIATE_NUMBERS && negotiate_number(&same) == number);
	FUZZ_CHECK((codings.weights[CODING_IDENTITY] == 0) == (same.weights[CODING_IDENTITY] == 0));
	for (unsigned i = 0; i < CODINGS; i++)
		FUZZ_CHECK(negotiate_next(&codings, preferred, 3) == negotiate_next(&same, preferred, 3));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = { 0 };
	struct str text = { (const char *)data, size };
	char *list = arena_alloc(&arena, size + 1), *upper = arena_alloc(&arena, size + 1);
	struct codings codings = codings_of(text, '\n'), same;
	size_t fields = 1;

	for (size_t i = 0; i < size; i++) {
		fields += data[i] == '\n';
		list[i] = (char)(data[i] == '\n' ? ',' : data[i]);
		upper[i] = (char)toupper(data[i]);
	}
	for (unsigned i = 0; i < CODINGS; i++)
		FUZZ_CHECK(codings.weights[i] <= WEIGHT_MOST);
	check_order(codings);
	check_number(codings);
	same = codings_of((struct str){ upper, size }, '\n');
	FUZZ_CHECK(memcmp(&codings, &same, sizeof(same)) == 0);
	if (fields <= MOST_FIELDS && memchr(data, '"', size) == NULL) {         /* quotes may span commas */
		same = codings_of((struct str){ list, size }, '\n');
		FUZZ_CHECK(memcmp(&codings, &same, sizeof(same)) == 0);
	}
	arena_free(&arena);
	return 0;
}
