/* setting_test.c - values of settings: from text, to text, within bounds. */
#include "config/setting.h"

#include <check.h>
#include <stdlib.h>

struct sample {
	bool flag;
	unsigned number, count, choice;
	uint64_t size, duration;
	const char *text, *path, *word_or_path;
	struct strings names;
};

static const char *const colours[] = { "red", "green", "blue", NULL };
static const char *const words[] = { "off", NULL };

static bool no_x(const char *text, struct err *err)
{
	return strchr(text, 'x') == NULL || err_set(err, "has an x");
}

#define AT(member) .offset = offsetof(struct sample, member)

enum { FLAG, NUMBER, COUNT, CHOICE, SIZE, DURATION, TEXT, PATH, WORD_OR_PATH, NAMES, ROWS };

static const struct setting rows[ROWS] = {
	[FLAG] = { "flag", SETTING_BOOL, .def = "true", AT(flag) },
	[NUMBER] = { "number", SETTING_INTEGER, .def = "5", .min = "2", .max = "10", AT(number) },
	[COUNT] = { "count", SETTING_COUNT, .def = "auto", .min = "1", .max = "8", AT(count) },
	[CHOICE] = { "choice", SETTING_CHOICE, .def = "green", .choices = colours, AT(choice) },
	[SIZE] = { "limits.size", SETTING_SIZE, .def = "8k", .min = "256", .max = "1m", AT(size) },
	[DURATION] = { "limits.duration", SETTING_DURATION, .def = "10s", .min = "100ms", .max = "1h",
		       AT(duration) },
	[TEXT] = { "text", SETTING_STRING, .check = no_x, AT(text) },
	[PATH] = { "path", SETTING_PATH, AT(path) },
	[WORD_OR_PATH] = { "word_or_path", SETTING_PATH, .def = "off", .choices = words, AT(word_or_path) },
	[NAMES] = { "names", SETTING_STRINGS, .def = "one", .check = no_x, AT(names) },
};

static const struct schema schema = { "sample", rows, ROWS, sizeof(struct sample), NULL };

static struct arena arena;
static struct sample *sample;
static struct err err;

static void create(void)
{
	sample = setting_instance(&schema, &arena);
	ck_assert(setting_store_defaults(&schema, sample, &arena, &err));
}

static void destroy(void)
{
	arena_free(&arena);
}

static bool store(unsigned row, struct raw raw)
{
	return setting_store(&rows[row], &raw, "/etc/drover", sample, &arena, &err);
}

static struct raw number(long long value)
{
	return (struct raw){ .kind = RAW_NUMBER, .number = value };
}

static struct raw text(const char *value)
{
	return (struct raw){ .kind = RAW_STRING, .text = value };
}

static struct raw strings(unsigned count, const char **at)
{
	return (struct raw){ .kind = RAW_STRINGS, .strings = { count, at } };
}

static const struct {
	const char *text;
	bool good;
	uint64_t value;
} sizes[] = {
	{ "0", true, 0 },
	{ "1", true, 1 },
	{ "64k", true, 65536 },
	{ "1m", true, 1048576 },
	{ "2g", true, 2147483648 },
	{ "", false, 0 },
	{ "k", false, 0 },
	{ "1K", false, 0 },
	{ "1kb", false, 0 },
	{ "1 k", false, 0 },
	{ " 1", false, 0 },
	{ "-1k", false, 0 },
	{ "1.5k", false, 0 },
	{ "0x10", false, 0 },
	{ "17179869183g", true, 17179869183u * (UINT64_C(1) << 30) },
	{ "17179869184g", false, 0 },
	{ "18446744073709551615", true, UINT64_MAX },
	{ "18446744073709551616", false, 0 },
};

START_TEST(a_size_is_digits_and_a_unit)
{
	uint64_t value = 4711;

	ck_assert_int_eq(setting_parse_size(sizes[_i].text, &value), sizes[_i].good);
	if (sizes[_i].good)
		ck_assert_uint_eq(value, sizes[_i].value);
}
END_TEST

static const struct {
	const char *text;
	bool good;
	uint64_t value;
} durations[] = {
	{ "0", true, 0 },
	{ "0s", true, 0 },
	{ "off", true, 0 },
	{ "off ", false, 0 },
	{ "offs", false, 0 },
	{ "1ms", true, 1000000 },
	{ "30s", true, 30000000000 },
	{ "2m", true, 120000000000 },
	{ "1h", true, 3600000000000 },
	{ "1d", true, 86400000000000 },
	{ "1", false, 0 },
	{ "", false, 0 },
	{ "s", false, 0 },
	{ "1S", false, 0 },
	{ "1sec", false, 0 },
	{ "1s ", false, 0 },
	{ "-1s", false, 0 },
	{ "1.5s", false, 0 },
	{ "213503d", true, 213503 * UINT64_C(86400000000000) },
	{ "213504d", false, 0 },
	{ "1us", false, 0 },
};

START_TEST(a_duration_is_digits_and_a_unit)
{
	uint64_t value = 4711;

	ck_assert_int_eq(setting_parse_duration(durations[_i].text, &value), durations[_i].good);
	if (durations[_i].good)
		ck_assert_uint_eq(value, durations[_i].value);
}
END_TEST

START_TEST(defaults_are_stored_by_the_type_of_their_row)
{
	ck_assert(sample->flag);
	ck_assert_uint_eq(sample->number, 5);
	ck_assert_uint_eq(sample->count, 0);
	ck_assert_uint_eq(sample->choice, 1);
	ck_assert_uint_eq(sample->size, 8192);
	ck_assert_uint_eq(sample->duration, 10000000000);
	ck_assert_ptr_null(sample->text);
	ck_assert_str_eq(sample->word_or_path, "off");
	ck_assert_uint_eq(sample->names.count, 1);
	ck_assert_str_eq(sample->names.at[0], "one");
}
END_TEST

START_TEST(a_default_has_no_origin)
{
	for (unsigned i = 0; i < ROWS; i++)
		ck_assert_ptr_null(*setting_origin(&schema, sample, i));
}
END_TEST

START_TEST(the_edges_of_a_range_are_inside)
{
	ck_assert(store(NUMBER, number(2)));
	ck_assert(store(NUMBER, number(10)));
	ck_assert(store(SIZE, text("256")));
	ck_assert(store(SIZE, text("1m")));
	ck_assert(store(DURATION, text("100ms")));
	ck_assert(store(DURATION, text("60m")));
}
END_TEST

static const struct {
	unsigned row;
	struct raw raw;
	const char *message;
} refused[] = {
	{ NUMBER, { RAW_NUMBER, .number = 1 }, "number: too small; allowed is a whole number, from 2 to 10" },
	{ NUMBER,
	  { RAW_NUMBER, .number = 11 },
	  "number: too large; allowed is a whole number, from 2 to 10" },
	{ NUMBER,
	  { RAW_NUMBER, .number = -1 },
	  "number: too small; allowed is a whole number, from 2 to 10" },
	{ NUMBER,
	  { RAW_NUMBER, .number = 4294967301 },
	  "number: too large; allowed is a whole number, from 2 to 10" },
	{ NUMBER,
	  { RAW_STRING, .text = "5" },
	  "number: not a whole number; allowed is a whole number, from 2 to 10" },
	{ NUMBER,
	  { RAW_STRING, .text = "auto" },
	  "number: not a whole number; allowed is a whole number, from 2 to 10" },
	{ COUNT,
	  { RAW_NUMBER, .number = 0 },
	  "count: too small; allowed is \"auto\" or a whole number, from 1 to 8" },
	{ COUNT,
	  { RAW_STRING, .text = "all" },
	  "count: not a whole number; allowed is \"auto\" or a whole number, from 1 to 8" },
	{ SIZE,
	  { RAW_NUMBER, .number = 1024 },
	  "limits.size: a bare number; allowed is a size such as \"64k\" (k, m or g), from 256 to 1m" },
	{ SIZE,
	  { RAW_STRING, .text = "255" },
	  "limits.size: too small; allowed is a size such as \"64k\" (k, m or g), from 256 to 1m" },
	{ SIZE,
	  { RAW_STRING, .text = "1025k" },
	  "limits.size: too large; allowed is a size such as \"64k\" (k, m or g), from 256 to 1m" },
	{ DURATION,
	  { RAW_STRING, .text = "soon" },
	  "limits.duration: no number with a unit; allowed is a duration such as \"30s\" (ms, s, m, h or d),"
	  " from 100ms to 1h" },
	{ DURATION,
	  { RAW_BOOL, .truth = true },
	  "limits.duration: no number with a unit; allowed is a duration such as \"30s\" (ms, s, m, h or d),"
	  " from 100ms to 1h" },
	{ CHOICE,
	  { RAW_STRING, .text = "Red" },
	  "choice: unknown value; allowed is \"red\", \"green\" or \"blue\"" },
	{ CHOICE,
	  { RAW_NUMBER, .number = 1 },
	  "choice: not a string; allowed is \"red\", \"green\" or \"blue\"" },
	{ FLAG, { RAW_NUMBER, .number = 1 }, "flag: not a truth value; allowed is true or false" },
	{ FLAG, { RAW_STRING, .text = "true" }, "flag: not a truth value; allowed is true or false" },
	{ TEXT, { RAW_STRING, .text = "" }, "text: empty; allowed is a string" },
	{ TEXT, { RAW_STRING, .text = "axb" }, "text: has an x" },
	{ TEXT, { RAW_NUMBER, .number = 1 }, "text: not a string; allowed is a string" },
	{ PATH, { RAW_BOOL, .truth = true }, "path: not a string; allowed is a path" },
	{ NAMES,
	  { RAW_STRING, .text = "a" },
	  "names: not an array of strings; allowed is an array of strings such as [ \"a\", \"b\" ]" },
};

START_TEST(what_is_not_allowed_is_refused_with_what_is)
{
	struct sample before = *sample;

	ck_assert(!store(refused[_i].row, refused[_i].raw));
	ck_assert_str_eq(err.text, refused[_i].message);
	ck_assert_mem_eq(sample, &before, sizeof(before));
}
END_TEST

START_TEST(one_bad_string_refuses_the_array_and_leaves_the_old_one)
{
	ck_assert(!store(NAMES, strings(2, (const char *[]){ "good", "xbad" })));
	ck_assert_str_eq(err.text, "names: has an x");
	ck_assert_str_eq(sample->names.at[0], "one");
}
END_TEST

START_TEST(an_empty_array_is_present)
{
	const char *none[] = { NULL };

	ck_assert(store(NAMES, strings(0, none)));
	ck_assert_uint_eq(sample->names.count, 0);
	ck_assert_ptr_nonnull(sample->names.at);
}
END_TEST

START_TEST(strings_are_copied)
{
	char mine[] = "mine";

	ck_assert(store(TEXT, text(mine)));
	mine[0] = 'X';
	ck_assert_str_eq(sample->text, "mine");
}
END_TEST

START_TEST(a_relative_path_is_put_behind_the_directory)
{
	ck_assert(store(PATH, text("www")));
	ck_assert_str_eq(sample->path, "/etc/drover/www");
}
END_TEST

START_TEST(an_absolute_path_stays)
{
	ck_assert(store(PATH, text("/srv/www")));
	ck_assert_str_eq(sample->path, "/srv/www");
}
END_TEST

START_TEST(a_word_in_the_place_of_a_path_stays)
{
	ck_assert(store(WORD_OR_PATH, text("off")));
	ck_assert_str_eq(sample->word_or_path, "off");
	ck_assert(store(WORD_OR_PATH, text("offer")));
	ck_assert_str_eq(sample->word_or_path, "/etc/drover/offer");
}
END_TEST

START_TEST(auto_is_zero)
{
	ck_assert(store(COUNT, number(3)));
	ck_assert(store(COUNT, text("auto")));
	ck_assert_uint_eq(sample->count, 0);
}
END_TEST

static const struct {
	unsigned row;
	struct raw raw;
	const char *text;
} printed[] = {
	{ FLAG, { RAW_BOOL, .truth = false }, "false" },
	{ NUMBER, { RAW_NUMBER, .number = 7 }, "7" },
	{ COUNT, { RAW_NUMBER, .number = 7 }, "7" },
	{ COUNT, { RAW_STRING, .text = "auto" }, "\"auto\"" },
	{ CHOICE, { RAW_STRING, .text = "blue" }, "\"blue\"" },
	{ SIZE, { RAW_STRING, .text = "64k" }, "\"64k\"" },
	{ SIZE, { RAW_STRING, .text = "1024k" }, "\"1m\"" },
	{ SIZE, { RAW_STRING, .text = "1500" }, "\"1500\"" },
	{ DURATION, { RAW_STRING, .text = "90s" }, "\"90s\"" },
	{ DURATION, { RAW_STRING, .text = "120s" }, "\"2m\"" },
	{ DURATION, { RAW_STRING, .text = "1500ms" }, "\"1500ms\"" },
	{ TEXT, { RAW_STRING, .text = "a\"b\\c\n\x7f\xc3\xa4" }, "\"a\\\"b\\\\c\\x0a\\x7f\xc3\xa4\"" },
};

START_TEST(a_value_is_printed_as_it_would_be_written)
{
	ck_assert(store(printed[_i].row, printed[_i].raw));
	ck_assert_str_eq(setting_text(&rows[printed[_i].row], sample, &arena), printed[_i].text);
}
END_TEST

START_TEST(what_is_absent_has_no_text)
{
	ck_assert_ptr_null(setting_text(&rows[TEXT], sample, &arena));
}
END_TEST

START_TEST(an_array_is_printed_as_it_would_be_written)
{
	ck_assert(store(NAMES, strings(2, (const char *[]){ "a", "b\"" })));
	ck_assert_str_eq(setting_text(&rows[NAMES], sample, &arena), "[ \"a\", \"b\\\"\" ]");
}
END_TEST

START_TEST(values_are_the_same_or_not)
{
	struct sample *other = setting_instance(&schema, &arena);

	ck_assert(setting_store_defaults(&schema, other, &arena, &err));
	for (unsigned i = 0; i < ROWS; i++)
		ck_assert(setting_same(&rows[i], sample, other));
	ck_assert(store(TEXT, text("a")));
	ck_assert(!setting_same(&rows[TEXT], sample, other));
	ck_assert(store(NUMBER, number(6)));
	ck_assert(!setting_same(&rows[NUMBER], sample, other));
}
END_TEST

START_TEST(a_row_is_found_in_its_group_only)
{
	ck_assert_ptr_eq(setting_find(&schema, "limits", "size"), &rows[SIZE]);
	ck_assert_ptr_eq(setting_find(&schema, NULL, "flag"), &rows[FLAG]);
	ck_assert_ptr_null(setting_find(&schema, NULL, "size"));
	ck_assert_ptr_null(setting_find(&schema, NULL, "limits.size"));
	ck_assert_ptr_null(setting_find(&schema, "limit", "size"));
	ck_assert_ptr_null(setting_find(&schema, "limits", "flag"));
}
END_TEST

START_TEST(a_group_is_what_rows_live_in)
{
	ck_assert(setting_is_group(&schema, "limits"));
	ck_assert(!setting_is_group(&schema, "limit"));
	ck_assert(!setting_is_group(&schema, "flag"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("setting");
	TCase *tests = tcase_create("setting");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_checked_fixture(tests, create, destroy);
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, a_size_is_digits_and_a_unit, 0, sizeof(sizes) / sizeof(sizes[0]));
	tcase_add_loop_test(tests, a_duration_is_digits_and_a_unit, 0,
			    sizeof(durations) / sizeof(durations[0]));
	tcase_add_test(tests, defaults_are_stored_by_the_type_of_their_row);
	tcase_add_test(tests, a_default_has_no_origin);
	tcase_add_test(tests, the_edges_of_a_range_are_inside);
	tcase_add_loop_test(tests, what_is_not_allowed_is_refused_with_what_is, 0,
			    sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(tests, one_bad_string_refuses_the_array_and_leaves_the_old_one);
	tcase_add_test(tests, an_empty_array_is_present);
	tcase_add_test(tests, strings_are_copied);
	tcase_add_test(tests, a_relative_path_is_put_behind_the_directory);
	tcase_add_test(tests, an_absolute_path_stays);
	tcase_add_test(tests, a_word_in_the_place_of_a_path_stays);
	tcase_add_test(tests, auto_is_zero);
	tcase_add_loop_test(tests, a_value_is_printed_as_it_would_be_written, 0,
			    sizeof(printed) / sizeof(printed[0]));
	tcase_add_test(tests, what_is_absent_has_no_text);
	tcase_add_test(tests, an_array_is_printed_as_it_would_be_written);
	tcase_add_test(tests, values_are_the_same_or_not);
	tcase_add_test(tests, a_row_is_found_in_its_group_only);
	tcase_add_test(tests, a_group_is_what_rows_live_in);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
