/* asker.c - whoever waits for an outcome hears it.
 *
 * Called by reload.c, reopen.c, upgrade.c and generations.c. Cannot fail. */
#include "master.h"

#include <stdio.h>

const struct outcome outcome_stopping = { .text = "refused: drover is stopping" };

/* An answer may lead to the next question, which is not answered by this. */
void askers_answer(struct list *askers, const struct outcome *outcome)
{
	struct list answered;

	list_init(&answered);
	list_move_all(&answered, askers);
	for (struct list *link = list_pop_front(&answered); link != NULL; link = list_pop_front(&answered)) {
		struct asker *asker = LIST_ENTRY(link, struct asker, link);

		asker->answer(asker, outcome);
	}
}

void outcome_keep(const struct outcome *outcome, char text[ERR_TEXT_BYTES])
{
	snprintf(text, ERR_TEXT_BYTES, "%s", outcome->text);
	for (char *c = text; *c != '\0'; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
}
