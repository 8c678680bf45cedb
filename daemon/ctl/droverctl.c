/* droverctl.c - talks to a running drover over its control socket.
 *
 * Exit status: 0 done, 1 the daemon says no (the text says why), 2 wrong usage, 3 the daemon cannot be
 * reached. */
#include "base/fd.h"
#include "base/str.h"
#include "ipc/control.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { STATUS_GOOD, STATUS_REFUSED, STATUS_USAGE, STATUS_UNREACHABLE };

struct options {
	char socket[CONTROL_PATH_BYTES];
	bool json, replace;
};

static const char usage[] =
	"usage: droverctl [--socket PATH] COMMAND\n"
	"\n"
	"  status [--json]      slots, workers, generation, the last reload\n"
	"  reload [--replace]   reload the configuration and wait for the outcome;\n"
	"                       --replace: fresh workers, the old ones drain\n"
	"  reopen               open the log files anew, after they were renamed\n"
	"\n"
	"  -s, --socket PATH    the control socket (default: control.sock below\n"
	"                       $RUNTIME_DIRECTORY, /run/drover or $XDG_RUNTIME_DIR/drover)\n"
	"  -h, --help           this text\n"
	"  -V, --version        the version\n"
	"\n"
	"exit status: 0 done, 1 refused or failed (the text says why), 2 wrong usage,\n"
	"3 no drover answers there\n";

/* ---- the conversation -------------------------------------------------------------------------------- */

/* Reads to the end of the connection: the answer is one line. */
static char *read_answer(int fd, struct err *err)
{
	size_t len = 0, room = 64 * 1024;
	char *text = malloc(room + 1), *grown;
	ssize_t n = 1;

	while (text != NULL && n > 0) {
		n = recv(fd, text + len, room - len, 0);
		if (n < 0 && errno == EINTR) {
			n = 1;
			continue;
		}
		len += n > 0 ? (size_t)n : 0;
		if (len < room)
			continue;
		room *= 2;
		grown = room <= CONTROL_ANSWER_BYTES ? realloc(text, room + 1) : NULL;
		if (grown == NULL)
			break;
		text = grown;
	}
	if (text == NULL || n != 0 || len == 0) {
		free(text);
		return err_set(err,
			       "drover closed the connection without an answer (is it stopping, or are you"
			       " another user?)"),
		       NULL;
	}
	text[len] = '\0';
	return text;
}

static json_t *ask(const struct options *options, const char *command, struct err *err)
{
	int fd AUTO_CLOSE = control_connect(options->socket, err);
	char line[128];
	char *text;
	json_t *answer;

	if (fd < 0)
		return NULL;
	snprintf(line, sizeof(line), "{\"command\":\"%s\"%s}\n", command,
		 options->replace ? ",\"replace\":true" : "");
	if (send(fd, line, strlen(line), MSG_NOSIGNAL) < 0)
		return err_sys(err, errno, "send to %s", options->socket), NULL;
	text = read_answer(fd, err);
	if (text == NULL)
		return NULL;
	answer = json_loads(text, 0, NULL);
	free(text);
	if (answer == NULL)
		err_set(err, "the answer is no JSON");
	return answer;
}

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

static void show_status(const json_t *answer)
{
	const json_t *status = json_object_get(answer, "status"), *listener;
	const json_t *reload = json_object_get(status, "last_reload");
	size_t index;

	printf("drover %s, pid %lld, generation %lld, %zu slots, accept %s%s\n", text_of(status, "version"),
	       number_of(status, "pid"), number_of(status, "generation"),
	       json_array_size(json_object_get(status, "slots")), text_of(status, "accept"),
	       json_is_true(json_object_get(status, "stopping")) ? ", stopping" : "");
	json_array_foreach(json_object_get(status, "listeners"), index, listener)
		printf("listening on %s (%lld socket%s)\n", text_of(listener, "address"),
		       number_of(listener, "sockets"), number_of(listener, "sockets") == 1 ? "" : "s");
	printf("last reload %s: %s\n", json_is_true(json_object_get(reload, "good")) ? "succeeded" : "failed",
	       text_of(reload, "text"));
	show_workers(status);
}

static void show_text(const json_t *answer)
{
	fprintf(json_is_true(json_object_get(answer, "ok")) ? stdout : stderr, "%s\n",
		text_of(answer, "text"));
}

static const struct command {
	const char *name;
	void (*show)(const json_t *answer);
} commands[] = {
	{ "status", show_status },
	{ "reload", show_text },
	{ "reopen", show_text },
	{ NULL, NULL },
};

static int run(const struct options *options, const struct command *command)
{
	struct err err;
	json_t *answer = ask(options, command->name, &err);
	bool good;

	if (answer == NULL) {
		fprintf(stderr, "droverctl: %s\n", err.text);
		return STATUS_UNREACHABLE;
	}
	good = json_is_true(json_object_get(answer, "ok"));
	if (options->json) {
		json_dumpf(answer, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (good) {
		command->show(answer);
	} else {
		show_text(answer);
	}
	json_decref(answer);
	return good ? STATUS_GOOD : STATUS_REFUSED;
}

/* ---- the command line -------------------------------------------------------------------------------- */

static const struct option long_options[] = {
	{ "socket", required_argument, NULL, 's' }, { "json", no_argument, NULL, 'j' },
	{ "replace", no_argument, NULL, 'r' }, { "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' }, { NULL, 0, NULL, 0 },
};

static int wrong_usage(const char *what, const char *which)
{
	fprintf(stderr, "droverctl: %s%s\n\n%s", what, which, usage);
	return STATUS_USAGE;
}

/* -1: go on; else the exit status. */
static int read_options(int argc, char **argv, struct options *options)
{
	for (int c = getopt_long(argc, argv, "s:hV", long_options, NULL); c != -1;
	     c = getopt_long(argc, argv, "s:hV", long_options, NULL)) {
		if (c == 'h')
			return fputs(usage, stdout), STATUS_GOOD;
		if (c == 'V')
			return puts("droverctl " DROVER_VERSION), STATUS_GOOD;
		if (c == 's' && strlen(optarg) >= sizeof(options->socket))
			return wrong_usage("the path of the socket is too long", "");
		if (c == 's')
			strcpy(options->socket, optarg);
		options->json |= c == 'j';
		options->replace |= c == 'r';
		if (c == '?')
			return fprintf(stderr, "\n%s", usage), STATUS_USAGE;
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
	if (optind + 1 != argc)
		return wrong_usage("expected one command", "");
	while (command->name != NULL && strcmp(command->name, argv[optind]) != 0)
		command++;
	if (command->name == NULL)
		return wrong_usage("unknown command ", argv[optind]);
	if (options.replace && strcmp(command->name, "reload") != 0)
		return wrong_usage("--replace belongs to reload", "");
	if (options.socket[0] == '\0' && !control_default_path(options.socket))
		return wrong_usage("no control socket is known; give one with --socket", "");
	return run(&options, command);
}
