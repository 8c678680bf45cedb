/* names.c - a hash table with open addressing.  Called for what an operator wrote, so that nobody chooses
 * names that collide.  Fails only when out of memory. */
#include "names.h"

#include "hash.h"

#include <stdlib.h>

enum { FIRST_ROOM = 32 };               /* a power of two, and so are all others */

/* The place of `name`, or the free one where it would go. */
static struct str *place_of(struct names *names, struct str name)
{
	size_t at = hash_fold(hash_of(name)) & (names->room - 1);

	for (names->looks++; names->at[at].at != NULL && !str_equal(names->at[at], name); names->looks++)
		at = (at + 1) & (names->room - 1);
	return &names->at[at];
}

static bool grow(struct names *names)
{
	struct names grown = { .room = names->room == 0 ? FIRST_ROOM : names->room * 2 };

	grown.at = calloc(grown.room, sizeof(*grown.at));
	if (grown.at == NULL)
		return false;
	grown.count = names->count;
	grown.looks = names->looks;
	for (size_t i = 0; i < names->room; i++)
		if (names->at[i].at != NULL)
			*place_of(&grown, names->at[i]) = names->at[i];
	free(names->at);
	*names = grown;
	return true;
}

enum names_result names_add(struct names *names, struct str name)
{
	struct str *place;

	if (names->count >= names->room / 2 && !grow(names))
		return NAMES_NO_MEMORY;
	place = place_of(names, name);
	if (place->at != NULL)
		return NAMES_KNOWN;
	*place = name;
	names->count++;
	return NAMES_NEW;
}

bool names_has(struct names *names, struct str name)
{
	return names->room > 0 && place_of(names, name)->at != NULL;
}

void names_free(struct names *names)
{
	free(names->at);
	*names = (struct names){ 0 };
}
