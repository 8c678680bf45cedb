/* negotiate_test.c - which coding a request gets. */
#include "http/negotiate.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_HEADERS = 4 };

/* Zs, br and gz of the codings that are tried in this order, "-" behind them when the identity is refused. */
static const char *order_of(const char *const *fields)
{
	static const enum coding preferred[] = { CODING_ZSTD, CODING_BR, CODING_GZIP };
	static char order[64], head[512];
	struct header headers[MOST_HEADERS];
	struct request request = { .headers = headers, .seen = UINT32_MAX, .again = UINT32_MAX };
	struct codings codings;
	enum coding coding;
	size_t at = 0;

	head[0] = order[0] = '\0';
	for (; *fields != NULL; fields++) {
		strcpy(head + at, *fields);
		headers[request.header_count++] = (struct header){
			.value = { (uint32_t)at, (uint32_t)strlen(*fields) }, .id = HEADER_ACCEPT_ENCODING,
		};
		at += strlen(*fields);
	}
	codings = negotiate_codings(&request, head);
	if (!negotiate_wants_any(&codings))
		return codings.weights[CODING_IDENTITY] > 0 ? "" : "-";
	while ((coding = negotiate_next(&codings, preferred, 3)) != CODING_IDENTITY)
		sprintf(order + strlen(order), "%s ", coding_names[coding].suffix);
	strcat(order, codings.weights[CODING_IDENTITY] > 0 ? "" : "-");
	return order;
}

static const struct {
	const char *fields[MOST_HEADERS];
	const char *order;
} rows[] = {
	{ { NULL }, "" },
	{ { "" }, "" },
	{ { "," }, "" },
	{ { "gzip" }, "gz " },
	{ { "GZip" }, "gz " },
	{ { "x-gzip" }, "gz " },
	{ { "br" }, "br " },
	{ { "zstd" }, "zst " },
	{ { "deflate" }, "" },
	{ { "compress, deflate, zst, brotli, gz" }, "" },
	/* the server decides between equals */
	{ { "gzip, br, zstd" }, "zst br gz " },
	{ { "gzip, deflate, br, zstd" }, "zst br gz " },
	{ { "gzip,br" }, "br gz " },
	{ { "gzip;q=0.5, br;q=0.5, zstd;q=0.5" }, "zst br gz " },
	/* the client's weights */
	{ { "gzip;q=1.0, br;q=0.9, zstd;q=0.8" }, "gz br zst " },
	{ { "gzip;q=0.002, br;q=0.001" }, "gz br " },
	{ { "gzip;q=0.001, br;q=0" }, "gz " },
	{ { "gzip;q=0" }, "" },
	{ { "gzip;q=0." }, "" },
	{ { "gzip;q=0.0, br;q=0.00, zstd;q=0.000" }, "" },
	{ { "gzip;q=1, br;q=1., zstd;q=1.000" }, "zst br gz " },
	{ { "gzip ; q=0.5 ,\tbr\t;\tQ=0.7" }, "br gz " },
	{ { "*" }, "zst br gz " },
	{ { "*;q=0.1" }, "zst br gz " },
	{ { "br;q=0, *" }, "zst gz " },
	{ { "*, br;q=0" }, "zst gz " },
	{ { "*;q=0.5, gzip" }, "gz zst br " },
	/* the identity, where it is wanted more */
	{ { "identity" }, "" },
	{ { "identity, gzip" }, "gz " },
	{ { "identity;q=0.5, gzip;q=0.4" }, "" },
	{ { "identity;q=0.5, gzip;q=0.4, br" }, "br " },
	{ { "identity;q=0.5, *;q=0.4" }, "" },
	{ { "*;q=0.5, gzip;q=0.4" }, "zst br " },
	/* or refused */
	{ { "identity;q=0" }, "-" },
	{ { "identity;q=0, gzip" }, "gz -" },
	{ { "IDENTITY;Q=0.000, gzip;q=0.1" }, "gz -" },
	{ { "*;q=0" }, "-" },
	{ { "gzip, *;q=0" }, "gz -" },
	{ { "*;q=0, identity" }, "" },
	{ { "*;q=0, identity;q=0.1" }, "" },
	{ { "identity;q=0, *" }, "zst br gz -" },
	{ { "gzip;q=0, identity;q=0" }, "-" },
	/* several fields are one list */
	{ { "gzip", "br" }, "br gz " },
	{ { "gzip;q=0.5", "br;q=0.4", "identity;q=0" }, "gz br -" },
	{ { "", "gzip" }, "gz " },
	{ { "*;q=0", "gzip" }, "gz -" },
	/* the first mention counts */
	{ { "gzip;q=0, gzip" }, "" },
	{ { "gzip, gzip;q=0" }, "gz " },
	{ { "x-gzip;q=0, gzip" }, "" },
	/* what is no weight makes nothing of its element */
	{ { "gzip;q=2" }, "" }, { { "gzip;q=1.1" }, "" }, { { "gzip;q=1.001" }, "" }, { { "gzip;q=-1" }, "" },
	{ { "gzip;q=0.1234" }, "" }, { { "gzip;q=1.0000" }, "" }, { { "gzip;q=.5" }, "" },
	{ { "gzip;q=" }, "" }, { { "gzip;q" }, "" }, { { "gzip;" }, "" }, { { "gzip;q=0,5" }, "" },
	{ { "gzip;q=01" }, "" }, { { "gzip;q=0.5;q=1" }, "" }, { { "gzip;level=9" }, "" },
	{ { "gzip;q= 1" }, "" }, { { "gzip;q =1" }, "" }, { { "gzip;q=\"1\"" }, "" }, { { "gzip;q=1x" }, "" },
	{ { "gzip q=1" }, "" }, { { "gzip br" }, "" }, { { "gzip;q=0x1" }, "" }, { { "gzip;q=1e0" }, "" },
	{ { "identity;q=0.0000" }, "" }, { { "identity;q=00" }, "" }, { { "*;q=-0" }, "" },
	{ { "gzip;q=nan, br" }, "br " }, { { ";q=1, br" }, "br " }, { { "\"gzip, br\", br" }, "br " },
};

START_TEST(a_request_gets_the_codings_it_wants)
{
	ck_assert_msg(strcmp(order_of(rows[_i].fields), rows[_i].order) == 0, "%s: %s",
		      rows[_i].fields[0], order_of(rows[_i].fields));
}
END_TEST

START_TEST(other_fields_say_nothing)
{
	struct header header = { .value = { 0, 4 }, .id = HEADER_ACCEPT };
	struct request request = {
		.headers = &header, .header_count = 1, .seen = UINT32_MAX, .again = UINT32_MAX
	};

	ck_assert_uint_eq(negotiate_codings(&request, "gzip").weights[CODING_GZIP], 0);
}
END_TEST

START_TEST(the_order_of_the_server_is_its_own)
{
	static const enum coding preferred[] = { CODING_GZIP, CODING_IDENTITY, CODING_GZIP, CODING_ZSTD };
	struct codings codings = { { 1, 500, 500, 500 } };

	ck_assert_int_eq(negotiate_next(&codings, preferred, 4), CODING_GZIP);
	ck_assert_int_eq(negotiate_next(&codings, preferred, 4), CODING_ZSTD);
	ck_assert_int_eq(negotiate_next(&codings, preferred, 4), CODING_IDENTITY);
	ck_assert_int_eq(negotiate_next(&codings, preferred, 0), CODING_IDENTITY);
}
END_TEST

START_TEST(a_suffix_names_its_coding)
{
	ck_assert_int_eq(negotiate_by_suffix("gz"), CODING_GZIP);
	ck_assert_int_eq(negotiate_by_suffix("br"), CODING_BR);
	ck_assert_int_eq(negotiate_by_suffix("zst"), CODING_ZSTD);
	ck_assert_int_eq(negotiate_by_suffix("gzip"), CODING_IDENTITY);
	ck_assert_int_eq(negotiate_by_suffix(""), CODING_IDENTITY);
}
END_TEST

/* What a server gets to hear that has these codings in this order, for all such lists: the answer of a
 * preference to everything that can be asked of it. */
enum { LISTS = 16, LIST_BYTES = CODINGS };

struct answers {
	unsigned char given[LISTS][LIST_BYTES];
	bool refused;
};

static const enum coding lists[LISTS][CODINGS - 1] = {
	{ 0 }, { 1 }, { 2 }, { 3 }, { 1, 2 }, { 2, 1 }, { 1, 3 }, { 3, 1 }, { 2, 3 }, { 3, 2 },
	{ 1, 2, 3 }, { 1, 3, 2 }, { 2, 1, 3 }, { 2, 3, 1 }, { 3, 1, 2 }, { 3, 2, 1 },
};

static struct answers answers_of(struct codings codings)
{
	struct answers answers = { .refused = codings.weights[CODING_IDENTITY] == 0 };

	for (unsigned list = 0; list < LISTS; list++) {
		struct codings left = codings;

		for (unsigned i = 0; i < LIST_BYTES; i++)
			answers.given[list][i] =
				(unsigned char)negotiate_next(&left, lists[list], CODINGS - 1);
	}
	return answers;
}

static bool same_answers(const struct answers *a, const struct answers *b)
{
	return a->refused == b->refused && memcmp(a->given, b->given, sizeof(a->given)) == 0;
}

/* Five weights are one more than the codings could need to differ. */
enum { WEIGHTS = 5, COMBINATIONS = WEIGHTS * WEIGHTS * WEIGHTS * WEIGHTS };

static struct codings combination(unsigned which)
{
	static const unsigned short weights[WEIGHTS] = { 0, 1, 2, 500, 1000 };
	struct codings codings;

	for (unsigned i = 0; i < CODINGS; i++, which /= WEIGHTS)
		codings.weights[i] = weights[which % WEIGHTS];
	return codings;
}

START_TEST(a_number_says_all_that_a_server_can_ask_and_no_more)
{
	static struct answers answers[NEGOTIATE_NUMBERS];
	bool known[NEGOTIATE_NUMBERS] = { false };
	unsigned count = 0;

	for (unsigned i = 0; i < COMBINATIONS; i++) {
		struct codings codings = combination(i);
		struct answers these = answers_of(codings);
		unsigned number = negotiate_number(&codings);

		ck_assert_uint_lt(number, NEGOTIATE_NUMBERS);
		ck_assert(!known[number] || same_answers(&these, &answers[number]));
		count += known[number] ? 0 : 1;
		known[number] = true;
		answers[number] = these;
	}
	ck_assert_uint_eq(count, 52);
	for (unsigned a = 0; a < NEGOTIATE_NUMBERS; a++)
		for (unsigned b = 0; b < a; b++)
			ck_assert(!known[a] || !known[b] || !same_answers(&answers[a], &answers[b]));
}
END_TEST

START_TEST(a_number_leads_back_to_weights_that_are_as_good)
{
	for (unsigned i = 0; i < COMBINATIONS; i++) {
		struct codings codings = combination(i);
		struct codings same = negotiate_of_number(negotiate_number(&codings));
		struct answers a = answers_of(codings), b = answers_of(same);

		ck_assert(same_answers(&a, &b));
	}
}
END_TEST

/* The number of a request with these fields. */
static unsigned remember(struct negotiate_memo *memo, const char *first, const char *second)
{
	struct header headers[] = {
		{ .value = { 0, (uint32_t)strlen(first) }, .id = HEADER_ACCEPT_ENCODING },
		{ .value = { (uint32_t)strlen(first), 0 }, .id = HEADER_ACCEPT_ENCODING },
	};
	struct request request = {
		.headers = headers,
		.header_count = 1,
		.seen = 1U << HEADER_ACCEPT_ENCODING,
	};
	char head[512];
	unsigned number, expected;
	struct codings codings;

	snprintf(head, sizeof(head), "%s%s", first, second != NULL ? second : "");
	if (second != NULL) {
		headers[1].value.len = (uint32_t)strlen(second);
		request.header_count = 2;
		request.again = request.seen;
	}
	codings = negotiate_codings(&request, head);
	expected = negotiate_number(&codings);
	number = negotiate_remember(memo, &request, head);
	ck_assert_msg(number == expected, "%s: %u, not %u", first, number, expected);
	return number;
}

START_TEST(what_is_remembered_is_what_would_be_found_again)
{
	static const char *const values[] = {
		"", "gzip", "gzip, br", "br, gzip", "gzip;q=0.5, br", "identity;q=0", "gzip, deflate, br, zstd",
		"zzzz", "*;q=0", "gzip, deflate, br, zstd;q=0, and something that makes it exactly 62,,",
		"gzip, deflate, br, zstd;q=0, and something that makes it longer,,,",
	};
	enum { VALUES = sizeof(values) / sizeof(values[0]) };
	struct negotiate_memo memo = { 0 };

	for (unsigned i = 0; i < 10 * VALUES * VALUES; i++) {
		remember(&memo, values[i % VALUES], NULL);
		remember(&memo, values[i / VALUES % VALUES], NULL);
		remember(&memo, values[i * i % VALUES], i % 3 == 0 ? ", zstd;q=0.1" : NULL);
	}
}
END_TEST

START_TEST(the_last_values_are_remembered)
{
	static const char *const values[NEGOTIATE_REMEMBERED] = { "gzip", "br", "zstd", "gzip, br" };
	struct negotiate_memo memo = { 0 }, before;

	for (unsigned i = 0; i < NEGOTIATE_REMEMBERED; i++)
		remember(&memo, values[i], NULL);
	before = memo;
	for (unsigned i = 0; i < NEGOTIATE_REMEMBERED; i++)
		remember(&memo, values[i], NULL);
	ck_assert_int_eq(memcmp(memo.entries, before.entries, sizeof(memo.entries)), 0);
}
END_TEST

START_TEST(without_the_field_it_is_the_identity_alone)
{
	struct negotiate_memo memo = { 0 };
	struct request request = { 0 };

	ck_assert_uint_eq(negotiate_remember(&memo, &request, ""), 0);
	ck_assert_uint_eq(remember(&memo, "", NULL), 0);
	ck_assert_uint_eq(remember(&memo, "deflate", NULL), 0);
	ck_assert_uint_eq(remember(&memo, "gzip;q=0.1, identity", NULL), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("negotiate");
	TCase *tests = tcase_create("negotiate");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_loop_test(tests, a_request_gets_the_codings_it_wants, 0, sizeof(rows) / sizeof(rows[0]));
	tcase_add_test(tests, other_fields_say_nothing);
	tcase_add_test(tests, the_order_of_the_server_is_its_own);
	tcase_add_test(tests, a_suffix_names_its_coding);
	tcase_add_test(tests, a_number_says_all_that_a_server_can_ask_and_no_more);
	tcase_add_test(tests, a_number_leads_back_to_weights_that_are_as_good);
	tcase_add_test(tests, what_is_remembered_is_what_would_be_found_again);
	tcase_add_test(tests, the_last_values_are_remembered);
	tcase_add_test(tests, without_the_field_it_is_the_identity_alone);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
