/* changes_test.c - what a new configuration changes, setting by setting. */
#include "config/changes.h"
#include "config/read.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct teapot {
	const char *label;
	struct strings set;
};

static const struct setting teapot_rows[] = {
	{ "label", SETTING_STRING, .def = "plain", .offset = offsetof(struct teapot, label) },
	{ "set", SETTING_STRINGS, .fields = true, .offset = offsetof(struct teapot, set) },
};

static const struct schema teapot_schema = { "teapot", teapot_rows, 2, sizeof(struct teapot), NULL };
static const struct schema kettle_schema = { "kettle", NULL, 0, 1, NULL };
static const struct schema *const services[] = { &teapot_schema, &kettle_schema, NULL };

#define ON(listen) "listen = ( " listen " );\n"
#define LISTEN ON("{ address = \"[::]:80\"; }")
#define ROUTE(match, service) "{ match = \"" match "\"; " service "; }"
#define SITE(hosts, routes) "{ " hosts " routes = ( " routes " ); }"
#define KETTLE ROUTE("/", "kettle = { }")
#define SITES "sites = ( " SITE("", KETTLE) " );\n"

static char told[64 * 1024];

static void tell(void *context, const char *name, const char *old, const char *new)
{
	unsigned *count = context;
	size_t len = strlen(told);

	snprintf(told + len, sizeof(told) - len, "%s: %s -> %s\n", name, old != NULL ? old : "none",
		 new != NULL ? new : "none");
	++*count;
}

static struct generation *read_text(const char *text)
{
	struct generation *generation = generation_new(1, services);
	struct problems problems = { 0 };

	ck_assert_msg(read_config(&(struct config_input){ .path = "/t", .text = text }, generation, &problems),
		      "%s", problems.text);
	return generation;
}

static unsigned compare(const char *old_text, const char *new_text, unsigned *count)
{
	struct generation *old = read_text(old_text), *new = read_text(new_text);
	unsigned more;

	*count = 0;
	told[0] = '\0';
	more = changes_list(old, new, tell, count);
	generation_unpin(old);
	generation_unpin(new);
	return more;
}

static const struct {
	const char *old, *new, *said;
} rows[] = {
	{ LISTEN SITES, "workers = \"auto\"; timeouts = { keep_alive = \"60s\"; };" LISTEN SITES, "" },
	{ LISTEN SITES, "workers = 3; user = \"nobody\";" LISTEN SITES,
	  "workers: \"auto\" -> 3\nuser: none -> \"nobody\"\n" },
	{ "limits = { headers = 7; };" LISTEN SITES, LISTEN SITES, "limits.headers: 7 -> 100\n" },
	{ LISTEN SITES, ON("{ address = \"[::]:80\"; backlog = 9; }, { address = \"[::]:81\"; }") SITES,
	  "listen[\"[::]:80\"].backlog: 4096 -> 9\nlisten[\"[::]:81\"]: none -> { ... }\n" },
	{ ON("{ address = \"[::]:80\"; }, { address = \"[::]:81\"; }") SITES,
	  ON("{ address = \"[::]:81\"; }") SITES, "listen[\"[::]:80\"]: { ... } -> none\n" },
	{ ON("{ address = \"[::]:80\"; }, { address = \"[::]:81\"; }") SITES,
	  ON("{ address = \"[::]:81\"; }, { address = \"[::]:80\"; }") SITES, "" },
	{ LISTEN SITES, LISTEN "sites = ( " SITE("hosts = [ \"a.b\", \"c.d\" ];", KETTLE) ", " SITE("", KETTLE) " );",
	  "sites[\"a.b\", \"c.d\"]: none -> { ... }\n" },
	{ LISTEN SITES, LISTEN "sites = ( " SITE("", ROUTE("/", "teapot = { }")) " );",
	  "sites[].routes[\"/\"].kettle: { ... } -> none\nsites[].routes[\"/\"].teapot: none -> { ... }\n" },
	{ LISTEN "sites = ( " SITE("", ROUTE("/", "teapot = { }")) " );",
	  LISTEN "sites = ( " SITE("", ROUTE("/", "teapot = { label = \"x\"; }")) " );",
	  "sites[].routes[\"/\"].teapot.label: \"plain\" -> \"x\"\n" },
	{ LISTEN "sites = ( " SITE("", ROUTE("/", "teapot = { set = [ \"Cookie: a\" ]; }")) " );",
	  LISTEN "sites = ( " SITE("", ROUTE("/", "teapot = { set = [ \"Cookie: b\" ]; }")) " );",
	  "sites[].routes[\"/\"].teapot.set: (not shown) -> (not shown)\n" },
};

START_TEST(what_is_different_is_told_by_its_name)
{
	unsigned count;

	ck_assert_uint_eq(compare(rows[_i].old, rows[_i].new, &count), 0);
	ck_assert_str_eq(told, rows[_i].said);
}
END_TEST

/* Sites "0.x" ... in their order or backwards. */
static char *many_sites(unsigned count, bool backwards)
{
	char *text = malloc(count * 100 + 200), *at = text;

	at += sprintf(at, "%s", LISTEN "sites = ( ");
	for (unsigned i = 0; i < count; i++)
		at += sprintf(at, "%s{ hosts = [ \"%u.x\" ]; routes = ( { match = \"/\"; kettle = { }; } ); }",
			      i > 0 ? ", " : "", backwards ? count - 1 - i : i);
	sprintf(at, " );\n");
	return text;
}

START_TEST(no_more_is_told_than_anybody_reads)
{
	char *many = many_sites(CHANGES_MOST + 50, false);
	unsigned count;

	ck_assert_uint_eq(compare(LISTEN SITES, many, &count), 50 + 1);
	ck_assert_uint_eq(count, CHANGES_MOST);
	free(many);
}
END_TEST

/* Each is looked for; the number of looks is bounded, and then nothing is said of single ones. */
START_TEST(a_list_that_was_turned_round_does_not_take_for_ever)
{
	char *few = many_sites(100, false), *turned = many_sites(100, true), *many = many_sites(5000, false),
	     *all_turned = many_sites(5000, true);
	unsigned count;

	compare(few, turned, &count);
	ck_assert_uint_eq(count, 0);
	ck_assert_uint_eq(compare(many, all_turned, &count), 0);
	ck_assert_uint_eq(count, 1);
	ck_assert_msg(strstr(told, "sites: ( ... ) -> ( ... ), not compared: ") == told, "%s",
		      told);
	free(few);
	free(turned);
	free(many);
	free(all_turned);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("changes");
	TCase *tests = tcase_create("changes");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, what_is_different_is_told_by_its_name, 0, sizeof(rows) / sizeof(rows[0]));
	tcase_add_test(tests, no_more_is_told_than_anybody_reads);
	tcase_add_test(tests, a_list_that_was_turned_round_does_not_take_for_ever);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
