/* sandbox_test.c - the list of what workers read, from paths that are really there. */
#include "config/sandbox.h"

#include "config/read.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct shelf {
	const char *path, *word;
	struct strings tags;
};

static const char *const words[] = { "off", NULL };

static const struct setting shelf_rows[] = {
	{ "path", SETTING_PATH, .opened = true, .choices = words, .offset = offsetof(struct shelf, path) },
	{ "word", SETTING_PATH, .offset = offsetof(struct shelf, word) },
};

static const struct schema shelf_schema = { "shelf", shelf_rows, 2, sizeof(struct shelf), NULL };
static const struct schema *const services[] = { &shelf_schema, NULL };

static char top[64];

static void set_up(void)
{
	char command[256], made[] = "/tmp/sandbox_test.XXXXXX";

	ck_assert_ptr_nonnull(mkdtemp(made));
	snprintf(top, sizeof(top), "%s", made);
	snprintf(command, sizeof(command),
		 "cd %s && mkdir -p a/b/c/d a.d/e z && ln -s ../a/b/c z/link && ln -s nowhere z/dangling", top);
	ck_assert_int_eq(system(command), 0);   /* NOLINT(cert-env33-c): a path of our own */
}

static void tear_down(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", top);
	ck_assert_int_eq(system(command), 0);   /* NOLINT(cert-env33-c): a path of our own */
}

/* The list for these settings, a word a path, without `top`. */
static const char *list_of(const char *settings, struct preflight *found)
{
	static char text[1024];
	struct generation *generation = generation_new(1, services);
	struct problems problems = { 0 };
	struct err err;

	ck_assert_msg(read_config(&(struct config_input){ .path = "/t", .text = settings }, generation, &problems), "%s",
		      problems.text);
	ck_assert(sandbox_derive(generation, found, &err));
	text[0] = '\0';
	ck_assert(!generation->config->landlock || generation->config->sandbox_read.at != NULL);
	for (unsigned i = 0; i < generation->config->sandbox_read.count; i++) {
		const char *path = generation->config->sandbox_read.at[i];

		strcat(text, i > 0 ? " " : "");
		strcat(text, strncmp(path, top, strlen(top)) == 0 ? path + strlen(top) : path);
	}
	generation_unpin(generation);
	return text;
}

static const struct {
	const char *named, *paths[3], *list;
} rows[] = {
	{ NULL, { "/T/a/b" }, "/a" },
	{ NULL, { "/T/a/b/" }, "/a" },
	{ NULL, { "/T/a/b/." }, "/a" },
	{ NULL, { "/T/a/b", "/T/a/b/c" }, "/a" },               /* one is below the other */
	{ NULL, { "/T/a.d/e", "/T/a/b/c" }, "/a/b /a.d" },      /* sorted by segments */
	{ NULL, { "/T/z/link" }, "/a/b /z" },
	{ NULL, { "/T/z/link/d" }, "/a/b /z" },                 /* the link may be swapped, too */
	{ NULL, { "/T/z/dangling" }, "/z" },
	{ NULL, { "/T/z/not/there" }, "" },
	{ NULL, { "off" }, "" },
	{ NULL, { "/usr" }, "/usr" },
	{ NULL, { "/" }, "/" },
	{ "[ \"/T/a\" ]", { "/T/a/b/c" }, "/a" },
	{ "[ \"/T/a\" ]", { "/T/a" }, "/a" },
	{ "[ \"/T/a\" ]", { "/T/z/link" }, "/a" },              /* where it leads is named */
	{ "[ \"/T/a\" ]", { "/T/a.d/e" }, "/a /a.d" },
	{ "[ \"/T/a/b\", \"/T/a\", \"/T/none\" ]", { "off" }, "/a" },
	{ "[ \"/T/z/link\" ]", { "off" }, "/a/b/c" },           /* the kernel's rule is for where it leads */
};

/* "/T" stands for the directory. */
static void put(char *text, const char *more)
{
	for (const char *at; (at = strstr(more, "/T")) != NULL; more = at + 2) {
		strncat(text, more, (size_t)(at - more));
		strcat(text, top);
	}
	strcat(text, more);
}

START_TEST(the_list_is_what_the_row_says)
{
	char text[2048] = "listen = ( { address = \"*:80\"; } ); sites = ( { routes = ( ";
	char match[64];

	for (unsigned i = 0; i < 3 && rows[_i].paths[i] != NULL; i++) {
		snprintf(match, sizeof(match), "%s{ match = \"/%u\"; shelf = { path = \"", i > 0 ? ", " : "", i);
		strcat(text, match);
		put(text, rows[_i].paths[i]);
		strcat(text, "\"; word = \"/etc/passwd\"; }; }");
	}
	strcat(text, " ); } );");
	if (rows[_i].named != NULL) {
		strcat(text, "sandbox = { read = ");
		put(text, rows[_i].named);
		strcat(text, "; };");
	}
	ck_assert_str_eq(list_of(text, NULL), rows[_i].list);
}
END_TEST

START_TEST(what_is_at_the_top_is_said)
{
	struct preflight found = { 0 };

	list_of("listen = ( { address = \"*:80\"; } );"
		"sites = ( { routes = ( { match = \"/\"; shelf = { path = \"/usr\"; }; } ); } );", &found);
	ck_assert_uint_eq(found.count, 1);
	ck_assert_str_eq(found.at[0].id, "sandbox_top");
}
END_TEST

START_TEST(without_landlock_nothing_is_derived)
{
	ck_assert_str_eq(list_of("listen = ( { address = \"*:80\"; } ); sandbox = { landlock = false; };"
				 "sites = ( { routes = ( { match = \"/\"; shelf = { path = \"/usr\"; }; } ); } );",
				 NULL), "");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sandbox");
	TCase *tests = tcase_create("sandbox");
	SRunner *runner;
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_loop_test(tests, the_list_is_what_the_row_says, 0, sizeof(rows) / sizeof(rows[0]));
	tcase_add_test(tests, what_is_at_the_top_is_said);
	tcase_add_test(tests, without_landlock_nothing_is_derived);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
