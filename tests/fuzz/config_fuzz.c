/* config_fuzz.c - a user's text, all the way to a configuration: every problem has its place, the places of
 * the scan and the tree of libconfig agree, and what is accepted is a fixed point of the canonical text.
 *
 * Input: the text; behind NULs, the texts of a.conf, b.conf ... that it may include. */
#include "fuzz.h"

#include "config/canonical.h"
#include "config/read.h"
#include "config/scan.h"
#include "service/registry.h"

#include <ctype.h>
#include <libconfig.h>
#include <unistd.h>

enum { MOST_FILES = 4 };

static void write_files(struct input input)
{
	char name[] = "a.conf";

	for (unsigned i = 0; i < MOST_FILES; i++, name[0]++) {
		unlink(name);
		if (input.len > 0)
			fuzz_write(name, input_until(&input, '\0'));
	}
}

/* "file:line:column: what", or by whom it was set; and nothing that a terminal or a log would take for something else. */
static bool has_place(struct str line)
{
	const char *at = memchr(line.at, ':', line.len), *end = line.at + line.len;

	if (str_has_prefix(line, str_of("droverctl set: ")))
		return true;
	for (unsigned i = 0; i < 2; i++) {
		if (at == NULL || at == line.at || ++at == end || *at < '1' || *at > '9')
			return false;
		while (at < end && isdigit((unsigned char)*at))
			at++;
		if (at == end || *at != ':')
			return false;
	}
	return end - at > 2 && at[1] == ' ';
}

static void check_problems(const struct problems *problems)
{
	struct str rest = { problems->text, problems->len };

	FUZZ_CHECK(problems->count > 0 && rest.len > 0 && rest.at[rest.len] == '\0');
	while (rest.len > 0) {
		const char *end = memchr(rest.at, '\n', rest.len);
		struct str line = { rest.at, end != NULL ? (size_t)(end - rest.at) : 0 };

		FUZZ_CHECK(end != NULL && has_place(line));
		for (size_t i = 0; i < line.len; i++)
			FUZZ_CHECK((unsigned char)line.at[i] >= 0x20 && line.at[i] != 0x7f);
		rest = (struct str){ end + 1, rest.len - line.len - 1 };
	}
}

static unsigned settings_in(const config_setting_t *setting)
{
	int count = config_setting_is_aggregate(setting) ? config_setting_length(setting) : 0;
	unsigned all = (unsigned)count;

	for (int i = 0; i < count; i++)
		all += settings_in(config_setting_get_elem(setting, (unsigned)i));
	return all;
}

/* What the scan lets through, libconfig takes, and sees as many settings in it. */
static void check_scan(const char *text)
{
	unsigned line = 0, column = 0;
	struct scan scan;
	struct err err;
	config_t tree;

	if (scan_text(text, strlen(text), &scan, &line, &column, &err)) {
		config_init(&tree);
		if (config_read_string(&tree, text) == CONFIG_TRUE)
			FUZZ_CHECK(settings_in(config_root_setting(&tree)) == scan.count);
		config_destroy(&tree);
	} else {
		FUZZ_CHECK(line > 0 && column > 0 && err.text[0] != '\0');
	}
	scan_release(&scan);
}

static struct generation *load(struct str text)
{
	struct generation *generation = generation_new(1, service_schemas);
	struct canonical_load load;
	bool done = false;
	struct err err;

	FUZZ_CHECK(canonical_begin(&load, generation, text, &err));
	FUZZ_CHECK(canonical_step(&load, 0, &done, &err) && done);
	return generation;
}

/* Printed and loaded; the generation before is given back. */
static char *print(struct generation *generation, size_t *len)
{
	char *text = canonical_print(generation, len);

	FUZZ_CHECK(text != NULL);
	generation_unpin(generation);
	return text;
}

/* A first load loses where values came from, which is printed as a comment. */
static void check_fixed_point(struct generation *generation)
{
	size_t len, once_len, again_len;
	char *text = print(generation, &len);
	char *once = print(load((struct str){ text, len }), &once_len);
	char *again = print(load((struct str){ once, once_len }), &again_len);

	FUZZ_CHECK(str_equal((struct str){ once, once_len }, (struct str){ again, again_len }));
	free(text);
	free(once);
	free(again);
}

/* "#set NAME VALUE" at the beginning of the text: what was set while drover runs. */
static void take_overrides(const char *text, struct overrides *overrides)
{
	char name[128], value[256];
	struct err err;
	int len = 0;

	overrides->count = 0;
	while (sscanf(text, "#set %127s %255[^\n]%n", name, value, &len) == 2) {
		overrides_set(overrides, name, value, false, &err);
		text += len + (text[len] == '\n');
	}
}

/* A change reads what the last reload left of the files, and it is the same: values and places. */
static void check_base(const struct generation *generation, const char *base,
		       const struct overrides *overrides)
{
	struct config_input input = {
		.path = "running", .text = base, .canonical = true, .overrides = overrides,
	};
	struct generation *again = generation_new(1, service_schemas);
	struct problems problems = { 0 };
	size_t len, again_len;
	char *text = canonical_print(generation, &len), *same;

	FUZZ_CHECK(base != NULL && read_config(&input, again, &problems));
	same = print(again, &again_len);
	FUZZ_CHECK(str_equal((struct str){ text, len }, (struct str){ same, again_len }));
	free(text);
	free(same);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct generation *generation;
	struct problems problems = { 0 };
	static struct overrides overrides;
	char *text, *base = NULL;

	fuzz_directory();
	if (size > 0 && fuzz_leads_out((struct str){ (const char *)data, size }, "@include", '\n'))
		return 0;
	text = fuzz_copy(input_until(&input, '\0'));
	write_files(input);
	check_scan(text);
	generation = generation_new(1, service_schemas);
	take_overrides(text, &overrides);
	if (read_config(&(struct config_input){ .path = "main.conf", .text = text, .overrides = &overrides,
						.base = &base },
			generation, &problems)) {
		FUZZ_CHECK(problems.count == 0 && generation->config != NULL);
		check_base(generation, base, &overrides);
		check_fixed_point(generation);
	} else {
		check_problems(&problems);
		generation_unpin(generation);
	}
	problems_release(&problems);
	free(text);
	free(base);
	return 0;
}
