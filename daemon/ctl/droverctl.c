/* droverctl.c - the command line of droverctl, which talks to a running drover over its control socket.
 *
 * Exit status: 0 done, 1 the daemon says no (the text says why), 2 wrong usage, 3 the daemon cannot be
 * reached. */
#include "ctl.h"

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool replace, drop_overrides;    /* reload --replace, --drop-overrides */

static int run_reload(struct ctl *ctl)
{
	json_t *request = json_pack("{s:s, s:b}", "command", "reload", "replace", (int)replace);

	if (drop_overrides)
		json_object_set_new(request, "all", json_true());
	return ctl_run(ctl, request, ctl_show_text);
}

static bool reload_option(int val, const char *value)
{
	(void)value;
	replace |= val == 'r';
	drop_overrides |= val == 'd';
	return true;
}

static int run_upgrade(struct ctl *ctl)
{
	return ctl_run(ctl, json_pack("{s:s}", "command", "upgrade"), ctl_show_text);
}

static int run_reopen(struct ctl *ctl)
{
	return ctl_run(ctl, json_pack("{s:s}", "command", "reopen"), ctl_show_text);
}

static const struct option reload_options[] = {
	{ "replace", no_argument, NULL, 'r' },
	{ "drop-overrides", no_argument, NULL, 'd' },
	{ NULL, 0, NULL, 0 },
};

static const struct option settings_options[] = {
	{ "names", no_argument, NULL, 'n' },
	{ NULL, 0, NULL, 0 },
};

static const struct option set_options[] = {
	{ "confirm", required_argument, NULL, 'c' },
	{ NULL, 0, NULL, 0 },
};

static const struct option unset_options[] = {
	{ "all", no_argument, NULL, 'a' },
	{ NULL, 0, NULL, 0 },
};

static const struct option config_options[] = {
	{ "origins", no_argument, NULL, 'o' },
	{ NULL, 0, NULL, 0 },
};

enum { MOST_ARGUMENTS = 1024 };

/* In the order of the help. */
static const struct command commands[] = {
	{ .name = "status", .run = status_run, .arguments = "",
	  .summary = "slots, workers, generation, the last reload and upgrade" },
	{ .name = "generations", .run = generations_run, .arguments = "",
	  .summary = "which configurations are still served, by which workers,\n"
		     "what their connections do, and why old ones are there" },
	{ .name = "top", .run = top_run, .arguments = "[--interval 1s] [--once]",
	  .options = top_options, .option = top_option,
	  .summary = "live, by slot and site: requests, bytes, latency, connections,\n"
		     "how busy; one table with --once or where no terminal is,\n"
		     "an object in each interval with --json. Keys: q quits, s sorts\n"
		     "sites by something else, r the other way around" },
	{ .name = "slow", .run = slow_run, .arguments = "[--limit N]",
	  .options = slow_options, .option = slow_option,
	  .summary = "the last requests that took log.slow or longer" },
	{ .name = "connections", .run = connections_run,
	  .arguments = "[--peer CIDR] [--slot N] [--state NAME] [--older 10s] [--limit N]\n"
		       "              [--sort age|bytes]",
	  .options = connections_options, .option = connections_option,
	  .summary = "which connections there are, the oldest first (or those that\n"
		     "were sent the most), and what is under way on them" },
	{ .name = "reload", .run = run_reload, .arguments = "[--replace] [--drop-overrides]",
	  .options = reload_options, .option = reload_option,
	  .summary = "reload the configuration and wait for the outcome;\n"
		     "--replace: fresh workers, to which the old ones hand over;\n"
		     "--drop-overrides: without what was set" },
	{ .name = "upgrade", .run = run_upgrade, .arguments = "",
	  .summary = "go on with the binary that is installed now, in the same\n"
		     "process, and wait until it serves" },
	{ .name = "drain", .run = drain_run, .arguments = "SLOT|all [--no-wait] [--wait TIME]",
	  .least = 1, .most = 1, .options = drain_options, .option = drain_option,
	  .summary = "take a slot out of service: its worker hands over and ends,\n"
		     "and none follows; all: health routes answer 503 and all else\n"
		     "is as before (--wait: until no requests come)" },
	{ .name = "resume", .run = resume_run, .arguments = "SLOT|all [--no-wait]", .least = 1, .most = 1,
	  .options = resume_options, .option = drain_option,
	  .summary = "take it back into service" },
	{ .name = "reopen", .run = run_reopen, .arguments = "",
	  .summary = "open the log files anew, after they were renamed" },
	{ .name = "check", .run = check_run, .arguments = "[FILE]", .most = 1,
	  .summary = "say what a reload would do, with FILE or with the file that\n"
		     "drover was started with, and what it would change in what\n"
		     "runs; nothing changes" },
	{ .name = "selftest", .run = selftest_run, .offline = true,
	  .arguments = "[--binary PATH] [--seconds N] [--accept MODE] [--only NAME]",
	  .options = selftest_options, .option = selftest_option,
	  .summary = "operate this very binary under load on a private loopback\n"
		     "instance, and print what clients lost; about 40 s" },
	{ .name = "import", .run = import_run, .most = 1, .offline = true,
	  .arguments = "FILE [--output FILE] [--prefix DIR] [--port N] [--strict]\n"
		       "         [--directives]",
	  .options = import_options, .option = import_option,
	  .summary = "print an nginx configuration as one of drover, and report\n"
		     "what has no counterpart; --prefix: as nginx -p; --port:\n"
		     "servers at this one alone; --strict: what is a little\n"
		     "different counts as missing; --directives: what is known" },
	{ .name = "config", .run = config_run, .arguments = "[--origins]",
	  .options = config_options, .option = config_option,
	  .summary = "the configuration that runs; --origins: and where each value\n"
		     "is from" },
	{ .name = "settings", .run = settings_run, .arguments = "[--names] [PATTERN]", .most = 1,
	  .options = settings_options, .option = settings_option, .offline = true,
	  .summary = "what can be set: value, default, what is allowed, when it\n"
		     "counts, where it is from, what it is for" },
	{ .name = "get", .run = get_run, .arguments = "NAME", .least = 1, .most = 1,
	  .summary = "the value of a setting" },
	{ .name = "set", .run = set_run, .arguments = "[--confirm TIME] NAME VALUE...",
	  .least = 1, .most = MOST_ARGUMENTS, .options = set_options, .option = set_option,
	  .summary = "change settings, all or none of them, until a restart;\n"
		     "--confirm 60s: take them back unless droverctl confirm follows" },
	{ .name = "confirm", .run = confirm_run, .arguments = "",
	  .summary = "keep what set --confirm changed" },
	{ .name = "unset", .run = unset_run, .arguments = "NAME... | --all", .most = MOST_ARGUMENTS,
	  .options = unset_options, .option = unset_option,
	  .summary = "back to what the configuration says" },
	{ .name = "workers", .run = workers_run, .arguments = "N|auto", .least = 1, .most = 1,
	  .summary = "the same as set workers N" },
	{ .name = "save", .run = save_run, .arguments = "",
	  .summary = "keep what was set for restarts, too: in the drop-in\n"
		     "50-droverctl.conf beside the configuration file" },
	{ .name = NULL },
};

/* ---- the help ---------------------------------------------------------------------------------------- */

enum { SUMMARY_COLUMN = 18 };           /* a line has 80 at most */

static const char help_begin[] =
	"usage: droverctl [--socket PATH | --instance NAME] [--json] COMMAND\n\n";

static const char help_end[] =
	"\n"
	"  -j, --json           the whole answer as JSON, for programs\n"
	"  -s, --socket PATH    the control socket (default: control.sock below\n"
	"                       $RUNTIME_DIRECTORY, /run/drover or\n"
	"                       $XDG_RUNTIME_DIR/drover)\n"
	"  -i, --instance NAME  that of drover@NAME.service, below /run/drover-NAME\n"
	"  -h, --help           this text; behind a command, its part alone\n"
	"  -V, --version        the version\n"
	"\n"
	"exit status: 0 done, 1 refused or failed (the text says why), 2 wrong usage,\n"
	"3 no drover answers there\n";

static void print_command(const struct command *command)
{
	int column = printf("  %s%s%s", command->name, command->arguments[0] != '\0' ? " " : "",
			    command->arguments);

	if (column >= SUMMARY_COLUMN) {
		putchar('\n');
		column = 0;
	}
	printf("%*s", SUMMARY_COLUMN - column, "");
	for (const char *at = command->summary; *at != '\0'; at++) {
		putchar(*at);
		if (*at == '\n')
			printf("%*s", SUMMARY_COLUMN, "");
	}
	putchar('\n');
}

/* Of one command, or (NULL) of all. */
static int print_help(const struct command *only)
{
	fputs(help_begin, stdout);
	for (const struct command *command = commands; command->name != NULL; command++)
		if (only == NULL || command == only)
			print_command(command);
	fputs(help_end, stdout);
	return STATUS_GOOD;
}

/* ---- the command line -------------------------------------------------------------------------------- */

enum { MOST_OPTIONS = 24 };

static const struct option common_options[] = {
	{ "socket", required_argument, NULL, 's' },
	{ "instance", required_argument, NULL, 'i' },
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
};

enum { COMMON_OPTIONS = sizeof(common_options) / sizeof(common_options[0]) };

/* False: too long. */
static bool take_socket(struct ctl *ctl, int option, const char *value)
{
	int len = snprintf(ctl->socket, sizeof(ctl->socket),
			   option == 's' ? "%s" : "/run/drover-%s/control.sock", value);

	return len < (int)sizeof(ctl->socket);
}

/* -1: go on; else the exit status. */
static int take_option(struct ctl *ctl, const struct command *command, int option)
{
	if (option == 'h')
		return print_help(command);
	if (option == 'V')
		return puts("droverctl " DROVER_VERSION), STATUS_GOOD;
	if (option == 's' || option == 'i')
		return take_socket(ctl, option, optarg) ? -1
			: ctl_wrong("the path of the socket is too long", "");
	if (option == 'j')
		ctl->json = true;
	else if (option == '?')
		return fputs("droverctl --help lists what there is; see also droverctl(8)\n", stderr),
		       STATUS_USAGE;
	else if (command != NULL && !command->option(option, optarg))
		return STATUS_USAGE;
	return -1;
}

static void add_options(const struct command *command, struct option all[MOST_OPTIONS])
{
	memcpy(all, common_options, sizeof(common_options));
	if (command == NULL || command->options == NULL)
		return;
	for (unsigned i = 0; command->options[i].name != NULL && COMMON_OPTIONS + i < MOST_OPTIONS - 1; i++)
		all[COMMON_OPTIONS + i] = command->options[i];
}

/* Reads on from optind: before the command (NULL) up to it, else to the end. -1: go on. */
static int read_options(int argc, char **argv, struct ctl *ctl, const struct command *command)
{
	struct option all[MOST_OPTIONS] = { 0 };
	const char *letters = command == NULL ? "+s:i:jhV" : "s:i:jhV";

	add_options(command, all);
	for (int c = getopt_long(argc, argv, letters, all, NULL); c != -1;
	     c = getopt_long(argc, argv, letters, all, NULL)) {
		int status = take_option(ctl, command, c);

		if (status >= 0)
			return status;
	}
	return -1;
}

static const struct command *find_command(const char *name)
{
	for (const struct command *command = commands; command->name != NULL; command++)
		if (strcmp(command->name, name) == 0)
			return command;
	return NULL;
}

/* A command's options may stand in front of it, as they always could: then they are read when it is known. */
static const struct command *look_ahead(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		bool has_value = strcmp(argv[i], "-s") == 0 || strcmp(argv[i], "--socket") == 0 ||
				 strcmp(argv[i], "-i") == 0 || strcmp(argv[i], "--instance") == 0;

		if (argv[i][0] != '-')
			return find_command(argv[i]);
		i += has_value;
	}
	return NULL;
}

static int run(struct ctl *ctl, const struct command *command)
{
	if (ctl->argument_count < command->least) {
		fprintf(stderr, "usage: droverctl %s %s\n", command->name, command->arguments);
		return STATUS_USAGE;
	}
	if (ctl->argument_count > command->most)
		return ctl_wrong("unexpected argument ", ctl->arguments[command->most]);
	if (ctl->socket[0] == '\0' && !control_default_path(ctl->socket) && !command->offline)
		return ctl_wrong("no control socket is known; give one with --socket", "");
	return command->run(ctl);
}

/* The one that it may be a typing error, or the beginning, of. */
static int say_unknown(const char *name)
{
	const struct command *near = NULL;
	size_t best = 3;                /* so many letters may be wrong, but for one */

	for (const struct command *command = commands; command->name != NULL; command++) {
		bool begins = name[0] != '\0' && strncmp(command->name, name, strlen(name)) == 0;
		size_t distance = begins ? 1 : str_distance(command->name, name);

		if (distance < best) {
			best = distance;
			near = command;
		}
	}
	if (near != NULL)
		fprintf(stderr, "droverctl: unknown command %s; did you mean %s?\n", name, near->name);
	return near != NULL ? STATUS_USAGE : ctl_wrong("unknown command ", name);
}

int main(int argc, char **argv)
{
	struct ctl ctl = { 0 };
	const struct command *command = look_ahead(argc, argv);
	int status = read_options(argc, argv, &ctl, command);

	if (status >= 0)
		return status;
	if (optind == argc)
		return ctl_wrong("expected a command", "");
	if (command == NULL)
		command = find_command(argv[optind]);
	if (command == NULL && strcmp(argv[optind], "help") == 0)
		return print_help(optind + 1 < argc ? find_command(argv[optind + 1]) : NULL);
	if (command == NULL)
		return say_unknown(argv[optind]);
	ctl.arguments = argv + optind + 1;
	ctl.argument_count = (unsigned)(argc - optind - 1);
	return run(&ctl, command);
}
