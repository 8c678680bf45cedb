/* What is not shown of a request. */
#include "http/secret.h"

#include "config/field.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
	const char *target, *with_query, *without;
} targets[] = {
	{ "/", "/", "/" },
	{ "/a?b=c", "/a?b=c", "/a?-" },
	{ "/a?", "/a?", "/a?-" },
	{ "/a?b?c#d", "/a?b?c#d", "/a?-" },
	{ "/a#token", "/a#token", "/a#-" },
	{ "//u:p@host/", "//u:p@host/", "//u:p@host/" },        /* a path */
	{ "/http://u:p@h/?q", "/http://u:p@h/?q", "/http://u:p@h/?-" },
	{ "http://u:p@h/x?q", "http://-@h/x?q", "http://-@h/x?-" },
	{ "http://u@h", "http://-@h", "http://-@h" },
	{ "http://a@b@h/", "http://-@h/", "http://-@h/" },
	{ "http://u:p@h?q@r", "http://-@h?q@r", "http://-@h?-" },
	{ "HTTPS://u:p@[::1]:8/x", "HTTPS://-@[::1]:8/x", "HTTPS://-@[::1]:8/x" },
	{ "http://h/x@y", "http://h/x@y", "http://h/x@y" },
	{ "u:p@h:443", "-@h:443", "-@h:443" },
	{ "*", "*", "*" },
	{ "", "", "" },
};

START_TEST(a_target_is_shown_without_secrets)
{
	struct str target = str_of(targets[_i].target);

	for (unsigned query = 0; query < 2; query++) {
		const char *wanted = query == 1 ? targets[_i].with_query : targets[_i].without;
		char out[64];
		struct str shown = secret_target(target, query == 1, out, sizeof(out));

		ck_assert_msg(str_equal(shown, str_of(wanted)), "%.*s", (int)shown.len, shown.at);
		ck_assert_int_eq(secret_is_in(target, query == 1), strcmp(wanted, targets[_i].target) != 0);
		for (size_t room = 0; room < shown.len; room++) {
			char *exact = malloc(room + 1);

			ck_assert_uint_eq(secret_target(target, query == 1, exact, room).len, room);
			ck_assert_mem_eq(exact, wanted, room);
			free(exact);
		}
	}
}
END_TEST

static const struct {
	const char *head, *with_query, *without;
} lines[] = {
	{ "GET /a?b HTTP/1.1\r\nAuthorization: Basic eDp5\r\n", "GET /a?b HTTP/1.1\r",
	  "GET /a?- HTTP/1.1\r" },
	{ "\r\nGET /a?b HTTP/1.1\r\n", "GET /a?b HTTP/1.1\r", "GET /a?- HTTP/1.1\r" },
	{ "GET http://u:p@h/?q HTTP/1.1\r\nHost: h\r\n", "GET http://-@h/?q HTTP/1.1\r",
	  "GET http://-@h/?- HTTP/1.1\r" },
	{ "GET /a?b", "GET /a?b", "GET /a?-" },
	{ "GET /part", "GET /part", "GET /part" },
	{ "GET http://u:p", "GET http://-", "GET http://-" },    /* the "@" may come */
	{ "GET u:p", "GET -", "GET -" },
	{ "GET http://u:p@h", "GET http://-", "GET http://-" },
	{ "GET http://u:p@h\n", "GET http://-@h", "GET http://-@h" },
	{ "GE", "GE", "GE" },
	{ "GET ", "GET ", "GET " },
	{ "", "", "" },
};

START_TEST(a_line_is_shown_without_secrets_and_without_fields)
{
	for (unsigned query = 0; query < 2; query++) {
		const char *wanted = query == 1 ? lines[_i].with_query : lines[_i].without;
		char out[160];
		size_t len = secret_line(str_of(lines[_i].head), query == 1, out, sizeof(out));

		ck_assert_msg(str_equal((struct str){ out, len }, str_of(wanted)), "%.*s", (int)len, out);
	}
}
END_TEST

/* At any moment: whatever has come so far, and however long the name in front of it is. */
START_TEST(no_beginning_of_a_line_shows_a_password)
{
	char head[512], out[160];
	int all = snprintf(head, sizeof(head), "GET http://%0*d:geheim@h/?geheim HTTP/1.1\r\nX: geheim\r\n",
			   _i * 12 + 1, 0);

	for (size_t len = 0; len <= (size_t)all; len++) {
		size_t shown = secret_line((struct str){ head, len }, false, out, sizeof(out));

		ck_assert_ptr_null(memmem(out, shown, "gehei", 5));
		ck_assert_ptr_null(memmem(out, shown, "0:", 2));
	}
}
END_TEST

START_TEST(names_of_secret_fields)
{
	static const char *const secret[] = { "Authorization", "proxy-authorization",
					      "Cookie",        "Set-Cookie",
					      "X-API-Key",     "X-Auth-Token",
					      "Client-Secret", "X-Session" };
	static const char *const open[] = { "X-Frame-Options", "Vary", "Key", "", "Server", "Cache-Control" };

	for (size_t i = 0; i < sizeof(secret) / sizeof(secret[0]); i++)
		ck_assert_msg(field_is_secret(str_of(secret[i])), "%s", secret[i]);
	for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++)
		ck_assert_msg(!field_is_secret(str_of(open[i])), "%s", open[i]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("secret");
	TCase *tcase = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tcase, a_target_is_shown_without_secrets, 0,
			    sizeof(targets) / sizeof(targets[0]));
	tcase_add_loop_test(tcase, a_line_is_shown_without_secrets_and_without_fields, 0,
			    sizeof(lines) / sizeof(lines[0]));
	tcase_add_loop_test(tcase, no_beginning_of_a_line_shows_a_password, 0, 20);
	tcase_add_test(tcase, names_of_secret_fields);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
