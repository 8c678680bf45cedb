/* read_test.c - from a user's text to a configuration, or to all that is wrong with it. */
#include "config/check.h"
#include "config/read.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* A service of our own: one row that is required, one with a default. */
struct teapot {
	const char *label;
	unsigned cups;
};

static const struct setting teapot_rows[] = {
	{ "label", SETTING_STRING, .required = true, .offset = offsetof(struct teapot, label) },
	{ "cups", SETTING_INTEGER, .def = "4", .min = "1", .max = "9",
	  .offset = offsetof(struct teapot, cups) },
};

static const struct schema teapot_schema = { "teapot", teapot_rows, 2, sizeof(struct teapot), NULL };
static const struct schema kettle_schema = { "kettle", NULL, 0, 1, NULL };
static const struct schema *const services[] = { &teapot_schema, &kettle_schema, NULL };

#define LISTEN "listen = ( { address = \"[::]:80\"; } );\n"
#define ROUTE "{ match = \"/\"; teapot = { label = \"x\"; }; }"
#define SITES "sites = ( { routes = ( " ROUTE " ); } );\n"

static struct generation *generation;
static struct problems problems;

static void create(void)
{
	generation = generation_new(1, services);
}

static void destroy(void)
{
	generation_unpin(generation);
	problems_release(&problems);
}

static bool read_text(const char *text)
{
	return read_config(&(struct config_input){ .path = "/etc/d/t.conf", .text = text }, generation,
			   &problems);
}

static const struct config *good(const char *text)
{
	ck_assert_msg(read_text(text), "%s", problems.text);
	ck_assert_ptr_nonnull(generation->config);
	return generation->config;
}

/* Exactly these lines. */
static void check_problems(const char *text, const char *expected)
{
	ck_assert(!read_text(text));
	ck_assert_str_eq(problems.text, expected);
}

START_TEST(the_smallest_configuration_has_all_defaults)
{
	const struct config *config = good(LISTEN SITES);

	ck_assert_uint_eq(config->workers, 0);
	ck_assert_uint_eq(config->accept, ACCEPT_DIRECTED);
	ck_assert_uint_eq(config->reload, RELOAD_ADOPT);
	ck_assert_str_eq(config->log_error, "stderr");
	ck_assert_str_eq(config->log_access, "off");
	ck_assert_uint_eq(config->access_format, ACCESS_COMMON);
	ck_assert_uint_eq(config->access_sample, 1);
	ck_assert_uint_eq(config->access_slow_ns, 0);
	ck_assert_str_eq(config->syslog_socket, "/dev/log");
	ck_assert_str_eq(config->journal_socket, "/run/systemd/journal/socket");
	ck_assert_int_eq(config_log_target(config, "off", -1).kind, LOG_OFF);
	ck_assert_int_eq(config_log_target(config, "syslog", -1).kind, LOG_SYSLOG);
	ck_assert_str_eq(config_log_target(config, "journal", -1).socket, "/run/systemd/journal/socket");
	ck_assert_int_eq(config_log_target(config, "stderr", 7).fd, 7);
	ck_assert_uint_eq(config->request_head_ns, UINT64_C(10000000000));
	ck_assert_uint_eq(config->header_bytes, 32768);
	ck_assert_ptr_null(config->user);
	ck_assert_uint_eq(config_listen(config, 0)->backlog, 4096);
	ck_assert_ptr_null(config_site(config, 0)->hosts.at);
}
END_TEST

START_TEST(what_is_written_counts)
{
	const struct config *config =
		good("workers = 3; accept = \"shared\"; timeouts = { send = \"2s\"; };\n"
		     "limits = { headers = 7; request_line = \"1k\"; };" LISTEN SITES);

	ck_assert_uint_eq(config->workers, 3);
	ck_assert_uint_eq(config->accept, ACCEPT_SHARED);
	ck_assert_uint_eq(config->send_ns, UINT64_C(2000000000));
	ck_assert_uint_eq(config->headers, 7);
	ck_assert_uint_eq(config->request_line_bytes, 1024);
}
END_TEST

START_TEST(a_service_gets_its_own_settings_and_defaults)
{
	const struct route_config *route = config_route(config_site(good(LISTEN SITES), 0), 0);
	const struct teapot *teapot = route->service.settings;

	ck_assert_uint_eq(route->service.index, 0);
	ck_assert_str_eq(teapot->label, "x");
	ck_assert_uint_eq(teapot->cups, 4);
}
END_TEST

START_TEST(a_place_is_one_line_whatever_the_file_is_called)
{
	struct config_input input = { .path = "a\nworkers = 9;\x1b#", .text = "workers = 3;" LISTEN SITES };

	ck_assert(read_config(&input, generation, &problems));
	ck_assert_str_eq(config_origin(generation->config, "workers"), "a?workers = 9;?#:1:11");
}
END_TEST

START_TEST(the_second_service_has_the_second_index)
{
	const struct config *config =
		good(LISTEN "sites = ( { routes = ( { match = \"/\"; kettle = { }; } ); } );");

	ck_assert_uint_eq(config_route(config_site(config, 0), 0)->service.index, 1);
}
END_TEST

START_TEST(a_written_value_knows_its_place_and_a_default_none)
{
	struct config *config = (void *)(uintptr_t)good("\n  workers = 3;\n" LISTEN SITES);

	ck_assert_str_eq(*setting_origin(&config_schema, config, 0), "/etc/d/t.conf:2:13");
	ck_assert_ptr_null(*setting_origin(&config_schema, config, 1));
}
END_TEST

START_TEST(a_relative_path_is_put_behind_the_files_directory)
{
	ck_assert_str_eq(good("log = { error = \"e.log\"; };" LISTEN SITES)->log_error, "/etc/d/e.log");
}
END_TEST

START_TEST(lists_keep_their_order)
{
	const struct config *config =
		good("listen = ( { address = \"[::]:1\"; }, { address = \"[::]:2\"; } );" SITES);

	ck_assert_uint_eq(config->listen.count, 2);
	ck_assert_str_eq(config_listen(config, 1)->address, "[::]:2");
}
END_TEST

#define AT "/etc/d/t.conf:"

#define NO_HOST \
	" is no host name; allowed are names such as \"example.org\" and \"*.example.org\" and addresses such as" \
	" \"192.0.2.1\" and \"[2001:db8::1]\", without a port\n"

static const char *const wrong[][2] = {
	{ "wrokers = 1;\n" LISTEN SITES,
	  AT "1:1: unknown setting \"wrokers\" in drover.conf; did you mean \"workers\"?\n" },
	{ "timeout = { };\n" LISTEN SITES,
	  AT "1:1: unknown setting \"timeout\" in drover.conf; did you mean \"timeouts\"?\n" },
	{ "timeouts = { sned = \"1s\"; };\n" LISTEN SITES,
	  AT "1:14: unknown setting \"sned\" in timeouts; did you mean \"send\"?\n" },
	{ "zzzzzzzz = 1;\n" LISTEN SITES,
	  AT "1:1: unknown setting \"zzzzzzzz\" in drover.conf; see drover.conf(5)\n" },
	{ LISTEN "sites = ( { routes = ( { match = \"/\"; tepot = { label = \"x\"; }; } ); } );",
	  AT "2:39: unknown setting \"tepot\" in routes; did you mean \"teapot\"?\n" },
	{ LISTEN "sites = ( { routes = ( { match = \"/\"; alow = [ ]; }, { match = \"/x\"; tepot = { }; } ); } );",
	  AT "2:24: a route needs a service, such as files = { root = \"/srv/www\"; };\n" AT
	     "2:39: unknown setting \"alow\" in routes; did you mean \"allow\"?\n" AT
	     "2:70: unknown setting \"tepot\" in routes; did you mean \"teapot\"?\n" },
	{ LISTEN "sites = ( { routes = ( { match = \"/\"; teapot = { label = \"x\"; cup = 1; }; } ); } );",
	  AT "2:63: unknown setting \"cup\" in teapot; did you mean \"cups\"?\n" },
	{ "workers = \"many\";\n" LISTEN SITES,
	  AT "1:11: workers: not a whole number; allowed is \"auto\" or a whole number, from 1 to 1024\n" },
	{ "workers = 1.5;\n" LISTEN SITES,
	  AT "1:11: workers: wrong type; allowed is \"auto\" or a whole number, from 1 to 1024\n" },
	{ "workers = { };\n" LISTEN SITES,
	  AT "1:11: workers: wrong type; allowed is \"auto\" or a whole number, from 1 to 1024\n" },
	{ "workers = 4294967297L;\n" LISTEN SITES,
	  AT "1:11: workers: too large; allowed is \"auto\" or a whole number, from 1 to 1024\n" },
	{ "timeouts = { send = 30; };\n" LISTEN SITES,
	  AT "1:21: timeouts.send: a bare number; allowed is a duration such as \"30s\" (ms, s, m, h or d), "
	     "from 100ms"
	     " to 1h\n" },
	{ SITES, AT "1:1: listen is missing\n" },
	{ LISTEN, AT "1:1: sites is missing\n" },
	{ "", "/etc/d/t.conf:1:1: there are no settings in it; what serves needs at least listen and sites, see"
	      " drover.conf(5)\n" },
	{ "# workers = 1;\n/* nor\nthis */\n",
	  "/etc/d/t.conf:1:1: there are no settings in it; what serves needs at"
	  " least listen and sites, see drover.conf(5)\n" },
	/* the right name in the wrong place, and what resembles nothing */
	{ "timeouts = 5;\n" LISTEN SITES, AT "1:12: timeouts is a group of settings: timeouts = { ... };\n" },
	{ "keep_alive = \"5s\";\n" LISTEN SITES,
	  AT "1:1: keep_alive does not belong in drover.conf; did you mean \"timeouts.keep_alive\"?\n" },
	{ "limits = { workers = 2; };\n" LISTEN SITES,
	  AT "1:12: workers does not belong in limits; did you mean \"workers\" outside of any group?\n" },
	{ "label = \"x\";\n" LISTEN SITES,
	  AT "1:1: label does not belong in drover.conf; did you mean \"sites[].routes[].teapot.label\"?\n" },
	{ "teapot = { };\n" LISTEN SITES,
	  AT "1:1: teapot does not belong in drover.conf; did you mean \"sites[].routes[].teapot\"?\n" },
	{ "top = 1;\n" LISTEN SITES, AT "1:1: unknown setting \"top\" in drover.conf; see drover.conf(5)\n" },
	/* a comment that takes the rest away is reported where it begins */
	{ LISTEN "  /* sites\n" SITES "\n\n", AT "2:3: the comment that begins here with /* never ends\n" },
	{ "listen = ( );\n" SITES,
	  AT "1:10: listen: expected a list of at least one group such as ( { ... } )\n" },
	{ "listen = \"[::]:80\";\n" SITES,
	  AT "1:10: listen: expected a list of at least one group such as ( { ... } )\n" },
	{ "listen = ( \"[::]:80\" );\n" SITES, AT "1:12: expected a group { ... }\n" },
	{ "listen = ( { backlog = 5; } );\n" SITES, AT "1:12: address is missing\n" },
	{ LISTEN "sites = ( { routes = ( { match = \"/\"; teapot = { }; } ); } );",
	  AT "2:48: label is missing\n" },
	{ LISTEN "sites = ( { routes = ( { match = \"/\"; teapot = 5; } ); } );",
	  AT "2:39: a service is a group { ... }\n" },
	{ LISTEN
	  "sites = ( { routes = ( { match = \"/\"; kettle = { }; teapot = { label = \"x\"; }; } ); } );",
	  AT "2:53: a route has exactly one service; there is one already\n" },
	{ LISTEN "sites = ( { routes = ( { kettle = { }; } ); } );", AT "2:24: match is missing\n" },
	{ "workers = 1;\nworkers = 2;", AT "2:1: \"workers\" is in this group already, and may be there only once\n" },
	/* rules between settings */
	{ "listen = ( { address = \"*:80\"; },\n{ address = \"[::]:80\"; } );\n" SITES,
	  AT "2:13: address \"[::]:80\" is listed twice; first at /etc/d/t.conf:1:24\n" },
	{ LISTEN "sites = ( { routes = ( " ROUTE " ); },\n{ routes = ( " ROUTE " ); } );",
	  AT "3:12: this is a second site without hosts; only one can be the default, and there is one at " AT
	     "2:22\n" },
	{ LISTEN "sites = ( { hosts = [ \"a.b\" ]; routes = ( " ROUTE
		 " ); },\n{ hosts = [ \"A.b\" ]; routes = ( " ROUTE " ); } );",
	  AT "3:11: host \"A.b\" belongs to another site already, at " AT "2:21\n" },
	{ LISTEN "sites = ( { routes = ( { match = \"/a\"; kettle = { }; },\n{ match = \"/a/\"; kettle = { "
		 "}; } ); } );",
	  AT "3:11: match \"/a/\" is in this site already, at " AT "2:34\n" },
	{ LISTEN "sites = ( { hosts = [ \".org\" ]; routes = ( " ROUTE " ); } );",
	  AT "2:21: hosts: \".org\"" NO_HOST },
	{ LISTEN "sites = ( { hosts = [ \"*.\" ]; routes = ( " ROUTE " ); } );",
	  AT "2:21: hosts: \"*.\"" NO_HOST },
	{ LISTEN "sites = ( { hosts = [ \"a.\" ]; routes = ( " ROUTE " ); } );",
	  AT "2:21: hosts: \"a.\"" NO_HOST },
	{ LISTEN "sites = ( { hosts = [ \"a..b\" ]; routes = ( " ROUTE " ); } );",
	  AT "2:21: hosts: \"a..b\"" NO_HOST },
	{ LISTEN "sites = ( { hosts = [ \"[::1]:80\" ]; routes = ( " ROUTE " ); } );",
	  AT "2:21: hosts: \"[::1]:80\"" NO_HOST },
	{ LISTEN "sites = ( { hosts = [ \"[1]\" ]; routes = ( " ROUTE " ); } );",
	  AT "2:21: hosts: \"[1]\"" NO_HOST },
	{ LISTEN "sites = ( { hosts = [ \"1]\" ]; routes = ( " ROUTE " ); } );",
	  AT "2:21: hosts: \"1]\"" NO_HOST },
	/* nobody, or everybody? */
	{ LISTEN "sites = ( { routes = ( { match = \"/\"; allow = [ ]; kettle = { }; } ); } );",
	  AT "2:47: allow is empty; name who may use the route, or leave it out for everybody\n" },
	{ LISTEN "sites = ( { hosts = [ ]; routes = ( " ROUTE " ); } );",
	  AT "2:21: hosts is empty; name some, or leave it out for the default site\n" },
	{ "log = { error = \"off\"; };\n" LISTEN SITES,
	  AT "1:17: log.error: events cannot be turned off; log.level says which are logged\n" },
	{ "user = 33;\n" LISTEN SITES,
	  AT "1:8: user: not a string; allowed is a string such as \"www-data\"\n" },
	/* what is quoted cannot begin a line or speak to a terminal */
	{ "control = \"\\n\\x1b[31m\\x7f\";\n" LISTEN SITES,
	  AT "1:11: control: \"??[31m?\" is no absolute path\n" },
	{ "group = \"www\";\n" LISTEN SITES, AT "1:9: group without user\n" },
	{ "clients = { burst = 5; network_burst = 6; };\n" LISTEN SITES,
	  AT "1:21: clients.burst without clients.requests limits nothing\n" AT
	     "1:40: clients.network_burst without clients.network_requests limits nothing\n" },
	{ "clients = { bandwidth = \"1023\"; network_bandwidth = \"1000\"; };\n" LISTEN SITES,
	  AT "1:25: clients.bandwidth is less than 1k a second; 0 is without a limit\n" AT
	     "1:53: clients.network_bandwidth is less than 1k a second; 0 is without a limit\n" AT
	     "1:53: clients.network_bandwidth is less than what one address may take: clients.bandwidth, at " AT
	     "1:25\n" },
	{ "clients = { connections = 9; network_connections = 8; requests = 2; network_requests = 1;\n"
	  "burst = 4; network_burst = 3; };\n" LISTEN SITES,
	  AT "1:52: clients.network_connections is less than what one address may take: clients.connections,"
	     " at " AT "1:27\n" AT
	     "1:88: clients.network_requests is less than what one address may take: clients.requests, at " AT
	     "1:66\n" AT
	     "2:28: clients.network_burst is less than what one address may take: clients.burst, at " AT
	     "2:9\n" },
	{ "clients = { network_requests = 1; ipv6_prefix = 47; };\n" LISTEN SITES,
	  AT "1:49: clients.network_ipv6 = 48 is a part of one client: clients.ipv6_prefix = 47\n" },
	{ "clients = { network_bandwidth = \"1k\"; network_ipv6 = 65; };\n" LISTEN SITES,
	  AT "1:54: clients.network_ipv6 = 65 is a part of one client: clients.ipv6_prefix = 64\n" },
	{ "clients = { exempt = [ \"10.0.0.0/8\", \"10.0.0.1/8\" ]; };\n" LISTEN SITES,
	  AT "1:22: clients.exempt: \"10.0.0.1/8\": bits behind the prefix are set\n" },
	{ "listen = ( { address = \"*:80\"; mode = \"0660\"; } );\n" SITES,
	  AT "1:39: mode is for a unix socket, and *:80 is none\n" },
	{ "listen = ( { address = \"*:80\"; owner = \"0\"; group = \"0\"; } );\n" SITES,
	  AT "1:40: owner is for a unix socket, and *:80 is none\n" AT
	     "1:53: group is for a unix socket, and *:80 is none\n" },
	{ "listen = ( { address = \"unix:/a\"; freebind = true; device = \"lo\"; } );\n" SITES,
	  AT "1:46: freebind is for a TCP address, and unix:/a is none\n" AT
	     "1:61: device is for a TCP address, and unix:/a is none\n" },
	{ "listen = ( { address = \"unix:/a\"; v6only = true; defer_accept = true; } );\n" SITES,
	  AT "1:44: v6only is for a TCP address, and unix:/a is none\n" AT
	     "1:65: defer_accept is for a TCP address, and unix:/a is none\n" },
	{ "listen = ( { address = \"unix:/a\"; mode = \"660x\"; } );\n" SITES,
	  AT "1:42: mode: \"660x\" are no permissions; write them in octal, such as \"0660\"\n" },
	{ "listen = ( { address = \"unix:/a\"; mode = \"4755\"; } );\n" SITES,
	  AT "1:42: mode: \"4755\" are no permissions; write them in octal, such as \"0660\"\n" },
	{ "listen = ( { address = \"*:80\"; device = \"a-long-device-name\"; } );\n" SITES,
	  AT "1:41: device: \"a-long-device-name\" is no name of a network device (at most 15 bytes)\n" },
	/* all problems, in the order of the document */
	{ "workers = 0;\naccpet = 1;\nlisten = ( { address = \"nowhere\"; } );\n" SITES, AT
	  "1:11: workers: too small; allowed is \"auto\" or a whole number, from 1 to 1024\n" AT
	  "2:1: unknown setting \"accpet\" in drover.conf; did you mean \"accept\"?\n" AT
	  "3:24: address: \"nowhere\": no port from 1 to 65535; allowed are 127.0.0.1:80, [::1]:80, *:80 and"
	  " unix:/path\n" },
};

/* One less of each would be wrong, see above. */
START_TEST(limits_of_clients_that_just_agree_are_right)
{
	const struct config *config =
		good("clients = { connections = 9; network_connections = 9; requests = 2; network_requests = 2;\n"
		     "burst = 4; network_burst = 4; bandwidth = \"1k\"; network_bandwidth = \"1024\";\n"
		     "ipv6_prefix = 56; network_ipv6 = 56; exempt = [ \"unix\", \"::1\" ]; };\n" LISTEN SITES);

	ck_assert_uint_eq(config->quotas[QUOTA_NETWORK].bandwidth, 1024);
}
END_TEST

START_TEST(a_network_that_nobody_limits_may_have_any_prefix)
{
	good("clients = { requests = 9; ipv6_prefix = 32; };\n" LISTEN SITES);
}
END_TEST

START_TEST(what_is_wrong_is_reported_with_its_place)
{
	check_problems(wrong[_i][0], wrong[_i][1]);
}
END_TEST

START_TEST(permissions_are_octal)
{
	const struct config *config = good("listen = ( { address = \"unix:/a\"; mode = \"0640\"; }, { "
					   "address = \"unix:/b\"; } );" SITES);

	ck_assert_uint_eq(config_mode(config_listen(config, 0)), 0640);
	ck_assert_uint_eq(config_mode(config_listen(config, 1)), 0666);
}
END_TEST

START_TEST(names_of_owners_become_numbers)
{
	const struct config *config =
		good("listen = ( { address = \"unix:/a\"; owner = \"root\"; group = \"77\"; } );" SITES);

	ck_assert(config_owners(config, NULL, &problems));
	ck_assert_str_eq(config_listen(config, 0)->owner, "root");
	ck_assert(config_owners(config, &generation->arena, &problems));
	ck_assert_str_eq(config_listen(config, 0)->owner, "0");
	ck_assert_str_eq(config_listen(config, 0)->group, "77");
}
END_TEST

START_TEST(an_owner_that_nobody_knows_is_a_problem)
{
	const struct config *config =
		good("listen = ( { address = \"unix:/a\"; owner = \"no-such-user\"; } );" SITES);

	ck_assert(!config_owners(config, NULL, &problems));
	ck_assert_str_eq(problems.text, AT "1:43: user \"no-such-user\": no such user\n");
}
END_TEST

START_TEST(a_wrong_configuration_is_not_kept)
{
	ck_assert(!read_text("wrokers = 1;" LISTEN SITES));
	ck_assert_ptr_null(generation->config);
}
END_TEST

START_TEST(places_are_right_behind_something_unknown)
{
	check_problems(
		"abcdefgh = ( { x = 1; }, [ 1, 2 ], { y = { z = 2; }; } );\n" LISTEN SITES "workers = 0;",
		AT "1:1: unknown setting \"abcdefgh\" in drover.conf; see drover.conf(5)\n" AT
		   "4:11: workers: too small; allowed is \"auto\" or a whole number, from 1 to 1024\n");
}
END_TEST

START_TEST(a_file_that_is_not_there_is_a_problem)
{
	ck_assert(!read_config(&(struct config_input){ .path = "/nonexistent/x.conf", .text = NULL },
			       generation, &problems));
	ck_assert_str_eq(problems.text, "/nonexistent/x.conf: No such file or directory (drover -c names another"
					" file, drover -r DIR serves a directory without one)\n");
}
END_TEST

START_TEST(a_directory_is_no_configuration)
{
	ck_assert(!read_config(&(struct config_input){ .path = "/", .text = NULL }, generation, &problems));
	ck_assert_str_eq(problems.text, "/: a directory, not a regular file (name a file in it)\n");
}
END_TEST

START_TEST(a_device_is_not_opened_for_ever)
{
	ck_assert(!read_config(&(struct config_input){ .path = "/dev/zero", .text = NULL }, generation,
			       &problems));
	ck_assert_ptr_nonnull(strstr(problems.text, "not a regular file"));
}
END_TEST

static uint64_t processor_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The processor time of reading a site with so many routes, a site per host, and a list of as many hosts. */
static uint64_t cost_of(unsigned count)
{
	struct generation *many = generation_new(1, services);
	char *text = NULL;
	uint64_t began;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	fprintf(out, "%ssites = ( { routes = ( %s", LISTEN, ROUTE);
	for (unsigned i = 0; i < count; i++)
		fprintf(out, ", { match = \"/%u\"; kettle = { }; }", i);
	fprintf(out, " ); }, { routes = ( %s ); hosts = [ \"a\"", ROUTE);
	for (unsigned i = 0; i < count; i++)
		fprintf(out, ", \"%u.many\"", i);
	fputs(" ]; }", out);
	for (unsigned i = 0; i < count; i++)
		fprintf(out, ", { hosts = [ \"%u.b\" ]; routes = ( %s ); }", i, ROUTE);
	fputs(" );\n", out);
	fclose(out);
	began = processor_ns();
	ck_assert_msg(
		read_config(&(struct config_input){ .path = "/etc/t.conf", .text = text }, many, &problems),
		"%s", problems.text);
	began = processor_ns() - began;
	free(text);
	generation_unpin(many);
	return began;
}

/* Sixteen times as much costs sixteen times as much, and not 256 times. */
START_TEST(many_routes_hosts_and_sites_cost_no_more_each_than_a_few)
{
	ck_assert_uint_le(cost_of(16000), 64 * cost_of(1000));
}
END_TEST

/* Rules between settings are looked at although a value is wrong, and all comes by its place. */
START_TEST(problems_are_in_the_order_of_their_places)
{
	check_problems("group = \"www\";\nlisten = ( { address = \"[::]:80\"; }, 5, { address = \"*:80\"; "
		       "backlog = 0; } );\n"
		       "sites = ( { hosts = 5; routes = ( " ROUTE ", " ROUTE " ); }, { routes = ( " ROUTE
		       " ); } );",
		       AT "1:9: group without user\n" AT "2:38: expected a group { ... }\n" AT
			  "2:53: address \"[::]:80\" is listed twice; first at /etc/d/t.conf:2:24\n" AT
			  "2:71: backlog: too small; allowed is a whole number, from 1 to 65535\n" AT
			  "3:21: hosts: not an array of strings; allowed is an array of strings such as [ "
			  "\"a\", \"b\" ]\n" AT "3:90: match \"/\" is in this site already, at " AT "3:45\n");
}
END_TEST

START_TEST(what_is_not_shown_is_counted)
{
	for (unsigned i = 0; i < PROBLEMS_MAX_LINES + 37; i++)
		problems_add(&problems, "a:%u:1: wrong", PROBLEMS_MAX_LINES + 37 - i);
	problems_finish(&problems);
	ck_assert_int_eq(strncmp(problems.text, "a:38:1: wrong\na:39:1: wrong\n", 28), 0);
	ck_assert_str_eq(strrchr(problems.text, '.') - 2, "... and 37 more\n");
}
END_TEST

START_TEST(files_stay_in_the_order_in_which_they_turned_up)
{
	problems_add(&problems, "b:conf:10:1: third");
	problems_add(&problems, "a:1:1: fourth");
	problems_add(&problems, "b:conf:2:10: second");
	problems_add(&problems, "b:conf:2:9: first");
	problems_add(&problems, "no place");
	problems_finish(&problems);
	ck_assert_str_eq(problems.text,
			 "b:conf:2:9: first\nb:conf:2:10: second\nb:conf:10:1: third\na:1:1: fourth\n"
			 "no place\n");
}
END_TEST

START_TEST(problems_without_end_are_bounded)
{
	for (unsigned i = 0; i < 10000; i++)
		problems_add(&problems, "%u: a problem among many others", i);
	ck_assert_uint_eq(problems.count, 10000);
	ck_assert_uint_le(problems.len, PROBLEMS_MAX_BYTES + 1);
	ck_assert_uint_eq(problems.len, strlen(problems.text));
}
END_TEST

/* ---- drop-ins ---------------------------------------------------------------------------------------- */

static char directory[] = "/tmp/read_test.XXXXXX";
static char main_path[64];

static void write_file(const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	ck_assert_int_eq(fclose(file), 0);
}

/* A file that serves, and its empty directory of drop-ins. */
static void create_files(void)
{
	char path[128];

	create();
	strcpy(directory + strlen(directory) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(main_path, sizeof(main_path), "%s/t.conf", directory);
	snprintf(path, sizeof(path), "%s.d", main_path);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	write_file("t.conf", "workers = 2; limits = { headers = 5; connections = 6; };\n" LISTEN SITES);
}

static void destroy_files(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", directory);
	ck_assert_int_eq(system(command), 0);
	destroy();
}

static bool read_files(void)
{
	return read_config(&(struct config_input){ .path = main_path }, generation, &problems);
}

START_TEST(the_last_drop_in_wins_and_is_the_origin)
{
	char origin[128];

	write_file("t.conf.d/b.conf", "\nlimits = { headers = 7; };");
	write_file("t.conf.d/B.conf", "limits = { headers = 8; };");    /* by bytes: before the other */
	write_file("t.conf.d/c.conf~", "limits = { headers = 9; };");
	write_file("t.conf.d/.z.conf", "limits = { headers = 9; };");
	ck_assert_msg(read_files(), "%s", problems.text);
	ck_assert_uint_eq(generation->config->headers, 7);
	ck_assert_uint_eq(generation->config->connections, 6);
	snprintf(origin, sizeof(origin), "%s.d/b.conf:2:22", main_path);
	ck_assert_str_eq(config_origin(generation->config, "limits.headers"), origin);
}
END_TEST

START_TEST(a_rule_between_settings_sees_all_layers)
{
	write_file("t.conf.d/a.conf", "clients = { burst = 50; };");
	ck_assert(!read_files());
	ck_assert_ptr_nonnull(strstr(problems.text, "t.conf.d/a.conf:1:21: clients.burst without"));
	problems_release(&problems);
	write_file("t.conf.d/b.conf", "clients = { requests = 10; };");
	ck_assert_msg(read_files(), "%s", problems.text);
}
END_TEST

START_TEST(a_drop_in_has_single_settings_only)
{
	write_file("t.conf.d/a.conf", "workers = 3;\n" SITES "mime = { types = ( ); };\n");
	ck_assert(!read_files());
	ck_assert_ptr_nonnull(strstr(problems.text, "a.conf:2:1: sites does not belong in a drop-in"));
	ck_assert_ptr_nonnull(strstr(problems.text, "a.conf:3:10: types does not belong in a drop-in"));
	ck_assert_uint_eq(problems.count, 2);
}
END_TEST

START_TEST(drop_ins_are_bounded_together)
{
	char *text = malloc(6 * 1024 * 1024 + 1), name[32];

	memset(text, '\n', 6 * 1024 * 1024);
	text[6 * 1024 * 1024] = '\0';
	for (unsigned i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "t.conf.d/%u.conf", i);
		write_file(name, text);
	}
	free(text);
	ck_assert(!read_files());
	ck_assert_ptr_nonnull(strstr(problems.text, "t.conf.d/2.conf: the configuration is longer than"));
}
END_TEST

START_TEST(what_a_text_says_has_no_drop_ins)
{
	write_file("t.conf.d/a.conf", "workers = 7;");
	ck_assert(read_config(&(struct config_input){ .path = main_path, .text = "workers = 3;" LISTEN SITES },
			      generation, &problems));
	ck_assert_uint_eq(generation->config->workers, 3);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("read");
	TCase *tests = tcase_create("read"), *drop_ins = tcase_create("drop-ins");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_checked_fixture(tests, create, destroy);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, the_smallest_configuration_has_all_defaults);
	tcase_add_test(tests, what_is_written_counts);
	tcase_add_test(tests, a_service_gets_its_own_settings_and_defaults);
	tcase_add_test(tests, a_place_is_one_line_whatever_the_file_is_called);
	tcase_add_test(tests, the_second_service_has_the_second_index);
	tcase_add_test(tests, a_written_value_knows_its_place_and_a_default_none);
	tcase_add_test(tests, a_relative_path_is_put_behind_the_files_directory);
	tcase_add_test(tests, lists_keep_their_order);
	tcase_add_test(tests, limits_of_clients_that_just_agree_are_right);
	tcase_add_test(tests, a_network_that_nobody_limits_may_have_any_prefix);
	tcase_add_loop_test(tests, what_is_wrong_is_reported_with_its_place, 0,
			    sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_test(tests, permissions_are_octal);
	tcase_add_test(tests, names_of_owners_become_numbers);
	tcase_add_test(tests, an_owner_that_nobody_knows_is_a_problem);
	tcase_add_test(tests, a_wrong_configuration_is_not_kept);
	tcase_add_test(tests, places_are_right_behind_something_unknown);
	tcase_add_test(tests, a_file_that_is_not_there_is_a_problem);
	tcase_add_test(tests, a_directory_is_no_configuration);
	tcase_add_test(tests, a_device_is_not_opened_for_ever);
	tcase_add_test(tests, many_routes_hosts_and_sites_cost_no_more_each_than_a_few);
	tcase_add_test(tests, problems_are_in_the_order_of_their_places);
	tcase_add_test(tests, what_is_not_shown_is_counted);
	tcase_add_test(tests, files_stay_in_the_order_in_which_they_turned_up);
	tcase_add_test(tests, problems_without_end_are_bounded);
	suite_add_tcase(suite, drop_ins);
	tcase_add_checked_fixture(drop_ins, create_files, destroy_files);
	tcase_set_timeout(drop_ins, 60);
	tcase_add_test(drop_ins, the_last_drop_in_wins_and_is_the_origin);
	tcase_add_test(drop_ins, a_rule_between_settings_sees_all_layers);
	tcase_add_test(drop_ins, a_drop_in_has_single_settings_only);
	tcase_add_test(drop_ins, drop_ins_are_bounded_together);
	tcase_add_test(drop_ins, what_a_text_says_has_no_drop_ins);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
