/* date_test.c - HTTP dates: the C library's calendar is the oracle. */
#include "http/date.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define SAMPLE "Sun, 06 Nov 1994 08:49:37 GMT"

static const time_t sample = 784111777;
static const time_t now = 1763895600;           /* 2025-11-23 11:00:00 */
static const time_t first_second = -62135596800, last_second = 253402300799;

static bool parses(const char *text, time_t at, time_t *when)
{
	return date_parse(str_of(text), at, when);
}

/* What strftime says (in the C locale), which is how the text must be. */
static void expected_text(time_t when, char text[DATE_BYTES])
{
	static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep",
					      "Oct", "Nov", "Dec" };
	struct tm tm;
	char buffer[128];

	gmtime_r(&when, &tm);
	snprintf(buffer, sizeof(buffer), "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday], tm.tm_mday,
		 months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
	memcpy(text, buffer, DATE_BYTES);
}

static void check_round_trip(time_t when)
{
	char text[DATE_BYTES], expected[DATE_BYTES];
	time_t back = 0;

	date_format(when, text);
	expected_text(when, expected);
	/* check writes a message for every assertion: there are too many dates for that */
	if (strcmp(text, expected) != 0)
		ck_abort_msg("%s, not %s", text, expected);
	if (!parses(text, now, &back) || back != when)
		ck_abort_msg("%s is read as %lld", text, (long long)back);
}

START_TEST(every_day_of_four_centuries_makes_the_round_trip)
{
	for (time_t day = -150 * 366; day < 280 * 365; day++)
		check_round_trip(day * 86400 + day % 86400 * 7 % 86400);
}
END_TEST

START_TEST(far_dates_make_the_round_trip)
{
	for (time_t when = first_second; when <= last_second; when += 97 * 86400 + 4211)
		check_round_trip(when);
}
END_TEST

START_TEST(the_first_and_the_last_second_make_the_round_trip)
{
	check_round_trip(first_second);
	check_round_trip(last_second);
}
END_TEST

START_TEST(every_second_of_a_day_makes_the_round_trip)
{
	for (time_t second = 0; second < 86400; second++)
		check_round_trip(sample / 86400 * 86400 + second);
}
END_TEST

START_TEST(years_out_of_range_are_clamped)
{
	char text[DATE_BYTES];

	date_format(last_second + 1, text);
	ck_assert_str_eq(text, "Fri, 31 Dec 9999 23:59:59 GMT");
	date_format(INT64_MAX, text);
	ck_assert_str_eq(text, "Fri, 31 Dec 9999 23:59:59 GMT");
	date_format(INT64_MIN, text);
	ck_assert_str_eq(text, "Mon, 01 Jan 0001 00:00:00 GMT");
}
END_TEST

static const struct {
	const char *text;
	time_t when;
} valid[] = {
	{ SAMPLE, 784111777 },
	{ "Sunday, 06-Nov-94 08:49:37 GMT", 784111777 },
	{ "Sun Nov  6 08:49:37 1994", 784111777 },
	{ "Sun Nov 06 08:49:37 1994", 784111777 },
	{ "Wed Nov 16 08:49:37 1994", 784975777 },
	{ "Thu, 01 Jan 1970 00:00:00 GMT", 0 },
	{ "Wed, 31 Dec 1969 23:59:59 GMT", -1 },
	{ "Tue, 29 Feb 2000 00:00:00 GMT", 951782400 },
	{ "Thu, 29 Feb 2024 12:00:00 GMT", 1709208000 },
	{ "Sat, 31 Dec 2016 23:59:60 GMT", 1483228800 },
	{ "Saturday, 31-Dec-16 23:59:60 GMT", 1483228800 },
};

START_TEST(every_form_is_read)
{
	time_t when = -12345;

	ck_assert(parses(valid[_i].text, now, &when));
	ck_assert_int_eq(when, valid[_i].when);
}
END_TEST

static const char *const invalid[] = {
	"", "0", "Sun", "784111777", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC",
	"Sun, 06 Nov 1994 08:49:37 GMT ", " Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT+1",
	"sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 gmt",
	"Sun,06 Nov 1994 08:49:37 GMT", "Sun, 6 Nov 1994 08:49:37 GMT", "Sun,  6 Nov 1994 08:49:37 GMT",
	"Sun, 06  Nov 1994 08:49:37 GMT", "Sun, 06-Nov-1994 08:49:37 GMT", "Sun, 06 Nov 94 08:49:37 GMT",
	"Sun, 06 Nov 1994 8:49:37 GMT", "Sun, 06 Nov 1994 08:49 GMT", "Sun, 06 Nov 1994 08.49.37 GMT",
	"Sun, 06 Nov 1994 +8:49:37 GMT", "Sun, 06 Nov 19x4 08:49:37 GMT", "Sun, 06 Nov 19940 08:49:37 GMT",
	"Mon, 06 Nov 1994 08:49:37 GMT", "Monday, 06-Nov-94 08:49:37 GMT", "Mon Nov  6 08:49:37 1994",
	"Sunday, 06 Nov 1994 08:49:37 GMT", "Sun, 06-Nov-94 08:49:37 GMT", "Sunday, 06-Nov-1994 08:49:37 GMT",
	"Sunday, 06-Nov-94 08:49:37", "Sun Nov 6 08:49:37 1994", "Sun Nov   6 08:49:37 1994",
	"Sun Nov  6 08:49:37 1994 GMT", "Sun Nov  6 08:49:37 94", "Sunday Nov  6 08:49:37 1994",
	/* days, months and times that do not exist; of days, with the weekday that timegm gives them */
	"Sun, 00 Nov 1994 08:49:37 GMT", "Mon, 00 Oct 1994 08:49:37 GMT", "Fri, 30 Feb 1996 00:00:00 GMT",
	"Wed, 29 Feb 1995 00:00:00 GMT", "Thu, 29 Feb 1900 00:00:00 GMT", "Mon, 29 Feb 2100 00:00:00 GMT",
	"Sat, 29 Feb 2200 00:00:00 GMT",
	"Thu, 31 Apr 1998 00:00:00 GMT", "Fri, 31 Apr 1998 00:00:00 GMT", "Fri, 32 Jan 1999 00:00:00 GMT",
	"Mon, 32 Jan 1999 00:00:00 GMT", "Sun, 06 Nev 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:00:00 GMT",
	"Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 08:49:60 GMT", "Sun, 06 Nov 1994 23:59:61 GMT",
	"Sun, 06 Nov 1994 22:59:60 GMT", "Sun, 06 Nov 1994 23:58:60 GMT", "Sat, 01 Jan 0000 00:00:00 GMT",
};

START_TEST(what_is_no_date_is_refused)
{
	time_t when = 42;

	ck_assert_msg(!parses(invalid[_i], now, &when), "%s", invalid[_i]);
	ck_assert_int_eq(when, 42);
}
END_TEST

START_TEST(every_proper_prefix_is_refused)
{
	static const char *const texts[] = { SAMPLE, "Sunday, 06-Nov-94 08:49:37 GMT",
					     "Sun Nov  6 08:49:37 1994" };
	time_t when;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		for (size_t len = 0; len < strlen(texts[i]); len++) {
			char *copy = malloc(len + 1);   /* exact, so that a sanitizer sees a read behind it */

			memcpy(copy, texts[i], len);
			ck_assert(!date_parse((struct str){ copy, len }, now, &when));
			free(copy);
		}
	}
}
END_TEST

START_TEST(a_nul_behind_a_date_is_refused)
{
	time_t when;

	ck_assert(!date_parse((struct str){ SAMPLE "\0", sizeof(SAMPLE) }, now, &when));
}
END_TEST

/* The RFC 850 form of `when`. */
static void format_rfc850(time_t when, char *text, size_t bytes)
{
	struct tm tm;

	gmtime_r(&when, &tm);
	strftime(text, bytes, "%A, %d-%b-%y %H:%M:%S GMT", &tm);
}

static time_t instant(int year, int month, int day)
{
	struct tm tm = { .tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day };

	return timegm(&tm);
}

static const struct {
	int now_year, year;     /* whose two digits must be read as that year at that time */
} two_digits[] = {
	{ 2025, 2025 }, { 2025, 1999 }, { 2025, 1976 }, { 2025, 2000 }, { 2025, 2075 }, { 2025, 2026 },
	{ 1999, 1999 }, { 1999, 1900 }, { 1994, 1994 }, { 2060, 2099 }, { 2049, 2099 }, { 2048, 1999 },
};

START_TEST(two_digits_mean_at_most_fifty_years_ahead)
{
	char text[64];
	time_t then = instant(two_digits[_i].year, 6, 15), when = 0;

	format_rfc850(then, text, sizeof(text));
	ck_assert(parses(text, instant(two_digits[_i].now_year, 6, 15), &when));
	ck_assert_int_eq(when, then);
}
END_TEST

START_TEST(fifty_years_ahead_are_counted_to_the_second)
{
	char text[64];
	time_t at = instant(2025, 6, 15), when = 0;

	format_rfc850(instant(2075, 6, 15), text, sizeof(text));
	ck_assert(parses(text, at, &when));
	ck_assert_int_eq(when, instant(2075, 6, 15));
	format_rfc850(instant(1975, 6, 15) + 1, text, sizeof(text));
	ck_assert(parses(text, at, &when));
	ck_assert_int_eq(when, instant(1975, 6, 15) + 1);
}
END_TEST

START_TEST(any_now_is_harmless)
{
	static const time_t clocks[] = { INT64_MIN, -62135596800, 0, 253402300799, INT64_MAX };
	time_t when;

	for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++)
		(void)parses("Sunday, 06-Nov-94 08:49:37 GMT", clocks[i], &when);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("date");
	TCase *tests = tcase_create("date");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, every_day_of_four_centuries_makes_the_round_trip);
	tcase_add_test(tests, far_dates_make_the_round_trip);
	tcase_add_test(tests, the_first_and_the_last_second_make_the_round_trip);
	tcase_add_test(tests, every_second_of_a_day_makes_the_round_trip);
	tcase_add_test(tests, years_out_of_range_are_clamped);
	tcase_add_loop_test(tests, every_form_is_read, 0, sizeof(valid) / sizeof(valid[0]));
	tcase_add_loop_test(tests, what_is_no_date_is_refused, 0, sizeof(invalid) / sizeof(invalid[0]));
	tcase_add_test(tests, every_proper_prefix_is_refused);
	tcase_add_test(tests, a_nul_behind_a_date_is_refused);
	tcase_add_loop_test(tests, two_digits_mean_at_most_fifty_years_ahead, 0,
			    sizeof(two_digits) / sizeof(two_digits[0]));
	tcase_add_test(tests, fifty_years_ahead_are_counted_to_the_second);
	tcase_add_test(tests, any_now_is_harmless);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
