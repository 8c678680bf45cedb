/* rules_test.c - what an operator's fields make of a head, and which fields are not an operator's. */
#include "http/rules.h"

#include "config/field.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct arena arena;
static struct headers_config site;
static struct route_config route;
static struct rules_answer answer;

static void set_up(void)
{
	site = (struct headers_config){ 0 };
	route = (struct route_config){ 0 };
	answer = (struct rules_answer){ .status = 200,
					.can_be_kept = true,
					.content_type = str_of("text/html; charset=utf-8"),
					.now = 0 };
}

static void give_memory_back(void)
{
	arena_free(&arena);
}

/* Words that a "|" divides, as a list of the settings. */
static struct strings list(const char *words)
{
	struct strings strings = { 0, arena_alloc(&arena, 8 * sizeof(char *)) };
	char *rest = arena_copy(&arena, str_of(words)), *word;

	while ((word = strsep(&rest, "|")) != NULL)
		strings.at[strings.count++] = word;
	return strings;
}

#define OWN "Server: drover\r\nContent-Type: text/html\r\nContent-Length: 5\r\nX: own\r\n"

/* What becomes of a head with `lines`, without its status line and its end; it must fit. */
static const char *applied_to(const char *lines)
{
	const struct rules *rules = NULL;
	char *head, *text;
	size_t len, room;
	struct err err;

	ck_assert(rules_build(&site, &route, &arena, &rules, &err));
	ck_assert_ptr_nonnull(rules);
	len = strlen("HTTP/1.1 200 OK\r\n") + strlen(lines) + 2;
	room = len + rules_room(rules);
	head = malloc(room + 1);        /* exactly, so that a sanitizer sees a write behind it */
	sprintf(head, "HTTP/1.1 200 OK\r\n%s\r\n", lines);
	len = rules_apply(rules, &answer, head, len);
	ck_assert_uint_le(len, room);
	ck_assert(str_has_prefix((struct str){ head, len }, str_of("HTTP/1.1 200 OK\r\n")));
	ck_assert(memcmp(head + len - 2, "\r\n", 2) == 0);
	text = arena_copy(&arena, (struct str){ head + 17, len - 19 });
	free(head);
	return text;
}

#define GIVES(text) ck_assert_str_eq(applied_to(OWN), text)

/* ---- fields ------------------------ */

START_TEST(nothing_set_is_no_rules)
{
	const struct rules *rules = (void *)&arena;
	struct err err;

	ck_assert(rules_build(&site, &route, &arena, &rules, &err));
	ck_assert_ptr_null(rules);
	ck_assert_uint_eq(rules_room(rules), 0);
}
END_TEST

START_TEST(set_replaces_whatever_the_case)
{
	route.headers.set = list("x:  mine |SERVER: me");
	GIVES("Content-Type: text/html\r\nContent-Length: 5\r\nx: mine\r\nSERVER: me\r\n");
}
END_TEST

START_TEST(add_appends)
{
	route.headers.add = list("X: more|X: and more");
	GIVES(OWN "X: more\r\nX: and more\r\n");
}
END_TEST

START_TEST(remove_takes_away)
{
	route.headers.remove = list("server|x|Y");
	GIVES("Content-Type: text/html\r\nContent-Length: 5\r\n");
}
END_TEST

START_TEST(a_name_is_compared_as_a_whole)
{
	route.headers.remove = list("Content|Serve|Server2|Content-Lengt");
	GIVES(OWN);
}
END_TEST

START_TEST(the_route_stands_in_for_its_site)
{
	site.set = list("A: site|B: site|C: site");
	site.add = list("D: site|D: site2");
	route.headers.set = list("A: route|X: route");
	route.headers.remove = list("B|D");
	GIVES("Server: drover\r\nContent-Type: text/html\r\nContent-Length: 5\r\nC: site\r\nA: route\r\nX: "
	      "route\r\n");
}
END_TEST

START_TEST(a_route_that_adds_keeps_what_its_site_sets)
{
	site.set = list("A: site");
	route.headers.add = list("A: route");
	GIVES(OWN "A: site\r\nA: route\r\n");
}
END_TEST

START_TEST(an_empty_value_is_sent)
{
	route.headers.set = list("A:");
	GIVES(OWN "A: \r\n");
}
END_TEST

static const struct {
	unsigned status;
	const char *type;
	bool is_error, changes;
} types[] = {
	{ 200, "text/html", false, true },  { 404, "text/html", false, true }, /* of a service */
	{ 404, "text/html", true, false },  { 304, "text/html", false, false },
	{ 204, "text/html", false, false }, { 206, "multipart/byteranges; boundary=x", false, false },
	{ 206, "text/html", false, true },  { 200, NULL, false, false },
};

START_TEST(a_type_is_set_where_there_may_be_another)
{
	const char *text;

	route.headers.set = list("Content-Type: a/b|X: y");
	answer.status = types[_i].status;
	answer.content_type = str_of(types[_i].type);
	answer.is_error = types[_i].is_error;
	text = applied_to(OWN);
	ck_assert_int_eq(strstr(text, "Content-Type: a/b\r\n") != NULL, types[_i].changes);
	ck_assert_int_eq(strstr(text, "Content-Type: text/html\r\n") == NULL, types[_i].changes);
	ck_assert_ptr_nonnull(strstr(text, "X: y\r\n"));
}
END_TEST

/* ---- freshness ------------------------ */

START_TEST(a_cache_control_is_added)
{
	route.cache_control = "no-store";
	GIVES(OWN "Cache-Control: no-store\r\n");
}
END_TEST

START_TEST(expires_says_it_in_two_ways)
{
	route.expires_ns = UINT64_C(3600000000000);
	GIVES(OWN "Cache-Control: max-age=3600\r\nExpires: Thu, 01 Jan 1970 01:00:00 GMT\r\n");
}
END_TEST

START_TEST(a_cache_control_stands_beside_expires)
{
	route.cache_control = "private";
	route.expires_ns = UINT64_C(1500000000);
	GIVES(OWN "Cache-Control: private\r\nExpires: Thu, 01 Jan 1970 00:00:01 GMT\r\n");
}
END_TEST

START_TEST(an_answer_keeps_its_own)
{
	route.cache_control = "public";
	route.expires_ns = UINT64_C(3600000000000);
	ck_assert_str_eq(applied_to("cache-control: no-store\r\n"), "cache-control: no-store\r\n");
}
END_TEST

START_TEST(a_field_that_is_set_is_stronger)
{
	route.cache_control = "public";
	route.expires_ns = UINT64_C(1000000000);
	route.headers.set = list("Cache-Control: no-cache");
	route.headers.remove = list("Expires");
	GIVES(OWN "Cache-Control: no-cache\r\n");
}
END_TEST

START_TEST(errors_are_not_kept)
{
	route.cache_control = "public";
	answer.can_be_kept = false;
	GIVES(OWN);
}
END_TEST

START_TEST(a_304_says_it_too)
{
	route.cache_control = "public";
	answer.status = 304;
	GIVES(OWN "Cache-Control: public\r\n");
}
END_TEST

static const struct {
	const char *type, *control;
} cached[] = {
	{ "image/png", "images" },
	{ "IMAGE/PNG; q=1", "images" },
	{ "image/", "others" },
	{ "image", "others" },
	{ "images/png", "others" },
	{ "text/css", "texts" },
	{ "text/css; charset=utf-8", "texts" },
	{ "text/css2", "others" },
	{ "text/html", "texts" },
	{ "", "others" },
	{ NULL, "others" },
};

START_TEST(the_first_entry_with_the_type_counts)
{
	struct cache_config images = { list("image/*"), "images", 0 };
	struct cache_config texts = { list("text/css|text/html"), "texts", 0 };
	struct cache_config late = { list("image/png"), "never", 0 };
	void *entries[] = { &images, &texts, &late };
	char expected[64];

	route.cache = (struct items){ 3, entries };
	route.cache_control = "others";
	answer.media_type = str_of(cached[_i].type);
	snprintf(expected, sizeof(expected), "Cache-Control: %s\r\n", cached[_i].control);
	ck_assert_str_eq(applied_to(""), expected);
}
END_TEST

/* ---- what may be written ------------------------ */

static const struct {
	bool (*check)(const char *text, struct err *err);
	const char *text;
	bool good;
} fields[] = {
	{ field_check_set, "A: b", true },
	{ field_check_set, "A:b:c", true },
	{ field_check_set, "A: \t", true },
	{ field_check_set, "!#$%&'*+-.^_`|~09aZ: b\tc \xc3\xa4", true },
	{ field_check_set, "A", false },
	{ field_check_set, ": b", false },
	{ field_check_set, "A : b", false },
	{ field_check_set, "A\xc3: b", false },
	{ field_check_set, "A: b\r\nC: d", false },
	{ field_check_set, "A: b\nC: d", false },
	{ field_check_set, "A: \x7f", false },
	{ field_check_set, "A(b): c", false },
	{ field_check_set, "content-length: 5", false },
	{ field_check_set, "Transfer-Encoding: chunked", false },
	{ field_check_set, "Connection: close", false },
	{ field_check_set, "Date: now", false },
	{ field_check_set, "Content-Range: bytes", false },
	{ field_check_set, "Content-Encoding: gzip", false },
	{ field_check_set, "ETag: \"a\"", false },
	{ field_check_set, "Vary: Origin", false },
	{ field_check_set, "Server: me", true },
	{ field_check_set, "Cache-Control: no-store", true },
	{ field_check_set, "Content-Type: a/b", true },
	{ field_check_add, "Vary: Origin", true },
	{ field_check_add, "Set-Cookie: a=b", true },
	{ field_check_add, "Server: me", false },
	{ field_check_add, "Content-Type: a/b", false },
	{ field_check_add, "Content-Length: 5", false },
	{ field_check_remove, "Server", true },
	{ field_check_remove, "ETag", true },
	{ field_check_remove, "Server: x", false },
	{ field_check_remove, "Vary", false },
	{ field_check_remove, "date", false },
	{ field_check_remove, "Allow", false },
	{ field_check_remove, "", false },
	{ field_check_value, "public, max-age=5", true },
	{ field_check_value, " public", false },
	{ field_check_value, "a\r\nb: c", false },
};

START_TEST(a_field_is_judged)
{
	struct err err = { "" };

	ck_assert_msg(fields[_i].check(fields[_i].text, &err) == fields[_i].good, "%s", fields[_i].text);
	ck_assert_int_eq(err.text[0] == '\0', fields[_i].good);
}
END_TEST

START_TEST(a_field_is_not_too_long)
{
	char text[FIELD_MOST_BYTES + 2] = "A: ";
	struct err err;

	memset(text + 3, 'x', sizeof(text) - 4);
	ck_assert(!field_check_set(text, &err));
	text[FIELD_MOST_BYTES] = '\0';
	ck_assert(field_check_set(text, &err));
}
END_TEST

#define LOOP(test, rows) tcase_add_loop_test(tests, test, 0, sizeof(rows) / sizeof(rows[0]))

int main(void)
{
	Suite *suite = suite_create("rules");
	TCase *tests = tcase_create("rules");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_checked_fixture(tests, set_up, give_memory_back);
	tcase_add_test(tests, nothing_set_is_no_rules);
	tcase_add_test(tests, set_replaces_whatever_the_case);
	tcase_add_test(tests, add_appends);
	tcase_add_test(tests, remove_takes_away);
	tcase_add_test(tests, a_name_is_compared_as_a_whole);
	tcase_add_test(tests, the_route_stands_in_for_its_site);
	tcase_add_test(tests, a_route_that_adds_keeps_what_its_site_sets);
	tcase_add_test(tests, an_empty_value_is_sent);
	LOOP(a_type_is_set_where_there_may_be_another, types);
	tcase_add_test(tests, a_cache_control_is_added);
	tcase_add_test(tests, expires_says_it_in_two_ways);
	tcase_add_test(tests, a_cache_control_stands_beside_expires);
	tcase_add_test(tests, an_answer_keeps_its_own);
	tcase_add_test(tests, a_field_that_is_set_is_stronger);
	tcase_add_test(tests, errors_are_not_kept);
	tcase_add_test(tests, a_304_says_it_too);
	LOOP(the_first_entry_with_the_type_counts, cached);
	LOOP(a_field_is_judged, fields);
	tcase_add_test(tests, a_field_is_not_too_long);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
