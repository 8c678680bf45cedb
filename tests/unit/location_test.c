/* Where redirects lead: never to a host that a request names, always in clean characters. */
#include "http/location.h"

#include <check.h>
#include <stdlib.h>

static struct arena arena;

static void give_memory_back(void)
{
	arena_free(&arena);
}

static const struct {
	const char *path, *query, *location;
} slashes[] = {
	{ "/a", "", "/a/" },
	{ "/a/b", "", "/a/b/" },
	{ "/a", "x=1&y=2", "/a/?x=1&y=2" },
	{ "/evil.example", "", "/evil.example/" },
	{ "/\\evil.example", "", "/%5Cevil.example/" },
	{ "/javascript:alert(1)", "", "/javascript:alert(1)/" },
	{ "/a b.", "q=%20", "/a%20b./?q=%20" },
	{ "/a", "//evil.example/%s", "/a/?//evil.example/%25s" },
	{ "/%", "", "/%25/" },
	{ "/?#", "a#b", "/%3F%23/?a%23b" },
	{ "/a\r\nSet-Cookie: b", "\r\nc", "/a%0D%0ASet-Cookie:%20b/?%0D%0Ac" },
	{ "/\xc3\xa4", "\xff", "/%C3%A4/?%FF" },
	{ "/a", "[x]|{y}\"<z>", "/a/?%5Bx%5D%7C%7By%7D%22%3Cz%3E" },
	{ "/a", "x?y", "/a/?x?y" },
	{ "/a", "%", "/a/?%25" },
	{ "/a", "%4", "/a/?%254" },
};

START_TEST(the_location_with_a_slash_is_clean)
{
	ck_assert_str_eq(location_with_slash(str_of(slashes[_i].path), str_of(slashes[_i].query), &arena),
			 slashes[_i].location);
}
END_TEST

START_TEST(the_location_is_made_of_the_slices_only)
{
	struct str text = str_of("/dir?query#more");
	struct str path = { text.at, 4 }, query = { text.at + 5, 5 };

	ck_assert_str_eq(location_with_slash(path, query, &arena), "/dir/?query");
}
END_TEST

static const struct {
	const char *to;
	bool secure;
	const char *rest, *query, *location;
} redirects[] = {
	{ "/new", false, "", "", "/new" },
	{ "/new", false, "/x/y", "", "/new/x/y" },
	{ "/new/", false, "/x", "", "/new/x" },
	{ "/new/", false, "", "", "/new/" },
	{ "/new/", false, "/", "", "/new/" },
	{ "/new", false, "/", "", "/new/" },
	{ "/", false, "/x", "", "/x" },
	{ "/", false, "", "", "/" },
	{ "/", false, "/evil.example", "", "/evil.example" },
	{ "/", false, "/\\evil.example", "", "/%5Cevil.example" },
	{ "/new", false, "/x", "q=1", "/new/x?q=1" },
	{ "/new?a=1", false, "/x", "q=1", "/new/x?a=1&q=1" },
	{ "/new?a=1#f", false, "/x", "", "/new/x?a=1#f" },
	{ "/new#f", false, "/x", "q", "/new/x?q#f" },
	{ "https://h", false, "/x", "", "https://h/x" },
	{ "https://h", false, "", "", "https://h/" },
	{ "https://h?a", false, "", "b", "https://h/?a&b" },
	{ "https://h/", false, "/x", "q", "https://h/x?q" },
	{ "https://h:8443/p", false, "/x", "", "https://h:8443/p/x" },
	{ "http://[::1]:80/", true, "/x", "", "http://[::1]:80/x" },
	{ "//h", false, "/x", "", "http://h/x" },
	{ "//h", true, "/x", "", "https://h/x" },
	{ "//h/p", true, "", "", "https://h/p" },
	{ "//h", true, "/\r\nx:y\xc3", "", "https://h/%0D%0Ax:y%C3" },
};

START_TEST(a_redirect_leads_where_it_says)
{
	struct str none = { NULL, 0 };
	const char *rest = location_rest(none, str_of(redirects[_i].rest), 0, &arena);

	ck_assert_str_eq(location_redirect(redirects[_i].to, redirects[_i].secure, str_of(rest),
					   str_of(redirects[_i].query), &arena),
			 redirects[_i].location);
}
END_TEST

static const struct {
	const char *sent, *resolved;
	size_t skip;
	const char *rest;
} rests[] = {
	{ "/old/a%2bb;c", "/old/a+b;c", 4, "/a%2Bb;c" },
	{ "/%6fl%64/a", "/old/a", 4, "/a" },
	{ "/old", "/old", 4, "" },
	{ "/ol%64", "/old", 4, "" },
	{ "/a/%c3%a4", "/a/\xc3\xa4", 0, "/a/%C3%A4" },
	{ "/a/\xc3\xa4", "/a/\xc3\xa4", 2, "/%C3%A4" },
	{ "/old//a%2b", "/old/a+", 4, "/a+" },
	{ "/old/./a", "/old/a", 4, "/a" },
	{ "/x/../old/%5ca", "/old/\\a", 4, "/%5Ca" },
	{ "/old/a/..", "/old/", 4, "/" },
	{ "/old/a\\\"", "/old/a\\\"", 4, "/a%5C%22" },
	{ "/old/%25", "/old/%", 4, "/%25" },
	{ "//old", "/old", 0, "/old" },
};

START_TEST(the_rest_is_what_was_sent_if_it_can_be)
{
	ck_assert_str_eq(
		location_rest(str_of(rests[_i].sent), str_of(rests[_i].resolved), rests[_i].skip, &arena),
		rests[_i].rest);
}
END_TEST

static const char *const good[] = {
	"/",
	"/a/b%20c?d#e",
	"//host",
	"//host:80/x",
	"https://host",
	"HTTP://host/",
	"https://[::1]:8443/x",
	"https://xn--bcher-kva.example/",
	"/a:b@c;d=e,f!$&'()*+",
	"/?a=/?&b=?",
};

START_TEST(a_good_target_is_taken)
{
	struct err err = { "" };

	ck_assert_msg(location_check(good[_i], &err), "%s: %s", good[_i], err.text);
}
END_TEST

static const char *const bad[] = {
	"a",
	"a/b",
	"ftp://host/",
	"javascript:alert(1)",
	"//",
	"///x",
	"https://",
	"https://$host/",
	"https:///x",
	"http:/x",
	"https://h\xc3\xb6st/",
	"//user@host/",
	"https://host:99999/",
	"/a b",
	"/a\r\nb",
	"/\xc3\xa4",
	"/%",
	"/%4x",
	"/\\host",
	"/a\"b",
	"/[x]",
	"/a#b#c",
	"https://[::1/",
	"https://a:b:c/",
	"/a?<b>",
};

START_TEST(a_bad_target_is_refused)
{
	struct err err = { "" };

	ck_assert_msg(!location_check(bad[_i], &err), "%s", bad[_i]);
	ck_assert(err.text[0] != '\0');
}
END_TEST

#define LOOP(test, rows) tcase_add_loop_test(tests, test, 0, sizeof(rows) / sizeof(rows[0]))

int main(void)
{
	Suite *suite = suite_create("location");
	TCase *tests = tcase_create("location");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_checked_fixture(tests, NULL, give_memory_back);
	LOOP(the_location_with_a_slash_is_clean, slashes);
	tcase_add_test(tests, the_location_is_made_of_the_slices_only);
	LOOP(a_redirect_leads_where_it_says, redirects);
	LOOP(the_rest_is_what_was_sent_if_it_can_be, rests);
	LOOP(a_good_target_is_taken, good);
	LOOP(a_bad_target_is_refused, bad);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
