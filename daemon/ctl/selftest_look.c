/* selftest_look.c - what the instance says of itself while selftest waits for the answer.  Called by
 * selftest_scenario.c, when no client is to be served or for a moment. */
#include "selftest.h"

#include <string.h>

enum { ASK_MS = 10000 };

/* A new reference; NULL: it says nothing. */
static json_t *ask(const struct selftest_instance *instance)
{
	struct err err;

	return control_ask(instance->control, json_pack("{s:s}", "command", "status"), ASK_MS, &err);
}

bool selftest_drains(const struct selftest_instance *instance)
{
	json_t *answer = ask(instance);
	const json_t *workers = json_object_get(json_object_get(answer, "status"), "workers"), *worker;
	bool found = false;
	size_t index;

	json_array_foreach(workers, index, worker)
		found |= strcmp(ctl_text(worker, "state"), "draining") == 0;
	json_decref(answer);
	return found;
}

bool selftest_count(const struct selftest_instance *instance, struct selftest_result *result)
{
	static const char *const losses[] = { "refused", "shed", "drain_cut", "lost_address_removed",
					      "out_of_memory", "timeouts", "file_shrank", "file_changed",
					      NULL };
	json_t *answer = ask(instance);
	const json_t *totals = json_object_get(json_object_get(answer, "status"), "totals");
	bool known = totals != NULL;

	for (unsigned i = 0; losses[i] != NULL; i++)
		result->counted += (uint64_t)ctl_number(totals, losses[i]);
	result->in_hand = (uint64_t)ctl_number(totals, "lost_crashed");
	result->rescued = (uint64_t)ctl_number(totals, "rescued");
	json_decref(answer);
	return known;
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
