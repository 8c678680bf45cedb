/* conditional_test.c - preconditions: each by itself, and which goes first. */
#include "http/conditional.h"

#include "http/parse.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static const time_t now = 1764072000;                   /* in 2025 */
static const struct validators strong = { { "\"e,1\"", 5 }, false, 1700000000, true };
static const struct validators weak = { { "\"e,1\"", 5 }, true, 1700000000, false };

#define THEN "Tue, 14 Nov 2023 22:13:20 GMT"
#define BEFORE "Tue, 14 Nov 2023 22:13:19 GMT"
#define AFTER "Tue, 14 Nov 2023 22:13:21 GMT"

static char head[4096];
static struct request request;
static struct arena arena;

/* Parses a request with these field lines. */
static void parse(const char *fields)
{
	static const struct parse_limits limits = { 1000, 4000, 50 };
	struct parse parse;
	unsigned status;

	snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
	parse_begin(&parse, &request);
	ck_assert_int_eq(parse_head(&parse, &request, &limits, head, strlen(head), &arena, &status),
			 PARSE_DONE);
}

static unsigned status_of(const char *fields, const struct validators *validators)
{
	unsigned status;

	parse(fields);
	status = conditional_status(&request, head, validators, now);
	arena_free(&arena);
	return status;
}

static const struct {
	const char *fields;
	unsigned status, status_weak;
} conditions[] = {
	{ "", 0, 0 },
	{ "Range: bytes=0-1\r\nIf-Range: \"x\"\r\n", 0, 0 },
	/* If-Match (13.1.1) */
	{ "If-Match: \"e,1\"\r\n", 0, 412 },
	{ "If-Match: W/\"e,1\"\r\n", 412, 412 },
	{ "If-Match: *\r\n", 0, 0 },
	{ "If-Match: \"a\", \"e,1\"\r\n", 0, 412 },
	{ "If-Match: \"a\"\r\nIf-Match: \"e,1\"\r\n", 0, 412 },
	{ "If-Match: \"a\"\r\n", 412, 412 },
	{ "If-Match: e,1\r\n", 412, 412 },
	{ "If-Match:\r\n", 412, 412 },
	{ "If-Match: *, \"e,1\"\r\n", 412, 412 },
	{ "If-Match: *\r\nIf-Match: *\r\n", 412, 412 },
	/* If-None-Match (13.1.2) */
	{ "If-None-Match: \"e,1\"\r\n", 304, 304 },
	{ "If-None-Match: W/\"e,1\"\r\n", 304, 304 },
	{ "If-None-Match: *\r\n", 304, 304 },
	{ "If-None-Match: , \"a\" ,,\t\"e,1\" ,\r\n", 304, 304 },
	{ "If-None-Match: \"e,1\",\"a\"\r\n", 304, 304 },
	{ "If-None-Match: \"\", \"e,1\"\r\n", 304, 304 },
	{ "If-None-Match: \"\\\", \"e,1\"\r\n", 304, 304 },       /* a backslash escapes nothing */
	{ "If-None-Match: \"\x80\", \"e,1\"\r\n", 304, 304 },
	{ "If-None-Match: \"E,1\"\r\n", 0, 0 },
	{ "If-None-Match: \"e\", \"1\"\r\n", 0, 0 },
	{ "If-None-Match: \"e,1\r\n", 0, 0 },
	{ "If-None-Match: e,1\"\r\n", 0, 0 },
	{ "If-None-Match: w/\"e,1\"\r\n", 0, 0 },
	{ "If-None-Match: W/ \"e,1\"\r\n", 0, 0 },
	{ "If-None-Match: W\"e,1\"\r\n", 0, 0 },
	{ "If-None-Match: \"e,1\" \"a\"\r\n", 0, 0 },
	{ "If-None-Match: \"e,1\"\"a\"\r\n", 0, 0 },
	{ "If-None-Match: \"a b\", \"e,1\"\r\n", 0, 0 },
	{ "If-None-Match: \"e,1\", a\r\n", 0, 0 },
	{ "If-None-Match: \"e,1\", *\r\n", 0, 0 },
	{ "If-None-Match: \"*\"\r\n", 0, 0 },
	{ "If-None-Match:\r\n", 0, 0 },
	/* dates (13.1.3, 13.1.4) */
	{ "If-Modified-Since: " BEFORE "\r\n", 0, 0 },
	{ "If-Modified-Since: " THEN "\r\n", 304, 304 },
	{ "If-Modified-Since: " AFTER "\r\n", 304, 304 },
	{ "If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT\r\n", 304, 304 },
	{ "If-Modified-Since: Tuesday, 14-Nov-23 22:13:20 GMT\r\n", 304, 304 },
	{ "If-Modified-Since: Tue Nov 14 22:13:20 2023\r\n", 304, 304 },
	{ "If-Modified-Since: Wed, 14 Nov 2023 22:13:20 GMT\r\n", 0, 0 },
	{ "If-Modified-Since: " THEN ", " THEN "\r\n", 0, 0 },
	{ "If-Modified-Since: " THEN "\r\nIf-Modified-Since: " THEN "\r\n", 0, 0 },
	{ "If-Modified-Since: 1700000000\r\n", 0, 0 },
	{ "If-Unmodified-Since: " BEFORE "\r\n", 412, 412 },
	{ "If-Unmodified-Since: " THEN "\r\n", 0, 0 },
	{ "If-Unmodified-Since: " AFTER "\r\n", 0, 0 },
	{ "If-Unmodified-Since: Tuesday, 14-Nov-23 22:13:19 GMT\r\n", 412, 412 },
	{ "If-Unmodified-Since: Tue Nov 14 22:13:19 2023\r\n", 412, 412 },
	{ "If-Unmodified-Since: never\r\n", 0, 0 },
	{ "If-Unmodified-Since: " BEFORE "\r\nIf-Unmodified-Since: " BEFORE "\r\n", 0, 0 },
	/* precedence (13.2.2) */
	{ "If-Match: \"e,1\"\r\nIf-Unmodified-Since: " BEFORE "\r\n", 0, 412 },
	{ "If-Unmodified-Since: " AFTER "\r\nIf-Match: \"a\"\r\n", 412, 412 },
	{ "If-None-Match: \"a\"\r\nIf-Modified-Since: " THEN "\r\n", 0, 0 },
	{ "If-None-Match: a\r\nIf-Modified-Since: " THEN "\r\n", 0, 0 },
	{ "If-Modified-Since: " BEFORE "\r\nIf-None-Match: \"e,1\"\r\n", 304, 304 },
	{ "If-None-Match: *\r\nIf-Match: \"a\"\r\n", 412, 412 },
	{ "If-None-Match: *\r\nIf-Match: *\r\n", 304, 304 },
	{ "If-Modified-Since: " THEN "\r\nIf-Unmodified-Since: " BEFORE "\r\n", 412, 412 },
	{ "If-Modified-Since: " THEN "\r\nIf-Unmodified-Since: " THEN "\r\n", 304, 304 },
	{ "If-None-Match: \"a\"\r\nIf-Unmodified-Since: " BEFORE "\r\n", 412, 412 },
};

START_TEST(a_condition_has_its_status)
{
	ck_assert_uint_eq(status_of(conditions[_i].fields, &strong), conditions[_i].status);
	ck_assert_uint_eq(status_of(conditions[_i].fields, &weak), conditions[_i].status_weak);
}
END_TEST

static const struct {
	const char *fields;
	bool good;
} if_ranges[] = {
	{ "", true },
	{ "If-Range: \"e,1\"\r\n", true },
	{ "If-Range: W/\"e,1\"\r\n", false },
	{ "If-Range: \"a\"\r\n", false },
	{ "If-Range: \"e,1\", \"a\"\r\n", false },
	{ "If-Range: \"e,1\" \r\n", true },
	{ "If-Range: *\r\n", false },
	{ "If-Range: e,1\r\n", false },
	{ "If-Range:\r\n", false },
	{ "If-Range: \"e,1\"\r\nIf-Range: \"e,1\"\r\n", false },
	{ "If-Range: " THEN "\r\n", true },
	{ "If-Range: " BEFORE "\r\n", false },
	{ "If-Range: " AFTER "\r\n", false },
	{ "If-Range: Tue Nov 14 22:13:20 2023\r\n", true },
	{ "If-Range: yesterday\r\n", false },
};

START_TEST(if_range_names_this_representation_or_not)
{
	parse(if_ranges[_i].fields);
	ck_assert_int_eq(conditional_if_range(&request, head, &strong, now), if_ranges[_i].good);
	ck_assert_int_eq(conditional_if_range(&request, head, &weak, now),
			 request.header_count == 1);     /* nothing names a weak one */
	arena_free(&arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("conditional");
	TCase *tests = tcase_create("conditional");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_loop_test(tests, a_condition_has_its_status, 0, sizeof(conditions) / sizeof(conditions[0]));
	tcase_add_loop_test(tests, if_range_names_this_representation_or_not, 0,
			    sizeof(if_ranges) / sizeof(if_ranges[0]));
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
