/* Chunked bodies: what each row says, whatever the split. */
#include "http/chunked.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define LAST "0\r\n\r\n"

static const struct chunked_limits usual = { 1 << 20, 64, 3 };

struct outcome {
	enum chunked_result result;
	unsigned status;
	size_t taken, content_len;
	char content[256];
};

static void feed(struct outcome *outcome, struct chunked *chunked, const struct chunked_limits *limits,
		 const char *bytes, size_t len)
{
	struct str rest = { bytes, len }, data;

	do {
		outcome->result = chunked_next(chunked, limits, &rest, &data, &outcome->status);
		if (outcome->result == CHUNKED_DATA) {
			memcpy(outcome->content + outcome->content_len, data.at, data.len);
			outcome->content_len += data.len;
		}
	} while (outcome->result == CHUNKED_DATA);
	outcome->taken += len - rest.len;
}

/* In pieces: the first one, then all others, of `piece` bytes. */
static struct outcome decode(const struct chunked_limits *limits, const char *text, size_t first,
			     size_t piece)
{
	struct outcome outcome = { .result = CHUNKED_MORE };
	struct chunked chunked = { 0 };
	size_t left = strlen(text);

	while (outcome.result == CHUNKED_MORE && left > 0) {
		size_t len = first > 0 ? first : piece;

		first = 0;
		if (len > left)
			len = left;
		feed(&outcome, &chunked, limits, text, len);
		text += len;
		left -= len;
	}
	return outcome;
}

/* ---- what is accepted ------------------------ */

static const struct {
	const char *text, *content, *behind;
} good[] = {
	{ LAST, "", "" },
	{ LAST "GET", "", "GET" },
	{ "5\r\nhello\r\n" LAST, "hello", "" },
	{ "5\r\nhello\r\n6\r\n world\r\n" LAST "\r\n", "hello world", "\r\n" },
	{ "a\r\n0123456789\r\nA\r\n0123456789\r\n" LAST, "01234567890123456789", "" },
	{ "10\r\n0123456789abcdef\r\n" LAST, "0123456789abcdef", "" },
	{ "005\r\nhello\r\n000\r\n\r\n", "hello", "" },
	{ "0000000000000000000000000000005\r\nhello\r\n" LAST, "hello", "" },
	{ "4\r\n\r\n\r\n\r\n" LAST, "\r\n\r\n", "" },
	{ "5\r\n0\r\n\r\n\r\n" LAST, "0\r\n\r\n", "" },
	/* extensions: names, values, white space around ";" and "=" (RFC 9110, 5.6.3) */
	{ "1;a\r\nx\r\n" LAST, "x", "" },
	{ "1;a=b;c=d\r\nx\r\n0;e\r\n\r\n", "x", "" },
	{ "1 ; a = b\t;\tc\r\nx\r\n" LAST, "x", "" },
	{ "1;a=\"\"\r\nx\r\n" LAST, "x", "" },
	{ "1;a=\"b;c=d \t\\\"\\\\\x80\"\r\nx\r\n" LAST, "x", "" },
	{ "1;a=\"b\" ; c\r\nx\r\n" LAST, "x", "" },
	{ "1;5=5;a5f!=~\r\nx\r\n" LAST, "x", "" },
	{ "1;a ;b\r\nx\r\n" LAST, "x", "" },
	/* trailers */
	{ "0\r\nA: b\r\n\r\nGET", "", "GET" },
	{ "0\r\nA:\r\nB: \t\x80 \"x\" (y) \\ \r\nContent-Length: 5\r\n\r\n", "", "" },
};

static void check_good(const struct outcome *outcome, int row)
{
	ck_assert_msg(outcome->result == CHUNKED_DONE, "row %d: result %d, status %u", row, outcome->result,
		      outcome->status);
	ck_assert_uint_eq(outcome->content_len, strlen(good[row].content));
	ck_assert_mem_eq(outcome->content, good[row].content, outcome->content_len);
}

START_TEST(a_good_body_has_its_content_whatever_the_split)
{
	size_t len = strlen(good[_i].text);

	for (size_t first = 0; first <= len; first++) {
		struct outcome outcome = decode(&usual, good[_i].text, first, len);

		check_good(&outcome, _i);
	}
	for (size_t piece = 1; piece < len; piece++) {
		struct outcome outcome = decode(&usual, good[_i].text, 0, piece);

		check_good(&outcome, _i);
	}
}
END_TEST

START_TEST(what_is_behind_a_body_is_left_alone)
{
	size_t len = strlen(good[_i].text);
	struct outcome outcome = decode(&usual, good[_i].text, 0, len);

	ck_assert_str_eq(good[_i].text + outcome.taken, good[_i].behind);
}
END_TEST

START_TEST(a_body_that_is_cut_is_not_complete)
{
	size_t len = strlen(good[_i].text) - strlen(good[_i].behind);

	for (size_t cut = 1; cut < len; cut++) {
		char part[128];

		snprintf(part, sizeof(part), "%.*s", (int)cut, good[_i].text);
		ck_assert_int_eq(decode(&usual, part, 0, cut).result, CHUNKED_MORE);
	}
}
END_TEST

/* ---- what is refused ------------------------ */

static const struct {
	const char *text;
	unsigned status;
} bad[] = {
	/* sizes */
	{ "\r\n" LAST, 400 },
	{ " 5\r\nhello\r\n" LAST, 400 },
	{ "5 \r\nhello\r\n" LAST, 400 },
	{ "5\t\r\nhello\r\n" LAST, 400 },
	{ "-5\r\nhello\r\n" LAST, 400 },
	{ "+5\r\nhello\r\n" LAST, 400 },
	{ "0x5\r\nhello\r\n" LAST, 400 },
	{ "5h\r\nhello\r\n" LAST, 400 },
	{ "5,\r\nhello\r\n" LAST, 400 },
	{ "5_0\r\n", 400 },
	{ "5\x80\r\n", 400 },
	{ "5\x01\r\n", 400 },
	{ "g\r\n", 400 },
	{ "5\"\r\n", 400 },
	{ "10000000000000000\r\n", 400 },
	{ "10000000000000005\r\nhello\r\n" LAST, 400 },
	{ "ffffffffffffffff\r\n", 413 },
	{ "8000000000000000\r\n", 413 },
	{ "100001\r\n", 413 },
	/* line ends */
	{ "5\nhello\r\n" LAST, 400 },
	{ "5\r\nhello\n" LAST, 400 },
	{ "5\rhello\r\n" LAST, 400 },
	{ "5\r\rhello", 400 },
	{ "5\r\nhello\rx", 400 },
	{ "5\r\nhello\r\n0\n\r\n", 400 },
	{ "0\r\n\n", 400 },
	{ "0\r\n\rx", 400 },
	{ "0\n\n", 400 },
	/* the content's length */
	{ "5\r\nhellox\r\n" LAST, 400 },
	{ "6\r\nhello\r\n" LAST, 400 },
	{ "5\r\nhello" LAST, 400 },
	{ "5\r\nhello\r\n\r\n" LAST, 400 },
	/* extensions */
	{ "5;\r\n", 400 },
	{ "5;;a\r\n", 400 },
	{ "5;=b\r\n", 400 },
	{ "5;a=\r\n", 400 },
	{ "5 a\r\n", 400 },
	{ "5;a b\r\n", 400 },
	{ "5;a \r\n", 400 },
	{ "5;a=b \r\n", 400 },
	{ "5;a=b c\r\n", 400 },
	{ "5;a=\"b\r\n", 400 },
	{ "5;a=\"b\\\r\n", 400 },
	{ "5;a=\"b\"c\r\n", 400 },
	{ "5;a=\"b\" \r\n", 400 },
	{ "5;a=\"\x7f\"\r\n", 400 },
	{ "5;a\nhello", 400 },
	{ "5;a=\"\n\"\r\n", 400 },
	{ "5;a=b\"c\"\r\n", 400 },
	{ "5;a(b)\r\n", 400 },
	{ "5;\x80\r\n", 400 },
	/* trailers */
	{ "0\r\n a: b\r\n\r\n", 400 },
	{ "0\r\na : b\r\n\r\n", 400 },
	{ "0\r\n: b\r\n\r\n", 400 },
	{ "0\r\na\r\n\r\n", 400 },
	{ "0\r\na: b\r\n c\r\n\r\n", 400 },
	{ "0\r\na: b\n\r\n", 400 },
	{ "0\r\na: \x01\r\n\r\n", 400 },
	{ "0\r\na: b\rc\r\n\r\n", 400 },
	{ "0\r\n(a): b\r\n\r\n", 400 },
	{ "0\r\nGET / HTTP/1.1\r\n\r\n", 400 },
	/* limits: 64 bytes of extensions, 64 of trailers, 3 fields */
	{ "1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n" LAST,
	  413 },
	{ "0000000000000000000000000000000000000000000000000000000000000000000000000000000000005\r\n", 413 },
	{ "0\r\na: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n", 431 },
	{ "0\r\na:b\r\na:b\r\na:b\r\na:b\r\n\r\n", 431 },
};

START_TEST(a_bad_body_gets_its_status_at_the_same_byte_whatever_the_split)
{
	size_t len = strlen(bad[_i].text);
	struct outcome whole = decode(&usual, bad[_i].text, 0, len);

	ck_assert_msg(whole.result == CHUNKED_ERROR, "row %d: result %d", _i, whole.result);
	ck_assert_uint_eq(whole.status, bad[_i].status);
	for (size_t first = 1; first < len; first++) {
		struct outcome split = decode(&usual, bad[_i].text, first, 1);

		ck_assert_int_eq(split.result, CHUNKED_ERROR);
		ck_assert_uint_eq(split.status, whole.status);
		ck_assert_uint_eq(split.taken, whole.taken);
	}
}
END_TEST

START_TEST(no_control_is_allowed_anywhere_but_in_content)
{
	static const char text[] = "3 ;a=b ; c=\"d\\e\"\r\nxyz\r\n0;f\r\nT: u\r\n\r\n";
	const char *content = strstr(text, "xyz");

	for (size_t at = 0; at < sizeof(text) - 1; at++) {
		char changed[sizeof(text)];

		if (text + at >= content && text + at < content + 3)
			continue;
		memcpy(changed, text, sizeof(text));
		changed[at] = (char)_i;
		if (strlen(changed) < sizeof(text) - 1 || (text[at] == _i))
			continue;
		if (_i == '\t' && decode(&usual, changed, 0, sizeof(text)).result == CHUNKED_DONE)
			continue;       /* white space, where that may be */
		ck_assert_msg(decode(&usual, changed, 0, sizeof(text)).result != CHUNKED_DONE,
			      "byte %d at %zu", _i, at);
	}
}
END_TEST

START_TEST(the_limit_is_of_content_and_not_of_how_it_is_cut)
{
	static const struct chunked_limits five = { 5, 64, 3 };

	ck_assert_int_eq(
		decode(&five, "1\r\nx\r\n1\r\nx\r\n1\r\nx\r\n1\r\nx\r\n1\r\nx\r\n" LAST, 0, 99).result,
		CHUNKED_DONE);
	ck_assert_int_eq(decode(&five, "5\r\nhello\r\n" LAST, 0, 99).result, CHUNKED_DONE);
	ck_assert_uint_eq(decode(&five, "5\r\nhello\r\n1\r\nx\r\n" LAST, 0, 99).status, 413);
	ck_assert_uint_eq(decode(&five, "6\r\nhello!\r\n" LAST, 0, 99).status, 413);
}
END_TEST

START_TEST(a_limit_of_nothing_allows_an_empty_body)
{
	static const struct chunked_limits nothing = { 0, 0, 0 };

	ck_assert_int_eq(decode(&nothing, LAST, 0, 99).result, CHUNKED_DONE);
	ck_assert_uint_eq(decode(&nothing, "1\r\nx\r\n" LAST, 0, 99).status, 413);
	ck_assert_uint_eq(decode(&nothing, "0;a\r\n\r\n", 0, 99).status, 413);
	ck_assert_uint_eq(decode(&nothing, "0\r\na:b\r\n\r\n", 0, 99).status, 431);
}
END_TEST

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

static Suite *suite(void)
{
	Suite *all = suite_create("chunked");
	TCase *one = tcase_create("all");

	suite_add_tcase(all, one);
	tcase_add_loop_test(one, a_good_body_has_its_content_whatever_the_split, 0, ROWS(good));
	tcase_add_loop_test(one, what_is_behind_a_body_is_left_alone, 0, ROWS(good));
	tcase_add_loop_test(one, a_body_that_is_cut_is_not_complete, 0, ROWS(good));
	tcase_add_loop_test(one, a_bad_body_gets_its_status_at_the_same_byte_whatever_the_split, 0,
			    ROWS(bad));
	tcase_add_loop_test(one, no_control_is_allowed_anywhere_but_in_content, 0, 32);
	tcase_add_test(one, the_limit_is_of_content_and_not_of_how_it_is_cut);
	tcase_add_test(one, a_limit_of_nothing_allows_an_empty_body);
	return all;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
