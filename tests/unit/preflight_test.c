/* preflight_test.c - what a machine does not allow, found by numbers; and what it hides, not guessed. */
#include "config/preflight.h"
#include "config/read.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct schema teapot_schema = { "teapot", NULL, 0, 1, NULL };
static const struct schema status_schema = { "status", NULL, 0, 1, NULL };
static const struct schema *const services[] = { &teapot_schema, &status_schema, NULL };

#define LISTEN "listen = ( { address = \"127.0.0.1:8080\"; } );\n"
#define SITES "sites = ( { routes = ( { match = \"/\"; teapot = { }; } ); } );\n"
#define LARGE \
	{ \
		true, FIGURE_UNLIMITED \
	}

/* Where the default configuration finds all it asks for. */
static const struct machine roomy = {
	.open_files = { true, 524288 },
	.somaxconn = { true, 4096 },
	.first_port = { true, 1024 },
	.may_bind = true,
	.memory = LARGE,
	.tasks = LARGE,
	.processes = LARGE,
	.may_steer = true,
	.can_steer = true,
	.cpus = 4,
};

static struct generation *generation;
static struct problems problems;
static struct preflight found;

static void create(void)
{
	generation = generation_new(1, services);
}

static void destroy(void)
{
	generation_unpin(generation);
	problems_release(&problems);
}

static void judge(const char *text, const struct machine *machine)
{
	struct config_input input = { .path = "/etc/d.conf", .text = text };

	ck_assert_msg(read_config(&input, generation, &problems), "%s", problems.text);
	preflight_judge(generation, machine, &found);
}

static const struct finding *find(const char *id)
{
	for (unsigned i = 0; i < found.count; i++)
		if (strcmp(found.at[i].id, id) == 0)
			return &found.at[i];
	return NULL;
}

START_TEST(a_roomy_machine_gives_nothing_to_say)
{
	judge(LISTEN SITES, &roomy);
	ck_assert_msg(found.count == 0, "%s: %s", found.at[0].id, found.at[0].text);
}
END_TEST

/* What a machine lacks and a configuration asks for: exactly one finding each. */
static const struct {
	const char *config;
	struct machine machine;         /* what differs from the roomy one, see narrow() */
	bool hidden;                    /* the figure that is changed cannot be read */
	const char *id;
	enum finding_severity severity;
	const char *place, *text, *remedy;
} cases[] = {
	/* 32 of its own, 256 of the file cache and 4 listening sockets: 16384 + 292 */
	{ LISTEN SITES,
	  { .open_files = { true, 16675 } },
	  false,
	  "preflight_open_files",
	  FINDING_WARNING,
	  "",
	  "limits.connections = 16384 needs 16676 open files in each worker (292 for itself and its listening"
	  " sockets), and one more for each file under way; RLIMIT_NOFILE allows 16675, so that a worker "
	  "takes"
	  " 16383 connections",
	  "set LimitNOFILE=33060 in the unit (ulimit -Hn), or limits.connections = 16383" },
	{ "limits = { open_files = 1000; };\n" LISTEN SITES,
	  { .cpus = 0 },
	  false,
	  "preflight_open_files",
	  FINDING_WARNING,
	  "",
	  "limits.open_files allows 1000, so that a worker takes 902 connections",
	  "set limits.open_files = 33060, or limits.connections = 902" },
	{ "limits = { connections = 1000; };\n" LISTEN SITES,
	  { .open_files = { true, 1104 } },
	  false,
	  "preflight_open_files",
	  FINDING_WARNING,
	  "/etc/d.conf:1:26",
	  "a worker takes 999 connections",
	  "LimitNOFILE=2292" },
	/* 32 + 4 + 1 + 4 * 4 * 18 */
	{ "limits = { connections = 10; };\n" LISTEN SITES,
	  { .open_files = { true, 324 } },
	  false,
	  "preflight_master_files",
	  FINDING_WARNING,
	  "/etc/d.conf:2:10",
	  "the master needs up to 325 open files (4 listening sockets, and 4 for each of up to 72 workers);"
	  " RLIMIT_NOFILE allows 324",
	  "LimitNOFILE=325" },
	{ LISTEN SITES,
	  { .somaxconn = { true, 4095 } },
	  false,
	  "preflight_somaxconn",
	  FINDING_WARNING,
	  "",
	  "listen.backlog = 4096 of 127.0.0.1:8080 is cut to net.core.somaxconn = 4095 by the kernel",
	  "sysctl -w net.core.somaxconn=4096, or set backlog = 4095" },
	{ "listen = ( { address = \"[::1]:8080\"; backlog = 5000; },\n"
	  "{ address = \"[::1]:8081\"; backlog = 6000; } );\n" SITES,
	  { .cpus = 0 },
	  false,
	  "preflight_somaxconn",
	  FINDING_WARNING,
	  "/etc/d.conf:2:37",
	  "listen.backlog = 6000 of [::1]:8081",
	  "somaxconn=6000" },
	{ LISTEN SITES,
	  { .somaxconn = { true, 1 } },
	  true,
	  "preflight_somaxconn_unknown",
	  FINDING_INFO,
	  "",
	  "unknown: /proc/sys/net/core/somaxconn is hidden (ProcSubset=pid?)",
	  "sysctl net.core.somaxconn" },
	{ "listen = ( { address = \"0.0.0.0:80\"; } );\n" SITES,
	  { .first_port = { true, 81 } },
	  false,
	  "preflight_privileged_port",
	  FINDING_ERROR,
	  "/etc/d.conf:1:24",
	  "port 80 of 0.0.0.0:80 is below net.ipv4.ip_unprivileged_port_start = 81",
	  "AmbientCapabilities=CAP_NET_BIND_SERVICE" },
	{ "listen = ( { address = \"[::]:80\"; } );\n" SITES,
	  { .first_port = { true, 1 } },
	  true,
	  "preflight_port_unknown",
	  FINDING_INFO,
	  "/etc/d.conf:1:24",
	  "unknown: /proc/sys/net/ipv4",
	  "AmbientCapabilities" },
	/* 4 workers x 100 connections x (64k + 6k) = 28,672,000, and 4 x 64m */
	{ "limits = { connections = 100; };\n" LISTEN SITES,
	  { .memory = { true, 28671999 + 268435456 } },
	  false,
	  "preflight_memory",
	  FINDING_WARNING,
	  "/etc/d.conf:1:26",
	  "400 connections (4 workers x 100) can take 28m, when each client sends the longest request head "
	  "that"
	  " is allowed (70k each), and file caches 256m; the cgroup allows 284m",
	  "set limits.connections = 99" },
	{ "limits = { connections = 1; };\n" LISTEN SITES,
	  { .memory = { true, 268722175 } },
	  false,
	  "preflight_memory",
	  FINDING_WARNING,
	  "/etc/d.conf:1:26",
	  "and file caches 256m; the cgroup allows 257m",
	  "or lower file_cache.memory" },
	{ LISTEN SITES,
	  { .memory = { true, 1 } },
	  true,
	  "preflight_memory_unknown",
	  FINDING_INFO,
	  "",
	  "unknown: the memory limit of the cgroup is hidden",
	  "MemoryMax" },
	/* 2 + 4 * 18 * 3 */
	{ "workers = 4;\n" LISTEN SITES,
	  { .tasks = { true, 217 } },
	  false,
	  "preflight_tasks",
	  FINDING_WARNING,
	  "/etc/d.conf:1:11",
	  "can be 218 tasks; pids.max of the cgroup allows 217",
	  "TasksMax=218" },
	{ LISTEN SITES,
	  { .processes = { true, 217 } },
	  false,
	  "preflight_processes",
	  FINDING_WARNING,
	  "",
	  "can be 218 tasks; RLIMIT_NPROC allows 217",
	  "LimitNPROC=218" },
	{ "workers = 5;\n" LISTEN SITES,
	  { .cpus = 0 },
	  false,
	  "preflight_cpus",
	  FINDING_INFO,
	  "/etc/d.conf:1:11",
	  "workers = 5, but drover may use 4 CPUs",
	  "workers = \"auto\"" },
	{ "clients = { connections = 5; };\n" LISTEN SITES,
	  { .cpus = 0 },
	  false,
	  "preflight_few_connections",
	  FINDING_WARNING,
	  "/etc/d.conf:1:27",
	  "clients.connections = 5, and a browser opens 6",
	  "set clients.connections = 50 or more" },
	/* the first one is exempt, with its neighbours */
	{ "forwarded = { from = [ \"10.1.0.0/16\", \"unix\", \"::1\" ]; };\n"
	  "clients = { connections = 6; exempt = [ \"unix\", \"10.0.0.0/8\", \"::1:0/112\" ]; };\n" LISTEN
		  SITES,
	  { .cpus = 0 },
	  false,
	  "preflight_limited_proxy",
	  FINDING_WARNING,
	  "/etc/d.conf:2:27",
	  "clients.connections counts the connections of the proxies too, and ::1, which is in "
	  "forwarded.from,"
	  " is not in clients.exempt",
	  "name it in clients.exempt" },
	{ "forwarded = { from = [ \"10.0.0.0/8\" ]; };\n"
	  "clients = { network_connections = 6; exempt = [ \"10.0.0.0/9\" ]; };\n" LISTEN SITES,
	  { .cpus = 0 },
	  false,
	  "preflight_limited_proxy",
	  FINDING_WARNING,
	  "/etc/d.conf:2:35",
	  "clients.network_connections counts",
	  "name it in clients.exempt" },
};

static void take(struct figure *figure, struct figure wanted, bool hidden)
{
	if (wanted.known)
		*figure = (struct figure){ !hidden, wanted.value };
}

static struct machine narrow(const struct machine *wanted, bool hidden)
{
	struct machine machine = roomy;

	take(&machine.open_files, wanted->open_files, hidden);
	take(&machine.somaxconn, wanted->somaxconn, hidden);
	take(&machine.first_port, wanted->first_port, hidden);
	take(&machine.memory, wanted->memory, hidden);
	take(&machine.tasks, wanted->tasks, hidden);
	take(&machine.processes, wanted->processes, hidden);
	machine.may_bind = !wanted->first_port.known;
	return machine;
}

START_TEST(what_is_too_little_is_found_with_numbers_and_a_remedy)
{
	struct machine machine = narrow(&cases[_i].machine, cases[_i].hidden);

	judge(cases[_i].config, &machine);
	ck_assert_uint_eq(found.count, 1);
	ck_assert_str_eq(found.at[0].id, cases[_i].id);
	ck_assert_int_eq(found.at[0].severity, cases[_i].severity);
	ck_assert_str_eq(found.at[0].place, cases[_i].place);
	ck_assert_msg(strstr(found.at[0].text, cases[_i].text) != NULL, "%s", found.at[0].text);
	ck_assert_msg(strstr(found.at[0].remedy, cases[_i].remedy) != NULL, "%s", found.at[0].remedy);
}
END_TEST

/* One more of what was lacking, and all is well. */
START_TEST(what_is_just_enough_is_no_finding)
{
	struct machine machine = narrow(&cases[_i].machine, cases[_i].hidden);

	if (cases[_i].hidden || cases[_i].severity == FINDING_INFO ||
	    !(cases[_i].machine.open_files.known || cases[_i].machine.somaxconn.known ||
	      cases[_i].machine.first_port.known || cases[_i].machine.memory.known ||
	      cases[_i].machine.tasks.known || cases[_i].machine.processes.known))
		return;                 /* nothing that one more of would help */
	machine.open_files.value++;
	machine.somaxconn.value++;
	machine.memory.value += machine.memory.value != FIGURE_UNLIMITED;
	machine.tasks.value += machine.tasks.value != FIGURE_UNLIMITED;
	machine.processes.value += machine.processes.value != FIGURE_UNLIMITED;
	machine.first_port.value--;
	judge(cases[_i].config, &machine);
	ck_assert_msg(found.count == 0, "%s: %s", found.at[0].id, found.at[0].text);
}
END_TEST

START_TEST(steering_that_was_asked_for_and_is_not_to_be_had_is_found)
{
	struct machine machine = roomy;

	machine.may_steer = false;
	judge("accept = \"directed\";\n" LISTEN SITES, &machine);
	ck_assert_uint_eq(found.count, 1);
	ck_assert_str_eq(found.at[0].id, "preflight_steering");
	ck_assert_int_eq(found.at[0].severity, FINDING_WARNING);
	ck_assert_str_eq(found.at[0].place, "/etc/d.conf:1:10");
	ck_assert_str_eq(found.at[0].text,
			 "accept = \"directed\" is \"reuseport\" here: drover has no CAP_BPF, so that a busy"
			 " worker gets as many new connections as an idle one");
	ck_assert_ptr_nonnull(strstr(found.at[0].remedy, "AmbientCapabilities=CAP_BPF"));
}
END_TEST

START_TEST(no_privilege_helps_a_build_without_the_program)
{
	struct machine machine = roomy;

	machine.can_steer = false;
	judge("accept = \"directed\";\n" LISTEN SITES, &machine);
	ck_assert_uint_eq(found.count, 1);
	ck_assert_ptr_nonnull(strstr(found.at[0].text, "built without"));
	ck_assert_ptr_null(strstr(found.at[0].remedy, "CAP_BPF"));
}
END_TEST

START_TEST(who_did_not_ask_for_steering_is_told_nothing)
{
	struct machine machine = roomy;

	machine.may_steer = machine.can_steer = false;
	judge(LISTEN SITES, &machine);
	ck_assert_uint_eq(found.count, 0);
}
END_TEST

START_TEST(a_mode_that_needs_nothing_is_no_finding)
{
	struct machine machine = roomy;

	machine.may_steer = machine.can_steer = false;
	judge("accept = \"cpu\";\n" LISTEN SITES, &machine);
	ck_assert_uint_eq(found.count, 0);
}
END_TEST

START_TEST(proxies_are_limited_by_nothing_but_connections)
{
	judge("forwarded = { from = [ \"10.0.0.0/8\" ]; };\n"
	      "clients = { requests = 6; bandwidth = \"1m\"; };\n" LISTEN SITES,
	      &roomy);
	ck_assert_uint_eq(found.count, 0);
}
END_TEST

START_TEST(a_unix_socket_and_a_shared_listener_are_one_socket)
{
	struct machine machine = roomy;

	machine.open_files.value = 16384 + 32 + 256 + 2 - 1;
	judge("accept = \"shared\"; listen = ( { address = \"unix:/tmp/a\"; }, { address = \"[::]:8080\"; } "
	      ");\n" SITES,
	      &machine);
	ck_assert_ptr_nonnull(find("preflight_open_files"));
	machine.open_files.value++;
	preflight_judge(generation, &machine, &found);
	ck_assert_ptr_null(find("preflight_open_files"));
}
END_TEST

#define OUTSIDE "listen = ( { address = \"127.0.0.1:8080\"; }, { address = \"[::]:8080\"; } );\n"
#define ROUTE(of_site, of_route) \
	"sites = ( { " of_site " routes = ( { match = \"/s\"; " of_route " status = { }; } ); } );\n"

static const struct {
	const char *config;
	bool is_open;
} statuses[] = {
	{ OUTSIDE ROUTE("", ""), true },
	{ OUTSIDE ROUTE("", "deny = [ \"10.0.0.0/8\" ];"), true },
	{ OUTSIDE ROUTE("auth = { file = \"/u\"; };", "auth = { file = \"off\"; };"), true },
	{ OUTSIDE ROUTE("", "allow = [ \"10.0.0.0/8\" ];"), false },
	{ OUTSIDE ROUTE("auth = { file = \"/u\"; };", ""), false },
	{ OUTSIDE ROUTE("", "auth = { file = \"/u\"; };"), false },
	{ OUTSIDE SITES, false },
	{ LISTEN ROUTE("", ""), false },
	{ "listen = ( { address = \"[::1]:80\"; }, { address = \"unix:/tmp/a\"; } );\n" ROUTE("", ""),
	  false },
	{ "listen = ( { address = \"*:8080\"; } );\n" ROUTE("", ""), true },
};

START_TEST(a_status_that_everybody_may_read_is_found)
{
	judge(statuses[_i].config, &roomy);
	ck_assert_int_eq(find("preflight_status_open") != NULL, statuses[_i].is_open);
}
END_TEST

START_TEST(a_status_that_everybody_may_read_is_found_with_its_place_and_a_remedy)
{
	judge(OUTSIDE ROUTE("", ""), &roomy);
	ck_assert_uint_eq(found.count, 1);
	ck_assert_int_eq(found.at[0].severity, FINDING_WARNING);
	ck_assert_str_eq(found.at[0].place, "/etc/d.conf:2:35");
	ck_assert_ptr_nonnull(
		strstr(found.at[0].text, "the status at /s may be read by everybody who reaches [::]:8080"));
	ck_assert_ptr_nonnull(strstr(found.at[0].remedy, "set allow = "));
}
END_TEST

START_TEST(a_unix_socket_needs_no_capability)
{
	struct machine machine = roomy;

	machine.may_bind = false;
	judge("listen = ( { address = \"unix:/tmp/a\"; } );\n" SITES, &machine);
	ck_assert_uint_eq(found.count, 0);
}
END_TEST

START_TEST(what_is_hidden_does_not_matter_where_little_is_asked_for)
{
	struct machine machine = roomy;

	machine.somaxconn.known = machine.first_port.known = false;
	judge("listen = ( { address = \"127.0.0.1:80\"; backlog = 128; } );\n" SITES, &machine);
	ck_assert_uint_eq(found.count, 0);
}
END_TEST

START_TEST(workers_auto_are_as_many_as_cpus)
{
	struct machine machine = roomy;

	machine.cpus = 1;
	machine.tasks.value = 2 + 1 * 18 * 3;
	judge(LISTEN SITES, &machine);
	ck_assert_uint_eq(found.count, 0);
}
END_TEST

START_TEST(everything_at_once_is_bounded)
{
	struct machine machine = { .open_files = { true, 1 },
				   .somaxconn = { true, 1 },
				   .first_port = { true, 1024 },
				   .memory = { true, 1 },
				   .tasks = { true, 1 },
				   .processes = { true, 1 },
				   .cpus = 1 };

	judge("workers = 1024; listen = ( { address = \"*:1\"; } );\n" SITES, &machine);
	ck_assert_uint_eq(found.count, 8);
	for (unsigned i = 0; i < found.count; i++)
		ck_assert_uint_lt(strlen(found.at[i].text), sizeof(found.at[i].text) - 1);
}
END_TEST

START_TEST(findings_of_a_broken_process_are_tamed)
{
	memset(&found, 0xff, sizeof(found));
	preflight_tame(&found);
	ck_assert_uint_eq(found.count, PREFLIGHT_MAX);
	for (unsigned i = 0; i < found.count; i++) {
		ck_assert_uint_eq(strlen(found.at[i].id), sizeof(found.at[i].id) - 1);
		ck_assert_uint_eq(strlen(found.at[i].place), sizeof(found.at[i].place) - 1);
		ck_assert_uint_eq(strlen(found.at[i].text), sizeof(found.at[i].text) - 1);
		ck_assert_uint_eq(strlen(found.at[i].remedy), sizeof(found.at[i].remedy) - 1);
		ck_assert_ptr_nonnull(finding_severity_names[found.at[i].severity]);
	}
}
END_TEST

START_TEST(this_machine_can_be_read)
{
	struct machine machine;

	machine_look(&machine);
	ck_assert(machine.open_files.known);
	ck_assert_uint_gt(machine.open_files.value, 0);
	ck_assert_uint_gt(machine.cpus, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("preflight");
	TCase *tests = tcase_create("preflight");
	SRunner *runner = srunner_create(suite);
	int count = sizeof(cases) / sizeof(cases[0]), failed;

	suite_add_tcase(suite, tests);
	tcase_add_checked_fixture(tests, create, destroy);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_roomy_machine_gives_nothing_to_say);
	tcase_add_loop_test(tests, what_is_too_little_is_found_with_numbers_and_a_remedy, 0, count);
	tcase_add_loop_test(tests, what_is_just_enough_is_no_finding, 0, count);
	tcase_add_test(tests, proxies_are_limited_by_nothing_but_connections);
	tcase_add_test(tests, a_unix_socket_and_a_shared_listener_are_one_socket);
	tcase_add_test(tests, a_unix_socket_needs_no_capability);
	tcase_add_loop_test(tests, a_status_that_everybody_may_read_is_found, 0,
			    sizeof(statuses) / sizeof(statuses[0]));
	tcase_add_test(tests, a_status_that_everybody_may_read_is_found_with_its_place_and_a_remedy);
	tcase_add_test(tests, what_is_hidden_does_not_matter_where_little_is_asked_for);
	tcase_add_test(tests, workers_auto_are_as_many_as_cpus);
	tcase_add_test(tests, steering_that_was_asked_for_and_is_not_to_be_had_is_found);
	tcase_add_test(tests, no_privilege_helps_a_build_without_the_program);
	tcase_add_test(tests, who_did_not_ask_for_steering_is_told_nothing);
	tcase_add_test(tests, a_mode_that_needs_nothing_is_no_finding);
	tcase_add_test(tests, everything_at_once_is_bounded);
	tcase_add_test(tests, findings_of_a_broken_process_are_tamed);
	tcase_add_test(tests, this_machine_can_be_read);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
