/* selftest.c - droverctl selftest: the daemon that is installed here, operated
 * under load on a private loopback instance, and what its clients lost by it:
 * nothing, or this exits with 1.
 *
 * It talks to no running daemon, but for the path of its binary when none is
 * beside this program. */
#include "selftest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECONDS_DEFAULT = 3, SECONDS_MAX = 3600, ASK_MS = 2000 };

static const char *binary_option, *only_option, *accept_option = "directed";
static unsigned long seconds_option = SECONDS_DEFAULT;
static volatile sig_atomic_t interrupted;

static const char *const accept_modes[] = { "directed", "reuseport", "cpu", "shared", NULL };

const struct option selftest_options[] = {
	{ "binary", required_argument, NULL, 'b' },
	{ "seconds", required_argument, NULL, 'n' },
	{ "accept", required_argument, NULL, 'a' },
	{ "only", required_argument, NULL, 'o' },
	{ NULL, 0, NULL, 0 },
};

static bool is_mode(const char *value)
{
	for (unsigned i = 0; accept_modes[i] != NULL; i++)
		if (strcmp(accept_modes[i], value) == 0)
			return true;
	return ctl_wrong("--accept takes directed, reuseport, cpu or shared, not ", value), false;
}

static bool is_scenario(const char *value)
{
	for (unsigned i = 0; selftest_name(i) != NULL; i++)
		if (strcmp(selftest_name(i), value) == 0)
			return true;
	ctl_wrong("there is no scenario ", value);
	for (unsigned i = 0; selftest_name(i) != NULL; i++)
		fprintf(stderr, "  %-10s %s\n", selftest_name(i), selftest_summary(i));
	return false;
}

static bool take_seconds(const char *value)
{
	char *end;

	errno = 0;
	seconds_option = strtoul(value, &end, 10);
	if (errno == 0 && *end == '\0' && value[0] >= '0' && value[0] <= '9' && seconds_option >= 1 &&
	    seconds_option <= SECONDS_MAX)
		return true;
	return ctl_wrong("--seconds takes a number from 1 to 3600, not ", value), false;
}

bool selftest_option(int val, const char *value)
{
	if (val == 'n')
		return take_seconds(value);
	if (val == 'a')
		return is_mode(accept_option = value);
	if (val == 'o')
		return is_scenario(only_option = value);
	binary_option = value;
	return true;
}

/* ---- which binary ---- */

static bool is_program(const char *path)
{
	return access(path, X_OK) == 0;
}

/* Beside this program, or where `make install` puts it. */
static bool find_beside(char path[PATH_MAX])
{
	static const char *const names[] = { "/drover", "/../sbin/drover", NULL };
	ssize_t len = readlink("/proc/self/exe", path, PATH_MAX - 32);
	size_t directory;

	if (len <= 0)
		return false;
	path[len] = '\0';
	directory = (size_t)(strrchr(path, '/') - path);
	for (unsigned i = 0; names[i] != NULL; i++) {
		strcpy(path + directory, names[i]);
		if (is_program(path))
			return true;
	}
	return false;
}

static bool find_running(const struct ctl *ctl, char path[PATH_MAX])
{
	char link[64];
	struct err err;
	json_t *answer =
		ctl->socket[0] != '\0'
			? control_ask(ctl->socket, json_pack("{s:s}", "command", "status"), ASK_MS, &err)
			: NULL;
	long long pid = ctl_number(json_object_get(answer, "status"), "pid");
	ssize_t len;

	json_decref(answer);
	snprintf(link, sizeof(link), "/proc/%lld/exe", pid);
	len = pid > 0 ? readlink(link, path, PATH_MAX - 1) : -1;
	if (len <= 0)
		return false;
	path[len] = '\0';
	return is_program(path);
}

/* As an absolute path: the instance runs elsewhere, and an upgrade opens it again. */
static bool find_binary(const struct ctl *ctl, char path[PATH_MAX], struct err *err)
{
	char found[PATH_MAX];

	if (binary_option != NULL)
		return (realpath(binary_option, path) != NULL && is_program(path)) ||
		       err_sys(err, errno, "--binary %s", binary_option);
	if ((find_beside(found) || find_running(ctl, found)) && realpath(found, path) != NULL)
		return true;
	return err_set(err, "there is no drover beside this program or in ../sbin, and none runs;"
			    " name it with --binary");
}

/* ---- the run ---- */

static void interrupt(int number)
{
	interrupted = number;
}

static void catch_signals(void)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction action = { .sa_handler = interrupt };

	for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaction(numbers[i], &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* How many were bad. */
static unsigned run_scenarios(struct selftest *selftest, bool json, json_t *rows)
{
	bool first = true;
	unsigned bad = 0;

	for (unsigned i = 0; selftest_name(i) != NULL && !interrupted; i++) {
		struct selftest_result result;

		if (only_option != NULL && strcmp(only_option, selftest_name(i)) != 0)
			continue;
		selftest_scenario(selftest, i, &result);
		bad += !selftest_good(&result);
		json_array_append_new(rows, selftest_row(&result));
		if (!json && first)
			selftest_print_head(selftest);
		if (!json)
			selftest_print_row(&result);
		if (!selftest_good(&result) && !result.interrupted)
			selftest_instance_show_log(&selftest->instance);
		first = false;
	}
	return bad;
}

static int say(const struct selftest *selftest, bool json, json_t *rows, unsigned bad)
{
	size_t count = json_array_size(rows);
	bool good = bad == 0 && !interrupted;
	char text[128];
	json_t *answer;

	if (interrupted)
		snprintf(text, sizeof(text), "interrupted");
	else if (good)
		snprintf(text, sizeof(text), "%zu scenario%s, and no client lost anything that it must not",
			 count, count == 1 ? "" : "s");
	else
		snprintf(text, sizeof(text), "%u of %zu scenarios went wrong", bad, count);
	if (!json) {
		fprintf(good ? stdout : stderr, "\n%s\n", text);
	} else {
		answer = json_pack("{s:b, s:s, s:s, s:s, s:s, s:O}", "ok", (int)good, "text", text, "version",
				   selftest->version, "binary", selftest->instance.binary, "accept",
				   selftest->effective, "scenarios", rows);
		json_dumpf(answer, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(answer);
	}
	return good ? STATUS_GOOD : STATUS_REFUSED;
}

static int run(struct selftest *selftest, bool json)
{
	json_t *rows = json_array();
	unsigned bad = run_scenarios(selftest, json, rows);
	int status = say(selftest, json, rows, bad);

	json_decref(rows);
	return status;
}

static int fail(const struct ctl *ctl, const char *text)
{
	if (ctl->json)
		return ctl_refuse(ctl, text);
	fprintf(stderr, "droverctl: %s\n", text);
	return STATUS_REFUSED;
}

int selftest_run(struct ctl *ctl)
{
	char path[PATH_MAX];
	struct selftest selftest = { .accept = accept_option,
				     .seconds = seconds_option,
				     .interrupted = &interrupted };
	struct err err;
	int status;

	if (!find_binary(ctl, path, &err))
		return fail(ctl, err.text);
	catch_signals();
	selftest.bytes = malloc(SELFTEST_BYTES);
	selftest.crowd = malloc(sizeof(*selftest.crowd));
	if (selftest.bytes == NULL || selftest.crowd == NULL) {
		status = fail(ctl, "out of memory");
	} else {
		selftest_fill(selftest.bytes);
		status = selftest_instance_make(&selftest.instance, path, selftest.bytes, &err)
				 ? run(&selftest, ctl->json)
				 : fail(ctl, err.text);
		selftest_instance_remove(&selftest.instance);
	}
	free(selftest.bytes);
	free(selftest.crowd);
	return status;
}
