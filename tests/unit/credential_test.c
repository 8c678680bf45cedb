/* Where "credential:NAME" leads to. */
#include "config/credential.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/credential_test.XXXXXX";
static struct arena arena;

static void set_up(void)
{
	char path[sizeof(directory) + 16];
	FILE *file;

	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/users", directory);
	file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	fclose(file);
	setenv("CREDENTIALS_DIRECTORY", directory, 1);
}

static void tear_down(void)
{
	char path[sizeof(directory) + 16];

	snprintf(path, sizeof(path), "%s/users", directory);
	unlink(path);
	rmdir(directory);
	arena_free(&arena);
}

START_TEST(only_the_prefix_makes_one)
{
	ck_assert(credential_is("credential:users"));
	ck_assert(credential_is("credential:"));
	ck_assert(!credential_is("credentials:users"));
	ck_assert(!credential_is("/credential:users"));
	ck_assert(!credential_is(""));
}
END_TEST

START_TEST(it_is_the_file_of_its_name)
{
	char path[sizeof(directory) + 16];
	struct err err;

	snprintf(path, sizeof(path), "%s/users", directory);
	ck_assert_str_eq(credential_path("credential:users", true, &arena, &err), path);
	ck_assert_str_eq(credential_path("credential:users", false, &arena, &err), path);
}
END_TEST

START_TEST(one_that_was_not_passed_is_an_error_that_says_what_to_do)
{
	struct err err;

	ck_assert_ptr_null(credential_path("credential:other", false, &arena, &err));
	ck_assert_ptr_nonnull(strstr(err.text, "LoadCredential=other:PATH"));
	ck_assert_ptr_nonnull(strstr(err.text, directory));
}
END_TEST

START_TEST(without_a_directory_it_stays_as_it_is_unless_it_is_needed)
{
	struct err err;

	unsetenv("CREDENTIALS_DIRECTORY");
	ck_assert_str_eq(credential_path("credential:users", false, &arena, &err), "credential:users");
	ck_assert_ptr_null(credential_path("credential:users", true, &arena, &err));
	ck_assert_ptr_nonnull(strstr(err.text, "$CREDENTIALS_DIRECTORY is not set"));
}
END_TEST

START_TEST(a_directory_that_is_relative_is_none)
{
	setenv("CREDENTIALS_DIRECTORY", "tmp", 1);
	ck_assert_ptr_null(credential_directory());
	setenv("CREDENTIALS_DIRECTORY", "", 1);
	ck_assert_ptr_null(credential_directory());
}
END_TEST

static const char *const wrong[] = { "credential:",      "credential:.",           "credential:..",
				     "credential:a/b",   "credential:/etc/passwd", "credential:../users",
				     "credential:users/" };

START_TEST(a_name_does_not_lead_elsewhere)
{
	struct err err;

	ck_assert_ptr_null(credential_path(wrong[_i], _i % 2 == 0, &arena, &err));
	ck_assert_ptr_nonnull(strstr(err.text, "without a slash"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("credential");
	TCase *tcase = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, only_the_prefix_makes_one);
	tcase_add_test(tcase, it_is_the_file_of_its_name);
	tcase_add_test(tcase, one_that_was_not_passed_is_an_error_that_says_what_to_do);
	tcase_add_test(tcase, without_a_directory_it_stays_as_it_is_unless_it_is_needed);
	tcase_add_test(tcase, a_directory_that_is_relative_is_none);
	tcase_add_loop_test(tcase, a_name_does_not_lead_elsewhere, 0, sizeof(wrong) / sizeof(wrong[0]));
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
