/* http_accept_test.c - which of two media types an Accept prefers. */
#include "http/accept.h"

#include <check.h>
#include <stdlib.h>

static const struct {
	const char *value;
	unsigned weight, precision;     /* of application/json */
} weights[] = {
	{ "", 0, 0 },
	{ "application/json", 1000, 3 },
	{ "Application/JSON", 1000, 3 },
	{ "application/*", 1000, 2 },
	{ "APPLICATION/*;q=0.5", 500, 2 },
	{ "*/*", 1000, 1 },
	{ "*/*;q=0", 0, 1 },
	{ "*/json", 0, 0 },
	{ "*", 0, 0 },
	{ "application", 0, 0 },
	{ "application/", 0, 0 },
	{ "application/jsonp", 0, 0 },
	{ "applicationx/*", 0, 0 },
	{ "text/html, application/json;q=0.8", 800, 3 },
	{ "application/json;q=0.1, */*;q=0.9, application/*", 100, 3 },
	{ "*/*;q=0.9, application/*;q=0.4", 400, 2 },
	{ "application/json;q=0.001", 1, 3 },
	{ "application/json;q=1.000", 1000, 3 },
	{ "application/json;Q=0.25", 250, 3 },
	{ "application/json ; charset=utf-8 ; q=0.5", 500, 3 },
	{ "application/json;charset=\"a,b;q=0\";q=0.7", 700, 3 },
	{ "application/json;q=1.001", 0, 0 },   /* no weight: the element says nothing */
	{ "application/json;q=2", 0, 0 },
	{ "application/json;q=", 0, 0 },
	{ "application/json;q=0.1234", 0, 0 },
	{ "application/json;q=.5", 0, 0 },
	{ "application/json;q=-1", 0, 0 },
	{ "application/json;q=0.x", 0, 0 },
	{ "application/json;q=x, */*;q=0.3", 300, 1 },
	{ ",, ,application/json,,", 1000, 3 },
	{ ";q=1", 0, 0 },
};

START_TEST(the_most_precise_range_counts)
{
	struct acceptance acceptance = { 0, 0 };

	accept_weigh(str_of(weights[_i].value), str_of("application/json"), &acceptance);
	ck_assert_uint_eq(acceptance.weight, weights[_i].weight);
	ck_assert_uint_eq(acceptance.precision, weights[_i].precision);
}
END_TEST

/* As many fields as there are texts. */
static bool prefers_json(const char *one, const char *two)
{
	static char head[512];
	struct header headers[2];
	struct request request = { .headers = headers, .seen = UINT32_MAX, .again = UINT32_MAX };
	const char *const values[] = { one, two };
	uint32_t at = 0;

	for (unsigned i = 0; i < 2 && values[i] != NULL; i++) {
		struct span value = { at, (uint32_t)strlen(values[i]) };

		memcpy(head + at, values[i], value.len);
		headers[request.header_count++] = (struct header){ .value = value, .id = HEADER_ACCEPT };
		at += value.len;
	}
	return accept_prefers(&request, head, str_of("application/json"), str_of("text/html"));
}

START_TEST(without_the_field_the_usual_type_is_it)
{
	ck_assert(!prefers_json(NULL, NULL));
}
END_TEST

static const struct {
	const char *one, *two;
	bool json;
} preferences[] = {
	{ "*/*", NULL, false },
	{ "application/json", NULL, true },
	{ "application/json, */*", NULL, true },        /* equal weights: the more precise one is meant */
	{ "application/json, text/*", NULL, true },
	{ "application/json, text/html", NULL, false },
	{ "application/*, text/*", NULL, false },
	{ "application/json;q=0.5, text/html;q=0.4", NULL, true },
	{ "application/json;q=0", NULL, false },
	{ "application/json;q=0, text/html;q=0", NULL, false },
	{ "image/png", NULL, false },
	{ "text/html", "application/json", false },
	{ "text/html;q=0.1", "application/json", true },
};

START_TEST(the_better_weight_wins)
{
	ck_assert_int_eq(prefers_json(preferences[_i].one, preferences[_i].two), preferences[_i].json);
}
END_TEST

static Suite *suite(void)
{
	Suite *all = suite_create("accept");
	TCase *accept = tcase_create("accept");

	suite_add_tcase(all, accept);
	tcase_add_loop_test(accept, the_most_precise_range_counts, 0, sizeof(weights) / sizeof(weights[0]));
	tcase_add_test(accept, without_the_field_the_usual_type_is_it);
	tcase_add_loop_test(accept, the_better_weight_wins, 0, sizeof(preferences) / sizeof(preferences[0]));
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
