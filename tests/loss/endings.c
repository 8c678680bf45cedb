/* endings.c - the list of connections that ended badly.  Called by asker.c and client.c. */
#include "loss/endings.h"

#include "base/clock.h"

#include <err.h>
#include <stdlib.h>

enum { FIRST_ROOM = 256, ENDINGS_MAX = 1 << 18 };

void endings_add(struct endings *endings, const struct ending *ending)
{
	if (endings->count == ENDINGS_MAX) {
		endings->more++;
		return;
	}
	if (endings->count == endings->room) {
		endings->room = endings->room > 0 ? 2 * endings->room : FIRST_ROOM;
		endings->list = reallocarray(endings->list, endings->room, sizeof(*endings->list));
		if (endings->list == NULL)
			err(1, "%zu endings", endings->room);
	}
	endings->list[endings->count] = *ending;
	endings->list[endings->count++].at_ns = clock_now_ns();
}

json_t *endings_json(const struct endings *endings)
{
	json_t *array = json_array();

	for (size_t i = 0; i < endings->count; i++) {
		const struct ending *ending = &endings->list[i];

		json_array_append_new(array, json_pack("[f, s, s, i, b]", (double)ending->at_ns / CLOCK_S,
						       ending->kind, account_name(ending->outcome),
						       (int)ending->requests, (int)ending->fresh));
	}
	return array;
}
