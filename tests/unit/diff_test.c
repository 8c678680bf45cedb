/* diff_test.c - what a new configuration changes, in terms of what it takes. */
#include "config/diff.h"
#include "config/read.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct schema kettle_schema = { "kettle", NULL, 0, 1, NULL };
static const struct schema *const services[] = { &kettle_schema, NULL };

#define ON(listen) "listen = ( " listen " );\n"
#define LISTEN ON("{ address = \"[::]:80\"; }")
#define SITES "sites = ( { routes = ( { match = \"/\"; kettle = { }; } ); } );\n"

static struct config_diff diff_of(const char *old_text, const char *new_text)
{
	struct generation *old = generation_new(1, services), *new = generation_new(2, services);
	struct problems problems = { 0 };
	struct config_diff diff;

	ck_assert_msg(read_config(&(struct config_input){ .path = "/t", .text = old_text }, old, &problems),
		      "%s", problems.text);
	ck_assert_msg(read_config(&(struct config_input){ .path = "/t", .text = new_text }, new, &problems),
		      "%s", problems.text);
	diff = config_compare(old->config, new->config);        /* holds literals and copies only */
	generation_unpin(old);
	generation_unpin(new);
	return diff;
}

START_TEST(the_same_configuration_changes_nothing)
{
	struct config_diff diff = diff_of(LISTEN SITES, LISTEN SITES);

	ck_assert(!diff.replace);
	ck_assert_ptr_null(diff.restart);
}
END_TEST

static const char *const live[] = {
	"workers = 3;", "accept = \"shared\";", "reload = \"replace\";", "timeouts = { send = \"1s\"; };",
	"limits = { connections = 7; max_draining = 3; };", "log = { level = \"debug\"; access = \"a\"; };",
};

START_TEST(what_is_live_needs_neither_replacement_nor_restart)
{
	char text[512];
	struct config_diff diff;

	snprintf(text, sizeof(text), "%s%s", live[_i], LISTEN SITES);
	diff = diff_of(LISTEN SITES, text);
	ck_assert(!diff.replace);
	ck_assert_ptr_null(diff.restart);
}
END_TEST

START_TEST(another_user_needs_fresh_workers)
{
	struct config_diff diff = diff_of(LISTEN SITES, "user = \"u\";" LISTEN SITES);

	ck_assert(diff.replace);
	ck_assert_str_eq(diff.why, "user");
	ck_assert_ptr_null(diff.restart);
}
END_TEST

START_TEST(a_user_that_is_taken_away_needs_fresh_workers)
{
	ck_assert(diff_of("user = \"u\";" LISTEN SITES, LISTEN SITES).replace);
}
END_TEST

START_TEST(the_first_reason_for_a_replacement_is_told)
{
	struct config_diff diff = diff_of("user = \"u\"; group = \"g\";" LISTEN SITES,
					  "user = \"u\"; group = \"h\"; limits = { open_files = 99; };" LISTEN SITES);

	ck_assert(diff.replace);
	ck_assert_str_eq(diff.why, "group");
}
END_TEST

START_TEST(the_same_value_spelled_otherwise_is_no_change)
{
	struct config_diff diff = diff_of("limits = { open_files = 64; };" LISTEN SITES,
					  "limits = { open_files = 0x40; };" LISTEN SITES);

	ck_assert(!diff.replace);
}
END_TEST

START_TEST(another_control_socket_needs_a_restart)
{
	struct config_diff diff = diff_of(LISTEN SITES, "control = \"off\";" LISTEN SITES);

	ck_assert_str_eq(diff.restart, "control");
	ck_assert(!diff.replace);
}
END_TEST

START_TEST(another_v6only_of_an_address_that_stays_needs_a_restart)
{
	struct config_diff diff = diff_of(LISTEN SITES, ON("{ address = \"*:80\"; v6only = true; }") SITES);

	ck_assert_str_eq(diff.restart, "listen.v6only");
}
END_TEST

static const struct {
	const char *old, *new, *restart;
} bound[] = {
	{ "{ address = \"*:80\"; }", "{ address = \"*:80\"; freebind = true; }", "listen.freebind" },
	{ "{ address = \"*:80\"; device = \"a\"; }", "{ address = \"[::]:80\"; }", "listen.device" },
	{ "{ address = \"*:80\"; device = \"a\"; }", "{ address = \"*:80\"; device = \"b\"; }",
	  "listen.device" },
	{ "{ address = \"unix:/a\"; }",
	  "{ address = \"unix:/a\"; mode = \"0600\"; owner = \"0\"; group = \"0\"; }", NULL },
};

START_TEST(what_a_socket_is_bound_with_needs_a_restart)
{
	char old[256], new[256];
	struct config_diff diff;

	snprintf(old, sizeof(old), "listen = ( %s );" SITES, bound[_i].old);
	snprintf(new, sizeof(new), "listen = ( %s );" SITES, bound[_i].new);
	diff = diff_of(old, new);
	if (bound[_i].restart == NULL)
		ck_assert_ptr_null(diff.restart);
	else
		ck_assert_str_eq(diff.restart, bound[_i].restart);
}
END_TEST

START_TEST(another_v6only_of_another_address_is_live)
{
	struct config_diff diff = diff_of(LISTEN SITES, ON("{ address = \"[::]:81\"; v6only = true; }") SITES);

	ck_assert_ptr_null(diff.restart);
}
END_TEST

START_TEST(addresses_come_and_go_and_move_without_a_restart)
{
	struct config_diff diff = diff_of(ON("{ address = \"[::]:80\"; v6only = true; }, { address = \"[::]:81\"; }") SITES,
					  ON("{ address = \"[::]:82\"; }, { address = \"[::]:80\"; v6only = true; backlog = 9; }")
					  SITES);

	ck_assert_ptr_null(diff.restart);
	ck_assert(!diff.replace);
}
END_TEST

#define READ(list) "sandbox = { read = " list "; };"

/* The lists are as they were derived: below what there was is adopted, all else takes fresh workers. */
static const struct {
	const char *old, *new;
	bool replace;
} lists[] = {
	{ READ("[ \"/srv\" ]"), READ("[ \"/srv\" ]"), false },
	{ READ("[ \"/srv\", \"/var\" ]"), READ("[ \"/var\" ]"), false },
	{ READ("[ \"/srv\" ]"), READ("[ \"/srv/www\" ]"), false },
	{ READ("[ \"/\" ]"), READ("[ \"/srv\" ]"), false },
	{ READ("[ \"/srv\" ]"), READ("[ ]"), false },
	{ READ("[ \"/srv\" ]"), READ("[ \"/srv2\" ]"), true },
	{ READ("[ \"/srv/www\" ]"), READ("[ \"/srv\" ]"), true },
	{ READ("[ \"/srv\" ]"), READ("[ \"/srv\", \"/var\" ]"), true },
	{ READ("[ ]"), READ("[ \"/srv\" ]"), true },
	{ "", READ("[ ]"), true },      /* nobody was confined */
	{ READ("[ \"/srv\" ]"), "sandbox = { landlock = false; read = [ \"/var\" ]; };", true },
	{ "sandbox = { landlock = false; read = [ \"/srv\" ]; };",
	  "sandbox = { landlock = false; read = [ \"/var\" ]; };", false },
};

START_TEST(more_to_read_needs_fresh_workers_and_less_does_not)
{
	char old[512], new[512];
	struct config_diff diff;

	snprintf(old, sizeof(old), "%s" LISTEN SITES, lists[_i].old);
	snprintf(new, sizeof(new), "%s" LISTEN SITES, lists[_i].new);
	diff = diff_of(old, new);
	ck_assert_int_eq(diff.replace, lists[_i].replace);
	if (diff.replace)
		ck_assert_str_eq(diff.why, strstr(new, "landlock") != NULL ? "sandbox.landlock" : "sandbox.read");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("diff");
	TCase *tests = tcase_create("diff");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, the_same_configuration_changes_nothing);
	tcase_add_loop_test(tests, what_is_live_needs_neither_replacement_nor_restart, 0,
			    sizeof(live) / sizeof(live[0]));
	tcase_add_test(tests, another_user_needs_fresh_workers);
	tcase_add_test(tests, a_user_that_is_taken_away_needs_fresh_workers);
	tcase_add_test(tests, the_first_reason_for_a_replacement_is_told);
	tcase_add_test(tests, the_same_value_spelled_otherwise_is_no_change);
	tcase_add_test(tests, another_control_socket_needs_a_restart);
	tcase_add_test(tests, another_v6only_of_an_address_that_stays_needs_a_restart);
	tcase_add_loop_test(tests, what_a_socket_is_bound_with_needs_a_restart, 0,
			    sizeof(bound) / sizeof(bound[0]));
	tcase_add_test(tests, another_v6only_of_another_address_is_live);
	tcase_add_test(tests, addresses_come_and_go_and_move_without_a_restart);
	tcase_add_loop_test(tests, more_to_read_needs_fresh_workers_and_less_does_not, 0,
			    sizeof(lists) / sizeof(lists[0]));
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
