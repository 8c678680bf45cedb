/* selftest_table.c - what selftest found, as a table or as JSON.  Called by
 * selftest.c; cannot fail. */
#include "selftest.h"

#include <arpa/inet.h>
#include <stdio.h>

static const struct {
	const char *title, *key;
} losses[SELFTEST_LOSSES] = {
	[LOST_REFUSED] = { "refused", "refused" },
	[LOST_RESET] = { "reset", "reset" },
	[LOST_STALLED] = { "stalled", "stalled" },
	[LOST_WRONG] = { "wrong", "wrong" },
	[LOST_CUT] = { "cut", "cut" },
	[LOST_IDLE] = { "idle closed", "idle_closed" },
};

void selftest_print_head(const struct selftest *selftest)
{
	printf("drover %s (%s), accept %s, %d workers, %d clients\n\n", selftest->version,
	       selftest->instance.binary, selftest->effective, SELFTEST_WORKERS, CROWD_CLIENTS);
	printf("%-8s  %5s  %8s", "scenario", "times", "requests");
	for (unsigned i = 0; i < SELFTEST_LOSSES; i++)
		printf("  %s", losses[i].title);
	printf("  %9s\n", "slowest");
}

void selftest_print_row(const struct selftest_result *result)
{
	printf("%-8s  %5u  %8llu", result->name, result->acts, (unsigned long long)result->account.requests);
	for (unsigned i = 0; i < SELFTEST_LOSSES; i++)
		printf("  %*llu", (int)__builtin_strlen(losses[i].title),
		       (unsigned long long)result->account.lost[i]);
	printf("  %6llu ms  %s", (unsigned long long)(result->account.slowest_ns / CLOCK_MS),
	       selftest_good(result) ? "good" : "BAD");
	if (result->kills)
		printf(", %llu connections were in hand", (unsigned long long)result->in_hand);
	else if (result->rescued > 0)
		printf(", %llu rescued", (unsigned long long)result->rescued);
	if (result->counted > 0)
		printf(", the daemon counted %llu losses", (unsigned long long)result->counted);
	if (result->problem[0] != '\0')
		printf(": %s", result->problem);
	else if (!result->acted)
		printf(": it did not happen often enough to say something");
	putchar('\n');
	fflush(stdout);
}

json_t *selftest_row(const struct selftest_result *result)
{
	json_t *row = json_pack(
		"{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "scenario", result->name, "good",
		(int)selftest_good(result), "times", (json_int_t)result->acts, "failed",
		(json_int_t)result->failed, "requests", (json_int_t)result->account.requests, "answered",
		(json_int_t)result->account.good, "in_hand", (json_int_t)result->in_hand, "rescued",
		(json_int_t)result->rescued, "counted", (json_int_t)result->counted, "slowest_ms",
		(json_int_t)(result->account.slowest_ns / CLOCK_MS), "problem", result->problem);

	for (unsigned i = 0; i < SELFTEST_LOSSES; i++)
		json_object_set_new(row, losses[i].key, json_integer((json_int_t)result->account.lost[i]));
	return row;
}
