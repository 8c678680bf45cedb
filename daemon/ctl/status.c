/* status.c - droverctl status: what runs, in words and a table.  Fails as ctl_run does. */
#include "ctl.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* Slots that are out of service and have nobody. */
static void show_drained(const json_t *slots)
{
	const json_t *slot;
	size_t index;

	json_array_foreach(slots, index, slot)
		if (ctl_true(slot, "drained"))
			printf("%5lld  %-8s\n", ctl_number(slot, "slot"), "drained");
}

static void show_workers(const json_t *status)
{
	const json_t *worker;
	size_t index;

	printf("\n%5s  %-8s  %8s  %10s  %12s  %12s\n", "slot", "state", "pid", "generation", "connections",
	       "requests");
	show_drained(json_object_get(status, "slots"));
	json_array_foreach(json_object_get(status, "workers"), index, worker) {
		const json_t *counters = json_object_get(worker, "counters");

		printf("%5lld  %-8s  %8lld  %10lld  %12lld  %12lld\n", ctl_number(worker, "slot"),
		       ctl_text(worker, "state"), ctl_number(worker, "pid"), ctl_number(worker, "generation"),
		       ctl_number(counters, "open"), ctl_number(counters, "requests"));
	}
}

static void show_listener(const json_t *listener)
{
	long long sockets = ctl_number(listener, "sockets"), waiting = ctl_number(listener, "waiting"),
		  dropped = ctl_number(listener, "dropped");

	printf("listening on %s (%lld socket%s%s", ctl_text(listener, "address"), sockets,
	       sockets == 1 ? "" : "s",
	       strcmp(ctl_text(listener, "keeper"), "socket unit") == 0 ? " of a .socket unit" : "");
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
		long long count = ctl_number(totals, *names);

		if (count == 0)
			continue;
		printf("%s%s %lld", between, *names, count);
		between = ", ";
	}
	if (between != title)
		putchar('\n');
}

/* What clients lost, what befell workers, and which limits of their own clients met. */
static void show_totals(const json_t *totals)
{
	static const char *const lost[] = { "kernel_dropped", "refused",   "shed",
					    "lost_crashed",   "drain_cut", "lost_address_removed",
					    NULL };
	static const char *const died[] = { "workers_crashed", "workers_killed",  "workers_exited",
					    "workers_hung",    "workers_stalled", NULL };
	static const char *const limited[] = { "limited_connections", "limited_requests", "limited_bandwidth",
					       "clients_untracked", NULL };

	show_counters(totals, "lost: ", lost);
	show_counters(totals, "trouble: ", died);
	show_counters(totals, "limits of clients: ", limited);
}

static void print_at(const json_t *of)
{
	time_t at = (time_t)ctl_number(of, "at");
	char when[sizeof("2026-11-23T11:40:31Z")] = "?";
	struct tm utc;

	if (gmtime_r(&at, &utc) != NULL)
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &utc);
	printf(" at %s", when);
}

static void print_time(const json_t *of)
{
	print_at(of);
	printf(": %s\n", ctl_text(of, "text"));
}

/* The start is the first one; it is not what a person means by a reload. */
static void show_last_reload(const json_t *reload)
{
	bool good = json_is_true(json_object_get(reload, "good"));
	bool is_start = good && ctl_number(reload, "succeeded") == 1;

	fputs(is_start ? "started"
	      : good   ? "last reload succeeded"
		       : "last reload failed",
	      stdout);
	print_time(reload);
}

static void show_last_upgrade(const json_t *upgrade)
{
	if (ctl_number(upgrade, "succeeded") + ctl_number(upgrade, "failed") == 0)
		return;
	printf("last upgrade %s", json_is_true(json_object_get(upgrade, "good")) ? "succeeded" : "failed");
	print_time(upgrade);
}

/* What the daemon gives out has no control characters, whatever the client sent. */
static void show_death(const json_t *slot)
{
	const json_t *death = json_object_get(slot, "last_death");
	const char *signal = ctl_text(death, "signal");

	if (death == NULL)
		return;
	printf("slot %lld: a worker ended", ctl_number(slot, "slot"));
	print_at(death);
	if (signal[0] != '\0')
		printf(" by %s", signal);
	else
		printf(" with status %lld", ctl_number(death, "status"));
	printf(" after %lld ms, %s", ctl_number(death, "lived_ms"), ctl_text(death, "phase"));
	if (ctl_text(death, "client")[0] != '\0')
		printf(", client %s", ctl_text(death, "client"));
	if (ctl_text(death, "request")[0] != '\0')
		printf(", %s", ctl_text(death, "request"));
	putchar('\n');
}

/* Of a slot whose worker does not accept. */
static void show_hang(const json_t *slot)
{
	if (json_is_true(json_object_get(slot, "bad")))
		printf("slot %lld: its worker has not got on for %lld ms; the others accept in its place, "
		       "%lld so far\n",
		       ctl_number(slot, "slot"), ctl_number(slot, "bad_ms"), ctl_number(slot, "rescued"));
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
	long long workers = ctl_number(handover, "workers");

	if (workers > 0)
		printf("handing over: %lld worker%s, %lld of %lld connections\n", workers,
		       workers == 1 ? "" : "s", ctl_number(handover, "handed"),
		       ctl_number(handover, "connections"));
}

/* What is wanted and not to be had. */
static void show_sandbox(json_t *sandbox)
{
	const char *name;
	json_t *layer;

	json_object_foreach(sandbox, name, layer)
		if (ctl_text(layer, "why")[0] != '\0')
			printf("sandbox.%s is off here: %s\n", name, ctl_text(layer, "why"));
}

/* What was set while it runs; nothing is said while nothing was. */
static void show_overrides(const json_t *status)
{
	const char *between = "overrides: ";
	const json_t *one;
	char text[DURATION_BYTES];
	bool pending = false;
	size_t index;

	json_array_foreach(json_object_get(status, "overrides"), index, one) {
		bool confirmed = ctl_true(one, "confirmed");

		printf("%s%s = %s%s", between, ctl_text(one, "name"), ctl_text(one, "value"),
		       confirmed ? "" : " (unconfirmed)");
		pending |= !confirmed;
		between = ", ";
	}
	if (pending)
		printf("; rolled back in %s unless droverctl confirm comes before",
		       ctl_duration(ctl_number(status, "confirm_ms"), text));
	if (json_array_size(json_object_get(status, "overrides")) > 0)
		putchar('\n');
}

static void show_status(const json_t *answer)
{
	const json_t *status = json_object_get(answer, "status"), *listener;
	const json_t *accept = json_object_get(status, "accept");
	size_t slots = json_array_size(json_object_get(status, "slots")), index;
	char since[DURATION_BYTES];

	printf("drover %s, pid %lld, generation %lld, %zu slot%s, accept %s%s\n", ctl_text(status, "version"),
	       ctl_number(status, "pid"), ctl_number(status, "generation"), slots, slots == 1 ? "" : "s",
	       ctl_text(accept, "effective"),
	       json_is_true(json_object_get(status, "stopping")) ? ", stopping" : "");
	if (ctl_text(accept, "why")[0] != '\0')
		printf("accept %s is not in effect: %s\n", ctl_text(accept, "wanted"),
		       ctl_text(accept, "why"));
	if (ctl_true(status, "drained"))
		printf("out of service for %s: health routes answer 503 (droverctl resume all)\n",
		       ctl_duration(ctl_number(status, "drained_ms"), since));
	show_sandbox(json_object_get(status, "sandbox"));
	json_array_foreach(json_object_get(status, "listeners"), index, listener)
		show_listener(listener);
	show_totals(json_object_get(status, "totals"));
	show_overrides(status);
	show_last_reload(json_object_get(status, "last_reload"));
	show_last_upgrade(json_object_get(status, "upgrade"));
	if (json_is_true(json_object_get(json_object_get(status, "upgrade"), "open")))
		printf("an upgrade is under way: %s\n", ctl_text(status, "phase"));
	else if (strcmp(ctl_text(status, "phase"), "idle") != 0)
		printf("a reload or a check is under way: %s\n", ctl_text(status, "phase"));
	show_handover(json_object_get(status, "handover"));
	show_deaths(json_object_get(status, "slots"));
	show_hangs(json_object_get(status, "slots"));
	show_workers(status);
}

int status_run(struct ctl *ctl)
{
	return ctl_run(ctl, json_pack("{s:s}", "command", "status"), show_status);
}
