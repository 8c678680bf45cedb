/* media_test.c - media types as an operator writes them, and the table that is made of them. */
#include "config/media.h"
#include "http/mime.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct arena arena;
static struct config *config;
static struct problems problems;
static const struct schema *const no_services[] = { NULL };

static void set_up(void)
{
	config = setting_instance(&config_schema, &arena);
}

static void tear_down(void)
{
	problems_release(&problems);
	arena_free(&arena);
}

static const char *const types[] = {
	"text/plain", "application/vnd.oasis.opendocument.text", "image/svg+xml", "a/b", "x-!#$%&'*+-.^_`|~/1",
	"text/html; charset=utf-8", "text/html;charset=utf-8", "text/html ; a=b; c=\"d e;\\\"f\"",
	"multipart/mixed; boundary=\"\"",
};

START_TEST(this_is_a_type)
{
	struct err err;

	ck_assert_msg(media_check_type(types[_i], &err), "%s", types[_i]);
}
END_TEST

static const char *const no_types[] = {
	"", "text", "text/", "/plain", "text/plain/x", "text plain", "text/pl ain", "text/plain;", "text/plain ;",
	"text/plain; ", "text/plain; charset", "text/plain; charset=", "text/plain; =x", "text/plain charset=x",
	"text/plain; a=\"b", "text/plain; a=\"b\\\"", "text/plain; a=b c", "text/plain; a=\"b\"c", "t\xc3\xa4xt/plain",
	"text/plain\r\nX: y", "text/plain; a=\"\r\n\"", "text/plain; a=\"\x7f\"", "{", "text/html html;",
};

START_TEST(this_is_no_type)
{
	struct err err;

	ck_assert_msg(!media_check_type(no_types[_i], &err), "%s", no_types[_i]);
}
END_TEST

START_TEST(a_type_has_its_length)
{
	char text[MEDIA_TYPE_BYTES + 2] = "text/";
	struct err err;

	memset(text + 5, 'x', MEDIA_TYPE_BYTES - 5);
	ck_assert(media_check_type(text, &err));
	text[MEDIA_TYPE_BYTES] = 'x';
	ck_assert(!media_check_type(text, &err));
}
END_TEST

START_TEST(an_extension_is_what_is_behind_a_dot)
{
	static const char *const bad[] = { "", ".txt", "a/b", "a b", "a\n", "a\x7f", "\t" };
	struct err err;

	ck_assert(media_check_extension("html", &err) && media_check_extension("tar.gz", &err));
	ck_assert(media_check_extension("C++", &err) && media_check_extension("\xc3\xa4", &err));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!media_check_extension(bad[i], &err), "%s", bad[i]);
}
END_TEST

/* "type:ext,ext type:ext" */
static const char *parse(const char *text)
{
	static char out[1024];

	out[0] = '\0';
	if (!media_parse("m", str_of(text), config, &arena, &problems))
		return problems.text;
	for (unsigned i = 0; i < config->mime_types.count; i++) {
		const struct mime_config *entry = config_mime(config, i);

		sprintf(out + strlen(out), "%s%s:", i > 0 ? " " : "", entry->type);
		for (unsigned j = 0; j < entry->extensions.count; j++)
			sprintf(out + strlen(out), "%s%s", j > 0 ? "," : "", entry->extensions.at[j]);
	}
	return out;
}

static const struct {
	const char *text, *result;
} files[] = {
	{ "", "" },
	{ "# nothing\n\n   \n#", "" },
	{ "text/plain txt", "text/plain:txt" },
	{ "text/plain\ttxt  asc\r\n", "text/plain:txt,asc" },
	{ "  text/plain txt # text\n", "text/plain:txt" },
	{ "text/plain\nimage/png png\n", "image/png:png" },
	{ "a/b X\nc/d x y\n", "a/b:x c/d:y" },
	{ "a/b x x X\n", "a/b:x" },
	{ "a/b x\nc/d x\n", "a/b:x" },
	{ "a/b tar.gz", "a/b:tar.gz" },
	{ "text/html html;", "text/html:html;" },       /* a name may end with it */
	{ "types {", "m:1:1: \"types\" is no media type; allowed is a text such as \"text/plain\", of at most 255"
		     " bytes\n" },
	{ "a/b x\n\nc/d .y", "m:3:1: \".y\" is no extension: what stands behind a dot of a name, such as"
			     " \"html\"\n" },
	{ "a/\x1b[2J x", "m:1:1: \"a/?[2J\" is no media type; allowed is a text such as \"text/plain\", of at most"
			 " 255 bytes\n" },
};

START_TEST(a_file_gives_its_types)
{
	ck_assert_str_eq(parse(files[_i].text), files[_i].result);
}
END_TEST

START_TEST(a_nul_is_refused)
{
	ck_assert(!media_parse("m", (struct str){ "a/b x\0y", 7 }, config, &arena, &problems));
	ck_assert_str_eq(problems.text, "m:1:1: a NUL byte\n");
}
END_TEST

/* The place of a type is printed behind it, as a comment. */
START_TEST(a_path_adds_no_lines)
{
	const struct schema *schema = setting_find(&config_schema, "mime", "types")->of;

	ck_assert(media_parse("a\nb", str_of("a/b x"), config, &arena, &problems));
	ck_assert_str_eq(setting_origin_of(schema, config_mime(config, 0), "type"), "a?b:1:1");
	ck_assert(!media_parse("a\nb", str_of("a"), config, &arena, &problems));
	ck_assert_ptr_nonnull(strstr(problems.text, "a?b:1:1: "));
	problems_release(&problems);
	config->mime_file = "/none\n";
	ck_assert(!media_read(config, &arena, &problems));
	ck_assert_ptr_nonnull(strstr(problems.text, "/none?: No such file"));
}
END_TEST

START_TEST(there_is_an_end_to_extensions)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	for (int i = 0; i <= MEDIA_MOST; i++)
		fprintf(out, "a/b e%d\n", i);
	fclose(out);
	ck_assert(!media_parse("m", (struct str){ text, len }, config, &arena, &problems));
	ck_assert_str_eq(problems.text, "m:4097:1: more than 4096 extensions\n");
	ck_assert_uint_eq(config->mime_types.count, 0);
	free(text);
}
END_TEST

START_TEST(what_the_configuration_says_goes_before_a_file)
{
	ck_assert_str_eq(parse("text/x-own HTML\n"), "text/x-own:html");
	ck_assert_str_eq(parse("text/html html htm\n"), "text/x-own:html text/html:htm");
}
END_TEST

START_TEST(a_file_that_is_none_is_refused)
{
	config->mime_file = "/nonexistent";
	ck_assert(!media_read(config, &arena, &problems));
	ck_assert_ptr_nonnull(strstr(problems.text, "mime.file /nonexistent: No such file or directory"));
	config->mime_file = "/dev/null";
	ck_assert(!media_read(config, &arena, &problems));
	ck_assert_ptr_nonnull(strstr(problems.text, "no regular file"));
}
END_TEST

/* ---- the table --------------------------------------------------------------------------------------- */

static const struct {
	const char *name, *type;
} named[] = {
	{ "a.html", "text/x-own; charset=utf-8" },
	{ "a.HTML", "text/x-own; charset=utf-8" },
	{ "a.htm", "text/html; charset=utf-8" },        /* built in */
	{ "a.latin", "text/plain; charset=iso-8859-1" },
	{ "a.Text", "TEXT/plain; format=flowed; charset=utf-8" },
	{ "a.foo", "application/x-foo" },
	{ "a.bar", "application/x-first" },
	{ "a.cwl.json", "application/cwl+json" },
	{ "a.CWL.json", "application/cwl+json" },
	{ "a.b.cwl.json", "application/cwl+json" },
	{ "cwl.json", "application/json" },             /* that is its name */
	{ "cwl/a.json", "application/json" },
	{ "a.none", "application/octet-stream" },
	{ "foo", "application/octet-stream" },
};

START_TEST(a_name_has_the_type_of_the_table)
{
	struct generation *generation = generation_new(1, no_services);
	struct err err;

	parse("text/x-own html\ntext/plain;charset=iso-8859-1 unused\n"
	      "application/x-foo foo\napplication/x-first bar\napplication/x-second BAR\n"
	      "application/cwl+json cwl.json\n");
	config_mime(config, 1)->type = "text/plain; charset=iso-8859-1";
	config_mime(config, 1)->extensions.at[0] = "latin";
	parse("x/y text");
	config_mime(config, config->mime_types.count - 1)->type = "TEXT/plain; format=flowed";
	generation->config = config;
	ck_assert(mime_prepare(generation, &err));
	ck_assert_str_eq(mime_type(generation->types, str_of(named[_i].name)).at, named[_i].type);
	generation_unpin(generation);
}
END_TEST

START_TEST(without_types_there_is_no_table)
{
	struct generation *generation = generation_new(1, no_services);
	struct err err;

	generation->config = config;
	ck_assert(mime_prepare(generation, &err));
	ck_assert_ptr_null(generation->types);
	generation_unpin(generation);
}
END_TEST

#define LOOP(cases, test, table) tcase_add_loop_test(cases, test, 0, sizeof(table) / sizeof((table)[0]))

int main(void)
{
	Suite *suite = suite_create("media");
	TCase *tests = tcase_create("media");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_checked_fixture(tests, set_up, tear_down);
	LOOP(tests, this_is_a_type, types);
	LOOP(tests, this_is_no_type, no_types);
	tcase_add_test(tests, a_type_has_its_length);
	tcase_add_test(tests, an_extension_is_what_is_behind_a_dot);
	LOOP(tests, a_file_gives_its_types, files);
	tcase_add_test(tests, a_nul_is_refused);
	tcase_add_test(tests, a_path_adds_no_lines);
	tcase_add_test(tests, there_is_an_end_to_extensions);
	tcase_add_test(tests, what_the_configuration_says_goes_before_a_file);
	tcase_add_test(tests, a_file_that_is_none_is_refused);
	LOOP(tests, a_name_has_the_type_of_the_table, named);
	tcase_add_test(tests, without_types_there_is_no_table);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
