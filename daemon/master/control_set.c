/* control_set.c - droverctl set, unset and confirm: settings that change while drover runs.  Called by
 * control.c; what cannot be is answered with why. */
#include "client.h"
#include "master.h"

#include <jansson.h>

void control_change(struct master *master, struct asker *asker)
{
	struct client *client = LIST_ENTRY(asker, struct client, asker);
	struct err err;

	client->change = change_parse(client->line, &err);
	asker->change = client->change;
	if (client->change != NULL)
		reload_change(master, asker);
	else
		asker->answer(asker, &(struct outcome){ .text = err.text });
}

void command_set(struct client *client, const json_t *request)
{
	(void)request;                  /* the next image reads the line, too: see control_change */
	client_wait(client, WAIT_CHANGE);
}

void command_confirm(struct client *client, const json_t *request)
{
	char text[256];
	struct err err;
	bool good = tuning_confirm(client_master(client), text, sizeof(text), &err);

	(void)request;
	client_reply_text(client, good, good ? text : err.text);
}
