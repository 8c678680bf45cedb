/* override_test.c - what was set while drover runs: the table, what typed values mean, and the layer that
 * they are of a configuration. */
#include "config/canonical.h"
#include "config/override.h"
#include "config/read.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct schema kettle_schema = { "kettle", NULL, 0, 1, NULL };
static const struct schema *const services[] = { &kettle_schema, NULL };

#define LISTEN "listen = ( { address = \"[::]:80\"; } );\n"
#define SITES "sites = ( { routes = ( { match = \"/\"; kettle = { }; } ); } );\n"
#define FILE_TEXT "workers = 3;\nlimits = { headers = 50; };\n" LISTEN SITES

static struct overrides overrides;
static struct generation *generation;
static struct problems problems;
static struct err err;

static void create(void)
{
	overrides.count = 0;
	generation = generation_new(1, services);
}

static void destroy(void)
{
	generation_unpin(generation);
	problems_release(&problems);
}

static void set(const char *name, const char *value, bool unconfirmed)
{
	ck_assert_msg(overrides_set(&overrides, name, value, unconfirmed, &err), "%s", err.text);
}

static const char *listed(bool pending)
{
	static char text[1024];

	overrides_list(&overrides, pending, text, sizeof(text));
	return text;
}

static const struct config *read_with(const char *text)
{
	struct config_input input = { .path = "/etc/t.conf", .text = text, .overrides = &overrides };

	ck_assert_msg(read_config(&input, generation, &problems), "%s", problems.text);
	return generation->config;
}

/* What is said of `name`, alone, with `value`; "" when all is well. */
static const char *said_of(const char *name, const char *value)
{
	struct config_input input = {
		.path = "/etc/t.conf", .text = FILE_TEXT, .overrides = &overrides, .canonical = true,
	};

	problems_release(&problems);
	overrides.count = 0;
	set(name, value, false);
	generation_unpin(generation);
	generation = generation_new(1, services);
	return read_config(&input, generation, &problems) ? "" : problems.text;
}

/* ---- the table --------------------------------------------------------------------------------------- */

START_TEST(the_last_value_counts)
{
	set("workers", "2", false);
	set("accept", "shared", false);
	set("workers", "4", false);
	ck_assert_str_eq(listed(false), "workers = 4, accept = shared");
	ck_assert(overrides_unset(&overrides, "workers"));
	ck_assert(!overrides_unset(&overrides, "workers"));
	ck_assert_str_eq(listed(false), "accept = shared");
	ck_assert_ptr_null(overrides_find(&overrides, "workers"));
}
END_TEST

START_TEST(it_is_bounded)
{
	char name[OVERRIDE_NAME_BYTES + 1], value[OVERRIDE_VALUE_BYTES + 1];

	memset(name, 'n', sizeof(name) - 1);
	memset(value, 'v', sizeof(value) - 1);
	name[sizeof(name) - 1] = value[sizeof(value) - 1] = '\0';
	ck_assert(!overrides_set(&overrides, name, "1", false, &err));
	ck_assert(!overrides_set(&overrides, "workers", value, false, &err));
	ck_assert_uint_eq(overrides.count, 0);
	for (unsigned i = 0; i < OVERRIDES_MOST; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		set(name, &value[1], false);
	}
	ck_assert(!overrides_set(&overrides, "workers", "1", false, &err));
	set("n7", "1", false);
	ck_assert_uint_eq(overrides.count, OVERRIDES_MOST);
}
END_TEST

START_TEST(a_list_that_is_cut_ends_within_its_room)
{
	char text[16];

	set("workers", "2", false);
	set("accept", "shared", false);
	ck_assert_uint_eq(overrides_list(&overrides, false, text, sizeof(text)), 2);
	ck_assert_str_eq(text, "workers = 2, ac");
}
END_TEST

START_TEST(what_is_unconfirmed_is_rolled_back_to_what_it_was)
{
	set("workers", "2", false);
	set("accept", "cpu", false);
	set("workers", "3", true);
	set("workers", "4", true);      /* not to 3, which was not confirmed either */
	set("user", "nobody", true);
	ck_assert_str_eq(listed(true), "workers = 4, user = nobody");
	overrides_roll_back(&overrides);
	ck_assert_str_eq(listed(false), "workers = 2, accept = cpu");
	ck_assert(!overrides_pending(&overrides));
}
END_TEST

START_TEST(what_is_confirmed_stays)
{
	set("workers", "2", false);
	set("workers", "3", true);
	overrides_confirm(&overrides);
	ck_assert(!overrides_pending(&overrides));
	overrides_roll_back(&overrides);
	ck_assert_str_eq(listed(false), "workers = 3");
}
END_TEST

START_TEST(what_is_set_anew_needs_no_confirmation)
{
	set("workers", "3", true);
	set("workers", "5", false);
	overrides_roll_back(&overrides);
	ck_assert_str_eq(listed(false), "workers = 5");
}
END_TEST

START_TEST(a_confirmation_reaches_an_open_change_only_where_it_says_the_same)
{
	static struct overrides open;

	set("workers", "3", true);
	set("accept", "cpu", true);
	open = overrides;
	ck_assert(overrides_set(&open, "accept", "shared", true, &err));
	overrides_confirm(&overrides);
	overrides_confirm_same(&open, &overrides);
	ck_assert(!overrides_find(&open, "workers")->unconfirmed);
	ck_assert(overrides_find(&open, "accept")->unconfirmed);
}
END_TEST

/* ---- the layer --------------------------------------------------------------------------------------- */

START_TEST(it_lies_over_the_file)
{
	const struct config *config;

	set("limits.headers", "60", false);
	set("timeouts.send", "7s", false);
	set("survive", "true", false);
	set("accept", "\"shared\"", false);
	set("clients.exempt", "[ \"10.0.0.0/8\", \"::1\" ]", false);
	config = read_with(FILE_TEXT);
	ck_assert_uint_eq(config->headers, 60);
	ck_assert_uint_eq(config->send_ns, UINT64_C(7000000000));
	ck_assert_uint_eq(config->workers, 3);
	ck_assert(config->survive);
	ck_assert_uint_eq(config->accept, ACCEPT_SHARED);
	ck_assert_uint_eq(config->quota_exempt.count, 2);
	ck_assert_str_eq(config->quota_exempt.at[1], "::1");
	ck_assert_str_eq(config_origin(config, "limits.headers"), "droverctl set");
	ck_assert_str_eq(config_origin(config, "workers"), "/etc/t.conf:1:11");
}
END_TEST

static const struct {
	const char *name, *value, *says;
} refused[] = {
	{ "limits.headers", "0", "droverctl set: limits.headers: too small; allowed is a whole number" },
	{ "limits.headers", "many", "droverctl set: limits.headers: " },
	{ "limits.headers", "-1", "droverctl set: limits.headers: " },
	{ "limits.headers", "99999999999999999999", "droverctl set: limits.headers: " },
	{ "timeouts.send", "5", "droverctl set: timeouts.send: " },
	{ "survive", "1", "droverctl set: survive: not a truth value; allowed is true or false" },
	{ "accept", "any", "droverctl set: accept: unknown value; allowed is \"directed\"" },
	{ "log.error", "a/b", "droverctl set: log.error: not an absolute path" },
	{ "clients.exempt", "10.0.0.0/8 nonsense", "droverctl set: clients.exempt: " },
	{ "limits.header", "5", "droverctl set: unknown setting \"limits.header\"; did you mean \"limits.headers\"?" },
	{ "headers", "5", "droverctl set: unknown setting \"headers\"; did you mean \"limits.headers\"?" },
	{ "", "5", "droverctl set: unknown setting \"\"" },
	{ "control", "off", "droverctl set: control cannot change while drover runs" },
	{ "listen", "x", "droverctl set: listen is a list" },
	{ "sites[0].hosts", "x", "droverctl set: sites is a list" },
	{ "limits.headers.x", "5", "droverctl set: unknown setting" },
	{ "clients.burst", "5", "droverctl set: clients.burst without clients.requests limits nothing" },
};

START_TEST(what_cannot_be_says_what_can)
{
	const char *said = said_of(refused[_i].name, refused[_i].value);

	ck_assert_msg(strncmp(said, refused[_i].says, strlen(refused[_i].says)) == 0, "%s", said);
}
END_TEST

START_TEST(words_of_a_path_are_no_relative_paths)
{
	ck_assert_str_eq(said_of("log.error", "journal"), "");
	ck_assert_str_eq(said_of("log.access", "\"off\""), "");
	ck_assert_str_eq(said_of("log.access", "/var/log/a"), "");
}
END_TEST

START_TEST(a_file_that_does_not_go_with_it_is_said_to_be_good_without)
{
	struct config_input input = { .path = "/etc/t.conf", .text = FILE_TEXT, .overrides = &overrides };

	set("clients.burst", "50", false);
	ck_assert(!read_config(&input, generation, &problems));
	ck_assert_ptr_nonnull(strstr(problems.text, "(clients.burst = 50): droverctl unset NAME"));
	ck_assert_ptr_nonnull(strstr(problems.text, "droverctl reload --drop-overrides"));
}
END_TEST

START_TEST(a_file_that_is_wrong_itself_is_not)
{
	struct config_input input = { .path = "/etc/t.conf", .text = "workers = 0;" LISTEN SITES,
				      .overrides = &overrides };

	set("limits.headers", "60", false);
	ck_assert(!read_config(&input, generation, &problems));
	ck_assert_ptr_null(strstr(problems.text, "droverctl"));
}
END_TEST

/* ---- the base ---------------------------------------------------------------------------------------- */

/* The canonical text of what the base, and the overrides over it, say. */
static char *read_base(const char *base)
{
	struct config_input input = {
		.path = "running", .text = base, .canonical = true, .overrides = &overrides,
	};
	struct generation *again = generation_new(2, services);
	size_t len;
	char *text;

	ck_assert_msg(read_config(&input, again, &problems), "%s", problems.text);
	text = canonical_print(again, &len);
	generation_unpin(again);
	return text;
}

START_TEST(what_is_unset_is_again_what_the_file_said_and_where)
{
	char *base = NULL, *text, *plain;
	struct config_input input = { .path = "/etc/t.conf", .text = FILE_TEXT, .overrides = &overrides,
				      .base = &base };
	size_t len;

	ck_assert(read_config(&input, generation, &problems));
	plain = canonical_print(generation, &len);
	generation_unpin(generation);
	generation = generation_new(1, services);
	set("limits.headers", "60", false);
	set("timeouts.send", "7s", false);
	free(base);
	ck_assert(read_config(&input, generation, &problems));
	ck_assert_str_eq(base, plain);
	text = read_base(base);
	ck_assert_ptr_nonnull(strstr(text, "headers = 60;"));
	free(text);
	overrides.count = 0;
	text = read_base(base);
	ck_assert_str_eq(text, plain);
	free(text);
	free(plain);
	free(base);
}
END_TEST

START_TEST(what_is_wrong_in_a_canonical_text_has_the_place_of_the_file)
{
	struct config_input input = {
		.path = "running", .canonical = true,
		.text = "workers = 0;   # /etc/a b.conf:7:11\nsurvive = 3;  # default\n" LISTEN SITES,
	};

	ck_assert(!read_config(&input, generation, &problems));
	ck_assert_ptr_nonnull(strstr(problems.text, "/etc/a b.conf:7:11: workers: too small"));
	ck_assert_ptr_nonnull(strstr(problems.text, "running:2:11: survive: not a truth value"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("override");
	TCase *table = tcase_create("table"), *layer = tcase_create("layer");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(table, create, destroy);
	tcase_add_checked_fixture(layer, create, destroy);
	tcase_add_test(table, the_last_value_counts);
	tcase_add_test(table, it_is_bounded);
	tcase_add_test(table, a_list_that_is_cut_ends_within_its_room);
	tcase_add_test(table, what_is_unconfirmed_is_rolled_back_to_what_it_was);
	tcase_add_test(table, what_is_confirmed_stays);
	tcase_add_test(table, what_is_set_anew_needs_no_confirmation);
	tcase_add_test(table, a_confirmation_reaches_an_open_change_only_where_it_says_the_same);
	tcase_add_test(layer, it_lies_over_the_file);
	tcase_add_loop_test(layer, what_cannot_be_says_what_can, 0,
			    (int)(sizeof(refused) / sizeof(refused[0])));
	tcase_add_test(layer, words_of_a_path_are_no_relative_paths);
	tcase_add_test(layer, a_file_that_does_not_go_with_it_is_said_to_be_good_without);
	tcase_add_test(layer, a_file_that_is_wrong_itself_is_not);
	tcase_add_test(layer, what_is_unset_is_again_what_the_file_said_and_where);
	tcase_add_test(layer, what_is_wrong_in_a_canonical_text_has_the_place_of_the_file);
	suite_add_tcase(suite, table);
	suite_add_tcase(suite, layer);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
