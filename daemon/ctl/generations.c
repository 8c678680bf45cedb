/* generations.c - droverctl generations: which configurations are still there.  Fails as ctl_run does. */
#include "ctl.h"

#include <stdio.h>

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
	const char *why = ctl_text(worker, "why");
	char text[DURATION_BYTES];

	printf("%5lld  %-8s  %8lld", ctl_number(worker, "slot"), ctl_text(worker, "state"),
	       ctl_number(worker, "pid"));
	for (size_t i = 0; i < CONNECTION_STATES; i++) {
		if (json_is_true(json_object_get(worker, "answers")))
			printf("  %8lld", ctl_number(connections, connection_states[i]));
		else
			printf("  %8s", "?");
	}
	if (why[0] != '\0')
		printf("  %s", why);
	if (ctl_number(worker, "deadline_ms") > 0)
		printf(" (ends in %s)", ctl_duration(ctl_number(worker, "deadline_ms"), text));
	putchar('\n');
}

static void show_generation(const json_t *generation)
{
	const json_t *age = json_object_get(generation, "age_ms"), *workers, *worker;
	char text[DURATION_BYTES];
	size_t index;

	printf("generation %lld, %s old: %s\n", ctl_number(generation, "generation"),
	       json_is_integer(age) ? ctl_duration(json_integer_value(age), text) : "very",
	       ctl_text(generation, "why"));
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

int generations_run(struct ctl *ctl)
{
	return ctl_run(ctl, json_pack("{s:s}", "command", "generations"), show_generations);
}
