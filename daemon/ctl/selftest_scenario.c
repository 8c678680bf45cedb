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
	ANSWER_S = 60, /* what the actor asked for is done by then, or will not be */
	IN_PLACE_S = 30, /* for a crowd to see its first answers */
	FINISH_S = 60,
	STOPPED_MS = 700, /* how long a worker stands still */
	ASK_MS = 10000,
	SETTLE_MS = 100, /* between two looks whether old workers are there */
};

struct actor;

struct scenario {
	const char *name, *summary;
	/* The configuration of this turn; NULL: always the same. */
	void (*change)(struct selftest_settings *settings, unsigned turn);
	const char *command; /* of the control protocol; NULL: nothing is asked */
	bool replace;
	/* Does something by what the daemon answered; NULL: the answer has to be
   * good. */
	void (*answered)(struct actor *actor, const json_t *answer);
	unsigned least; /* so often it must have happened to say something */
	bool kills;
};

/* What the operator is about. */
struct actor {
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
static pid_t next_victim(const struct actor *actor, const json_t *answer)
{
	const json_t *slots = json_object_get(json_object_get(answer, "status"), "slots"), *slot;
	size_t index;

	json_array_foreach(slots, index, slot) if (ctl_number(slot, "pid") <= 0) return 0;
	if (json_array_size(slots) == 0)
		return 0;
	return (pid_t)ctl_number(json_array_get(slots, actor->result->acts % json_array_size(slots)), "pid");
}

static void kill_one(struct actor *actor, const json_t *answer)
{
	pid_t pid = next_victim(actor, answer);

	if (pid > 0 && selftest_instance_signal(&actor->selftest->instance, pid, SIGKILL))
		actor->result->acts++;
}

static void stop_one(struct actor *actor, const json_t *answer)
{
	pid_t pid = next_victim(actor, answer);

	if (pid <= 0 || !selftest_instance_signal(&actor->selftest->instance, pid, SIGSTOP))
		return;
	actor->stopped = pid;
	actor->continue_ns = clock_now_ns() + STOPPED_MS * CLOCK_MS;
	actor->result->acts++;
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

/* ---- the actor ---- */

static void note(struct selftest_result *result, const char *what, const char *why)
{
	if (result->problem[0] == '\0')
		snprintf(result->problem, sizeof(result->problem), "%s%s", what, why);
}

static void fail(struct actor *actor, const char *why)
{
	actor->result->failed++;
	note(actor->result, "", why);
}

static bool rename_log(const struct actor *actor)
{
	char from[PATH_MAX], to[PATH_MAX];

	snprintf(from, sizeof(from), "%s/access.log", actor->selftest->instance.directory);
	snprintf(to, sizeof(to), "%s/access.log.1", actor->selftest->instance.directory);
	return rename(from, to) == 0;
}

/* The request is a short line into an empty socket; the answer comes as an
 * event. */
static void ask(struct actor *actor)
{
	const struct scenario *scenario = actor->scenario;
	const char *socket_path = actor->selftest->instance.control;
	char line[128];
	struct err err;
	int len;

	actor->turn++;
	if (strcmp(scenario->command, "reopen") == 0 && !rename_log(actor))
		return fail(actor, "the access log is not there");
	if (scenario->change != NULL) {
		scenario->change(&actor->settings, actor->turn - 1);
		if (!selftest_instance_configure(&actor->selftest->instance, &actor->settings, &err))
			return fail(actor, err.text);
	}
	len = snprintf(line, sizeof(line), "{\"command\":\"%s\"%s}\n", scenario->command,
		       scenario->replace ? ",\"replace\":true" : "");
	actor->fd = control_connect(socket_path, ASK_MS, &err);
	if (actor->fd < 0)
		return fail(actor, err.text);
	actor->asked_ns = clock_now_ns();
	actor->len = 0;
	if (send(actor->fd, line, (size_t)len, MSG_NOSIGNAL) != len ||
	    !crowd_watch(actor->selftest->crowd, actor->fd)) {
		fd_close(&actor->fd);
		fail(actor, "the control socket takes nothing");
	}
}

static void take_answer(struct actor *actor)
{
	json_t *answer = json_loadb(actor->answer, actor->len, 0, NULL);

	fd_close(&actor->fd);
	actor->next_ns = clock_now_ns() + ACT_GAP_MS * CLOCK_MS;
	if (!ctl_true(answer, "ok")) {
		fail(actor, answer != NULL ? ctl_text(answer, "text") : "the daemon gave no answer");
	} else if (actor->scenario->answered != NULL) {
		actor->scenario->answered(actor, answer);
	} else {
		actor->result->acts++;
	}
	json_decref(answer);
}

static void read_answer(struct actor *actor)
{
	ssize_t n =
		recv(actor->fd, actor->answer + actor->len, CONTROL_ANSWER_BYTES - actor->len, MSG_DONTWAIT);

	if (n > 0)
		actor->len += (size_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		take_answer(actor);
}

static void let_go_on(struct actor *actor)
{
	if (actor->stopped > 0)
		selftest_instance_signal(&actor->selftest->instance, actor->stopped, SIGCONT);
	actor->stopped = 0;
	actor->next_ns = clock_now_ns() + ACT_GAP_MS * CLOCK_MS;
}

/* True: it has nothing under way. */
static bool operate(struct actor *actor, bool readable, bool begin)
{
	uint64_t now_ns = clock_now_ns();

	if (actor->fd >= 0 && readable)
		read_answer(actor);
	if (actor->fd >= 0 && now_ns - actor->asked_ns > ANSWER_S * CLOCK_S) {
		fd_close(&actor->fd);
		fail(actor, "the daemon did not answer within 60 s");
	}
	if (actor->stopped > 0 && now_ns >= actor->continue_ns)
		let_go_on(actor);
	if (actor->fd >= 0 || actor->stopped > 0)
		return false;
	if (begin && actor->scenario->command != NULL && now_ns >= actor->next_ns) {
		actor->next_ns = now_ns + ACT_GAP_MS * CLOCK_MS;
		ask(actor);
	}
	return actor->fd < 0;
}

/* ---- the course of a scenario ---- */

/* Is there any point in going on? */
static bool goes_on(struct actor *actor)
{
	struct selftest_result *result = actor->result;

	if (*actor->selftest->interrupted) {
		result->interrupted = true;
		note(result, "interrupted", "");
	} else if (selftest_instance_ended(&actor->selftest->instance)) {
		note(result, "the daemon ended", "");
	}
	return result->problem[0] == '\0' || (result->failed > 0 && !result->interrupted &&
					      !selftest_instance_ended(&actor->selftest->instance));
}

static bool get_in_place(struct actor *actor)
{
	struct crowd *crowd = actor->selftest->crowd;
	uint64_t until_ns = clock_now_ns() + IN_PLACE_S * CLOCK_S;

	while (goes_on(actor) && !crowd_in_place(crowd)) {
		crowd_turn(crowd);
		if (clock_now_ns() < until_ns)
			continue;
		note(actor->result, "not every client was answered", "");
		return false;
	}
	return goes_on(actor);
}

/* For as long as was asked for, and until it has happened often enough, but at
 * most four times as long. */
static void disturb(struct actor *actor)
{
	uint64_t span_ns = actor->selftest->seconds * CLOCK_S, began_ns = clock_now_ns();
	bool readable = false, quiet = true;

	actor->next_ns = began_ns;
	while (goes_on(actor)) {
		uint64_t passed_ns = clock_now_ns() - began_ns;
		bool enough = actor->result->acts + actor->result->failed >= actor->scenario->least;
		bool more = passed_ns < span_ns || (!enough && passed_ns < 4 * span_ns + ANSWER_S * CLOCK_S);

		quiet = operate(actor, readable, more);
		if (!more && quiet)
			break;
		readable = crowd_turn(actor->selftest->crowd);
	}
	let_go_on(actor);
}

/* Until the last old worker has gone: what it could not hand over is lost only now. */
static void settle(struct actor *actor)
{
	uint64_t now_ns = clock_now_ns(), until_ns = now_ns + FINISH_S * CLOCK_S, next_ns = now_ns;

	while (goes_on(actor) && now_ns < until_ns) {
		if (now_ns >= next_ns && !selftest_drains(&actor->selftest->instance))
			return;
		if (now_ns >= next_ns)
			next_ns = now_ns + SETTLE_MS * CLOCK_MS;
		crowd_turn(actor->selftest->crowd);
		now_ns = clock_now_ns();
	}
	if (goes_on(actor))
		note(actor->result, "old workers do not end", "");
}

static void finish(struct actor *actor)
{
	struct crowd *crowd = actor->selftest->crowd;
	uint64_t until_ns = clock_now_ns() + FINISH_S * CLOCK_S;

	crowd->finishing = true;
	while (goes_on(actor) && !crowd_over(crowd) && clock_now_ns() < until_ns)
		crowd_turn(crowd);
	if (goes_on(actor) && !crowd_over(crowd))
		note(actor->result, "not every client came to its end", "");
}

static void count(struct actor *actor)
{
	if (!selftest_count(&actor->selftest->instance, actor->result))
		note(actor->result, "no status at the end", "");
}

static void run(struct actor *actor)
{
	struct selftest *selftest = actor->selftest;
	struct err err;

	if (!crowd_open(selftest->crowd, &selftest->instance.address, selftest->bytes, &err)) {
		note(actor->result, "", err.text);
	} else {
		if (get_in_place(actor))
			disturb(actor);
		if (goes_on(actor))
			settle(actor);
		if (goes_on(actor))
			finish(actor);
		if (goes_on(actor))
			count(actor);
	}
	actor->result->account = selftest->crowd->account;
	actor->result->acted = actor->result->acts >= actor->scenario->least;
	fd_close(&actor->fd);
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
	struct actor actor = { .selftest = selftest,
			       .scenario = &scenarios[number],
			       .result = result,
			       .fd = -1,
			       .answer = malloc(CONTROL_ANSWER_BYTES),
			       .settings = { .workers = SELFTEST_WORKERS, .accept = selftest->accept } };
	json_t *status = NULL;
	struct err err;

	*result =
		(struct selftest_result){ .name = scenarios[number].name, .kills = scenarios[number].kills };
	if (actor.answer == NULL) {
		note(result, "", "out of memory");
	} else if (selftest_instance_start(&selftest->instance, &actor.settings, selftest->interrupted,
					   &status, &err)) {
		remember(selftest, status);
		run(&actor);
	} else {
		note(result, "", err.text);
	}
	result->interrupted = *selftest->interrupted != 0;
	if (!selftest_instance_stop(&selftest->instance, &err))
		note(result, "", err.text);
	free(actor.answer);
}
