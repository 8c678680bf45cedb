/* main.c - the command line, and the wiring: the only file, with service/registry.c, that knows concrete
 * things.
 *
 * Exit status: 0 as asked, 1 the service could not start or go on (or -t says that it would not), 2 wrong
 * usage or a wrong configuration, 3 stopped as asked, but the drain's deadline cut connections. */
#include "base/privilege.h"
#include "config/canonical.h"
#include "config/check.h"
#include "config/credential.h"
#include "config/layers.h"
#include "config/preflight.h"
#include "config/probe.h"
#include "config/sandbox.h"
#include "http/access_log.h"
#include "http/http1.h"
#include "http/route.h"
#include "ipc/check.h"
#include "ipc/control.h"
#include "master/master.h"
#include "service/registry.h"
#include "worker/crash.h"
#include "worker/worker.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STATUS_GOOD, STATUS_FAILED, STATUS_WRONG };

static const char default_config[] = "/etc/drover/drover.conf";
static const char default_address[] = "127.0.0.1:8080";

static const char usage[] =
	"usage: drover [-c FILE] [-t [--offline] | -T]\n"
	"       drover -r DIR [-l ADDR] [-t | -T]\n"
	"\n"
	"  -c, --config FILE    the configuration (default /etc/drover/drover.conf)\n"
	"  -t, --test           check the configuration and exit; a running drover is asked\n"
	"                       what a reload would do: status 1 when it would fail, 2 when\n"
	"                       the configuration is wrong\n"
	"      --offline        with -t: ask no running drover, try no address and no log file\n"
	"  -T, --print          print the effective configuration and where each value is from\n"
	"  -r, --root DIR       serve a directory, without a configuration file\n"
	"  -l, --listen ADDR    where -r listens (default 127.0.0.1:8080)\n"
	"  -V, --version        the version\n"
	"  -h, --help           this text\n"
	"\n"
	"drover stays in the foreground.  HUP reloads the configuration, USR1 opens the\n"
	"log files anew, USR2 upgrades to the binary that is installed now, TERM stops\n"
	"gracefully, INT at once.  See drover(8), drover.conf(5), droverctl(8).\n";

static const char see_help[] = "drover --help lists what there is; see also drover(8)\n";

struct options {
	const char *config, *root, *listen;
	bool test, print, offline, candidate;
};

/* ---- wiring ------------------------------------------------------------------------------------------ */

/* In the checker: what the services say, under the workers' user. */
static bool check_system(struct generation *generation, struct problems *problems)
{
	bool done = false;
	struct err err;

	while (!done) {
		if (protocol_http1.prepare(generation, 0, &done, &err))
			continue;
		problems_add(problems, "%s", err.text);
		return false;
	}
	return true;
}

static int run_worker(const struct master *master, const struct worker_ends *ends, const struct child *child)
{
	struct worker_start start = {
		.channel = ends->channel,
		.will = ends->will,
		.survive = ends->survive,
		.seccomp = ends->seccomp,
		.slot = child->slot,
		.board = master->board,
		.hot = master->hot,
		.quota = master->quota,
		.column = child->column,
		.protocol = master->setup->protocol,
		.services = master->setup->services,
		.access_log = access_log_open,
	};

	return worker_run(&start);
}

static const struct master_setup wiring = {
	.services = service_schemas, .protocol = &protocol_http1,
	.counter_names = counter_names, .counters = COUNTERS, .open = COUNT_OPEN, .levels = counter_levels,
	.check_system = check_system, .run_worker = run_worker,
};

/* `plan`: this process goes on from another image; NULL: it starts. */
static int serve(const struct config_input *input, char **argv, const struct guard_plan *plan)
{
	struct master_setup setup = wiring;

	setup.input = *input;
	setup.argv = argv;
	setup.plan = plan;
	crash_prepare();
	return master_run(&setup);
}

/* See master/candidate.h. Ends at once: what was loaded speaks of sockets and paths that are another
 * process's, and is not let go of. */
static int try_candidate(void)
{
	struct err err;
	bool good = resume_try(&wiring, CANDIDATE_STATE_FD, &err);

	if (good)
		puts(CANDIDATE_WORD " " DROVER_VERSION);
	else
		fprintf(stderr, "%s\n", err.text);
	fflush(NULL);
	_exit(good ? STATUS_GOOD : STATUS_FAILED);
}

/* ---- -t and -T --------------------------------------------------------------------------------------- */

/* What depends on who asks, and is gone once rights are dropped. */
struct here {
	struct config_identity identity;
	char control[CONTROL_PATH_BYTES];       /* of control = "auto"; "": there is none */
	bool steers;                    /* accept = "directed" is to be had, or not wanted */
	struct err why_not;
};

static const char no_credentials[] = "$CREDENTIALS_DIRECTORY is not set here";

/* What "auto" and what is left out mean here, as comments. */
static void print_meaning(const struct config *config, const struct here *here)
{
	const struct config_identity *identity = &here->identity;
	struct machine machine;
	struct err err;

	machine_look(&machine);
	if (config->workers == 0)
		printf("# workers = \"auto\" is %u here\n", config_worker_count(config));
	if (config->open_files == 0)
		printf("# limits.open_files = \"auto\" is %llu here\n",
		       (unsigned long long)machine.open_files.value);
	if (strcmp(config->control, "auto") == 0)
		printf("# control = \"auto\" is %s here\n",
		       here->control[0] != '\0' ? here->control : "\"off\"");
	if (!here->steers)
		printf("# accept = \"directed\" is \"reuseport\" here: %s\n", here->why_not.text);
	for (unsigned i = 0; i < LAYERS; i++)
		if (layer_is_missing(&layers[i], config, &err))
			printf("# sandbox.%s is off here: %s\n", layers[i].name, err.text);
	if (credential_unresolved(config) != NULL)
		printf("# auth.file = \"%s\" is not looked at: %s\n", credential_unresolved(config),
		       no_credentials);
	printf("# workers run as uid %u, gid %u%s%s%s\n", identity->uid, identity->gid,
	       identity->change ? " (" : "", identity->name, identity->change ? ")" : "");
}

static int print(const struct generation *generation, const struct here *here)
{
	unsigned redacted;
	size_t len;
	char *text = canonical_show(generation, &len, &redacted);

	if (text == NULL)
		return STATUS_FAILED;
	print_meaning(generation->config, here);
	if (redacted > 0)
		printf("# (redacted) stands for %u values of header fields that carry secrets\n", redacted);
	fputs(text, stdout);
	free(text);
	return STATUS_GOOD;
}

static const int check_statuses[] = {
	[CHECK_GOOD] = STATUS_GOOD,
	[CHECK_WOULD_FAIL] = STATUS_FAILED,
	[CHECK_WRONG] = STATUS_WRONG,
};

/* What the workers' user may not read is a mistake too; takes on that user for good. `found` may be NULL. */
static bool check_as_worker(const struct config_input *input, struct generation *generation,
			    struct config_identity *identity, struct preflight *found,
			    struct problems *problems)
{
	struct err err;

	if (!config_owners(generation->config, NULL, problems) ||
	    !config_identity(generation->config, identity, problems))
		return false;
	if (privilege_drop(identity->change, identity->uid, identity->gid, &err)) {
		if (!check_system(generation, problems))
			return false;
		if (sandbox_derive(generation, found, &err))
			return true;
	}
	problems_add(problems, "%s: %s", input->path, err.text);
	return false;
}

/* How much of what a start does is tried without a daemon. */
enum trial { TRY_NOTHING, TRY_LOGS, TRY_ALL };

static const char *const trial_words[] = {
	[TRY_NOTHING] = "checked offline, no address and no log file tried",
	[TRY_LOGS] = "checked alone, addresses not tried",     /* a silent drover may hold them */
	[TRY_ALL] = "checked alone",
};

/* One that is an error says why an address cannot be bound: where none is tried, nobody knows. */
static void show_findings(const struct preflight *found, enum trial trial)
{
	for (unsigned i = 0; i < found->count; i++)
		if (found->at[i].severity != FINDING_ERROR || trial == TRY_ALL)
			check_line(stderr, found->at[i].place, finding_severity_names[found->at[i].severity],
				   found->at[i].text, found->at[i].remedy, found->at[i].id);
}

/* First what needs the rights that the rest gives up. */
static int check_alone(const struct config_input *input, struct generation *generation, enum trial trial,
		       struct problems *problems)
{
	struct config_identity identity;
	struct preflight found, more = { 0 };
	struct machine machine;
	bool good, can_serve;

	machine_look(&machine);
	preflight_judge(generation, &machine, &found);
	show_findings(&found, trial);
	if (credential_unresolved(generation->config) != NULL)
		fprintf(stderr, "%s: info: auth.file = \"%s\" is not looked at: %s\n", input->path,
			credential_unresolved(generation->config), no_credentials);
	if (trial >= TRY_LOGS)
		probe_logs(generation->config, problems);
	if (trial >= TRY_ALL)
		probe_addresses(generation->config, problems);
	good = problems->count == 0;
	can_serve = check_as_worker(input, generation, &identity, &more, problems);
	show_findings(&more, trial);
	if (!can_serve)
		return STATUS_WRONG;
	return good ? STATUS_GOOD : STATUS_FAILED;
}

/* Asks the daemon that `config` would be for. -1: there is none that answers, `err` says why and `nobody` is
 * set when there is none at all. */
static int ask_daemon(const struct config_input *input, const struct config *config, bool *nobody,
		      struct err *err)
{
	char socket[CONTROL_PATH_BYTES];
	json_t *answer;
	int status;

	*nobody = false;
	if (strcmp(config->control, "off") == 0)
		return err_set(err, "control is off"), -1;
	if (!control_find(config->control, socket))
		return err_set(err, "no $RUNTIME_DIRECTORY and no $XDG_RUNTIME_DIR"), -1;
	answer = check_ask(socket, input->path, err);
	if (answer == NULL) {
		*nobody = errno == ENOENT || errno == ECONNREFUSED;
		if (*nobody)
			err_set(err, "no drover answers at %s", socket);
		return -1;
	}
	status = check_statuses[check_show(answer, socket)];
	json_decref(answer);
	return status;
}

static int test(const struct config_input *input, const struct options *options,
		struct generation *generation, struct problems *problems)
{
	enum trial trial = options->offline ? TRY_NOTHING : TRY_ALL;
	struct err err = { "there is no file that a running drover could be asked about" };
	bool nobody = true;
	int status = -1;

	if (trial == TRY_ALL && input->text == NULL)
		status = ask_daemon(input, generation->config, &nobody, &err);
	if (!nobody)
		trial = TRY_LOGS;
	if (status < 0) {
		status = check_alone(input, generation, trial, problems);
		printf("%s: %s%s%s\n", input->path, trial_words[trial], trial != TRY_NOTHING ? ": " : "",
		       trial != TRY_NOTHING ? err.text : "");
	}
	if (status == STATUS_GOOD)
		printf("%s: the configuration is good\n", input->path);
	return status;
}

/* First what needs the rights that the rest gives up. */
static int look_and_print(const struct config_input *input, struct generation *generation, struct here *here,
			  struct problems *problems)
{
	here->steers = generation->config->accept != ACCEPT_DIRECTED || steer_try(&here->why_not);
	return check_as_worker(input, generation, &here->identity, NULL, problems)
		       ? print(generation, here)
		       : STATUS_WRONG;
}

static int check(const struct config_input *input, const struct options *options)
{
	struct generation *generation = generation_new(0, service_schemas);
	struct problems problems = { 0 };
	struct here here = { 0 };
	int status = STATUS_WRONG;

	if (!control_default_path(here.control))
		here.control[0] = '\0';
	if (generation != NULL && read_config(input, generation, &problems)) {
		if (!options->print)
			status = test(input, options, generation, &problems);
		else
			status = look_and_print(input, generation, &here, &problems);
	}
	if (problems.text != NULL)
		fputs(problems.text, stderr);
	problems_release(&problems);
	generation_unpin(generation);
	return status;
}

/* ---- -r ---------------------------------------------------------------------------------------------- */

/* A string as the configuration's grammar wants it. */
static void put_quoted(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		if ((unsigned char)*text < 0x20)
			fprintf(out, "\\x%02x", (unsigned char)*text);
		else
			fputc(*text, out);
	}
	fputc('"', out);
}

/* Started as root, workers run as the directory's owner, who is sure to be able to read it.  Never as root:
 * its uid alone writes most files of the machine, without any capability; they are nobody then, as without
 * -r. */
static void put_user(FILE *out, const char *root)
{
	struct stat info;
	struct passwd *owner;

	if (geteuid() != 0 || stat(root, &info) < 0 || info.st_uid == 0)
		return;
	owner = getpwuid(info.st_uid);
	if (owner == NULL)
		return;
	fputs("user = ", out);
	put_quoted(out, owner->pw_name);
	fputs(";\n", out);
}

/* The configuration that `-r DIR -l ADDR` means; malloc'ed. */
static char *directory_config(const struct options *options)
{
	char root[PATH_MAX], *text = NULL;
	size_t len;
	FILE *out;

	if (realpath(options->root, root) == NULL) {
		fprintf(stderr, "drover: -r %s: %s\n", options->root, strerror(errno));
		return NULL;
	}
	out = open_memstream(&text, &len);
	if (out == NULL)
		return NULL;
	put_user(out, root);
	fputs("listen = ( { address = ", out);
	put_quoted(out, options->listen != NULL ? options->listen : default_address);
	fputs("; } );\nsites = ( { routes = ( { match = \"/\"; files = { root = ", out);
	put_quoted(out, root);
	fputs("; listing = true; }; } ); } );\n", out);
	return fclose(out) == 0 ? text : NULL;
}

/* ---- the command line -------------------------------------------------------------------------------- */

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "test", no_argument, NULL, 't' },
	{ "print", no_argument, NULL, 'T' },
	{ "root", required_argument, NULL, 'r' },
	{ "listen", required_argument, NULL, 'l' },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ "offline", no_argument, NULL, 'o' },
	{ &CANDIDATE_OPTION[2], no_argument, NULL, 'k' },       /* the running drover's own */
	{ NULL, 0, NULL, 0 },
};

/* -1: go on; else the exit status. */
static int take_option(int c, struct options *options)
{
	switch (c) {
	case 'c':
		options->config = optarg;
		return -1;
	case 'r':
		options->root = optarg;
		return -1;
	case 'l':
		options->listen = optarg;
		return -1;
	case 't':
		options->test = true;
		return -1;
	case 'T':
		options->print = true;
		return -1;
	case 'o':                       /* has no letter of its own on the command line */
		options->offline = true;
		return -1;
	case 'k':
		options->candidate = true;
		return -1;
	case 'V':
		return puts("drover " DROVER_VERSION), STATUS_GOOD;
	case 'h':
		return fputs(usage, stdout), STATUS_GOOD;
	default:
		return fputs(see_help, stderr), STATUS_WRONG;
	}
}

static int read_options(int argc, char **argv, struct options *options)
{
	static const char letters[] = "c:tTr:l:Vh";
	int status = -1;

	for (int c = getopt_long(argc, argv, letters, long_options, NULL); c != -1 && status < 0;
	     c = getopt_long(argc, argv, letters, long_options, NULL))
		status = take_option(c, options);
	return status;
}

static bool check_options(int argc, char **argv, const struct options *options, struct err *err)
{
	struct addr addr;

	if (optind < argc)
		return err_set(err, "unexpected argument %s", argv[optind]);
	if (options->root != NULL && options->config != NULL)
		return err_set(err, "-r and -c exclude each other");
	if (options->listen != NULL && options->root == NULL)
		return err_set(err, "-l belongs to -r; with a configuration file, set listen there");
	if (options->offline && !options->test)
		return err_set(err, "--offline belongs to -t");
	if (options->listen != NULL && !addr_parse(options->listen, &addr, err))
		return err_add(err, "-l");
	return true;
}

int main(int argc, char **argv)
{
	struct guard_plan plan;
	bool resumes = guard_begin(&plan, argv);        /* first of all */
	struct options options = { 0 };
	struct config_input input = { 0 };
	int status = read_options(argc, argv, &options);
	char *text = NULL;
	struct err err;

	if (status >= 0)
		return status;
	if (!check_options(argc, argv, &options, &err)) {
		fprintf(stderr, "drover: %s\n%s", err.text, see_help);
		return STATUS_WRONG;
	}
	if (options.root != NULL) {
		text = directory_config(&options);
		if (text == NULL && resumes)    /* it is gone; only a reload reads it, and will say so */
			text = strdup("");
		if (text == NULL)
			return STATUS_WRONG;
	}
	input.path = text != NULL ? "command line" : options.config != NULL ? options.config : default_config;
	input.text = text;
	input.outside = options.test || options.print;
	if (options.candidate)
		status = try_candidate();
	else if (options.test || options.print)
		status = check(&input, &options);
	else
		status = serve(&input, argv, resumes ? &plan : NULL);
	free(text);
	return status;
}
