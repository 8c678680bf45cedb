/* selftest_scenario.c - what befalls the instance while the crowd is served,
 * and what came of it.
 *
 * Called by selftest.c.  The operator's questions go over the control socket
 * without anybody waiting for them: the clients go on meanwhile.  Fails by a
 * text in the result. */
#include "selftest.h"

#include "base/fd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	ACT_GAP_MS = 300,
	ANSWER_S = 60, /* what the operator asked for is done by then, or will not be */
	IN_PLACE_S = 30, /* for a crowd to see its first answers */
	FINISH_S = 60,
	STOPPED_MS = 700, /* how long a worker stands still */
	ASK_MS = 10000,
};

struct operator;

struct scenario {
	const char *name, *summary;
	/* The configuration of this turn; NULL: always the same. */
	void (*change)(struct selftest_settings *settings, unsigned turn);
	const char *command; /* of the control protocol; NULL: nothing is asked */
	bool replace;
	/* Does something by what the daemon answered; NULL: the answer has to be
   * good. */
	void (*answered)(struct operator* operator, const json_t * answer);
	unsigned least; /* so often it must have happened to say something */
	bool kills;
};

/* What the operator is about. */
struct operator
{
	struct selftest *selftest;
	const struct scenario *scenario;
	struct selftest_result *result;
	struct selftest_settings settings;
	int fd; /* an answer is waited for; -1: none is */
	char *answer;
	size_t len;
	unsigned turn;
	uint64_t next_ns, asked_ns;
	pid_t stopped; /* a worker, until continue_ns; 0: none is */
	uint64_t continue_ns;
};

/* ---- what the scenarios do ---- */

static void change_workers(struct selftest_settings *settings, unsigned turn)
{
	static const unsigned counts[] = { 2, 4, 1, 4 };

	settings->workers = counts[turn % 4];
}

static void change_accept(struct selftest_settings *settings, unsigned turn)
{
	static const char *const modes[] = { "shared", "reuseport", "cpu", "directed" };

	settings->accept = modes[turn % 4];
}

static void change_listen(struct selftest_settings *settings, unsigned turn)
{
	settings->second_address = turn % 2 == 0;
}

/* The worker of a slot, in turn; 0 while any slot has none: one trouble at a
 * time. */
static pid_t next_victim(const struct operator* operator, const json_t * answer)
{
	const json_t *slots = json_object_get(json_object_get(answer, "status"), "slots"), *slot;
	size_t index;

	json_array_foreach(slots, index, slot) if (ctl_number(slot, "pid") <= 0) return 0;
	if (json_array_size(slots) == 0)
		return 0;
	return (pid_t)ctl_number(json_array_get(slots, operator->result->acts % json_array_size(slots)),
				 "pid");
}

static void kill_one(struct operator* operator, const json_t * answer)
{
	pid_t pid = next_victim(operator, answer);

	if (pid > 0 && selftest_instance_signal(&operator->selftest->instance, pid, SIGKILL))
		operator->result->acts++;
}

static void stop_one(struct operator* operator, const json_t * answer)
{
	pid_t pid = next_victim(operator, answer);

	if (pid <= 0 || !selftest_instance_signal(&operator->selftest->instance, pid, SIGSTOP))
		return;
	operator->stopped = pid;
	operator->continue_ns = clock_now_ns() + STOPPED_MS * CLOCK_MS;
	operator->result->acts++;
}

static const struct scenario scenarios[] = {
	{ "nothing", "nobody does anything", .least = 0 },
	{ "reload", "the configuration is reloaded", .command = "reload", .least = 1 },
	{ "replace", "fresh workers replace the running ones", .command = "reload", .replace = true,
	  .least = 1 },
	{ "workers", "4 workers become 2, 4, 1 and 4 again", .change = change_workers, .command = "reload",
	  .least = 4 },
	{ "accept", "the accept mode changes", .change = change_accept, .command = "reload", .least = 4 },
	{ "listen", "an address is added and removed", .change = change_listen, .command = "reload",
	  .least = 2 },
	{ "reopen", "the log files are renamed and opened anew", .command = "reopen", .least = 1 },
	{ "upgrade", "the binary takes over from itself", .command = "upgrade", .least = 1 },
	{ "hang", "a worker stands still for 700 ms", .command = "status", .answered = stop_one, .least = 1 },
	{ "kill", "a worker is killed", .command = "status", .answered = kill_one, .least = 1,
	  .kills = true },
};

enum { SCENARIOS = sizeof(scenarios) / sizeof(scenarios[0]) };

const char *selftest_name(unsigned number)
{
	return number < SCENARIOS ? scenarios[number].name : NULL;
}

const char *selftest_summary(unsigned number)
{
	return number < SCENARIOS ? scenarios[number].summary : NULL;
}

/* ---- the operator ---- */

static void note(struct selftest_result *result, const char *what, const char *why)
{
	if (result->problem[0] == '\0')
		snprintf(result->problem, sizeof(result->problem), "%s%s", what, why);
}

static void fail(struct operator* operator, const char * why)
{
	operator->result->failed++;
	note(operator->result, "", why);
}

static bool rename_log(const struct operator* operator)
{
	char from[PATH_MAX], to[PATH_MAX];

	snprintf(from, sizeof(from), "%s/access.log", operator->selftest->instance.directory);
	snprintf(to, sizeof(to), "%s/access.log.1", operator->selftest->instance.directory);
	return rename(from, to) == 0;
}

/* The request is a short line into an empty socket; the answer comes as an
 * event. */
static void ask(struct operator* operator)
{
	const struct scenario *scenario = operator->scenario;
	const char *socket_path = operator->selftest->instance.control;
	char line[128];
	struct err err;
	int len;

	operator->turn++;
	if (strcmp(scenario->command, "reopen") == 0 && !rename_log(operator))
		return fail(operator, "the access log is not there");
	if (scenario->change != NULL) {
		scenario->change(&operator->settings, operator->turn - 1);
		if (!selftest_instance_configure(&operator->selftest->instance, &operator->settings, &err))
			return fail(operator, err.text);
	}
	len = snprintf(line, sizeof(line), "{\"command\":\"%s\"%s}\n", scenario->command,
		       scenario->replace ? ",\"replace\":true" : "");
	operator->fd = control_connect(socket_path, ASK_MS, &err);
	if (operator->fd<0)
		return fail(operator, err.text);
	operator->asked_ns = clock_now_ns();
	operator->len = 0;
	if (send(operator->fd, line, (size_t)len, MSG_NOSIGNAL) != len ||
	    !crowd_watch(operator->selftest->crowd, operator->fd)) {
		fd_close(&operator->fd);
		fail(operator, "the control socket takes nothing");
	}
}

static void take_answer(struct operator* operator)
{
	json_t *answer = json_loadb(operator->answer, operator->len, 0, NULL);

	fd_close(&operator->fd);
	operator->next_ns = clock_now_ns() + ACT_GAP_MS * CLOCK_MS;
	if (!ctl_true(answer, "ok")) {
		fail(operator, answer != NULL ? ctl_text(answer, "text") : "the daemon gave no answer");
	} else if (operator->scenario->answered != NULL) {
		operator->scenario->answered(operator, answer);
	} else {
		operator->result->acts++;
	}
	json_decref(answer);
}

static void read_answer(struct operator* operator)
{
	ssize_t n = recv(operator->fd, operator->answer + operator->len, CONTROL_ANSWER_BYTES - operator->len,
			 MSG_DONTWAIT);

	if (n > 0)
		operator->len +=(size_t) n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		take_answer(operator);
}

static void let_go_on(struct operator* operator)
{
	if (operator->stopped> 0)
		selftest_instance_signal(&operator->selftest->instance, operator->stopped, SIGCONT);
	operator->stopped = 0;
	operator->next_ns = clock_now_ns() + ACT_GAP_MS * CLOCK_MS;
}

/* True: it has nothing under way. */
static bool operate(struct operator* operator, bool readable, bool begin)
{
	uint64_t now_ns = clock_now_ns();

	if (operator->fd >= 0 && readable)
		read_answer(operator);
	if (operator->fd >= 0 && now_ns - operator->asked_ns> ANSWER_S * CLOCK_S) {
		fd_close(&operator->fd);
		fail(operator, "the daemon did not answer within 60 s");
	}
	if (operator->stopped> 0 && now_ns >= operator->continue_ns)
		let_go_on(operator);
	if (operator->fd >= 0 || operator->stopped> 0)
		return false;
	if (begin && operator->scenario->command != NULL && now_ns >= operator->next_ns) {
		operator->next_ns = now_ns + ACT_GAP_MS * CLOCK_MS;
		ask(operator);
	}
	return operator->fd<0;
}

/* ---- the course of a scenario ---- */

/* Is there any point in going on? */
static bool goes_on(struct operator* operator)
{
	struct selftest_result *result = operator->result;

	if (*operator->selftest->interrupted) {
		result->interrupted = true;
		note(result, "interrupted", "");
	} else if (selftest_instance_ended(&operator->selftest->instance)) {
		note(result, "the daemon ended", "");
	}
	return result->problem[0] == '\0' || (result->failed > 0 && !result->interrupted &&
					      !selftest_instance_ended(&operator->selftest->instance));
}

static bool get_in_place(struct operator* operator)
{
	struct crowd *crowd = operator->selftest->crowd;
	uint64_t until_ns = clock_now_ns() + IN_PLACE_S * CLOCK_S;

	while (goes_on(operator) && !crowd_in_place(crowd)) {
		crowd_turn(crowd);
		if (clock_now_ns() < until_ns)
			continue;
		note(operator->result, "not every client was answered", "");
		return false;
	}
	return goes_on(operator);
}

/* For as long as was asked for, and until it has happened often enough, but at
 * most four times as long. */
static void disturb(struct operator* operator)
{
	uint64_t span_ns = operator->selftest->seconds * CLOCK_S, began_ns = clock_now_ns();
	bool readable = false, quiet = true;

	operator->next_ns = began_ns;
	while (goes_on(operator)) {
		uint64_t passed_ns = clock_now_ns() - began_ns;
		bool enough = operator->result->acts + operator->result->failed >= operator->scenario->least;
		bool more = passed_ns < span_ns || (!enough && passed_ns < 4 * span_ns + ANSWER_S * CLOCK_S);

		quiet = operate(operator, readable, more);
		if (!more && quiet)
			break;
		readable = crowd_turn(operator->selftest->crowd);
	}
	let_go_on(operator);
}

static void finish(struct operator* operator)
{
	struct crowd *crowd = operator->selftest->crowd;
	uint64_t until_ns = clock_now_ns() + FINISH_S * CLOCK_S;

	crowd->finishing = true;
	while (goes_on(operator) && !crowd_over(crowd) && clock_now_ns() < until_ns)
		crowd_turn(crowd);
	if (goes_on(operator) && !crowd_over(crowd))
		note(operator->result, "not every client came to its end", "");
}

/* What the daemon itself says that it lost. */
static void count(struct operator* operator)
{
	static const char *const losses[] = { "refused",
					      "shed",
					      "drain_cut",
					      "lost_address_removed",
					      "out_of_memory",
					      "timeouts",
					      "file_shrank",
					      "file_changed",
					      NULL };
	struct selftest_result *result = operator->result;
	struct err err;
	json_t *answer = control_ask(operator->selftest->instance.control,
				     json_pack("{s:s}", "command", "status"), ASK_MS, &err);
	const json_t *totals = json_object_get(json_object_get(answer, "status"), "totals");

	if (totals == NULL)
		note(result, "no status at the end", "");
	for (unsigned i = 0; losses[i] != NULL; i++)
		result->counted += (uint64_t)ctl_number(totals, losses[i]);
	result->in_hand = (uint64_t)ctl_number(totals, "lost_crashed");
	result->rescued = (uint64_t)ctl_number(totals, "rescued");
	json_decref(answer);
}

static void run(struct operator* operator)
{
	struct selftest *selftest = operator->selftest;
	struct err err;

	if (!crowd_open(selftest->crowd, &selftest->instance.address, selftest->bytes, &err)) {
		note(operator->result, "", err.text);
	} else {
		if (get_in_place(operator))
			disturb(operator);
		if (goes_on(operator))
			finish(operator);
		if (goes_on(operator))
			count(operator);
	}
	operator->result->account = selftest->crowd->account;
	operator->result->acted = operator->result->acts >= operator->scenario->least;
	fd_close(&operator->fd);
	crowd_close(selftest->crowd);
}

static void remember(struct selftest *selftest, json_t *status)
{
	snprintf(selftest->version, sizeof(selftest->version), "%s", ctl_text(status, "version"));
	snprintf(selftest->effective, sizeof(selftest->effective), "%s",
		 ctl_text(json_object_get(status, "accept"), "effective"));
	json_decref(status);
}

void selftest_scenario(struct selftest *selftest, unsigned number, struct selftest_result *result)
{
	struct operator operator= { .selftest = selftest,
				    .scenario = &scenarios[number],
				    .result = result,
				    .fd = -1,
				    .answer = malloc(CONTROL_ANSWER_BYTES),
				    .settings = { .workers = SELFTEST_WORKERS, .accept = selftest->accept } };
	json_t *status = NULL;
	struct err err;

	*result =
		(struct selftest_result){ .name = scenarios[number].name, .kills = scenarios[number].kills };
	if (operator.answer == NULL) {
		note(result, "", "out of memory");
	} else if (selftest_instance_start(&selftest->instance, &operator.settings, selftest->interrupted,
					   &status, &err)) {
		remember(selftest, status);
		run(&operator);
	} else {
		note(result, "", err.text);
	}
	result->interrupted = *selftest->interrupted != 0;
	if (!selftest_instance_stop(&selftest->instance, &err))
		note(result, "", err.text);
	free(operator.answer);
}

bool selftest_good(const struct selftest_result *result)
{
	const uint64_t *lost = result->account.lost;
	uint64_t ended = lost[LOST_RESET] + lost[LOST_CUT] + lost[LOST_IDLE];
	uint64_t others = lost[LOST_REFUSED] + lost[LOST_STALLED] + lost[LOST_WRONG] + result->counted;

	if (result->problem[0] != '\0' || result->failed > 0 || !result->acted || result->account.good == 0)
		return false;
	return others == 0 && ended <= (result->kills ? result->in_hand : 0);
}
