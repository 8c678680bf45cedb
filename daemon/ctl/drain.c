/* drain.c - droverctl drain and droverctl resume: a slot, or the whole service, leaves and comes back.
 *
 * `drain all --wait` asks again and again until no request comes any more but those of health checks: how
 * long a balancer goes on sending is its own business, and the daemon does not wait for it. Fails as
 * ctl_run does, and with STATUS_REFUSED when requests still come after the time. */
#include "ctl.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Between two requests of a person who is still served there is often more than a second. */
#define QUIET_NS (3 * CLOCK_S)
enum { LOOK_MS = 200, ANSWER_MS = 5000 };

static bool no_wait;
static uint64_t wait_ns;                /* 0: not for requests to end */

const struct option drain_options[] = {
	{ "no-wait", no_argument, NULL, 'n' },
	{ "wait", required_argument, NULL, 'w' },
	{ NULL, 0, NULL, 0 },
};

const struct option resume_options[] = {
	{ "no-wait", no_argument, NULL, 'n' },
	{ NULL, 0, NULL, 0 },
};

/* "90s", "2m", "500ms", "1h". */
static bool parse_time(const char *text, uint64_t *ns)
{
	static const struct {
		const char *unit;
		uint64_t ns;
	} units[] = { { "ms", CLOCK_MS }, { "s", CLOCK_S }, { "m", 60 * CLOCK_S }, { "h", 3600 * CLOCK_S } };
	char *end;
	unsigned long number;

	errno = 0;
	number = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || errno != 0 || number == 0 || number > 1000000)
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].unit) == 0) {
			*ns = number * units[i].ns;
			return true;
		}
	}
	return false;
}

bool drain_option(int val, const char *value)
{
	if (val == 'n')
		no_wait = true;
	else if (val == 'w' && !parse_time(value, &wait_ns))
		return ctl_wrong("--wait: expected a time such as 30s or 2m, not ", value), false;
	return true;
}

/* ---- until nobody sends any more --------------------------------------------------------------------- */

struct traffic {
	long long requests;             /* but those that health routes refused */
	long long idle, busy;           /* connections */
};

static void add_worker(struct traffic *traffic, const json_t *connections)
{
	traffic->idle += ctl_number(connections, "idle");
	traffic->busy += ctl_number(connections, "head") + ctl_number(connections, "waiting") +
			 ctl_number(connections, "sending");
}

/* Those of whoever does not answer are not known. */
static void add_connections(struct traffic *traffic, const json_t *generations)
{
	const json_t *generation, *worker;
	size_t i, j;

	json_array_foreach(generations, i, generation) {
		json_array_foreach(json_object_get(generation, "workers"), j, worker)
			add_worker(traffic, json_object_get(worker, "connections"));
	}
}

static bool look(const struct ctl *ctl, struct traffic *traffic, struct err *err)
{
	json_t *status = control_ask(ctl->socket, json_pack("{s:s}", "command", "status"), ANSWER_MS, err);
	json_t *generations = NULL, *totals;

	*traffic = (struct traffic){ 0 };
	if (status != NULL)
		generations = control_ask(ctl->socket, json_pack("{s:s}", "command", "generations"),
					  ANSWER_MS, err);
	totals = json_object_get(json_object_get(status, "status"), "totals");
	traffic->requests = ctl_number(totals, "requests") - ctl_number(totals, "health_refusals");
	add_connections(traffic, json_object_get(generations, "generations"));
	json_decref(status);
	json_decref(generations);
	return status != NULL && generations != NULL;
}

static int say_quiet(const struct ctl *ctl, bool quiet, const struct traffic *traffic, uint64_t took_ns)
{
	char text[256];
	json_t *answer;
	int status;

	snprintf(text, sizeof(text),
		 "%s after %llu s: %lld connections are idle, %lld have something in hand",
		 quiet ? "no requests came any more" : "requests still come",
		 (unsigned long long)(took_ns / CLOCK_S), traffic->idle, traffic->busy);
	answer = json_pack("{s:b, s:s, s:I, s:I, s:I}", "ok", (int)quiet, "text", text, "took_ms",
			   (json_int_t)(took_ns / CLOCK_MS), "idle", (json_int_t)traffic->idle, "busy",
			   (json_int_t)traffic->busy);
	status = ctl_show(ctl, answer, ctl_show_text);
	json_decref(answer);
	return status;
}

static int wait_quiet(const struct ctl *ctl)
{
	uint64_t began_ns = clock_now_ns(), moved_ns = began_ns, now_ns = began_ns;
	struct traffic traffic, last = { .requests = -1 };
	struct err err;

	while (now_ns - began_ns < wait_ns) {
		if (!look(ctl, &traffic, &err))
			return ctl_unreachable(&err);
		now_ns = clock_now_ns();
		if (traffic.requests != last.requests || traffic.busy > 0)
			moved_ns = now_ns;
		last = traffic;
		if (now_ns - moved_ns >= QUIET_NS)
			return say_quiet(ctl, true, &traffic, now_ns - began_ns);
		poll(NULL, 0, LOOK_MS);
	}
	return say_quiet(ctl, false, &last, now_ns - began_ns);
}

/* ---- the commands ------------------------------------------------------------------------------------ */

/* NULL: it is no slot. */
static json_t *slot_of(const char *text)
{
	char *end;
	unsigned long number;

	if (strcmp(text, "all") == 0)
		return json_string(text);
	errno = 0;
	number = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || number > INT32_MAX)
		return NULL;
	return json_integer((json_int_t)number);
}

static json_t *request_of(json_t *slot, bool back)
{
	return json_pack("{s:s, s:o, s:b}", "command", back ? "resume" : "drain", "slot", slot, "wait",
			 (int)!no_wait);
}

/* Of drain all --wait the end is the answer. */
static int ask_quietly(const struct ctl *ctl, json_t *request)
{
	struct err err;
	json_t *answer = control_ask(ctl->socket, request, 0, &err);
	int status;

	if (answer == NULL)
		return ctl_unreachable(&err);
	status = ctl_true(answer, "ok") ? wait_quiet(ctl) : ctl_show(ctl, answer, ctl_show_text);
	json_decref(answer);
	return status;
}

static int run(const struct ctl *ctl, bool back)
{
	json_t *slot = slot_of(ctl->arguments[0]);

	if (slot == NULL)
		return ctl_wrong("expected the number of a slot, or all, not ", ctl->arguments[0]);
	if (wait_ns == 0)
		return ctl_run(ctl, request_of(slot, back), ctl_show_text);
	if (json_is_string(slot) && !no_wait)
		return ask_quietly(ctl, request_of(slot, back));
	json_decref(slot);
	return ctl_wrong("--wait is for drain all", no_wait ? ", and not with --no-wait" : "");
}

int drain_run(struct ctl *ctl)
{
	return run(ctl, false);
}

int resume_run(struct ctl *ctl)
{
	return run(ctl, true);
}
