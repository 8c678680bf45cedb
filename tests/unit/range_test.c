/* range_test.c - the Range field, and the multipart/byteranges that several of them make. */
#include "http/multipart.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct ranges ranges;

static enum range_result parse(const char *value, uint64_t length)
{
	return range_parse(str_of(value), length, &ranges);
}

/* "first+len first+len ..." */
static const char *as_text(void)
{
	static char text[256];
	size_t len = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < ranges.count; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%llu+%llu", i > 0 ? " " : "",
					(unsigned long long)ranges.at[i].first,
					(unsigned long long)ranges.at[i].len);
	return text;
}

static const struct {
	const char *value;
	uint64_t length;
	const char *expected;
} some[] = {
	{ "bytes=0-0", 10, "0+1" },
	{ "bytes=0-", 10, "0+10" },
	{ "bytes=9-", 10, "9+1" },
	{ "bytes=3-5", 10, "3+3" },
	{ "bytes=3-99", 10, "3+7" },
	{ "bytes=-1", 10, "9+1" },
	{ "bytes=-10", 10, "0+10" },
	{ "bytes=-11", 10, "0+10" },
	{ "BYTES=1-1", 10, "1+1" },
	{ "bytes=,\t, 1-1 ,\t,", 10, "1+1" },
	{ "bytes=007-0008", 10, "7+2" },
	{ "bytes=1-1, 10-20", 10, "1+1" },
	{ "bytes=-0,1-1", 10, "1+1" },
	/* 64 bits, and more */
	{ "bytes=9223372036854775806-", INT64_MAX, "9223372036854775806+1" },
	{ "bytes=0-18446744073709551615", 10, "0+10" },
	{ "bytes=1-18446744073709551616", 10, "1+9" },
	{ "bytes=-18446744073709551617", 10, "0+10" },
	{ "bytes=1-100000000000000000000000000000000000000", 10, "1+9" },
	{ "bytes=00000000000000000000000000000000000000001-2", 10, "1+2" },
	/* what touches becomes one, in the place of the first */
	{ "bytes=0-1,3-4", 10, "0+2 3+2" },
	{ "bytes=3-4,0-1", 10, "3+2 0+2" },
	{ "bytes=0-1,2-4", 10, "0+5" },
	{ "bytes=2-4,0-1", 10, "0+5" },
	{ "bytes=0-4,2-3", 10, "0+5" },
	{ "bytes=2-3,0-4", 10, "0+5" },
	{ "bytes=0-0,2-2,4-4,1-1", 10, "0+3 4+1" },
	{ "bytes=0-0,2-2,4-4,1-3", 10, "0+5" },
	{ "bytes=8-8,0-0,4-4,7-9", 10, "7+3 0+1 4+1" },
	{ "bytes=8-8,0-0,4-4,1-3", 10, "8+1 0+5" },
	{ "bytes=-3,5-6", 10, "5+5" },
};

START_TEST(ranges_are_found)
{
	ck_assert_int_eq(parse(some[_i].value, some[_i].length), RANGE_SOME);
	ck_assert_str_eq(as_text(), some[_i].expected);
}
END_TEST

static const char *const ignored[] = {
	"",
	"b",
	"bytes",
	"bytes=",
	"bytes=,",
	"bytes= ",
	"bytes=-",
	"bytes=--1",
	"bytes=a",
	"bytes=1",
	"bytes=1-2-3",
	"bytes=1-a",
	"bytes=2-1",
	"bytes=0-1,2-1",
	"bytes= 0-1",
	"bytes =0-1",
	" bytes=0-1",
	"bytes=0 -1",
	"bytes=0- 1",
	"bytes=0-1 2-3",
	"bytes=0-1;2-3",
	"bytes=0-1,a",
	"bytes=+0-1",
	"bytes=0-1,-",
	"lines=0-1",
	"bytes0-1",
	"bytes=18446744073709551617-18446744073709551616",
	"bytes=10-9",
	"bytes=0x0-1",
	"bytes=\xb2-",
};

START_TEST(what_is_no_byte_range_set_is_ignored)
{
	ck_assert_int_eq(parse(ignored[_i], 10), RANGE_IGNORED);
}
END_TEST

static const char *const outside[] = {
	"bytes=10-",
	"bytes=10-10",
	"bytes=-0",
	"bytes=-000",
	"bytes=18446744073709551616-",
	"bytes=10-11,-0,20-",
	"bytes=99999999999999999999-99999999999999999999",
};

START_TEST(what_is_outside_is_nothing)
{
	ck_assert_int_eq(parse(outside[_i], 10), RANGE_NONE);
}
END_TEST

START_TEST(of_nothing_there_is_no_range)
{
	ck_assert_int_eq(parse("bytes=0-", 0), RANGE_NONE);
	ck_assert_int_eq(parse("bytes=0-0", 0), RANGE_NONE);
	ck_assert_int_eq(parse("bytes=-0", 0), RANGE_NONE);
	ck_assert_int_eq(parse("bytes=-1", 0), RANGE_IGNORED);  /* the whole, which no range can say */
}
END_TEST

/* "bytes=" and `count` ranges of one byte, `step` apart. */
static char *many(unsigned count, unsigned step)
{
	char *text = calloc(count, 24), *at = text + sprintf(text, "bytes=");

	for (unsigned i = 0; i < count; i++)
		at += sprintf(at, "%s%u-%u", i > 0 ? "," : "", i * step, i * step);
	return text;
}

static const struct {
	unsigned count, step;
	enum range_result result;
	unsigned left;
} counts[] = {
	{ RANGE_MOST, 2, RANGE_SOME, RANGE_MOST },     { RANGE_MOST + 1, 2, RANGE_IGNORED, 0 },
	{ RANGE_SPECS_MOST, 1, RANGE_SOME, 1 },        { RANGE_SPECS_MOST, 0, RANGE_SOME, 1 },
	{ RANGE_SPECS_MOST + 1, 1, RANGE_IGNORED, 0 },
};

START_TEST(too_many_are_ignored)
{
	char *text = many(counts[_i].count, counts[_i].step);

	ck_assert_int_eq(parse(text, 100000), counts[_i].result);
	if (counts[_i].result == RANGE_SOME)
		ck_assert_uint_eq(ranges.count, counts[_i].left);
	free(text);
}
END_TEST

/* ---- multipart/byteranges ------------------------ */

static const struct multipart multipart = { { "xyz", 3 }, { "text/plain", 10 }, 1000 };

START_TEST(parts_are_surrounded_as_they_must_be)
{
	struct arena arena = { 0 };
	struct range range = { 7, 93 };

	ck_assert_str_eq(multipart_head(&multipart, range, &arena).at,
			 "\r\n--xyz\r\nContent-Type: text/plain\r\nContent-Range: bytes 7-99/1000\r\n\r\n");
	ck_assert_str_eq(multipart_tail(&multipart, &arena).at, "\r\n--xyz--\r\n");
	ck_assert_str_eq(multipart_content_range(range, 1000, &arena).at, "bytes 7-99/1000");
	arena_free(&arena);
}
END_TEST

START_TEST(the_length_is_that_of_all_the_pieces)
{
	struct arena arena = { 0 };
	uint64_t sum = multipart_tail(&multipart, &arena).len;

	ck_assert_int_eq(parse("bytes=0-0,9-10,99-100,200-200,-1", multipart.length), RANGE_SOME);
	ck_assert_uint_eq(ranges.count, 5);
	for (unsigned i = 0; i < ranges.count; i++)
		sum += multipart_head(&multipart, ranges.at[i], &arena).len + ranges.at[i].len;
	ck_assert_uint_eq(multipart_length(&multipart, &ranges), sum);
	arena_free(&arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("range");
	TCase *tests = tcase_create("range");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_loop_test(tests, ranges_are_found, 0, sizeof(some) / sizeof(some[0]));
	tcase_add_loop_test(tests, what_is_no_byte_range_set_is_ignored, 0,
			    sizeof(ignored) / sizeof(ignored[0]));
	tcase_add_loop_test(tests, what_is_outside_is_nothing, 0, sizeof(outside) / sizeof(outside[0]));
	tcase_add_test(tests, of_nothing_there_is_no_range);
	tcase_add_loop_test(tests, too_many_are_ignored, 0, sizeof(counts) / sizeof(counts[0]));
	tcase_add_test(tests, parts_are_surrounded_as_they_must_be);
	tcase_add_test(tests, the_length_is_that_of_all_the_pieces);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
