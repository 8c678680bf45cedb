/* Routing: which site, which route, and what a generation that cannot be served says. */
#include "http/route.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct generation *generation;
static struct config *config;

/* ---- a service that only has a check ------------------------ */

struct picky {
	bool bad;
};

static const struct setting picky_rows[] = {
	{ "other", SETTING_BOOL, .offset = offsetof(struct picky, bad) },
	{ "bad", SETTING_BOOL, .offset = offsetof(struct picky, bad) },
};

static const struct schema picky_schema = { .name = "picky", .settings = picky_rows, .count = 2,
					    .bytes = sizeof(struct picky) };

static bool picky_check(const void *settings, const char **setting, struct err *err)
{
	*setting = "bad";
	return !((const struct picky *)settings)->bad || err_set(err, "bad: it is");
}

static const struct service picky = { .name = "picky", .settings = &picky_schema, .check = picky_check };
static const struct service *const table[] = { &picky, NULL };
static const struct schema *const schemas[] = { &picky_schema, NULL };

/* ---- building a configuration ------------------------ */

static void set_up(void)
{
	generation = generation_new(1, schemas);
	config = arena_alloc(&generation->arena, sizeof(*config));
	config->sites.at = arena_alloc(&generation->arena, 20000 * sizeof(void *));
	generation->config = config;
}

static void tear_down(void)
{
	generation_unpin(generation);
}

static struct site_config *add_site(const char *one_host, const char *another)
{
	const struct schema *schema = setting_find(&config_schema, NULL, "sites")->of;
	struct site_config *site = setting_instance(schema, &generation->arena);

	if (one_host != NULL) {
		site->hosts.at = arena_alloc(&generation->arena, 2 * sizeof(char *));
		site->hosts.at[site->hosts.count++] = one_host;
	}
	if (another != NULL)
		site->hosts.at[site->hosts.count++] = another;
	site->routes.at = arena_alloc(&generation->arena, 8 * sizeof(void *));
	config->sites.at[config->sites.count++] = site;
	return site;
}

static struct route_config *add_route(struct site_config *site, const char *match)
{
	const struct schema *schema = setting_find(&config_schema, NULL, "sites")->of;
	struct route_config *route =
		setting_instance(setting_find(schema, NULL, "routes")->of, &generation->arena);

	route->match = match;
	route->service.settings = setting_instance(&picky_schema, &generation->arena);
	site->routes.at[site->routes.count++] = route;
	return route;
}

static void prepare(void)
{
	bool done = false;
	struct err err;

	while (!done)
		if (!route_prepare_with(generation, table, UINT64_C(1000) * CLOCK_S, &done, &err))
			ck_abort_msg("%s", err.text);
}

/* The match of the route found, "(none)" without one; the root is "". */
static const char *find(const char *host, const char *path)
{
	const struct route *route = route_find(route_site(generation, str_of(host)), str_of(path));

	return route == NULL ? "(none)" : arena_copy(&generation->arena, route->match);
}

/* ---- hosts ------------------------ */

static void build_hosts(void)
{
	add_route(add_site("Exact.example.org", "[::1]"), "/exact");
	add_route(add_site("*.example.org", NULL), "/wild");
	add_route(add_site("*.deep.example.org", NULL), "/deep");
	add_route(add_site(NULL, NULL), "/default");
	prepare();
}

static const struct {
	const char *host, *path;
	bool found;
} hosts[] = {
	{ "exact.example.org", "/exact", true },
	{ "exact.example.org", "/wild", false },
	{ "exact.example.org", "/default", false },
	{ "[::1]", "/exact", true },
	{ "a.example.org", "/wild", true },
	{ "a.b.example.org", "/wild", true },
	{ "deep.example.org", "/wild", true },
	{ "a.deep.example.org", "/deep", true },
	{ "a.deep.example.org", "/wild", false },
	{ "example.org", "/default", true },
	{ ".example.org", "/default", true },   /* as the wildcard is kept, but no name below it */
	{ "other.net", "/default", true },
	{ "notexample.org", "/default", true },
	{ "org", "/default", true },
	{ "", "/default", true },
};

START_TEST(a_host_finds_its_site)
{
	build_hosts();
	ck_assert_str_eq(find(hosts[_i].host, hosts[_i].path), hosts[_i].found ? hosts[_i].path : "(none)");
}
END_TEST

START_TEST(without_a_default_site_an_unknown_host_finds_nothing)
{
	add_route(add_site("a.net", NULL), "/");
	prepare();
	ck_assert_str_eq(find("b.net", "/"), "(none)");
}
END_TEST

START_TEST(ten_thousand_sites_are_all_found)
{
	for (unsigned i = 0; i < 10000; i++) {
		const char *name = arena_printf(&generation->arena, "s%u.example.org", i);

		add_route(add_site(name, NULL), arena_printf(&generation->arena, "/%u", i));
	}
	prepare();
	for (unsigned i = 0; i < 10000; i++) {
		const char *match = arena_printf(&generation->arena, "/%u", i);

		ck_assert_str_eq(find(arena_printf(&generation->arena, "s%u.example.org", i), match), match);
	}
}
END_TEST

/* ---- routes ------------------------ */

static const struct {
	const char *path, *match;
} paths[] = {
	{ "/", "" }, { "/x", "" }, { "/a", "/a" }, { "/a/", "/a" }, { "/a/x", "/a" }, { "/ab", "" },
	{ "/a/b", "/a/b" }, { "/a/b/c", "/a/b" }, { "/a/bc", "/a" },
};

START_TEST(the_longest_match_in_whole_segments_wins)
{
	struct site_config *site = add_site(NULL, NULL);

	add_route(site, "/a/");
	add_route(site, "/");
	add_route(site, "/a/b");
	prepare();
	ck_assert_str_eq(find("", paths[_i].path), paths[_i].match);
}
END_TEST

static const struct {
	const char *path, *match;
} exact_paths[] = {
	{ "/", "/ exactly" }, { "/x", "" },     { "/a", "/a exactly" },
	{ "/a/", "/a" },      { "/a/x", "/a" }, { "/b/", "/b/ exactly" },
	{ "/b", "" },         { "/b/x", "" },   { "/c", "/c exactly" },
	{ "/c/d", "" },       { "/cc", "" },
};

START_TEST(an_exact_match_wins_for_its_path_alone)
{
	static const char *const matches[] = { "/", "/a", "/b/", "/c" };
	struct site_config *site = add_site(NULL, NULL);
	const struct route *route;
	char found[64];

	add_route(site, "/");
	add_route(site, "/a");
	for (size_t i = 0; i < sizeof(matches) / sizeof(matches[0]); i++)
		add_route(site, matches[i])->exact = true;
	prepare();
	route = route_find(route_site(generation, str_of("")), str_of(exact_paths[_i].path));
	if (route->exact)
		snprintf(found, sizeof(found), "%s exactly", route->path);
	else
		snprintf(found, sizeof(found), "%.*s", (int)route->match.len, route->match.at);
	ck_assert_str_eq(found, exact_paths[_i].match);
}
END_TEST

START_TEST(a_thousand_routes_are_all_found)
{
	struct site_config *site = add_site(NULL, NULL);

	site->routes.at = arena_alloc(&generation->arena, 1001 * sizeof(void *));
	for (unsigned i = 0; i < 1000; i++)
		add_route(site, arena_printf(&generation->arena, "/r%u/sub/%u", i % 10, i));
	add_route(site, "/r3");
	prepare();
	for (unsigned i = 0; i < 1000; i++) {
		const char *match = arena_printf(&generation->arena, "/r%u/sub/%u", i % 10, i);

		ck_assert_str_eq(find("", match), match);
		ck_assert_str_eq(find("", arena_printf(&generation->arena, "%s/x", match)), match);
		ck_assert_str_eq(find("", arena_printf(&generation->arena, "%sx", match)),
				 i % 10 == 3 ? "/r3" : "(none)");
	}
	ck_assert_str_eq(find("", "/r3/sub"), "/r3");
	ck_assert_str_eq(find("", "/r4/sub"), "(none)");
}
END_TEST

START_TEST(a_site_without_a_route_for_a_path_has_none)
{
	add_route(add_site(NULL, NULL), "/a");
	prepare();
	ck_assert_str_eq(find("", "/"), "(none)");
}
END_TEST

static const struct {
	const char *address;
	bool allowed;
} peers[] = {
	{ "10.1.2.3", true }, { "11.0.0.1", false }, { "::1", true }, { "::2", false },
	{ "::ffff:10.0.0.1", true }, { "::ffff:11.0.0.1", false },
};

static union peer peer_of(const char *text)
{
	union peer peer = { .family = AF_UNIX };

	if (inet_pton(AF_INET, text, &peer.v4.sin_addr) == 1)
		peer.family = AF_INET;
	else if (inet_pton(AF_INET6, text, &peer.v6.sin6_addr) == 1)
		peer.family = AF_INET6;
	return peer;
}

static const struct route *route_with_lists(bool denying)
{
	static const char *networks[] = { "10.0.0.0/8", "::1" };

	static const char *denied[] = { "10.1.2.4", "::1/128" };
	struct route_config *route = add_route(add_site(NULL, NULL), "/");

	route->allow = (struct strings){ 2, networks };
	if (denying)
		route->deny = (struct strings){ 2, denied };
	prepare();
	return route_find(route_site(generation, str_of("")), str_of("/"));
}

START_TEST(an_allow_list_lets_its_networks_in)
{
	const struct route *route = route_with_lists(false);
	union peer peer = peer_of(peers[_i].address);

	ck_assert_int_eq(route_allows(route, &peer), peers[_i].allowed);
}
END_TEST

START_TEST(an_allow_list_keeps_unix_peers_out)
{
	const struct route *route = route_with_lists(false);
	union peer peer = peer_of("");

	ck_assert(!route_allows(route, &peer));
}
END_TEST

static const struct {
	const char *address;
	bool allowed;
} denied_peers[] = {
	{ "10.1.2.3", true }, { "10.1.2.4", false }, { "::ffff:10.1.2.4", false },
	{ "::1", false },     { "11.0.0.1", false }, { "", false },
};

START_TEST(a_deny_list_wins_over_an_allow_list)
{
	const struct route *route = route_with_lists(true);
	union peer peer = peer_of(denied_peers[_i].address);

	ck_assert_int_eq(route_allows(route, &peer), denied_peers[_i].allowed);
}
END_TEST

START_TEST(a_deny_list_alone_lets_all_others_in)
{
	static const char *denied[] = { "::/0" };
	union peer v6 = peer_of("::1"), v4 = peer_of("1.2.3.4"), unix_peer = peer_of("");
	const struct route *route;

	add_route(add_site(NULL, NULL), "/")->deny = (struct strings){ 1, denied };
	prepare();
	route = route_find(route_site(generation, str_of("")), str_of("/"));
	ck_assert(!route_allows(route, &v6));
	ck_assert(route_allows(route, &v4));
	ck_assert(route_allows(route, &unix_peer));
}
END_TEST

START_TEST(without_an_allow_list_everybody_may)
{
	union peer peer = peer_of("");

	add_route(add_site(NULL, NULL), "/");
	prepare();
	ck_assert(route_allows(route_find(route_site(generation, str_of("")), str_of("/")), &peer));
}
END_TEST

/* ---- preparing ------------------------ */

START_TEST(preparing_without_a_budget_takes_one_step_a_call)
{
	bool done = false;
	unsigned calls = 0;
	struct err err;

	for (unsigned i = 0; i < 10; i++)
		add_route(add_site(NULL, NULL), "/");
	for (; !done; calls++)
		ck_assert(route_prepare_with(generation, table, 0, &done, &err));
	ck_assert_uint_ge(calls, 10);
}
END_TEST

START_TEST(what_a_service_refuses_is_named_with_its_place)
{
	struct route_config *route = add_route(add_site("a.net", NULL), "/x");
	bool done = false;
	struct err err;

	((struct picky *)route->service.settings)->bad = true;
	*setting_origin(&picky_schema, route->service.settings, 1) = "drover.conf:7";
	while (!done && route_prepare_with(generation, table, 0, &done, &err))
		;
	ck_assert(!done);
	ck_assert_str_eq(err.text, "drover.conf:7: site a.net, route /x: picky: bad: it is");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("route");
	TCase *tests = tcase_create("route");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tests, set_up, tear_down);
	suite_add_tcase(suite, tests);
	tcase_add_loop_test(tests, a_host_finds_its_site, 0, sizeof(hosts) / sizeof(hosts[0]));
	tcase_add_test(tests, without_a_default_site_an_unknown_host_finds_nothing);
	tcase_add_test(tests, ten_thousand_sites_are_all_found);
	tcase_add_loop_test(tests, the_longest_match_in_whole_segments_wins, 0,
			    sizeof(paths) / sizeof(paths[0]));
	tcase_add_loop_test(tests, an_exact_match_wins_for_its_path_alone, 0,
			    sizeof(exact_paths) / sizeof(exact_paths[0]));
	tcase_add_test(tests, a_thousand_routes_are_all_found);
	tcase_add_test(tests, a_site_without_a_route_for_a_path_has_none);
	tcase_add_loop_test(tests, an_allow_list_lets_its_networks_in, 0, sizeof(peers) / sizeof(peers[0]));
	tcase_add_test(tests, an_allow_list_keeps_unix_peers_out);
	tcase_add_loop_test(tests, a_deny_list_wins_over_an_allow_list, 0,
			    sizeof(denied_peers) / sizeof(denied_peers[0]));
	tcase_add_test(tests, a_deny_list_alone_lets_all_others_in);
	tcase_add_test(tests, without_an_allow_list_everybody_may);
	tcase_add_test(tests, preparing_without_a_budget_takes_one_step_a_call);
	tcase_add_test(tests, what_a_service_refuses_is_named_with_its_place);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
