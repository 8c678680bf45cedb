/* target_test.c - what a request may name, and what a host is. */
#include "http/target.h"

#include <check.h>
#include <stdlib.h>

static struct arena arena;

static void give_memory_back(void)
{
	arena_free(&arena);
}

/* Resolves an exact copy, so that a sanitizer sees a read behind it. */
static unsigned resolve(struct str path, struct str *resolved)
{
	char *copy = malloc(path.len + (path.len == 0));
	unsigned status;

	memcpy(copy, path.at, path.len);
	status = target_resolve((struct str){ copy, path.len }, &arena, resolved);
	free(copy);
	return status;
}

static const struct {
	const char *path, *resolved;
} good[] = {
	{ "/", "/" },
	{ "/a", "/a" },
	{ "/a/", "/a/" },
	{ "/a/b.html", "/a/b.html" },
	{ "//", "/" },
	{ "///a///b///", "/a/b/" },
	{ "//evil.example/x", "/evil.example/x" },
	{ "/.", "/" },
	{ "/./", "/" },
	{ "/a/.", "/a/" },
	{ "/a/./b", "/a/b" },
	{ "/a/..", "/" },
	{ "/a/../", "/" },
	{ "/a/b/..", "/a/" },
	{ "/a/b/../..", "/" },
	{ "/a/b/../c", "/a/c" },
	{ "/a/../b/../c/./d/", "/c/d/" },
	{ "/a//../b", "/b" },
	{ "/longer/../b", "/b" },
	{ "/%61", "/a" },
	{ "/%2e", "/" },
	{ "/a/%2E%2e/b", "/b" },
	{ "/a/.%2e/b", "/b" },
	{ "/a%20b", "/a b" },
	{ "/a+b", "/a+b" },
	{ "/%C3%a4", "/\xc3\xa4" },
	{ "/%25", "/%" },
	{ "/%252e%252e/a", "/%2e%2e/a" },       /* decoded once, not twice */
	{ "/%252f", "/%2f" },
	{ "/a;b=c,d", "/a;b=c,d" },
	{ "/a.b.", "/a.b." },
	{ "/a..", "/a.." },
	{ "/%3f%23", "/?#" },
	{ "/%5c..%5cx", "/\\..\\x" },           /* a backslash is a letter here */
	{ "/%0a%7f%ff", "/\n\x7f\xff" },
	{ "/.well-known", "/.well-known" },
	{ "/.well-known/acme-challenge/x", "/.well-known/acme-challenge/x" },
	{ "//%2ewell-known/x", "/.well-known/x" },
	{ "/a/../.well-known/x", "/.well-known/x" },
	{ "/.git/../a", "/a" },
	{ "/...", "/..." }, { "/..a", "/..a" }, { "/.a.", "/.a." },
	/* "." and "/" in forms that UTF-8 forbids are no dots and no slashes */
	{ "/%c0%ae%c0%ae/a", "/\xc0\xae\xc0\xae/a" },
	{ "/a%c0%afb", "/a\xc0\xaf" "b" },
	{ "/%e0%80%ae%f0%80%80%ae", "/\xe0\x80\xae\xf0\x80\x80\xae" },
	{ "/a%c0%80", "/a\xc0\x80" },
	{ "/%5c%5chost%5cx", "/\\\\host\\x" },
	{ "/c:%5cx", "/c:\\x" },
};

START_TEST(a_good_path_is_resolved)
{
	struct str resolved = { NULL, 0 };
	unsigned status = resolve(str_of(good[_i].path), &resolved);

	ck_assert_uint_eq(status, 0);
	ck_assert_str_eq(resolved.at, good[_i].resolved);
	ck_assert_uint_eq(resolved.len, strlen(good[_i].resolved));
}
END_TEST

static const struct {
	const char *path;
	unsigned status;
} bad[] = {
	{ "", 400 }, { "*", 400 }, { "a/b", 400 },
	{ "/..", 400 }, { "/../", 400 }, { "/../etc/passwd", 400 }, { "/a/../..", 400 },
	{ "/a/../../b", 400 },
	{ "//..", 400 }, { "/./..", 400 }, { "/%2e%2e/a", 400 }, { "/%2e%2e%2fa", 400 },
	{ "/a/%2E./../b", 400 },
	{ "/%", 400 }, { "/%4", 400 }, { "/%4g", 400 }, { "/%g4", 400 }, { "/%%41", 400 }, { "/a%2", 400 },
	{ "/% 1", 400 }, { "/%+1", 400 }, { "/%-1", 400 }, { "/%4/1", 400 },
	{ "/a%00", 400 }, { "/%00", 400 }, { "/a%00.html", 400 }, { "/a%2fb", 400 }, { "/a%2Fb", 400 },
	{ "/.git/%zz", 400 }, { "/%c0%", 400 }, { "/%u002e%u002e/", 400 },
};

START_TEST(a_bad_path_gets_its_status)
{
	struct str resolved = { "untouched", 9 };

	ck_assert_uint_eq(resolve(str_of(bad[_i].path), &resolved), bad[_i].status);
	ck_assert_str_eq(resolved.at, "untouched");
}
END_TEST

static const struct {
	const char *path;
	size_t from;
	bool hidden;
} dots[] = {
	{ "/", 0, false }, { "/a.b/c.", 0, false }, { "/.git", 0, true }, { "/.git/config", 0, true },
	{ "/a/.htaccess", 0, true }, { "/...", 0, true }, { "/..a", 0, true }, { "/a/.b/", 0, true },
	{ "/.well-known", 0, false }, { "/.well-known/", 0, false }, { "/.well-known/a/b", 0, false },
	{ "/a/.well-known/x", 0, true }, { "/.well-known2", 0, true }, { "/.well-know", 0, true },
	{ "/.WELL-KNOWN", 0, true }, { "/.well-known/.x", 0, true }, { "/.well-known/.well-known", 0, true },
	{ "/.well-known/a/.x/b", 0, true },
	/* what the operator matched */
	{ "/.git", 5, false }, { "/.git/config", 5, false }, { "/.git/.x", 5, true }, { "/a/.x", 2, true },
	{ "/.well-known/x", 12, false }, { "/.well-known/.x", 12, true }, { "/a/.well-known/x", 2, true },
};

START_TEST(a_name_with_a_dot_is_hidden)
{
	ck_assert_msg(target_is_hidden(str_of(dots[_i].path), dots[_i].from) == dots[_i].hidden, "%s",
		      dots[_i].path);
}
END_TEST

START_TEST(a_raw_nul_is_refused)
{
	struct str resolved;

	ck_assert_uint_eq(resolve((struct str){ "/a\0b", 4 }, &resolved), 400);
}
END_TEST

START_TEST(a_path_too_long_for_memory_is_our_fault)
{
	struct str resolved;

	ck_assert_uint_eq(target_resolve((struct str){ "/", SIZE_MAX - 1 }, &arena, &resolved), 500);
}
END_TEST

START_TEST(a_very_long_path_is_resolved)
{
	enum { SEGMENTS = 50000 };
	char *path = malloc(SEGMENTS * 2 + 1);
	struct str resolved;

	for (size_t i = 0; i < SEGMENTS; i++)
		memcpy(path + i * 2, "/a", 2);
	ck_assert_uint_eq(resolve((struct str){ path, SEGMENTS * 2 }, &resolved), 0);
	ck_assert_uint_eq(resolved.len, SEGMENTS * 2);
	ck_assert_int_eq(memcmp(resolved.at, path, resolved.len), 0);
	free(path);
}
END_TEST

/* Paths out of the pieces that matter never give a result that leaves the root, hides or repeats a slash. */
START_TEST(no_mixture_of_pieces_gets_out)
{
	static const char *const pieces[] = { "/", "/", ".", "..", "%2e", "%2E", "a", "%61", "%", "%2f",
					      "%00", ".well-known" };
	uint32_t seed = 1;

	for (int round = 0; round < 20000; round++) {
		char path[256] = "/";
		struct str resolved = { NULL, 0 };

		for (int i = 0; i < 10; i++) {
			seed = seed * 1103515245 + 12345;
			strcat(path, pieces[seed / 65536 % (sizeof(pieces) / sizeof(pieces[0]))]);
		}
		if (resolve(str_of(path), &resolved) != 0)
			continue;
		ck_assert_msg(resolved.at[0] == '/' && strlen(resolved.at) == resolved.len, "%s", path);
		ck_assert_msg(strstr(resolved.at, "//") == NULL, "%s", path);
		strcat(path, "/");
		ck_assert_uint_eq(resolve(str_of(path), &resolved), 0);
		ck_assert_msg(strstr(resolved.at, "/./") == NULL && strstr(resolved.at, "/../") == NULL,
			      "%s gave %s", path, resolved.at);
	}
}
END_TEST

static const struct {
	const char *authority, *host;
} hosts[] = {
	{ "example.org", "example.org" },
	{ "EXAMPLE.Org", "example.org" },
	{ "example.org:80", "example.org" },
	{ "example.org:", "example.org" },
	{ "example.org:00080", "example.org" },
	{ "example.org:0", "example.org" },
	{ "example.org:65535", "example.org" },
	{ "example.org.", "example.org" },
	{ "example.org.:8080", "example.org" },
	{ "localhost", "localhost" },
	{ "127.0.0.1:8080", "127.0.0.1" },
	{ "[::1]", "[::1]" },
	{ "[::1]:8080", "[::1]" },
	{ "[::1]:", "[::1]" },
	{ "[2001:DB8::AbCd]", "[2001:db8::abcd]" },
	{ "[::ffff:192.0.2.1]", "[::ffff:192.0.2.1]" },
	{ "[1111:2222:3333:4444:5555:6666:7777:8888]", "[1111:2222:3333:4444:5555:6666:7777:8888]" },
	{ "[1111:2222:3333:4444:5555:6666:123.123.123.123]",
	  "[1111:2222:3333:4444:5555:6666:123.123.123.123]" },
	{ "a_b-c~d", "a_b-c~d" },
	{ "a!$&'()*+,;=", "a!$&'()*+,;=" },
	{ "%C3%A4.example", "%c3%a4.example" },
	{ "xn--bcher-kva.example", "xn--bcher-kva.example" },
};

START_TEST(a_host_is_lowered_and_stripped)
{
	char host[TARGET_HOST_BYTES];

	ck_assert(target_host(str_of(hosts[_i].authority), host, sizeof(host)));
	ck_assert_str_eq(host, hosts[_i].host);
}
END_TEST

static const char *const no_hosts[] = {
	"", ":", ":80", ".", ".:80", "a b", " a", "a ", "a\t", "user@host", "user:secret@host",
	"a:b", "a:80:80", "a:-1", "a:+1", "a: 1", "a:65536", "a:99999999999999999999999", "a:8o", "a/b",
	"a?b", "a#b", "a\\b", "a\"b", "<a>", "a|b", "a^b", "a`b", "{a}", "a%",
	"a%4", "a%4g", "a%g4", "a%00", "\xc3\xa4", "a\x7f", "a\x01",
	"::1", "[", "]", "[]", "[]:80", "[::1", "::1]", "[::1]x", "[::1].", "[::1]]", "[[::1]]", "[::1]80",
	"[::1]:x", "[:::1]", "[1:2:3:4:5:6:7]", "[1:2:3:4:5:6:7:8:9]", "[12345::]", "[g::]",
	"[::1%25eth0]", "[fe80::1%eth0]", "[127.0.0.1]", "[example]", "[v1.x]", "[::1 ]", "[ ::1]", "a[::1]",
	"[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa]",
};

START_TEST(what_is_no_host_is_refused)
{
	char host[TARGET_HOST_BYTES] = "untouched";

	ck_assert_msg(!target_host(str_of(no_hosts[_i]), host, sizeof(host)), "%s", no_hosts[_i]);
	ck_assert_str_eq(host, "untouched");
}
END_TEST

START_TEST(a_nul_is_in_no_host)
{
	char host[TARGET_HOST_BYTES];

	ck_assert(!target_host((struct str){ "a\0b", 3 }, host, sizeof(host)));
	ck_assert(!target_host((struct str){ "a\0", 2 }, host, sizeof(host)));
	ck_assert(!target_host((struct str){ "[::1\0]", 6 }, host, sizeof(host)));
	ck_assert(!target_host((struct str){ "a:80\0", 5 }, host, sizeof(host)));
}
END_TEST

START_TEST(a_host_fits_exactly)
{
	char host[4];

	ck_assert(target_host(str_of("abc.:80"), host, sizeof(host)));
	ck_assert_str_eq(host, "abc");
	ck_assert(!target_host(str_of("abcd"), host, sizeof(host)));
	ck_assert(!target_host(str_of("[::1]"), host, sizeof(host)));
	ck_assert(!target_host(str_of("a"), host, 1));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("target");
	TCase *tests = tcase_create("target");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_checked_fixture(tests, NULL, give_memory_back);
	tcase_add_loop_test(tests, a_good_path_is_resolved, 0, sizeof(good) / sizeof(good[0]));
	tcase_add_loop_test(tests, a_bad_path_gets_its_status, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_loop_test(tests, a_name_with_a_dot_is_hidden, 0, sizeof(dots) / sizeof(dots[0]));
	tcase_add_test(tests, a_raw_nul_is_refused);
	tcase_add_test(tests, a_path_too_long_for_memory_is_our_fault);
	tcase_add_test(tests, a_very_long_path_is_resolved);
	tcase_add_test(tests, no_mixture_of_pieces_gets_out);
	tcase_add_loop_test(tests, a_host_is_lowered_and_stripped, 0, sizeof(hosts) / sizeof(hosts[0]));
	tcase_add_loop_test(tests, what_is_no_host_is_refused, 0, sizeof(no_hosts) / sizeof(no_hosts[0]));
	tcase_add_test(tests, a_nul_is_in_no_host);
	tcase_add_test(tests, a_host_fits_exactly);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
