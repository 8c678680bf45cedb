/* canonical_fuzz.c - the loader of the canonical text: the same verdict in one go and in the smallest steps;
 * what it takes is printed, loaded and printed again as the same.
 *
 * Input: a canonical text, or what might be one. */
#include "fuzz.h"

#include "config/canonical.h"
#include "service/registry.h"

/* NULL with `err`: refused. */
static struct generation *load(struct str text, uint64_t budget_ns, struct err *err)
{
	struct generation *generation = generation_new(1, service_schemas);
	struct canonical_load load;
	bool done = false, good = canonical_begin(&load, generation, text, err);

	while (good && !done)
		good = canonical_step(&load, budget_ns, &done, err);
	FUZZ_CHECK(good || generation->config == NULL);
	FUZZ_CHECK(!good || generation->config != NULL);
	if (good)
		return generation;
	generation_unpin(generation);
	return NULL;
}

static char *print(struct generation *generation, size_t *len)
{
	char *text = canonical_print(generation, len);

	FUZZ_CHECK(text != NULL && text[*len] == '\0');
	generation_unpin(generation);
	return text;
}

/* How many lines open a list. */
static unsigned lists_in(struct str text)
{
	struct input input = { (const uint8_t *)text.at, text.len };
	unsigned count = 0;

	while (input.len > 0) {
		struct str line = str_trim(input_until(&input, '\n'));

		count += line.len > 4 && line.at[0] != '#' && memchr(line.at, ';', line.len) == NULL &&
			 memcmp(line.at + line.len - 4, " = (", 4) == 0;
	}
	return count;
}

static void check_fixed_point(struct generation *generation, struct str loaded)
{
	size_t len, again_len;
	struct err err;
	char *text = print(generation, &len), *again;

	generation = load((struct str){ text, len }, 0, &err);
	FUZZ_CHECK(generation != NULL);
	FUZZ_CHECK(lists_in((struct str){ text, len }) == lists_in(loaded));   /* each is opened once */
	again = print(generation, &again_len);
	FUZZ_CHECK(str_equal((struct str){ text, len }, (struct str){ again, again_len }));
	free(text);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *)data, size };
	struct err err = { "" }, step_err = { "" };
	struct generation *whole = load(text, 0, &err), *steps = load(text, 1, &step_err);

	FUZZ_CHECK((whole == NULL) == (steps == NULL));
	FUZZ_CHECK(strcmp(err.text, step_err.text) == 0);
	generation_unpin(steps);
	if (whole != NULL)
		check_fixed_point(whole, text);
	return 0;
}
