/* canonical_test.c - printing and loading the canonical text must agree, and the loader must survive
 * anything. */
#include "config/canonical.h"
#include "config/read.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

struct teapot {
	const char *label;
	struct strings leaves;
	bool hot;
};

static const struct setting teapot_rows[] = {
	{ "label", SETTING_STRING, .offset = offsetof(struct teapot, label) },
	{ "leaves", SETTING_STRINGS, .def = "assam", .offset = offsetof(struct teapot, leaves) },
	{ "hot", SETTING_BOOL, .def = "true", .offset = offsetof(struct teapot, hot) },
};

static const struct schema teapot_schema = { "teapot", teapot_rows, 3, sizeof(struct teapot), NULL };
static const struct schema kettle_schema = { "kettle", NULL, 0, 1, NULL };
static const struct schema *const services[] = { &teapot_schema, &kettle_schema, NULL };

#define LISTEN "listen = ( { address = \"[::]:80\"; } );\n"
#define SITES(service) "sites = ( { routes = ( { match = \"/\"; " service " } ); } );\n"
#define KETTLE SITES("kettle = { };")
#define LABEL(text) LISTEN SITES("teapot = { label = \"" text "\"; };")

static const char *const texts[] = {
	LISTEN KETTLE,
	"workers = 7; accept = \"shared\"; reload = \"replace\"; user = \"u\"; group = \"g\"; control = "
	"\"off\";" LISTEN KETTLE,
	"log = { level = \"debug\"; error = \"e.log\"; access = \"/var/log/a\"; };" LISTEN KETTLE,
	"log = { error = \"journal\"; format = \"json\"; access = \"syslog\"; access_format = \"combined\";"
	" access_sample = 7; access_slow = \"250ms\"; syslog_socket = \"/l\"; journal_socket = \"j\"; "
	"};" LISTEN KETTLE,
	"timeouts = { drain = \"0\"; send = \"1500ms\"; keep_alive = \"24h\"; };" LISTEN KETTLE,
	"limits = { request_line = \"1023\"; header_bytes = \"64k\"; headers = 1000; open_files = 64; "
	"};" LISTEN KETTLE,
	"listen = ( { address = \"*:1\"; backlog = 5; }, { address = \"unix:/x\"; }, { address = "
	"\"127.0.0.1:1\";"
	" v6only = true; defer_accept = true; } );" KETTLE,
	LISTEN "sites = ( { hosts = [ \"a\", \"*.b\" ]; routes = ( { match = \"/\"; kettle = { }; },"
	       "{ match = \"/t\"; allow = [ \"10.0.0.0/8\", \"::1\" ]; teapot = { hot = false; }; } ); },"
	       "{ routes = ( { match = \"/x\"; kettle = { }; } ); } );",
	LISTEN
	"sites = ( { headers = { set = [ \"A: b\" ]; }; error_pages = ( { status = [ \"404\", \"5xx\" ];"
	" file = \"/x\"; } ); routes = ( { match = \"/\"; exact = true; deny = [ \"::1\" ]; kettle = { };"
	" headers = { add = [ \"C:\", \"C: \\\"d\" ]; remove = [ \"Server\" ]; }; expires = \"1500ms\"; "
	"cache = ("
	" { types = [ \"a/*\" ]; cache_control = \"no-store\"; }, { types = [ \"b/c\", \"d/e\" ]; expires = "
	"\"1d\"; }"
	" ); } ); } );",
	LISTEN SITES("teapot = { leaves = [ ]; };"),
	LISTEN SITES("teapot = { leaves = [ \"]\", \",\", \" \", \"a, b\", \"\\\"\", \"[ \" ]; };"),
	LABEL("plain"),
	LABEL(" spaces at both ends "),
	LABEL("; # = { } ( )"),
	LABEL("a = b;"),
	LABEL("\\\""),
	LABEL("\\\\"),
	LABEL("\\\\\\\""),
	LABEL("\\n\\t\\r\\f"),
	LABEL("\\x01\\x1f\\x7f"),
	LABEL("\xc3\xa4\xe2\x82\xac"),
	LABEL("\\xff\\x80"),
	LABEL("\\\\x41"),
	LABEL("# drover"),
	LABEL("}"),
	LABEL("{"),
	LABEL("%s%n%d"),
};

static struct problems problems;
static struct err err;

static struct generation *fresh(void)
{
	return generation_new(1, services);
}

/* The canonical text of what `text` means; the caller frees it. */
static char *printed(const char *text, size_t *len)
{
	struct generation *generation = fresh();
	char *canonical;

	ck_assert_msg(read_config(&(struct config_input){ .path = "/etc/t.conf", .text = text }, generation,
				  &problems),
		      "%s\n%s", text, problems.text);
	canonical = canonical_print(generation, len);
	ck_assert_ptr_nonnull(canonical);
	generation_unpin(generation);
	return canonical;
}

/* Loads in one go.  `text` is copied so that ASan sees a byte too far. */
static bool loaded(const char *text, size_t len, struct generation *generation, bool *done)
{
	struct canonical_load load;
	char *copy = malloc(len > 0 ? len : 1);
	bool good;

	memcpy(copy, text, len);
	*done = false;
	good = canonical_begin(&load, generation, (struct str){ copy, len }, &err) &&
	       canonical_step(&load, 0, done, &err);
	free(copy);
	return good;
}

/* The values alone: after a load the origins of what stands in lists are gone. */
static void strip_origins(char *text)
{
	char *out = text;

	for (char *in = text; *in != '\0';) {
		char *end = strchrnul(in, '\n'), *origin = NULL;

		for (char *at = in; at + 4 < end; at++)
			if (strncmp(at, "  # ", 4) == 0)
				origin = at;
		while (origin != NULL && origin[-1] == ' ')
			origin--;
		memmove(out, in, (size_t)((origin != NULL ? origin : end) - in));
		out += (origin != NULL ? origin : end) - in;
		*out++ = '\n';
		in = *end == '\n' ? end + 1 : end;
	}
	*out = '\0';
}

START_TEST(a_loaded_text_knows_where_its_settings_were_written)
{
	struct generation *generation = fresh();
	size_t len;
	char *text = printed("log = {\n  error = \"e  # x\"; };" LISTEN KETTLE, &len);
	bool done;

	ck_assert(loaded(text, len, generation, &done));
	ck_assert_str_eq(config_origin(generation->config, "log.error"), "/etc/t.conf:2:11");
	ck_assert_str_eq(config_origin(generation->config, "log.access"), "");
	generation_unpin(generation);
	free(text);
}
END_TEST

START_TEST(printing_what_was_loaded_gives_the_same_text)
{
	struct generation *generation = fresh();
	size_t len, again_len;
	char *once = printed(texts[_i], &len), *again;
	bool done;

	ck_assert_msg(loaded(once, len, generation, &done), "%s", err.text);
	ck_assert(done);
	again = canonical_print(generation, &again_len);
	strip_origins(once);
	strip_origins(again);
	ck_assert_str_eq(once, again);
	generation_unpin(generation);
	free(once);
	free(again);
}
END_TEST

START_TEST(the_canonical_text_is_a_configuration_that_means_the_same)
{
	size_t len;
	char *once = printed(texts[_i], &len), *again = printed(once, &len);

	strip_origins(once);
	strip_origins(again);
	ck_assert_str_eq(once, again);
	free(once);
	free(again);
}
END_TEST

START_TEST(the_length_is_that_of_the_text)
{
	size_t len;
	char *text = printed(texts[0], &len);

	ck_assert_uint_eq(len, strlen(text));
	free(text);
}
END_TEST

START_TEST(every_value_says_where_it_comes_from)
{
	size_t len;
	char *text = printed("workers = 7;\n" LISTEN KETTLE, &len);

	ck_assert_ptr_nonnull(
		strstr(text, "workers = 7;                                    # /etc/t.conf:1:11\n"));
	ck_assert_ptr_nonnull(strstr(text, "accept = \"directed\";                            # default\n"));
	free(text);
}
END_TEST

static bool is_inside_brackets(const char *text, size_t len)
{
	int depth = 0;

	for (size_t at = 0; at < len;) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t line = (end != NULL ? (size_t)(end - text) : len) - at;
		struct str trimmed = str_trim((struct str){ text + at, line });

		if (trimmed.len > 0 && (trimmed.at[0] == '}' || trimmed.at[0] == ')'))
			depth--;
		else if (trimmed.len > 0 && strchr("{(", trimmed.at[trimmed.len - 1]) != NULL && trimmed.at[0] != '#')
			depth++;
		at += line + 1;
	}
	return depth > 0;
}

/* A cut between two settings of the top level cannot be told from a whole text; the memfd's seal guards
 * it. */
START_TEST(a_text_that_is_cut_inside_of_brackets_is_refused)
{
	size_t len;
	char *text = printed(texts[_i], &len);

	for (size_t cut = 0; cut < len; cut++) {
		struct generation *generation = fresh();
		bool done, good = loaded(text, cut, generation, &done);

		if (good && done && is_inside_brackets(text, cut))
			ck_abort_msg("cut at %zu is taken: ...%.40s", cut, text + (cut > 40 ? cut - 40 : 0));
		generation_unpin(generation);
	}
	free(text);
}
END_TEST

START_TEST(a_text_with_any_byte_changed_is_harmless)
{
	static const char changes[] = { '\0', '\n', '"', '\\', '{', '}', '(', ')', '[', ']', '=', '#', '9', ' ', (char)0xff };
	size_t len;
	char *text = printed(texts[6], &len);

	for (size_t at = 0; at < len; at++) {
		char was = text[at];

		for (size_t i = 0; i < sizeof(changes); i++) {
			struct generation *generation = fresh();
			bool done;

			text[at] = changes[i];
			/* what counts is that nothing breaks */
			(void)loaded(text, len, generation, &done);
			generation_unpin(generation);
		}
		text[at] = was;
	}
	free(text);
}
END_TEST

static const char *const refused[][2] = {
	{ "nonsense\n", "canonical text, line 1: no setting" },
	{ "\n# x\nwrokers = 1;\n", "canonical text, line 3: unknown setting \"wrokers\"" },
	{ "workers = {\n", "canonical text, line 1: unknown group \"workers\"" },
	{ "workers = (\n", "canonical text, line 1: \"workers\" is no list" },
	{ "kettle = {\n};\n", "canonical text, line 1: unknown group \"kettle\"" },
	{ "{\n", "canonical text, line 1: an element outside of a list" },
	{ "}\n", "canonical text, line 1: a closing bracket without its opening one" },
	{ ");\n", "canonical text, line 1: a closing bracket without its opening one" },
	{ "listen = (\n}\n", "canonical text, line 2: a closing bracket without its opening one" },
	{ "listen = (\n{\n);\n", "canonical text, line 3: a closing bracket without its opening one" },
	{ "listen = (\n{\n}x\n", "canonical text, line 3: a closing bracket without its opening one" },
	{ "listen = (\n{\naddress = \"*:1\";\n}\n);\nlisten = (\n",
	  "canonical text, line 6: \"listen\" is there already" },
	{ "listen = (\n{\n}\n", "canonical text, line 3: listen is not whole" },
	{ "sites = (\n{\nroutes = (\n{\nmatch = \"/\";\n}\n", "canonical text, line 6: routes is not whole" },
	{ "sites = (\n{\nroutes = (\n{\ncache = (\n{\nexpires = \"1s\";\n}\n",
	  "canonical text, line 8: cache is not whole" },
	{ "listen = (\nlisten = (\n", "canonical text, line 2: \"listen\" where an element belongs" },
	{ "sites = (\nlog = {\n", "canonical text, line 2: \"log\" where an element belongs" },
	{ "workers = 1\n", "canonical text, line 1: workers: unreadable value" },
	{ "workers = 1x;\n", "canonical text, line 1: workers: unreadable value" },
	{ "user = \"a\"b;\n", "canonical text, line 1: user: unreadable value" },
	{ "workers = 1; # x\n", "canonical text, line 1: workers: unreadable value" },
	{ "listen = (\nworkers = 1;\n", "canonical text, line 2: unknown setting \"workers\"" },
	{ "timeouts = {\n", "canonical text ends inside a group" },
	{ "timeouts = {\ntimeouts = {\n", "canonical text, line 2: unknown group \"timeouts\"" },
	{ "listen = (\n{\naddress = \"nowhere\";\n",
	  "canonical text, line 3: address: \"nowhere\": no port from 1 to 65535; allowed are 127.0.0.1:80, "
	  "[::1]:80, *:80"
	  " and unix:/path" },
	{ "workers = 0;\n", "canonical text, line 1: workers: too small; allowed is \"auto\" or a whole "
			    "number, from 1 to 1024" },
	{ "user = \"open\n", "canonical text, line 1: user: unreadable value" },
	{ "user = \"\\", "canonical text, line 1: user: unreadable value" },
	{ "user = \"\\x", "canonical text, line 1: user: unreadable value" },
	{ "user = \"\\x4", "canonical text, line 1: user: unreadable value" },
	{ "user = \"\\xG0\";", "canonical text, line 1: user: unreadable value" },
	{ "user = maybe;\n", "canonical text, line 1: user: unreadable value" },
};

START_TEST(what_the_printer_would_not_write_is_refused)
{
	struct generation *generation = fresh();
	bool done;

	ck_assert(!loaded(refused[_i][0], strlen(refused[_i][0]), generation, &done));
	ck_assert_str_eq(err.text, refused[_i][1]);
	ck_assert_ptr_null(generation->config);
	generation_unpin(generation);
}
END_TEST

START_TEST(nesting_without_end_is_refused)
{
	struct generation *generation = fresh();
	char text[2000] = "";
	bool done;

	for (unsigned i = 0; i < 100; i++)
		strcat(text, "listen = (\n");
	ck_assert(!loaded(text, strlen(text), generation, &done));
	ck_assert_str_eq(err.text, "canonical text, line 2: \"listen\" where an element belongs");
	generation_unpin(generation);
}
END_TEST

/* So many elements that it takes more than one step of the least budget. */
static char *many_listeners(size_t *len)
{
	char *text = malloc(8192), *canonical;
	size_t at = (size_t)sprintf(text, "listen = ( { address = \"[::]:1\"; }");

	for (unsigned port = 2; port < 120; port++)
		at += (size_t)sprintf(text + at, ", { address = \"[::]:%u\"; }", port);
	sprintf(text + at, " );\n" KETTLE);
	canonical = printed(text, len);
	free(text);
	return canonical;
}

START_TEST(a_load_in_small_steps_ends_with_the_same_configuration)
{
	struct generation *generation = fresh();
	struct canonical_load load;
	size_t len, again_len;
	char *text = many_listeners(&len), *again;
	unsigned steps = 0;
	bool done = false;

	ck_assert(canonical_begin(&load, generation, (struct str){ text, len }, &err));
	for (; !done && steps < 100000; steps++) {
		ck_assert_ptr_null(generation->config); /* not before the end */
		ck_assert_msg(canonical_step(&load, 1, &done, &err), "%s", err.text);
	}
	ck_assert(done);
	ck_assert_uint_gt(steps, 10);
	again = canonical_print(generation, &again_len);
	strip_origins(text);
	strip_origins(again);
	ck_assert_msg(strcmp(text, again) == 0, "the texts differ");
	generation_unpin(generation);
	free(text);
	free(again);
}
END_TEST

/* One long array; what it costs must grow with its length, not with the square of it. */
START_TEST(a_long_array_costs_memory_by_its_length)
{
	enum { HOSTS = 4000 };
	struct generation *generation = fresh();
	char *text = malloc(HOSTS * 32 + 256), *canonical;
	size_t at = (size_t)sprintf(text, LISTEN "sites = ( { hosts = [ \"h\""), len;
	bool done;

	for (unsigned i = 0; i < HOSTS; i++)
		at += (size_t)sprintf(text + at, ", \"host-%u.example.org\"", i);
	sprintf(text + at, " ]; routes = ( { match = \"/\"; kettle = { }; } ); } );");
	canonical = printed(text, &len);
	ck_assert_msg(loaded(canonical, len, generation, &done), "%s", err.text);
	ck_assert_uint_eq(config_site(generation->config, 0)->hosts.count, HOSTS + 1);
	ck_assert_uint_lt(generation->arena.total_bytes, 64 * len);
	generation_unpin(generation);
	free(canonical);
	free(text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("canonical");
	TCase *tests = tcase_create("canonical");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, printing_what_was_loaded_gives_the_same_text, 0,
			    sizeof(texts) / sizeof(texts[0]));
	tcase_add_loop_test(tests, the_canonical_text_is_a_configuration_that_means_the_same, 0,
			    sizeof(texts) / sizeof(texts[0]));
	tcase_add_test(tests, a_loaded_text_knows_where_its_settings_were_written);
	tcase_add_test(tests, the_length_is_that_of_the_text);
	tcase_add_test(tests, every_value_says_where_it_comes_from);
	tcase_add_loop_test(tests, a_text_that_is_cut_inside_of_brackets_is_refused, 0,
			    sizeof(texts) / sizeof(texts[0]));
	tcase_add_test(tests, a_text_with_any_byte_changed_is_harmless);
	tcase_add_loop_test(tests, what_the_printer_would_not_write_is_refused, 0,
			    sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(tests, nesting_without_end_is_refused);
	tcase_add_test(tests, a_load_in_small_steps_ends_with_the_same_configuration);
	tcase_add_test(tests, a_long_array_costs_memory_by_its_length);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
