/* mime_test.c - media types by extension. */
#include "http/mime.h"

#include <check.h>
#include <stdlib.h>

static const char *type_of(const char *name)
{
	return mime_type(NULL, str_of(name)).at;
}

START_TEST(the_table_is_sorted)
{
	for (size_t i = 1; mime_rows[i].extension != NULL; i++)
		ck_assert_msg(strcmp(mime_rows[i - 1].extension, mime_rows[i].extension) < 0,
			      "%s stands before %s", mime_rows[i - 1].extension, mime_rows[i].extension);
}
END_TEST

START_TEST(the_table_is_in_lower_case)
{
	for (size_t i = 0; mime_rows[i].extension != NULL; i++)
		for (const char *c = mime_rows[i].extension; *c != '\0'; c++)
			ck_assert_int_eq(*c, str_lower(*c));
}
END_TEST

START_TEST(every_row_is_found)
{
	for (size_t i = 0; mime_rows[i].extension != NULL; i++) {
		char name[64] = "file.";

		strcat(name, mime_rows[i].extension);
		ck_assert_ptr_eq(type_of(name), mime_rows[i].type);
	}
}
END_TEST

START_TEST(text_and_only_text_has_a_charset)
{
	for (size_t i = 0; mime_rows[i].extension != NULL; i++) {
		bool is_text = strncmp(mime_rows[i].type, "text/", 5) == 0;
		bool has_charset = strstr(mime_rows[i].type, "; charset=utf-8") != NULL;

		ck_assert_msg(is_text == has_charset, "%s", mime_rows[i].type);
	}
}
END_TEST

static const struct {
	const char *name, *type;
} named[] = {
	{ "index.html", "text/html; charset=utf-8" },
	{ "app.js", "text/javascript; charset=utf-8" },
	{ "module.wasm", "application/wasm" },
	{ "PHOTO.JPG", "image/jpeg" },
	{ "jquery.min.js", "text/javascript; charset=utf-8" },
	{ "/srv/www.d/a.css", "text/css; charset=utf-8" },
	{ ".html", "text/html; charset=utf-8" },
};

START_TEST(a_name_has_the_type_of_its_last_extension)
{
	ck_assert_str_eq(type_of(named[_i].name), named[_i].type);
}
END_TEST

static const char *const unknown[] = {
	"", ".", "README", "a.", "a.htm1", "a.h", "a.htmlx", "a.ht", "a.html.bak", "dir.html/README",
	"a.\xff", "zzz.zzzz",
};

START_TEST(an_unknown_extension_is_octets)
{
	ck_assert_str_eq(type_of(unknown[_i]), "application/octet-stream");
}
END_TEST

START_TEST(a_nul_in_the_name_matches_nothing)
{
	ck_assert_str_eq(mime_type(NULL, (struct str){ "a.html\0x", 8 }).at, "application/octet-stream");
}
END_TEST

START_TEST(the_slice_has_the_length_of_the_type)
{
	ck_assert_uint_eq(mime_type(NULL, str_of("a.png")).len, strlen("image/png"));
}
END_TEST

static const struct {
	const char *type;
	bool compressed;
} kinds[] = {
	{ "text/html; charset=utf-8", false }, { "application/json", false }, { "image/svg+xml", false },
	{ "application/octet-stream", false }, { "application/wasm", false }, { "font/ttf", false },
	{ "image/bmp", false }, { "audio/wav", false }, { "application/pdf", false }, { "x+zip/y", false },
	{ "image/png", true }, { "image/jpeg", true }, { "video/mp4", true }, { "audio/mpeg", true },
	{ "application/zip", true }, { "application/gzip", true }, { "application/zstd", true },
	{ "font/woff2", true }, { "application/epub+zip", true }, { "", false }, { "+zip", false },
	{ "application/vnd.openxmlformats-officedocument.wordprocessingml.document", true },
};

START_TEST(a_type_is_compressed_or_not)
{
	ck_assert_msg(mime_is_compressed(str_of(kinds[_i].type)) == kinds[_i].compressed, "%s",
		      kinds[_i].type);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mime");
	TCase *tests = tcase_create("mime");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_test(tests, the_table_is_sorted);
	tcase_add_test(tests, the_table_is_in_lower_case);
	tcase_add_test(tests, every_row_is_found);
	tcase_add_test(tests, text_and_only_text_has_a_charset);
	tcase_add_loop_test(tests, a_name_has_the_type_of_its_last_extension, 0,
			    sizeof(named) / sizeof(named[0]));
	tcase_add_loop_test(tests, an_unknown_extension_is_octets, 0, sizeof(unknown) / sizeof(unknown[0]));
	tcase_add_test(tests, a_nul_in_the_name_matches_nothing);
	tcase_add_loop_test(tests, a_type_is_compressed_or_not, 0, sizeof(kinds) / sizeof(kinds[0]));
	tcase_add_test(tests, the_slice_has_the_length_of_the_type);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
