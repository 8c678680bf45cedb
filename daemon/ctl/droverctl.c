/* droverctl.c - talks to a running drover over its control socket.
 *
 * Exit status: 0 done, 1 the daemon says no (the text says why), 2 wrong usage, 3 the daemon cannot be
 * reached. */
#include "ipc/check.h"
#include "ipc/control.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STATUS_GOOD, STATUS_REFUSED, STATUS_USAGE, STATUS_UNREACHABLE };

struct options {
	char socket[CONTROL_PATH_BYTES];
	const char *argument;           /* of the command; NULL: none */
	bool json, replace;
};

static const char usage[] =
	"usage: droverctl [--socket PATH | --instance NAME] COMMAND\n"
	"\n"
	"  status [--json]      slots, workers, generation, the last reload and upgrade\n"
	"  generations [--json] which configurations are still served, by which workers,\n"
	"                       what their connections do, and why old ones are there\n"
	"  reload [--replace]   reload the configuration and wait for the outcome;\n"
	"                       --replace: fresh workers, to which the old ones hand over\n"
	"  upgrade              go on with the binary that is installed now, in the same\n"
	"                       process, and wait until it serves\n"
	"  reopen               open the log files anew, after they were renamed\n"
	"  check [FILE]         say what a reload would do, with FILE or with the file that\n"
	"                       drover was started with; nothing changes\n"
	"\n"
	"  -s, --socket PATH    the control socket (default: control.sock below\n"
	"                       $RUNTIME_DIRECTORY, /run/drover or $XDG_RUNTIME_DIR/drover)\n"
	"  -i, --instance NAME  the one of drover@NAME.service: /run/drover-NAME/control.sock\n"
	"  -h, --help           this text\n"
	"  -V, --version        the version\n"
	"\n"
	"exit status: 0 done, 1 refused or failed (the text says why), 2 wrong usage,\n"
	"3 no drover answers there\n";

static const char see_help[] = "droverctl --help lists what there is; see also droverctl(8)\n";

/* ---- showing ----------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

static long long number_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void show_workers(const json_t *status)
{
	const json_t *worker;
	size_t index;

	printf("\n%5s  %-8s  %8s  %10s  %12s  %12s\n", "slot", "state", "pid", "generation", "connections",
	       "requests");
	json_array_foreach(json_object_get(status, "workers"), index, worker) {
		const json_t *counters = json_object_get(worker, "counters");

		printf("%5lld  %-8s  %8lld  %10lld  %12lld  %12lld\n", number_of(worker, "slot"),
		       text_of(worker, "state"), number_of(worker, "pid"), number_of(worker, "generation"),
		       number_of(counters, "open"), number_of(counters, "requests"));
	}
}

static void show_listener(const json_t *listener)
{
	long long sockets = number_of(listener, "sockets"), waiting = number_of(listener, "waiting"),
		  dropped = number_of(listener, "dropped");

	printf("listening on %s (%lld socket%s%s", text_of(listener, "address"), sockets,
	       sockets == 1 ? "" : "s",
	       strcmp(text_of(listener, "keeper"), "socket unit") == 0 ? " of a .socket unit" : "");
	if (waiting > 0)
		printf(", %lld connections waiting", waiting);
	if (dropped > 0)
		printf(", %lld dropped by the kernel", dropped);
	puts(")");
}

/* The counters that are not 0, in a line; nothing is said of what did not happen. */
static void show_counters(const json_t *totals, const char *title, const char *const *names)
{
	const char *between = title;

	for (; *names != NULL; names++) {
		long long count = number_of(totals, *names);

		if (count == 0)
			continue;
		printf("%s%s %lld", between, *names, count);
		between = ", ";
	}
	if (between != title)
		putchar('\n');
}

/* What clients lost, and which limits of their own they met. */
static void show_totals(const json_t *totals)
{
	static const char *const lost[] = { "kernel_dropped", "refused",   "shed",
					    "lost_crashed",   "drain_cut", "lost_address_removed",
					    NULL };
	static const char *const limited[] = { "limited_connections", "limited_requests", "limited_bandwidth",
					       "clients_untracked", NULL };

	show_counters(totals, "lost: ", lost);
	show_counters(totals, "limits of clients: ", limited);
}

static void print_at(const json_t *of)
{
	time_t at = (time_t)number_of(of, "at");
	char when[sizeof("2026-11-23T11:40:31Z")] = "?";
	struct tm utc;

	if (gmtime_r(&at, &utc) != NULL)
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &utc);
	printf(" at %s", when);
}

static void print_time(const json_t *of)
{
	print_at(of);
	printf(": %s\n", text_of(of, "text"));
}

/* The start is the first one; it is not what a person means by a reload. */
static void show_last_reload(const json_t *reload)
{
	bool good = json_is_true(json_object_get(reload, "good"));
	bool is_start = good && number_of(reload, "succeeded") == 1;

	fputs(is_start ? "started"
	      : good   ? "last reload succeeded"
		       : "last reload failed",
	      stdout);
	print_time(reload);
}

static void show_last_upgrade(const json_t *upgrade)
{
	if (number_of(upgrade, "succeeded") + number_of(upgrade, "failed") == 0)
		return;
	printf("last upgrade %s", json_is_true(json_object_get(upgrade, "good")) ? "succeeded" : "failed");
	print_time(upgrade);
}

/* What the daemon gives out has no control characters, whatever the client sent. */
static void show_death(const json_t *slot)
{
	const json_t *death = json_object_get(slot, "last_death");
	const char *signal = text_of(death, "signal");

	if (death == NULL)
		return;
	printf("slot %lld: a worker ended", number_of(slot, "slot"));
	print_at(death);
	if (signal[0] != '\0')
		printf(" by %s", signal);
	else
		printf(" with status %lld", number_of(death, "status"));
	printf(" after %lld ms, %s", number_of(death, "lived_ms"), text_of(death, "phase"));
	if (text_of(death, "client")[0] != '\0')
		printf(", client %s", text_of(death, "client"));
	if (text_of(death, "request")[0] != '\0')
		printf(", %s", text_of(death, "request"));
	putchar('\n');
}

/* Of a slot whose worker does not accept. */
static void show_hang(const json_t *slot)
{
	if (json_is_true(json_object_get(slot, "bad")))
		printf("slot %lld: its worker has not got on for %lld ms; the others accept in its place, "
		       "%lld so far\n",
		       number_of(slot, "slot"), number_of(slot, "bad_ms"), number_of(slot, "rescued"));
}

static void show_hangs(const json_t *slots)
{
	const json_t *slot;
	size_t index;

	json_array_foreach(slots, index, slot) show_hang(slot);
}

static void show_deaths(const json_t *slots)
{
	const json_t *slot;
	size_t index;

	json_array_foreach(slots, index, slot)
		show_death(slot);
}

/* Workers that leave; without any there is nothing to say. */
static void show_handover(const json_t *handover)
{
	long long workers = number_of(handover, "workers");

	if (workers > 0)
		printf("handing over: %lld worker%s, %lld of %lld connections\n", workers,
		       workers == 1 ? "" : "s", number_of(handover, "handed"),
		       number_of(handover, "connections"));
}

/* What is wanted and not to be had. */
static void show_sandbox(json_t *sandbox)
{
	const char *name;
	json_t *layer;

	json_object_foreach(sandbox, name, layer)
		if (text_of(layer, "why")[0] != '\0')
			printf("sandbox.%s is off here: %s\n", name, text_of(layer, "why"));
}

static void show_status(const json_t *answer)
{
	const json_t *status = json_object_get(answer, "status"), *listener;
	const json_t *accept = json_object_get(status, "accept");
	size_t slots = json_array_size(json_object_get(status, "slots")), index;

	printf("drover %s, pid %lld, generation %lld, %zu slot%s, accept %s%s\n", text_of(status, "version"),
	       number_of(status, "pid"), number_of(status, "generation"), slots, slots == 1 ? "" : "s",
	       text_of(accept, "effective"),
	       json_is_true(json_object_get(status, "stopping")) ? ", stopping" : "");
	if (text_of(accept, "why")[0] != '\0')
		printf("accept %s is not in effect: %s\n", text_of(accept, "wanted"), text_of(accept, "why"));
	show_sandbox(json_object_get(status, "sandbox"));
	json_array_foreach(json_object_get(status, "listeners"), index, listener)
		show_listener(listener);
	show_totals(json_object_get(status, "totals"));
	show_last_reload(json_object_get(status, "last_reload"));
	show_last_upgrade(json_object_get(status, "upgrade"));
	if (json_is_true(json_object_get(json_object_get(status, "upgrade"), "open")))
		printf("an upgrade is under way: %s\n", text_of(status, "phase"));
	else if (strcmp(text_of(status, "phase"), "idle") != 0)
		printf("a reload or a check is under way: %s\n", text_of(status, "phase"));
	show_handover(json_object_get(status, "handover"));
	show_deaths(json_object_get(status, "slots"));
	show_hangs(json_object_get(status, "slots"));
	show_workers(status);
}

static void show_text(const json_t *answer)
{
	fprintf(json_is_true(json_object_get(answer, "ok")) ? stdout : stderr, "%s\n",
		text_of(answer, "text"));
}

static int show_answer(const struct options *options, const json_t *answer,
		       void (*show)(const json_t *answer))
{
	bool good = json_is_true(json_object_get(answer, "ok"));

	if (options->json) {
		json_dumpf(answer, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (good) {
		show(answer);
	} else {
		show_text(answer);
	}
	return good ? STATUS_GOOD : STATUS_REFUSED;
}

/* ---- generations ------------------------------------------------------------------------------------- */

enum { DURATION_BYTES = 32 };

/* "450 ms", "12 s", "5 min", "3 h": how long roughly. */
static const char *duration(long long ms, char text[DURATION_BYTES])
{
	static const struct {
		long long ms;
		const char *name;
	} units[] = { { 86400000, "d" }, { 3600000, "h" }, { 60000, "min" }, { 1000, "s" }, { 1, "ms" } };
	const size_t last = sizeof(units) / sizeof(units[0]) - 1;
	size_t i = 0;

	while (i < last && ms < 2 * units[i].ms)
		i++;
	snprintf(text, DURATION_BYTES, "%lld %s", ms / units[i].ms, units[i].name);
	return text;
}

static const char *const connection_states[] = { "idle", "head", "waiting", "sending", "leaving", "moving" };

enum { CONNECTION_STATES = sizeof(connection_states) / sizeof(connection_states[0]) };

static void show_states_head(void)
{
	printf("%5s  %-8s  %8s", "slot", "state", "pid");
	for (size_t i = 0; i < CONNECTION_STATES; i++)
		printf("  %8s", connection_states[i]);
	putchar('\n');
}

static void show_states(const json_t *worker)
{
	const json_t *connections = json_object_get(worker, "connections");
	const char *why = text_of(worker, "why");
	char text[DURATION_BYTES];

	printf("%5lld  %-8s  %8lld", number_of(worker, "slot"), text_of(worker, "state"),
	       number_of(worker, "pid"));
	for (size_t i = 0; i < CONNECTION_STATES; i++) {
		if (json_is_true(json_object_get(worker, "answers")))
			printf("  %8lld", number_of(connections, connection_states[i]));
		else
			printf("  %8s", "?");
	}
	if (why[0] != '\0')
		printf("  %s", why);
	if (number_of(worker, "deadline_ms") > 0)
		printf(" (ends in %s)", duration(number_of(worker, "deadline_ms"), text));
	putchar('\n');
}

static void show_generation(const json_t *generation)
{
	const json_t *age = json_object_get(generation, "age_ms"), *workers, *worker;
	char text[DURATION_BYTES];
	size_t index;

	printf("generation %lld, %s old: %s\n", number_of(generation, "generation"),
	       json_is_integer(age) ? duration(json_integer_value(age), text) : "very",
	       text_of(generation, "why"));
	workers = json_object_get(generation, "workers");
	if (json_array_size(workers) > 0)
		show_states_head();
	json_array_foreach(workers, index, worker)
		show_states(worker);
}

static void show_generations(const json_t *answer)
{
	const json_t *generation;
	size_t index;

	json_array_foreach(json_object_get(answer, "generations"), index, generation) {
		if (index > 0)
			putchar('\n');
		show_generation(generation);
	}
}

/* ---- commands ---------------------------------------------------------------------------------------- */

/* Right after the failure: errno is still its. */
static int unreachable(const struct err *err)
{
	const char *hint = "";

	if (errno == ENOENT || errno == ECONNREFUSED)
		hint = " (no drover is running there; --socket and --instance name another one)";
	if (errno == EACCES)
		hint = " (it answers root and the user that drover was started as)";
	fprintf(stderr, "droverctl: %s%s\n", err->text, hint);
	return STATUS_UNREACHABLE;
}

/* Waits for what comes of `request`, however long that takes: the daemon has deadlines. */
static int run_request(const struct options *options, json_t *request,
		       void (*show)(const json_t *answer))
{
	struct err err;
	json_t *answer = control_ask(options->socket, request, 0, &err);
	int status = answer != NULL ? show_answer(options, answer, show) : unreachable(&err);

	json_decref(answer);
	return status;
}

static int run_status(const struct options *options)
{
	return run_request(options, json_pack("{s:s}", "command", "status"), show_status);
}

static int run_generations(const struct options *options)
{
	return run_request(options, json_pack("{s:s}", "command", "generations"), show_generations);
}

static int run_reload(const struct options *options)
{
	return run_request(
		options, json_pack("{s:s, s:b}", "command", "reload", "replace", (int)options->replace),
		show_text);
}

static int run_upgrade(const struct options *options)
{
	return run_request(options, json_pack("{s:s}", "command", "upgrade"), show_text);
}

static int run_reopen(const struct options *options)
{
	return run_request(options, json_pack("{s:s}", "command", "reopen"), show_text);
}

/* Prints what is good to read, and the rest as `drover -t` does. */
static int run_check(const struct options *options)
{
	struct err err;
	json_t *answer = check_ask(options->socket, options->argument, &err);
	int status;

	if (answer == NULL)
		return unreachable(&err);
	if (options->json)
		status = show_answer(options, answer, NULL);
	else
		status = check_show(answer, options->socket) == CHECK_GOOD ? STATUS_GOOD : STATUS_REFUSED;
	json_decref(answer);
	return status;
}

static const struct command {
	const char *name;
	int (*run)(const struct options *options);
	bool takes_argument;
} commands[] = {
	{ "status", run_status, false },
	{ "generations", run_generations, false },
	{ "reload", run_reload, false },
	{ "upgrade", run_upgrade, false },
	{ "reopen", run_reopen, false },
	{ "check", run_check, true },
	{ NULL, NULL, false },
};

/* ---- the command line -------------------------------------------------------------------------------- */

static const struct option long_options[] = {
	{ "socket", required_argument, NULL, 's' },
	{ "instance", required_argument, NULL, 'i' },
	{ "json", no_argument, NULL, 'j' },
	{ "replace", no_argument, NULL, 'r' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static int wrong_usage(const char *what, const char *which)
{
	fprintf(stderr, "droverctl: %s%s\n%s", what, which, see_help);
	return STATUS_USAGE;
}

/* False: too long. */
static bool take_socket(struct options *options, int option, const char *value)
{
	int len = snprintf(options->socket, sizeof(options->socket),
			   option == 's' ? "%s" : "/run/drover-%s/control.sock", value);

	return len < (int)sizeof(options->socket);
}

/* -1: go on; else the exit status. */
static int read_options(int argc, char **argv, struct options *options)
{
	for (int c = getopt_long(argc, argv, "s:i:hV", long_options, NULL); c != -1;
	     c = getopt_long(argc, argv, "s:i:hV", long_options, NULL)) {
		if (c == 'h')
			return fputs(usage, stdout), STATUS_GOOD;
		if (c == 'V')
			return puts("droverctl " DROVER_VERSION), STATUS_GOOD;
		if ((c == 's' || c == 'i') && !take_socket(options, c, optarg))
			return wrong_usage("the path of the socket is too long", "");
		options->json |= c == 'j';
		options->replace |= c == 'r';
		if (c == '?')
			return fputs(see_help, stderr), STATUS_USAGE;
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	const struct command *command = commands;
	int status = read_options(argc, argv, &options);

	if (status >= 0)
		return status;
	if (optind == argc)
		return wrong_usage(
			"expected a command: status, generations, reload, upgrade, reopen or check", "");
	while (command->name != NULL && strcmp(command->name, argv[optind]) != 0)
		command++;
	if (command->name == NULL)
		return wrong_usage("unknown command ", argv[optind]);
	if (optind + 1 + command->takes_argument < argc)
		return wrong_usage("unexpected argument ", argv[optind + 1 + command->takes_argument]);
	options.argument = argv[optind + 1];    /* NULL behind the last one */
	if (options.replace && strcmp(command->name, "reload") != 0)
		return wrong_usage("--replace belongs to reload", "");
	if (options.socket[0] == '\0' && !control_default_path(options.socket))
		return wrong_usage("no control socket is known; give one with --socket", "");
	return command->run(&options);
}
