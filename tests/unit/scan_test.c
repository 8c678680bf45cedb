/* scan_test.c - the pre-pass over a configuration's text: places, and the first error with its place. */
#include "config/scan.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct scan scan;
static unsigned line, column;
static struct err err;

static bool scanned(const char *text)
{
	char *copy = strndup(text, strlen(text));       /* so that ASan sees a byte too far */
	bool good;

	line = column = 0;
	err.text[0] = '\0';
	good = scan_text(copy, strlen(text), &scan, &line, &column, &err);
	free(copy);
	return good;
}

static void release(void)
{
	scan_release(&scan);
}

static const char *const good[] = {
	"",
	" \n\t\n",
	"# only a comment",
	"// and\n/* another\n one */",
	"a = 1",
	"a = 1;",
	"a : 1;",
	"a = 1, b = 2;",
	"a = 1 b = 2",
	"a = \"x\" \"y\"\n \"z\";",
	"a = \"\\\"\";",
	"a = TRUE; b = False;",
	"a = 0xFFL; b = -1; c = +1; d = 1.5e3; e = .5;",
	"a = 2147483647; b = -2147483648; c = 2147483648L; d = 9LL;",
	"a = { };",
	"a = ( );",
	"a = [ ];",
	"a = ( 1, { b = 2; }, [ 3 ] );",
	"a = { b = { c = 1 } }",
	"*x-y_z = 1;",
	"a=1;#c\nb=2;//d\nc/**/=/**/3;",
	"a = \"# no comment // at all /*\";",
};

START_TEST(what_libconfig_reads_is_scanned)
{
	ck_assert_msg(scanned(good[_i]), "%s: %u:%u %s", good[_i], line, column, err.text);
}
END_TEST

static const struct {
	const char *text;
	unsigned line, column;
	const char *message;            /* how it begins */
} bad[] = {
	{ "a", 1, 2, "expected \"=\" behind the name, but the file ends here" },
	{ "a =", 1, 4, "expected a value, but the file ends here" },
	{ "a = 1;\nb 2;", 2, 3, "expected \"=\" behind the name, found \"2\"" },
	{ "a.b = 1;", 1, 2,
	  "expected \"=\" behind the name (what belongs to a group is written in it: group = { name = value; "
	  "}),"
	  " found \".b\"" },
	{ "\xef\xbb\xbf"
	  "a = 1;",
	  1, 1,
	  "expected the name of a setting, found the byte 0xef (only strings and comments may hold others "
	  "than"
	  " ASCII)" },
	{ "= 1;", 1, 1, "expected the name of a setting, found \"=\"" },
	{ "a = 1;;", 1, 7, "expected the name of a setting, found \";\"" },
	{ "a = foo;", 1, 5, "expected a value: a string in quotes" },
	{ "a = \"x;\nb = 1;", 1, 5, "this string has no closing quote on its line" },
	{ "a = \"x\\", 1, 5, "this string has no closing quote on its line" },
	{ "\n\n  a = {\n b = 1;\n", 3, 7, "expected a closing \"}\" for the group that begins here" },
	{ "a = { b = 1; ) ;", 1, 14, "expected the name of a setting or \"}\"" },
	{ "a = ( 1 2 );", 1, 9, "expected \",\" or \")\"" },
	{ "a = [ 1 2 ];", 1, 9, "expected \",\" or \"]\"" },
	{ "a = ( 1, );", 1, 10, "expected another element behind \",\"" },
	{ "a = [ \"x\", ];", 1, 12, "expected another element behind \",\"" },
	{ "a = ( 1", 1, 8, "expected \",\" or \")\", but the file ends here" },
	{ "a = 64k;", 1, 5, "expected a number (sizes and durations are strings" },
	{ "a = 2147483648;", 1, 5, "expected a number of at most 2147483647" },
	{ "a = -2147483649;", 1, 5, "expected a number of at most 2147483647" },
	{ "a = 4294967296;", 1, 5, "expected a number of at most 2147483647" },
	{ "a = 0x100000000;", 1, 5, "expected a number of at most 2147483647" },
	{ "a = 1.5x;", 1, 5, "expected a number" },
	{ "a = 11111111111111111111111111111111111111111111111111111111111111111;", 1, 5,
	  "expected a number of fewer digits" },
	{ "a = 1;\na = 2;", 2, 1, "\"a\" is in this group already, and may be there only once" },
	{ "a = { b = 1; b = 2; };", 1, 14, "\"b\" is in this group already" },
	{ "a = 1 = 2;", 1, 7, "expected \";\" behind the value" },
	{ "a = 1; }", 1, 8, "expected the name of a setting, found \"}\"" },
	{ "a = !;", 1, 5, "expected a value, found \"!\"" },
	{ "\ta = ;", 1, 6, "expected a value, found \";\"" },
};

START_TEST(the_first_error_is_reported_with_its_place)
{
	ck_assert(!scanned(bad[_i].text));
	ck_assert_msg(strncmp(err.text, bad[_i].message, strlen(bad[_i].message)) == 0, "%s", err.text);
	ck_assert_uint_eq(line, bad[_i].line);
	ck_assert_uint_eq(column, bad[_i].column);
}
END_TEST

START_TEST(a_comment_without_an_end_is_an_error)
{
	ck_assert(!scanned("a = 1; /* x\n\n"));
	ck_assert_str_eq(err.text, "the comment that begins here with /* never ends");
}
END_TEST

START_TEST(the_same_name_in_two_groups_is_no_duplicate)
{
	ck_assert(scanned("a = { x = 1; }; b = { x = 1; }; c = ( { x = 1; }, { x = 1; } ); x = 1;"));
}
END_TEST

static void check_place(unsigned index, unsigned name_line, unsigned name_column, unsigned value_line,
			unsigned value_column)
{
	const struct scan_place *place = &scan.places[index];

	ck_assert_uint_lt(index, scan.count);
	ck_assert_uint_eq(place->name_line, name_line);
	ck_assert_uint_eq(place->name_column, name_column);
	ck_assert_uint_eq(place->value_line, value_line);
	ck_assert_uint_eq(place->value_column, value_column);
}

START_TEST(every_setting_has_its_place_in_the_order_of_the_document)
{
	ck_assert(scanned("a = 1;\n  b =\n\t{ c = \"x\"; };\n"));
	ck_assert_uint_eq(scan.count, 3);
	check_place(0, 1, 1, 1, 5);
	check_place(1, 2, 3, 3, 2);
	check_place(2, 3, 4, 3, 8);
}
END_TEST

START_TEST(the_elements_of_a_list_have_places_too)
{
	ck_assert(scanned("a = ( { b = 1; },\n 2 );"));
	ck_assert_uint_eq(scan.count, 4);
	check_place(1, 1, 7, 1, 7);
	check_place(2, 1, 9, 1, 13);
	check_place(3, 2, 2, 2, 2);
}
END_TEST

START_TEST(lines_inside_of_comments_count)
{
	ck_assert(scanned("/*\n\n*/ a = 1;"));
	check_place(0, 3, 4, 3, 8);
}
END_TEST

START_TEST(more_settings_than_the_first_allocation_have_places)
{
	static char text[20000];
	size_t len = 0;

	for (unsigned i = 0; i < 10; i++) {
		len += (size_t)snprintf(text + len, sizeof(text) - len, "g%u = {\n", i);
		for (unsigned j = 0; j < 99; j++)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "a%02u = %u;\n", j, i);
		len += (size_t)snprintf(text + len, sizeof(text) - len, "};\n");
	}
	ck_assert(scanned(text));
	ck_assert_uint_eq(scan.count, 1000);
	check_place(999, 10 * 101 - 1, 1, 10 * 101 - 1, 7);
}
END_TEST

/* `depth` lists in one another. */
static bool nested(unsigned depth)
{
	char text[300] = "a = ";

	for (unsigned i = 0; i < depth; i++)
		strcat(text, "(");
	for (unsigned i = 0; i < depth; i++)
		strcat(text, ")");
	return scanned(text);
}

static bool with_names(unsigned count)
{
	char text[SCAN_MAX_NAMES * 16] = "";

	for (unsigned i = 0; i < count; i++)
		sprintf(text + strlen(text), "n%u = 1;\n", i);
	return scanned(text);
}

START_TEST(as_many_names_in_a_group_are_allowed)
{
	ck_assert(with_names(SCAN_MAX_NAMES));
}
END_TEST

START_TEST(more_names_in_a_group_are_refused)
{
	ck_assert(!with_names(SCAN_MAX_NAMES + 1));
	ck_assert_msg(strncmp(err.text, "expected fewer names in one group", 33) == 0, "%s", err.text);
}
END_TEST

START_TEST(sixteen_levels_are_allowed)
{
	ck_assert(nested(SCAN_MAX_DEPTH));
}
END_TEST

START_TEST(more_levels_are_refused)
{
	ck_assert(!nested(SCAN_MAX_DEPTH + 1));
	ck_assert_msg(strncmp(err.text, "expected fewer than 16 levels", 29) == 0, "%s", err.text);
}
END_TEST

START_TEST(no_cut_of_a_text_is_read_beyond_its_end)
{
	static const char whole[] =
		"a = \"x\\\"\"; /* c */ b = ( { c = 0x1L; }, [ 1.5, \"y\" ] ); # end\nd : TRUE // x\n";

	for (size_t len = 0; len < sizeof(whole); len++) {
		char *cut = malloc(len + 1);

		memcpy(cut, whole, len);
		scan_text(cut, len, &scan, &line, &column, &err);
		scan_release(&scan);
		free(cut);
	}
}
END_TEST

START_TEST(a_byte_that_belongs_nowhere_is_an_error_and_no_loop)
{
	for (unsigned byte = 128; byte < 256; byte++) {
		char text[] = { 'a', ' ', '=', ' ', (char)byte, '\0' };

		ck_assert(!scanned(text));
		ck_assert_uint_eq(column, 5);
		scan_release(&scan);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("scan");
	TCase *tests = tcase_create("scan");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_checked_fixture(tests, NULL, release);
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, what_libconfig_reads_is_scanned, 0, sizeof(good) / sizeof(good[0]));
	tcase_add_loop_test(tests, the_first_error_is_reported_with_its_place, 0,
			    sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(tests, a_comment_without_an_end_is_an_error);
	tcase_add_test(tests, the_same_name_in_two_groups_is_no_duplicate);
	tcase_add_test(tests, every_setting_has_its_place_in_the_order_of_the_document);
	tcase_add_test(tests, the_elements_of_a_list_have_places_too);
	tcase_add_test(tests, lines_inside_of_comments_count);
	tcase_add_test(tests, more_settings_than_the_first_allocation_have_places);
	tcase_add_test(tests, as_many_names_in_a_group_are_allowed);
	tcase_add_test(tests, more_names_in_a_group_are_refused);
	tcase_add_test(tests, sixteen_levels_are_allowed);
	tcase_add_test(tests, more_levels_are_refused);
	tcase_add_test(tests, no_cut_of_a_text_is_read_beyond_its_end);
	tcase_add_test(tests, a_byte_that_belongs_nowhere_is_an_error_and_no_loop);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
