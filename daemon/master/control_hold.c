/* control_hold.c - droverctl drain and droverctl resume, for control.c.
 *
 *	{"command":"drain" or "resume", "slot":2 or "all", "wait":true}
 *
 * Answers when the slot's worker is gone, or serves, or at once when "wait" is false; see hold.c. */
#include "client.h"
#include "departure.h"
#include "master.h"

#include <jansson.h>
#include <string.h>

/* False: it names no slot. */
static bool take_slot(const json_t *slot, unsigned *number)
{
	json_int_t value = json_integer_value(slot);
	const char *word = json_string_value(slot);

	if (word != NULL && strcmp(word, "all") == 0) {
		*number = HOLD_ALL;
		return true;
	}
	if (!json_is_integer(slot) || value < 0 || value >= HOLD_ALL)
		return false;
	*number = (unsigned)value;
	return true;
}

static void hold(struct client *client, const json_t *request, bool back)
{
	if (!take_slot(json_object_get(request, "slot"), &client->asker.slot)) {
		client_reply_text(client, false, "slot: expected the number of a slot, or \"all\"");
		return;
	}
	client->asker.back = back;
	client->asker.at_once = json_is_false(json_object_get(request, "wait"));
	client_wait(client, WAIT_HOLD);
}

void client_drain(struct client *client, const json_t *request)
{
	hold(client, request, false);
}

void client_resume(struct client *client, const json_t *request)
{
	hold(client, request, true);
}

void client_held(struct asker *asker, const struct outcome *outcome)
{
	struct client *client = LIST_ENTRY(asker, struct client, asker);
	const struct parting *parting = outcome->parting;
	json_t *object = json_pack("{s:b, s:s}", "ok", (int)outcome->good, "text", outcome->text);

	if (object != NULL && parting != NULL)
		json_object_update_new(object, json_pack("{s:I, s:I, s:I, s:I}", "connections",
							 (json_int_t)parting->connections, "handed",
							 (json_int_t)parting->moved, "finished",
							 (json_int_t)parting->finished, "cut",
							 (json_int_t)parting->cut));
	client->wait = WAIT_NOT;
	if (object != NULL)
		client_reply(client, object);
	else                            /* out of memory: the one that is always there may do */
		client_reply_text(client, outcome->good, outcome->text);
}
